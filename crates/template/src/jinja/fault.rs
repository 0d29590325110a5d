//! Faults: minijinja's errors as ours, with file, line, column and the line itself.

use std::collections::HashMap;
use std::error::Error as _;

use minijinja::ErrorKind as Kind;

use super::worker::Refusal;
use super::{FUEL, MAIN};
use crate::Dialect;
use crate::dialect::{decrypts, not_defined, suggestion};
use crate::error::{Error, ErrorKind};
use crate::functions::functions;

/// The files of a render: what errors point into.
pub(super) struct Sources {
    main: String,
    texts: HashMap<String, String>, // by the environment's names
}

impl Sources {
    /// The main template alone.
    pub(super) fn only(name: &str, text: &str) -> Sources {
        Sources { main: name.to_owned(), texts: HashMap::from([(MAIN.to_owned(), text.to_owned())]) }
    }

    pub(super) fn add(&mut self, path: &str, text: &str) {
        self.texts.insert(path.to_owned(), text.to_owned());
    }

    /// A failure of the whole, at the beginning of the main template.
    pub(super) fn failure(&self, message: String) -> Error {
        Error::new(ErrorKind::Exec, &self.main, self.texts[MAIN].as_bytes(), 0, message)
    }

    /// The error for minijinja's. An error of an included file has that of the including one around it.
    pub(super) fn error(&self, kind: ErrorKind, error: &minijinja::Error) -> Error {
        let mut around = Vec::new();
        let mut inner = error;
        while let Some(next) = inner.source().and_then(|source| source.downcast_ref()) {
            around.push(inner);
            inner = next;
        }
        let (file, text, at) = self.place(inner);
        let mut result = match inner.source().and_then(refusal) {
            Some(Refusal::Included(error)) => error.clone().included_from(file, text.as_bytes(), at),
            Some(Refusal::Message(message)) => Error::new(kind, file, text.as_bytes(), at, message.clone()),
            None => Error::new(kind, file, text.as_bytes(), at, message(inner)),
        };
        for outer in around.into_iter().rev() {
            let (file, text, at) = self.place(outer);
            result = result.included_from(file, text.as_bytes(), at);
        }
        result
    }

    /// Where an error is: the file's name, its text, and the byte.
    fn place(&self, error: &minijinja::Error) -> (&str, &str, usize) {
        let key = error.name().unwrap_or(MAIN);
        let (key, text) = self.texts.get_key_value(key).unwrap_or_else(|| {
            self.texts.get_key_value(MAIN).expect("the main template is there from the beginning")
        });
        let file = if key == MAIN { &self.main } else { key };
        let line = error.line().unwrap_or(1).saturating_sub(1);
        let start = || text.split_inclusive('\n').take(line).map(str::len).sum();
        (file, text, error.range().map_or_else(start, |range| range.start))
    }
}

/// Our own reason, directly or within an error of writing.
fn refusal<'a>(source: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refusal> {
    let inner = source.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
    source.downcast_ref().or_else(|| inner?.downcast_ref())
}

/// minijinja's reason in one line. It shows operands of arithmetic, which may be a key's value: those go.
fn message(error: &minijinja::Error) -> String {
    let detail = error.detail().unwrap_or_default();
    let unknown = |what: &str, ours: bool| {
        let name =
            detail.strip_suffix(" is unknown").unwrap_or(detail).rsplit(' ').next().unwrap_or_default();
        let known = functions().map(|(known, _)| known);
        match ours {
            true if decrypts(name) => not_defined(name, Dialect::default()),
            true => format!("{what} {name:?} not defined{}", suggestion(name, known)),
            false => format!("{what} {name:?} not defined"),
        }
    };
    match error.kind() {
        Kind::OutOfFuel => format!("too many steps: a Jinja template may take {FUEL}, and 64 bytes for each"),
        Kind::UnknownFunction => unknown("function", true),
        Kind::UnknownFilter => unknown("filter", true),
        Kind::UnknownTest => unknown("test", false),
        _ if detail.starts_with("unable to calculate") => "unable to calculate: out of range".to_owned(),
        Kind::SyntaxError | Kind::InvalidOperation if !detail.is_empty() => detail.to_owned(),
        kind if detail.is_empty() => kind.to_string(),
        kind => format!("{kind}: {detail}"),
    }
}
