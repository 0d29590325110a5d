//! Connections to the endpoints, in turn, and the requests on them.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use waypost_model::{Position, Prefix};

use super::wire::{At, Event, at, judge};
use super::{STORE, Settings, invalid};
use crate::http1::{Connection, Failure, Target, body_of, encoded};
use crate::speaks::{self, Found};
use crate::tls::kind_of_failure;
use crate::{Error, ErrorKind, Result};

/// Opens connections, to the endpoint that worked last as long as it does.
pub(super) struct Connector {
    pub(super) settings: Settings,
    targets: Vec<Target>,
    credentials: Option<HeaderValue>,
    /// The endpoint to try first.
    first: AtomicUsize,
}

/// A connection to an endpoint that answers the v2 API.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Which endpoint it leads to.
    pub(super) number: usize,
    /// Where the store was when asked last; none if it does not tell for want of a permission.
    pub(super) at: Option<At>,
    /// The path of a key that does not exist: the cheapest question.
    question: String,
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Result<Connector> {
        if settings.endpoints.is_empty() {
            return Err(invalid("connect to", "it", "no endpoint is given"));
        }
        let target = |url: &String| {
            Target::new(url, &settings.tls).map_err(|why| invalid("use the endpoint", url, why))
        };
        let targets = settings.endpoints.iter().map(target).collect::<Result<_>>()?;
        let credentials = settings.user.as_ref().map(|(name, password)| basic(name, password));
        Ok(Connector { settings, targets, credentials, first: AtomicUsize::new(0) })
    }

    /// A connection to the first endpoint that answers; `prefix` is what will be asked for.
    pub(super) async fn open(&self, prefix: &Prefix) -> Result<Session> {
        let first = self.first.load(Ordering::Relaxed);
        let mut errors = Vec::new();
        for turn in 0..self.targets.len() {
            let number = (first + turn) % self.targets.len();
            match self.open_one(number, prefix).await {
                Ok(session) => {
                    self.first.store(number, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(error) if error.kind() == ErrorKind::Denied => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        if errors.len() == 1 {
            return Err(errors.remove(0));
        }
        let each: Vec<String> = errors.iter().map(Error::chain).collect();
        let may_pass = errors.iter().any(Error::is_transient);
        let kind = if may_pass { ErrorKind::Unavailable } else { ErrorKind::Invalid };
        Err(Error::new(kind, STORE, "connect to", "any of the endpoints").because(each.join("; ")))
    }

    /// The next request goes to the next endpoint, unless it does so already.
    pub(super) fn pass_over(&self, number: usize) {
        let next = (number + 1) % self.targets.len();
        let _ = self.first.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A connection to endpoint `number` and to no other.
    pub(super) async fn connect(&self, number: usize) -> Result<Connection> {
        let (limit, url) = (self.settings.connect_timeout, self.url(number));
        match tokio::time::timeout(limit, self.targets[number].connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(failure)) => Err(failed(failure, "connect to", url)),
            Err(_) => Err(silent("connect to", url, url, limit)),
        }
    }

    /// Asks for `path`; gives the answer when its headers are there.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        number: usize,
        operation: &'static str,
        (path, subject): (&str, &str),
    ) -> Result<Response<Incoming>> {
        let limit = self.settings.request_timeout;
        let asking = connection.get(path, self.credentials.as_ref());
        match tokio::time::timeout(limit, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => Err(failed(failure, operation, subject)),
            Err(_) => Err(silent(operation, subject, self.url(number), limit)),
        }
    }

    /// What is below `prefix`, and where the store was when it looked; none if there is nothing.
    pub(super) async fn read(&self, session: &mut Session, prefix: &Prefix) -> Result<(At, Option<Event>)> {
        let subject = prefix.to_string();
        let path = format!("{}?recursive=true&quorum=true", path_of(prefix.as_str()));
        let connection = &mut session.connection;
        let answer = self.ask(connection, session.number, "read", (&path, &subject)).await?;
        let (status, is_at) = (answer.status(), at(answer.headers()));
        let limit = self.settings.request_timeout;
        let body = match tokio::time::timeout(limit, body_of(answer)).await {
            Ok(body) => body.map_err(|failure| failed(failure, "read", &subject))?,
            Err(_) => return Err(silent("read", &subject, self.url(session.number), limit)),
        };
        let found = judge(status, &body, "read", &subject)?;
        let nowhere = || invalid("read", &subject, "the answer does not say where the store is");
        Ok((is_at.ok_or_else(nowhere)?, found))
    }

    /// Asks whether the peer is there and where the store is.
    pub(super) async fn probe(&self, session: &mut Session) -> Result<()> {
        let (connection, number) = (&mut session.connection, session.number);
        let subject = self.url(number);
        let answer = self.ask(connection, number, "watch", (&session.question, subject)).await?;
        let (status, is_at) = (answer.status(), at(answer.headers()));
        let body = tokio::time::timeout(self.settings.request_timeout, body_of(answer)).await;
        let body = body.map_err(|_| silent("watch", subject, subject, self.settings.request_timeout))?;
        let body = body.map_err(|failure| failed(failure, "watch", subject))?;
        match judge(status, &body, "connect to", subject) {
            Ok(_) => session.at = is_at,
            // Whoever may not see that key may see others.
            Err(error) if error.kind() == ErrorKind::Denied => session.at = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn url(&self, number: usize) -> &str {
        &self.targets[number].url
    }

    async fn open_one(&self, number: usize, prefix: &Prefix) -> Result<Session> {
        let connection = self.connect(number).await?;
        let question = path_of(&format!("{}/_waypost", prefix.as_str()));
        let mut session = Session { connection, number, at: None, question };
        match self.probe(&mut session).await {
            Ok(()) => Ok(session),
            Err(error) if error.kind() == ErrorKind::Unsupported => Err(self.explain(error, number).await),
            // A refusal of the client's certificate comes after the handshake, and may be cut off.
            Err(error) if error.is_transient() && self.url(number).starts_with("https:") => {
                let why = "ended the connection at once; does it want another client certificate?";
                Err(error.because(format!("{} {why}", self.url(number))))
            }
            Err(error) => Err(error),
        }
    }

    /// Says what is there instead, for a server without the v2 API.
    async fn explain(&self, error: Error, number: usize) -> Error {
        let (target, limit) = (&self.targets[number], self.settings.request_timeout);
        let advice = match speaks::find(target, limit).await {
            Found::Etcd(version) if version.has_v3() => {
                let start = if version.may_have_v2() { "start it with --enable-v2, or " } else { "" };
                let what = format!("speaks the v3 API but not v2 ({version})");
                format!("etcd at {}: {what}; {start}use -backend etcdv3", target.url)
            }
            _ => format!("{}: answers HTTP but not etcd's v2 API; is it an etcd?", target.url),
        };
        error.because(advice)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl At {
    pub(super) fn position(self) -> Position {
        Position::new(self.store, self.index)
    }
}

/// Where the v2 API has a key.
pub(super) fn path_of(key: &str) -> String {
    format!("/v2/keys{}", encoded(key))
}

pub(super) fn failed(failure: Failure, operation: &'static str, subject: impl fmt::Display) -> Error {
    Error::new(kind_of_failure(&*failure), STORE, operation, subject).because(failure)
}

pub(super) fn silent(
    operation: &'static str,
    subject: impl fmt::Display,
    peer: &str,
    limit: Duration,
) -> Error {
    Error::new(ErrorKind::Unavailable, STORE, operation, subject)
        .because(format!("{peer} did not answer within {limit:?}"))
}

/// True for the answers of a proxy that waited too long for the server behind it.
pub(super) fn is_gateway_timeout(status: StatusCode) -> bool {
    matches!(status, StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT)
}

fn basic(name: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    let mut value = HeaderValue::from_str(&text).expect("base64 is plain text");
    value.set_sensitive(true);
    value
}
