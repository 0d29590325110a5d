//! What a store is opened with: where it is, what it bounds, how much history it keeps.

use std::path::PathBuf;
use std::time::Duration;

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory; it is made, 0700, if it is not there.
    pub dir: PathBuf,
    /// What one client can ask for.
    pub limits: Limits,
    /// How much of the past is kept.
    pub history: History,
    /// How much of the database redb keeps in memory, in bytes.
    pub cache: usize,
    /// The journal's size, in bytes: what is written to it twice before a checkpoint stays small.
    pub journal: u64,
}

impl Settings {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Settings {
        Settings {
            dir: dir.into(),
            limits: Limits::default(),
            history: History::default(),
            cache: 32 << 20,
            journal: 16 << 20,
        }
    }
}

/// Bounds, with etcd's defaults where it has them (`embed/config.go`).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one request: etcd's `--max-request-bytes`.
    pub request: usize,
    /// Operations, or comparisons, in one transaction: etcd's `--max-txn-ops`.
    pub operations: usize,
    /// Bytes of keys, values and history: etcd's `--quota-backend-bytes`.
    pub size: u64,
    /// Bytes that must be free on the disk for anything to be written.
    pub free: u64,
    /// Watches at a time.
    pub watches: usize,
    /// Leases at a time.
    pub leases: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request: 3 << 19,
            operations: 128,
            size: 2 << 30,
            free: 64 << 20,
            watches: 100_000,
            leases: 100_000,
        }
    }
}

/// How much of the past is kept for watches that resume and for reads at an old revision.
#[derive(Debug, Clone)]
pub struct History {
    /// About this many revisions: a tenth more before the next compaction.
    pub revisions: Option<u64>,
    /// About this long, counted from the start of the process: a twentieth more under load, up to twice when quiet.
    pub age: Option<Duration>,
}

impl Default for History {
    fn default() -> History {
        History { revisions: Some(100_000), age: Some(Duration::from_hours(1)) }
    }
}
