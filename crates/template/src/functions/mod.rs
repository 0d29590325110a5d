//! Functions: Go's built-in ones and confd's, with the types of their parameters.
//!
//! Arguments are checked against these types before a function runs, as Go's reflection does, so a
//! function takes its arguments apart without asking again. They are listed in `table.rs`.

mod address;
mod arithmetic;
mod builtins;
mod cidr;
mod collections;
mod compare;
mod consul;
mod endpoints;
mod grouping;
mod hashing;
mod math;
mod quoting;
mod strings;
mod table;
mod toml;
mod words;
mod yaml;

use crate::error::Outcome;
use crate::eval::Run;
use crate::list::Slice;
use crate::value::{Operand, Pairs, Value};
use table::FUNCTIONS;

/// A function that templates can call.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    params: &'static [Param],
    /// The last parameter stands for any number of arguments.
    variadic: bool,
    /// Who knows it first.
    pub(crate) since: Since,
    /// Go declares its result as `interface {}`.
    pub(crate) boxed: bool,
    pub(crate) run: Body,
}

/// Who knows a function first; each knows all that those before it know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// Go's text/template itself.
    Go,
    /// confd 0.16.
    Confd016,
    /// The fork of confd, at 0.41.
    Confd041,
    /// waypost alone.
    Waypost,
}

type Body = fn(&mut Run<'_>, &mut [Operand]) -> Outcome<Value>;

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    /// `interface {}`
    Any,
    /// `reflect.Value`: anything, as it lies, and whether it is in an interface.
    Raw,
    Text,
    Int,
    Bool,
    Duration,
    Time,
    Map,
    List,
    Strings,
    Pairs,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    const fn new(name: &'static str, params: &'static [Param], run: Body, since: Since) -> Function {
        Function { name, params, variadic: false, since, boxed: false, run }
    }

    const fn variadic(self) -> Function {
        Function { variadic: true, ..self }
    }

    const fn boxed(self) -> Function {
        Function { boxed: true, ..self }
    }

    /// What the argument at `index` must be; none if the function takes fewer.
    pub(crate) fn parameter(&self, index: usize) -> Option<Param> {
        match self.params.get(index) {
            None if self.variadic => self.params.last().copied(),
            known => known.copied(),
        }
    }

    /// If the function does not take so many arguments, what it wants instead.
    pub(crate) fn refuses(&self, given: usize) -> Option<String> {
        let fixed = self.params.len() - usize::from(self.variadic);
        match self.variadic {
            true if given < fixed => Some(format!("at least {fixed}")),
            false if given != fixed => Some(fixed.to_string()),
            _ => None,
        }
    }
}

/// All functions that templates can call, in the order of their names, and who knows each.
pub fn functions() -> impl Iterator<Item = (&'static str, Since)> {
    FUNCTIONS.iter().map(|function| (function.name, function.since))
}

/// The functions themselves, in that order.
pub(crate) fn all() -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter()
}

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    let index = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
    Some(&FUNCTIONS[index])
}

impl Param {
    /// Go's name of the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Raw => "reflect.Value",
            Param::Text => "string",
            Param::Int => "int",
            Param::Bool => "bool",
            Param::Duration => "time.Duration",
            Param::Time => "time.Time",
            Param::Map => "map[string]interface {}",
            Param::List => "[]interface {}",
            Param::Strings => "[]string",
            Param::Pairs => "[]memkv.KVPair",
        }
    }

    /// Whether nil is a value of the type.
    pub(crate) fn takes_nil(self) -> bool {
        !matches!(self, Param::Text | Param::Int | Param::Bool | Param::Duration | Param::Time)
    }

    /// Makes `operand` a value of this type, or says why it is none.
    pub(crate) fn accept(self, operand: &mut Operand) -> Result<(), String> {
        let fits = match (self, &mut operand.value) {
            (Param::Raw, _) => true,
            (Param::Any, value @ Value::Pair(_)) => {
                *value = std::mem::take(value).detached();
                true
            }
            (Param::Any, _)
            | (Param::Text, Value::Text(_))
            | (Param::Int | Param::Duration, Value::Int(_))
            | (Param::Bool, Value::Bool(_))
            | (Param::Time, Value::Time(_))
            | (Param::Map, Value::Map(_))
            | (Param::List, Value::List(_))
            | (Param::Strings, Value::Strings(_)) => true,
            (Param::Pairs, Value::Pairs(pairs)) => {
                pairs.named = false;
                true
            }
            (_, Value::Nil) if !operand.boxed => return self.accept_nil(operand),
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let found = if let Value::Nil = operand.value { "interface {}" } else { operand.value.type_name() };
        Err(format!("wrong type for value; expected {}; got {found}", self.name()))
    }

    fn accept_nil(self, operand: &mut Operand) -> Result<(), String> {
        operand.value = match self {
            Param::Map => Value::Map(None),
            Param::List => Value::List(Slice::nil()),
            Param::Strings => Value::Strings(Slice::nil()),
            Param::Pairs => Value::Pairs(Pairs { slice: Slice::nil(), named: false }),
            Param::Any | Param::Raw => Value::Nil,
            _ => return Err(format!("invalid value; expected {}", self.name())),
        };
        Ok(())
    }
}

/// What an argument holds, of the type that its parameter promised.
macro_rules! argument {
    ($(#[$doc:meta])* $name:ident, $type:ty, $pattern:pat => $value:expr) => {
        $(#[$doc])*
        pub(crate) fn $name(operand: &Operand) -> $type {
            match &operand.value {
                $pattern => $value,
                _ => unreachable!("arguments are checked before the call"),
            }
        }
    };
}

argument!(text, &crate::Text, Value::Text(text) => text);
argument!(int, i64, Value::Int(int) => *int);
argument!(boolean, bool, Value::Bool(bool) => *bool);
argument!(map, Option<&crate::value::Map>, Value::Map(map) => map.as_deref());
argument!(list, &Slice<Value>, Value::List(list) => list);
argument!(string_list, &Slice<crate::Text>, Value::Strings(list) => list);
argument!(pair_list, &Slice<crate::value::Pair>, Value::Pairs(pairs) => &pairs.slice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn confds_seventy_one_and_gos_nineteen_are_there() {
        let count = |since| FUNCTIONS.iter().filter(|function| function.since == since).count();
        // 0.16 has 4 more, which decrypt values; the fork dropped them.
        assert_eq!([Since::Go, Since::Confd016, Since::Confd041].map(count), [19, 39, 32]);
    }
}
