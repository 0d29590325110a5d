//! Methods: those of confd's list of pairs and of Go's `time.Time` that templates use.

use crate::error::{Outcome, fault};
use crate::functions::Param;
use crate::time;
use crate::value::{Operand, Pairs, Value};

/// A method, by the name it has on all its receivers.
pub(crate) struct Method {
    name: &'static str,
    receivers: &'static [Receiver],
    pub(crate) params: &'static [Param],
    run: fn(&Value, &[Operand]) -> Outcome<Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    Pairs,
    Time,
    Month,
    Weekday,
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Method {
    /// Whether `value` has this method.
    pub(crate) fn is_of(&self, value: &Value) -> bool {
        let receiver = match value {
            Value::Pairs(Pairs { named: true, .. }) => Receiver::Pairs,
            Value::Time(_) => Receiver::Time,
            Value::Month(_) => Receiver::Month,
            Value::Weekday(_) => Receiver::Weekday,
            _ => return false,
        };
        self.receivers.contains(&receiver)
    }

    /// Fails unless the method takes so many arguments.
    pub(crate) fn check(&self, given: usize) -> Outcome<()> {
        let (name, wanted) = (self.name, self.params.len());
        if given == wanted {
            return Ok(());
        }
        fault(format!("wrong number of args for {name}: want {wanted} got {given}"))
    }

    /// Calls it, after a look at the arguments' types.
    pub(crate) fn invoke(&self, receiver: &Value, args: &mut [Operand]) -> Outcome<Value> {
        for (param, operand) in self.params.iter().zip(args.iter_mut()) {
            if let Err(message) = param.accept(operand) {
                return fault(message);
            }
        }
        (self.run)(receiver, args)
    }
}

/// The method of that name.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    let index = METHODS.binary_search_by(|method| method.name.cmp(name)).ok()?;
    Some(&METHODS[index])
}

const fn on_time(
    name: &'static str,
    params: &'static [Param],
    run: fn(&Value, &[Operand]) -> Outcome<Value>,
) -> Method {
    Method { name, receivers: &[Receiver::Time], params, run }
}

const fn on_pairs(
    name: &'static str,
    params: &'static [Param],
    run: fn(&Value, &[Operand]) -> Outcome<Value>,
) -> Method {
    Method { name, receivers: &[Receiver::Pairs], params, run }
}

static METHODS: &[Method] = &[
    on_time("Add", &[Param::Duration], time::add),
    on_time("AddDate", &[Param::Int, Param::Int, Param::Int], time::add_date),
    on_time("After", &[Param::Time], time::after),
    on_time("Before", &[Param::Time], time::before),
    on_time("Compare", &[Param::Time], time::compare),
    on_time("Day", &[], time::day),
    on_time("Equal", &[Param::Time], time::equal),
    on_time("Format", &[Param::Text], time::format),
    on_time("Hour", &[], time::hour),
    on_time("IsZero", &[], time::is_zero),
    on_pairs("Len", &[], len),
    on_pairs("Less", &[Param::Int, Param::Int], less),
    on_time("Local", &[], time::local),
    on_time("Minute", &[], time::minute),
    on_time("Month", &[], time::month),
    on_time("Nanosecond", &[], time::nanosecond),
    on_time("Second", &[], time::second),
    Method {
        name: "String",
        receivers: &[Receiver::Time, Receiver::Month, Receiver::Weekday],
        params: &[],
        run: time::string,
    },
    on_pairs("Swap", &[Param::Int, Param::Int], swap),
    on_time("UTC", &[], time::utc),
    on_time("Unix", &[], time::unix),
    on_time("UnixMicro", &[], time::unix_micro),
    on_time("UnixMilli", &[], time::unix_milli),
    on_time("UnixNano", &[], time::unix_nano),
    on_time("Weekday", &[], time::weekday),
    on_time("Year", &[], time::year),
    on_time("YearDay", &[], time::year_day),
];

fn len(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    Ok(Value::Int(receiver.len().unwrap_or(0) as i64))
}

fn less(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    let pair = |operand: &Operand| match (receiver, &operand.value) {
        (Value::Pairs(pairs), Value::Int(index)) => {
            usize::try_from(*index).ok().and_then(|index| pairs.slice.get(index))
        }
        _ => None,
    };
    match (pair(&args[0]), pair(&args[1])) {
        (Some(a), Some(b)) => Ok(Value::Bool(a.key < b.key)),
        _ => fault("error calling Less: index out of range"),
    }
}

/// Go refuses to call what returns nothing.
fn swap(_: &Value, _: &[Operand]) -> Outcome<Value> {
    fault("can't call method/function \"Swap\" with 0 results")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(METHODS.is_sorted_by(|a, b| a.name < b.name));
    }
}
