//! etcd, by its v3 API.
//!
//! One connection at a time, to one of the endpoints. Whatever breaks it ends it: the next request goes to
//! the next endpoint, and a watch ends with an error instead of going on somewhere else unnoticed. On one
//! connection a watch resumes by itself, since the same process keeps the same history.
//!
//! A peer that is gone without a word is found by a question of our own every two seconds; HTTP/2 pings
//! would do, but etcd closes connections that ping more often than every five (`--grpc-keepalive-min-time`).
//!
//! Before etcd 3.5 a progress notice may run ahead of events, so none is asked for; a position is taken
//! from events and from reads only.

mod connection;
mod raw;
mod read;
mod registry;
mod status;
mod watch;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use connection::Connector;
pub use raw::{Guarded, GuardedPut, RawEntry, RawSnapshot};
use waypost_model::Prefix;

pub use crate::tls::Tls;
use crate::{Error, ErrorKind, Result};

const STORE: &str = "etcd";

/// How etcd is reached.
#[derive(Clone)]
pub struct Settings {
    /// `http://HOST:PORT` or `https://HOST:PORT`, one or more, tried in this order.
    pub endpoints: Vec<String>,
    /// User and password. The token that etcd gives for them is renewed when it expires.
    pub user: Option<(String, String)>,
    /// How an https endpoint is checked, and how we show who we are.
    pub tls: Tls,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// How often a watched peer is asked whether it is there.
    pub probe_every: Duration,
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
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// An etcd, one node or a cluster: a [`Backend`](crate::Backend) and a [`Registry`](crate::Registry).
#[derive(Debug, Clone)]
pub struct Etcd {
    connector: Arc<Connector>,
}

impl Etcd {
    /// An etcd at the endpoints of `settings`. Nothing is connected before something is asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if there is no endpoint, one is no URL, or a certificate cannot be read.
    pub fn new(settings: Settings) -> Result<Etcd> {
        Ok(Etcd { connector: Arc::new(Connector::new(settings)?) })
    }
}

/// The keys from `start` to before `end`, as etcd's ranges are; without an end, just the key `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Range {
    fn is_one_key(&self) -> bool {
        self.end.is_empty()
    }

    fn shown(&self) -> String {
        if self.start == [0] {
            return Prefix::all().to_string();
        }
        String::from_utf8_lossy(&self.start).into_owned()
    }
}

/// What etcd has to be asked for to see all of `prefixes` and nothing else: for each, the keys below the
/// path, and the path as a key. One range over both would take `/app-old` along with `/app`.
///
/// Source: etcd's `rpc.proto`: "If both key and range_end are '\0', range represents all keys".
fn ranges(prefixes: &[Prefix]) -> Vec<Range> {
    let below = |prefix: &Prefix| match prefix.as_str() {
        "" => Range { start: vec![0], end: vec![0] },
        path => Range { start: format!("{path}/").into_bytes(), end: format!("{path}0").into_bytes() },
    };
    let itself = |prefix: &Prefix| {
        let path = prefix.as_str();
        (!path.is_empty()).then(|| Range { start: path.as_bytes().to_vec(), end: Vec::new() })
    };
    prefixes.iter().flat_map(|prefix| [Some(below(prefix)), itself(prefix)]).flatten().collect()
}

fn invalid(operation: &'static str, subject: impl fmt::Display, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, STORE, operation, subject).because(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> Range {
        Range { start: start.into(), end: end.into() }
    }

    #[test]
    fn ranges_take_in_a_path_and_what_is_below_it_only() {
        assert_eq!(ranges(&[Prefix::new("/app")]), [range("/app/", "/app0"), range("/app", "")]);
        assert_eq!(ranges(&[Prefix::all()]), [range("\0", "\0")]);
    }

    #[test]
    fn debug_shows_no_password() {
        let mut settings = Settings::new(["http://127.0.0.1:2379".to_owned()]);
        settings.user = Some(("root".into(), "hunter2".into()));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
