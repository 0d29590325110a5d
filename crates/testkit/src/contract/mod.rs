//! The promises of a store, as checks that every one passes.
//!
//! A store under test is a [`Harness`]: it starts the store with some keys in it, and says how it is
//! written to, if it can be. [`run`] makes all the checks, each on a store of its own.

mod reading;
mod registering;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use waypost_backend::{Backend, Registry, Result};
use waypost_model::{Batch, Change, Entry, Key, Position, Prefix, Snapshot, Value};

/// How long a store may take until it shows a change; far longer than any does.
const SOON: Duration = Duration::from_secs(30);

/// What a store holds, as a reader sees it.
pub type Content = BTreeMap<Key, Value>;

/// How a store is started for a check.
pub trait Harness: Send + Sync {
    /// A store that holds `content` and nothing else.
    fn start(&self, content: Content) -> BoxFuture<'_, Store>;

    /// What the store can hold.
    fn limits(&self) -> Limits {
        Limits::default()
    }
}

/// A store that was started.
#[derive(Debug)]
pub struct Store {
    /// Its reading side.
    pub backend: Arc<dyn Backend>,
    /// How it is written to, past the reading side; none if it cannot change.
    pub writer: Option<Arc<dyn Writer>>,
    /// Its writing side, if it has one.
    pub registry: Option<Arc<dyn Registry>>,
}

/// Changes a store, as somebody else would.
pub trait Writer: fmt::Debug + Send + Sync {
    /// Makes the changes, in order.
    fn write(&self, changes: Vec<Change>) -> BoxFuture<'_, ()>;
}

/// What a store can hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Whether values may be any bytes, or UTF-8 text only.
    pub any_bytes: bool,
    /// The size of the largest value, in bytes.
    pub largest_value: usize,
    /// How many keys it holds in the check for many.
    pub many_keys: usize,
    /// Whether there may be keys below a key, or a path is either a key or a directory.
    pub keys_below_keys: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { any_bytes: true, largest_value: 1_000_000, many_keys: 20_000, keys_below_keys: true }
    }
}

/// Makes every check that applies to the store, one after the other.
///
/// # Panics
///
/// When the store breaks a promise; the line that was printed last names it.
pub async fn run(harness: &dyn Harness) {
    reading::run(harness).await;
    watching::run(harness).await;
    registering::run(harness).await;
}

/// Prints the name of a check, so that a failure says which one it was.
macro_rules! check {
    ($harness:expr, $($name:ident),+ $(,)?) => {
        $(
            eprintln!("contract: {}", stringify!($name));
            $name($harness).await;
        )+
    };
}
use check;

/// The key at `path`, which has keys below it as well; where that cannot be, another one below it.
fn at(path: &str, harness: &dyn Harness) -> String {
    if harness.limits().keys_below_keys { path.to_owned() } else { format!("{path}/itself") }
}

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn prefixes(list: &[&str]) -> Vec<Prefix> {
    list.iter().map(|path| Prefix::new(path)).collect()
}

fn content(list: &[(&str, &str)]) -> Content {
    list.iter().map(|(name, value)| (key(name), Value::from((*value).to_owned()))).collect()
}

fn put(name: &str, value: &str) -> Change {
    Change { key: key(name), entry: Some(Entry::unnumbered(value.to_owned())) }
}

fn delete(name: &str) -> Change {
    Change { key: key(name), entry: None }
}

/// The values of a snapshot, without their revisions.
fn values(snapshot: &Snapshot) -> Content {
    snapshot.entries.iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
}

impl Store {
    async fn snapshot(&self, prefixes: &[Prefix]) -> Snapshot {
        let snapshot = tokio::time::timeout(SOON, self.backend.snapshot(prefixes)).await;
        snapshot.expect("a snapshot in time").unwrap_or_else(|error| panic!("no snapshot: {}", error.chain()))
    }

    /// Reads until the store shows `expected`.
    async fn shows(&self, prefixes: &[Prefix], expected: &Content) -> Snapshot {
        let reading = async {
            loop {
                let snapshot = self.snapshot(prefixes).await;
                if values(&snapshot) == *expected {
                    return snapshot;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("the store shows what is expected")
    }

    /// A reader that has the keys below `prefixes` and is not watching yet.
    async fn reader(&self, prefixes: &[Prefix]) -> Reader {
        let snapshot = self.snapshot(prefixes).await;
        Reader {
            prefixes: prefixes.to_vec(),
            content: values(&snapshot),
            position: snapshot.position,
            deleted: BTreeSet::new(),
            stream: None,
        }
    }
}

/// Follows a store as the contract allows it: a snapshot, and the batches of a watch after it.
struct Reader {
    prefixes: Vec<Prefix>,
    content: Content,
    position: Position,
    /// The keys whose deletion was told.
    deleted: BTreeSet<Key>,
    stream: Option<BoxStream<'static, Result<Batch>>>,
}

impl Reader {
    fn watch(&mut self, store: &Store) {
        self.stream = Some(store.backend.watch(&self.prefixes, self.position));
    }

    async fn next(&mut self) -> Batch {
        let stream = self.stream.as_mut().expect("watching");
        let batch = tokio::time::timeout(SOON, stream.next()).await.expect("a batch in time");
        let batch = batch.expect("a watch that goes on");
        let batch = batch.unwrap_or_else(|error| panic!("the watch ended: {}", error.chain()));
        assert_eq!(batch.position.store, self.position.store, "positions are of one store");
        assert!(!batch.position.is_before(&self.position), "{} after {}", batch.position, self.position);
        self.position = batch.position;
        for change in &batch.changes {
            let is_asked_for = self.prefixes.iter().any(|prefix| prefix.contains(&change.key));
            assert!(is_asked_for, "{} is below no prefix", change.key);
            match &change.entry {
                Some(entry) => drop(self.content.insert(change.key.clone(), entry.value.clone())),
                None => {
                    self.content.remove(&change.key);
                    self.deleted.insert(change.key.clone());
                }
            }
        }
        batch
    }

    /// Takes batches until the content is `expected`.
    async fn reach(&mut self, expected: &Content) {
        while self.content != *expected {
            self.next().await;
        }
    }
}
