//! `confd.toml`: the flags under their names, with `_` for `-`. A key that is none is told, as an oddity.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::flags;
use super::layers::{Layer, Value};
use crate::configuration::{Invalid, Problem};

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) layer: Layer,
    /// Keys that nobody knows, each with its place.
    pub(super) oddities: Vec<String>,
}

/// Reads the file; one that is not there says nothing.
///
/// # Errors
///
/// [`Invalid`], with everything that is wrong.
pub(super) fn read(path: &Path) -> Result<File, Invalid> {
    let shown = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(source) => parse(&shown, &source),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(Invalid(vec![format!("{shown}: {error}")])),
    }
}

fn parse(shown: &str, source: &str) -> Result<File, Invalid> {
    let describe = |problem: Problem| problem.describe(shown, source);
    let (document, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        return Err(Invalid(errors.iter().map(|error| describe(Problem::syntax(error))).collect()));
    }
    let (mut given, mut file, mut problems) = (BTreeMap::new(), File::default(), Vec::new());
    for (key, value) in document.into_inner() {
        let name = key.get_ref();
        let Some(flag) = flags::of_key(name) else {
            file.oddities.push(describe(Problem::new(key.span(), format!("unknown key `{name}`"))));
            continue;
        };
        let place = Problem::new(value.span(), "").place(shown, source);
        match texts(&value) {
            Some(texts) => {
                let value = |text| Value { text, origin: format!("{place}: `{name}`") };
                given.insert(flag.name, texts.into_iter().map(value).collect());
            }
            None => {
                let is = value.get_ref().type_str();
                let message = format!("`{name}` cannot be a {is}");
                problems.push(describe(Problem::new(value.span(), message)));
            }
        }
    }
    file.layer = Layer::new(given);
    if problems.is_empty() { Ok(file) } else { Err(Invalid(problems)) }
}

/// The value as the command line would have it; one or, for a list, several.
fn texts(value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Integer(number) => {
            Some(i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        _ => None,
    };
    match value.get_ref() {
        DeValue::Array(values) => values.iter().map(|value| one(value.get_ref())).collect(),
        single => Some(vec![one(single)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_command_line_would_have_them() {
        let source = "interval = 60\nwatch = true\nnodes = [\"a:1\", \"b:1\"]\nprefix = \"/x\"\nlog-level = \"debug\"\n";
        let file = parse("confd.toml", source).unwrap();
        let texts = |name: &str| file.layer.all(name).iter().map(|value| &*value.text).collect::<Vec<_>>();
        assert_eq!((texts("interval"), texts("watch")), (vec!["60"], vec!["true"]));
        assert_eq!((texts("node"), texts("log-level")), (vec!["a:1", "b:1"], vec!["debug"]));
        assert_eq!(file.layer.all("watch")[0].origin, "confd.toml:2:9: `watch`");
    }

    #[test]
    fn what_is_unknown_is_odd_and_what_makes_no_sense_is_an_error() {
        let file = parse("c", "unheard_of = 1\n").unwrap();
        assert!(file.oddities[0].starts_with("c:1:1: unknown key `unheard_of`"), "{:?}", file.oddities);
        let error = parse("c", "nodes = { a = 1 }\nprefix = 1.5\n").unwrap_err().to_string();
        assert!(error.contains("c:1:9: `nodes` cannot be a table"), "{error}");
        assert!(error.contains("c:2:10: `prefix` cannot be a float"), "{error}");
        assert!(parse("c", "nodes = [\n").is_err());
    }
}
