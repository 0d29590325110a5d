//! Walk: goes through a nested value without recursion, for printing and for JSON.

use crate::Text;
use crate::value::Value;

/// What a walk comes by.
pub(crate) enum Event<'a> {
    /// A value that holds no others, a pair among them; whether it is in a list or map.
    Leaf(&'a Value, bool),
    /// A list or map begins.
    Open(&'a Value),
    /// An element follows, under a key if it is a map's.
    Item { first: bool, key: Option<&'a Text> },
    /// The list or map ends, after so many elements.
    Close(&'a Value, usize),
}

/// Shows `visit` all of `value`, until it fails.
pub(crate) fn walk<E>(value: &Value, mut visit: impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
    let mut open: Vec<(Value, usize)> = Vec::new();
    let mut current = Some(value.clone());
    loop {
        if let Some(value) = current.take() {
            if value.len().is_some() && !matches!(value, Value::Text(_)) {
                visit(Event::Open(&value))?;
                open.push((value, 0));
            } else {
                visit(Event::Leaf(&value, !open.is_empty()))?;
            }
        }
        let Some((container, next)) = open.last_mut() else { return Ok(()) };
        let first = *next == 0;
        let child = match container {
            Value::Map(map) => {
                let entry = map.as_ref().and_then(|map| map.entry(*next));
                if let Some((key, _)) = entry {
                    visit(Event::Item { first, key: Some(key) })?;
                }
                entry.map(|(_, value)| value.clone())
            }
            list => {
                let element = list.element(*next);
                if element.is_some() {
                    visit(Event::Item { first, key: None })?;
                }
                element.map(|element| element.value)
            }
        };
        *next += 1;
        current = child;
        if current.is_none()
            && let Some((container, next)) = open.pop()
        {
            visit(Event::Close(&container, next - 1))?;
        }
    }
}
