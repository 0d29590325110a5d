//! Reading: a request for each prefix, on one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use waypost_model::{Batch, Entry, Exactness, Key, Position, Prefix, Snapshot};

use super::known::{self, Known};
use super::wire::{At, Node};
use super::{EtcdV2, STORE, asked, watch};
use crate::{Backend, Error, ErrorKind, Result};

/// What a snapshot found, as the watch that begins there needs it.
#[derive(Debug)]
pub(super) struct Remembered {
    position: Position,
    prefixes: Vec<Read>,
}

/// A prefix as it was read.
#[derive(Debug)]
struct Read {
    prefix: Prefix,
    index: u64,
    keys: BTreeSet<Key>,
}

/// A prefix that is to be watched.
pub(super) struct Watched {
    pub(super) prefix: Prefix,
    /// The reader has seen what happened up to there.
    pub(super) seen: u64,
    pub(super) known: Known,
}

impl Backend for EtcdV2 {
    fn snapshot<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>> {
        async move {
            let (snapshot, remembered) = self.read(asked(prefixes)).await?;
            *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(remembered);
            Ok(snapshot)
        }
        .boxed()
    }

    fn watch(&self, prefixes: &[Prefix], after: Position) -> BoxStream<'static, Result<Batch>> {
        watch::watch(self.connector.clone(), self.watched(asked(prefixes), after), after)
    }
}

impl EtcdV2 {
    async fn read(&self, prefixes: Vec<Prefix>) -> Result<(Snapshot, Remembered)> {
        let first = prefixes.first().cloned().unwrap_or_default();
        let mut session = self.connector.open(&first).await?;
        let mut reading = Reading { at: session.at, entries: BTreeMap::new(), prefixes: Vec::new() };
        for prefix in prefixes {
            match self.connector.read(&mut session, &prefix).await {
                Ok((at, found)) => reading.take(prefix, at, found.map(|event| event.node))?,
                Err(error) => {
                    if error.is_transient() {
                        self.connector.pass_over(session.number);
                    }
                    return Err(error);
                }
            }
        }
        reading.end()
    }

    /// The prefixes as the snapshot at `after` found them, if it was the last one.
    fn watched(&self, prefixes: Vec<Prefix>, after: Position) -> Vec<Watched> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = |it: &mut Remembered| {
            it.position == after && it.prefixes.iter().map(|read| &read.prefix).eq(&prefixes)
        };
        match remembered.take_if(is_this) {
            Some(found) => {
                let watched = |Read { prefix, index, keys }| Watched {
                    seen: index,
                    known: Known::new(prefix.clone(), Some(keys)),
                    prefix,
                };
                found.prefixes.into_iter().map(watched).collect()
            }
            None => {
                let watched = |prefix: Prefix| Watched {
                    seen: after.revision,
                    known: Known::new(prefix.clone(), None),
                    prefix,
                };
                prefixes.into_iter().map(watched).collect()
            }
        }
    }
}

/// A snapshot that is being read. The prefixes are of different moments, the position is the earliest.
struct Reading {
    at: Option<At>,
    entries: BTreeMap<Key, Entry>,
    prefixes: Vec<Read>,
}

impl Reading {
    fn take(&mut self, prefix: Prefix, at: At, found: Option<Node>) -> Result<()> {
        if self.prefixes.is_empty() {
            self.at = Some(at);
        }
        let is_other = |first: &At| first.store != at.store || first.index > at.index;
        if self.at.as_ref().is_some_and(is_other) {
            let error = Error::new(ErrorKind::Unavailable, STORE, "read", prefix);
            return Err(error.because("another store answered in the middle of it"));
        }
        let mut keys = BTreeSet::new();
        let mut waiting: Vec<Node> = found.into_iter().collect();
        while let Some(mut node) = waiting.pop() {
            waiting.append(&mut node.nodes);
            if node.dir {
                continue;
            }
            if let Some((key, entry)) = known::entry(&prefix, node) {
                keys.insert(key.clone());
                self.entries.insert(key, entry);
            }
        }
        self.prefixes.push(Read { prefix, index: at.index, keys });
        Ok(())
    }

    fn end(self) -> Result<(Snapshot, Remembered)> {
        let at = self.at.ok_or_else(|| {
            Error::new(ErrorKind::Denied, STORE, "read", "the position")
                .because("without a permission etcd does not tell it")
        })?;
        let position = at.position();
        let is_exact = self.prefixes.iter().all(|read| read.index == at.index);
        let exactness = if is_exact { Exactness::Exact } else { Exactness::Fuzzy };
        let snapshot = Snapshot { position, exactness, entries: self.entries };
        Ok((snapshot, Remembered { position, prefixes: self.prefixes }))
    }
}
