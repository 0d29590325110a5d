//! What a key holds.

use std::fmt;

use bytes::Bytes;

/// The bytes under a key. It may be a secret: `Debug` shows its length only, and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Value(Bytes);

impl Value {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, to be shared without a copy.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value as text, if it is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl<T: Into<Bytes>> From<T> for Value {
    fn from(bytes: T) -> Value {
        Value(bytes.into())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

/// A value with the number of the write that set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the key holds.
    pub value: Value,
    /// The store's number for the write (etcd: `mod_revision`); 0 where a store has none. Two entries of
    /// one store with the same number are the same write, as long as its history was not replaced.
    pub revision: u64,
}

impl Entry {
    /// An entry of a store that does not number its writes.
    pub fn unnumbered(value: impl Into<Value>) -> Entry {
        Entry { value: value.into(), revision: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_a_value() {
        let shown = format!("{:?}", Entry::unnumbered("hunter2"));
        assert!(shown.contains("7 bytes") && !shown.contains("hunter2"), "{shown}");
    }
}
