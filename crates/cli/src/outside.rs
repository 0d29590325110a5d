//! Who is told outside of the process what goes on: the log, standard output, systemd, and those who ask for
//! metrics and health.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use waypost_agent::{Log, Observer, Report, Resource};
use waypost_status::{Board, Event};

use crate::Failed;

/// How a difference is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) context: usize,
    pub(crate) coloured: bool,
}

/// Everybody who is told.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    diff: Option<Diff>,
    board: Option<Arc<Board>>,
    systemd: bool,
}

/// Whom to tell besides the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Told {
    /// Whether and how differences are printed.
    pub(crate) diff: Option<Diff>,
    /// systemd, by sd_notify(3).
    pub(crate) systemd: bool,
    /// How often its watchdog is told, zero for never; as often as it asks for if that is not said.
    pub(crate) watchdog: Option<Duration>,
    /// Where metrics and health are served.
    pub(crate) metrics: Option<String>,
}

impl Outside {
    /// Starts to serve and to tell what `told` names, in tasks of their own.
    ///
    /// # Errors
    ///
    /// One line if the address cannot be listened at.
    pub(crate) async fn open(told: &Told) -> Result<Arc<Outside>, Failed> {
        let board = match &told.metrics {
            Some(text) => Some(serve(text).await?),
            None => None,
        };
        if told.systemd
            && let Some(pause) = told.watchdog.or_else(asked_for).filter(|pause| !pause.is_zero())
        {
            tokio::spawn(pat(pause));
        }
        Ok(Arc::new(Outside { diff: told.diff, board, systemd: told.systemd }))
    }

    /// Another configuration is in force. What of it cannot be worked on is not as wanted.
    pub(crate) fn configured(&self, resources: &[Resource], refused: &[String]) {
        let Some(board) = &self.board else { return };
        let names: Vec<&str> = resources.iter().map(|resource| &*resource.name).collect();
        board.note(&Event::Configured(&names));
        for problem in refused {
            // `file:line:column: what is wrong`, and below it the line itself.
            let reason = problem.lines().next().unwrap_or_default();
            let (resource, _) = reason.split_once(':').unwrap_or((reason, ""));
            board.note(&Event::Failed { resource, step: "configuration", reason });
        }
    }

    /// The configuration is read again.
    pub(crate) fn reloading(&self) {
        // Source: sd_notify(3), "RELOADING=1", which wants the time beside it.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.notify(&[NotifyState::Reloading, now]);
        }
    }

    /// What was asked for is done or refused, and work goes on.
    pub(crate) fn ready(&self) {
        self.notify(&[NotifyState::Ready]);
    }

    /// The end is near.
    pub(crate) fn stopping(&self) {
        self.notify(&[NotifyState::Stopping]);
    }

    fn notify(&self, states: &[NotifyState<'_>]) {
        if self.systemd
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::warn!(%error, "systemd cannot be told");
        }
    }
}

async fn serve(text: &str) -> Result<Arc<Board>, Failed> {
    let address = waypost_status::address(text)?;
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("cannot listen at {address}: {error}"))?;
    let board = Arc::new(Board::new());
    let answers = waypost_status::serve(listener, Arc::clone(&board));
    tokio::spawn(async move {
        if let Err(error) = answers.await {
            tracing::error!(%error, "metrics and health are not served any more");
        }
    });
    Ok(board)
}

/// Half of the time in which systemd wants to hear of us, as sd_watchdog_enabled(3) recommends.
fn asked_for() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Tells the watchdog for as long as this thread, which does all the work, comes round to it.
async fn pat(pause: Duration) {
    let mut ticks = tokio::time::interval(pause);
    loop {
        ticks.tick().await;
        // Who is not there cannot be told.
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}

impl Observer for Outside {
    fn report(&self, report: &Report) {
        Log.report(report);
        if let Some(board) = &self.board {
            note(board, report);
        }
        match report {
            Report::WouldChange { difference, .. } => {
                if let Some(Diff { context, coloured }) = self.diff {
                    // Nobody is left to be told that standard output is gone.
                    let _ = write!(io::stdout(), "{}", difference.unified(context, coloured));
                }
            }
            // A host whose registry is away is up even so: its last good files serve.
            Report::Unreachable { .. } => {
                self.notify(&[NotifyState::Ready, NotifyState::Status("the registry cannot be read")]);
            }
            Report::Rested { in_sync } => {
                let status = if *in_sync { "all is as wanted" } else { "not all is as wanted; see the log" };
                self.notify(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
            _ => {}
        }
    }
}

fn note(board: &Board, report: &Report) {
    let step;
    let why;
    board.note(&match report {
        Report::Read { store, keys, .. } => Event::Read { store: *store, keys: *keys },
        Report::Unreachable { store, reason } => Event::Unreachable { store: *store, reason },
        Report::Applied { resource, took, .. } => Event::Applied { resource: &resource.name, took: *took },
        Report::Unchanged { resource } | Report::WouldChange { resource, .. } => {
            Event::Unchanged { resource: &resource.name }
        }
        Report::Held { resource, reason } => Event::Held { resource: &resource.name, reason },
        Report::Failed { resource, failure, .. } => {
            (step, why) = (failure.step.to_string(), failure.to_string());
            Event::Failed { resource: &resource.name, step: &step, reason: &why }
        }
        Report::Reloaded { took, .. } => Event::Reloaded { took: *took },
        Report::ReloadFailed { failure, .. } => {
            why = failure.to_string();
            Event::ReloadFailed { reason: &why }
        }
        Report::Rested { in_sync } => Event::Rested { in_sync: *in_sync },
        Report::Doubted { .. } | Report::PutOff { .. } | Report::Refused { .. } | Report::Undone { .. } => {
            return;
        }
    });
}
