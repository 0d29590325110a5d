//! confd's command lines: the old one is one flat set of flags, the new one names a backend among them.
//!
//! Both are read alike: one dash or two, `--flag VALUE` or `--flag=VALUE`, a switch alone or with `=true` or
//! `=false`, in any order. Whose it is tells the word without a dash, if there is one.

use std::collections::BTreeMap;

use super::flags::{self, Flag, Takes};
use super::{Generation, layers::Layer, layers::Value};

/// What a command line says.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) generation: Generation,
    pub(super) layer: Layer,
    /// Neither works: the help is wanted.
    pub(super) wants_help: bool,
}

/// The names that the new generation has for backends.
const BACKENDS: [&str; 12] = [
    "consul",
    "etcd",
    "vault",
    "redis",
    "zookeeper",
    "dynamodb",
    "ssm",
    "acm",
    "secretsmanager",
    "imds",
    "env",
    "file",
];

/// True if one of the words is a backend's name, as in the new generation's command lines: the old one has it as the
/// value of a flag.
pub(super) fn name_a_backend(words: &[String]) -> bool {
    let before = std::iter::once("").chain(words.iter().map(|word| &**word));
    let mut pairs = before.zip(words);
    pairs.any(|(before, word)| BACKENDS.contains(&&**word) && before.trim_start_matches('-') != "backend")
}

/// Reads the words after the program's name.
///
/// # Errors
///
/// One line on the first word that makes no sense.
pub(super) fn parse(words: &[String]) -> Result<Words, String> {
    let mut given: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    let mut backend = None;
    let mut wants_help = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match dashed(word) {
            None if word == "help" => wants_help = true,
            None if backend.is_none() && BACKENDS.contains(&&**word) => backend = Some(word.clone()),
            None => return Err(stray(word, backend.as_deref())),
            Some("h" | "help") => wants_help = true,
            Some(rest) => {
                let (name, value) = match rest.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (rest, None),
                };
                let (flag, text) = flag(name, value, || words.next().cloned())?;
                let values = given.entry(flag.name).or_default();
                if !matches!(flag.takes, Takes::Many(_)) {
                    values.clear();
                }
                // A comma is in no node's name: it stands between two of them.
                let texts = if flag.name == "node" { text.split(',').collect() } else { vec![&*text] };
                let value = |text: &str| Value { text: text.to_owned(), origin: format!("--{}", flag.name) };
                values.extend(texts.into_iter().map(value));
            }
        }
    }
    let generation = generation(&given, backend.is_some())?;
    if let Some(text) = backend {
        given.insert("backend", vec![Value { text, origin: "the backend".to_owned() }]);
    }
    Ok(Words { generation, layer: Layer::new(given), wants_help })
}

/// The word without its dashes; none if it has none.
fn dashed(word: &str) -> Option<&str> {
    let rest = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    (!rest.is_empty()).then_some(rest)
}

fn stray(word: &str, backend: Option<&str>) -> String {
    match backend {
        Some(backend) => format!("`{word}`: there is a backend already, {backend}"),
        None => format!("`{word}` is neither a flag nor a backend; backends are {}", BACKENDS.join(", ")),
    }
}

/// The flag of that name, and its value as a text.
fn flag(
    name: &str,
    value: Option<String>,
    next: impl FnOnce() -> Option<String>,
) -> Result<(&'static Flag, String), String> {
    let full = if name == "n" { "node" } else { name };
    if let Some(flag) = flags::find(full) {
        let text = match (flag.takes, value) {
            (Takes::Nothing, None) => "true".to_owned(),
            (_, Some(value)) => value,
            (Takes::One(what) | Takes::Many(what), None) => {
                next().ok_or_else(|| format!("--{full} needs a value: --{full} {what}"))?
            }
        };
        return Ok((flag, text));
    }
    // Go's flags have no such form; the new generation has it for its switches.
    let switch = full.strip_prefix("no-").and_then(flags::find).filter(|flag| flag.takes == Takes::Nothing);
    match (switch, value) {
        (Some(flag), None) => Ok((flag, "false".to_owned())),
        _ => Err(unknown(full)),
    }
}

fn unknown(name: &str) -> String {
    let near = |flag: &&Flag| strsim::damerau_levenshtein(name, flag.name) <= 1 + name.len() / 4;
    let nearest = flags::FLAGS.iter().filter(near);
    let nearest = nearest.min_by_key(|flag| strsim::damerau_levenshtein(name, flag.name));
    let hint = nearest.map_or_else(String::new, |flag| format!("; is --{} meant?", flag.name));
    format!("there is no flag --{name}{hint}")
}

fn generation(given: &BTreeMap<&str, Vec<Value>>, names_a_backend: bool) -> Result<Generation, String> {
    match given.get("compat").and_then(|values| values.last()).map(|value| &*value.text) {
        Some("0.16") => Ok(Generation::Old),
        Some("0.41") => Ok(Generation::New),
        Some(other) => Err(format!("--compat must be 0.16 or 0.41, not `{other}`")),
        None if names_a_backend => Ok(Generation::New),
        None => Ok(Generation::Old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Words {
        parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    fn values(words: &Words, name: &str) -> Vec<String> {
        words.layer.all(name).iter().map(|value| value.text.clone()).collect()
    }

    #[test]
    fn the_words_tell_the_generation() {
        assert_eq!(parsed("-onetime -backend etcdv3").generation, Generation::Old);
        assert_eq!(parsed("--onetime etcd --node x:1").generation, Generation::New);
        assert_eq!(parsed("--compat 0.41 -onetime").generation, Generation::New);
        assert_eq!(parsed("--compat=0.16 etcd").generation, Generation::Old);
    }

    #[test]
    fn the_value_of_a_flag_names_no_backend() {
        let names = |line: &str| name_a_backend(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(names("--watsh consul") && names("etcd -n a:1"));
        assert!(!names("-backend etcd -watsh") && !names("--watsh"));
    }

    #[test]
    fn flags_are_read_with_one_dash_or_two_and_in_any_order() {
        let old = parsed("-interval=60 -node=http://h:4001 --node http://i:4001 -watch=false -noop");
        assert_eq!(values(&old, "interval"), ["60"]);
        assert_eq!(values(&old, "node"), ["http://h:4001", "http://i:4001"]);
        assert_eq!(
            (values(&old, "watch"), values(&old, "noop")),
            (vec!["false".into()], vec!["true".into()])
        );
        let new = parsed("--watch etcd -n a:1,b:1 --no-template-cache --interval 5 --interval 6");
        assert_eq!(
            (values(&new, "backend"), values(&new, "node")),
            (vec!["etcd".into()], vec!["a:1".into(), "b:1".into()])
        );
        assert_eq!(values(&new, "template-cache"), ["false"]);
        assert_eq!(values(&new, "interval"), ["6"], "the last one counts");
    }

    #[test]
    fn a_word_that_makes_no_sense_is_named() {
        for (line, wanted) in [
            ("-onetme", "there is no flag --onetme; is --onetime meant?"),
            ("etcdd", "`etcdd` is neither a flag nor a backend"),
            ("etcd consul", "there is a backend already"),
            ("-interval", "--interval needs a value"),
            ("--no-interval", "there is no flag --no-interval"),
            ("--compat 1", "--compat must be 0.16 or 0.41"),
        ] {
            let error = parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap_err();
            assert!(error.contains(wanted), "{line}: {error}");
        }
    }
}
