//! How far in the history of which store.

use std::fmt;

/// Which store a position belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreId {
    /// The store's own identity, the same at every start: etcd's cluster id.
    Lasting(u64),
    /// Drawn at the start of this process, for a store that has none: it says nothing about earlier runs.
    Drawn(u64),
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (StoreId::Lasting(id) | StoreId::Drawn(id)) = self;
        write!(f, "{id:x}")
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
        Position { store: StoreId::Drawn(0), revision: 0 }
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
