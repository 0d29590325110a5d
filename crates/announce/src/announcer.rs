//! The announcer: one loop that carries out what the machine decides, and tells it what came of it.
//!
//! It decides nothing itself; see `machine.rs` for what is promised.

use std::sync::Arc;

use futures::future::{self, BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use tokio::time::Instant;
use waypost_backend::{Registration, Registry};

use crate::command::{End, Running};
use crate::machine::{Action, Event, Machine};
use crate::{CommandNotStarted, Happening, InvalidSettings, Settings, Signal};

/// How an announcement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The command's exit code, 128 and the signal if it died of one; 0 if there was no command.
    pub exit_code: u8,
    /// True if the registry could not be told in time that the key is given up: it goes when its lease
    /// ends, after the settings' `ttl` at the longest.
    pub is_key_left: bool,
}

/// Why an announcement did not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The command could not be started.
    #[error(transparent)]
    Command(#[from] CommandNotStarted),
}

/// Announces the service of `settings` in `registry` until it is told to stop by one of `signals`, or until
/// its command ends.
///
/// Signals that do not stop it are passed on to the command; without a command they do nothing. When
/// `signals` ends, no more are expected, and it goes on. [`signals()`](crate::signals()) gives those of the
/// process. Every happening is logged, and shown to `observe`, which must not block.
///
/// A registry that does not answer, or refuses, is asked again until it takes the key.
///
/// Dropping the future kills the command; the key goes when its lease ends.
///
/// # Errors
///
/// If it cannot begin: the settings make no sense, or the command cannot be started. Nothing is registered
/// then.
///
/// # Panics
///
/// Outside of a Tokio runtime with I/O and time enabled.
pub async fn announce(
    registry: Arc<dyn Registry>,
    settings: Settings,
    signals: impl Stream<Item = Signal> + Send + Unpin,
    observe: impl FnMut(&Happening) + Send,
) -> Result<Outcome, Error> {
    settings.validate(&registry.lease_limits())?;
    let command = settings.command.as_ref().map(Running::start).transpose()?;
    let machine = Machine::new(settings.rules(), fastrand::Rng::new());
    let pending = FuturesUnordered::new();
    let announcer = Announcer { registry, settings, observe, machine, command, registration: None, pending };
    Ok(announcer.run(signals).await)
}

/// What came of an action.
enum Done {
    Event(Event),
    Registered(Registration),
}

struct Announcer<O> {
    registry: Arc<dyn Registry>,
    settings: Settings,
    observe: O,
    machine: Machine,
    command: Option<Running>,
    registration: Option<Registration>,
    /// Checks and what the registry was asked for.
    pending: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl<O: FnMut(&Happening) + Send> Announcer<O> {
    async fn run(mut self, mut signals: impl Stream<Item = Signal> + Send + Unpin) -> Outcome {
        if let Some(pid) = self.command.as_ref().and_then(Running::pid) {
            self.report(&Happening::CommandStarted { pid });
        }
        let mut event = Event::Started;
        let mut are_signals_over = false;
        loop {
            if let Some(outcome) = self.step(event) {
                return outcome;
            }
            event = tokio::select! {
                signal = signals.next(), if !are_signals_over => match signal {
                    Some(signal) => Event::Signalled(signal),
                    None => {
                        are_signals_over = true;
                        Event::Due
                    }
                },
                Some(done) = self.pending.next() => self.done(done),
                end = ended(&mut self.command) => self.command_ended(end),
                () = sleep_until(self.machine.deadline()) => Event::Due,
            };
        }
    }

    fn step(&mut self, event: Event) -> Option<Outcome> {
        let actions = self.machine.step(event, Instant::now().into_std());
        actions.into_iter().find_map(|action| self.act(action))
    }

    fn act(&mut self, action: Action) -> Option<Outcome> {
        match action {
            Action::Check => self.pending.push(self.check()),
            Action::Register => self.pending.push(self.register()),
            Action::Revoke => {
                let registration = self.registration.take().expect("the machine revokes what is registered");
                self.pending.push(revoke(registration));
            }
            Action::Tell(signal) => {
                if let Some(command) = &self.command {
                    command.tell(signal);
                }
            }
            Action::Report(happening) => self.report(&happening),
            Action::Finish(outcome) => return Some(outcome),
        }
        None
    }

    fn report(&mut self, happening: &Happening) {
        let Settings { key, instance, ttl, .. } = &self.settings;
        happening.log(key, &instance.endpoint, *ttl);
        (self.observe)(happening);
    }

    fn check(&self) -> BoxFuture<'static, Done> {
        let (check, timeout) = (self.settings.check.clone(), self.settings.timeout);
        async move {
            Done::Event(match check.run(timeout).await {
                Ok(()) => Event::Passed,
                Err(failure) => Event::Failed { why: failure.to_string() },
            })
        }
        .boxed()
    }

    fn register(&self) -> BoxFuture<'static, Done> {
        let Settings { key, instance, ttl, .. } = &self.settings;
        let (key, value, ttl) = (key.clone(), instance.to_value(), *ttl);
        let registry = Arc::clone(&self.registry);
        async move {
            match registry.register(&key, value, ttl).await {
                Ok(registration) => Done::Registered(registration),
                Err(error) => {
                    let (why, is_transient) = (error.chain(), error.is_transient());
                    Done::Event(Event::RegistrationFailed { why, is_transient })
                }
            }
        }
        .boxed()
    }

    fn done(&mut self, done: Done) -> Event {
        match done {
            Done::Event(event) => event,
            Done::Registered(registration) => {
                self.registration = Some(registration);
                Event::Registered
            }
        }
    }

    fn command_ended(&mut self, end: End) -> Event {
        self.command = None;
        Event::CommandEnded { code: end.code, how: end.how }
    }
}

fn revoke(registration: Registration) -> BoxFuture<'static, Done> {
    async move {
        Done::Event(match registration.revoke().await {
            Ok(position) => Event::Revoked { position },
            Err(error) => Event::RevokeFailed { why: error.chain() },
        })
    }
    .boxed()
}

/// Waits for the end of the command; for ever if there is none.
async fn ended(command: &mut Option<Running>) -> End {
    match command {
        Some(command) => command.ended().await,
        None => future::pending().await,
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}
