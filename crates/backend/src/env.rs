//! The process environment as a store: `APP_DB_HOST` is the key `/app/db/host`.
//!
//! Names come back as confd's env backend gives them: lower-case, every `_` a `/`. A prefix is asked for
//! in the same spelling, so `/app/db_host` finds what `APP_DB_HOST` holds, under `/app/db/host`. confd
//! compares the beginning of the text, so that `/app` also gives `APPLE`; here a prefix ends at a `/`.
//!
//! Source: `kelseyhightower/confd: backends/env/client.go` (`transform`, `clean`).

use std::collections::BTreeMap;

use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use waypost_model::{Batch, Entry, Exactness, Key, Position, Prefix, Snapshot, Value};

use crate::{Backend, Error, ErrorKind, Result};

/// The process environment as a store.
#[derive(Debug)]
pub struct Env {
    vars: BTreeMap<Key, Entry>,
}

impl Env {
    /// Takes the variables instead of reading them, so that a test needs no real environment.
    ///
    /// Names that are no key are left out. Where two names give the same key (`PATH` and `path`), the one
    /// without lower-case letters counts: the only one that confd asks for.
    pub fn new<V: Into<Value>>(vars: impl IntoIterator<Item = (String, V)>) -> Env {
        let mut entries = BTreeMap::new();
        for (name, value) in vars {
            let Some(key) = Key::from_env_name(&name) else { continue };
            let is_shouted = !name.contains(char::is_lowercase);
            if is_shouted || !entries.contains_key(&key) {
                entries.insert(key, Entry::unnumbered(value));
            }
        }
        Env { vars: entries }
    }
}

impl Backend for Env {
    fn snapshot<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>> {
        let prefixes: Vec<Prefix> = prefixes.iter().map(as_cleaned).collect();
        let mut entries = self.vars.clone();
        entries.retain(|key, _| prefixes.iter().any(|prefix| prefix.contains(key)));
        let snapshot = Snapshot { position: Position::fixed(), exactness: Exactness::Exact, entries };
        future::ready(Ok(snapshot)).boxed()
    }

    // An environment cannot change: the stream stays open and silent, as the contract asks.
    fn watch(&self, _: &[Prefix], after: Position) -> BoxStream<'static, Result<Batch>> {
        if after == Position::fixed() {
            return stream::pending().boxed();
        }
        let lost = Error::new(ErrorKind::Lost, "env", "watch from", after);
        stream::once(future::ready(Err(lost))).boxed()
    }
}

/// The prefix in the spelling of the keys.
fn as_cleaned(prefix: &Prefix) -> Prefix {
    Prefix::new(&prefix.as_str().to_lowercase().replace('_', "/"))
}
