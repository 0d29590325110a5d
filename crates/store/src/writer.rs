//! The one writer: requests come in, groups of them go to disk, answers go out.
//!
//! A group is applied to a redb transaction, its record is written to the journal and synced, and only then
//! the transaction is committed, watchers are told and the requests are answered. So nobody sees what a power
//! cut could take back, and many requests share one sync. redb's own commits are not synced, until a
//! checkpoint makes all of them durable at once and the journal begins again. Whatever fails on the way ends
//! the writer: what is on disk is then what was acknowledged, and perhaps the group that failed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::{Database, Durability, StorageError, WriteTransaction};

use crate::disk::{Directory, Trouble};
use crate::group::{Done, Group, State};
use crate::hub::Hub;
use crate::journal::Journal;
use crate::leases::Leases;
use crate::settings::Settings;

/// A request on its way: applies itself to a group, and returns what to do when the group is durable.
pub(crate) type Job = Box<dyn FnOnce(&mut Group<'_>, Room) -> Result<Answer, StorageError> + Send>;
/// Tells the client.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// Whether what makes the store larger is still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    None,
}

/// Requests in one group, at most.
const GROUP: usize = 1000;
/// Bytes of changes, with what was before them, after which no further request joins a group.
const GROUP_BYTES: usize = 1 << 20;
/// Leases that end in one group: the next one follows at once, and requests come in between.
const ENDED: usize = 100;
/// How full the journal gets before a checkpoint.
const FULL_ENOUGH: f64 = 0.5;
/// How long the writer is idle before it makes a checkpoint, so that the next start has nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// Compacted changes that are removed with each group, beside one for each of its requests and one more.
const SWEEP: usize = 64;
/// How many compacted changes are removed at a time while there is nothing else to do.
const IDLE_SWEEP: usize = 2000;
/// How old a measurement of the disk's free space may be.
const FRESH: Duration = Duration::from_millis(200);

/// What the writer owns.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) database: Arc<Database>,
    pub(crate) journal: Journal,
    pub(crate) hub: Arc<Hub>,
    pub(crate) leases: Arc<Mutex<Leases>>,
    pub(crate) settings: Settings,
    pub(crate) space: Space,
    pub(crate) past: Past,
    pub(crate) state: State,
    /// The size in [`state`](Writer::state), for those who ask.
    pub(crate) size: Arc<AtomicU64>,
    /// True while compacted changes are still there.
    pub(crate) unswept: bool,
}

impl Writer {
    /// Serves requests until all senders are gone; then makes a last checkpoint.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) -> Result<(), Trouble> {
        loop {
            match jobs.recv_timeout(self.patience(Instant::now())) {
                Ok(job) => self.write(job, jobs)?,
                Err(RecvTimeoutError::Timeout) => self.idle()?,
                Err(RecvTimeoutError::Disconnected) => return self.checkpoint(),
            }
            self.end_leases()?;
            if self.journal.fullness() > FULL_ENOUGH {
                self.checkpoint()?;
            }
        }
    }

    /// How long there is nothing to do without a request.
    fn patience(&self, now: Instant) -> Duration {
        if self.unswept {
            return Duration::from_millis(1);
        }
        let next_end = self.leases().next_end();
        let until_end = next_end.map_or(IDLE, |end| end.saturating_duration_since(now));
        until_end.min(IDLE)
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a group that begins with `first` and takes in whoever waits.
    fn write(&mut self, first: Job, jobs: &Receiver<Job>) -> Result<(), Trouble> {
        let mut answers = Vec::new();
        let room = self.space.room(self.state.size, &self.settings);
        self.commit(|group| {
            let mut next = Some(first);
            while let Some(job) = next {
                answers.push(job(group, room)?);
                let is_full = answers.len() >= GROUP || group.weight() >= GROUP_BYTES;
                next = if is_full { None } else { jobs.try_recv().ok() };
            }
            Ok(answers.len() + SWEEP)
        })?;
        answers.into_iter().for_each(|answer| answer());
        Ok(())
    }

    fn end_leases(&mut self) -> Result<(), Trouble> {
        let ended = self.leases().ended(Instant::now());
        if ended.is_empty() {
            return Ok(());
        }
        self.commit(|group| {
            for id in ended.into_iter().take(ENDED) {
                group.revoke(id)?;
            }
            Ok(SWEEP)
        })
    }

    fn idle(&mut self) -> Result<(), Trouble> {
        if self.unswept {
            return self.commit(|_| Ok(IDLE_SWEEP));
        }
        if self.past.has_ended(&self.settings, Instant::now()) {
            self.commit(|_| Ok(SWEEP))?;
        }
        let is_quiet = self.leases().next_end().is_none_or(|end| end > Instant::now());
        if is_quiet && !self.journal.is_empty() { self.checkpoint() } else { Ok(()) }
    }

    /// Makes one group durable: `apply` changes the store, and says how many compacted changes to remove.
    fn commit(
        &mut self,
        apply: impl FnOnce(&mut Group<'_>) -> Result<usize, StorageError>,
    ) -> Result<(), Trouble> {
        let mut transaction = self.begin(Durability::None)?;
        let mut group = Group::begin(&transaction, self.state)?;
        let sweep = apply(&mut group)?;
        self.past.compact(&mut group, &self.settings, Instant::now());
        let swept = group.sweep(sweep)?;
        self.unswept = swept == sweep;
        if group.noted() == 0 {
            // Removing what nobody can see is not worth a record; refusals are not worth a commit.
            let done = group.finish(None)?;
            return if swept > 0 { self.show(transaction, &done) } else { Ok(()) };
        }
        if self.journal.fits(group.noted()) {
            let done = group.finish(None)?;
            self.journal.append(&done.record)?;
            self.show(transaction, &done)
        } else {
            let done = group.finish(Some(self.journal.skip()))?;
            transaction
                .set_durability(Durability::Immediate)
                .map_err(|why| Trouble::Unusable(why.to_string()))?;
            self.show(transaction, &done)?;
            self.journal.restart();
            Ok(())
        }
    }

    /// Lets everybody see and know of what is in the journal, or becomes durable with this commit.
    fn show(&mut self, transaction: WriteTransaction, done: &Done) -> Result<(), Trouble> {
        self.hub.publish_with(&done.revisions, || transaction.commit())?;
        let now = Instant::now();
        self.state = done.state;
        self.size.store(done.state.size, Ordering::Relaxed);
        {
            let mut leases = self.leases();
            for lease in &done.leases {
                match *lease {
                    (id, Some(ttl)) => leases.grant(id, ttl, now),
                    (id, None) => leases.forget(id),
                }
            }
        }
        Ok(())
    }

    /// Makes everything durable in the database, so that the journal can begin again.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Trouble> {
        let transaction = self.begin(Durability::Immediate)?;
        Group::begin(&transaction, self.state)?.finish(Some(self.journal.sequence()))?;
        transaction.commit()?;
        self.journal.restart();
        Ok(())
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction, Trouble> {
        let transaction = self.database.begin_write();
        let mut transaction = transaction.map_err(|why| Trouble::Unusable(why.to_string()))?;
        transaction.set_durability(durability).map_err(|why| Trouble::Unusable(why.to_string()))?;
        Ok(transaction)
    }
}

/// What is left of the quota and of the disk.
#[derive(Debug)]
pub(crate) struct Space {
    directory: Option<Arc<Directory>>,
    free: u64,
    measured: Option<Instant>,
    /// Whether writes were refused the last time: a change is logged.
    last: Room,
}

impl Space {
    pub(crate) fn new(directory: Option<Arc<Directory>>) -> Space {
        Space { directory, free: u64::MAX, measured: None, last: Room::Enough }
    }

    /// Whether there is room beside `size` bytes of keys, values and history.
    fn room(&mut self, size: u64, settings: &Settings) -> Room {
        let now = Instant::now();
        if let Some(directory) = &self.directory
            && self.measured.is_none_or(|then| now.duration_since(then) > FRESH)
        {
            // An unmeasurable disk is not a full one.
            self.free = directory.free().unwrap_or(u64::MAX);
            self.measured = Some(now);
        }
        let limits = &settings.limits;
        let room = if size >= limits.size || self.free < limits.free { Room::None } else { Room::Enough };
        if room != self.last {
            self.last = room;
            let free = self.free;
            match room {
                Room::None => tracing::warn!(
                    size,
                    limit = limits.size,
                    free,
                    reserve = limits.free,
                    "no space: what grows the store is refused"
                ),
                Room::Enough => tracing::info!(size, free, "there is space again"),
            }
        }
        room
    }
}

/// How far back history goes, and when which revision was made: automatic compaction.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Times and the revisions at them, a twentieth of the age apart.
    samples: VecDeque<(Instant, u64)>,
}

impl Past {
    /// Ends the history that the settings do not want.
    fn compact(&mut self, group: &mut Group<'_>, settings: &Settings, now: Instant) {
        let head = group.revision();
        let by_number = settings.history.revisions.and_then(|most| {
            // In steps, so that not every group has a compaction in its record.
            let is_much = head.saturating_sub(group.floor()) > most.saturating_add(most / 10 + 1);
            is_much.then(|| head - most)
        });
        let by_age = settings.history.age.and_then(|age| self.before(age, head, now));
        if let Some(revision) = by_number.max(by_age)
            && revision > group.floor()
        {
            tracing::debug!(revision, "history before this revision is compacted");
            group.compact(revision);
        }
    }

    /// Notes the revision, and gives the last one that is older than `age`.
    fn before(&mut self, age: Duration, head: u64, now: Instant) -> Option<u64> {
        if self.samples.back().is_none_or(|(then, _)| now.duration_since(*then) >= age / 20) {
            self.samples.push_back((now, head));
        }
        let mut old = None;
        while self.is_old(age, now) {
            old = self.samples.pop_front().map(|(_, revision)| revision);
        }
        old
    }

    fn is_old(&self, age: Duration, now: Instant) -> bool {
        self.samples.front().is_some_and(|(then, _)| now.duration_since(*then) >= age)
    }

    fn has_ended(&self, settings: &Settings, now: Instant) -> bool {
        settings.history.age.is_some_and(|age| self.is_old(age, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_ends_at_the_last_revision_that_is_too_old() {
        let mut past = Past::default();
        let start = Instant::now();
        let minute = Duration::from_mins(1);
        let age = 20 * minute;
        assert_eq!(past.before(age, 10, start), None);
        assert_eq!(
            past.before(age, 15, start + minute / 2),
            None,
            "not sampled: too soon after the last one"
        );
        assert_eq!(past.before(age, 20, start + minute), None);
        assert_eq!(past.before(age, 90, start + 20 * minute), Some(10));
        assert_eq!(past.before(age, 95, start + 21 * minute), Some(20));
    }
}
