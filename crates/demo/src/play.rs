//! The loop: takes in what is seen, tells it, and looks after what is running, while a script goes on or
//! while somebody plays.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinSet;
use waypost_model::Endpoint;

use crate::arrangement::{Arrangement, Ended};
use crate::load::{Load, Pace, probe};
use crate::records::{News, Records, Stamped};
use crate::registry::Registry;
use crate::script::{Action, FIRST, Step, Until, steps, time_for_steps};
use crate::summary::{Told, brief, enough};
use crate::tell::{Mark, Tell};
use crate::{Error, Settings};

/// How long a step may take to have its effect, on a busy machine; how fast it is does not matter.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long the first services may take.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked after what is running.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often requests are told of, when nobody scripted anything.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How often they are told of during a script.
const TELLS: u32 = 6;

/// "Until Ctrl-C": later than anybody waits, and not too late to be added to a time.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A demonstration that is going on.
pub(crate) struct Play<'a> {
    pub(crate) arrangement: Arrangement,
    pub(crate) records: Records,
    pub(crate) told: Told,
    tell: Tell<'a>,
    sender: UnboundedSender<Stamped>,
    events: UnboundedReceiver<Stamped>,
    is_change_under_way: watch::Sender<bool>,
    load: Option<Load>,
    is_scripted: bool,
    tell_every: Duration,
    tell_next: Instant,
    /// What each had answered when it was told of last.
    told_requests: BTreeMap<Endpoint, u64>,
    look_next: Instant,
    /// What follows registry and nginx; ends with this.
    _watchers: JoinSet<()>,
}

impl<'a> Play<'a> {
    pub(crate) fn new(
        arrangement: Arrangement,
        tell: Tell<'a>,
        (sender, events): (UnboundedSender<Stamped>, UnboundedReceiver<Stamped>),
    ) -> Play<'a> {
        let (is_change_under_way, is_so) = watch::channel(true);
        let mut watchers = JoinSet::new();
        let registry = &arrangement.registry;
        watchers.spawn(Registry::follow(registry.store(), registry.prefix(), sender.clone()));
        watchers.spawn(probe(arrangement.address, sender.clone(), is_so));
        Play {
            arrangement,
            records: Records::default(),
            told: Told::new(),
            tell,
            sender,
            events,
            is_change_under_way,
            load: None,
            is_scripted: false,
            tell_every: TELL_EVERY,
            tell_next: Instant::now() + FOR_EVER,
            told_requests: BTreeMap::new(),
            look_next: Instant::now(),
            _watchers: watchers,
        }
    }

    /// Goes through all of it; gives the reason if it was cut short.
    pub(crate) async fn run(&mut self, settings: &Settings) -> Result<Option<String>, Error> {
        for name in FIRST {
            self.act(Action::Start(name))?;
        }
        if !self.watch(Instant::now() + UP_WITHIN, |play| play.is(Until::InNginx)).await? {
            return Err(self.arrangement.nobody_came("the services were not in nginx in time"));
        }
        let spent = self.tell.started.elapsed();
        let cut_short = if settings.script {
            let time = time_for_steps(settings.duration(), spent);
            self.script(time).await?
        } else {
            self.freely(settings.time.map(|time| self.tell.started + time)).await?;
            None
        };
        if let Some(load) = self.load.take() {
            load.finish().await;
        }
        while let Ok(seen) = self.events.try_recv() {
            self.take(seen)?;
        }
        Ok(cut_short)
    }

    async fn script(&mut self, time: Duration) -> Result<Option<String>, Error> {
        self.is_scripted = true;
        self.start_load(Pace::SCRIPT, time / TELLS);
        let begun = Instant::now();
        for step in steps(time, self.arrangement.registry.is_own()) {
            self.watch(begun + step.at, |_| false).await?;
            self.act(step.action)?;
            let Step { action, until, .. } = step;
            if !self.watch(Instant::now() + PATIENCE, |play| play.is(until)).await? {
                let at = brief(self.tell.started.elapsed());
                return Ok(Some(format!("{action:?} had no effect within {PATIENCE:?}, by {at}")));
            }
        }
        self.watch(begun + time, |_| false).await?;
        self.watch(Instant::now() + PATIENCE, Play::is_settled).await?;
        // Whatever is missing is named by the summary.
        Ok(None)
    }

    async fn freely(&mut self, end: Option<Instant>) -> Result<(), Error> {
        self.start_load(Pace::GENTLE, TELL_EVERY);
        self.say_what_to_try(end.is_none())?;
        let end = end.unwrap_or_else(|| Instant::now() + FOR_EVER);
        self.watch(end, |_| false).await.map(drop)
    }

    fn start_load(&mut self, pace: Pace, tell_every: Duration) {
        self.load = Some(Load::start(self.arrangement.address, pace, &self.sender));
        self.tell_every = tell_every;
        self.tell_next = Instant::now() + tell_every;
    }

    /// Takes in what is seen until `is_enough`, which gives true, or until `deadline`.
    async fn watch(&mut self, deadline: Instant, is_enough: impl Fn(&Self) -> bool) -> Result<bool, Error> {
        loop {
            if is_enough(self) {
                return Ok(true);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(false);
            }
            let wake = deadline.min(self.look_next).max(now);
            tokio::select! {
                Some(seen) = self.events.recv() => self.take(seen)?,
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            while let Ok(seen) = self.events.try_recv() {
                self.take(seen)?;
            }
            self.look()?;
        }
    }

    fn take(&mut self, seen: Stamped) -> Result<(), Error> {
        let is_anybody_there = !self.arrangement.wanted().is_empty();
        for news in self.records.take(seen, is_anybody_there) {
            self.tell.news(&news)?;
        }
        Ok(())
    }

    /// Tells what is due, and looks after what is running.
    fn look(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.is_change_under_way.send_if_modified(|is_so| {
            let is_pending = self.records.changes.is_any_pending();
            std::mem::replace(is_so, is_pending) != is_pending
        });
        for change in self.records.changes.arrived(now) {
            self.tell.news(&News::Arrived(change))?;
        }
        if now >= self.tell_next {
            self.tell_next = now + self.tell_every;
            self.tell_requests()?;
        }
        if now >= self.look_next {
            self.look_next = now + LOOK_EVERY;
            for ended in self.arrangement.look_after()? {
                self.ended(&ended)?;
            }
        }
        Ok(())
    }

    /// Something was ended by somebody: an agent is started again, as its supervisor would do it.
    fn ended(&mut self, Ended { what, how, is_agent }: &Ended) -> Result<(), Error> {
        let what_next = if *is_agent { "; it is started again" } else { "" };
        self.tell.line(Mark::Bad, what, &format!("has ended: {how}{what_next}"))?;
        if *is_agent { self.arrangement.start_agent() } else { Ok(()) }
    }

    fn tell_requests(&mut self) -> Result<(), Error> {
        let shares = self.records.shares.iter().map(|(endpoint, share)| (endpoint.clone(), share.served));
        let now: BTreeMap<Endpoint, u64> = shares.collect();
        let each = self.records.order().filter_map(|endpoint| {
            let new = now.get(endpoint)? - self.told_requests.get(endpoint).copied().unwrap_or(0);
            (new > 0).then(|| format!("{} {new}", self.records.name(endpoint)))
        });
        let each = each.collect::<Vec<_>>().join(", ");
        let (all, lost) = (self.records.served_in_all(), self.records.lost.len());
        let text = format!("{each}; in all {all} answered, {lost} lost");
        self.told_requests = now;
        self.tell.line(Mark::Plain, "requests", &text)
    }

    fn is(&self, until: Until) -> bool {
        let wanted = || self.arrangement.wanted();
        match until {
            Until::InNginx => {
                !self.records.changes.is_any_pending()
                    && self.records.registered == wanted()
                    && self.records.certainly_in_nginx() == Some(&wanted())
            }
            Until::Registered => self.records.registered == wanted(),
            Until::RegistryAway => self.records.is_registry_away(),
            Until::RegistryBack => !self.records.is_registry_away(),
            Until::Nothing => true,
        }
    }

    /// True if nothing is on its way, and each service had its turn.
    fn is_settled(&self) -> bool {
        let lately: u64 = self.records.lately.values().sum();
        self.is(Until::InNginx) && lately >= enough(self.arrangement.wanted().len())
    }

    fn act(&mut self, action: Action) -> Result<(), Error> {
        self.announce(action)?;
        match action {
            Action::Start(name) => {
                let how = if self.arrangement.has_agent() { "started" } else { "started, with no agent" };
                self.told.insert((name.to_owned(), true), (how, Instant::now()));
                self.arrangement.start_service(name)?;
            }
            Action::Stop(name) => {
                self.told.insert((name.to_owned(), false), ("stopped", Instant::now()));
                self.arrangement.stop_service(name);
            }
            Action::Kill(name) => {
                self.told.insert((name.to_owned(), false), ("killed", Instant::now()));
                self.arrangement.kill_service(name);
            }
            Action::KillAgent => self.arrangement.kill_agent(),
            Action::StartAgent => self.arrangement.start_agent()?,
            Action::KillRegistry => self.arrangement.registry.kill(),
            Action::StartRegistry => self.arrangement.registry.start_again()?,
        }
        Ok(())
    }

    fn announce(&mut self, action: Action) -> Result<(), Error> {
        let (name, text) = match action {
            Action::Start(name) => (name, "is started, with its announcer"),
            Action::Stop(name) => (name, "is asked to stop (SIGTERM to its announcer)"),
            Action::Kill(name) => {
                (name, "is killed with its announcer (SIGKILL): its key stays for its lease")
            }
            Action::KillAgent => ("agent", "is killed (SIGKILL)"),
            Action::StartAgent => ("agent", "is started again"),
            Action::KillRegistry => ("registry", "is killed (SIGKILL)"),
            Action::StartRegistry => ("registry", "is started again"),
        };
        self.tell.line(Mark::Done, name, text)
    }

    fn say_what_to_try(&mut self, is_endless: bool) -> Result<(), Error> {
        let Arrangement { address, registry, .. } = &self.arrangement;
        let pids = self.arrangement.pids();
        let pids = pids.iter().map(|(name, pid)| format!("  kill -9 {pid}    ends {name}\n"));
        let program = self.arrangement.program().display();
        let end = if is_endless { "Ctrl-C ends all of it, and leaves nothing behind.\n" } else { "" };
        let text = format!(
            "\nTry in another terminal:\n  curl -i http://{address}/\n  \
             {program} kv --node {} ls --values {}\n{}Another service:\n  {}\n{end}\n",
            registry.endpoint,
            registry.services(),
            pids.collect::<String>(),
            self.arrangement.example("mine")?,
        );
        self.tell.print(&text)
    }

    /// Ends everything; whether that went well comes beside what prints.
    pub(crate) async fn end(self) -> (Tell<'a>, Result<(), Error>) {
        let Play { arrangement, tell, load, .. } = self;
        drop(load);
        (tell, arrangement.end().await)
    }
}
