//! Requests without a pause, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use waypost_servers::{get, wait_until};

use crate::DEADLINE;

/// From one request to the next: many a second, and the processor is left to the servers.
const PAUSE: Duration = Duration::from_millis(5);

/// A thread that fetches one URL again and again until it is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    /// Good answers, by who gave them.
    handlers: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Load {
    /// Starts to fetch `url`.
    pub fn on(url: &str) -> Load {
        let shared = Arc::new(Shared::default());
        let (ours, url) = (Arc::clone(&shared), url.to_owned());
        let thread = thread::spawn(move || {
            while !ours.stopped.load(Ordering::SeqCst) {
                ours.fetch(&url);
                thread::sleep(PAUSE);
            }
        });
        Load { shared, thread: Some(thread) }
    }

    /// Good answers so far, by the `X-Handler` that they named.
    pub fn handlers(&self) -> BTreeMap<String, usize> {
        self.shared.seen().handlers
    }

    /// Everything that was no good answer: other codes, and requests that were lost.
    pub fn failures(&self) -> Vec<String> {
        self.shared.seen().failures
    }

    /// Waits until a number of requests in a row are answered, all by one of `handlers`, and by each of them.
    ///
    /// # Panics
    ///
    /// When that is not so in time.
    #[track_caller]
    pub fn wait_for_exactly(&self, handlers: &[&str]) {
        let wanted: BTreeSet<&str> = handlers.iter().copied().collect();
        let mut before = self.handlers();
        wait_until(Waited { handlers, load: self }, DEADLINE, || {
            let now = self.handlers();
            let new = |name: &String| now[name] - before.get(name).copied().unwrap_or(0);
            if now.keys().map(new).sum::<usize>() < 20 {
                return false;
            }
            let answered = now.keys().filter(|name| new(name) > 0).map(String::as_str).collect();
            let is_exact = wanted == answered;
            before = now;
            is_exact
        });
    }
}

/// Who is waited for, with what was seen when the waiting is over.
struct Waited<'a> {
    handlers: &'a [&'a str],
    load: &'a Load,
}

impl fmt::Display for Waited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { handlers, failures } = self.load.shared.seen();
        write!(f, "answers of exactly {:?}; there were {handlers:?}, and not: {failures:?}", self.handlers)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn fetch(&self, url: &str) {
        let answer = get(url);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) if answer.status == 200 => {
                // The service may name itself too; the proxy adds its word after that.
                let mut handlers = answer.headers.into_iter().rev().filter(|(name, _)| name == "x-handler");
                let handler = handlers.next().map_or_else(|| "nobody".to_owned(), |(_, value)| value);
                *seen.handlers.entry(handler).or_default() += 1;
            }
            Ok(answer) => seen.failures.push(format!("{}: {}", answer.status, answer.text())),
            Err(why) => seen.failures.push(why.to_string()),
        }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
