//! Names: the keys that the store functions read, as an ordered map behind a trait.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, Deref};

use bytes::Bytes;

use crate::Text;

/// What `get`, `gets`, `getv`, `getvs`, `exists`, `ls` and `lsdir` read from.
///
/// Names are absolute clean paths (`/a/b`), ordered by their bytes.
pub trait Names {
    /// The value under exactly this name.
    fn get(&self, name: &[u8]) -> Option<Text>;

    /// Calls `each` with every name that starts with `prefix` and is not below `from`, and its value, in byte
    /// order, until it breaks. `from` starts with `prefix` or is empty; it lets the caller skip a subtree.
    fn scan(&self, prefix: &[u8], from: &[u8], each: &mut dyn FnMut(Name<'_>, &Bytes) -> ControlFlow<()>);
}

/// A name where it lies: in the bytes of its key, behind what is taken off their front.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    key: &'a Bytes,
    skip: usize,
}

impl<'a> Name<'a> {
    /// What `key` holds behind its first `skip` bytes.
    ///
    /// # Panics
    ///
    /// Later, if `key` is shorter than that.
    pub fn new(key: &'a Bytes, skip: usize) -> Name<'a> {
        Name { key, skip }
    }

    /// The name as a text that shares the key's bytes.
    pub fn to_text(self) -> Text {
        self.key.slice(self.skip..).into()
    }
}

impl Deref for Name<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.key[self.skip..]
    }
}

/// Keys in memory, for tests and small uses.
#[derive(Clone, Debug, Default)]
pub struct MemoryNames(BTreeMap<Text, Text>);

impl MemoryNames {
    /// No keys.
    pub fn new() -> MemoryNames {
        MemoryNames::default()
    }

    /// Sets a key, giving back what it held before.
    pub fn insert(&mut self, name: impl Into<Text>, value: impl Into<Text>) -> Option<Text> {
        self.0.insert(name.into(), value.into())
    }
}

impl<N: Into<Text>, V: Into<Text>> FromIterator<(N, V)> for MemoryNames {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(keys: I) -> MemoryNames {
        MemoryNames(keys.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Names for MemoryNames {
    fn get(&self, name: &[u8]) -> Option<Text> {
        self.0.get(name).cloned()
    }

    fn scan(&self, prefix: &[u8], from: &[u8], each: &mut dyn FnMut(Name<'_>, &Bytes) -> ControlFlow<()>) {
        let start = Bound::Included(prefix.max(from));
        for (name, value) in self.0.range::<[u8], _>((start, Bound::Unbounded)) {
            if !name.starts_with(prefix) || each(Name::new(name.as_bytes(), 0), value.as_bytes()).is_break() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_starts_at_from_and_ends_with_the_prefix() {
        let names: MemoryNames = [("/a/1", ""), ("/a/2", ""), ("/a/3", ""), ("/b", "")].into_iter().collect();
        let mut seen = Vec::new();
        names.scan(b"/a/", b"/a/2", &mut |name, _| {
            seen.push(name.to_text());
            ControlFlow::Continue(())
        });
        assert_eq!(seen, [Text::from("/a/2"), Text::from("/a/3")]);
    }
}
