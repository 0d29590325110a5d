//! Connecting to an instance that serves: tries, asks again, waits, as `attempts.rs` says.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::{Instant, timeout};
use waypost_model::{Endpoint, Instance};

use crate::attempts::{Attempts, GaveUp, Step};
use crate::{Handle, Origin};

/// Why one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why<E> {
    /// With the application's own error.
    Failed(E),
    /// There was no answer within this time.
    NoAnswer(Duration),
}

/// No connection to a service came about.
#[derive(Debug)]
pub struct ConnectError<E> {
    /// The service.
    pub service: String,
    /// Each endpoint that was tried and why it failed, in this order.
    pub tried: Vec<(Endpoint, Why<E>)>,
    /// Why there was no other attempt.
    pub gave_up: GaveUp,
    /// How old what was known of the service was; none if nothing was.
    pub age: Option<Duration>,
    /// How long it took.
    pub took: Duration,
}

impl Handle {
    /// Connects to an instance: `connect` is called with one after the other until it succeeds.
    ///
    /// After a failure the registry is asked afresh, once for all that fail at the same time, and the next instance is tried; there is a pause only
    /// when all that are registered have failed, and a change in the registry ends it.
    /// [`Retry`](crate::Retry) bounds all of it. An instance that failed is the last choice for a while, for
    /// other calls too.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] with each endpoint that was tried and why it failed.
    pub async fn connect_with<T, E, F, Fut>(&self, connect: F) -> Result<T, ConnectError<E>>
    where
        F: FnMut(Instance) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.connect_while(|_| true, connect).await
    }

    /// As [`Handle::connect_with`], but an error that `is_transient` denies is the last: no other instance
    /// mends a wrong password.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn connect_while<T, E, F, Fut>(
        &self,
        is_transient: impl Fn(&E) -> bool,
        mut connect: F,
    ) -> Result<T, ConnectError<E>>
    where
        F: FnMut(Instance) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (begun, mut tried) = (Instant::now(), Vec::new());
        let mut bell = self.cell.bell.subscribe();
        let mut attempts = self.attempts();
        let mut step = attempts.begin(self.instances().to_vec(), now());
        loop {
            step = match step {
                Step::Try { instance, within } => {
                    let why = match bounded(connect(instance.clone()), within).await {
                        Ok(connected) => {
                            self.cell.suspects().succeeded(&instance.endpoint);
                            return Ok(connected);
                        }
                        Err(why) => why,
                    };
                    let is_final = matches!(&why, Why::Failed(error) if !is_transient(error));
                    tried.push((instance.endpoint.clone(), why));
                    match is_final {
                        true => Step::GiveUp(GaveUp::Final),
                        false => self.suspect(&instance, &mut attempts),
                    }
                }
                Step::Ask { within } => {
                    bell.mark_unchanged();
                    attempts.told(self.ask(within).await, now())
                }
                Step::Pause { lasting } => self.pause(lasting, &mut bell, &mut attempts).await,
                Step::GiveUp(gave_up) => return Err(self.failed(tried, gave_up, begun.elapsed())),
            };
        }
    }

    /// Waits, until something else is known.
    async fn pause(&self, lasting: Duration, bell: &mut Receiver<()>, attempts: &mut Attempts) -> Step {
        match timeout(lasting, bell.changed()).await {
            Ok(_) => attempts.woken(self.instances().to_vec(), now()),
            Err(_) => attempts.rested(now()),
        }
    }

    fn attempts(&self) -> Attempts {
        let settings = &self.shared.settings;
        let suspects = self.cell.suspects().since(settings.retry.suspect, now());
        Attempts::new(&settings.retry, settings.zone.as_deref(), suspects, self.shared.random(), now())
    }

    /// Remembers that it failed, here and for others.
    fn suspect(&self, instance: &Instance, attempts: &mut Attempts) -> Step {
        self.cell.suspects().failed(&instance.endpoint, now());
        attempts.failed(&instance.endpoint, now())
    }

    /// What the registry says now; what is known, if it does not answer in time or is not to be believed: one
    /// that has nothing of what is known to be there may have been emptied.
    async fn ask(&self, within: Duration) -> Vec<Instance> {
        let known = || self.instances().to_vec();
        match timeout(within, self.cell.asks.ask(&*self.shared.asker, self.name())).await {
            Ok(Ok(service)) if service.instances.is_empty() => known(),
            Ok(Ok(service)) => self.cell.wanted.of(service).instances,
            Ok(Err(_)) | Err(_) => known(),
        }
    }

    fn failed<E>(&self, tried: Vec<(Endpoint, Why<E>)>, gave_up: GaveUp, took: Duration) -> ConnectError<E> {
        let list = self.list();
        let age = (list.origin() != Origin::Nowhere).then(|| list.age()).flatten();
        ConnectError { service: self.name().to_owned(), tried, gave_up, age, took }
    }
}

async fn bounded<T, E>(attempt: impl Future<Output = Result<T, E>>, within: Duration) -> Result<T, Why<E>> {
    match timeout(within, attempt).await {
        Ok(outcome) => outcome.map_err(Why::Failed),
        Err(_) => Err(Why::NoAnswer(within)),
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl<E: fmt::Display> fmt::Display for Why<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Failed(error) => error.fmt(f),
            Why::NoAnswer(within) => write!(f, "no answer within {within:.1?}"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: no connection after {:.1?}", self.service, self.took)?;
        match self.gave_up {
            GaveUp::Attempts => write!(f, " and {} attempts", self.tried.len())?,
            GaveUp::Budget => f.write_str(", when the time was over")?,
            GaveUp::Final => f.write_str(", with an error that no other attempt mends")?,
        }
        if self.tried.is_empty() {
            f.write_str(": no endpoint is known")?;
        }
        for (number, (endpoint, why)) in self.tried.iter().enumerate() {
            write!(f, "{} {endpoint}: {why}", if number == 0 { ":" } else { ";" })?;
        }
        match self.age {
            Some(Duration::ZERO) => Ok(()),
            Some(age) => write!(f, "; the registry last answered {age:.0?} ago"),
            None => f.write_str("; the registry has not answered yet"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for ConnectError<E> {}
