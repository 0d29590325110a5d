//! Hostile input for what reads untrusted bytes, and what must never happen then.
//!
//! A target is a function that takes any bytes and panics if something happened that must not; what it promises
//! is in its docstring. `cargo xtask fuzz` makes inputs with libFuzzer, which looks for such that reach new
//! code. What it finds is kept in `regressions/TARGET/`, and `tests/regressions.rs` feeds it to the target from
//! then on.
//!
//! A target's binary in `src/bin` is libFuzzer's under `--cfg fuzzing`; else it takes the files that are named on
//! its command line, as a debugger likes it.

mod bounded;
mod input;
mod template;

use std::process::ExitCode;
use std::{env, fs};

pub use template::{jinja, parse, render};

/// What is to hold for all bytes.
pub type Target = fn(&[u8]);

/// All targets, with the names of their binaries.
pub const TARGETS: &[(&str, Target)] = &[("parse", parse), ("render", render), ("jinja", jinja)];

/// Feeds the files named on the command line to `target`.
pub fn replay(target: Target) -> ExitCode {
    for path in env::args_os().skip(1) {
        match fs::read(&path) {
            Ok(input) => target(&input),
            Err(why) => {
                eprintln!("cannot read {}: {why}", path.display());
                return ExitCode::FAILURE;
            }
        }
        println!("{}: nothing happened", path.display());
    }
    ExitCode::SUCCESS
}
