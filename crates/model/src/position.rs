//! How far in the history of which store.

use std::fmt;

/// Which store a position belongs to: etcd's cluster id, or an identity drawn at the start of a polled store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u64);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A point in the history of one store. Positions of different stores cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which store.
    pub store: StoreId,
    /// How far: etcd's revision, or a counter.
    pub revision: u64,
}

impl Position {
    /// A position in `store`.
    pub fn new(store: StoreId, revision: u64) -> Position {
        Position { store, revision }
    }

    /// The only position of a store that cannot change, such as an environment.
    pub fn fixed() -> Position {
        Position { store: StoreId(0), revision: 0 }
    }

    /// True if both are of one store and this one is earlier.
    pub fn is_before(&self, other: &Position) -> bool {
        self.store == other.store && self.revision < other.revision
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.store, self.revision)
    }
}
