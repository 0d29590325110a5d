//! YAML: written in a form that YAML 1.1 and 1.2 read alike, and read by version 1.2.
//!
//! Text is plain only where no reader can take it for anything else, and between double quotes otherwise.
//! Whole numbers are written without a fraction, since JSON, where most values come from, does not tell 1 from
//! 1.0. Errors tell the place, never what is there.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::text;
use crate::Text;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::format::write_int;
use crate::json;
use crate::list::Slice;
use crate::unicode;
use crate::value::{Operand, Value};
use crate::walk::{Event, walk};

/// As deep as lists and maps may be nested, both ways.
const DEPTH: usize = 64;

/// A name before a `:` has 1,024 characters at most (YAML 1.2, 7.4.2); an escape is six of them.
const LONGEST_NAME: usize = 1_000 / 6;

/// Without a line break at the end, as Helm's and consul-template's.
pub(super) fn to_yaml(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut writer = Writer { out: Vec::new(), levels: Vec::new(), at_start: true };
    walk(&args[0].value, |event| {
        writer.event(event)?;
        run.room(writer.out.len())
    })?;
    Ok(Value::Text(Text::from(writer.out)))
}

struct Writer {
    out: Vec<u8>,
    /// Whether each open collection is a map.
    levels: Vec<bool>,
    /// Nothing follows what is on the line yet: the first entry of a collection may go there.
    at_start: bool,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) -> Outcome<()> {
        match event {
            Event::Leaf(value, _) => self.leaf(value)?,
            Event::Open(value) if value.len() == Some(0) => {
                let empty: &[u8] = match value {
                    value if value.is_nil() => b"null",
                    Value::Map(_) => b"{}",
                    _ => b"[]",
                };
                self.scalar(empty);
            }
            Event::Open(value) => {
                self.levels.push(matches!(value, Value::Map(_)));
                if self.levels.len() > DEPTH {
                    return fault("toYaml: nested too deep");
                }
            }
            Event::Item { key, .. } => self.item(key.map(AsRef::as_ref))?,
            Event::Close(value, count) if count > 0 && !value.is_nil() => drop(self.levels.pop()),
            Event::Close(..) => {}
        }
        Ok(())
    }

    /// Begins an entry, on a line of its own unless it is the first one of a collection in a list.
    fn item(&mut self, key: Option<&[u8]>) -> Outcome<()> {
        if !self.at_start {
            self.out.push(b'\n');
            // A list in a map begins where the map's names do.
            let levels = &self.levels[..self.levels.len() - 1];
            let indent = levels.iter().enumerate().map(|(level, is_map)| match self.levels[level + 1] {
                false if *is_map => 0,
                _ => 2,
            });
            let indent = indent.sum::<usize>();
            self.out.resize(self.out.len() + indent, b' ');
        }
        match key {
            Some(key) if key.len() > LONGEST_NAME => {
                return fault("toYaml: a name is longer than YAML allows");
            }
            Some(key) => {
                string(&mut self.out, key)?;
                self.out.push(b':');
                self.at_start = false;
            }
            None => {
                self.out.extend_from_slice(b"- ");
                self.at_start = true;
            }
        }
        Ok(())
    }

    /// Writes behind `name:` or `- `, or alone.
    fn scalar(&mut self, text: &[u8]) {
        if !self.at_start {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(text);
        self.at_start = false;
    }

    fn leaf(&mut self, value: &Value) -> Outcome<()> {
        let mut out = Vec::new();
        match value {
            Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Value::Int(n) | Value::Month(n) | Value::Weekday(n) => write_int(&mut out, *n),
            Value::Byte(n) => write_int(&mut out, i64::from(*n)),
            Value::Short(n) => write_int(&mut out, i64::from(*n)),
            Value::Float(number) => json::javascript(&mut out, *number),
            Value::Text(text) => string(&mut out, text)?,
            Value::Time(time) => string(&mut out, &time.rfc3339())?,
            Value::Nil | Value::Undeclared => out.extend_from_slice(b"null"),
            Value::Pair(pair) => {
                let pair = pair.with(Clone::clone);
                let map = [("Key", pair.key), ("Value", pair.value)]
                    .map(|(name, text)| (Text::from(name), Value::Text(text)));
                return self.nested(&Value::map(map.into()));
            }
            Value::Server(server) => {
                let target = Value::Text(server.target.clone().into());
                let number = |number| Value::Int(i64::from(number));
                let map = [
                    ("Port", number(server.port)),
                    ("Priority", number(server.priority)),
                    ("Target", target),
                    ("Weight", number(server.weight)),
                ];
                return self.nested(&Value::map(map.map(|(name, value)| (Text::from(name), value)).into()));
            }
            other => return fault(format!("toYaml: unsupported type: {}", other.type_name())),
        }
        self.scalar(&out);
        Ok(())
    }

    /// A struct, as a map. It holds no other, so this goes no deeper.
    fn nested(&mut self, map: &Value) -> Outcome<()> {
        walk(map, |event| self.event(event))
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) -> Outcome<()> {
    if is_plain(text) {
        out.extend_from_slice(text);
        return Ok(());
    }
    let Ok(text) = std::str::from_utf8(text) else { return fault("toYaml: text that is not UTF-8") };
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if !is_printable(c) => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => unicode::push(out, c),
        }
    }
    out.push(b'"');
    Ok(())
}

/// What YAML lets stand in a text on one line (YAML 1.2, `c-printable` without breaks and the BOM).
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Words that are no text in YAML 1.1 or 1.2, in any case of letters.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Begins like a name, and has nothing in it that YAML gives a meaning.
fn is_plain(text: &[u8]) -> bool {
    let known = |word: &&str| word.as_bytes().eq_ignore_ascii_case(text);
    let begins =
        text.first().is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'_' | b'/'));
    begins
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_/.:-+@ ".contains(byte))
        && !text.ends_with(b" ")
        && !text.ends_with(b":")
        && memchr::memmem::find(text, b": ").is_none()
        && !WORDS.iter().any(known)
}

pub(super) fn from_yaml(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    decode(text(&args[0]))
}

/// As [`from_yaml`], but nothing is an empty map, as in consul-template.
pub(super) fn parse_yaml(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match text(&args[0]) {
        text if text.is_empty() => Ok(Value::map(Vec::new())),
        text => decode(text),
    }
}

fn decode(text: &Text) -> Outcome<Value> {
    let Ok(source) = std::str::from_utf8(text) else { return fault("YAML is UTF-8, and this is not") };
    let options = serde_saphyr::options! {
        strict_booleans: true,
        legacy_octal_numbers: true,
        with_snippet: false,
        // What aliases expand to costs time and memory that the text does not show.
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        budget: serde_saphyr::budget! {
            max_nodes: 1_000_000,
            max_events: 4_000_000,
            max_depth: DEPTH,
            max_aliases: 100_000,
            max_merge_keys: 100_000,
            enforce_alias_anchor_ratio: false,
        },
    };
    match serde_saphyr::from_str_with_options::<Decoded>(source, options) {
        Ok(Decoded(value)) => Ok(value),
        Err(error) => fault(match error.location() {
            Some(at) => {
                format!("malformed or too large YAML: line {}, column {} of the text", at.line(), at.column())
            }
            None => "malformed or too large YAML".to_owned(),
        }),
    }
}

/// A value as it is read. The names of maps are text.
struct Decoded(Value);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decoded, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Decoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Decoded, E> {
        Ok(Decoded(Value::Nil))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Decoded, E> {
        Ok(Decoded(Value::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Decoded, E> {
        Ok(Decoded(Value::Int(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Decoded, E> {
        Ok(Decoded(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int)))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Decoded, E> {
        match number.is_finite() {
            true => Ok(Decoded(Value::Float(number))),
            false => Err(E::custom("a number is not finite")),
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Decoded, E> {
        Ok(Decoded(Value::Text(Text::from(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Decoded, A::Error> {
        let mut elements = Vec::new();
        while let Some(Decoded(element)) = list.next_element()? {
            elements.push(element);
        }
        Ok(Decoded(Value::List(Slice::exact(elements))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Decoded, A::Error> {
        let mut entries = Vec::new();
        while let Some(Decoded(name)) = map.next_key()? {
            let mut written = Vec::new();
            match &name {
                Value::Text(text) => written.extend_from_slice(text),
                Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                    crate::format::write(&mut written, &name, usize::MAX);
                }
                _ => return Err(serde::de::Error::custom("a name is neither text nor a number")),
            }
            entries.push((Text::from(written), map.next_value::<Decoded>()?.0));
        }
        Ok(Decoded(Value::map(entries)))
    }
}
