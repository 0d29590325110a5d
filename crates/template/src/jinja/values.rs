//! Values on their way between minijinja and the functions.
//!
//! A list is of Go's type that the function wants; whole floats, as JSON numbers are in Go, become integers
//! in a template, which prints `80` and not `80.0`. Nested deeper than [`DEEPEST`] nothing passes: what goes
//! over a value here recurses.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value as Jinja};

use super::thing::Thing;
use super::worker::refused;
use crate::Text;
use crate::functions::Param;
use crate::list::Slice;
use crate::value::{Pair, Pairs, Value};

/// Lists within lists, which JSON and YAML of people have not.
const DEEPEST: usize = 200;

const TOO_DEEP: &str = "value is nested too deeply";

/// A value that can go to another thread, and holds nothing of minijinja's.
#[derive(Clone)]
pub(super) enum Plain {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    List(Vec<Plain>),
    Map(Vec<(Text, Plain)>),
    Thing(Thing),
}

impl Plain {
    /// What a template hands to a function; each element costs fuel.
    pub(super) fn of(state: &State<'_, '_>, value: &Jinja) -> Result<Plain, Error> {
        Plain::nested(state, value, 0)
    }

    fn nested(state: &State<'_, '_>, value: &Jinja, depth: usize) -> Result<Plain, Error> {
        if depth > DEEPEST {
            return Err(refused(TOO_DEEP));
        }
        if let Some(thing) = value.downcast_object_ref::<Thing>() {
            return Ok(Plain::Thing(thing.clone()));
        }
        Ok(match value.kind() {
            ValueKind::Undefined | ValueKind::None => Plain::Nil,
            ValueKind::Bool => Plain::Bool(value.is_true()),
            ValueKind::Number => return Plain::number(value),
            ValueKind::String | ValueKind::Bytes => {
                let bytes = value.as_bytes().unwrap_or_default();
                state.consume_fuel(bytes.len() as u64 / 64)?;
                Plain::Text(Text::from(bytes.to_vec()))
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let mut list = Vec::new();
                for element in value.try_iter()? {
                    state.consume_fuel(1)?;
                    list.push(Plain::nested(state, &element, depth + 1)?);
                }
                Plain::List(list)
            }
            ValueKind::Map => {
                let mut entries = Vec::new();
                for key in value.try_iter()? {
                    state.consume_fuel(2)?;
                    let Some(name) = key.as_str() else { return Err(refused("map keys must be strings")) };
                    let element = Plain::nested(state, &value.get_item(&key)?, depth + 1)?;
                    entries.push((Text::from(name.to_owned()), element));
                }
                Plain::Map(entries)
            }
            other => return Err(refused(format!("a function takes no value of type {other}"))),
        })
    }

    fn number(value: &Jinja) -> Result<Plain, Error> {
        if !value.is_integer() {
            return f64::try_from(value.clone()).map(Plain::Float);
        }
        value.as_i64().map(Plain::Int).ok_or_else(|| refused("integer has more than 64 bits"))
    }

    /// The value for a parameter.
    pub(super) fn into_value(self, param: Param) -> Value {
        match self {
            Plain::Nil => Value::Nil,
            Plain::Bool(truth) => Value::Bool(truth),
            Plain::Int(int) => Value::Int(int),
            Plain::Float(float) => match whole(float) {
                Some(int) if matches!(param, Param::Int | Param::Duration) => Value::Int(int),
                _ => Value::Float(float),
            },
            Plain::Text(text) => Value::Text(text),
            Plain::Thing(thing) => thing.to_value(),
            Plain::List(list) => list_for(list, param),
            Plain::Map(entries) => {
                let entry = |(key, value): (Text, Plain)| (key, value.into_value(Param::Any));
                Value::map(entries.into_iter().map(entry).collect())
            }
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Plain::Text(_))
    }

    fn pair(&self) -> Option<Pair> {
        match self {
            Plain::Thing(Thing::Pair(key, value)) => Some(Pair { key: key.clone(), value: value.clone() }),
            _ => None,
        }
    }
}

/// The list of Go's type that the function wants: strings and pairs have types of their own.
fn list_for(list: Vec<Plain>, param: Param) -> Value {
    let any = matches!(param, Param::Any | Param::Raw) && !list.is_empty();
    if (any || param == Param::Strings) && list.iter().all(Plain::is_text) {
        let text = |element| match element {
            Plain::Text(text) => Some(text),
            _ => None,
        };
        return Value::strings(list.into_iter().filter_map(text).collect());
    }
    if (any || param == Param::Pairs)
        && let Some(pairs) = list.iter().map(Plain::pair).collect::<Option<Vec<Pair>>>()
    {
        return Value::Pairs(Pairs { slice: Slice::exact(pairs), named: false });
    }
    Value::List(Slice::exact(list.into_iter().map(|element| element.into_value(Param::Any)).collect()))
}

/// The integer that a float is, if it is one that both types hold exactly.
fn whole(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

/// What a result may cost, in fuel.
pub(super) struct Budget {
    bound: u64,
    left: u64,
}

impl Budget {
    pub(super) fn new(bound: u64) -> Budget {
        Budget { bound, left: bound }
    }

    pub(super) fn spent(&self) -> u64 {
        self.bound - self.left
    }

    fn spend(&mut self, fuel: usize) -> Result<(), &'static str> {
        self.left = self.left.checked_sub(fuel as u64).ok_or("result is too large")?;
        Ok(())
    }
}

/// What a template gets for a function's result.
pub(super) fn to_jinja(value: &Value, budget: &mut Budget) -> Result<Jinja, &'static str> {
    nested(value, budget, 0)
}

fn nested(value: &Value, budget: &mut Budget, depth: usize) -> Result<Jinja, &'static str> {
    if depth > DEEPEST {
        return Err(TOO_DEEP);
    }
    Ok(match value {
        Value::Nil | Value::Undeclared => Jinja::from(()),
        Value::Bool(truth) => Jinja::from(*truth),
        Value::Int(int) => Jinja::from(*int),
        Value::Byte(byte) => Jinja::from(*byte),
        Value::Short(short) => Jinja::from(*short),
        Value::Float(float) => whole(*float).map_or_else(|| Jinja::from(*float), Jinja::from),
        Value::Text(text) => {
            budget.spend(text.len() / 64)?;
            of_text(text)
        }
        Value::Map(map) => {
            let mut entries = Vec::new();
            for (key, value) in map.iter().flat_map(|map| map.iter()) {
                budget.spend(2)?;
                entries.push((of_text(key), nested(value, budget, depth + 1)?));
            }
            Jinja::from_pairs(entries)
        }
        single => match (Thing::of(single), single.len()) {
            (Some(thing), _) => {
                budget.spend(2)?;
                Jinja::from_object(thing)
            }
            (None, Some(len)) => {
                budget.spend(len)?;
                let mut list = Vec::with_capacity(len);
                for element in (0..len).filter_map(|index| single.element(index)) {
                    list.push(nested(&element.value, budget, depth + 1)?);
                }
                Jinja::from(list)
            }
            (None, None) => return Err("result has no form in Jinja"),
        },
    })
}

/// A string, or bytes that are none.
pub(super) fn of_text(text: &Text) -> Jinja {
    match str::from_utf8(text) {
        Ok(string) => Jinja::from(string),
        Err(_) => Jinja::from_bytes(text.to_vec()),
    }
}
