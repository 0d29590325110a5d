//! Include: renders another file of the directory of templates to a string.
//!
//! An included file has templates and variables of its own. Files are included at most ten deep, and no
//! file within itself; the main file does not count.

use std::rc::Rc;

use crate::Text;
use crate::code::Program;
use crate::error::{Fault, Outcome, fault};
use crate::eval::{Run, execute};
use crate::functions::text;
use crate::parser::{self, Library};
use crate::path;
use crate::value::{Operand, Value};

/// confd's bound.
const MAX_DEPTH: usize = 10;

/// `include name data`; further arguments are ignored.
pub(crate) fn include(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let path = inside(text(&args[0]))?;
    if run.including.contains(&path) {
        return fault(format!("include cycle detected: {path} is already being processed"));
    }
    if run.including.len() >= MAX_DEPTH {
        return fault(format!("maximum include depth ({MAX_DEPTH}) exceeded"));
    }
    let program = program(run, &path)?;
    let data = args.get_mut(1).map(|operand| std::mem::take(&mut operand.value)).unwrap_or_default();
    run.including.push(path);
    let rendered = execute(run, &program, data);
    run.including.pop();
    rendered.map(|bytes| Value::Text(Text::from(bytes))).map_err(Fault::Included)
}

/// The clean relative path that `name` means, if it stays inside the directory.
pub(crate) fn inside(name: &Text) -> Outcome<String> {
    let start = name.iter().take_while(|b| **b == b'/').count();
    let clean = path::clean(&name[start..]);
    match String::from_utf8(clean) {
        Ok(path) if path != "." && path != ".." && !path.starts_with("../") => Ok(path),
        Ok(path) => fault(format!("include path {path:?} is outside template directory")),
        Err(_) => fault("include path is not valid UTF-8"),
    }
}

fn program(run: &mut Run<'_>, path: &str) -> Outcome<Rc<Program>> {
    run.reads.add_file(&Text::from(path.to_owned()));
    if let Some(known) = run.included.get(path) {
        return Ok(Rc::clone(known));
    }
    let source = match run.context.files.read(path) {
        Ok(source) => Text::from(source),
        Err(error) => return fault(format!("include {path}: {error}")),
    };
    let base = path.rsplit('/').next().unwrap_or(path);
    let program = Rc::new(parser::parse(base, source, Library::Confd(run.dialect)).map_err(Fault::Included)?);
    run.included.insert(path.to_owned(), Rc::clone(&program));
    Ok(program)
}
