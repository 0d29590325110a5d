//! Clients of an application in php-fpm, each sending its next request when the last one is answered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use waypost_e2e::DEADLINE;
use waypost_servers::wait_until;

use crate::arrangement::Application;

/// Clients that ask for one path until they are dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    seen: Mutex<Seen>,
}

/// What became of the requests.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// How many were answered, by what the answer said.
    pub(crate) answers: BTreeMap<String, usize>,
    /// What was said in place of each of the others.
    pub(crate) failures: Vec<String>,
    /// How long each of them took.
    times: Vec<Duration>,
}

impl Seen {
    pub(crate) fn total(&self) -> usize {
        self.times.len()
    }

    /// The time within which 99 of 100 ended.
    pub(crate) fn p99(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() * 99 / 100]
    }

    fn worst(&self) -> Duration {
        self.times.iter().copied().max().unwrap_or_default()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, total) = (self.failures.len(), self.total());
        write!(f, "{failed} of {total} failed, p99 {:.0?}, the longest {:.0?}", self.p99(), self.worst())?;
        write!(f, ", answers {:?}", self.answers)?;
        self.failures.iter().take(3).try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

impl Load {
    /// Starts `clients` on `path` of `application`.
    pub(crate) fn on(application: &Arc<Application>, path: &str, clients: usize) -> Load {
        let shared = Arc::new(Shared::default());
        let client = || {
            let (ours, application, path) = (Arc::clone(&shared), Arc::clone(application), path.to_owned());
            thread::spawn(move || {
                while !ours.stopped.load(Ordering::SeqCst) {
                    ours.ask(&application, &path);
                }
            })
        };
        let clients = (0..clients).map(|_| client()).collect();
        Load { shared, clients }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until `more` requests have been answered with `answer`.
    #[track_caller]
    pub(crate) fn wait_for(&self, answer: &str, more: usize) {
        let count = || self.seen().answers.get(answer).copied().unwrap_or(0);
        let before = count();
        wait_until(Waited { load: self, answer }, DEADLINE, || count() >= before + more);
    }

    /// Ends the load, and tells what became of it.
    pub(crate) fn stop(mut self) -> Seen {
        self.end();
        self.seen()
    }

    fn end(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

/// What is waited for, with what was seen when the waiting is over.
struct Waited<'a> {
    load: &'a Load,
    answer: &'a str,
}

impl fmt::Display for Waited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answers of {}; {}", self.answer, self.load.seen())
    }
}

impl Shared {
    fn ask(&self, application: &Application, path: &str) {
        let started = Instant::now();
        let answer = application.get(path);
        let took = started.elapsed();
        let mut seen = self.seen.lock().unwrap();
        seen.times.push(took);
        match answer {
            Ok(text) => *seen.answers.entry(text).or_default() += 1,
            Err(why) => seen.failures.push(why),
        }
    }
}
