//! Requests without a pause, and what became of them.

use std::collections::BTreeMap;
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

    /// Waits until each of `handlers` has answered again.
    ///
    /// # Panics
    ///
    /// When one does not in time.
    #[track_caller]
    pub fn wait_for_all(&self, handlers: &[&str]) {
        let before = self.handlers();
        let count = |handlers: &BTreeMap<String, usize>, name: &str| handlers.get(name).copied().unwrap_or(0);
        for name in handlers {
            let has_answered = || count(&self.handlers(), name) > count(&before, name);
            wait_until(format!("an answer of {name}"), DEADLINE, has_answered);
        }
    }

    /// Waits until a number of requests in a row are answered, all by one of `handlers`, and by each of them.
    ///
    /// # Panics
    ///
    /// When that is not so in time.
    #[track_caller]
    pub fn wait_for_exactly(&self, handlers: &[&str]) {
        let wanted: std::collections::BTreeSet<&str> = handlers.iter().copied().collect();
        let mut before = self.handlers();
        wait_until(format!("answers of exactly {handlers:?}"), DEADLINE, || {
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
                let handler = answer.header("x-handler").unwrap_or("nobody").to_owned();
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
