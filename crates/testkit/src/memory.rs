//! A store in memory, with a history like etcd's, that breaks on command.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use waypost_backend::{Audit, Backend, Error, ErrorKind, Lease, LeaseLimits, Registration, Registry, Result};
use waypost_model::{Batch, Change, Entry, Exactness, Key, Position, Prefix, Snapshot, StoreId, Value};

const STORE: &str = "memory";

/// How long a request waits for a store that says nothing; a real backend has such a limit too.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store in memory. Clones are the same store.
///
/// It is numbered like etcd: every write is a revision, and an entry carries the one that set it. Faults
/// last until [`Memory::heal`], unless they say otherwise.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    /// Rings whenever the state has changed.
    bell: Arc<watch::Sender<()>>,
}

/// What a [`Memory`] held at some time.
#[derive(Debug, Clone)]
pub struct Backup {
    revision: u64,
    entries: BTreeMap<Key, Entry>,
}

#[derive(Debug)]
struct State {
    store: StoreId,
    revision: u64,
    compacted: u64,
    entries: BTreeMap<Key, Entry>,
    history: Vec<Past>,
    mode: Mode,
    /// Watches that were opened before this number are broken.
    broken: u64,
    /// Watches that were opened before this number deliver nothing.
    mute: u64,
    /// The number of the next watch.
    next_watch: u64,
    /// How many of the next changes the open watches do not see.
    hidden: u64,
    leases: BTreeMap<Key, Instant>,
    random: fastrand::Rng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Up,
    Cut,
    Silent,
    Denying,
}

/// A change that was made.
#[derive(Debug)]
struct Past {
    revision: u64,
    change: Change,
    /// Watches that were opened before this number do not see it.
    visible_from: u64,
}

impl Memory {
    /// An empty store. `seed` decides its identity and how it cuts changes into batches.
    pub fn new(seed: u64) -> Memory {
        let mut random = fastrand::Rng::with_seed(seed);
        let state = State {
            store: StoreId::Lasting(random.u64(1..)),
            revision: 1,
            compacted: 0,
            entries: BTreeMap::new(),
            history: Vec::new(),
            mode: Mode::Up,
            broken: 0,
            mute: 0,
            next_watch: 1,
            hidden: 0,
            leases: BTreeMap::new(),
            random,
        };
        Memory { state: Arc::new(Mutex::new(state)), bell: Arc::new(watch::Sender::new(())) }
    }

    /// Writes a key.
    ///
    /// # Panics
    ///
    /// If `key` is none.
    pub fn put(&self, key: &str, value: impl Into<Value>) -> Position {
        self.change(|state| state.write(key.parse().expect("a key"), Some(value.into())))
    }

    /// Removes a key; without one, nothing happens.
    ///
    /// # Panics
    ///
    /// If `key` is none.
    pub fn delete(&self, key: &str) -> Position {
        self.change(|state| state.write(key.parse().expect("a key"), None))
    }

    /// What it holds.
    pub fn content(&self) -> BTreeMap<Key, Value> {
        let state = self.state();
        state.entries.iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        self.state().position()
    }

    /// Breaks all watches and refuses every request.
    pub fn cut(&self) {
        self.change(|state| {
            state.mode = Mode::Cut;
            state.broken = state.next_watch;
        });
    }

    /// Breaks the open watches, once: a connection that was reset.
    pub fn reset_connections(&self) {
        self.change(|state| state.broken = state.next_watch);
    }

    /// Says nothing any more, to requests and on watches, as behind a black hole.
    pub fn silence(&self) {
        self.change(|state| state.mode = Mode::Silent);
    }

    /// Refuses every request for want of permission, and cancels the watches.
    pub fn deny(&self) {
        self.change(|state| state.mode = Mode::Denying);
    }

    /// The open watches deliver nothing from now on, without an end; new ones do.
    pub fn mute_watches(&self) {
        self.change(|state| state.mute = state.next_watch);
    }

    /// The open watches do not see the next `count` changes, but those after them.
    pub fn hide_changes(&self, count: u64) {
        self.change(|state| state.hidden = count);
    }

    /// Answers again.
    pub fn heal(&self) {
        self.change(|state| {
            state.mode = Mode::Up;
            state.hidden = 0;
        });
    }

    /// Forgets the history up to here: a watch cannot begin before.
    pub fn compact(&self) {
        self.change(|state| {
            state.compacted = state.revision;
            state.history.clear();
        });
    }

    /// What [`Memory::restore`] takes.
    pub fn backup(&self) -> Backup {
        let state = self.state();
        Backup { revision: state.revision, entries: state.entries.clone() }
    }

    /// Goes back to `backup`, under the same identity and without a word to the open watches.
    pub fn restore(&self, backup: &Backup) {
        self.change(|state| {
            state.revision = backup.revision;
            state.compacted = state.compacted.min(backup.revision);
            state.entries.clone_from(&backup.entries);
            state.history.retain(|past| past.revision <= backup.revision);
            state.leases.clear();
        });
    }

    /// Goes back to nothing, under the same identity and without a word to the open watches.
    pub fn wipe(&self) {
        self.restore(&Backup { revision: 1, entries: BTreeMap::new() });
    }

    /// The same content under another identity: another cluster answers.
    pub fn become_another(&self) {
        self.change(|state| state.store = StoreId::Lasting(state.random.u64(1..)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.bell.send_replace(());
        result
    }

    /// Answers a request as the fault of the moment allows.
    async fn answer<T>(
        &self,
        operation: &'static str,
        subject: impl fmt::Display,
        answer: impl FnOnce(&mut State) -> T,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut bell = self.bell.subscribe();
        let error = |kind| Error::new(kind, STORE, operation, &subject);
        loop {
            let mode = self.state().mode;
            match mode {
                Mode::Up => return Ok(self.change(answer)),
                Mode::Cut => return Err(error(ErrorKind::Unavailable)),
                Mode::Denying => return Err(error(ErrorKind::Denied)),
                Mode::Silent => {
                    if tokio::time::timeout_at(deadline, bell.changed()).await.is_err() {
                        return Err(error(ErrorKind::Unavailable));
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({})", self.position())
    }
}

impl State {
    fn position(&self) -> Position {
        Position::new(self.store, self.revision)
    }

    fn write(&mut self, key: Key, value: Option<Value>) -> Position {
        if value.is_none() && !self.entries.contains_key(&key) {
            return self.position();
        }
        self.revision += 1;
        let entry = value.map(|value| Entry { value, revision: self.revision });
        match &entry {
            Some(entry) => drop(self.entries.insert(key.clone(), entry.clone())),
            None => drop(self.entries.remove(&key)),
        }
        self.leases.remove(&key);
        let visible_from = if self.hidden > 0 { self.next_watch } else { 0 };
        self.hidden = self.hidden.saturating_sub(1);
        self.history.push(Past { revision: self.revision, change: Change { key, entry }, visible_from });
        self.position()
    }

    fn below<'a>(&'a self, prefixes: &'a [Prefix]) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        self.entries.iter().filter(|(key, _)| prefixes.iter().any(|prefix| prefix.contains(key)))
    }
}

impl Backend for Memory {
    fn snapshot<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>> {
        self.answer("read", "its keys", |state| Snapshot {
            position: state.position(),
            exactness: Exactness::Exact,
            entries: state.below(prefixes).map(|(key, entry)| (key.clone(), entry.clone())).collect(),
        })
        .boxed()
    }

    fn watch(&self, prefixes: &[Prefix], after: Position) -> BoxStream<'static, Result<Batch>> {
        let number = self.change(|state| {
            state.next_watch += 1;
            state.next_watch - 1
        });
        let watch =
            Watch { memory: self.clone(), prefixes: prefixes.to_vec(), at: after, number, is_open: false };
        stream::unfold(Some(watch), |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Ok(batch) => Some((Ok(batch), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    fn audit<'a>(&'a self, prefixes: &'a [Prefix], since: Position) -> BoxFuture<'a, Result<Option<Audit>>> {
        self.answer("audit", "its keys", move |state| {
            Some(Audit {
                position: state.position(),
                keys: state.below(prefixes).count(),
                is_newer: state.below(prefixes).any(|(_, entry)| entry.revision > since.revision),
            })
        })
        .boxed()
    }
}

/// One watch, and how far it came.
struct Watch {
    memory: Memory,
    prefixes: Vec<Prefix>,
    at: Position,
    number: u64,
    is_open: bool,
}

impl Watch {
    async fn next(&mut self) -> Result<Batch> {
        let mut bell = self.memory.bell.subscribe();
        loop {
            let mode = self.memory.state().mode;
            if mode == Mode::Silent {
                // As a probe of the peer would find it.
                tokio::time::timeout(PATIENCE, bell.changed())
                    .await
                    .map_err(|_| self.error(ErrorKind::Unavailable))?
                    .map_err(|_| self.error(ErrorKind::Unavailable))?;
                continue;
            }
            if let Some(batch) = self.take()? {
                return Ok(batch);
            }
            // The sender is in the memory that is held here, so this cannot fail.
            let _ = bell.changed().await;
        }
    }

    fn take(&mut self) -> Result<Option<Batch>> {
        let memory = self.memory.clone();
        let mut state = memory.state();
        match state.mode {
            Mode::Denying => return Err(self.error(ErrorKind::Denied)),
            Mode::Cut => return Err(self.error(ErrorKind::Unavailable)),
            Mode::Up | Mode::Silent => {}
        }
        if self.number < state.broken {
            return Err(self.error(ErrorKind::Unavailable));
        }
        if self.number < state.mute {
            return Ok(None);
        }
        let is_ahead = !self.is_open && self.at.revision > state.revision;
        if self.at.store != state.store || self.at.revision < state.compacted || is_ahead {
            return Err(self.error(ErrorKind::Lost));
        }
        self.is_open = true;
        let limit = state.random.usize(1..4);
        let is_ours = |past: &&Past| {
            let is_below = self.prefixes.iter().any(|prefix| prefix.contains(&past.change.key));
            is_below && past.revision > self.at.revision && past.visible_from <= self.number
        };
        let news: Vec<&Past> = state.history.iter().filter(is_ours).take(limit).collect();
        let Some(last) = news.last() else {
            // A watch that is up to date outlives a compaction.
            self.at.revision = self.at.revision.max(state.revision);
            return Ok(None);
        };
        self.at.revision = last.revision;
        let changes = news.iter().map(|past| past.change.clone()).collect();
        Ok(Some(Batch { position: self.at, changes }))
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, STORE, "watch from", self.at)
    }
}

impl Registry for Memory {
    fn lease_limits(&self) -> LeaseLimits {
        LeaseLimits {
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(3600),
            slack: Duration::from_secs(1),
        }
    }

    fn put<'a>(&'a self, key: &'a Key, value: Value) -> BoxFuture<'a, Result<Position>> {
        self.answer("write", key, |state| state.write(key.clone(), Some(value))).boxed()
    }

    fn deregister<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Position>> {
        self.answer("delete", key, |state| state.write(key.clone(), None)).boxed()
    }

    fn register<'a>(
        &'a self,
        key: &'a Key,
        value: Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Registration>> {
        async move {
            if let Some(why) = self.lease_limits().objection(ttl) {
                return Err(Error::new(ErrorKind::Invalid, STORE, "register", key).because(why));
            }
            let keeper = Keeper { memory: self.clone(), key: key.clone(), value, ttl };
            keeper.write().await?;
            let (give_up, asked) = oneshot::channel();
            Ok(Registration::keep(keeper.keep(asked), give_up))
        }
        .boxed()
    }
}

/// Keeps one key alive.
struct Keeper {
    memory: Memory,
    key: Key,
    value: Value,
    ttl: Duration,
}

impl Keeper {
    async fn write(&self) -> Result<()> {
        let until = Instant::now() + self.ttl;
        let write = |state: &mut State| {
            state.write(self.key.clone(), Some(self.value.clone()));
            state.leases.insert(self.key.clone(), until);
        };
        self.memory.answer("register", &self.key, write).await?;
        tokio::spawn(expire(self.memory.clone(), self.key.clone()));
        Ok(())
    }

    fn keep(self, mut asked: oneshot::Receiver<()>) -> Lease {
        async move {
            loop {
                tokio::select! {
                    _ = &mut asked => return self.memory.deregister(&self.key).await,
                    () = tokio::time::sleep(self.ttl / 3) => {}
                }
                let until = Instant::now() + self.ttl;
                let renew = |state: &mut State| state.leases.get_mut(&self.key).map(|lease| *lease = until);
                if let Ok(None) = self.memory.answer("renew", &self.key, renew).await {
                    // Tried again at the next turn if it fails.
                    let _ = self.write().await;
                }
            }
        }
        .boxed()
    }
}

/// Removes the key once its lease is over.
async fn expire(memory: Memory, key: Key) {
    loop {
        let Some(until) = memory.state().leases.get(&key).copied() else { return };
        tokio::time::sleep_until(until).await;
        let mut state = memory.state();
        if state.leases.get(&key).is_some_and(|until| *until <= Instant::now()) {
            state.write(key, None);
            drop(state);
            memory.bell.send_replace(());
            return;
        }
    }
}
