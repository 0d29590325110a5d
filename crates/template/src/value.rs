//! Values: what a template computes with, which are the Go types that confd's functions know.
//!
//! Values may be nested without bound and are dropped without recursion.

use std::rc::Rc;

use crate::Text;
use crate::list::{Cell, Cells, Slice};
use crate::time::Time;
use crate::world::Server;

/// A value with its Go type.
#[derive(Clone, Default)]
pub(crate) enum Value {
    /// No value: nil, or a field that is missing.
    #[default]
    Nil,
    /// The content of a variable whose declaration was not evaluated. Never seen by functions.
    Undeclared,
    Bool(bool),
    Int(i64),
    /// `uint8`: an element of a string.
    Byte(u8),
    /// `uint16`: a field of an SRV record.
    Short(u16),
    Float(f64),
    Complex(f64, f64),
    Text(Text),
    Month(i64),
    Weekday(i64),
    Time(Rc<Time>),
    /// `[]interface {}`
    List(Slice<Value>),
    /// `[]string`
    Strings(Slice<Text>),
    /// `[]int`
    Ints(Slice<i64>),
    /// `memkv.KVPairs`, which has methods, or plain `[]memkv.KVPair`.
    Pairs(Pairs),
    /// `[]*net.SRV`
    Servers(Slice<Rc<Server>>),
    Pair(PairAt),
    Server(Rc<Server>),
    /// `map[string]interface {}`, which may be nil.
    Map(Option<Rc<Map>>),
}

/// A value on its way, and whether Go would hold it in an `interface {}`: an element of a list of
/// anything, a field of a map. A nil in an interface is another thing than no value at all.
#[derive(Clone, Default)]
pub(crate) struct Operand {
    pub(crate) value: Value,
    pub(crate) boxed: bool,
}

impl From<Value> for Operand {
    fn from(value: Value) -> Operand {
        Operand { value, boxed: false }
    }
}

impl Operand {
    pub(crate) fn boxed(value: Value) -> Operand {
        Operand { value, boxed: true }
    }
}

/// A key and its value.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: Text,
    pub(crate) value: Text,
}

#[derive(Clone)]
pub(crate) struct Pairs {
    pub(crate) slice: Slice<Pair>,
    /// Whether the type is `memkv.KVPairs`.
    pub(crate) named: bool,
}

/// A pair where it lies: an element of a list follows when the list is sorted in place, as in Go.
#[derive(Clone)]
pub(crate) struct PairAt {
    cells: Rc<Cells<Pair>>,
    place: usize,
}

impl PairAt {
    pub(crate) fn new(pair: Pair) -> PairAt {
        let (cells, place) = Slice::exact(vec![pair]).place(0).expect("it is the only element");
        PairAt { cells, place }
    }

    /// The element of `slice` at `index`, if it is that long.
    pub(crate) fn element(slice: &Slice<Pair>, index: usize) -> Option<PairAt> {
        slice.place(index).map(|(cells, place)| PairAt { cells, place })
    }

    /// Becomes the element of `slice` at `index`; false, and unchanged, if it is of another list or there is
    /// no such element.
    pub(crate) fn step_to(&mut self, slice: &Slice<Pair>, index: usize) -> bool {
        let place = slice.place_in(&self.cells, index);
        self.place = place.unwrap_or(self.place);
        place.is_some()
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&Pair) -> R) -> R {
        self.cells.with(self.place, f)
    }
}

/// A map, in the order in which it prints and ranges: by the bytes of its keys.
#[derive(Default)]
pub(crate) struct Map(Vec<(Text, Value)>);

impl Map {
    /// Of keys given twice the last one counts.
    pub(crate) fn new(mut entries: Vec<(Text, Value)>) -> Map {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.reverse();
            entries.dedup_by(|earlier, later| earlier.0 == later.0);
            entries.reverse();
        }
        Map(entries)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value> {
        let index = self.0.binary_search_by(|(known, _)| known.as_ref().cmp(key)).ok()?;
        Some(&self.0[index].1)
    }

    pub(crate) fn entry(&self, index: usize) -> Option<&(Text, Value)> {
        self.0.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Text, Value)> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        dismantle(self.0.iter_mut().map(|(_, value)| value));
    }
}

impl Cell for Value {
    const SIZE: usize = 16;

    fn dismantle(cells: &mut Vec<Value>) {
        dismantle(cells.iter_mut());
    }
}

/// Drops what is nested in `values` level by level instead of recursively.
fn dismantle<'a>(values: impl Iterator<Item = &'a mut Value>) {
    let mut pending: Vec<Value> = values.filter(|value| value.nests()).map(std::mem::take).collect();
    while let Some(value) = pending.pop() {
        match value {
            Value::List(slice) => {
                if let Some(mut cells) = slice.into_cells() {
                    pending.extend(cells.take().into_iter().filter(Value::nests));
                }
            }
            Value::Map(Some(map)) => {
                if let Ok(mut map) = Rc::try_unwrap(map) {
                    let entries = std::mem::take(&mut map.0);
                    pending.extend(entries.into_iter().map(|(_, value)| value).filter(Value::nests));
                }
            }
            _ => {}
        }
    }
}

impl Cell for Text {
    const SIZE: usize = 16;
}

impl Cell for Pair {
    const SIZE: usize = 32;
}

impl Cell for Rc<Server> {
    const SIZE: usize = 8;
}

impl Value {
    pub(crate) fn pairs(slice: Slice<Pair>) -> Value {
        Value::Pairs(Pairs { slice, named: true })
    }

    pub(crate) fn map(entries: Vec<(Text, Value)>) -> Value {
        Value::Map(Some(Rc::new(Map::new(entries))))
    }

    pub(crate) fn strings(content: Vec<Text>) -> Value {
        Value::Strings(Slice::exact(content))
    }

    /// Whether it can hold other values.
    fn nests(&self) -> bool {
        matches!(self, Value::List(_) | Value::Map(Some(_)))
    }

    /// Go's truth: everything but false, zero, nil and what is empty. A struct is always true.
    pub(crate) fn truth(&self) -> bool {
        match self {
            Value::Nil | Value::Undeclared => false,
            Value::Bool(truth) => *truth,
            Value::Int(n) | Value::Month(n) | Value::Weekday(n) => *n != 0,
            Value::Byte(n) => *n != 0,
            Value::Short(n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Value::Time(_) | Value::Pair(_) | Value::Server(_) => true,
            collection => collection.len().is_some_and(|len| len > 0),
        }
    }

    /// The length of a string, list or map; nothing else has one.
    pub(crate) fn len(&self) -> Option<usize> {
        Some(match self {
            Value::Text(text) => text.len(),
            Value::List(list) => list.len(),
            Value::Strings(list) => list.len(),
            Value::Ints(list) => list.len(),
            Value::Pairs(list) => list.slice.len(),
            Value::Servers(list) => list.len(),
            Value::Map(map) => map.as_ref().map_or(0, |map| map.len()),
            _ => return None,
        })
    }

    /// The element of a list or byte of a string, held in an interface where the list is of those.
    pub(crate) fn element(&self, index: usize) -> Option<Operand> {
        Some(match self {
            Value::Text(text) => Value::Byte(*text.get(index)?).into(),
            Value::List(list) => Operand::boxed(list.get(index)?),
            Value::Strings(list) => Value::Text(list.get(index)?).into(),
            Value::Ints(list) => Value::Int(list.get(index)?).into(),
            Value::Pairs(list) => Value::Pair(PairAt::element(&list.slice, index)?).into(),
            Value::Servers(list) => Value::Server(list.get(index)?).into(),
            _ => return None,
        })
    }

    /// Whether it is nil: no value, or a list or map that was never made.
    pub(crate) fn is_nil(&self) -> bool {
        match self {
            Value::Nil | Value::Undeclared | Value::Map(None) => true,
            Value::List(list) => list.is_nil(),
            Value::Strings(list) => list.is_nil(),
            Value::Ints(list) => list.is_nil(),
            Value::Pairs(list) => list.slice.is_nil(),
            Value::Servers(list) => list.is_nil(),
            _ => false,
        }
    }

    /// The value as it goes into an interface: a pair is copied out of its list.
    pub(crate) fn detached(self) -> Value {
        match self {
            Value::Pair(pair) => Value::Pair(PairAt::new(pair.with(Pair::clone))),
            value => value,
        }
    }

    /// The name that Go's `%T` prints.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil | Value::Undeclared => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Byte(_) => "uint8",
            Value::Short(_) => "uint16",
            Value::Float(_) => "float64",
            Value::Complex(..) => "complex128",
            Value::Text(_) => "string",
            Value::Month(_) => "time.Month",
            Value::Weekday(_) => "time.Weekday",
            Value::Time(_) => "time.Time",
            Value::List(_) => "[]interface {}",
            Value::Strings(_) => "[]string",
            Value::Ints(_) => "[]int",
            Value::Pairs(Pairs { named: true, .. }) => "memkv.KVPairs",
            Value::Pairs(_) => "[]memkv.KVPair",
            Value::Servers(_) => "[]*net.SRV",
            Value::Pair(_) => "memkv.KVPair",
            Value::Server(_) => "*net.SRV",
            Value::Map(_) => "map[string]interface {}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_values_drop_on_a_small_stack() {
        let nest = || {
            let mut value = Value::Nil;
            for depth in 0..300_000 {
                value = match depth % 2 {
                    0 => Value::List(Slice::exact(vec![value])),
                    _ => Value::map(vec![(Text::from("k"), value)]),
                };
            }
            drop(value);
        };
        std::thread::Builder::new().stack_size(128 << 10).spawn(nest).unwrap().join().unwrap();
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let entry = |key: &'static str, n| (Text::from(key), Value::Int(n));
        let map = Map::new(vec![entry("b", 1), entry("a", 2), entry("b", 3), entry("b", 4)]);
        assert_eq!(map.len(), 2);
        assert!(matches!(map.get(b"b"), Some(Value::Int(4))));
    }
}
