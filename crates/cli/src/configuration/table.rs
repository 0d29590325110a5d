//! A TOML table whose keys are taken out one by one; what is wrong is collected, with its place.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::DeValue;
use toml::{Spanned, de::DeTable};

/// Something that is wrong in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Bytes of the file.
    span: Range<usize>,
    message: String,
    kind: Fault,
}

/// How grave a problem is to confd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It does not look at such a key.
    UnknownKey,
    /// The file cannot be read: no TOML, a value of another type, no `src`.
    Load,
    /// The file can be read, and its resource fails.
    Resource,
}

impl Problem {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { span, message: message.into(), kind: Fault::Resource }
    }

    fn load(span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { kind: Fault::Load, ..Problem::new(span, message) }
    }

    /// What a TOML parser has to say.
    pub(crate) fn syntax(error: &toml::de::Error) -> Problem {
        Problem::load(error.span().unwrap_or_default(), error.message().trim_end().replace('\n', ", "))
    }

    /// True if it is about a key that nobody asked for.
    pub(super) fn is_unknown_key(&self) -> bool {
        self.kind == Fault::UnknownKey
    }

    /// True if confd cannot load the file because of it.
    pub(super) fn is_load_error(&self) -> bool {
        self.kind == Fault::Load
    }

    /// `file:line:column: message`, the line, and a caret; columns are counted in characters, from 1.
    pub(crate) fn describe(&self, file: &str, source: &str) -> String {
        let Place { line, column, text, before } = self.find(source);
        let margin = " ".repeat(line.to_string().len());
        let indent: String = before.chars().map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
        let text = without_secrets(text);
        format!("{file}:{line}:{column}: {}\n{margin} |\n{line} | {text}\n{margin} | {indent}^", self.message)
    }

    /// `file:line:column`.
    pub(crate) fn place(&self, file: &str, source: &str) -> String {
        let Place { line, column, .. } = self.find(source);
        format!("{file}:{line}:{column}")
    }

    fn find<'a>(&self, source: &'a str) -> Place<'a> {
        let at = self.span.start.min(source.len());
        let before = source.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[start..].chars().count() + 1;
        let text = source[start..].lines().next().unwrap_or_default();
        Place { line, column, text, before: &before[start..] }
    }
}

/// The line up to the value of what may be a password or a token: errors are logged.
fn without_secrets(line: &str) -> Cow<'_, str> {
    let lower = line.to_ascii_lowercase();
    let words = ["passw", "secret", "token", "credential"].iter();
    let Some(word) = words.filter_map(|word| lower.find(word)).min() else { return line.into() };
    match lower[word..].find('=') {
        Some(equals) => format!("{}= …", &line[..word + equals]).into(),
        None => line.into(),
    }
}

/// Where a problem is: line and column from 1, the line, and what of it is before.
struct Place<'a> {
    line: usize,
    column: usize,
    text: &'a str,
    before: &'a str,
}

/// A table that is being read.
pub(super) struct Table<'a> {
    name: &'static str,
    span: Range<usize>,
    left: DeTable<'a>,
    /// Whether a key may be spelled with capitals.
    in_any_case: bool,
    /// The keys that were asked for, for suggestions.
    known: Vec<&'static str>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Table<'a> {
    /// All of `source`.
    pub(super) fn root(source: &'a str) -> Result<Table<'a>, Vec<Problem>> {
        let (document, errors) = DeTable::parse_recoverable(source);
        if !errors.is_empty() {
            return Err(errors.iter().map(Problem::syntax).collect());
        }
        Ok(Table::new("the file", document))
    }

    fn new(name: &'static str, table: Spanned<DeTable<'a>>) -> Table<'a> {
        let span = table.span();
        let left = table.into_inner();
        Table { name, span, left, in_any_case: false, known: Vec::new(), problems: Vec::new() }
    }

    /// The same, and all tables in it, with keys that may be spelled with capitals if `is_so`: Go's TOML decoders
    /// compare names without regard to case.
    pub(super) fn in_any_case(self, is_so: bool) -> Table<'a> {
        Table { in_any_case: is_so, ..self }
    }

    /// A table in this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Table<'a>> {
        self.known.push(key);
        let value = self.take(key)?;
        self.as_table(key, value)
    }

    /// True if the key is there, and not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.spelled(key).is_some()
    }

    /// Where the value of a key is that is not taken yet.
    pub(super) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        let name = self.spelled(key)?;
        self.left.get(&*name).map(Spanned::span)
    }

    /// Takes a key that has no place beside another one; `why` is told if it is there.
    pub(super) fn refuse(&mut self, key: &'static str, why: &str) {
        if let Some(value) = self.take(key) {
            self.problem(value.span(), why);
        }
    }

    /// A key that could be there is suggested to those who misspell it.
    pub(super) fn known(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Tables in this one: `[[key]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table<'a>> {
        self.known.push(key);
        let Some(value) = self.take(key) else { return Vec::new() };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(values) => {
                values.into_iter().filter_map(|value| self.as_table(key, value)).collect()
            }
            _ => {
                self.problem(span, format!("`{key}` must be tables, each under [[...{key}]]"));
                Vec::new()
            }
        }
    }

    fn as_table(&mut self, key: &'static str, value: Spanned<DeValue<'a>>) -> Option<Table<'a>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                Some(Table::new(key, Spanned::new(span, table)).in_any_case(self.in_any_case))
            }
            _ => {
                self.load_problem(span, format!("`{key}` must be a table"));
                None
            }
        }
    }

    /// Ends a table of this one: what is wrong with it is wrong with this.
    pub(super) fn end(&mut self, mut table: Table<'a>) {
        table.finish();
        self.problems.append(&mut table.problems);
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Where the table is.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.typed(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A string that says something: an empty one is as good as none, as it is to Go.
    pub(super) fn given(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.string(key).filter(|text| !text.get_ref().is_empty())
    }

    pub(super) fn required(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.needed(key, Fault::Load)
    }

    /// Like [`Table::required`], but confd can load a file without it.
    pub(super) fn required_later(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.needed(key, Fault::Resource)
    }

    fn needed(&mut self, key: &'static str, kind: Fault) -> Option<Spanned<String>> {
        let is_there = self.spelled(key).is_some();
        let value = self.string(key);
        match &value {
            None if !is_there => {
                let problem = Problem::new(self.span.clone(), format!("`{key}` is missing"));
                self.problems.push(Problem { kind, ..problem });
            }
            Some(text) if text.get_ref().is_empty() => {
                let problem = Problem::new(text.span(), format!("`{key}` cannot be empty"));
                self.problems.push(Problem { kind, ..problem });
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

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool).map(Spanned::into_inner)
    }

    /// A text or a whole number, as text.
    pub(super) fn text_or_number(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.typed(key, "a whole number or a string", |value| match value {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Integer(number) => {
                Some(i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
            }
            _ => None,
        })
    }

    /// One string, or a list of them, each with its place.
    pub(super) fn one_or_more(&mut self, key: &'static str) -> Vec<Spanned<String>> {
        let texts = self.typed(key, "a string or a list of strings", |value| match value {
            DeValue::String(text) => Some(vec![(text.clone().into_owned(), None)]),
            DeValue::Array(values) => values
                .iter()
                .map(|value| Some((value.get_ref().as_str()?.to_owned(), Some(value.span()))))
                .collect::<Option<Vec<_>>>(),
            _ => None,
        });
        let Some(texts) = texts else { return Vec::new() };
        let whole = texts.span();
        let place = |(text, span): (String, Option<Range<usize>>)| {
            Spanned::new(span.unwrap_or_else(|| whole.clone()), text)
        };
        texts.into_inner().into_iter().map(place).collect()
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Option<Spanned<i64>> {
        self.typed(key, "a whole number", |value| {
            let number = value.as_integer()?;
            i64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    /// A problem because of which confd cannot load the file.
    pub(super) fn load_problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::load(span, message));
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
            let unknown = Problem::new(key.span(), format!("unknown key `{name}`{hint}"));
            self.problems.push(Problem { kind: Fault::UnknownKey, ..unknown });
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
            let message = format!("`{key}` must be {wanted}, not {is}");
            self.problems.push(Problem::load(value.span(), message));
        }
        Some(Spanned::new(value.span(), converted?))
    }

    /// The key as the file spells it; none if it has no such key.
    fn spelled(&self, key: &str) -> Option<String> {
        if self.left.contains_key(key) {
            return Some(key.to_owned());
        }
        let mut names = self.left.keys().map(|name| &**name.get_ref());
        names.find(|name| self.in_any_case && name.eq_ignore_ascii_case(key)).map(str::to_owned)
    }

    fn take(&mut self, key: &str) -> Option<Spanned<DeValue<'a>>> {
        let name = self.spelled(key)?;
        self.left.remove(&*name)
    }
}

impl std::fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_what_may_be_a_secret() {
        for (line, shown) in [
            ("passwd = \"hunter2\"", "passwd = …"),
            ("backend = { password = \"hunter2\", nods = [] }", "backend = { password = …"),
            ("mode = \"rw\"", "mode = \"rw\""),
            ("[token]", "[token]"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }
}
