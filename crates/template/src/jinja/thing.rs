//! Things: pairs, SRV records and times, which have fields or methods, as templates see them.
//!
//! Fields and methods have Go's names, and those in small letters: `pair.Key` is `pair.key`.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value as Jinja};

use super::values::{Budget, Plain, to_jinja};
use super::worker::refused;
use crate::Text;
use crate::code::FieldName;
use crate::error::Fault;
use crate::fields;
use crate::format;
use crate::functions::Param;
use crate::methods;
use crate::time::Time;
use crate::value::{Operand, Pair, PairAt, Value};
use crate::world::Server;

/// A value that is more than a string, a number or a list of them.
#[derive(Clone)]
pub(super) enum Thing {
    Pair(Text, Text),
    Server(Server),
    Time(Time),
    Month(i64),
    Weekday(i64),
}

impl fmt::Debug for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_value().type_name())
    }
}

impl Thing {
    pub(super) fn of(value: &Value) -> Option<Thing> {
        Some(match value {
            Value::Pair(pair) => pair.with(|pair| Thing::Pair(pair.key.clone(), pair.value.clone())),
            Value::Server(server) => Thing::Server(Server::clone(server)),
            Value::Time(time) => Thing::Time(Time::clone(time)),
            Value::Month(month) => Thing::Month(*month),
            Value::Weekday(weekday) => Thing::Weekday(*weekday),
            _ => return None,
        })
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Thing::Pair(key, value) => {
                Value::Pair(PairAt::new(Pair { key: key.clone(), value: value.clone() }))
            }
            Thing::Server(server) => Value::Server(Rc::new(server.clone())),
            Thing::Time(time) => Value::Time(Rc::new(time.clone())),
            Thing::Month(month) => Value::Month(*month),
            Thing::Weekday(weekday) => Value::Weekday(*weekday),
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        match self {
            Thing::Pair(..) => &["Key", "Value"],
            Thing::Server(_) => &["Target", "Port", "Priority", "Weight"],
            Thing::Time(_) | Thing::Month(_) | Thing::Weekday(_) => &[],
        }
    }

    fn field(&self, name: &str) -> Option<Jinja> {
        let known = self.fields().iter().find(|field| ***field == *capitalized(name))?;
        let name = FieldName { name: Text::from(*known), method: None };
        let field = fields::field(self.to_value().into(), &name).ok()?;
        to_jinja(&field.value, &mut Budget::new(u64::MAX)).ok()
    }
}

/// Go's name for one that begins with a small letter.
fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

impl Object for Thing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.fields().is_empty() { ObjectRepr::Plain } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.field(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.fields() {
            [] => Enumerator::NonEnumerable,
            fields => Enumerator::Str(fields),
        }
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Jinja],
    ) -> Result<Jinja, Error> {
        let receiver = self.to_value();
        let known = methods::find(&capitalized(method)).filter(|method| method.is_of(&receiver));
        let Some(known) = known else { return Err(Error::from(ErrorKind::UnknownMethod)) };
        known.check(args.len()).map_err(of_fault)?;
        let mut operands = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            let param = known.params.get(index).copied().unwrap_or(Param::Any);
            operands.push(Operand::from(Plain::of(state, arg)?.into_value(param)));
        }
        let value = known.invoke(&receiver, &mut operands).map_err(of_fault)?;
        to_jinja(&value, &mut Budget::new(u64::MAX)).map_err(refused)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        format::write(&mut out, &self.to_value(), usize::MAX);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

fn of_fault(fault: Fault) -> Error {
    refused(fault.to_string())
}
