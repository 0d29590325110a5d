//! Collections: lists and maps, what is empty, and what to take instead.

use super::{boolean, list, map, pair_list, string_list, text};
use crate::dialect::Dialect;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::list::Slice;
use crate::sort::sort;
use crate::value::{Operand, Value};

pub(super) fn list_of(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::List(Slice::exact(args.iter_mut().map(take).collect())))
}

fn take(operand: &mut Operand) -> Value {
    std::mem::take(&mut operand.value)
}

/// `dict` and `map`: keys and values in turn.
pub(super) fn dict(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    if !args.len().is_multiple_of(2) {
        return fault("invalid map call");
    }
    let mut entries = Vec::with_capacity(args.len() / 2);
    for entry in args.chunks_exact_mut(2) {
        let Value::Text(key) = take(&mut entry[0]) else { return fault("map keys must be strings") };
        entries.push((key, take(&mut entry[1])));
    }
    Ok(Value::map(entries))
}

pub(super) fn append(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let element = take(&mut args[1]);
    Ok(Value::List(list(&args[0]).append(element)))
}

pub(super) fn has_key(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let known = map(&args[0]).is_some_and(|map| map.get(text(&args[1])).is_some());
    Ok(Value::Bool(known))
}

pub(super) fn keys(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let entries = map(&args[0]).into_iter().flat_map(crate::value::Map::iter);
    Ok(Value::strings(entries.map(|(key, _)| key.clone()).collect()))
}

pub(super) fn values(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let entries = map(&args[0]).into_iter().flat_map(crate::value::Map::iter);
    Ok(Value::List(Slice::exact(entries.map(|(_, value)| value.clone()).collect())))
}

/// The values that some maps have under one key.
pub(super) fn pluck(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (key, maps) = args.split_first().expect("pluck takes one at least");
    let found = maps.iter().filter_map(|operand| map(operand)?.get(text(key)).cloned());
    Ok(Value::List(Slice::appended(found.collect())))
}

/// What confd calls empty: zero, false, nil, and strings and collections of no length. A complex zero is
/// not, nor is a struct unless all its fields are.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Complex(..) | Value::Time(_) | Value::Server(_) => false,
        Value::Pair(pair) => pair.with(|pair| pair.key.is_empty() && pair.value.is_empty()),
        value => !value.truth(),
    }
}

pub(super) fn empty(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Bool(is_empty(&args[0].value)))
}

pub(super) fn default(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let chosen = usize::from(!is_empty(&args[1].value));
    Ok(take(&mut args[chosen]))
}

pub(super) fn coalesce(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(args.iter_mut().find(|operand| !is_empty(&operand.value)).map(take).unwrap_or_default())
}

pub(super) fn ternary(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let chosen = usize::from(!boolean(&args[2]));
    Ok(take(&mut args[chosen]))
}

/// A reversed copy of strings or plain pairs; anything else, even what `gets` returns, comes back as it
/// is, because its type has another name. confd 0.16 makes no copy: whoever holds the list sees it turned.
pub(super) fn reverse(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    if run.dialect == Dialect::Confd016 {
        return Ok(turned(take(&mut args[0])));
    }
    Ok(match take(&mut args[0]) {
        Value::Strings(list) => Value::Strings(reversed(&list)),
        Value::Pairs(pairs) if !pairs.named => {
            Value::Pairs(crate::value::Pairs { slice: reversed(&pairs.slice), named: false })
        }
        other => other,
    })
}

/// The value itself, turned round if it is a list of strings or plain pairs.
fn turned(value: Value) -> Value {
    match &value {
        Value::Strings(list) => list.with_mut(<[_]>::reverse),
        Value::Pairs(pairs) if !pairs.named => pairs.slice.with_mut(<[_]>::reverse),
        _ => {}
    }
    value
}

fn reversed<T: crate::list::Cell>(list: &Slice<T>) -> Slice<T> {
    Slice::exact(list.with(|cells| cells.iter().rev().cloned().collect()))
}

/// Sorts the list itself.
pub(super) fn sort_by_length(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    string_list(&args[0]).with_mut(|strings| sort(strings, |a, b| a.len() < b.len()));
    Ok(take(&mut args[0]))
}

/// Sorts the list itself, by the lengths of the keys.
pub(super) fn sort_kv_by_length(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    pair_list(&args[0]).with_mut(|pairs| sort(pairs, |a, b| a.key.len() < b.key.len()));
    Ok(take(&mut args[0]))
}
