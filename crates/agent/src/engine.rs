//! The middle: which resources are rendered, held, tried again and reloaded. Events and the time go in,
//! actions come out; there is no I/O here.
//!
//! A resource is worked on when a key that its last render looked at has changed, when its last try failed
//! and the pause is over, and from time to time in any case, since files and templates change too.
//! Resources with the same reload command share a target: one reload in flight, and whatever is swapped in
//! meanwhile costs one more. A reload waits for the resources of its target that are being applied, and no
//! new ones are begun before it has started, so that a change to many files ends in one reload.

use std::sync::Arc;
use std::time::{Duration, Instant};

use waypost_backend::{Backoff, Continuity, Update, View};
use waypost_model::{Key, Position, StoreId};
use waypost_template::Reads;

use crate::guard::{Comparison, Doubt, Verdict, judge};
use crate::ledger::{Hash, Known};
use crate::names::{count, name, sees};
use crate::{Failure, Report, Resource};

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
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    Store(Update),
    Applied { resource: usize, applied: Applied },
    Reloaded { target: usize, took: Duration, result: Result<(), Failure> },
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
    pub(crate) took: Duration,
}

/// A destination that is as wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) content: Hash,
    pub(crate) change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was so already; a reload may be owed from an earlier life.
    None {
        reload_owed: bool,
    },
    Swapped {
        in_place: bool,
    },
}

/// A reload command with its paths filled in.
#[derive(Debug, Clone)]
pub(crate) struct Reload {
    pub(crate) line: Arc<str>,
    pub(crate) timeout: Duration,
}

/// A reload, and what is known of it; resources with the same command line share it.
#[derive(Debug)]
struct Target {
    reload: Reload,
    owed: bool,
    /// What the reload in flight finds: each resource's content, and the view it was rendered from.
    running: Option<Vec<(usize, Hash, View)>>,
    retry_at: Option<Instant>,
    backoff: Backoff,
}

#[derive(Debug)]
enum Phase {
    Clean,
    Dirty,
    Applying { view: View, again: bool },
    Failed { until: Instant },
    Held { until: Option<Instant> },
}

#[derive(Debug)]
struct State {
    resource: Arc<Resource>,
    target: Option<usize>,
    phase: Phase,
    reads: Option<Reads>,
    /// The last view that was applied, and what is in the destination since.
    believed: Option<(View, Hash)>,
    /// What an earlier life left, until there is a view.
    remembered: Option<Known>,
    doubt: Option<Doubt>,
    /// The reason for a hold that was told last.
    told: Option<String>,
    backoff: Backoff,
}

/// All resources and targets.
#[derive(Debug)]
pub(crate) struct Engine {
    pace: Pace,
    states: Vec<State>,
    targets: Vec<Target>,
    view: Option<View>,
    /// Why the store cannot be read, as it was told last.
    unreachable: Option<String>,
    refresh_at: Instant,
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
                if let Some(known) = targets.iter().position(|target| target.reload.line == reload.line) {
                    let timeout = &mut targets[known].reload.timeout;
                    *timeout = reload.timeout.max(*timeout);
                    return known;
                }
                targets.push(Target {
                    reload,
                    owed: false,
                    running: None,
                    retry_at: None,
                    backoff: backoff(),
                });
                targets.len() - 1
            });
            states.push(State {
                resource,
                target,
                phase: Phase::Dirty,
                reads: None,
                believed: None,
                remembered,
                doubt: None,
                told: None,
                backoff: backoff(),
            });
        }
        let refresh_at = now + pace.refresh_every;
        Engine { pace, states, targets, view: None, unreachable: None, refresh_at, is_stopping: false }
    }

    /// Takes note of `event`; gives what is to be told or recorded because of it.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Store(Update::Changed { view, changed, continuity }) => {
                self.adopt(view, &changed, continuity, now)
            }
            Event::Store(Update::Unreachable(error)) => {
                let reason = error.chain();
                let is_told = self.unreachable.as_ref() == Some(&reason);
                self.unreachable = Some(reason.clone());
                if is_told { Vec::new() } else { vec![Action::Report(Report::Unreachable { reason })] }
            }
            Event::Applied { resource, applied } => self.applied(resource, applied, now),
            Event::Reloaded { target, took, result } => self.reloaded(target, took, result, now),
            Event::Stop => {
                self.is_stopping = true;
                Vec::new()
            }
        }
    }

    /// Gives what is to be started at `now`.
    pub(crate) fn schedule(&mut self, now: Instant) -> Vec<Action> {
        self.wake(now);
        let mut actions = self.start_reloads();
        if !self.is_stopping {
            self.start_applies(now, &mut actions);
        }
        actions
    }

    /// When [`Engine::schedule`] is wanted, whatever happens before.
    pub(crate) fn deadline(&self) -> Instant {
        let pauses = self.states.iter().filter_map(|state| match state.phase {
            Phase::Failed { until } => Some(until),
            Phase::Held { until } => until,
            _ => None,
        });
        let retries = self.targets.iter().filter_map(|target| target.retry_at);
        pauses.chain(retries).fold(self.refresh_at, Instant::min)
    }

    /// True if nothing is in flight and nothing can be begun without a new event or more time.
    pub(crate) fn is_idle(&self) -> bool {
        let in_flight = self.states.iter().any(|state| matches!(state.phase, Phase::Applying { .. }));
        !in_flight && self.targets.iter().all(|target| target.running.is_none())
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

    fn adopt(&mut self, view: View, changed: &[Key], continuity: Continuity, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let position = view.position();
        if continuity == Continuity::First || self.unreachable.take().is_some() {
            actions.push(Action::Report(Report::Read { keys: view.len(), position }));
        }
        let why = (!continuity.is_continued()).then(|| continuity.to_string());
        for state in &mut self.states {
            let why =
                why.clone().or_else(|| state.remembered.as_ref().and_then(|known| doubts(known, position)));
            if state.is_touched(changed) || (why.is_some() && state.remembered.is_some()) {
                state.doubt = why.map(|why| Doubt { why, since: now }).or(state.doubt.take());
                state.touch();
            }
        }
        let doubt =
            self.states.iter().filter_map(|state| state.doubt.as_ref()).find(|doubt| doubt.since == now);
        if let Some(doubt) = doubt {
            actions.push(Action::Report(Report::Doubted { reason: doubt.why.clone() }));
        }
        self.view = Some(view);
        actions
    }

    fn applied(&mut self, number: usize, applied: Applied, now: Instant) -> Vec<Action> {
        let state = &mut self.states[number];
        let Phase::Applying { view, again } = std::mem::replace(&mut state.phase, Phase::Clean) else {
            return Vec::new();
        };
        if applied.reads.is_some() {
            state.reads = applied.reads;
        }
        let resource = Arc::clone(&state.resource);
        let position = view.position();
        let mut actions = Vec::new();
        let report = match applied.result {
            Ok(done) => {
                state.settled(view.clone(), done.content);
                match state.target.filter(|_| done.change != Change::None { reload_owed: false }) {
                    Some(target) => self.targets[target].owe(),
                    None => {
                        actions.push(Action::Running { resource: number, content: done.content, view });
                    }
                }
                match done.change {
                    Change::None { .. } => Report::Unchanged { resource },
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
            self.states[number].touch();
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
        let command = Arc::clone(&target.reload.line);
        match result {
            Ok(()) => {
                target.backoff.succeeded();
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
                target.owed = true;
                vec![Action::Report(Report::ReloadFailed { command, failure, retry })]
            }
        }
    }

    fn wake(&mut self, now: Instant) {
        if now >= self.refresh_at {
            self.refresh_at = now + self.pace.refresh_every;
            self.states.iter_mut().for_each(State::touch);
        }
        for state in &mut self.states {
            match state.phase {
                Phase::Failed { until } | Phase::Held { until: Some(until) } if now >= until => state.touch(),
                _ => {}
            }
        }
        for target in &mut self.targets {
            target.retry_at = target.retry_at.filter(|at| now < *at);
        }
    }

    fn start_reloads(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (number, target) in self.targets.iter_mut().enumerate() {
            let mut ours = self.states.iter().enumerate().filter(|(_, state)| state.target == Some(number));
            if !target.is_waiting() || ours.clone().any(|(_, state)| state.is_applying()) {
                continue;
            }
            target.owed = false;
            let content = |(number, state): (usize, &State)| {
                state.believed.as_ref().map(|(view, content)| (number, *content, view.clone()))
            };
            target.running = Some(ours.by_ref().filter_map(content).collect());
            actions.push(Action::Reload { target: number });
        }
        actions
    }

    fn start_applies(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(view) = &self.view else { return };
        let mut room =
            APPLIED_AT_ONCE.saturating_sub(self.states.iter().filter(|state| state.is_applying()).count());
        for (number, state) in self.states.iter_mut().enumerate() {
            let is_kept_back = state.target.is_some_and(|target| self.targets[target].is_waiting());
            if room == 0 || is_kept_back || !matches!(state.phase, Phase::Dirty) {
                continue;
            }
            match judge(state.doubt.as_ref(), now, self.pace.settle, state.comparison(view)) {
                Verdict::Apply => {
                    room -= 1;
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

impl Target {
    fn owe(&mut self) {
        self.owed = true;
        self.retry_at = None;
    }

    /// True if a reload is owed that can start as soon as its resources are in place.
    fn is_waiting(&self) -> bool {
        self.owed && self.running.is_none() && self.retry_at.is_none()
    }
}

impl State {
    fn is_applying(&self) -> bool {
        matches!(self.phase, Phase::Applying { .. })
    }

    /// True if the last render looked at one of `changed`, or there was none.
    fn is_touched(&self, changed: &[Key]) -> bool {
        let Some(reads) = &self.reads else { return true };
        let looked_at =
            |key: &Key| sees(&self.resource, key) && reads.touched_by(name(&self.resource, key).as_bytes());
        changed.iter().any(looked_at)
    }

    fn touch(&mut self) {
        match &mut self.phase {
            Phase::Applying { again, .. } => *again = true,
            phase => *phase = Phase::Dirty,
        }
    }

    fn settled(&mut self, view: View, content: Hash) {
        self.believed = Some((view, content));
        self.remembered = None;
        self.doubt = None;
        self.told = None;
        self.backoff.succeeded();
    }

    /// What the resource sees in `view`, compared with what it believed. Only asked when in doubt.
    fn comparison(&self, view: &View) -> Comparison {
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
fn doubts(known: &Known, position: Position) -> Option<String> {
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

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
