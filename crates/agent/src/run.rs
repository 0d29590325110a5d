//! Keeps resources up to date until told to stop: one loop around the engine.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waypost_backend::{Backend, Continuity, Mirror, MirrorSettings, Update, Updates, View};
use waypost_model::{Position, Prefix};

use crate::apply::{Policy, Work};
use crate::engine::{Action, Engine, Event, Pace};
use crate::target::{Means, Reload};
use crate::varnish::Varnish;
use crate::{Failure, Ledger, Observer, Outcome, Report, Resource, Step, command, docker, fastcgi, resource};

/// What an agent works on, and with.
pub struct Setup {
    /// What is to be kept up to date.
    pub resources: Vec<Resource>,
    /// The stores that the resources name by their index here.
    pub stores: Vec<Arc<dyn Backend>>,
    /// What is remembered over a restart.
    pub ledger: Arc<Ledger>,
    /// How the agent works.
    pub settings: Settings,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
}

/// How the agent works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the stores are followed.
    pub mirror: MirrorSettings,
    /// How long a store that went back, or is another one, is given to be complete again.
    pub settle: Duration,
    /// How often every file is looked at, whether or not a key changed.
    pub refresh_every: Duration,
    /// The shortest and the longest pause before something that failed is tried again.
    pub retry: (Duration, Duration),
    /// How long what is under way may take when the agent is told to stop.
    pub stop_within: Duration,
    /// How long the keys of a resource must be quiet before a change is applied, if it does not say so itself.
    pub debounce: Duration,
    /// How long changes are collected before they are applied.
    pub batch: Duration,
    /// Whether a resource that failed keeps those behind it waiting.
    pub fail_fast: bool,
    /// Whether resources are applied one after the other, each with its reload: what comes later may need what
    /// came before. A reload that several share still runs once, after the last of them.
    pub in_order: bool,
    /// Whether files are brought up to date without any check or reload.
    pub sync_only: bool,
    /// How far an apply goes.
    pub policy: Policy,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mirror: MirrorSettings::default(),
            settle: Duration::from_secs(30),
            refresh_every: Duration::from_secs(600),
            retry: (Duration::from_secs(1), Duration::from_secs(60)),
            stop_within: Duration::from_secs(30),
            debounce: Duration::ZERO,
            batch: Duration::ZERO,
            fail_fast: false,
            in_order: false,
            sync_only: false,
            policy: Policy::default(),
        }
    }
}

impl Setup {
    /// What is to be read of the store `number`.
    pub(crate) fn prefixes(&self, number: usize) -> Vec<Prefix> {
        let resources = self.resources.iter().filter(|resource| resource.store == number);
        let prefixes: BTreeSet<Prefix> =
            resources.flat_map(|resource| resource.keys.iter().cloned()).collect();
        Prefix::minimal(prefixes)
    }

    /// The stores that somebody wants something of, by their number, and the numbers of the others.
    fn follow(&self) -> (Vec<(usize, Updates)>, Vec<usize>) {
        let (mut followed, mut idle) = (Vec::new(), Vec::new());
        for (number, store) in self.stores.iter().enumerate() {
            let prefixes = self.prefixes(number);
            if prefixes.is_empty() {
                idle.push(number);
                continue;
            }
            let settings = self.settings.mirror.clone();
            followed.push((number, Mirror::follow(Arc::clone(store), prefixes, settings).1));
        }
        (followed, idle)
    }
}

/// Keeps resources in step with their stores until `stop` is over.
///
/// What is under way then is brought to its end, within the time that is set for it; what is cut off is
/// owed, and done by the next run.
///
/// # Errors
///
/// A [`Failure`] if a command of a resource is no template. Everything else is told to the observer and tried
/// again.
pub async fn run(setup: Setup, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    work(setup, stop, false).await.map(|_| ())
}

/// Like [`run`], but ends as soon as everything is as wanted; gives whether it came to that before `stop`.
///
/// # Errors
///
/// As for [`run`].
pub async fn settle(setup: Setup, stop: impl Future<Output = ()>) -> Result<Outcome, Failure> {
    work(setup, stop, true).await
}

async fn work(setup: Setup, stop: impl Future<Output = ()>, ends_in_sync: bool) -> Result<Outcome, Failure> {
    let (mut updates, idle) = setup.follow();
    let stop_within = setup.settings.stop_within;
    let mut agent = Agent::new(setup)?;
    for store in idle {
        agent.handle(Event::Store { store, update: nothing() });
    }
    tokio::pin!(stop);
    let mut stopped_at: Option<Instant> = None;
    loop {
        for (store, updates) in &mut updates {
            while let Some(update) = updates.try_next() {
                agent.handle(Event::Store { store: *store, update });
            }
        }
        agent.start().await;
        if ends_in_sync && agent.is_idle() && agent.engine.is_in_sync() {
            return Ok(Outcome::InSync);
        }
        if let Some(at) = stopped_at
            && (agent.is_idle() || Instant::now() >= at + stop_within)
        {
            return Ok(Outcome::NotInSync);
        }
        let deadline = stopped_at.map_or(agent.engine.deadline(), |at| at + stop_within);
        let event = tokio::select! {
            event = next(&mut updates) => Some(event),
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

/// The view of a store that nobody wants anything of: it is not asked.
pub(crate) fn nothing() -> Update {
    let view = View::empty(Position::fixed());
    Update::Changed { view, changed: Vec::new(), continuity: Continuity::First }
}

/// The next update of any store. A Mirror ends with its updates only, so there is always a next one.
async fn next(all: &mut [(usize, Updates)]) -> Event {
    poll_fn(|context| {
        for (store, updates) in all.iter_mut() {
            if let Poll::Ready(Some(update)) = updates.poll_next(context) {
                return Poll::Ready(Event::Store { store: *store, update });
            }
        }
        Poll::Pending
    })
    .await
}

/// A resource with its reload made ready, which depends on nothing that changes.
type Prepared = (Arc<Resource>, Option<Reload>);

fn prepare(mut resource: Resource, settings: &Settings) -> Result<Prepared, Failure> {
    if settings.sync_only {
        (resource.check, resource.reload) = (None, None);
    }
    // Its effect is not even looked at.
    let wanted = resource.reload.as_ref().filter(|_| !settings.policy.noop);
    let reload = wanted.map(|reload| ready(reload, &resource)).transpose()?;
    Ok((Arc::new(resource), reload))
}

/// A reload as `resource` needs it.
fn ready(reload: &resource::Reload, resource: &Resource) -> Result<Reload, Failure> {
    let file = &resource.destination;
    let (name, means) = match reload {
        resource::Reload::Command(command) => {
            let line = command::line(command, resource, Step::Reload)?;
            (line, Means::Command { timeout: command.timeout })
        }
        resource::Reload::Docker(signal) => {
            let docker::Signal { container, signal: name, socket, .. } = signal;
            let name = format!("{name} to container {container} by {}", socket.display());
            (name, Means::Docker(signal.clone()))
        }
        resource::Reload::FastCgi(notice) => {
            // PHP has a directory of its own; without one of ours there is nothing that a path could mean.
            let absolute = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let means = Means::FastCgi { notice: notice.clone(), file: absolute };
            (format!("{notice} for {}", file.display()), means)
        }
        resource::Reload::Varnish(door) => {
            let varnish = Varnish::new(door.clone(), file);
            (format!("{} into {door}", file.display()), Means::Varnish(Arc::new(varnish)))
        }
    };
    Ok(Reload { name: name.into(), means, min_interval: resource.min_reload_interval })
}

async fn reload(reload: Reload) -> Result<(), Failure> {
    match &reload.means {
        Means::Command { timeout } => command::run(&reload.name, *timeout, Step::Reload).await,
        Means::Docker(signal) => docker::send(signal).await,
        Means::FastCgi { notice, file } => fastcgi::send(notice, file).await,
        Means::Varnish(varnish) => varnish.switch().await,
    }
}

/// True if what the reload brought about still holds, as far as that can be seen.
async fn holds(reload: Reload) -> bool {
    match &reload.means {
        Means::Varnish(varnish) => varnish.holds().await,
        Means::Command { .. } | Means::Docker(_) | Means::FastCgi { .. } => true,
    }
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
    pub(crate) fn new(setup: Setup) -> Result<Agent, Failure> {
        let Setup { resources, ledger, settings, observer, .. } = setup;
        let ready = resources.into_iter().map(|resource| prepare(resource, &settings));
        let resources: Vec<Prepared> = ready.collect::<Result<_, _>>()?;
        let work =
            |(resource, _): &Prepared| Work::new(Arc::clone(resource), Arc::clone(&ledger), settings.policy);
        let work = resources.iter().map(work).collect();
        let known = |(resource, reload): Prepared| {
            let known = ledger.known(&resource.destination);
            (resource, reload, known)
        };
        let pace = Pace {
            settle: settings.settle,
            refresh_every: settings.refresh_every,
            retry: settings.retry,
            debounce: settings.debounce,
            batch: settings.batch,
            fail_fast: settings.fail_fast,
            in_order: settings.in_order,
        };
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
                    let due = self.engine.reload(target).clone();
                    self.jobs.spawn(async move {
                        let started = Instant::now();
                        let result = reload(due).await;
                        Some(Event::Reloaded { target, took: started.elapsed(), result })
                    });
                }
                Action::Verify { target } => {
                    let due = self.engine.reload(target).clone();
                    self.jobs.spawn(async move { Some(Event::Verified { target, holds: holds(due).await }) });
                }
                Action::Seen { resource } => {
                    let work = Arc::clone(&self.work[resource]);
                    self.jobs.spawn_blocking(move || {
                        work.is_seen();
                        None
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn php_is_told_of_a_file_by_its_absolute_path() {
        let notice = fastcgi::Notice {
            sockets: vec!["/fpm.sock".parse().unwrap()],
            script: "/invalidate.php".into(),
            timeout: Duration::from_secs(1),
        };
        let resource = resource::tests::services(Path::new("out"));
        let Means::FastCgi { file, .. } = ready(&resource::Reload::FastCgi(notice), &resource).unwrap().means
        else {
            panic!("it tells PHP")
        };
        assert!(file.is_absolute() && file.ends_with("out/services.php"), "{}", file.display());
    }
}
