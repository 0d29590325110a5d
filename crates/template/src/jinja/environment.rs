//! The environment: minijinja's settings, and our functions under their names.
//!
//! Where minijinja has a function or filter of the same name, that one stays: `dict`, and filters such as
//! `join`, `replace`, `default`, `first`. As a filter, a function takes the piped value where what is worked
//! on belongs: `host | trimSuffix(".")`, `text | nindent(4)`.

use std::borrow::Cow;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, escape_formatter};

use super::worker::{call, load, refused};
use crate::functions::{Function, all};

/// Go's operators, which Jinja has as operators and tests; `call` never finds anything to call.
const OPERATORS: [&str; 10] = ["and", "call", "eq", "ge", "gt", "le", "lt", "ne", "not", "or"];

/// What a template of ours runs in, without the template.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(write);
    // An error would hold the template's variables: values, which go deeper than the render's own stack.
    environment.set_debug(false);
    // Both print indented, which for a value that is nested deeply takes longer than anybody waits.
    environment.remove_global("debug");
    environment.remove_filter("pprint");
    environment.set_path_join_callback(|name, _| match super::path(name) {
        Ok(path) => Cow::Owned(path),
        // Refused with a reason when it is looked for.
        Err(_) => Cow::Borrowed(name),
    });
    environment.set_loader(load);
    for function in all().filter(|function| !OPERATORS.contains(&function.name)) {
        add(&mut environment, function);
    }
    environment
}

fn add(environment: &mut Environment<'static>, function: &'static Function) {
    let name = function.name;
    if !environment.globals().any(|(known, _)| known == name) {
        environment.add_function(name, move |state: &mut State<'_, '_>, args: Rest<Value>| {
            call(state, function, &args)
        });
    }
    if !has_filter(environment, name) {
        let place = subject(name);
        environment.add_filter(name, move |state: &mut State<'_, '_>, mut args: Rest<Value>| {
            let last = args.len().saturating_sub(1);
            args[..=place.min(last)].rotate_left(1);
            call(state, function, &args)
        });
    }
}

pub(super) fn has_filter(environment: &Environment<'_>, name: &str) -> bool {
    let tried = environment.empty_state().apply_filter(name, &[]);
    !tried.is_err_and(|error| error.kind() == ErrorKind::UnknownFilter)
}

/// Which argument of a function is worked on: the first, but for those that were made for Go's pipes, which
/// hand over the last one.
pub(super) fn subject(name: &str) -> usize {
    match name {
        "indent" | "nindent" | "repeat" | "regexMatch" | "regexFind" | "regexReplaceAll" | "pluck"
        | "default" | "printf" | "sortBy" | "groupBy" | "containsAll" | "containsAny" | "containsNone"
        | "containsNotAll" | "divide" | "modulo" | "subtract" | "trim" => 1,
        "ternary" | "splitToMap" => 2,
        _ => 0,
    }
}

/// Prints a value as minijinja does; output is text, so bytes that are none cannot be printed.
fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    if value.kind() == ValueKind::Bytes && value.as_str().is_none() {
        return Err(refused("value is not valid UTF-8, and Jinja writes only text"));
    }
    escape_formatter(out, state, value)
}
