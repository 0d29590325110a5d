//! The only copy of a backend's keys, kept up to date.
//!
//! Readers take an immutable view without a lock; a batch costs what it changes, not what is stored.
//! The task here does the I/O; what to do is decided in `follow.rs`.

use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwapOption;
use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use waypost_model::{Batch, Key, Prefix, Snapshot};

use crate::follow::{Action, Event, Follower};
use crate::{Audit, Backend, Continuity, Error, ErrorKind, MirrorSettings, Result, View};

/// How many updates may wait for their reader before the store has to.
const UPDATES_AHEAD: usize = 64;

/// A backend's keys, always at hand.
#[derive(Debug, Clone)]
pub struct Mirror {
    view: Arc<ArcSwapOption<View>>,
}

/// What a Mirror tells of itself.
#[derive(Debug)]
pub enum Update {
    /// There is a new view, or the store answers again.
    Changed {
        /// The view.
        view: View,
        /// The keys that hold something else than in the view before.
        changed: Vec<Key>,
        /// How the view follows from the one before.
        continuity: Continuity,
    },
    /// The store does not answer, or refuses. It is asked again; the last view stays.
    Unreachable(Error),
}

/// The updates of a Mirror, in order. Dropping them ends it.
#[derive(Debug)]
pub struct Updates {
    receiver: mpsc::Receiver<Update>,
    task: JoinHandle<()>,
}

impl Mirror {
    /// Starts to follow what is below `prefixes`, in a task of its own.
    pub fn follow(
        backend: Arc<dyn Backend>,
        prefixes: impl IntoIterator<Item = Prefix>,
        settings: MirrorSettings,
    ) -> (Mirror, Updates) {
        let mirror = Mirror { view: Arc::default() };
        let (sender, receiver) = mpsc::channel(UPDATES_AHEAD);
        let source = Source { backend, prefixes: Prefix::minimal(prefixes).into() };
        let follower = Follower::new(settings, fastrand::Rng::new());
        let task = tokio::spawn(drive(source, follower, mirror.clone(), sender));
        (mirror, Updates { receiver, task })
    }

    /// The newest view; none before the store answered for the first time.
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.load_full()
    }
}

impl Updates {
    /// The next update; none once the Mirror has ended.
    pub async fn next(&mut self) -> Option<Update> {
        self.receiver.recv().await
    }

    /// Polls for the next update, for those who wait for several Mirrors at once.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Update>> {
        self.receiver.poll_recv(context)
    }

    /// The next update if one is waiting.
    pub fn try_next(&mut self) -> Option<Update> {
        self.receiver.try_recv().ok()
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is followed: a backend and what of it.
struct Source {
    backend: Arc<dyn Backend>,
    prefixes: Arc<[Prefix]>,
}

impl Source {
    fn read(&self) -> BoxFuture<'static, Result<Snapshot>> {
        let (backend, prefixes) = (Arc::clone(&self.backend), Arc::clone(&self.prefixes));
        async move { backend.snapshot(&prefixes).await }.boxed()
    }

    fn audit(&self, since: waypost_model::Position) -> BoxFuture<'static, Result<Option<Audit>>> {
        let (backend, prefixes) = (Arc::clone(&self.backend), Arc::clone(&self.prefixes));
        async move { backend.audit(&prefixes, since).await }.boxed()
    }
}

/// The I/O that is under way; what is not, never comes.
struct InFlight {
    read: BoxFuture<'static, Result<Snapshot>>,
    watch: BoxStream<'static, Result<Batch>>,
    audit: BoxFuture<'static, Result<Option<Audit>>>,
}

impl InFlight {
    fn nothing() -> InFlight {
        InFlight {
            read: future::pending().boxed(),
            watch: futures::stream::pending().boxed(),
            audit: future::pending().boxed(),
        }
    }

    async fn next(&mut self, deadline: Option<Instant>) -> Event {
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => future::pending().await,
            }
        };
        // In a fixed order, so that a simulation can be run again. What is due comes first: it comes once, while
        // a busy watch always has something.
        tokio::select! {
            biased;
            () = due => Event::Due,
            batch = self.watch.next() => Event::Batch(batch.unwrap_or_else(|| Err(ended()))),
            snapshot = &mut self.read => Event::Read(snapshot),
            audit = &mut self.audit => Event::Audited(audit),
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "store", "watch", "its keys").because("the stream ended")
}

async fn drive(source: Source, mut follower: Follower, mirror: Mirror, updates: mpsc::Sender<Update>) {
    let mut io = InFlight::nothing();
    let mut event = Event::Started;
    loop {
        match &event {
            Event::Read(_) => io.read = future::pending().boxed(),
            Event::Audited(_) => io.audit = future::pending().boxed(),
            Event::Batch(Err(_)) => io.watch = futures::stream::pending().boxed(),
            _ => {}
        }
        let moves_view = matches!(&event, Event::Read(Ok(_)) | Event::Batch(Ok(_)) | Event::Audited(Ok(_)));
        let actions = follower.step(event, Instant::now().into_std());
        if moves_view {
            mirror.view.store(follower.view().cloned().map(Arc::new));
        }
        for action in actions {
            match action {
                Action::Read => io = InFlight { read: source.read(), ..InFlight::nothing() },
                Action::Watch(after) => io.watch = source.backend.watch(&source.prefixes, after),
                Action::Audit(since) => io.audit = source.audit(since),
                Action::Publish(update) => {
                    if updates.send(update).await.is_err() {
                        return;
                    }
                }
            }
        }
        event = io.next(follower.deadline().map(Instant::from_std)).await;
    }
}
