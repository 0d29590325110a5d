//! The middle: which resources are rendered, held, tried again and reloaded. Events and the time go in,
//! actions come out; there is no I/O here.
//!
//! A resource is worked on when a key that its last render looked at has changed, when its last try failed
//! and the pause is over, and from time to time in any case, since files and templates change too.
//! Resources with the same reload command share a target: one reload in flight, and whatever is swapped in
//! meanwhile costs one more. A reload waits for the resources of its target that are being applied, and no
//! new ones are begun before it has started, so that a change to many files ends in one reload. A reload that
//! its rate limit puts off holds nobody back: it is owed, and takes what is there when its time has come.
//!
//! What is known of one resource is in `state.rs`, of one reload in `target.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use waypost_backend::{Backoff, Continuity, Update, View};
use waypost_model::Key;
use waypost_template::Reads;

use crate::guard::{Doubt, Verdict, judge};
use crate::ledger::{Hash, Known};
use crate::services::Refused;
use crate::state::{Phase, State, doubts};
use crate::target::{Reload, Target};
use crate::{Difference, Failure, Report, Resource};

/// How many resources are applied at once.
const APPLIED_AT_ONCE: usize = 4;

/// How the engine waits.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// How long a doubted store is given to be complete again.
    pub(crate) settle: Duration,
    /// How often everything is looked at in any case.
    pub(crate) refresh_every: Duration,
    /// The shortest and the longest pause after a failure.
    pub(crate) retry: (Duration, Duration),
    /// How long the keys of a resource that does not say so itself must be quiet before it is applied.
    pub(crate) debounce: Duration,
    /// How long changes are collected before the first of them is applied.
    pub(crate) batch: Duration,
    /// One resource after the other, and none after one that failed.
    pub(crate) fail_fast: bool,
    /// One resource after the other, and its reload before the next; resources that share a reload wait for
    /// each other.
    pub(crate) in_order: bool,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    Store {
        store: usize,
        update: Update,
    },
    Applied {
        resource: usize,
        applied: Applied,
    },
    Reloaded {
        target: usize,
        took: Duration,
        result: Result<(), Failure>,
    },
    /// Whether what a target's reload brought about still holds.
    Verified {
        target: usize,
        holds: bool,
    },
    Stop,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    Apply {
        resource: usize,
        view: View,
    },
    Reload {
        target: usize,
    },
    /// Look whether what a target's reload brought about still holds.
    Verify {
        target: usize,
    },
    /// Note beside a resource's destination that its registry answers.
    Seen {
        resource: usize,
    },
    /// Write to the ledger that a resource's content, rendered from a view, is running.
    Running {
        resource: usize,
        content: Hash,
        view: View,
    },
    Report(Report),
}

/// How an apply ended.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) result: Result<Done, Failure>,
    /// What the render looked at; none if it did not come to one.
    pub(crate) reads: Option<Reads>,
    /// The keys whose values are no instances.
    pub(crate) refused: Refused,
    pub(crate) took: Duration,
}

/// A destination that is as wanted.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) content: Hash,
    pub(crate) change: Change,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// It was so already; a reload may be owed from an earlier life.
    None {
        reload_owed: bool,
    },
    /// It would have become so, were anything to be changed at all.
    Wanted(Box<Difference>),
    Swapped {
        in_place: bool,
    },
}

impl Change {
    fn asks_for_a_reload(&self) -> bool {
        matches!(self, Change::None { reload_owed: true } | Change::Swapped { .. })
    }
}

/// What is known of a store.
#[derive(Debug, Default)]
struct Followed {
    view: Option<View>,
    /// Why it cannot be read, as it was told last.
    unreachable: Option<String>,
}

/// All resources and targets.
#[derive(Debug)]
pub(crate) struct Engine {
    pace: Pace,
    states: Vec<State>,
    targets: Vec<Target>,
    stores: Vec<Followed>,
    /// How many events there were, which tells what became dirty or owed before what.
    events: u64,
    refresh_at: Instant,
    /// When changes have been collected for long enough.
    batch_until: Option<Instant>,
    /// Something was begun since it was last told that nothing is left to do.
    has_worked: bool,
    is_stopping: bool,
}

impl Engine {
    /// An engine for `resources`, each with its reload command filled in and what the ledger knows of it.
    pub(crate) fn new(
        pace: Pace,
        resources: impl IntoIterator<Item = (Arc<Resource>, Option<Reload>, Option<Known>)>,
        now: Instant,
    ) -> Engine {
        let (base, cap) = pace.retry;
        let backoff = || Backoff::new(base, cap, fastrand::Rng::new());
        let mut targets: Vec<Target> = Vec::new();
        let mut states = Vec::new();
        for (resource, reload, remembered) in resources {
            let target = reload.map(|reload| {
                if let Some(known) = targets.iter().position(|target| target.reload.name == reload.name) {
                    targets[known].reload.join(reload);
                    return known;
                }
                targets.push(Target::new(reload, backoff(), now));
                targets.len() - 1
            });
            states.push(State::new(resource, target, remembered, backoff(), now));
        }
        let count = states.iter().map(|state: &State| state.resource.store + 1).max().unwrap_or_default();
        let stores = std::iter::repeat_with(Followed::default).take(count).collect();
        let refresh_at = now + pace.refresh_every;
        let is_empty = states.is_empty();
        Engine {
            pace,
            states,
            targets,
            stores,
            events: 0,
            refresh_at,
            batch_until: None,
            // With nothing to do all is done.
            has_worked: is_empty,
            is_stopping: false,
        }
    }

    /// Takes note of `event`; gives what is to be told or recorded because of it.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        self.events += 1;
        match event {
            // What no resource reads changes nothing.
            Event::Store { store, .. } if !self.states.iter().any(|state| state.resource.store == store) => {
                Vec::new()
            }
            Event::Store { store, update: Update::Changed { view, changed, continuity } } => {
                self.adopt(store, view, &changed, continuity, now)
            }
            Event::Store { store, update: Update::Unreachable(error) } => {
                let reason = error.chain();
                let told = self.stores[store].unreachable.replace(reason.clone());
                match told == Some(reason.clone()) {
                    true => Vec::new(),
                    false => vec![Action::Report(Report::Unreachable { store, reason })],
                }
            }
            Event::Applied { resource, applied } => self.applied(resource, applied, now),
            Event::Reloaded { target, took, result } => self.reloaded(target, took, result, now),
            Event::Verified { target, holds } => self.verified(target, holds, now),
            Event::Stop => {
                self.is_stopping = true;
                Vec::new()
            }
        }
    }

    /// Gives what is to be started at `now`.
    pub(crate) fn schedule(&mut self, now: Instant) -> Vec<Action> {
        self.wake(now);
        let mut actions = self.start_reloads(now);
        if !self.is_stopping {
            self.start_applies(now, &mut actions);
            self.look_around(now, &mut actions);
        }
        if self.pace.in_order {
            // Those that a reload waited for may have been held just now.
            actions.extend(self.start_reloads(now));
        }
        if self.has_worked && self.is_idle() && !self.states.iter().any(|state| self.can_begin(state)) {
            self.has_worked = false;
            actions.push(Action::Report(Report::Rested { in_sync: self.is_in_sync() }));
        }
        actions
    }

    /// True if the resource waits for its turn, and for nothing else.
    fn can_begin(&self, state: &State) -> bool {
        self.stores[state.resource.store].view.is_some() && state.is_ready()
    }

    /// When [`Engine::schedule`] is wanted, whatever happens before.
    pub(crate) fn deadline(&self) -> Instant {
        let pauses = self.states.iter().filter_map(State::due_at);
        let notes = self.states.iter().filter_map(|state| state.seen_at(self.is_answering(state)));
        let targets = self.targets.iter().enumerate();
        let retries = targets.flat_map(|(number, target)| {
            [target.retry_at, target.limited_until, self.verify_at(number)].into_iter().flatten()
        });
        pauses.chain(notes).chain(retries).fold(self.refresh_at, Instant::min)
    }

    /// True if nothing is in flight and nothing can be begun without a new event or more time.
    pub(crate) fn is_idle(&self) -> bool {
        let in_flight = self.states.iter().any(|state| matches!(state.phase, Phase::Applying { .. }));
        !in_flight && self.targets.iter().all(|target| target.running.is_none() && !target.is_verifying)
    }

    /// The reload of a target.
    pub(crate) fn reload(&self, target: usize) -> &Reload {
        &self.targets[target].reload
    }

    /// True if every destination and every target is as wanted.
    pub(crate) fn is_in_sync(&self) -> bool {
        let is_clean = |state: &State| matches!(state.phase, Phase::Clean);
        self.states.iter().all(is_clean) && self.targets.iter().all(|target| !target.owed)
    }

    fn adopt(
        &mut self,
        store: usize,
        view: View,
        changed: &[Key],
        continuity: Continuity,
        now: Instant,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let position = view.position();
        let followed = &mut self.stores[store];
        let was_unreachable = followed.unreachable.take().is_some();
        if continuity == Continuity::First || was_unreachable {
            actions.push(Action::Report(Report::Read { store, keys: view.len(), position }));
        }
        followed.view = Some(view);
        let why = (!continuity.is_continued()).then(|| continuity.to_string());
        let batch_until = self.batch_until.unwrap_or(now + self.pace.batch);
        let mut is_touched = false;
        for state in self.states.iter_mut().filter(|state| state.resource.store == store) {
            let why =
                why.clone().or_else(|| state.remembered.as_ref().and_then(|known| doubts(known, position)));
            if state.is_touched(changed) || (why.is_some() && state.remembered.is_some()) {
                state.doubt = why.map(|why| Doubt { why, since: now }).or(state.doubt.take());
                state.touch(self.events);
                if continuity == Continuity::Continued && state.reads.is_some() {
                    state.put_off(now, batch_until, self.pace.debounce);
                    is_touched = true;
                }
            }
        }
        if is_touched {
            self.batch_until = Some(batch_until);
        }
        let doubt =
            self.states.iter().filter_map(|state| state.doubt.as_ref()).find(|doubt| doubt.since == now);
        if let Some(doubt) = doubt {
            actions.push(Action::Report(Report::Doubted { reason: doubt.why.clone() }));
        }
        actions
    }

    fn applied(&mut self, number: usize, applied: Applied, now: Instant) -> Vec<Action> {
        let state = &mut self.states[number];
        let Phase::Applying { view, again } = std::mem::replace(&mut state.phase, Phase::Clean) else {
            return Vec::new();
        };
        let resource = Arc::clone(&state.resource);
        let position = view.position();
        let mut actions = Vec::new();
        if applied.reads.is_some() {
            state.reads = applied.reads;
            for (key, reason) in state.refuse(applied.refused) {
                let resource = Arc::clone(&resource);
                actions.push(Action::Report(Report::Refused { resource, key, reason }));
            }
        }
        let report = match applied.result {
            Ok(done) => {
                state.settled(view.clone(), done.content);
                if matches!(done.change, Change::Swapped { .. }) {
                    state.written(now);
                }
                let is_being_read = state.target.is_some_and(|target| {
                    self.targets[target].is_reading(number, done.content)
                        && matches!(done.change, Change::None { .. })
                });
                match state.target.filter(|_| done.change.asks_for_a_reload() && !is_being_read) {
                    Some(target) => {
                        actions.extend(self.targets[target].owe(self.events, now).map(Action::Report));
                    }
                    None if is_being_read => {}
                    None => {
                        actions.push(Action::Running { resource: number, content: done.content, view });
                    }
                }
                match done.change {
                    Change::None { .. } => Report::Unchanged { resource },
                    Change::Wanted(difference) => Report::WouldChange { resource, difference },
                    Change::Swapped { in_place } => {
                        Report::Applied { resource, position, took: applied.took, in_place }
                    }
                }
            }
            Err(failure) => {
                let pause = state.backoff.failed(now);
                state.phase = Phase::Failed { until: now + pause };
                Report::Failed { resource, failure, retry: Some(pause) }
            }
        };
        if again {
            self.states[number].touch(self.events);
        }
        actions.push(Action::Report(report));
        actions
    }

    fn reloaded(
        &mut self,
        number: usize,
        took: Duration,
        result: Result<(), Failure>,
        now: Instant,
    ) -> Vec<Action> {
        let target = &mut self.targets[number];
        let Some(found) = target.running.take() else { return Vec::new() };
        let command = Arc::clone(&target.reload.name);
        match result {
            Ok(()) => {
                target.backoff.succeeded();
                target.verify_again(now);
                let running = found.into_iter().map(|(resource, content, view)| Action::Running {
                    resource,
                    content,
                    view,
                });
                running.chain([Action::Report(Report::Reloaded { command, took })]).collect()
            }
            Err(failure) => {
                let pause = target.backoff.failed(now);
                // What was swapped in meanwhile may be what mends it.
                target.retry_at = (!target.owed).then(|| now + pause);
                let retry = target.retry_at.map(|_| pause);
                if !target.owed {
                    (target.owed, target.owed_at) = (true, self.events);
                }
                vec![Action::Report(Report::ReloadFailed { command, failure, retry })]
            }
        }
    }

    /// What a reload brought about was looked at; if it is undone, the reload is owed again.
    fn verified(&mut self, number: usize, holds: bool, now: Instant) -> Vec<Action> {
        self.targets[number].is_verifying = false;
        // A change or a reload that came meanwhile tells more.
        let is_overtaken = self.verify_at(number).is_none();
        let target = &mut self.targets[number];
        target.verify_again(now);
        if holds || is_overtaken {
            return Vec::new();
        }
        let command = Arc::clone(&target.reload.name);
        let put_off = target.owe(self.events, now).map(Action::Report);
        [Action::Report(Report::Undone { command })].into_iter().chain(put_off).collect()
    }

    /// When it is due to look whether what the reload of a target brought about still holds; none while something
    /// is under way that decides it.
    fn verify_at(&self, number: usize) -> Option<Instant> {
        let mut ours = self.states.iter().filter(|state| state.target == Some(number));
        let is_settled = |state: &State| state.believed.is_some() && !state.is_applying();
        self.targets[number].verify_at().filter(|_| ours.all(is_settled))
    }

    /// True if the store of a resource was read, and answers.
    fn is_answering(&self, state: &State) -> bool {
        let followed = &self.stores[state.resource.store];
        followed.view.is_some() && followed.unreachable.is_none()
    }

    /// Notes which registries answer, and looks at what reloads brought about.
    fn look_around(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for number in 0..self.states.len() {
            let state = &self.states[number];
            if state.seen_at(self.is_answering(state)).is_some_and(|at| at <= now) {
                self.states[number].seen(now);
                actions.push(Action::Seen { resource: number });
            }
        }
        for number in 0..self.targets.len() {
            if self.verify_at(number).is_some_and(|at| at <= now) {
                self.targets[number].is_verifying = true;
                self.has_worked = true;
                actions.push(Action::Verify { target: number });
            }
        }
    }

    fn wake(&mut self, now: Instant) {
        if now >= self.refresh_at {
            self.refresh_at = now + self.pace.refresh_every;
            self.events += 1;
            self.states.iter_mut().for_each(|state| state.touch(self.events));
        }
        self.states.iter_mut().for_each(|state| state.wake(self.events, now));
        for target in &mut self.targets {
            target.retry_at = target.retry_at.filter(|at| now < *at);
            target.limited_until = target.limited_until.filter(|at| now < *at);
        }
        self.batch_until = self.batch_until.filter(|until| now < *until);
    }

    fn start_reloads(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let still_used = self.still_used();
        for (number, target) in self.targets.iter_mut().enumerate() {
            if still_used.contains(&number) {
                continue;
            }
            let mut ours = self.states.iter().enumerate().filter(|(_, state)| state.target == Some(number));
            if !target.is_waiting() || ours.clone().any(|(_, state)| state.is_applying()) {
                continue;
            }
            target.owed = false;
            self.has_worked = true;
            target.limited_until = Some(now + target.reload.min_interval).filter(|until| now < *until);
            let content = |(number, state): (usize, &State)| {
                state.believed.as_ref().map(|(view, content)| (number, *content, view.clone()))
            };
            target.running = Some(ours.by_ref().filter_map(content).collect());
            actions.push(Action::Reload { target: number });
        }
        actions
    }

    /// Targets whose reload waits for more resources: those that were dirty when it became owed.
    fn still_used(&self) -> BTreeSet<usize> {
        if self.pace.fail_fast || self.is_stopping {
            return BTreeSet::new();
        }
        let begins = self.states.iter().filter(|state| self.can_begin(state));
        let older =
            |state: &State| state.target.filter(|target| state.dirty_at < self.targets[*target].owed_at);
        begins.filter_map(older).collect()
    }

    /// True if the resource has to wait for a reload: of its target to begin, or of any to end; or for another
    /// resource that writes the same file.
    fn is_kept_back(&self, state: &State, in_flight: &[Arc<Resource>]) -> bool {
        let is_same = |other: &Arc<Resource>| other.destination == state.resource.destination;
        let is_next = |target: usize| {
            let target = &self.targets[target];
            target.is_waiting() && state.dirty_at >= target.owed_at
        };
        let is_reloading = match self.pace.in_order {
            true => self.targets.iter().any(|target| target.running.is_some()),
            false => state.target.is_some_and(is_next),
        };
        is_reloading || in_flight.iter().any(is_same)
    }

    fn start_applies(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let in_flight = self.states.iter().filter(|state| state.is_applying());
        let mut in_flight: Vec<Arc<Resource>> = in_flight.map(|state| Arc::clone(&state.resource)).collect();
        // Who waits longest comes first: one that is slow, and dirty again when it is done, holds nobody up.
        let mut waiting: Vec<usize> =
            (0..self.states.len()).filter(|number| self.can_begin(&self.states[*number])).collect();
        waiting.sort_by_key(|number| self.states[*number].dirty_at);
        let failed = self.states.iter().position(|state| matches!(state.phase, Phase::Failed { .. }));
        let stop = failed.filter(|_| self.pace.fail_fast).unwrap_or(usize::MAX);
        for number in waiting {
            if in_flight.len() >= self.pace.at_once() {
                break;
            }
            let state = &self.states[number];
            if number > stop || self.is_kept_back(state, &in_flight) {
                continue;
            }
            let state = &mut self.states[number];
            let Some(view) = &self.stores[state.resource.store].view else { continue };
            match judge(state.doubt.as_ref(), now, self.pace.settle, state.comparison(view)) {
                Verdict::Apply => {
                    in_flight.push(Arc::clone(&state.resource));
                    self.has_worked = true;
                    state.phase = Phase::Applying { view: view.clone(), again: false };
                    actions.push(Action::Apply { resource: number, view: view.clone() });
                }
                Verdict::Hold { until, reason } => {
                    state.phase = Phase::Held { until };
                    if state.told.as_ref() != Some(&reason) {
                        state.told = Some(reason.clone());
                        let resource = Arc::clone(&state.resource);
                        actions.push(Action::Report(Report::Held { resource, reason }));
                    }
                }
            }
        }
    }
}

impl Pace {
    fn at_once(&self) -> usize {
        if self.fail_fast || self.in_order { 1 } else { APPLIED_AT_ONCE }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
