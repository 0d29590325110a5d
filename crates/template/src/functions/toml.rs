//! TOML: a map as a document. Whole numbers are written without a fraction, since JSON, where most values
//! come from, does not tell 1 from 1.0; entries without a value are left out, since TOML has none.

use toml::{Table, Value as Toml};

use crate::Text;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::value::{Map, Operand, Value};

/// As deep as lists and maps may be nested.
const DEPTH: usize = 64;

/// Floats up to here are whole numbers exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Without a line break at the end, as consul-template's.
pub(super) fn to_toml(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let Value::Map(Some(map)) = &args[0].value else {
        return fault(format!("toToml: a map is needed at the top; got {}", args[0].value.type_name()));
    };
    let table = Builder { run, bytes: 0 }.table(map, 0)?;
    match toml::to_string(&table) {
        Ok(document) => Ok(Value::Text(Text::from(document.trim_end().to_owned()))),
        Err(_) => fault("toToml: the map cannot be written as TOML"),
    }
}

/// Counts what it makes: a value that is shared is written as often as it is found.
struct Builder<'a, 'r> {
    run: &'a Run<'r>,
    bytes: usize,
}

impl Builder<'_, '_> {
    fn table(&mut self, map: &Map, depth: usize) -> Outcome<Table> {
        let mut table = Table::new();
        for (name, value) in map.iter() {
            if !value.is_nil() {
                table.insert(self.string(name)?, self.value(value, depth + 1)?);
            }
        }
        Ok(table)
    }

    fn value(&mut self, value: &Value, depth: usize) -> Outcome<Toml> {
        if depth > DEPTH {
            return fault("toToml: nested too deep");
        }
        self.count(8)?;
        Ok(match value {
            Value::Bool(truth) => Toml::Boolean(*truth),
            Value::Int(n) | Value::Month(n) | Value::Weekday(n) => Toml::Integer(*n),
            Value::Byte(n) => Toml::Integer(i64::from(*n)),
            Value::Short(n) => Toml::Integer(i64::from(*n)),
            Value::Float(n) if n.fract() == 0.0 && n.abs() <= EXACT => Toml::Integer(*n as i64),
            Value::Float(n) => Toml::Float(*n),
            Value::Text(text) => Toml::String(self.string(text)?),
            Value::Time(time) => Toml::String(self.string(&time.rfc3339())?),
            Value::Map(map) => {
                Toml::Table(map.as_deref().map_or(Ok(Table::new()), |map| self.table(map, depth))?)
            }
            Value::Pair(pair) => {
                let (key, value) = pair.with(|pair| (pair.key.clone(), pair.value.clone()));
                let fields = [("Key", key), ("Value", value)];
                let entries =
                    fields.map(|(name, text)| Ok((name.to_owned(), Toml::String(self.string(&text)?))));
                Toml::Table(entries.into_iter().collect::<Outcome<Table>>()?)
            }
            Value::Nil => return fault("toToml: a list has an element without a value"),
            list if list.len().is_some() => {
                let elements = (0..list.len().unwrap_or(0)).filter_map(|index| list.element(index));
                Toml::Array(
                    elements.map(|element| self.value(&element.value, depth + 1)).collect::<Outcome<_>>()?,
                )
            }
            other => return fault(format!("toToml: unsupported type: {}", other.type_name())),
        })
    }

    fn string(&mut self, text: &[u8]) -> Outcome<String> {
        self.count(text.len())?;
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => fault("toToml: text that is not UTF-8"),
        }
    }

    fn count(&mut self, bytes: usize) -> Outcome<()> {
        self.bytes += bytes;
        self.run.room(self.bytes)
    }
}
