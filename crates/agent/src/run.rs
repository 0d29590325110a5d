//! Keeps resources up to date until told to stop: one loop around the engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waypost_backend::{Backend, Mirror, MirrorSettings};
use waypost_model::Prefix;

use crate::apply::Work;
use crate::command;
use crate::engine::{Action, Engine, Event, Pace, Reload};
use crate::{Command, Failure, Ledger, Observer, Report, Resource, Step};

/// How the agent works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the store is followed.
    pub mirror: MirrorSettings,
    /// How long a store that went back, or is another one, is given to be complete again.
    pub settle: Duration,
    /// How often every file is looked at, whether or not a key changed.
    pub refresh_every: Duration,
    /// The shortest and the longest pause before something that failed is tried again.
    pub retry: (Duration, Duration),
    /// How long what is under way may take when the agent is told to stop.
    pub stop_within: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mirror: MirrorSettings::default(),
            settle: Duration::from_secs(30),
            refresh_every: Duration::from_secs(600),
            retry: (Duration::from_secs(1), Duration::from_secs(60)),
            stop_within: Duration::from_secs(30),
        }
    }
}

/// Keeps `resources` in step with `backend` until `stop` is over.
///
/// What is under way then is brought to its end, within the time that is set for it; what is cut off is
/// owed, and done by the next run.
///
/// # Errors
///
/// A [`Failure`] if a command of a resource is no template. Everything else is told to `observer` and tried
/// again.
pub async fn run(
    resources: Vec<Resource>,
    backend: Arc<dyn Backend>,
    ledger: Arc<Ledger>,
    settings: Settings,
    observer: Arc<dyn Observer>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let prefixes: BTreeSet<Prefix> =
        resources.iter().flat_map(|resource| resource.keys.iter().cloned()).collect();
    let mut agent = Agent::new(resources, ledger, &settings, observer)?;
    let (_mirror, mut updates) = Mirror::follow(backend, prefixes, settings.mirror.clone());
    tokio::pin!(stop);
    let mut stopped_at: Option<Instant> = None;
    loop {
        while let Some(update) = updates.try_next() {
            agent.handle(Event::Store(update));
        }
        agent.start().await;
        if let Some(at) = stopped_at
            && (agent.is_idle() || Instant::now() >= at + settings.stop_within)
        {
            return Ok(());
        }
        let deadline = stopped_at.map_or(agent.engine.deadline(), |at| at + settings.stop_within);
        let event = tokio::select! {
            update = updates.next() => update.map(Event::Store),
            done = agent.finished(), if !agent.jobs.is_empty() => done,
            () = tokio::time::sleep_until(deadline.into()) => None,
            () = &mut stop, if stopped_at.is_none() => {
                stopped_at = Some(Instant::now());
                Some(Event::Stop)
            }
        };
        if let Some(event) = event {
            agent.handle(event);
        }
    }
}

/// A resource with its reload command filled in, which depends on nothing that changes.
type Prepared = (Arc<Resource>, Option<Reload>);

fn prepare(resource: Resource) -> Result<Prepared, Failure> {
    let fill_in = |reload: &Command| {
        let line = command::line(reload, &resource, Step::Reload)?;
        Ok(Reload { line: line.into(), timeout: reload.timeout })
    };
    let reload = resource.reload.as_ref().map(fill_in).transpose()?;
    Ok((Arc::new(resource), reload))
}

/// The engine with its hands: what carries its actions out.
pub(crate) struct Agent {
    pub(crate) engine: Engine,
    work: Vec<Arc<Work>>,
    observer: Arc<dyn Observer>,
    /// What is to be told once everything that can be started is.
    untold: Vec<Report>,
    /// What is under way; each ends in an event, or in none if there is nothing to tell.
    jobs: JoinSet<Option<Event>>,
}

impl Agent {
    pub(crate) fn new(
        resources: Vec<Resource>,
        ledger: Arc<Ledger>,
        settings: &Settings,
        observer: Arc<dyn Observer>,
    ) -> Result<Agent, Failure> {
        let resources: Vec<Prepared> = resources.into_iter().map(prepare).collect::<Result<_, _>>()?;
        let work = resources.iter().map(|(resource, _)| Work::new(Arc::clone(resource), Arc::clone(&ledger)));
        let work = work.collect();
        let known = |(resource, line): Prepared| {
            let known = ledger.known(&resource.destination);
            (resource, line, known)
        };
        let pace =
            Pace { settle: settings.settle, refresh_every: settings.refresh_every, retry: settings.retry };
        let engine = Engine::new(pace, resources.into_iter().map(known), Instant::now());
        Ok(Agent { engine, work, observer, untold: Vec::new(), jobs: JoinSet::new() })
    }

    /// Starts what is due, then tells what has happened: telling may take a while.
    pub(crate) async fn start(&mut self) {
        let actions = self.engine.schedule(Instant::now());
        self.perform(actions);
        if !self.untold.is_empty() {
            // What was started gets its first turn.
            tokio::task::yield_now().await;
        }
        for report in self.untold.drain(..) {
            self.observer.report(&report);
        }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let actions = self.engine.handle(event, Instant::now());
        self.perform(actions);
    }

    /// True if nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.engine.is_idle() && self.jobs.is_empty()
    }

    /// Waits for the next job to end.
    pub(crate) async fn finished(&mut self) -> Option<Event> {
        self.jobs.join_next().await.and_then(Result::ok).flatten()
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Apply { resource, view } => {
                    let work = Arc::clone(&self.work[resource]);
                    self.jobs.spawn(async move {
                        Some(Event::Applied { resource, applied: work.apply(view).await })
                    });
                }
                Action::Reload { target } => {
                    let Reload { line, timeout } = self.engine.reload(target).clone();
                    self.jobs.spawn(async move {
                        let started = Instant::now();
                        let result = command::run(&line, timeout, Step::Reload).await;
                        Some(Event::Reloaded { target, took: started.elapsed(), result })
                    });
                }
                Action::Running { resource, content, view } => {
                    let work = Arc::clone(&self.work[resource]);
                    self.jobs.spawn_blocking(move || {
                        work.is_running(content, &view);
                        None
                    });
                }
                Action::Report(report) => self.untold.push(report),
            }
        }
    }
}
