//! What templates of consul-template call by these names, where the meaning is the same and confd has no
//! other function of the name. Keys are written without a leading slash there; it is added.
//!
//! Source: `template/funcs.go` of `hashicorp/consul-template`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

use super::{math, pair_list, text};
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::list::Slice;
use crate::unicode::{self, chars};
use crate::value::{Operand, Value};
use crate::{Text, json, literal, store, time};

/// The value; a key that is missing fails, where consul-template waits for it: neither writes the file.
pub(super) fn key(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let name = store::absolute(text(&args[0]));
    store::lookup(run, &name).map_or_else(|| store::missing(&name), |value| Ok(Value::Text(value)))
}

pub(super) fn key_exists(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let name = store::absolute(text(&args[0]));
    Ok(Value::Bool(store::lookup(run, &name).is_some()))
}

/// Unlike `getv`, an empty value is none.
pub(super) fn key_or_default(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let value = store::lookup(run, &store::absolute(text(&args[0])));
    Ok(Value::Text(value.filter(|value| !value.is_empty()).unwrap_or_else(|| text(&args[1]).clone())))
}

fn variable(run: &mut Run<'_>, name: &Operand) -> Option<Text> {
    run.reads.volatile = true;
    run.context.world.variable(text(name)).map(Text::from)
}

pub(super) fn env(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Text(variable(run, &args[0]).unwrap_or_default()))
}

/// Unlike in `getenv`, an empty variable is set.
pub(super) fn env_or_default(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Text(variable(run, &args[0]).unwrap_or_else(|| text(&args[1]).clone())))
}

pub(super) fn must_env(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match variable(run, &args[0]).filter(|value| !value.is_empty()) {
        Some(value) => Ok(Value::Text(value)),
        None => {
            fault(format!("the environment variable {} is empty", String::from_utf8_lossy(text(&args[0]))))
        }
    }
}

/// From 0, or from the first argument, up to the last, which is not among them.
pub(super) fn loop_over(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let bound = |operand: &Operand| match &operand.value {
        Value::Int(number) => Ok(*number),
        Value::Text(digits) => integer(digits),
        other => fault(format!("bad argument type: {}", other.type_name())),
    };
    let (from, to) = match args {
        [to] => (0, bound(to)?),
        [from, to] => (bound(from)?, bound(to)?),
        _ => return fault(format!("wrong number of arguments, expected 1 or 2, but got {}", args.len())),
    };
    if from < to && from.abs_diff(to) > math::LONGEST {
        return fault("list is too long");
    }
    Ok(Value::Ints(Slice::exact((from..to).collect())))
}

/// Nothing is 0, as in all that parses here.
fn integer(digits: &Text) -> Outcome<i64> {
    if digits.is_empty() {
        return Ok(0);
    }
    match std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
        Some(number) => Ok(number),
        None => fault("parseInt: no whole number of 64 bits"),
    }
}

pub(super) fn parse_int(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    integer(text(&args[0])).map(Value::Int)
}

pub(super) fn parse_float(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let digits = text(&args[0]);
    if digits.is_empty() {
        return Ok(Value::Float(0.0));
    }
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.contains('_'));
    match digits.and_then(literal::parse_float) {
        Some(number) => Ok(Value::Float(number)),
        None => fault("parseFloat: no number, or too large"),
    }
}

/// As `fromJson`, but nothing is an empty map.
pub(super) fn parse_json(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match text(&args[0]) {
        text if text.is_empty() => Ok(Value::map(Vec::new())),
        text => json::decode(text),
    }
}

pub(super) fn base64_url_encode(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Text(URL_SAFE.encode(text(&args[0])).into()))
}

pub(super) fn base64_url_decode(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match URL_SAFE.decode(text(&args[0])) {
        Ok(bytes) => Ok(Value::Text(bytes.into())),
        Err(_) => fault("illegal base64 data"),
    }
}

/// Takes the characters of the first argument off both ends of the second.
pub(super) fn trim(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let cut: Vec<char> = chars(text(&args[0])).map(|(_, c, _)| c).collect();
    Ok(Value::Text(trimmed(text(&args[1]), |c| cut.contains(&c))))
}

pub(super) fn trim_space(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Text(trimmed(text(&args[0]), char::is_whitespace)))
}

fn trimmed(whole: &Text, cut: impl Fn(char) -> bool) -> Text {
    let mut kept = chars(whole).filter(|(_, c, _)| !cut(*c));
    let Some((start, _, width)) = kept.next() else { return Text::default() };
    let end = kept.last().map_or(start + width, |(at, _, width)| at + width);
    whole.slice(start..end)
}

/// The first letter of each word in upper case, the others as they are. Words are letters, digits, `_`
/// and the apostrophes and points between them.
pub(super) fn to_title(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut out = Vec::new();
    let mut inside = false;
    for (_, c, _) in chars(text(&args[0])) {
        let is_word = unicode::is_alphanumeric(c) || c == '_';
        unicode::push(&mut out, if is_word && !inside { unicode::to_upper(c) } else { c });
        inside = is_word || (inside && matches!(c, '\'' | '’' | '.'));
    }
    Ok(Value::Text(Text::from(out)))
}

/// A map of what stands around the second separator in each part that the first one separates. A part
/// without it is left out.
pub(super) fn split_to_map(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let [outer, inner, whole] = [0, 1, 2].map(|index| text(&args[index]));
    let whole = trimmed(whole, char::is_whitespace);
    if outer.is_empty() {
        return fault("splitToMap: the first separator is empty");
    }
    let mut entries = Vec::new();
    let mut rest = &whole[..];
    loop {
        let end = memchr::memmem::find(rest, outer).unwrap_or(rest.len());
        if let Some(at) = memchr::memmem::find(&rest[..end], inner) {
            let value = Value::Text(whole.share(&rest[at + inner.len()..end]));
            entries.push((whole.share(&rest[..at]), value));
        }
        match rest.get(end + outer.len()..) {
            Some(next) if end < rest.len() => rest = next,
            _ => return Ok(Value::map(entries)),
        }
    }
}

/// As deep as the maps that `explode` makes may be nested.
const DEPTH: usize = 1_000;

/// Nested maps from pairs, by the parts of their keys. A key that is also a directory fails.
pub(super) fn explode(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut leaves = BTreeMap::new();
    pair_list(&args[0]).with(|pairs| {
        for pair in pairs {
            let parts = pair.key.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
            let parts: Vec<Text> = parts.map(|part| pair.key.share(part)).collect();
            if !parts.is_empty() {
                leaves.insert(parts, pair.value.clone());
            }
        }
    });
    let leaves: Vec<(Vec<Text>, Text)> = leaves.into_iter().collect();
    nest(&leaves, 0)
}

/// The map of `leaves`, which are in order and have their first `depth` parts in common.
fn nest(leaves: &[(Vec<Text>, Text)], depth: usize) -> Outcome<Value> {
    if depth > DEPTH {
        return fault("explode: nested too deep");
    }
    let mut entries = Vec::new();
    for group in leaves.chunk_by(|(a, _), (b, _)| a[depth] == b[depth]) {
        let (parts, value) = &group[0];
        let is_leaf = parts.len() == depth + 1;
        if is_leaf && group.len() > 1 {
            let key = parts.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>().join(&b'/');
            return fault(format!("explode: {} is a key and a directory", String::from_utf8_lossy(&key)));
        }
        let value = if is_leaf { Value::Text(value.clone()) } else { nest(group, depth + 1)? };
        entries.push((parts[depth].clone(), value));
    }
    Ok(Value::map(entries))
}

/// The time in UTC by RFC 3339, in seconds since 1970 (`unix`), or in a layout of Go's.
pub(super) fn timestamp(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let layout = match args {
        [] => Text::from("2006-01-02T15:04:05Z07:00"),
        [layout] => text(layout).clone(),
        _ => return fault(format!("wrong number of arguments, expected 0 or 1, but got {}", args.len())),
    };
    let now = time::utc(&time::datetime(run, &mut [])?, &[])?;
    if layout[..] == b"unix"[..] {
        let Value::Int(seconds) = time::unix(&now, &[])? else { return fault("timestamp: out of range") };
        return Ok(Value::Text(seconds.to_string().into()));
    }
    time::format(&now, &[Value::Text(layout).into()])
}
