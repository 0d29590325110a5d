//! People who read the site all the time, and what they were answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use waypost_e2e::DEADLINE;
use waypost_e2e::site::visit;
use waypost_servers::wait_until;

/// Makes Varnish pass the request on as for somebody who has logged in; WordPress shows an ordinary page.
pub(crate) const PASSED: Option<&str> = Some("wordpress_logged_in_x=nobody");

/// A picture that nginx answers with, and Varnish passes on: many more of these can be asked for than pages.
pub(crate) const PICTURE: &str = "/wp-admin/images/wordpress-logo.svg";

/// From one request of a visitor's to the next; the processor is left to the servers.
const PAUSE: Duration = Duration::from_millis(2);

/// Threads that ask until they leave.
#[derive(Debug)]
pub(crate) struct Visitors {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    are_leaving: AtomicBool,
    waiting: AtomicUsize,
    seen: Mutex<Seen>,
}

/// What the visitors were answered.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Good answers, by the web server that they come from.
    pub(crate) handlers: BTreeMap<String, usize>,
    /// Everything else: another status, or none.
    pub(crate) lost: Vec<String>,
}

impl Seen {
    /// How many answers were good.
    pub(crate) fn answered(&self) -> usize {
        self.handlers.values().sum()
    }
}

impl Visitors {
    /// So many visitors, who ask the server at `url` for one of the paths after the other.
    pub(crate) fn of(url: &str, paths: &[&str], cookie: Option<&'static str>, count: usize) -> Visitors {
        let shared = Arc::new(Shared::default());
        let start = |first: usize| {
            let (shared, url) = (Arc::clone(&shared), url.to_owned());
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            thread::spawn(move || {
                for path in paths.iter().cycle().skip(first) {
                    if shared.are_leaving.load(Ordering::SeqCst) {
                        return;
                    }
                    shared.ask(&url, path, cookie);
                    thread::sleep(PAUSE);
                }
            })
        };
        let threads = (0..count).map(start).collect();
        Visitors { shared, threads }
    }

    /// What they were answered so far.
    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of them wait for an answer now.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    /// Waits until so many more of their requests are answered, well or not.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, count: usize) {
        let asked = || {
            let seen = self.seen();
            seen.answered() + seen.lost.len()
        };
        let enough = asked() + count;
        wait_until(format!("{count} requests"), DEADLINE, || asked() >= enough);
    }

    /// Waits until they have all their answers, and returns what these were.
    pub(crate) fn leave(mut self) -> Seen {
        self.end();
        self.seen()
    }

    fn end(&mut self) {
        self.shared.are_leaving.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn ask(&self, url: &str, path: &str, cookie: Option<&str>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let answer = visit(url, path, cookie);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) if answer.status == 200 => {
                let handler = answer.header("x-handler").unwrap_or("nobody").to_owned();
                *seen.handlers.entry(handler).or_default() += 1;
            }
            Ok(answer) => seen.lost.push(format!("{path}: {}", answer.status)),
            Err(why) => seen.lost.push(format!("{path}: {why}")),
        }
    }
}
