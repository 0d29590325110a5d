//! Comparison: `eq` and its relatives, which compare like with like (`text/template/funcs.go`).

use std::cmp::Ordering;
use std::rc::Rc;

use crate::error::{Fault, Outcome, fault};
use crate::eval::Run;
use crate::value::{Operand, Value};

/// What Go calls the basic kind. Signed and unsigned integers compare with each other.
#[derive(PartialEq)]
enum Basic<'a> {
    Bool(bool),
    Complex(f64, f64),
    Int(i64),
    Float(f64),
    Text(&'a [u8]),
    Unsigned(i64),
    Other,
}

fn basic(value: &Value) -> Basic<'_> {
    match value {
        Value::Bool(bool) => Basic::Bool(*bool),
        Value::Complex(re, im) => Basic::Complex(*re, *im),
        Value::Int(n) | Value::Month(n) | Value::Weekday(n) => Basic::Int(*n),
        Value::Float(float) => Basic::Float(*float),
        Value::Text(text) => Basic::Text(text),
        Value::Byte(n) => Basic::Unsigned(i64::from(*n)),
        Value::Short(n) => Basic::Unsigned(i64::from(*n)),
        _ => Basic::Other,
    }
}

fn incompatible<T>(a: &Value, b: &Value) -> Outcome<T> {
    let (a, b) = (a.type_name(), b.type_name());
    fault(format!("incompatible types for comparison: {a} and {b}"))
}

fn equal(a: &Value, b: &Value) -> Outcome<bool> {
    Ok(match (basic(a), basic(b)) {
        (Basic::Int(a) | Basic::Unsigned(a), Basic::Int(b) | Basic::Unsigned(b)) => a == b,
        (Basic::Other, Basic::Other) => return equal_others(a, b),
        (kind_a, kind_b) if std::mem::discriminant(&kind_a) == std::mem::discriminant(&kind_b) => {
            kind_a == kind_b
        }
        _ if matches!(a, Value::Nil) || matches!(b, Value::Nil) => false,
        _ => return incompatible(a, b),
    })
}

/// Nil, structs, and what cannot be compared but with nil.
fn equal_others(a: &Value, b: &Value) -> Outcome<bool> {
    let missing = matches!(a, Value::Nil) || matches!(b, Value::Nil);
    if !missing && shape(a) != shape(b) {
        let (a, b) = (a.type_name(), b.type_name());
        return fault(format!("non-comparable types: {a} and {b}"));
    }
    if a.is_nil() || b.is_nil() {
        return Ok(a.is_nil() == b.is_nil());
    }
    Ok(match (a, b) {
        (Value::Pair(a), Value::Pair(b)) => a.with(|a| b.with(|b| a == b)),
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Server(a), Value::Server(b)) => Rc::ptr_eq(a, b),
        (Value::Pair(_), Value::Time(_)) | (Value::Time(_), Value::Pair(_)) => false,
        _ => return fault(format!("non-comparable type: {}", b.type_name())),
    })
}

/// Go's kind: slice, map, struct or pointer.
fn shape(value: &Value) -> u8 {
    match value {
        Value::Map(_) => 0,
        Value::Pair(_) | Value::Time(_) => 1,
        Value::Server(_) => 2,
        _ => 3,
    }
}

fn order(a: &Value, b: &Value) -> Outcome<Option<Ordering>> {
    let invalid = || Fault::Message("invalid type for comparison".to_owned());
    Ok(match (basic(a), basic(b)) {
        (Basic::Other, _) | (_, Basic::Other) => return Err(invalid()),
        (Basic::Int(a) | Basic::Unsigned(a), Basic::Int(b) | Basic::Unsigned(b)) => Some(a.cmp(&b)),
        (Basic::Float(a), Basic::Float(b)) => a.partial_cmp(&b),
        (Basic::Text(a), Basic::Text(b)) => Some(a.cmp(b)),
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => return Err(invalid()),
        _ => return incompatible(a, b),
    })
}

/// Whether the first argument equals one of the others. Stops at the first that does.
pub(super) fn eq(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (first, others) = args.split_first().expect("eq takes one at least");
    if others.is_empty() {
        return fault("missing argument for comparison");
    }
    for other in others {
        if equal(&first.value, &other.value)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn ne(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    equal(&args[0].value, &args[1].value).map(|equal| Value::Bool(!equal))
}

pub(super) fn lt(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    compare(args, |order| order == Some(Ordering::Less))
}

pub(super) fn le(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    compare(args, |order| matches!(order, Some(Ordering::Less | Ordering::Equal)))
}

/// Go defines it as not `le`.
pub(super) fn gt(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    compare(args, |order| !matches!(order, Some(Ordering::Less | Ordering::Equal)))
}

/// Go defines it as not `lt`.
pub(super) fn ge(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    compare(args, |order| order != Some(Ordering::Less))
}

fn compare(args: &[Operand], holds: fn(Option<Ordering>) -> bool) -> Outcome<Value> {
    order(&args[0].value, &args[1].value).map(|order| Value::Bool(holds(order)))
}
