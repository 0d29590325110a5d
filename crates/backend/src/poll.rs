//! Makes a backend of a store that can be read but not watched.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use waypost_model::{Batch, Change, Entry, Exactness, Key, Position, Prefix, Snapshot, StoreId};

use crate::{Backend, Error, ErrorKind, Result};

/// A store that can be read.
pub trait Readable: fmt::Debug + Send + Sync + 'static {
    /// What the store is called in errors.
    fn name(&self) -> &'static str;

    /// Reads everything under `prefixes`, as [`Backend::snapshot`] does.
    fn read<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<BTreeMap<Key, Entry>>>;

    /// How much has been noticed of changes so far. It is taken before a read, so that [`hint`](Self::hint)
    /// can tell what the read may have missed.
    fn mark(&self) -> u64 {
        0
    }

    /// Ends once something was noticed after `since`, a mark; at the latest after `pause`. Without a way to
    /// notice anything, it just waits.
    fn hint(&self, _since: u64, pause: Duration) -> BoxFuture<'_, ()> {
        tokio::time::sleep(pause).boxed()
    }
}

/// A backend that reads its store again and again, and reports what differs.
///
/// A position is a number counted here, under an identity drawn at the start, since the store has none. A
/// watch goes on from the last snapshot only: what was read then is what its changes are relative to.
#[derive(Debug)]
pub struct Poll<S> {
    store: Arc<S>,
    pause: Duration,
    last: Mutex<Seen>,
}

/// What was read last.
#[derive(Debug, Clone)]
struct Seen {
    /// The store's mark before the read.
    mark: u64,
    position: Position,
    prefixes: Vec<Prefix>,
    entries: BTreeMap<Key, Entry>,
}

impl<S: Readable> Poll<S> {
    /// Reads `store` at least every `pause`.
    pub fn new(store: S, pause: Duration) -> Poll<S> {
        let position = Position::new(StoreId::Drawn(fastrand::u64(1..)), 0);
        let last = Mutex::new(Seen { mark: 0, position, prefixes: Vec::new(), entries: BTreeMap::new() });
        Poll { store: Arc::new(store), pause, last }
    }

    fn last(&self) -> MutexGuard<'_, Seen> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Readable> Backend for Poll<S> {
    fn snapshot<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>> {
        async move {
            let mark = self.store.mark();
            let entries = self.store.read(prefixes).await?;
            let mut last = self.last();
            let store = last.position.store;
            // Room for the changes that a watch counts, so that no two states share a number.
            let position = Position::new(store, (last.position.revision >> 32).wrapping_add(1) << 32);
            *last = Seen { mark, position, prefixes: prefixes.to_vec(), entries: entries.clone() };
            Ok(Snapshot { position, exactness: Exactness::Fuzzy, entries })
        }
        .boxed()
    }

    fn watch(&self, prefixes: &[Prefix], after: Position) -> BoxStream<'static, Result<Batch>> {
        let seen = self.last().clone();
        if after != seen.position || prefixes != seen.prefixes {
            let lost = Error::new(ErrorKind::Lost, self.store.name(), "watch from", after);
            return stream::once(async { Err(lost) }).boxed();
        }
        let poller = Poller { store: Arc::clone(&self.store), pause: self.pause, seen };
        stream::unfold(Some(poller), |poller| async {
            let mut poller = poller?;
            match poller.next().await {
                Ok(batch) => Some((Ok(batch), Some(poller))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

struct Poller<S> {
    store: Arc<S>,
    pause: Duration,
    seen: Seen,
}

impl<S: Readable> Poller<S> {
    async fn next(&mut self) -> Result<Batch> {
        loop {
            self.store.hint(self.seen.mark, self.pause).await;
            self.seen.mark = self.store.mark();
            let now = self.store.read(&self.seen.prefixes).await?;
            let changes = changes_between(&self.seen.entries, &now);
            self.seen.entries = now;
            if !changes.is_empty() {
                self.seen.position.revision += 1;
                return Ok(Batch { position: self.seen.position, changes });
            }
        }
    }
}

fn changes_between(old: &BTreeMap<Key, Entry>, new: &BTreeMap<Key, Entry>) -> Vec<Change> {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let gone = gone.map(|key| Change { key: key.clone(), entry: None });
    let written = new.iter().filter(|(key, entry)| old.get(*key) != Some(*entry));
    let written = written.map(|(key, entry)| Change { key: key.clone(), entry: Some(entry.clone()) });
    gone.chain(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::{gone, put};

    /// Holds what a test puts into it.
    #[derive(Debug, Clone, Default)]
    struct Shelf(Arc<Mutex<BTreeMap<Key, Entry>>>);

    impl Readable for Shelf {
        fn name(&self) -> &'static str {
            "shelf"
        }

        fn read<'a>(&'a self, _: &'a [Prefix]) -> BoxFuture<'a, Result<BTreeMap<Key, Entry>>> {
            let entries = self.0.lock().unwrap().clone();
            async { Ok(entries) }.boxed()
        }
    }

    impl Shelf {
        fn set(&self, change: Change) {
            match change.entry {
                Some(entry) => self.0.lock().unwrap().insert(change.key, entry),
                None => self.0.lock().unwrap().remove(&change.key),
            };
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_between_the_snapshot_and_the_watch_is_reported() {
        let shelf = Shelf::default();
        shelf.set(put("/a", "1", 0));
        shelf.set(put("/b", "1", 0));
        let poll = Poll::new(shelf.clone(), Duration::from_secs(5));
        let snapshot = poll.snapshot(&[Prefix::all()]).await.unwrap();
        shelf.set(gone("/a"));
        let mut watch = poll.watch(&[Prefix::all()], snapshot.position);
        let batch = watch.next().await.unwrap().unwrap();
        assert_eq!(batch.changes, [gone("/a")]);
        assert!(snapshot.position.is_before(&batch.position));
        shelf.set(put("/b", "2", 0));
        assert_eq!(watch.next().await.unwrap().unwrap().changes, [put("/b", "2", 0)]);
    }

    #[tokio::test]
    async fn a_position_that_is_not_the_last_snapshots_is_lost() {
        let poll = Poll::new(Shelf::default(), Duration::from_secs(5));
        let first = poll.snapshot(&[Prefix::all()]).await.unwrap().position;
        poll.snapshot(&[Prefix::all()]).await.unwrap();
        let error = poll.watch(&[Prefix::all()], first).next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost);
    }
}
