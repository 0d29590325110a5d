//! Arithmetic of consul-template: on integers and fractions, with the second operand first, so that a pipe
//! reads well: `{{ 5 | subtract 2 }}` is 3. Integers wrap at 64 bits; what is not finite fails.

use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::value::{Operand, Value};

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn of(operand: &Operand) -> Outcome<Number> {
        match &operand.value {
            Value::Int(number) => Ok(Number::Int(*number)),
            Value::Byte(number) => Ok(Number::Int(i64::from(*number))),
            Value::Short(number) => Ok(Number::Int(i64::from(*number))),
            Value::Float(number) => Ok(Number::Float(*number)),
            other => fault(format!("wrong type for value; expected a number; got {}", other.type_name())),
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

/// Works on the second argument and the first, in integers if both are.
fn calculate(
    args: &[Operand],
    ints: fn(i64, i64) -> Option<i64>,
    floats: fn(f64, f64) -> f64,
) -> Outcome<Value> {
    match (Number::of(&args[1])?, Number::of(&args[0])?) {
        (Number::Int(a), Number::Int(b)) => {
            ints(a, b).map_or_else(|| fault("division by zero"), |n| Ok(Value::Int(n)))
        }
        (a, b) => match floats(a.float(), b.float()) {
            result if result.is_finite() => Ok(Value::Float(result)),
            _ => fault("the result is not a finite number"),
        },
    }
}

pub(super) fn subtract(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    calculate(args, |a, b| Some(a.wrapping_sub(b)), |a, b| a - b)
}

pub(super) fn multiply(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    calculate(args, |a, b| Some(a.wrapping_mul(b)), |a, b| a * b)
}

pub(super) fn divide(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    calculate(args, |a, b| (b != 0).then(|| a.wrapping_div(b)), |a, b| a / b)
}

/// Of integers only.
pub(super) fn modulo(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match (Number::of(&args[1])?, Number::of(&args[0])?) {
        (Number::Int(_), Number::Int(_)) => {}
        _ => return fault("wrong type for value; expected int; got float64"),
    }
    calculate(args, |a, b| (b != 0).then(|| a.wrapping_rem(b)), |a, _| a)
}

pub(super) fn minimum(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    choose(args, |a, b| a < b)
}

pub(super) fn maximum(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    choose(args, |a, b| a > b)
}

/// The second argument if it is better than the first, as it was given.
fn choose(args: &mut [Operand], better: fn(f64, f64) -> bool) -> Outcome<Value> {
    let chosen = match (Number::of(&args[1])?, Number::of(&args[0])?) {
        (Number::Int(a), Number::Int(b)) if a != b => usize::from((a > b) == better(1.0, 0.0)),
        (a, b) => usize::from(better(a.float(), b.float())),
    };
    Ok(std::mem::take(&mut args[chosen].value))
}
