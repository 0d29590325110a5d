//! Fields: what `.Name` means on each type of value.

use crate::Text;
use crate::code::FieldName;
use crate::error::{Fault, Outcome, fault};
use crate::methods::Method;
use crate::value::{Operand, Pair, Value};

/// A field, an entry of a map, or the result of a method that takes no arguments.
pub(crate) fn field(receiver: Operand, name: &FieldName) -> Outcome<Operand> {
    let shown = || String::from_utf8_lossy(&name.name).into_owned();
    if let Some(method) = name.method.filter(|method| method.is_of(&receiver.value)) {
        method.check(0)?;
        return Ok(method.invoke(&receiver.value, &mut [])?.into());
    }
    let value = match &receiver.value {
        Value::Nil if !receiver.boxed => return Ok(Operand::default()),
        Value::Nil => return fault(format!("nil pointer evaluating interface {{}}.{}", shown())),
        Value::Pair(pair) => pair.with(|pair| pair_field(pair, &name.name).cloned()).map(Value::Text),
        Value::Map(map) => {
            let found = map.as_ref().and_then(|map| map.get(&name.name));
            return Ok(found.map_or_else(Operand::default, |value| Operand::boxed(value.clone())));
        }
        Value::Server(server) => match &name.name[..] {
            b"Target" => Some(Value::Text(Text::from(server.target.clone()))),
            b"Port" => Some(Value::Short(server.port)),
            b"Priority" => Some(Value::Short(server.priority)),
            b"Weight" => Some(Value::Short(server.weight)),
            _ => None,
        },
        _ => None,
    };
    match value {
        Some(value) => Ok(value.into()),
        None => Err(no_field(&receiver.value, name)),
    }
}

/// A pair's field.
pub(crate) fn pair_field<'a>(pair: &'a Pair, name: &[u8]) -> Option<&'a Text> {
    match name {
        b"Value" => Some(&pair.value),
        b"Key" => Some(&pair.key),
        _ => None,
    }
}

/// The method of that name, which is to take so many arguments. Nothing else takes arguments.
pub(crate) fn method(receiver: &Operand, name: &FieldName, given: usize) -> Outcome<&'static Method> {
    let shown = || String::from_utf8_lossy(&name.name).into_owned();
    if let Some(method) = name.method.filter(|method| method.is_of(&receiver.value)) {
        method.check(given)?;
        return Ok(method);
    }
    match &receiver.value {
        Value::Nil => fault(format!("nil pointer evaluating interface {{}}.{}", shown())),
        Value::Map(_) => fault(format!("{} is not a method but has arguments", shown())),
        Value::Pair(pair) if pair.with(|pair| pair_field(pair, &name.name).is_some()) => {
            fault(format!("{} has arguments but cannot be invoked as function", shown()))
        }
        value => Err(no_field(value, name)),
    }
}

fn no_field(value: &Value, name: &FieldName) -> Fault {
    let field = String::from_utf8_lossy(&name.name);
    Fault::Message(format!("can't evaluate field {field} in type {}", value.type_name()))
}
