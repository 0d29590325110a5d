//! Brings one destination to what its template or services make of a view: render, compare, stage, check, swap.
//!
//! Where nothing is to be changed ([`Policy::noop`]) it ends with the comparison.
//!
//! The ledger is told before the swap, so that a reload is owed from the moment the file can be new. Files
//! are written on a thread that may block, so that a slow disk does not keep the registry waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use waypost_backend::View;
use waypost_template::Reads;

use crate::command;
use crate::engine::{Applied, Change, Done};
use crate::ledger::{Hash, Known};
use crate::names::count;
use crate::place::{self, Current, Staged, Swapped};
use crate::services::Refused;
use crate::source::Source;
use crate::{Difference, Failure, Ledger, Resource, Step};

/// How far an apply goes, and what it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Nothing is changed; what would be is told.
    pub noop: bool,
    /// Stage files that are not swapped in stay.
    pub keep_stage: bool,
    /// A stage file is written even if the destination is as wanted, as confd 0.16 does.
    pub always_stage: bool,
}

/// A resource with what applying it needs.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) resource: Arc<Resource>,
    pub(crate) source: Source,
    pub(crate) ledger: Arc<Ledger>,
    policy: Policy,
    /// The destination as it was last put in place, so that it need not be read to be compared.
    current: Mutex<Option<Current>>,
    /// The marker could not be touched the last time.
    is_unmarked: AtomicBool,
}

/// What a render saw.
#[derive(Default)]
struct Seen {
    reads: Option<Reads>,
    refused: Refused,
}

/// New content that waits for its check.
struct Prepared {
    content: Hash,
    /// None if the destination is as wanted.
    change: Option<Planned>,
}

enum Planned {
    Staged(Staged),
    /// What would change, were anything to be changed.
    Shown(Box<Difference>),
}

impl Work {
    pub(crate) fn new(resource: Arc<Resource>, ledger: Arc<Ledger>, policy: Policy) -> Arc<Work> {
        Arc::new(Work {
            resource,
            source: Source::default(),
            ledger,
            policy,
            current: Mutex::default(),
            is_unmarked: AtomicBool::default(),
        })
    }

    /// Applies the resource to `view`.
    pub(crate) async fn apply(self: Arc<Work>, view: View) -> Applied {
        let started = Instant::now();
        let mut seen = Seen::default();
        let result = self.steps(view, &mut seen).await;
        Applied { result, reads: seen.reads, refused: seen.refused, took: started.elapsed() }
    }

    async fn steps(self: Arc<Work>, view: View, seen: &mut Seen) -> Result<Done, Failure> {
        let Some(check) = &self.resource.check else {
            let work = Arc::clone(&self);
            let (result, looked_at) = blocking(move || {
                let (prepared, looked_at) = work.prepare(&view);
                (prepared.and_then(|prepared| work.finish(prepared, &view)), looked_at)
            })
            .await?;
            *seen = looked_at;
            return result;
        };
        let (work, same) = (Arc::clone(&self), view.clone());
        let (prepared, looked_at) = blocking(move || work.prepare(&same)).await?;
        *seen = looked_at;
        let prepared = prepared?;
        if matches!(prepared.change, Some(Planned::Staged(_))) {
            let line = command::line(check, &self.resource, Step::Check)?;
            command::run(&line, check.timeout, Step::Check).await?;
        }
        blocking(move || self.finish(prepared, &view)).await?
    }

    /// Renders; stages the result if the destination is to change.
    fn prepare(&self, view: &View) -> (Result<Prepared, Failure>, Seen) {
        match self.source.render(&self.resource, view) {
            Ok(made) => (self.stage(&made.bytes), Seen { reads: Some(made.reads), refused: made.refused }),
            Err(unrendered) => {
                (Err(unrendered.failure), Seen { reads: unrendered.reads, refused: Refused::new() })
            }
        }
    }

    fn stage(&self, bytes: &[u8]) -> Result<Prepared, Failure> {
        let (resource, content) = (&*self.resource, Hash::of(bytes));
        let current = Current::look(resource, *self.current())?;
        let is_wanted = current.is_some_and(|current| current.is(content, resource.attributes));
        let Policy { noop, keep_stage, always_stage } = self.policy;
        if is_wanted && !(keep_stage && always_stage) {
            return Ok(Prepared { content, change: None });
        }
        let mut staged = None;
        if !noop || keep_stage {
            staged = Some(Staged::write(resource, bytes, content, current)?.kept(keep_stage));
        }
        if let Some(objection) =
            resource.format.filter(|_| !is_wanted).and_then(|format| format.objection(bytes))
        {
            return Err(Failure::new(Step::Format, objection));
        }
        let change = match staged {
            _ if is_wanted => None,
            _ if noop => Some(Planned::Shown(Box::new(Difference::of(resource, bytes)?))),
            staged => staged.map(Planned::Staged),
        };
        Ok(Prepared { content, change })
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, prepared: Prepared, view: &View) -> Result<Done, Failure> {
        let Prepared { content, change } = prepared;
        let destination = &self.resource.destination;
        let staged = match change {
            Some(Planned::Staged(staged)) => staged,
            Some(Planned::Shown(difference)) => {
                return Ok(Done { content, change: Change::Wanted(difference) });
            }
            None => {
                let reload_owed = !self.policy.noop && self.ledger.is_reload_owed(destination, content);
                return Ok(Done { content, change: Change::None { reload_owed } });
            }
        };
        let before = self.ledger.known(destination);
        let (running, keys) = before.map_or((None, 0), |known| (known.running, known.keys));
        // If only the owner or the permissions change, what reads the file is not known to have seen that.
        let running = running.filter(|running| *running != content);
        let known = Known { written: content, running, position: view.position(), keys };
        let told = self.ledger.writing(destination, known);
        told.map_err(|error| Failure::new(Step::Swap, format!("cannot write to the ledger: {error}")))?;
        let swapped = staged.swap(&self.resource)?;
        *self.current() = match swapped {
            Swapped::Renamed(current) => current,
            Swapped::InPlace => None,
        };
        Ok(Done { content, change: Change::Swapped { in_place: swapped == Swapped::InPlace } })
    }

    /// Notes beside the destination that its registry answers: the time of the marker is now. It is not synced,
    /// since after a power cut nothing answers for a while.
    pub(crate) fn is_seen(&self) {
        if self.policy.noop {
            return;
        }
        let marker = self.resource.marker();
        let failed = place::mark(&marker).err();
        let was_failing = self.is_unmarked.swap(failed.is_some(), Ordering::Relaxed);
        if let Some(error) = failed.filter(|_| !was_failing) {
            let resource = &self.resource.name;
            tracing::warn!(resource, marker = %marker.display(), %error, "cannot note that the registry answers");
        }
    }

    /// Tells the ledger that `content`, rendered from `view`, is what runs.
    pub(crate) fn is_running(&self, content: Hash, view: &View) {
        if self.policy.noop {
            return;
        }
        let keys = count(view, &self.resource);
        let known = Known { written: content, running: Some(content), position: view.position(), keys };
        if let Err(error) = self.ledger.running(&self.resource.destination, known) {
            let resource = &self.resource.name;
            tracing::warn!(resource, %error, "cannot write to the ledger; a restart may reload once more");
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(Step::Render, format!("an internal error, please report it: {error}")))
}
