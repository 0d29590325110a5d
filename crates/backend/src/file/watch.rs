//! Noticing that files may have changed.
//!
//! Directories are watched, not files: an editor renames a new file over the old one, and Kubernetes a
//! symbolic link, and a watch of the file itself would stay with the old one.
//!
//! A file that was written to and is not closed yet is half a file; the system tells of both.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::STORE;
use super::find::Places;

/// How often directories are looked for again that appeared while the others were being watched.
const ROUNDS: usize = 5;

/// Notices what happens to the files.
#[derive(Debug)]
pub(super) struct Watcher {
    noticed: Arc<watch::Sender<Noticed>>,
    places: Arc<Mutex<Places>>,
    system: Mutex<System>,
}

/// What was noticed so far.
#[derive(Debug, Default)]
struct Noticed {
    /// How much.
    count: u64,
    /// The files that somebody writes to and has not closed.
    open: BTreeSet<PathBuf>,
}

/// The operating system's side of it.
#[derive(Debug, Default)]
enum System {
    #[default]
    Unasked,
    On(RecommendedWatcher, Watched),
    /// It does not do it; the files are read again from time to time all the same.
    Off,
}

#[derive(Debug, Default)]
struct Watched {
    directories: BTreeSet<PathBuf>,
    /// Those that cannot be watched, each to be told of once.
    refused: BTreeSet<PathBuf>,
}

impl Default for Watcher {
    fn default() -> Watcher {
        let (noticed, places) = (Arc::new(watch::Sender::default()), Arc::default());
        Watcher { noticed, places, system: Mutex::default() }
    }
}

impl Watcher {
    /// How much has happened so far.
    pub(super) fn mark(&self) -> u64 {
        self.noticed.borrow().count
    }

    /// True once something has happened after `mark`; false if nothing did within `limit`.
    pub(super) async fn moves(&self, mark: u64, limit: Duration) -> bool {
        let mut noticed = self.noticed.subscribe();
        tokio::time::timeout(limit, noticed.wait_for(|noticed| noticed.count > mark)).await.is_ok()
    }

    /// True while somebody writes to one of the files.
    pub(super) fn is_written_to(&self) -> bool {
        !self.noticed.borrow().open.is_empty()
    }

    /// Waits until nobody writes to the files, but not beyond `deadline`.
    pub(super) async fn whole(&self, deadline: Instant) {
        let mut noticed = self.noticed.subscribe();
        let closed = noticed.wait_for(|noticed| noticed.open.is_empty());
        if tokio::time::timeout_at(deadline, closed).await.is_err() {
            // A log, or truncate(2), which opens no file: not to be waited for again.
            self.noticed.send_modify(|noticed| noticed.open.clear());
        }
    }

    /// Waits until nothing has happened for `quiet`, but not beyond `deadline`.
    pub(super) async fn quiet(&self, quiet: Duration, deadline: Instant) {
        let still = async { while self.moves(self.mark(), quiet).await {} };
        // What never rests is read in the middle of it.
        let _ = tokio::time::timeout_at(deadline, still).await;
    }

    /// Watches the places that `find` gives, and no others. Each is watched anew: the directory of that
    /// name may be another one by now.
    pub(super) fn watch(&self, find: impl Fn() -> Places) {
        let mut system = lock(&self.system);
        if matches!(*system, System::Unasked) {
            *system = self.start();
        }
        let System::On(watcher, watched) = &mut *system else { return };
        let mut places = find();
        for _ in 0..ROUNDS {
            lock(&self.places).clone_from(&places);
            watched.watch(watcher, &places);
            let now = find();
            if now == places {
                break;
            }
            places = now;
        }
    }

    fn start(&self) -> System {
        let (noticed, places) = (Arc::clone(&self.noticed), Arc::clone(&self.places));
        let on_event = move |event: notify::Result<Event>| match event {
            Ok(event) if matters(&event, &lock(&places)) => {
                noticed.send_modify(|noticed| noticed.take(&event));
            }
            Ok(_) => {}
            // What goes wrong with the watching itself may have hidden a change.
            Err(_) => noticed.send_modify(|noticed| noticed.count += 1),
        };
        match notify::recommended_watcher(on_event) {
            Ok(watcher) => System::On(watcher, Watched::default()),
            Err(error) => {
                tracing::warn!(store = STORE, %error, "changes are not told; the files are read from time to time");
                System::Off
            }
        }
    }
}

impl Noticed {
    fn take(&mut self, event: &Event) {
        self.count += 1;
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => self.open.extend(event.paths.iter().cloned()),
            EventKind::Access(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                self.open.retain(|path| !event.paths.contains(path));
            }
            _ => {}
        }
    }
}

impl Watched {
    fn watch(&mut self, watcher: &mut RecommendedWatcher, places: &Places) {
        for gone in self.directories.iter().filter(|directory| !places.contains_key(*directory)) {
            // The directory itself may be gone, and the watch with it.
            let _ = watcher.unwatch(gone);
        }
        for directory in places.keys() {
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.refused.remove(directory)),
                Err(error) => {
                    if self.refused.insert(directory.clone()) {
                        let directory = directory.display();
                        tracing::warn!(store = STORE, %directory, %error, "changes there are not told");
                    }
                }
            }
        }
        self.directories = places.keys().cloned().collect();
    }
}

/// True if the event tells of a change, and of something that was read. Reading is an event too.
fn matters(event: &Event, places: &Places) -> bool {
    let is_change = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let is_ours = |path: &PathBuf| places.contains_key(path) || is_in(path, places);
    is_change && (event.paths.is_empty() || event.paths.iter().any(is_ours))
}

fn is_in(path: &Path, places: &Places) -> bool {
    let interest = path.parent().and_then(|directory| places.get(directory));
    interest.is_some_and(|interest| path.file_name().is_some_and(|name| interest.includes(name)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
