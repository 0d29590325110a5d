//! Integers: arithmetic that wraps at 64 bits, `seq`, and reading numbers and truth values.

use super::{int, text};
use crate::dialect::Dialect;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::list::Slice;
use crate::value::{Operand, Value};

/// The longest list that `seq` makes. Go dies of memory somewhat later.
pub(super) const LONGEST: u64 = 1 << 26;

pub(super) fn add(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Int(int(&args[0]).wrapping_add(int(&args[1]))))
}

pub(super) fn sub(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Int(int(&args[0]).wrapping_sub(int(&args[1]))))
}

pub(super) fn mul(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Int(int(&args[0]).wrapping_mul(int(&args[1]))))
}

pub(super) fn div(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match int(&args[1]) {
        0 => fault("division by zero"),
        divisor => Ok(Value::Int(int(&args[0]).wrapping_div(divisor))),
    }
}

pub(super) fn modulo(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match int(&args[1]) {
        0 => fault("modulo by zero"),
        divisor => Ok(Value::Int(int(&args[0]).wrapping_rem(divisor))),
    }
}

/// From the first to the last, up or down; confd 0.16 counts up only.
pub(super) fn seq(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (first, last) = (int(&args[0]), int(&args[1]));
    if first > last && run.dialect == Dialect::Confd016 {
        return Ok(Value::Ints(Slice::nil()));
    }
    if first.abs_diff(last) >= LONGEST {
        return fault("list is too long");
    }
    let list = if first <= last { (first..=last).collect() } else { (last..=first).rev().collect() };
    Ok(Value::Ints(Slice::exact(list)))
}

/// `strconv.Atoi`: an optional sign and ASCII digits.
pub(super) fn atoi(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let digits = text(&args[0]);
    let value = std::str::from_utf8(digits).ok().map(str::parse::<i64>);
    match value {
        Some(Ok(int)) => Ok(Value::Int(int)),
        Some(Err(error)) if is_overflow(&error) => fault("strconv.Atoi: value out of range"),
        _ => fault("strconv.Atoi: invalid syntax"),
    }
}

fn is_overflow(error: &std::num::ParseIntError) -> bool {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    matches!(error.kind(), PosOverflow | NegOverflow)
}

/// `strconv.ParseBool`.
pub(super) fn parse_bool(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match &text(&args[0])[..] {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(Value::Bool(true)),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(Value::Bool(false)),
        _ => fault("strconv.ParseBool: invalid syntax"),
    }
}
