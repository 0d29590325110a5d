//! What the agent tells of its work.
//!
//! Every happening is told once, as a [`Report`]; [`Log`] writes it to the log. Reports carry keys' counts,
//! paths, exit codes and `file:line`, never a value.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::field::DisplayValue;
use waypost_model::{InvalidInstance, Key, Position};

use crate::{Difference, Resource};

/// What the agent was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading and parsing the template.
    Template,
    /// Rendering it.
    Render,
    /// Looking at the content's format.
    Format,
    /// Reading the destination.
    Compare,
    /// Writing the new content beside it.
    Stage,
    /// Running the check.
    Check,
    /// Replacing the destination.
    Swap,
    /// Running the reload.
    Reload,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Template => "template",
            Step::Render => "render",
            Step::Format => "format",
            Step::Compare => "compare",
            Step::Stage => "stage",
            Step::Check => "check",
            Step::Swap => "swap",
            Step::Reload => "reload",
        })
    }
}

/// Why a resource is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// At which step.
    pub step: Step,
    /// What happened and where, on one line.
    pub message: String,
    /// The source line with a caret, or the last lines of a command's output; empty if there is none.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(step: Step, message: impl Into<String>) -> Failure {
        Failure { step, message: message.into(), detail: String::new() }
    }

    pub(crate) fn io(step: Step, what: &str, path: &Path, error: io::Error) -> Failure {
        Failure::new(step, format!("{what} {}: {}", path.display(), reason(&error)))
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Failure {
        self.detail = detail.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.step, self.message)
    }
}

/// The system's words for an error, without the number that `Display` adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// A happening.
#[derive(Debug, Clone)]
pub enum Report {
    /// The store was read, for the first time or again after it did not answer.
    Read {
        /// Which store.
        store: usize,
        /// How many keys.
        keys: usize,
        /// Where in its history.
        position: Position,
    },
    /// The store answers, and it is not to be believed at once.
    Doubted {
        /// Why.
        reason: String,
    },
    /// The store does not answer; files stay as they are.
    Unreachable {
        /// Which store.
        store: usize,
        /// Why, on one line.
        reason: String,
    },
    /// A file was replaced.
    Applied {
        /// Which resource's.
        resource: Arc<Resource>,
        /// Which state of the store it shows.
        position: Position,
        /// How long rendering, checking and swapping took.
        took: Duration,
        /// True if it could not be renamed over, and was written in place.
        in_place: bool,
    },
    /// A file is as it is wanted.
    Unchanged {
        /// Which resource's.
        resource: Arc<Resource>,
    },
    /// A file stays as it is, for a reason.
    Held {
        /// Which resource's.
        resource: Arc<Resource>,
        /// Why.
        reason: String,
    },
    /// A resource failed; its file stays as it is.
    Failed {
        /// Which resource.
        resource: Arc<Resource>,
        /// Why.
        failure: Failure,
        /// After which pause it is tried again; not at all in a single pass.
        retry: Option<Duration>,
    },
    /// A key of a service holds no instance: it is left out. Told once for each key.
    Refused {
        /// Whose file it is left out of.
        resource: Arc<Resource>,
        /// The key.
        key: Key,
        /// Why.
        reason: InvalidInstance,
    },
    /// A file would be replaced, were anything to be changed at all.
    WouldChange {
        /// Which resource's.
        resource: Arc<Resource>,
        /// How. It shows values, and is for whoever asked for it.
        difference: Box<Difference>,
    },
    /// A reload is owed, and its rate limit puts it off.
    PutOff {
        /// The command.
        command: Arc<str>,
        /// For how long.
        pause: Duration,
    },
    /// All that could be done is done; what failed is tried again later.
    Rested {
        /// True if everything is as wanted.
        in_sync: bool,
    },
    /// A reload has run.
    Reloaded {
        /// The command.
        command: Arc<str>,
        /// How long it took.
        took: Duration,
    },
    /// What a reload brought about holds no more: it is owed again.
    Undone {
        /// The command.
        command: Arc<str>,
    },
    /// A reload failed; it is still owed.
    ReloadFailed {
        /// The command.
        command: Arc<str>,
        /// Why.
        failure: Failure,
        /// After which pause it is tried again; not at all in a single pass.
        retry: Option<Duration>,
    },
}

/// Whoever wants to know what happens.
pub trait Observer: Send + Sync + 'static {
    /// Takes note. Called on the agent's own task: it must be quick.
    fn report(&self, report: &Report);
}

/// Writes reports to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Observer for Log {
    fn report(&self, report: &Report) {
        match report {
            Report::Read { keys, position, .. } => tracing::info!(keys, %position, "read the registry"),
            Report::Doubted { reason } => tracing::warn!(reason, "the registry is not believed yet"),
            Report::Unreachable { reason, .. } => {
                tracing::error!(reason, "the registry cannot be read; files stay as they are");
            }
            Report::Applied { resource, position, took, in_place } => {
                let (resource, destination) = (&*resource.name, resource.destination.display());
                tracing::info!(resource, %destination, %position, ?took, "applied");
                if *in_place {
                    tracing::warn!(resource, %destination, "written in place: it cannot be renamed over");
                }
            }
            Report::Unchanged { resource } => tracing::debug!(resource = resource.name, "unchanged"),
            Report::Held { resource, reason } => {
                tracing::warn!(resource = resource.name, reason, "held");
            }
            Report::Failed { resource, failure, retry } => {
                let (again, detail) = (again(*retry), lines(&failure.detail));
                tracing::error!(resource = resource.name, detail, "{failure}{again}");
            }
            Report::Refused { resource, key, reason } => {
                tracing::warn!(resource = resource.name, %key, %reason, "left out");
            }
            Report::WouldChange { resource, .. } => {
                let destination = resource.destination.display();
                tracing::warn!(resource = resource.name, %destination, "would be changed");
            }
            Report::PutOff { command, pause } => {
                tracing::info!(command = &**command, ?pause, "the reload is put off");
            }
            Report::Rested { in_sync } => tracing::debug!(in_sync, "at rest"),
            Report::Reloaded { command, took } => {
                tracing::info!(command = &**command, ?took, "reloaded");
            }
            Report::Undone { command } => {
                tracing::warn!(command = &**command, "what it brought about holds no more; again");
            }
            Report::ReloadFailed { failure, retry, .. } => {
                let (again, detail) = (again(*retry), lines(&failure.detail));
                tracing::error!(detail, "{failure}{again}");
            }
        }
    }
}

fn again(retry: Option<Duration>) -> String {
    retry.map(|pause| format!("; trying again in {:.1} s", pause.as_secs_f64())).unwrap_or_default()
}

/// What has several lines comes last, below the line that says what it is about; none if there is nothing.
fn lines(detail: &str) -> Option<DisplayValue<String>> {
    let lines: String = detail.lines().map(|line| format!("\n    {line}")).collect();
    (!lines.is_empty()).then(|| tracing::field::display(lines))
}
