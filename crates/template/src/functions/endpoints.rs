//! Endpoints: servers read from keys, for the pools of a proxy.
//!
//! A value is `HOST:PORT`, or waypost's service record, a JSON object with `address`. All are checked before
//! any is left out by a filter: one key that is no server fails the render, so that the last good file stays
//! instead of one with a hole in it. The error names the key, never the value.

use super::address::{Address, parse_port};
use super::text;
use crate::error::{Fault, Outcome, fault};
use crate::eval::Run;
use crate::list::Slice;
use crate::value::{Map, Operand, Value};
use crate::{Glob, Text, json, path, store};

/// The state of a server whose record tells none, and the one in which it may get traffic.
const UP: &str = "up";

/// As SRV records have it; nginx and HAProxy draw narrower limits themselves.
const HEAVIEST: f64 = 65_535.0;

/// The pattern, then filters.
pub(super) fn endpoints(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let filters =
        args[1..].iter().map(|operand| Filter::parse(text(operand))).collect::<Outcome<Vec<_>>>()?;
    let mut found = Vec::new();
    each(run, &store::absolute(text(&args[0])), |key, value| {
        let server = Endpoint::read(key, value)?;
        if wanted(&server, &filters) {
            found.push(server.into_value());
        }
        Ok(())
    })?;
    Ok(Value::List(Slice::exact(found)))
}

/// Calls `visit` with all keys that the pattern is about, in order, until it fails: those that match; or, of
/// a path without wildcards, that key and what is directly below it.
fn each(run: &mut Run<'_>, pattern: &Text, mut visit: impl FnMut(Text, &Text) -> Outcome<()>) -> Outcome<()> {
    let literal = Glob::new(pattern.clone()).is_ok_and(|glob| glob.is_literal());
    let mut patterns = vec![pattern.clone()];
    if literal {
        let directory = path::clean(pattern);
        let separator: &[u8] = if directory.ends_with(b"/") { b"*" } else { b"/*" };
        let inside = [&directory[..], separator].concat();
        patterns = vec![Text::from(directory), Text::from(inside)];
    }
    for pattern in &patterns {
        let mut result = Ok(());
        store::matching(run, pattern, |name, value| {
            if result.is_ok() {
                result = visit(name.to_text(), &value.clone().into());
            }
        })?;
        result?;
    }
    Ok(())
}

struct Endpoint {
    key: Text,
    address: Address,
    weight: i64,
    tags: Vec<Text>,
    zone: Text,
    state: Text,
    meta: Vec<(Text, Value)>,
}

impl Endpoint {
    fn read(key: Text, value: &Text) -> Outcome<Endpoint> {
        let named =
            |why: &str| Fault::Message(format!("key {} is no server: {why}", String::from_utf8_lossy(&key)));
        let trimmed = value.share(value.trim_ascii());
        if trimmed.starts_with(b"{") {
            let Ok(Value::Map(Some(record))) = json::decode(&trimmed) else {
                return Err(named("its JSON is malformed"));
            };
            return Endpoint::of_record(key.clone(), &record).map_err(|why| named(&why));
        }
        let text = std::str::from_utf8(&trimmed).map_err(|_| named("no HOST:PORT"))?;
        let address = Address::parse(text).map_err(named)?;
        Ok(Endpoint {
            key,
            address,
            weight: 1,
            tags: Vec::new(),
            zone: Text::default(),
            state: Text::from(UP),
            meta: Vec::new(),
        })
    }

    fn of_record(key: Text, record: &Map) -> Result<Endpoint, String> {
        Ok(Endpoint {
            key,
            address: address_of(record)?,
            weight: weight_of(record)?,
            tags: tags_of(record)?,
            zone: word(record, "zone")?.unwrap_or_default(),
            state: word(record, "state")?.unwrap_or(Text::from(UP)),
            meta: meta_of(record)?,
        })
    }

    fn into_value(self) -> Value {
        let Endpoint { key, address, weight, tags, zone, state, meta } = self;
        let entries = [
            ("Address", Value::Text(address.to_string().into())),
            ("Host", Value::Text(address.host.into())),
            ("Key", Value::Text(key.clone())),
            ("Meta", Value::map(meta)),
            ("Name", Value::Text(path::base(&key))),
            ("Port", Value::Int(address.port.into())),
            ("State", Value::Text(state)),
            ("Tags", Value::strings(tags)),
            ("Weight", Value::Int(weight)),
            ("Zone", Value::Text(zone)),
        ];
        Value::map(entries.map(|(name, value)| (Text::from(name), value)).into())
    }
}

/// `address` is HOST:PORT, or a host that goes with `port`.
fn address_of(record: &Map) -> Result<Address, String> {
    let text = word(record, "address")?.ok_or("its address is missing")?;
    let text = std::str::from_utf8(&text).map_err(|_| "no HOST:PORT")?;
    let port = match record.get(b"port") {
        None | Some(Value::Nil) => return Ok(Address::parse(text)?),
        Some(Value::Float(port)) => port.to_string(),
        Some(Value::Text(digits)) => String::from_utf8_lossy(digits).into_owned(),
        Some(_) => return Err("its port must be a number".to_owned()),
    };
    Ok(Address::new(text, parse_port(&port)?)?)
}

fn weight_of(record: &Map) -> Result<i64, String> {
    match record.get(b"weight") {
        None | Some(Value::Nil) => Ok(1),
        Some(Value::Float(weight)) if weight.fract() == 0.0 && (0.0..=HEAVIEST).contains(weight) => {
            Ok(*weight as i64)
        }
        Some(_) => Err("its weight must be a whole number from 0 to 65535".to_owned()),
    }
}

fn tags_of(record: &Map) -> Result<Vec<Text>, String> {
    let wrong = || "its tags must be a list of texts".to_owned();
    match record.get(b"tags") {
        None | Some(Value::Nil) => Ok(Vec::new()),
        Some(Value::List(tags)) => tags.with(|tags| {
            let text = |tag: &Value| if let Value::Text(tag) = tag { Some(tag.clone()) } else { None };
            tags.iter().map(text).collect::<Option<Vec<Text>>>().ok_or_else(wrong)
        }),
        Some(_) => Err(wrong()),
    }
}

/// The fields that have a meaning of their own.
const FIELDS: [&[u8]; 7] = [b"address", b"meta", b"port", b"state", b"tags", b"weight", b"zone"];

/// What else the record holds, and what is in `meta`.
fn meta_of(record: &Map) -> Result<Vec<(Text, Value)>, String> {
    let others = record.iter().filter(|(name, _)| !FIELDS.contains(&name.as_ref()));
    match record.get(b"meta") {
        None | Some(Value::Nil) => Ok(others.cloned().collect()),
        Some(Value::Map(Some(meta))) => Ok(others.chain(meta.iter()).cloned().collect()),
        Some(_) => Err("its meta must be an object".to_owned()),
    }
}

fn word(record: &Map, name: &str) -> Result<Option<Text>, String> {
    match record.get(name.as_bytes()) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("its {name} must be a text")),
    }
}

/// What a server must be, or must not be, to be listed.
struct Filter {
    subject: Subject,
    negated: bool,
    value: Text,
}

#[derive(PartialEq)]
enum Subject {
    Tag,
    Zone,
    State,
}

impl Filter {
    fn parse(text: &Text) -> Outcome<Filter> {
        let Some(equals) = memchr::memchr(b'=', text) else { return unknown() };
        let negated = text[..equals].ends_with(b"!");
        let subject = match text[..equals].strip_suffix(b"!").unwrap_or(&text[..equals]) {
            b"tag" => Subject::Tag,
            b"zone" => Subject::Zone,
            b"state" => Subject::State,
            _ => return unknown(),
        };
        Ok(Filter { subject, negated, value: text.slice(equals + 1..) })
    }

    fn admits(&self, server: &Endpoint) -> bool {
        let is = match self.subject {
            Subject::Tag => server.tags.contains(&self.value),
            Subject::Zone => server.zone == self.value,
            Subject::State => server.state == self.value || self.value[..] == b"any"[..],
        };
        is != self.negated
    }
}

fn unknown<T>() -> Outcome<T> {
    fault("no filter: tag=…, zone=… or state=… is wanted, or != in place of =")
}

/// Without a word about states only those are listed that may get traffic.
fn wanted(server: &Endpoint, filters: &[Filter]) -> bool {
    let told = filters.iter().any(|filter| filter.subject == Subject::State);
    (told || server.state[..] == *UP.as_bytes()) && filters.iter().all(|filter| filter.admits(server))
}
