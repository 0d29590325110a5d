//! Go's built-in functions but for comparisons: printing, escaping, indexing, truth.

use super::text;
use crate::Text;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::format::{self, Printer};
use crate::unicode::{chars, is_print};
use crate::value::{Operand, Pairs, Value};

/// `and` and `or` are jumps in the code, not calls.
pub(super) fn logic(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(args.last_mut().map(|last| std::mem::take(&mut last.value)).unwrap_or_default())
}

/// Nothing that a template can get hold of is a function.
pub(super) fn call(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match &args[0].value {
        Value::Nil => fault("call of nil"),
        other => fault(format!("non-function of type {}", other.type_name())),
    }
}

pub(super) fn not(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Bool(!args[0].value.truth()))
}

pub(super) fn len(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match (args[0].value.len(), &args[0].value) {
        (Some(len), _) => Ok(Value::Int(len as i64)),
        (None, Value::Nil) => fault("len of nil pointer"),
        (None, other) => fault(format!("len of type {}", other.type_name())),
    }
}

/// The index that `operand` holds, at most `limit`. An index within an interface is the caller's affair.
fn position(operand: &Operand, limit: usize) -> Outcome<usize> {
    let index = match &operand.value {
        Value::Int(n) | Value::Month(n) | Value::Weekday(n) => *n,
        Value::Byte(n) => i64::from(*n),
        Value::Short(n) => i64::from(*n),
        Value::Nil => return fault("cannot index slice/array with nil"),
        other => return fault(format!("cannot index slice/array with type {}", other.type_name())),
    };
    match usize::try_from(index) {
        Ok(index) if index <= limit => Ok(index),
        _ => fault(format!("index out of range: {index}")),
    }
}

/// `x[1][2]` as `index x 1 2`.
pub(super) fn index(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (item, indexes) = args.split_first_mut().expect("index takes one at least");
    let mut item = std::mem::take(item);
    if let Value::Nil = item.value {
        return fault("index of untyped nil");
    }
    for index in indexes {
        item = match &item.value {
            Value::Nil => return fault("index of nil pointer"),
            Value::Map(map) => match &index.value {
                Value::Text(key) => {
                    let found = map.as_ref().and_then(|map| map.get(key).cloned());
                    Operand::boxed(found.unwrap_or_default())
                }
                Value::Nil => return fault("value is nil; should be of type string"),
                other => return fault(format!("value has type {}; should be string", other.type_name())),
            },
            value => {
                let Some(len) = value.len() else {
                    return fault(format!("can't index item of type {}", value.type_name()));
                };
                let at = position(index, len)?;
                match value.element(at) {
                    Some(element) => element,
                    None => return fault(format!("index out of range: {at}")),
                }
            }
        };
    }
    Ok(item.value)
}

/// `x[1:2]` as `slice x 1 2`; a list may be sliced up to its capacity.
pub(super) fn slice(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (item, indexes) = args.split_first().expect("slice takes one at least");
    let item = &item.value;
    if let Value::Nil = item {
        return fault("slice of untyped nil");
    }
    if indexes.len() > 3 {
        return fault(format!("too many slice indexes: {}", indexes.len()));
    }
    let (len, capacity) = match item {
        Value::Text(_) if indexes.len() == 3 => return fault("cannot 3-index slice a string"),
        Value::Text(text) => (text.len(), text.len()),
        Value::List(list) => (list.len(), list.capacity()),
        Value::Strings(list) => (list.len(), list.capacity()),
        Value::Ints(list) => (list.len(), list.capacity()),
        Value::Pairs(list) => (list.slice.len(), list.slice.capacity()),
        Value::Servers(list) => (list.len(), list.capacity()),
        other => return fault(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, len, capacity];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        if index.boxed {
            return fault("cannot index slice/array with type interface {}");
        }
        *bound = position(index, capacity)?;
    }
    let [from, to, limit] = bounds;
    for (low, high) in [(from, to), (to, limit)] {
        if low > high {
            return fault(format!("invalid slice index: {low} > {high}"));
        }
    }
    let limit = Some(limit);
    Ok(match item {
        Value::Text(text) => Value::Text(text.slice(from..to)),
        Value::List(list) => Value::List(list.slice(from, to, limit)),
        Value::Strings(list) => Value::Strings(list.slice(from, to, limit)),
        Value::Ints(list) => Value::Ints(list.slice(from, to, limit)),
        Value::Pairs(list) => {
            Value::Pairs(Pairs { slice: list.slice.slice(from, to, limit), named: list.named })
        }
        Value::Servers(list) => Value::Servers(list.slice(from, to, limit)),
        _ => unreachable!("its capacity was asked before"),
    })
}

pub(super) fn print(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    if let [Operand { value: whole @ Value::Text(_), .. }] = args {
        return Ok(std::mem::take(whole));
    }
    printed(run, |printer| printer.print(args))
}

pub(super) fn println(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    printed(run, |printer| printer.println(args))
}

fn printed(run: &Run<'_>, print: impl FnOnce(&mut Printer<'_>)) -> Outcome<Value> {
    let mut out = Vec::new();
    print(&mut Printer::new(&mut out, run.limits().output));
    run.room(out.len())?;
    Ok(Value::Text(Text::from(out)))
}

pub(super) fn printf(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (pattern, args) = args.split_first().expect("printf takes one at least");
    printed(run, |printer| printer.printf(text(pattern), args))
}

/// The arguments as the escaping functions see them: printed as actions print them.
fn joined(run: &Run<'_>, args: &mut [Operand]) -> Outcome<Text> {
    if let [Operand { value: Value::Text(whole), .. }] = args {
        return Ok(whole.clone());
    }
    for operand in args.iter_mut() {
        if let Value::Nil = operand.value {
            operand.value = Value::Text(Text::from(format::NO_VALUE));
        }
    }
    let mut out = Vec::new();
    Printer::new(&mut out, run.limits().output).print(args);
    run.room(out.len())?;
    Ok(Text::from(out))
}

pub(super) fn html(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = joined(run, args)?;
    let special = |b: &u8| matches!(b, b'"' | b'\'' | b'&' | b'<' | b'>' | 0);
    if !whole.iter().any(special) {
        return Ok(Value::Text(whole));
    }
    let mut out = Vec::with_capacity(whole.len() + 16);
    for byte in whole.iter() {
        out.extend_from_slice(match byte {
            b'"' => b"&#34;",
            b'\'' => b"&#39;",
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            0 => "\u{FFFD}".as_bytes(),
            other => std::slice::from_ref(other),
        });
    }
    Ok(Value::Text(Text::from(out)))
}

pub(super) fn js(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = joined(run, args)?;
    let mut out = Vec::with_capacity(whole.len() + 16);
    for (at, c, width) in chars(&whole) {
        match c {
            '\\' | '\'' | '"' => out.extend_from_slice(&[b'\\', c as u8]),
            '<' | '>' | '&' | '=' | '\0'..' ' => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes());
            }
            c if !c.is_ascii() && !is_print(c) => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes());
            }
            _ => out.extend_from_slice(&whole[at..at + width]),
        }
    }
    Ok(Value::Text(Text::from(out)))
}

/// As in the query part of a URL: a space becomes a plus.
pub(super) fn urlquery(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = joined(run, args)?;
    let mut out = Vec::with_capacity(whole.len() + 16);
    for byte in whole.iter() {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            other if other.is_ascii_alphanumeric() => out.push(*other),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    Ok(Value::Text(Text::from(out)))
}
