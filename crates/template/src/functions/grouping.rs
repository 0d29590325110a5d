//! Grouping: lists put in groups, in order, without duplicates, and searched. They work on every kind of
//! list, leave it as it is, and give one of the same kind back.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use crate::Text;
use crate::code::FieldName;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::fields;
use crate::format;
use crate::list::Slice;
use crate::value::{Operand, Pair, Pairs, Value};
use crate::walk::{Event, walk};

/// The elements of a list of any kind.
fn elements(value: &Value) -> Outcome<Vec<Value>> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(_) | Value::Strings(_) | Value::Ints(_) | Value::Pairs(_) | Value::Servers(_) => {
            let count = value.len().unwrap_or(0);
            Ok((0..count).filter_map(|index| Some(value.element(index)?.value.detached())).collect())
        }
        other => fault(format!("wrong type for value; expected a list; got {}", other.type_name())),
    }
}

/// A list of the kind of `like`, with some of its elements.
fn same_kind(like: &Value, elements: Vec<Value>) -> Value {
    fn all<T: crate::list::Cell>(elements: Vec<Value>, part: fn(Value) -> Option<T>) -> Slice<T> {
        Slice::exact(elements.into_iter().filter_map(part).collect())
    }
    match like {
        Value::Strings(_) => Value::Strings(all(elements, |value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        })),
        Value::Ints(_) => Value::Ints(all(elements, |value| match value {
            Value::Int(int) => Some(int),
            _ => None,
        })),
        // Not confd's named type, so that `reverse` turns it around.
        Value::Pairs(_) => Value::Pairs(Pairs {
            slice: all(elements, |value| match value {
                Value::Pair(pair) => Some(pair.with(Pair::clone)),
                _ => None,
            }),
            named: false,
        }),
        Value::Servers(_) => Value::Servers(all(elements, |value| match value {
            Value::Server(server) => Some(server),
            _ => None,
        })),
        _ => Value::List(Slice::exact(elements)),
    }
}

/// What elements are grouped or sorted by.
enum By {
    /// A field, by its path: `Zone`, `Meta.version`.
    Field(Vec<FieldName>),
    /// A part of the key between slashes, from 0; from -1 backwards.
    Part(i64),
}

impl By {
    fn new(operand: &Operand) -> Outcome<By> {
        match &operand.value {
            Value::Text(path) => {
                Ok(By::Field(path.split(|byte| *byte == b'.').map(|name| field(path, name)).collect()))
            }
            Value::Int(part) => Ok(By::Part(*part)),
            other => fault(format!(
                "wrong type for value; expected the name of a field or the number of a part; got {}",
                other.type_name()
            )),
        }
    }

    /// Nil if the element has no such field or part.
    fn of(&self, element: &Value) -> Outcome<Value> {
        match self {
            By::Field(path) => path.iter().try_fold(element.clone(), |value, name| match value {
                Value::Nil => Ok(Value::Nil),
                value => Ok(fields::field(value.into(), name)?.value),
            }),
            By::Part(number) => Ok(part(&key(element)?, *number).map_or(Value::Nil, Value::Text)),
        }
    }
}

fn field(path: &Text, name: &[u8]) -> FieldName {
    FieldName { name: path.share(name), method: None }
}

/// What an element is called: the key of a pair or map, or the text itself.
fn key(element: &Value) -> Outcome<Text> {
    match element {
        Value::Text(text) => Ok(text.clone()),
        Value::Pair(pair) => Ok(pair.with(|pair| pair.key.clone())),
        Value::Map(Some(map)) => match map.get(b"Key") {
            Some(Value::Text(text)) => Ok(text.clone()),
            _ => fault("a map without Key has no parts"),
        },
        other => fault(format!("{} has no parts", other.type_name())),
    }
}

fn part(key: &Text, number: i64) -> Option<Text> {
    let mut parts = key.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let steps = usize::try_from(if number < 0 { -(number + 1) } else { number }).ok()?;
    let found = if number < 0 { parts.rev().nth(steps) } else { parts.nth(steps) };
    found.map(|part| key.share(part))
}

/// A map of lists. An element whose field is a list is in a group for each of those; one without the
/// field is in the group of the empty text.
pub(super) fn group_by(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (by, whole) = (By::new(&args[0])?, &args[1].value);
    let mut groups: BTreeMap<Text, Vec<Value>> = BTreeMap::new();
    let mut members = 0;
    for element in elements(whole)? {
        for name in names(&by.of(&element)?)? {
            members += 1;
            run.room(members * size_of::<Value>())?;
            groups.entry(name).or_default().push(element.clone());
        }
    }
    let groups = groups.into_iter().map(|(name, members)| (name, same_kind(whole, members)));
    Ok(Value::map(groups.collect()))
}

/// The groups for a field of that value.
fn names(value: &Value) -> Outcome<Vec<Text>> {
    match value {
        Value::Nil => Ok(vec![Text::default()]),
        Value::List(_) | Value::Strings(_) | Value::Ints(_) => elements(value)?.iter().map(name).collect(),
        value => Ok(vec![name(value)?]),
    }
}

fn name(value: &Value) -> Outcome<Text> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        value if value.len().is_some() => fault(format!("{} is no name of a group", value.type_name())),
        value => {
            let mut out = Vec::new();
            format::write(&mut out, value, usize::MAX);
            Ok(Text::from(out))
        }
    }
}

/// Elements of equal rank stay in their order. A `-` before the field turns the order around.
pub(super) fn sort_by(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut descending = false;
    if let Value::Text(path) = &args[0].value
        && path.starts_with(b"-")
    {
        descending = true;
        args[0].value = Value::Text(path.slice(1..));
    }
    let (by, whole) = (By::new(&args[0])?, &args[1].value);
    let ranked = elements(whole)?.into_iter().map(|element| Ok((by.of(&element)?, element)));
    let mut ranked = ranked.collect::<Outcome<Vec<(Value, Value)>>>()?;
    ranked.sort_by(|(a, _), (b, _)| if descending { compare(b, a) } else { compare(a, b) });
    Ok(same_kind(whole, ranked.into_iter().map(|(_, element)| element).collect()))
}

/// Nothing, then false and true, numbers by size, text by its bytes; all else is equal, and last.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Short(number) => Some(f64::from(*number)),
        Value::Byte(number) => Some(f64::from(*number)),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Nil => 0,
        Value::Bool(_) => 1,
        Value::Text(_) => 3,
        value if number(value).is_some() => 2,
        _ => 4,
    }
}

/// The first of all elements that are equal.
pub(super) fn unique(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let whole = &args[0].value;
    let (mut seen, mut kept, mut bytes) = (HashSet::new(), Vec::new(), 0);
    for element in elements(whole)? {
        let mark = mark(run, &element)?;
        bytes += mark.len();
        run.room(bytes)?;
        if seen.insert(mark) {
            kept.push(element);
        }
    }
    Ok(same_kind(whole, kept))
}

/// Bytes that only an equal value of the same type has.
fn mark(run: &Run<'_>, value: &Value) -> Outcome<Vec<u8>> {
    fn text(out: &mut Vec<u8>, text: &[u8]) {
        out.extend_from_slice(&text.len().to_be_bytes());
        out.extend_from_slice(text);
    }
    let mut out = Vec::new();
    walk(value, |event| {
        match event {
            Event::Leaf(value, _) | Event::Open(value) => text(&mut out, value.type_name().as_bytes()),
            Event::Item { key, .. } => text(&mut out, key.map_or(b"", |key| key)),
            Event::Close(_, count) => out.extend_from_slice(&count.to_be_bytes()),
        }
        if let Event::Leaf(value, _) = event {
            let mut printed = Vec::new();
            format::write(&mut printed, value, usize::MAX);
            text(&mut out, &printed);
        }
        run.room(out.len())
    })?;
    Ok(out)
}

/// Nil if there is none.
pub(super) fn first(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    at(&args[0].value, |count| (count > 0).then_some(0))
}

/// Nil if there is none.
pub(super) fn last(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    at(&args[0].value, |count| count.checked_sub(1))
}

fn at(list: &Value, index: fn(usize) -> Option<usize>) -> Outcome<Value> {
    match list {
        Value::Nil => Ok(Value::Nil),
        Value::Map(_) | Value::Text(_) => {
            fault(format!("wrong type for value; expected a list; got {}", list.type_name()))
        }
        list => match list.len() {
            Some(count) => {
                let found = index(count).and_then(|index| list.element(index));
                Ok(found.map_or(Value::Nil, |element| element.value.detached()))
            }
            None => fault(format!("wrong type for value; expected a list; got {}", list.type_name())),
        },
    }
}

/// Whether a list has an element, or a text a part. As in consul-template a text is no number, an integer
/// no fraction, and what is neither list nor text has nothing in it.
fn holds(whole: &Value, wanted: &Value) -> bool {
    let same = |element: &Value| match (element, wanted) {
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        _ => false,
    };
    match (whole, wanted) {
        (Value::Text(whole), Value::Text(part)) => memchr::memmem::find(whole, part).is_some(),
        (Value::Text(_), _) => false,
        (whole, _) => elements(whole).unwrap_or_default().iter().any(same),
    }
}

pub(super) fn is_in(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Bool(holds(&args[0].value, &args[1].value)))
}

pub(super) fn contains_all(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    count_held(args, |held, wanted| held == wanted)
}

pub(super) fn contains_any(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    count_held(args, |held, _| held > 0)
}

pub(super) fn contains_none(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    count_held(args, |held, _| held == 0)
}

pub(super) fn contains_not_all(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    count_held(args, |held, wanted| held < wanted)
}

/// Asks how many of the elements wanted, which come first, the second argument holds.
fn count_held(args: &[Operand], answer: fn(usize, usize) -> bool) -> Outcome<Value> {
    let wanted = elements(&args[0].value)?;
    let held = wanted.iter().filter(|wanted| holds(&args[1].value, wanted)).count();
    Ok(Value::Bool(answer(held, wanted.len())))
}
