//! Local: functions that need nothing but their arguments run on the worker's own thread.
//!
//! Which do so, they show: each is tried with keys, files and a world that only tell that they were asked. A
//! function that asks goes to the render, from then on without the attempt.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;

use bytes::Bytes;
use minijinja::Value;

use super::call;
use super::values::Plain;
use super::worker::Refusal;
use crate::eval::Run;
use crate::functions::Function;
use crate::regex::Regexes;
use crate::{Context, Dialect, Files, Limits, Moment, Name, Names, Server, Text, World};

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static ASKING: RefCell<HashSet<&'static str>> = RefCell::default();
    static REGEXES: RefCell<Regexes> = RefCell::default();
}

/// Calls a function as the render would; none if it needs the render.
pub(super) fn attempt(
    function: &'static Function,
    args: &[Plain],
    fuel: u64,
    limits: Limits,
) -> Option<Result<(Value, u64), Refusal>> {
    if ASKING.with_borrow(|asking| asking.contains(function.name)) {
        return None;
    }
    ASKED.set(false);
    let context = Context { names: &Nothing, files: &Nothing, world: &Nothing, limits };
    let mut run = Run::new(&context, Dialect::default());
    run.regexes = REGEXES.take();
    let result = call(&mut run, function, args.to_vec(), fuel);
    REGEXES.set(run.regexes);
    if !ASKED.get() {
        return Some(result);
    }
    ASKING.with_borrow_mut(|asking| asking.insert(function.name));
    None
}

/// Keys, files and a world that nothing is known of.
struct Nothing;

impl Names for Nothing {
    fn get(&self, _: &[u8]) -> Option<Text> {
        ASKED.set(true);
        None
    }

    fn scan(&self, _: &[u8], _: &[u8], _: &mut dyn FnMut(Name<'_>, &Bytes) -> ControlFlow<()>) {
        ASKED.set(true);
    }
}

impl Files for Nothing {
    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        ASKED.set(true);
        Err(io::ErrorKind::NotFound.into())
    }
}

impl World for Nothing {
    fn variable(&self, _: &[u8]) -> Option<Vec<u8>> {
        ASKED.set(true);
        None
    }

    fn hostname(&self) -> io::Result<String> {
        ASKED.set(true);
        Ok(String::new())
    }

    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        ASKED.set(true);
        Vec::new()
    }

    fn servers(&self, _: &str, _: &str, _: &str) -> Vec<Server> {
        ASKED.set(true);
        Vec::new()
    }

    fn interface(&self, _: &str) -> Vec<IpAddr> {
        ASKED.set(true);
        Vec::new()
    }

    fn now(&self) -> Moment {
        ASKED.set(true);
        Moment { unix_nanoseconds: 0, offset_seconds: 0, zone: String::new() }
    }

    fn file_exists(&self, _: &[u8]) -> bool {
        ASKED.set(true);
        false
    }
}
