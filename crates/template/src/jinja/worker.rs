//! Worker: the thread that minijinja runs on.
//!
//! Functions and files are asked for over a [`Line`], which lies in a thread local: the thread serves one
//! render, and minijinja's own places for such things hold nothing that is bound to a thread.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, Sender};

use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::values::Plain;
use super::{FUEL, MAIN, environment, local};
use crate::Limits;
use crate::functions::Function;

/// What the worker needs from the render.
pub(super) enum Question {
    /// A function's result, made of at most so much fuel.
    Call { function: &'static Function, args: Vec<Plain>, fuel: u64 },
    /// A file, by its clean path.
    File(String),
}

pub(super) enum Answer {
    /// With the fuel that it cost.
    Call(Result<(Value, u64), Refusal>),
    File(Result<Option<String>, String>),
}

/// Why a function or file was not to be had; the source of minijinja's error.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Message(String),
    /// It failed in a Go template that it included.
    Included(crate::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Message(message) => f.write_str(message),
            Refusal::Included(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::from(ErrorKind::InvalidOperation).with_source(refusal)
    }
}

/// An error with a message of ours.
pub(super) fn refused(message: impl Into<String>) -> Error {
    Refusal::Message(message.into()).into()
}

/// The way to the render, and its limits.
pub(super) struct Line {
    pub(super) limits: Limits,
    pub(super) ask: Sender<Question>,
    pub(super) answers: Receiver<Answer>,
}

thread_local! {
    static LINE: RefCell<Option<Line>> = const { RefCell::new(None) };
}

fn limits() -> Limits {
    LINE.with_borrow(|line| line.as_ref().map(|line| line.limits).unwrap_or_default())
}

fn ask(question: Question) -> Result<Answer, Error> {
    LINE.with_borrow(|line| {
        let line = line.as_ref().ok_or_else(|| refused("nothing can be read here"))?;
        line.ask.send(question).ok();
        line.answers.recv().map_err(|_| refused("the render has ended"))
    })
}

/// Parses a template; gives what renders it, and the names that it uses without defining them.
pub(super) fn compile(source: String) -> Result<(Environment<'static>, HashSet<String>), Error> {
    let mut environment = environment::new();
    environment.add_template_owned(MAIN, source)?;
    let undeclared = environment.get_template(MAIN)?.undeclared_variables(false);
    Ok((environment, undeclared))
}

/// Renders the environment's main template.
pub(super) fn render(mut environment: Environment<'static>, line: Line) -> Result<Vec<u8>, Error> {
    let limits = line.limits;
    LINE.set(Some(line));
    environment.set_fuel(Some(limits.steps.min(FUEL)));
    environment.set_recursion_limit(limits.depth);
    let mut out = Bounded { bytes: Vec::new(), limit: limits.output };
    environment.get_template(MAIN)?.render_captured_to((), &mut out)?;
    Ok(out.bytes)
}

/// Calls a function of ours for a template.
pub(super) fn call(
    state: &mut State<'_, '_>,
    function: &'static Function,
    args: &[Value],
) -> Result<Value, Error> {
    let args = args.iter().map(|arg| Plain::of(state, arg)).collect::<Result<Vec<_>, _>>()?;
    let fuel = state.fuel_levels().map_or(FUEL, |(_, remaining)| remaining);
    let result = match local::attempt(function, &args, fuel, limits()) {
        Some(result) => result,
        None => match ask(Question::Call { function, args, fuel })? {
            Answer::Call(result) => result,
            Answer::File(_) => unreachable!("a call is answered as a call"),
        },
    };
    let (value, cost) = result?;
    state.consume_fuel(1 + cost)?;
    Ok(value)
}

/// Finds a file for a template.
pub(super) fn load(name: &str) -> Result<Option<String>, Error> {
    let path = match super::path(name) {
        Ok(path) => path,
        Err(fault) => return Err(refused(fault.to_string())),
    };
    match ask(Question::File(path))? {
        Answer::File(found) => found.map_err(refused),
        Answer::Call(_) => unreachable!("a file is answered as a file"),
    }
}

/// The output, up to a length.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.limit {
            return Err(io::Error::other(Refusal::Message("output is too large".to_owned())));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
