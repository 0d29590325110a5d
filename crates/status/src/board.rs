//! What is known of stores, resources and reloads at this moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::metrics::Metrics;

/// A happening that the board takes note of.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// These resources are kept up to date from now on, and no others.
    Configured(&'a [&'a str]),
    /// A store was read.
    Read {
        /// Which one, by its number.
        store: usize,
        /// How many keys it has for us.
        keys: usize,
    },
    /// A store does not answer.
    Unreachable {
        /// Which one.
        store: usize,
        /// Why.
        reason: &'a str,
    },
    /// A file was replaced.
    Applied {
        /// Which resource's.
        resource: &'a str,
        /// How long that took.
        took: Duration,
    },
    /// A file is as wanted.
    Unchanged {
        /// Which resource's.
        resource: &'a str,
    },
    /// A file stays as it is, for a reason.
    Held {
        /// Which resource's.
        resource: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A resource failed.
    Failed {
        /// Which one.
        resource: &'a str,
        /// At which step.
        step: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A reload has run.
    Reloaded {
        /// How long it took.
        took: Duration,
    },
    /// A reload failed.
    ReloadFailed {
        /// Why.
        reason: &'a str,
    },
    /// All that could be done is done.
    Rested {
        /// Whether all is as wanted.
        in_sync: bool,
    },
}

/// The state of things, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True if all stores answer, and all files and what reads them are as wanted.
    pub ready: bool,
    /// The stores, by their number: `ok`, or why one cannot be read.
    pub stores: BTreeMap<usize, String>,
    /// The resources, by their name: `ok`, `waiting` before the first try, or what keeps one from it.
    pub resources: BTreeMap<String, String>,
    /// Why the last reload failed, if it did.
    pub reload: Option<String>,
}

/// What is known, for any thread.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    /// None of a store is trouble.
    stores: BTreeMap<usize, Option<String>>,
    resources: BTreeMap<String, Condition>,
    reload: Option<String>,
    is_in_sync: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Waiting,
    AsWanted,
    Not(String),
}

impl Board {
    /// A board on which nothing has happened.
    pub fn new() -> Board {
        Board::default()
    }

    /// Takes note of `event`.
    pub fn note(&self, event: &Event<'_>) {
        self.metrics.count(event);
        let mut state = self.lock();
        state.note(event);
        self.metrics.set(state.is_ready(), state.resources.len());
    }

    /// How things are.
    pub fn report(&self) -> Report {
        let state = self.lock();
        let shown = |condition: &Condition| match condition {
            Condition::Waiting => "waiting".to_owned(),
            Condition::AsWanted => "ok".to_owned(),
            Condition::Not(why) => why.clone(),
        };
        let store = |why: &Option<String>| why.clone().unwrap_or_else(|| "ok".to_owned());
        Report {
            ready: state.is_ready(),
            stores: state.stores.iter().map(|(number, why)| (*number, store(why))).collect(),
            resources: state.resources.iter().map(|(name, is)| (name.clone(), shown(is))).collect(),
            reload: state.reload.clone(),
        }
    }

    /// All metrics, in the text format of Prometheus and OpenMetrics.
    pub fn metrics(&self) -> String {
        self.metrics.text()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, event: &Event<'_>) {
        match *event {
            Event::Configured(names) => {
                let known = |name: &&str| {
                    let condition = self.resources.get(*name).cloned().unwrap_or(Condition::Waiting);
                    ((*name).to_owned(), condition)
                };
                self.resources = names.iter().map(known).collect();
                self.stores.clear();
                self.is_in_sync = false;
            }
            Event::Read { store, .. } => drop(self.stores.insert(store, None)),
            Event::Unreachable { store, reason } => {
                self.stores.insert(store, Some(reason.to_owned()));
            }
            Event::Applied { resource, .. } | Event::Unchanged { resource } => {
                self.resources.insert(resource.to_owned(), Condition::AsWanted);
            }
            Event::Held { resource, reason } => {
                self.resources.insert(resource.to_owned(), Condition::Not(format!("held: {reason}")));
            }
            Event::Failed { resource, reason, .. } => {
                self.resources.insert(resource.to_owned(), Condition::Not(reason.to_owned()));
            }
            Event::Reloaded { .. } => self.reload = None,
            Event::ReloadFailed { reason } => self.reload = Some(reason.to_owned()),
            Event::Rested { in_sync } => self.is_in_sync = in_sync,
        }
    }

    fn is_ready(&self) -> bool {
        let all_answer = self.stores.values().all(Option::is_none);
        let all_are = self.resources.values().all(|condition| *condition == Condition::AsWanted);
        self.is_in_sync && all_answer && all_are
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A board on which the resource `web` is in sync.
    fn in_sync() -> Board {
        let board = Board::new();
        board.note(&Event::Configured(&["web"]));
        board.note(&Event::Read { store: 0, keys: 3 });
        board.note(&Event::Applied { resource: "web", took: Duration::from_millis(2) });
        board.note(&Event::Rested { in_sync: true });
        assert!(board.report().ready, "{:?}", board.report());
        board
    }

    #[test]
    fn it_is_not_ready_before_all_was_done_once() {
        let board = Board::new();
        assert!(!board.report().ready);
        board.note(&Event::Configured(&["web"]));
        board.note(&Event::Read { store: 0, keys: 3 });
        assert_eq!(board.report().resources["web"], "waiting");
        assert!(!board.report().ready);
    }

    #[test]
    fn a_store_that_does_not_answer_makes_it_not_ready_until_it_does() {
        let board = in_sync();
        board.note(&Event::Unreachable { store: 0, reason: "refused" });
        assert_eq!((board.report().ready, &*board.report().stores[&0]), (false, "refused"));
        board.note(&Event::Read { store: 0, keys: 3 });
        assert!(board.report().ready);
    }

    #[test]
    fn a_resource_that_fails_or_is_held_makes_it_not_ready() {
        for event in [
            Event::Failed { resource: "web", step: "check", reason: "no" },
            Event::Held { resource: "web", reason: "no" },
        ] {
            let board = in_sync();
            board.note(&event);
            assert!(!board.report().ready, "{event:?}");
            board.note(&Event::Unchanged { resource: "web" });
            assert!(board.report().ready);
        }
    }

    #[test]
    fn a_reload_that_failed_makes_it_not_ready_until_it_ran() {
        let board = in_sync();
        board.note(&Event::ReloadFailed { reason: "exit status: 1" });
        board.note(&Event::Rested { in_sync: false });
        assert_eq!((board.report().ready, board.report().reload), (false, Some("exit status: 1".to_owned())));
        board.note(&Event::Reloaded { took: Duration::ZERO });
        board.note(&Event::Rested { in_sync: true });
        assert!(board.report().ready && board.report().reload.is_none());
    }

    #[test]
    fn a_new_configuration_has_to_be_worked_on_before_it_is_ready() {
        let board = in_sync();
        board.note(&Event::Configured(&["db", "web"]));
        assert!(!board.report().ready);
        assert_eq!(board.report().resources.len(), 2);
    }

    #[test]
    fn what_happened_is_counted() {
        let board = in_sync();
        board.note(&Event::Failed { resource: "web", step: "check", reason: "no" });
        board.note(&Event::Reloaded { took: Duration::from_millis(30) });
        let text = board.metrics();
        for wanted in [
            "waypost_applied_total{resource=\"web\"} 1",
            "waypost_failures_total{resource=\"web\",step=\"check\"} 1",
            "waypost_reloads_total{result=\"ok\"} 1",
            "waypost_keys{store=\"0\"} 3",
            "waypost_ready 0",
            "waypost_resources 1",
        ] {
            assert!(text.lines().any(|line| line == wanted), "{wanted}\n{text}");
        }
    }
}
