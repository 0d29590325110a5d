//! The contract that every store fulfils.

use std::fmt;
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::BoxStream;
use waypost_model::{Batch, Key, Position, Prefix, Snapshot, Value};

use crate::{Registration, Result};

/// The reading side of a store, shared behind an `Arc`.
///
/// An implementation does not retry, cache or log values: the Mirror does the first two, and a value
/// may be a secret.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Reads everything under `prefixes`; the snapshot says whether it is exact or fuzzy. No keys is an
    /// empty snapshot, not an error; no answer is an error, not an empty snapshot.
    fn snapshot<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>>;

    /// Streams what changed after `after`, in order. Values in between may be skipped, a deletion never.
    ///
    /// An `Err` ends the stream. [`ErrorKind::Lost`](crate::ErrorKind::Lost) says that `after` is out of
    /// the store's reach; after any error the caller takes a new snapshot, since a store that answers
    /// again may not be the one that went silent.
    fn watch(&self, prefixes: &[Prefix], after: Position) -> BoxStream<'static, Result<Batch>>;

    /// Asks, for less than a snapshot costs, whether anything below `prefixes` was written after `since`.
    ///
    /// None if the store has no such question; then only a snapshot tells.
    fn audit<'a>(
        &'a self,
        _prefixes: &'a [Prefix],
        _since: Position,
    ) -> BoxFuture<'a, Result<Option<Audit>>> {
        future::ready(Ok(None)).boxed()
    }
}

/// What a store says of itself when asked what is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Where the store is now.
    pub position: Position,
    /// How many keys are below the prefixes.
    pub keys: usize,
    /// Whether any of them was written after the position that was asked about.
    pub is_newer: bool,
}

/// The writing side of a store.
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// What the store can promise about leases.
    fn lease_limits(&self) -> LeaseLimits;

    /// Writes `key`, to stay until it is removed. Gives a position at or after the write.
    fn put<'a>(&'a self, key: &'a Key, value: Value) -> BoxFuture<'a, Result<Position>>;

    /// Removes `key`; a key that is not there is removed already. Gives a position at or after the removal.
    fn deregister<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Position>>;

    /// Writes `key` and keeps it alive while the returned registration lives.
    ///
    /// Dropping it stops the keep-alive, so the key goes after its `ttl`; `revoke` removes it at once.
    /// A key or lease that is lost meanwhile (an emptied or restored store) is written again.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `ttl` is outside of the store's limits.
    /// - [`ErrorKind::Denied`](crate::ErrorKind::Denied) if the store refuses the credentials for this key.
    /// - [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if nothing answered; once registered,
    ///   losses are retried instead.
    fn register<'a>(
        &'a self,
        key: &'a Key,
        value: Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Registration>>;
}

/// What a store can promise about leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseLimits {
    /// The shortest time to live it takes.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
    /// How much later than its time to live a key may go when its holder died.
    pub slack: Duration,
}

impl LeaseLimits {
    /// Why a key cannot have this time to live; none if it can.
    pub fn objection(&self, ttl: Duration) -> Option<String> {
        let LeaseLimits { shortest, longest, .. } = self;
        (ttl < *shortest || ttl > *longest)
            .then(|| format!("the time to live {ttl:?} is not within {shortest:?} to {longest:?}"))
    }
}
