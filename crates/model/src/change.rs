//! All entries at a position, and what takes a reader from one position to a later one.

use std::collections::BTreeMap;

use crate::{Entry, Key, Position};

/// Whether a snapshot shows one moment of its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exactness {
    /// Every entry is as it was at the position (etcd).
    Exact,
    /// Entries were read one after another; some may be younger than the position.
    Fuzzy,
}

/// All entries below the prefixes that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Where in the store's history a watch goes on from here.
    pub position: Position,
    /// Whether the entries show one moment.
    pub exactness: Exactness,
    /// The entries, by key.
    pub entries: BTreeMap<Key, Entry>,
}

/// One key's new state: an entry, or none if it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub key: Key,
    /// What it holds now; none if it is gone.
    pub entry: Option<Entry>,
}

/// What takes a reader from one state to a later one. Values in between may be left out, a deletion never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where the reader is once the changes are applied.
    pub position: Position,
    /// The changes, in order.
    pub changes: Vec<Change>,
}
