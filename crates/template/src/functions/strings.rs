//! Strings: cutting, joining, replacing, quoting, encoding. Lengths and positions are in bytes.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

use super::{int, string_list, text};
use crate::Text;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::literal;
use crate::path;
use crate::unicode::{self, chars};
use crate::value::{Operand, Value};

fn string(bytes: impl Into<Text>) -> Outcome<Value> {
    Ok(Value::Text(bytes.into()))
}

pub(super) fn base(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    string(path::base(text(&args[0])))
}

pub(super) fn dir(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    string(path::dir(text(&args[0])))
}

/// At every `separator`; at every character if it is empty.
pub(super) fn split(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (whole, separator) = (text(&args[0]), text(&args[1]));
    if separator.is_empty() {
        return Ok(Value::strings(chars(whole).map(|(at, _, width)| whole.slice(at..at + width)).collect()));
    }
    let mut parts = Vec::new();
    let mut start = 0;
    let mut cut = |at: usize| {
        parts.push(whole.slice(start..at));
        start = at + separator.len();
    };
    match separator[..] {
        [byte] => memchr::memchr_iter(byte, whole).for_each(&mut cut),
        _ => memmem::find_iter(whole, separator).for_each(&mut cut),
    }
    parts.push(whole.slice(start..));
    Ok(Value::strings(parts))
}

pub(super) fn join(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let separator = text(&args[1]);
    string_list(&args[0]).with(|parts| {
        let length = parts.iter().map(|part| part.len()).sum::<usize>() + parts.len() * separator.len();
        run.room(length)?;
        string(parts.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>().join(separator.as_ref()))
    })
}

pub(super) fn to_upper(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = text(&args[0]);
    string(if whole.is_ascii() { whole.to_ascii_uppercase() } else { unicode::map(whole, unicode::to_upper) })
}

pub(super) fn to_lower(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = text(&args[0]);
    string(if whole.is_ascii() { whole.to_ascii_lowercase() } else { unicode::map(whole, unicode::to_lower) })
}

pub(super) fn contains(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Bool(memmem::find(text(&args[0]), text(&args[1])).is_some()))
}

/// The first `n` occurrences, or all; an empty old text is before every character and at the end.
pub(super) fn replace(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (whole, old, new) = (text(&args[0]), text(&args[1]), text(&args[2]));
    let limit = usize::try_from(int(&args[3])).unwrap_or(usize::MAX);
    if limit == 0 || old == new {
        return string(whole.clone());
    }
    let found: Vec<usize> = if old.is_empty() {
        chars(whole).map(|(at, _, _)| at).chain([whole.len()]).take(limit).collect()
    } else {
        memmem::find_iter(whole, old).take(limit).collect()
    };
    if found.is_empty() {
        return string(whole.clone());
    }
    run.room(whole.len() - found.len() * old.len() + found.len().saturating_mul(new.len()))?;
    let mut out = Vec::with_capacity(whole.len());
    let mut start = 0;
    for at in found {
        out.extend_from_slice(&whole[start..at]);
        out.extend_from_slice(new);
        start = at + old.len();
    }
    out.extend_from_slice(&whole[start..]);
    string(out)
}

pub(super) fn trim_suffix(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = text(&args[0]);
    string(
        whole.strip_suffix(text(&args[1]).as_ref()).map_or_else(|| whole.clone(), |rest| whole.share(rest)),
    )
}

pub(super) fn trim_prefix(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = text(&args[0]);
    string(
        whole.strip_prefix(text(&args[1]).as_ref()).map_or_else(|| whole.clone(), |rest| whole.share(rest)),
    )
}

pub(super) fn has_prefix(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Bool(text(&args[0]).starts_with(text(&args[1]))))
}

pub(super) fn has_suffix(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Bool(text(&args[0]).ends_with(text(&args[1]))))
}

pub(super) fn repeat(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let times = usize::try_from(int(&args[0])).unwrap_or(0);
    let whole = text(&args[1]);
    run.room(times.saturating_mul(whole.len()))?;
    string(if whole.is_empty() { Vec::new() } else { whole.repeat(times) })
}

pub(super) fn nospace(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut out = Vec::new();
    for (_, c, _) in chars(text(&args[0])).filter(|(_, c, _)| !c.is_whitespace()) {
        unicode::push(&mut out, c);
    }
    string(out)
}

pub(super) fn indent(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    string(indented(run, args, b"")?)
}

/// With a newline before.
pub(super) fn nindent(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    string(indented(run, args, b"\n")?)
}

/// Spaces before every line, an empty last one too; nothing to indent stays nothing.
fn indented(run: &mut Run<'_>, args: &[Operand], before: &[u8]) -> Outcome<Vec<u8>> {
    let (width, whole) = (usize::try_from(int(&args[0])).unwrap_or(0), text(&args[1]));
    let mut out = before.to_vec();
    if whole.is_empty() {
        return Ok(out);
    }
    let lines = 1 + memchr::memchr_iter(b'\n', whole).count();
    run.room(lines.saturating_mul(width).saturating_add(whole.len()))?;
    for line in whole.split_inclusive(|b| *b == b'\n') {
        out.resize(out.len() + width, b' ');
        out.extend_from_slice(line);
    }
    if whole.ends_with(b"\n") {
        out.resize(out.len() + width, b' ');
    }
    Ok(out)
}

/// Go's `%q`.
pub(super) fn quote(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut out = Vec::new();
    literal::quote(&mut out, text(&args[0]), false);
    string(out)
}

/// Between single quotes, those inside doubled.
pub(super) fn squote(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut out = vec![b'\''];
    for byte in text(&args[0]).iter() {
        out.push(*byte);
        if *byte == b'\'' {
            out.push(b'\'');
        }
    }
    out.push(b'\'');
    string(out)
}

/// Go's `base64.StdEncoding`: padding is required, stray bits at the end are not looked at.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(super) fn base64_encode(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    string(BASE64.encode(text(&args[0])))
}

/// Line breaks are skipped wherever they are.
pub(super) fn base64_decode(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let encoded: Vec<u8> = text(&args[0]).iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    match BASE64.decode(encoded) {
        Ok(bytes) => string(bytes),
        Err(_) => fault("illegal base64 data"),
    }
}
