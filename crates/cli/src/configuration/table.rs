//! A TOML table whose keys are taken out one by one; what is wrong is collected, with its place.

use std::ops::Range;

use toml::de::DeValue;
use toml::{Spanned, de::DeTable};

/// Something that is wrong in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Bytes of the file.
    span: Range<usize>,
    message: String,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { span, message: message.into() }
    }

    /// `file:line:column: message`, the line, and a caret; columns are counted in characters, from 1.
    pub(super) fn describe(&self, file: &str, source: &str) -> String {
        let at = self.span.start.min(source.len());
        let before = source.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[start..].chars().count() + 1;
        let text = source[start..].lines().next().unwrap_or_default();
        let margin = " ".repeat(line.to_string().len());
        let indent: String =
            before[start..].chars().map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
        format!("{file}:{line}:{column}: {}\n{margin} |\n{line} | {text}\n{margin} | {indent}^", self.message)
    }
}

/// A table that is being read.
pub(super) struct Table<'a> {
    name: &'a str,
    span: Range<usize>,
    left: DeTable<'a>,
    /// The keys that were asked for, for suggestions.
    known: Vec<&'static str>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Table<'a> {
    /// The table `name` of `source`, the only one that it may have.
    pub(super) fn only(name: &'a str, source: &'a str) -> Result<Table<'a>, Vec<Problem>> {
        let syntax = |error: &toml::de::Error| {
            Problem::new(error.span().unwrap_or_default(), error.message().trim_end().replace('\n', ", "))
        };
        let (document, errors) = DeTable::parse_recoverable(source);
        if !errors.is_empty() {
            return Err(errors.iter().map(syntax).collect());
        }
        let mut root = Table::new("the file", document);
        let table = root.take(name).map(|value| {
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) => Ok(Spanned::new(span, table)),
                _ => Err(vec![Problem::new(span, format!("`{name}` must be a table"))]),
            }
        });
        root.finish();
        match table {
            Some(Ok(table)) if root.problems.is_empty() => Ok(Table::new(name, table)),
            Some(Ok(_)) => Err(root.problems),
            Some(Err(problems)) => Err(problems),
            None => {
                root.problems.push(Problem::new(0..0, format!("there is no [{name}] table")));
                Err(root.problems)
            }
        }
    }

    fn new(name: &'a str, table: Spanned<DeTable<'a>>) -> Table<'a> {
        let span = table.span();
        Table { name, span, left: table.into_inner(), known: Vec::new(), problems: Vec::new() }
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.typed(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn required(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let is_there = self.left.contains_key(key);
        let value = self.string(key);
        match &value {
            None if !is_there => self.problem(self.span.clone(), format!("`{key}` is missing")),
            Some(text) if text.get_ref().is_empty() => {
                self.problem(text.span(), format!("`{key}` cannot be empty"));
            }
            _ => {}
        }
        value
    }

    pub(super) fn strings(&mut self, key: &'static str) -> Vec<String> {
        let strings = self.typed(key, "a list of strings", |value| {
            let texts = value.as_array()?.iter();
            texts.map(|text| text.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        strings.map(Spanned::into_inner).unwrap_or_default()
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Option<Spanned<i64>> {
        self.typed(key, "a whole number", |value| {
            let number = value.as_integer()?;
            i64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    pub(super) fn problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::new(span, message));
    }

    /// Names the keys that nobody asked for.
    pub(super) fn finish(&mut self) {
        for (key, _) in std::mem::take(&mut self.left) {
            let name = key.get_ref();
            let near = |known: &&&str| strsim::damerau_levenshtein(name, known) <= 1 + name.len() / 4;
            let nearest = self.known.iter().filter(near);
            let nearest = nearest.min_by_key(|known| strsim::damerau_levenshtein(name, known));
            let hint = nearest.map_or_else(String::new, |known| format!("; is `{known}` meant?"));
            self.problems.push(Problem::new(key.span(), format!("unknown key `{name}`{hint}")));
        }
        self.problems.sort_by_key(|problem| problem.span.start);
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        convert: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Option<Spanned<T>> {
        self.known.push(key);
        let value = self.take(key)?;
        let converted = convert(value.get_ref());
        if converted.is_none() {
            let is = value.get_ref().type_str();
            self.problem(value.span(), format!("`{key}` must be {wanted}, not {is}"));
        }
        Some(Spanned::new(value.span(), converted?))
    }

    fn take(&mut self, key: &str) -> Option<Spanned<DeValue<'a>>> {
        self.left.remove(key)
    }
}

impl std::fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({})", self.name)
    }
}
