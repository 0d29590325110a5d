//! Errors: what went wrong, in which file, at which line and column.
//!
//! A message names keys, types and files, never a key's value: a value may be a secret. The snippet
//! shows the template's own source line, which is no secret, with a caret under the column.

use std::fmt;

use crate::Reads;

/// When a template failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The file is not a template; no data can make it render.
    Parse,
    /// It failed on these keys and these surroundings; with others it may render.
    Exec,
}

/// Why a template did not parse or did not render.
///
/// `Display` is one line, `file:line:column: message`; [`Error::snippet`] adds the source line.
#[derive(Clone, Debug)]
pub struct Error(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    kind: ErrorKind,
    place: Place,
    message: String,
    included_from: Vec<Place>, // innermost first
    reads: Reads,
}

/// A position in a template file, with the line it is on.
#[derive(Clone, Debug)]
struct Place {
    file: String,
    line: usize,
    column: usize,
    source_line: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, file: &str, source: &[u8], at: usize, message: String) -> Error {
        let place = Place::find(file, source, at);
        Error(Box::new(Details { kind, place, message, included_from: Vec::new(), reads: Reads::default() }))
    }

    /// The same failure seen from the file that included the failing one: an execution error there.
    pub(crate) fn included_from(mut self, file: &str, source: &[u8], at: usize) -> Error {
        self.0.kind = ErrorKind::Exec;
        self.0.included_from.push(Place::find(file, source, at));
        self
    }

    pub(crate) fn with_reads(mut self, reads: Reads) -> Error {
        self.0.reads = reads;
        self
    }

    /// Whether the file is no template, or failed on what it was given.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The name of the file that holds the fault: the template's own, or an included one.
    pub fn file(&self) -> &str {
        &self.0.place.file
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.0.place.line
    }

    /// The column, from 1, in characters.
    pub fn column(&self) -> usize {
        self.0.place.column
    }

    /// What went wrong, without the position.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the failed render had looked at: when one of these changes it may be worth another try.
    /// Empty for a parse error.
    pub fn reads(&self) -> &Reads {
        &self.0.reads
    }

    /// The error on several lines: position, message, source line, caret, and where the file was
    /// included from.
    pub fn snippet(&self) -> String {
        let Place { line, column, source_line, .. } = &self.0.place;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let indent: String =
            source_line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let mut text = format!(
            "{}: {}\n{margin} |\n{number} | {source_line}\n{margin} | {indent}^\n",
            self.0.place, self.0.message
        );
        for place in &self.0.included_from {
            text.push_str(&format!("{margin} = included from {place}\n"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.place, self.0.message)?;
        for place in &self.0.included_from {
            write!(f, " (included from {place})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl Place {
    fn find(file: &str, source: &[u8], at: usize) -> Place {
        let at = at.min(source.len());
        let start = source[..at].iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        let end = source[at..].iter().position(|&b| b == b'\n').map_or(source.len(), |length| at + length);
        Place {
            file: file.to_owned(),
            line: 1 + source[..at].iter().filter(|&&b| b == b'\n').count(),
            column: 1 + crate::unicode::count(&source[start..at]),
            source_line: String::from_utf8_lossy(&source[start..end]).trim_end_matches('\r').to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why a function or an operation failed, before it is known where in the template that was.
#[derive(Debug)]
pub(crate) enum Fault {
    /// In Go's words where they reveal no value.
    Message(String),
    /// In an included file, at a place of its own.
    Included(Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Message(message) => f.write_str(message),
            Fault::Included(error) => error.fmt(f),
        }
    }
}

pub(crate) type Outcome<T> = Result<T, Fault>;

/// Shorthand for a fault with a message.
pub(crate) fn fault<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Fault::Message(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snippet_points_at_the_column() {
        let source = "first\n\tkéy {{getv \"/none\"}}\n".as_bytes();
        let error = Error::new(ErrorKind::Exec, "a.tmpl", source, 14, "key does not exist: /none".into());
        assert_eq!((error.line(), error.column()), (2, 8));
        assert_eq!(error.to_string(), "a.tmpl:2:8: key does not exist: /none");
        assert_eq!(
            error.snippet(),
            "a.tmpl:2:8: key does not exist: /none\n  |\n2 | \tkéy {{getv \"/none\"}}\n  | \t      ^\n"
        );
    }

    #[test]
    fn an_error_in_an_included_file_names_both_places() {
        let error = Error::new(ErrorKind::Parse, "x.tmpl", b"{{if}}", 5, "missing value for if".into())
            .included_from("main.tmpl", b"{{include \"x.tmpl\"}}", 2);
        assert_eq!(error.kind(), ErrorKind::Exec);
        assert_eq!(error.to_string(), "x.tmpl:1:6: missing value for if (included from main.tmpl:1:3)");
    }
}
