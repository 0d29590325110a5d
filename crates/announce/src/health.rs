//! Health checks: asks a service once whether it can serve.
//!
//! A check ends within its timeout, with a reason in one line that names the address. It keeps nothing
//! from one time to the next: how often it runs, and how many results count, is in `machine.rs`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use futures::future::{Either, select};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use waypost_model::Endpoint;

/// How to find out whether an instance can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// Not at all: it counts as healthy as long as its announcer, or its command, runs.
    None,
    /// It is healthy if it takes a TCP connection.
    Tcp(Endpoint),
    /// It is healthy if it answers a request over plain HTTP as expected.
    Http(HttpCheck),
}

/// A request, and which answers are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Where to connect to.
    pub endpoint: Endpoint,
    /// What to `GET`: a path that begins with `/`, and a query if one is needed.
    pub path: String,
    /// The request's `Host`; the endpoint if none is given.
    pub host: Option<String>,
    /// Which answers are good.
    pub expected: Expected,
}

/// Which status codes of HTTP are a good answer. Redirects are not followed, the body is not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expected {
    /// 200 to 399, as Kubernetes and HAProxy take them.
    #[default]
    SuccessOrRedirect,
    /// One of these.
    OneOf(Vec<u16>),
}

/// Why a health check failed: one line, with the cause in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckFailure {
    /// No connection came about.
    #[error("cannot connect to {endpoint}: {why}")]
    NotConnected {
        /// Where to.
        endpoint: Endpoint,
        /// The system's reason.
        why: String,
    },
    /// A connection did come about, and an answer did not.
    #[error("no answer from {url}: {why}")]
    NotAnswered {
        /// What was asked for.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// The answer is not a good one.
    #[error("{url} answers {status}, expected {expected}")]
    Unexpected {
        /// What was asked for.
        url: String,
        /// The answer's status.
        status: u16,
        /// What would have been good.
        expected: Expected,
    },
}

impl HealthCheck {
    /// Checks once, for `timeout` at the longest.
    ///
    /// # Errors
    ///
    /// Whatever keeps the service from answering as it should.
    pub async fn run(&self, timeout: Duration) -> Result<(), CheckFailure> {
        let until = Instant::now() + timeout;
        match self {
            HealthCheck::None => Ok(()),
            HealthCheck::Tcp(endpoint) => connect(endpoint, until, timeout).await.map(drop),
            HealthCheck::Http(check) => {
                let stream = connect(&check.endpoint, until, timeout).await?;
                let answer = timeout_at(until, check.ask(stream)).await;
                let answer = answer.unwrap_or_else(|_| Err(format!("nothing within {timeout:?}")));
                check.judge(answer.map_err(|why| CheckFailure::NotAnswered { url: check.url(), why })?)
            }
        }
    }
}

async fn connect(endpoint: &Endpoint, until: Instant, timeout: Duration) -> Result<TcpStream, CheckFailure> {
    let failed = |why| CheckFailure::NotConnected { endpoint: endpoint.clone(), why };
    let stream = match timeout_at(until, TcpStream::connect((endpoint.host(), endpoint.port()))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("nothing within {timeout:?}"))),
    };
    // A client that is given the very port that it connects to, which the system may do if the port is in
    // its ephemeral range and nobody listens, is connected with itself.
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        return Err(failed("nobody listens".to_owned()));
    }
    Ok(stream)
}

impl HttpCheck {
    /// `GET path` at `endpoint`, any 2xx or 3xx is good.
    pub fn new(endpoint: Endpoint, path: impl Into<String>) -> HttpCheck {
        HttpCheck { endpoint, path: path.into(), host: None, expected: Expected::default() }
    }

    /// What would keep the check from ever passing, if there is something.
    pub(crate) fn problem(&self) -> Option<String> {
        let about = |why: &dyn fmt::Display| format!("the health check's path `{}` {why}", self.path);
        if !self.path.starts_with('/') {
            return Some(about(&"does not begin with `/`"));
        }
        if let Err(why) = self.request() {
            return Some(about(&format_args!("or its host cannot be asked for: {why}")));
        }
        (self.expected == Expected::OneOf(Vec::new()))
            .then(|| "the health check expects no status at all".to_owned())
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let host = self.host.clone().unwrap_or_else(|| self.endpoint.to_string());
        Request::get(&self.path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("waypost/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .body(Empty::new())
            .map_err(|error| error.to_string())
    }

    async fn ask(&self, stream: TcpStream) -> Result<StatusCode, String> {
        let request = self.request()?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
        let answer = Box::pin(sender.send_request(request));
        let answer = match select(answer, connection).await {
            Either::Left((answer, _)) => answer,
            // The connection is over; whatever it brought is there by now.
            Either::Right((_, answer)) => answer.await,
        };
        answer.map(|answer| answer.status()).map_err(|error| chain(&error))
    }

    fn judge(&self, status: StatusCode) -> Result<(), CheckFailure> {
        let (status, expected) = (status.as_u16(), &self.expected);
        if expected.holds(status) {
            return Ok(());
        }
        Err(CheckFailure::Unexpected { url: self.url(), status, expected: expected.clone() })
    }

    fn url(&self) -> String {
        format!("http://{}{}", self.endpoint, self.path)
    }
}

impl Expected {
    fn holds(&self, status: u16) -> bool {
        match self {
            Expected::SuccessOrRedirect => (200..400).contains(&status),
            Expected::OneOf(codes) => codes.contains(&status),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::SuccessOrRedirect => f.write_str("200 to 399"),
            Expected::OneOf(codes) => {
                let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
                f.write_str(&codes.join(" or "))
            }
        }
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(": ");
        line.push_str(&inner.to_string());
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str) -> HttpCheck {
        HttpCheck::new(Endpoint::new("10.0.0.5", 8001), path)
    }

    #[test]
    fn a_status_is_judged_by_range_or_by_list() {
        let any = Expected::SuccessOrRedirect;
        assert!(any.holds(200) && any.holds(399) && !any.holds(199) && !any.holds(400));
        let list = Expected::OneOf(vec![204, 401]);
        assert!(list.holds(401) && !list.holds(200));
    }

    #[test]
    fn a_bad_answer_is_told_with_address_status_and_expectation() {
        let mut check = check("/health");
        check.expected = Expected::OneOf(vec![200, 204]);
        let failure = check.judge(StatusCode::SERVICE_UNAVAILABLE).unwrap_err();
        assert_eq!(failure.to_string(), "http://10.0.0.5:8001/health answers 503, expected 200 or 204");
    }

    #[test]
    fn a_check_that_cannot_pass_is_recognised() {
        assert_eq!(check("/health?full=1").problem(), None);
        assert!(check("health").problem().unwrap().contains("does not begin with `/`"));
        assert!(check("/a b").problem().unwrap().contains("`/a b`"));
        let nothing_expected = HttpCheck { expected: Expected::OneOf(vec![]), ..check("/") };
        assert!(nothing_expected.problem().is_some());
    }
}
