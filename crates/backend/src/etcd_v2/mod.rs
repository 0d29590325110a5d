//! etcd, by its v2 keys API: HTTP with JSON, at etcd 2 and at etcd 3 started with `--enable-v2` (up to 3.5).
//!
//! A read is a request for each prefix; a watch is a long poll for each. Beside the polls one connection
//! stays open, the session: it is asked every two seconds where the store is, and as long as it holds, the same
//! process answers, so that a poll may end and another take its place. What breaks the session ends the watch,
//! since whoever answers next may hold another history. The next request goes to the next endpoint.
//!
//! etcd keeps the last 1,000 events of the whole store. A poll that saw nothing while others wrote is asked again
//! from where the store is by then, so that only who is cut off or too slow falls behind, and is told
//! [`ErrorKind::Lost`].
//!
//! A directory that goes takes its keys along in a single event. The keys that a snapshot found are kept for
//! the watch that begins there, so that each of them is told.
//!
//! Sources: etcd's `Documentation/v2/api.md` and, for what it leaves out, `server/etcdserver/api/v2store`.

mod connection;
mod known;
mod poll;
mod read;
mod watch;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use connection::Connector;
use read::Remembered;
use std::sync::Mutex;
use waypost_model::{Prefix, clean_path};

pub use crate::tls::Tls;
use crate::{Error, ErrorKind, Result};

const STORE: &str = "etcd v2";

/// How etcd is reached.
#[derive(Clone)]
pub struct Settings {
    /// `http://HOST:PORT` or `https://HOST:PORT`, one or more, tried in this order.
    pub endpoints: Vec<String>,
    /// User and password, sent with each request (HTTP's basic authentication).
    pub user: Option<(String, String)>,
    /// How an https endpoint is checked, and how we show who we are.
    pub tls: Tls,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// How often a watched peer is asked whether it is there, and where the store is.
    pub probe_every: Duration,
    /// How long a long poll may stay open, below what proxies usually allow.
    pub longest_poll: Duration,
}

impl Settings {
    /// The defaults for `endpoints`.
    pub fn new(endpoints: impl IntoIterator<Item = String>) -> Settings {
        Settings {
            endpoints: endpoints.into_iter().collect(),
            user: None,
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(5),
            probe_every: Duration::from_secs(2),
            longest_poll: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// An etcd's v2 keys, one node or a cluster: a [`Backend`](crate::Backend).
#[derive(Debug, Clone)]
pub struct EtcdV2 {
    connector: Arc<Connector>,
    /// What the last snapshot found, for the watch that begins there.
    remembered: Arc<Mutex<Option<Remembered>>>,
}

impl EtcdV2 {
    /// An etcd at the endpoints of `settings`. Nothing is connected before something is asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if there is no endpoint, one is no URL, or a certificate cannot be read.
    pub fn new(settings: Settings) -> Result<EtcdV2> {
        let connector = Arc::new(Connector::new(settings)?);
        Ok(EtcdV2 { connector, remembered: Arc::default() })
    }
}

/// What has to be asked for to see all of `prefixes`, each key once. v2 has clean, absolute keys only; a
/// prefix of another kind holds none of them.
fn asked(prefixes: &[Prefix]) -> Vec<Prefix> {
    let is_clean = |path: &str| path.is_empty() || (path.starts_with('/') && clean_path(path) == path);
    let clean = prefixes.iter().filter(|prefix| is_clean(prefix.as_str()));
    let sees = |one: &Prefix, other: &Prefix| one.covers(other) && !known::is_hidden(one, other.as_str());
    let mut asked: Vec<Prefix> = Vec::new();
    let mut sorted: Vec<&Prefix> = clean.collect();
    sorted.sort();
    for prefix in sorted {
        if !asked.iter().any(|other| sees(other, prefix)) {
            asked.push(prefix.clone());
        }
    }
    asked
}

fn invalid(operation: &'static str, subject: impl fmt::Display, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, STORE, operation, subject).because(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_another_one_shows_is_not_asked_for() {
        let prefixes = |list: &[&str]| list.iter().map(|path| Prefix::new(path)).collect::<Vec<_>>();
        let shown = asked(&prefixes(&["/a/b", "/a", "/a-x", "/a/_h", "/a/_h/b", "/a/b/_c/d", "/a"]));
        assert_eq!(shown, prefixes(&["/a", "/a-x", "/a/_h", "/a/b/_c/d"]), "hidden keys are not shown");
        assert_eq!(asked(&prefixes(&["", "/x"])), [Prefix::all()]);
        assert_eq!(asked(&prefixes(&["x", "/a//b", "/a/../b"])), [], "v2 has no such keys");
    }

    #[test]
    fn debug_shows_no_password() {
        let mut settings = Settings::new(["http://127.0.0.1:4001".to_owned()]);
        settings.user = Some(("root".into(), "hunter2".into()));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
