//! One resource in the engine: what it waits for, what it last read and believed.
//!
//! What is done about it is decided in `engine.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use waypost_backend::{Backoff, Continuity, View};
use waypost_model::{Key, Position, StoreId};
use waypost_template::Reads;

use crate::guard::{Comparison, Doubt};
use crate::ledger::{Hash, Known};
use crate::names::{count, name, sees};
use crate::services::Refused;
use crate::{Content, Resource};
/// So many times its debounce a change is put off at most, however often its keys change meanwhile.
const DEBOUNCES: u32 = 10;

/// How often it is noted that a registry answers whose services are in a file.
const SEEN_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) enum Phase {
    Clean,
    Dirty,
    Applying { view: View, again: bool },
    Failed { until: Instant },
    Held { until: Option<Instant> },
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) resource: Arc<Resource>,
    pub(crate) target: Option<usize>,
    pub(crate) phase: Phase,
    /// At which event it became dirty.
    pub(crate) dirty_at: u64,
    pub(crate) reads: Option<Reads>,
    /// The last view that was applied, and what is in the destination since.
    pub(crate) believed: Option<(View, Hash)>,
    /// What an earlier life left, until there is a view.
    pub(crate) remembered: Option<Known>,
    pub(crate) doubt: Option<Doubt>,
    /// The reason for a hold that was told last.
    pub(crate) told: Option<String>,
    /// A change that waits for its keys to be quiet.
    pub(crate) put_off: Option<PutOff>,
    /// When its own limit on writes lets it be applied again.
    pub(crate) limited_until: Option<Instant>,
    /// When it is noted again that its registry answers.
    seen_again: Instant,
    /// The keys whose values are told to be no instances.
    refused: BTreeSet<Key>,
    pub(crate) backoff: Backoff,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct PutOff {
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

impl State {
    /// One that nothing is known of but what the ledger remembers.
    pub(crate) fn new(
        resource: Arc<Resource>,
        target: Option<usize>,
        remembered: Option<Known>,
        backoff: Backoff,
        now: Instant,
    ) -> State {
        State {
            resource,
            target,
            phase: Phase::Dirty,
            dirty_at: 0,
            reads: None,
            believed: None,
            remembered,
            doubt: None,
            told: None,
            put_off: None,
            limited_until: None,
            seen_again: now,
            refused: BTreeSet::new(),
            backoff,
        }
    }

    pub(crate) fn is_applying(&self) -> bool {
        matches!(self.phase, Phase::Applying { .. })
    }

    /// True if the last render looked at one of `changed`, or there was none.
    pub(crate) fn is_touched(&self, changed: &[Key]) -> bool {
        let Some(reads) = &self.reads else { return true };
        let resource = &*self.resource;
        let looked_at = |key: &Key| match resource.content {
            Content::Template(_) => reads.touched_by(name(resource, key).as_bytes()),
            Content::Services(_) => true,
        };
        changed.iter().any(|key| sees(resource, key) && looked_at(key))
    }

    /// It is to be applied, because of the event of that number.
    pub(crate) fn touch(&mut self, event: u64) {
        match &mut self.phase {
            Phase::Applying { again, .. } => *again = true,
            // What failed has been waiting since it became dirty.
            phase @ (Phase::Dirty | Phase::Failed { .. }) => *phase = Phase::Dirty,
            phase => (*phase, self.dirty_at) = (Phase::Dirty, event),
        }
    }

    /// Puts a change that came `now` off: until the batch is full and the keys have been quiet.
    pub(crate) fn put_off(&mut self, now: Instant, batch_until: Instant, debounce: Duration) {
        let debounce = self.resource.debounce.unwrap_or(debounce);
        let since = self.put_off.map_or(now, |put_off| put_off.since);
        let quiet = (now + debounce).min(since + debounce * DEBOUNCES);
        self.put_off = Some(PutOff { since, until: quiet.max(batch_until) });
    }

    /// True if nothing but its turn, or a view, keeps it from being applied.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Dirty) && self.put_off.is_none() && self.limited_until.is_none()
    }

    /// When it waits no longer of itself; none if it waits for no time.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Failed { until } => Some(until),
            Phase::Held { until } => until,
            Phase::Dirty => self.put_off.map(|put_off| put_off.until).max(self.limited_until),
            _ => None,
        }
    }

    /// Ends what it has waited for until `now`.
    pub(crate) fn wake(&mut self, event: u64, now: Instant) {
        match self.phase {
            Phase::Failed { until } | Phase::Held { until: Some(until) } if now >= until => self.touch(event),
            _ => {}
        }
        self.put_off = self.put_off.filter(|put_off| now < put_off.until);
        self.limited_until = self.limited_until.filter(|until| now < *until);
    }

    /// Its file was written `now`: the next change waits, if there is a limit on that.
    pub(crate) fn written(&mut self, now: Instant) {
        self.limited_until = Some(now + self.resource.min_write_interval).filter(|until| now < *until);
    }

    /// When it is due to be noted that its registry answers; none if it does not, or is not believed, or if the
    /// file could not follow it.
    pub(crate) fn seen_at(&self, is_readable: bool) -> Option<Instant> {
        let follows = self.believed.is_some() && self.doubt.is_none();
        let is_stuck = matches!(self.phase, Phase::Failed { .. } | Phase::Held { .. });
        let is_marked = matches!(self.resource.content, Content::Services(_));
        (is_marked && is_readable && follows && !is_stuck).then_some(self.seen_again)
    }

    /// It is noted `now`.
    pub(crate) fn seen(&mut self, now: Instant) {
        self.seen_again = now + SEEN_EVERY;
    }

    /// Takes the keys whose values are no instances; gives those that are not told yet.
    pub(crate) fn refuse(&mut self, refused: Refused) -> Refused {
        let known = std::mem::take(&mut self.refused);
        self.refused = refused.iter().map(|(key, _)| key.clone()).collect();
        refused.into_iter().filter(|(key, _)| !known.contains(key)).collect()
    }

    pub(crate) fn settled(&mut self, view: View, content: Hash) {
        self.believed = Some((view, content));
        self.remembered = None;
        self.doubt = None;
        self.told = None;
        self.backoff.succeeded();
    }

    /// What the resource sees in `view`, compared with what it believed. Only asked when in doubt.
    pub(crate) fn comparison(&self, view: &View) -> Comparison {
        if self.doubt.is_none() {
            return Comparison { keys: 0, lost: 0 };
        }
        let keys = count(view, &self.resource);
        let lost = match (&self.believed, &self.remembered) {
            (Some((believed, _)), _) => {
                let held = believed.starting_with("", "").filter(|(key, _)| sees(&self.resource, key));
                held.filter(|(key, _)| view.get(key.as_str()).is_none()).count()
            }
            (None, Some(known)) => known.keys.saturating_sub(keys),
            (None, None) => 0,
        };
        Comparison { keys, lost }
    }
}

/// Why a store at `position` is not the one that `known` is from, if it is not.
pub(crate) fn doubts(known: &Known, position: Position) -> Option<String> {
    let was = known.position;
    match (was.store, position.store) {
        (StoreId::Lasting(a), StoreId::Lasting(b)) if a != b => {
            Some(Continuity::OtherStore { was: was.store, is: position.store }.to_string())
        }
        (StoreId::Lasting(_), StoreId::Lasting(_)) if position.is_before(&was) => {
            Some(Continuity::WentBack { was, is: position }.to_string())
        }
        // An identity that was drawn says nothing about an earlier run.
        _ => None,
    }
}
