//! What a file's content means: YAML, JSON or TOML, flattened to keys.
//!
//! Names are joined to paths as Go's `path.Join` does, the entries of a list are named by their number.
//! Scalars become text as confd's file backend writes them: `true` and `false`, whole numbers in decimal,
//! fractions in the shortest form without an exponent (`1.10` is `1.1`, `1e3` is `1000`); a null is no key.
//! Who needs the digits as written puts them in quotes.
//!
//! What differs from confd, all of it in files that confd drops parts of without a word or stops at:
//! dates are the text that is written (confd 0.41 drops them in YAML), whole numbers keep all their digits
//! (0.41 rounds those of JSON to 53 bits), a name may be a number, a second document is refused. YAML is
//! read by version 1.2, as in confd 0.41: `yes`, `on` and `n` are text, where 0.16 makes them `true` and
//! `false`. An octal `0755` is 493 as in both, though only YAML 1.1 has it.
//!
//! Sources: `backends/file/client.go` (`nodeWalk`) of `kelseyhightower/confd` (yaml.v2 for every file) and
//! of `abtreece/confd` (yaml.v3; JSON by name); `resolve.go` of `go-yaml/yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::UserMessageFormatter;
use waypost_model::{InvalidKey, Key, clean_path};

use super::STORE;
use crate::{Error, ErrorKind, Result};

/// As deep as YAML's lists and tables may be nested; the other formats' parsers have limits of their own.
const DEPTH: usize = 64;

/// A file's content, the same for all formats.
#[derive(Debug, PartialEq)]
enum Node {
    Nothing,
    Text(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

/// Why a content makes no sense.
struct Fault {
    /// Line and column, from 1.
    at: Option<(usize, usize)>,
    /// Without anything of the content but names: a value may be a secret.
    why: String,
}

/// The keys of the file at `path`, with their text. Another name than `*.json` and `*.toml` is YAML.
pub(super) fn parse(path: &Path, content: &[u8]) -> Result<BTreeMap<Key, String>> {
    keys_of(path, content).map_err(|Fault { at, why }| {
        let place = match at {
            Some((line, column)) => format!("{}:{line}:{column}", path.display()),
            None => path.display().to_string(),
        };
        Error::new(ErrorKind::Invalid, STORE, "understand", place).because(why)
    })
}

fn keys_of(path: &Path, content: &[u8]) -> std::result::Result<BTreeMap<Key, String>, Fault> {
    let fault = |why: &str| Fault { at: None, why: why.to_owned() };
    if content.is_empty() {
        // What `command > file` leaves until the command has something to say.
        return Err(fault("it is empty; a comment in it, or {}, says that no key is meant"));
    }
    let text = std::str::from_utf8(content).map_err(|error| Fault {
        at: place_of(content, error.valid_up_to()),
        why: "it is not UTF-8".into(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let node = match extension.to_str() {
        Some("json") => json(text)?,
        Some("toml") => toml(text)?,
        _ => yaml(text)?,
    };
    match node {
        Node::Nothing => Ok(BTreeMap::new()),
        Node::Table(entries) => {
            let mut keys = BTreeMap::new();
            flatten(Node::Table(entries), "", &mut keys).map_err(|error| fault(&error.to_string()))?;
            Ok(keys)
        }
        Node::Text(_) | Node::List(_) => Err(fault("it has no names at the top: a table is needed there")),
    }
}

fn flatten(node: Node, path: &str, keys: &mut BTreeMap<Key, String>) -> std::result::Result<(), InvalidKey> {
    match node {
        Node::Nothing => Ok(()),
        Node::Text(text) => Key::new(clean_path(path).into_owned()).map(|key| drop(keys.insert(key, text))),
        Node::List(entries) => {
            let mut numbered = (0..).zip(entries);
            numbered
                .try_for_each(|(number, entry): (usize, _)| flatten(entry, &format!("{path}/{number}"), keys))
        }
        Node::Table(entries) => {
            entries.into_iter().try_for_each(|(name, entry)| flatten(entry, &format!("{path}/{name}"), keys))
        }
    }
}

fn yaml(text: &str) -> std::result::Result<Node, Fault> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        legacy_octal_numbers: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
        // Its own limits are for configuration files: a store may be larger, and use one anchor everywhere.
        // How much aliases may expand to stays limited.
        budget: serde_saphyr::budget! {
            max_nodes: 10_000_000,
            max_events: 40_000_000,
            max_depth: DEPTH,
            max_aliases: 1_000_000,
            max_merge_keys: 1_000_000,
            enforce_alias_anchor_ratio: false,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.render_with_formatter(&UserMessageFormatter);
        let Some(at) = error.location() else { return Fault { at: None, why: message } };
        let suffix = format!(" at line {}, column {}", at.line(), at.column());
        let why = message.strip_suffix(&suffix).unwrap_or(&message).to_owned();
        Fault { at: usize::try_from(at.line()).ok().zip(usize::try_from(at.column()).ok()), why }
    })
}

fn json(text: &str) -> std::result::Result<Node, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let (message, at) = (error.to_string(), (error.line(), error.column().max(1)));
        let suffix = format!(" at line {} column {}", error.line(), error.column());
        Fault { at: Some(at), why: message.strip_suffix(&suffix).unwrap_or(&message).to_owned() }
    })
}

fn toml(text: &str) -> std::result::Result<Node, Fault> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let at = error.span().and_then(|span| place_of(text.as_bytes(), span.start));
        Fault { at, why: error.message().to_owned() }
    })?;
    Ok(Node::from(toml::Value::Table(table)))
}

impl From<toml::Value> for Node {
    fn from(value: toml::Value) -> Node {
        match value {
            toml::Value::String(text) => Node::Text(text),
            toml::Value::Integer(number) => Node::Text(number.to_string()),
            toml::Value::Float(number) => Node::Text(number.to_string()),
            toml::Value::Boolean(truth) => Node::Text(truth.to_string()),
            toml::Value::Datetime(time) => Node::Text(time.to_string()),
            toml::Value::Array(entries) => Node::List(entries.into_iter().map(Node::from).collect()),
            toml::Value::Table(entries) => {
                Node::Table(entries.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

/// Line and column of the byte at `offset`, from 1; the column counts characters.
fn place_of(content: &[u8], offset: usize) -> Option<(usize, usize)> {
    let before = content.get(..offset)?;
    let line = before.split(|byte| *byte == b'\n').next_back()?;
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    Some((lines + 1, String::from_utf8_lossy(line).chars().count() + 1))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a list or a table")
    }

    fn visit_unit<E>(self) -> std::result::Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_bool<E>(self, truth: bool) -> std::result::Result<Node, E> {
        Ok(Node::Text(truth.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Node::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> std::result::Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(Name(name)) = table.next_key()? {
            entries.push((name, table.next_value()?));
        }
        Ok(Node::Table(entries))
    }
}

/// The name of an entry.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Name, D::Error> {
        deserializer.deserialize_any(NameVisitor).map(Name)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, which is text or a number")
    }

    fn visit_bool<E>(self, truth: bool) -> std::result::Result<String, E> {
        Ok(truth.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<String, E> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(file: &str, content: &str) -> Vec<String> {
        let keys = parse(Path::new(file), content.as_bytes()).map_err(|error| error.chain()).unwrap();
        keys.into_iter().map(|(key, text)| format!("{key}={text}")).collect()
    }

    fn error(file: &str, content: &[u8]) -> String {
        parse(Path::new(file), content).unwrap_err().chain()
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let expected =
            ["/app/db/0/host=a", "/app/db/1/host=b", "/app/port=8080", "/app/ratio=0.5", "/app/tls=true"];
        let yaml =
            "app:\n  db: [{host: a}, {host: b}]\n  port: 8080\n  ratio: 0.50\n  tls: true\n  none: ~\n";
        let json = r#"{"app": {"db": [{"host": "a"}, {"host": "b"}], "port": 8080, "ratio": 0.5, "tls": true, "none": null}}"#;
        let toml =
            "[app]\nport = 8080\nratio = 0.5\ntls = true\n[[app.db]]\nhost = 'a'\n[[app.db]]\nhost = 'b'\n";
        assert_eq!(keys("x.yaml", yaml), expected);
        assert_eq!(keys("x.JSON", json), expected);
        assert_eq!(keys("x.toml", toml), expected);
        assert_eq!(keys("x", json), expected, "JSON is YAML");
    }

    #[test]
    fn scalars_become_text_as_confd_writes_them() {
        let cases = [
            ("0755", "493"),
            ("08", "8"),
            ("0x1F", "31"),
            ("1_000", "1000"),
            ("+5", "5"),
            ("12345678901234567890", "12345678901234567890"),
            ("1.10", "1.1"),
            ("1.0", "1"),
            ("1e21", "1000000000000000000000"),
            ("True", "true"),
            ("yes", "yes"),
            ("'08'", "08"),
            ("''", ""),
            ("2024-01-02", "2024-01-02"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("1:30", "1:30"),
            ("1E400", ".inf"),
            ("!!binary aGk=", "hi"),
            ("|\n  two\n  lines\n", "two\nlines\n"),
        ];
        for (written, text) in cases {
            assert_eq!(keys("x.yaml", &format!("a: {written}")), [format!("/a={text}")], "{written}");
        }
        let json = r#"{"a": 1.10, "b": 9007199254740993, "c": 1e3, "d": "x"}"#;
        assert_eq!(keys("x.json", json), ["/a=1.1", "/b=9007199254740993", "/c=1000", "/d=x"]);
        assert_eq!(
            keys("x.toml", "a = 1979-05-27T07:32:00Z\nb = 1e3"),
            ["/a=1979-05-27T07:32:00Z", "/b=1000"]
        );
    }

    #[test]
    fn names_are_joined_as_paths() {
        assert_eq!(keys("x.yaml", "/a/: {b/c: 1, 2: x, ../d: y}"), ["/a/2=x", "/a/b/c=1", "/d=y"]);
        assert_eq!(keys("x.json", r#"{"": "root"}"#), ["/=root"]);
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let yaml = "base: &base {p: 1, q: 1}\nreal: {<<: *base, q: 2}\n";
        assert_eq!(keys("x.yaml", yaml), ["/base/p=1", "/base/q=1", "/real/p=1", "/real/q=2"]);
    }

    #[test]
    fn one_anchor_may_be_used_everywhere() {
        let services: String =
            (0..1000).map(|number| format!("s{number}: {{<<: *base, n: {number}}}\n")).collect();
        assert_eq!(keys("x.yaml", &format!("base: &base {{p: 1}}\n{services}")).len(), 2001);
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_column_and_without_a_value() {
        let cases: [(&str, &[u8], &str); 9] = [
            (
                "x.yaml",
                b"a: 1\nb: c: hunter2",
                "x.yaml:2:5: invalid: mapping values are not allowed in this context",
            ),
            (
                "x.yaml",
                b"a: 1\na: hunter2",
                "x.yaml:2:1: invalid: duplicate mapping key `a` is not allowed here",
            ),
            ("x.yaml", b"a: \"hunter2", "x.yaml:1:4: invalid: unclosed quote"),
            ("x.yaml", b"[a]: hunter2", "x.yaml:1:1: invalid: invalid type: sequence, expected a name"),
            ("x.json", b"{\"a\": hunter2}", "x.json:1:7: invalid: expected value"),
            ("x.toml", b"a = 1\nb = hunter2", "x.toml:2:5: invalid: string values must be quoted"),
            ("x.yaml", b"a: \xff", "x.yaml:1:4: invalid: it is not UTF-8"),
            ("x.yaml", b"- hunter2", "x.yaml: invalid: it has no names at the top"),
            ("x.toml", b"", "x.toml: invalid: it is empty"),
        ];
        for (file, content, expected) in cases {
            let shown = error(file, content);
            assert!(shown.contains(expected) && !shown.contains("hunter2"), "{shown}\n{expected}");
        }
    }

    #[test]
    fn no_keys_can_be_said() {
        for (file, content) in
            [("x.yaml", "# none"), ("x.yaml", "{}"), ("x.json", "{}"), ("x.toml", "\n"), ("x.yaml", "a:")]
        {
            assert_eq!(keys(file, content), [""; 0], "{content}");
        }
    }

    #[test]
    fn a_file_that_explodes_is_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for number in 1..9 {
            let name = format!("*a{}", number - 1);
            let names = vec![name; 10].join(", ");
            bomb.push_str(&format!("a{number}: &a{number} [{names}]\n"));
        }
        error("x.yaml", bomb.as_bytes());
        error("x.yaml", "[".repeat(100_000).as_bytes());
        error("x.json", "[".repeat(100_000).as_bytes());
        error("x.toml", format!("a = {}", "[".repeat(100_000)).as_bytes());
    }

    #[test]
    fn many_keys_are_no_bomb() {
        let yaml: String = (0..130_000).map(|number| format!("key{number}: value\n")).collect();
        assert_eq!(keys("x.yaml", &yaml).len(), 130_000);
    }
}
