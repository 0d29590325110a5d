//! Jinja: templates in minijinja's language, with the functions that Go templates have.
//!
//! minijinja recurses, over the source and over values, and wants functions that can go to any thread; a
//! render of ours borrows its keys and shares values by `Rc`. So minijinja runs on a thread of its own, with
//! as much stack as a template within the bounds can use, and asks the render for what it needs: `worker` is
//! that thread's side, and this module the render's, where keys and [`Run`] stay. Functions that need only
//! their arguments are called on the worker's side (`local`).
//!
//! Bounds: [`SOURCE`] bytes of a file, [`FUEL`] of work and text, the output, nesting. Undefined is an error,
//! nothing is escaped, and the newline at the end of a file is kept.

mod chains;
mod environment;
mod fault;
mod local;
mod outline;
mod thing;
mod values;
mod worker;

use std::fmt;
use std::io;
use std::panic;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use minijinja::Environment;

use crate::Dialect;
use crate::Text;
use crate::dialect::{decrypts, not_defined};
use crate::error::{Error, ErrorKind, Fault, Outcome};
use crate::eval::Run;
use crate::functions::Function;
use crate::include::inside;
use crate::value::Operand;

use self::fault::Sources;
pub(crate) use self::outline::outline;
use self::values::{Budget, Plain};
use self::worker::{Answer, Line, Question, Refusal};

/// The largest source, in bytes. minijinja's parser needs up to 120 bytes of stack for each, in `elif`s.
const SOURCE: usize = 256 << 10;

/// What a render may use: an instruction costs one, as do 64 bytes of text and two elements of a list. A
/// file of 50,000 keys with four lines each takes half of it.
const FUEL: u64 = 1 << 22;

/// Nested as deep as [`FUEL`] allows, a value takes half of this when it is compared or dropped. It is
/// reserved, not used: memory is taken as a stack grows.
const STACK: usize = if cfg!(debug_assertions) { 2 << 30 } else { 512 << 20 };

/// The name that the environment has for the main template; no path of an include is like it.
const MAIN: &str = "/";

/// A parsed Jinja template.
pub(crate) struct Program {
    name: String,
    source: String,
    environment: Environment<'static>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Program {
    /// Parses a file; `name` is its base name.
    pub(crate) fn parse(name: &str, source: &[u8]) -> Result<Program, Error> {
        let failed = |at, message| Error::new(ErrorKind::Parse, name, source, at, message);
        let text = checked(source).map_err(|(at, message)| failed(at, message))?;
        let (environment, undeclared) = on_own_stack({
            let text = text.clone();
            move || worker::compile(text)
        })
        .map_err(|error| failed(0, no_thread(&error)))?
        .map_err(|error| Sources::only(name, &text).error(ErrorKind::Parse, &error))?;
        let mut refused: Vec<String> = undeclared.into_iter().filter(|name| decrypts(name)).collect();
        refused.sort_unstable();
        if let Some(function) = refused.first() {
            return Err(failed(place(&text, function), not_defined(function, Dialect::default())));
        }
        Ok(Program { name: name.to_owned(), source: text, environment })
    }

    /// The name it was parsed with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Renders it; `run` answers for keys, files and the world, and keeps what was read.
    pub(crate) fn render(&self, run: &mut Run<'_>) -> Result<Vec<u8>, Error> {
        let (ask, questions) = mpsc::channel();
        let (tell, answers) = mpsc::channel();
        let environment = self.environment.clone();
        let line = Line { limits: run.limits(), ask, answers };
        let work = move || worker::render(environment, line);
        let mut sources = Sources::only(&self.name, &self.source);
        let thread = match thread::Builder::new().stack_size(STACK).spawn(work) {
            Ok(thread) => thread,
            Err(error) => return Err(sources.failure(no_thread(&error))),
        };
        serve(run, &mut sources, &questions, &tell);
        match thread.join() {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(sources.error(ErrorKind::Exec, &error)),
            Err(panicked) => panic::resume_unwind(panicked),
        }
    }
}

/// Answers until the worker hangs up.
fn serve(run: &mut Run<'_>, sources: &mut Sources, questions: &Receiver<Question>, tell: &Sender<Answer>) {
    for question in questions {
        let answer = match question {
            Question::Call { function, args, fuel } => Answer::Call(call(run, function, args, fuel)),
            Question::File(path) => Answer::File(read(run, sources, &path)),
        };
        // A worker that is gone has failed; its thread tells why.
        if tell.send(answer).is_err() {
            return;
        }
    }
}

/// Calls a function of ours; gives its result and what making it cost.
fn call(
    run: &mut Run<'_>,
    function: &'static Function,
    args: Vec<Plain>,
    fuel: u64,
) -> Result<(minijinja::Value, u64), Refusal> {
    let called = |message| Refusal::Message(format!("error calling {}: {message}", function.name));
    if let Some(wanted) = function.refuses(args.len()) {
        let (name, given) = (function.name, args.len());
        return Err(Refusal::Message(format!("wrong number of args for {name}: want {wanted} got {given}")));
    }
    let mut operands = Vec::with_capacity(args.len());
    for (index, arg) in args.into_iter().enumerate() {
        let param = function.parameter(index).expect("their number was checked above");
        let mut operand = Operand::from(arg.into_value(param));
        param.accept(&mut operand).map_err(called)?;
        operands.push(operand);
    }
    let value = (function.run)(run, &mut operands).map_err(|fault| match fault {
        Fault::Message(message) => called(message),
        Fault::Included(error) => Refusal::Included(error),
    })?;
    let mut budget = Budget::new(fuel);
    let value = values::to_jinja(&value, &mut budget).map_err(|fault| called(fault.to_owned()))?;
    Ok((value, budget.spent()))
}

/// Reads a file for `include`, `import` or `extends`; none if there is no such file.
fn read(run: &mut Run<'_>, sources: &mut Sources, path: &str) -> Result<Option<String>, String> {
    run.reads.add_file(&Text::from(path.to_owned()));
    let source = match run.context.files.read(path) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("include {path}: {error}")),
    };
    let text = checked(&source).map_err(|(_, message)| format!("include {path}: {message}"))?;
    sources.add(path, &text);
    Ok(Some(text))
}

/// The clean path below the directory of templates that a template names.
fn path(name: &str) -> Outcome<String> {
    inside(&Text::from(name.to_owned()))
}

/// The source as text, if it can be a template of Jinja; else where it cannot, and why.
fn checked(source: &[u8]) -> Result<String, (usize, String)> {
    if source.len() > SOURCE {
        let message = format!("template is too large: a Jinja file may have {SOURCE} bytes");
        return Err((SOURCE, message));
    }
    if let Some(at) = chains::too_long(source) {
        return Err((at, "expression has too many operators".to_owned()));
    }
    match str::from_utf8(source) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err((error.valid_up_to(), "template is not valid UTF-8".to_owned())),
    }
}

/// Where a word stands in the source; its beginning if nowhere.
fn place(source: &str, word: &str) -> usize {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let alone =
        |at: &usize| !source[..*at].ends_with(letter) && !source[*at + word.len()..].starts_with(letter);
    source.match_indices(word).map(|(at, _)| at).find(alone).unwrap_or(0)
}

fn no_thread(error: &io::Error) -> String {
    format!("cannot start a thread with {} MiB of stack for Jinja: {error}", STACK >> 20)
}

/// Runs `work` with as much stack as it can need.
fn on_own_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let thread = thread::Builder::new().stack_size(STACK).spawn(work)?;
    thread.join().map_or_else(|panicked| panic::resume_unwind(panicked), Ok)
}
