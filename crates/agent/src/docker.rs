//! Signals to containers: the typed reload target, over the Docker daemon's Unix socket.
//!
//! A signal is sent only to a container that runs: the daemon would take one for a container that is between
//! two starts, and send it to nobody. No program is started, so an image needs neither shell nor client.
//! The daemon's errors are put into one line each; whoever calls tries again.
//!
//! The API is that of <https://docs.docker.com/reference/api/engine/version/v1.41/>, of which this needs
//! `GET /version`, `GET /containers/{id}/json` and `POST /containers/{id}/kill`. They have been the same since
//! version 1.21, so each daemon is addressed in its own newest version, whatever it no longer speaks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use crate::{Failure, Step};

/// Where the daemon listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// No answer that we read is larger: what is known of a container is some 10 KiB.
const LONGEST_ANSWER: usize = 4 << 20;

/// The names of signal(7) that the daemon knows on Linux, without their `SIG`.
const NAMES: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// A signal for the first process of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The container's name, or its id or the beginning of that.
    pub container: String,
    /// The signal: a name of signal(7) with or without `SIG`, or a number.
    pub signal: String,
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// How long it may take until the signal is sent.
    pub timeout: Duration,
}

impl Signal {
    /// A signal that is well-formed; names are taken in either case, as the daemon takes them.
    ///
    /// # Errors
    ///
    /// One line if that cannot be a container's name, or is not a signal of Linux.
    pub fn parse(
        container: &str,
        signal: &str,
        socket: PathBuf,
        timeout: Duration,
    ) -> Result<Signal, String> {
        if !is_name(container) {
            return Err(format!(
                "{container:?} is not a container's name: those are of letters, digits, `_`, `.` and `-`"
            ));
        }
        let name = signal.to_ascii_uppercase();
        if !is_signal(name.strip_prefix("SIG").unwrap_or(&name)) {
            return Err(format!("{signal:?} is not a signal; it would be one like HUP, SIGHUP or 1"));
        }
        Ok(Signal { container: container.to_owned(), signal: name, socket, timeout })
    }
}

/// The socket that `docker_host` names, the value of the variable `DOCKER_HOST`; without one, the usual place.
///
/// # Errors
///
/// One line if that is not a Unix socket.
pub fn socket(docker_host: Option<&str>) -> Result<PathBuf, String> {
    match docker_host.filter(|host| !host.is_empty()) {
        None => Ok(PathBuf::from(SOCKET)),
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
            _ => Err(format!("DOCKER_HOST is {host:?}: signals are sent over unix:///PATH only")),
        },
    }
}

/// Sends the signal.
///
/// # Errors
///
/// A [`Failure`] of [`Step::Reload`] if the socket is missing or may not be used, if there is no such
/// container or it does not run, if the daemon does not take the signal, or if all of it took longer than
/// [`Signal::timeout`].
pub async fn send(signal: &Signal) -> Result<(), Failure> {
    let Signal { container, signal: name, socket, timeout } = signal;
    let sent = tokio::time::timeout(*timeout, exchange(signal)).await;
    let silent = || format!("the Docker daemon at {} did not answer within {timeout:?}", socket.display());
    let outcome = sent.unwrap_or_else(|_| Err(silent()));
    outcome.map_err(|why| {
        Failure::new(Step::Reload, format!("cannot send {name} to container {container}: {why}"))
    })
}

/// One connection, from its first request to its last.
async fn exchange(signal: &Signal) -> Result<(), String> {
    let socket = &signal.socket;
    let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(socket, &error))?;
    let broken =
        |error: hyper::Error| format!("the Docker daemon at {} broke off: {error}", socket.display());
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut daemon = Daemon { sender, socket, base: String::new() };
    // The connection has no end of its own here: what breaks it is the answer's error, too.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        sent = daemon.signal(signal) => sent,
        never = driven => never,
    }
}

/// A daemon that is connected to.
struct Daemon<'a> {
    sender: SendRequest<Empty<Bytes>>,
    socket: &'a Path,
    /// What paths begin with once the daemon has told its version.
    base: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    api_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    running: bool,
    restarting: bool,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Daemon<'_> {
    async fn signal(&mut self, signal: &Signal) -> Result<(), String> {
        let Version { api_version } = self.look("/version").await?;
        if !is_version(&api_version) {
            return Err(format!("the Docker daemon speaks version {api_version:?} of its API, not 1.x"));
        }
        self.base = format!("/v{api_version}");

        let container = &signal.container;
        let Container { state } = self.look(&format!("/containers/{container}/json")).await?;
        if state.restarting || !state.running {
            return Err(format!("it is not running, but {}", one_line(&state.status)));
        }
        // `+`, as in RTMIN+1, would be read as a space.
        let name = signal.signal.replace('+', "%2B");
        self.ask(Method::POST, &format!("/containers/{container}/kill?signal={name}")).await.map(drop)
    }

    async fn look<T: for<'de> Deserialize<'de>>(&mut self, path: &str) -> Result<T, String> {
        let answer = self.ask(Method::GET, path).await?;
        serde_json::from_slice(&answer).map_err(|error| {
            format!("what answers at {} to {path} is no Docker daemon: {error}", self.socket.display())
        })
    }

    /// The body of a good answer; the daemon's own words for another.
    async fn ask(&mut self, method: Method, path: &str) -> Result<Bytes, String> {
        let broken = |why: String| format!("the Docker daemon at {} broke off: {why}", self.socket.display());
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            // HTTP/1.1 demands one; the daemon does not look at it.
            .header(header::HOST, "docker")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        self.sender.ready().await.map_err(|error| broken(error.to_string()))?;
        let answer = self.sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| broken(error.to_string()))?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    let words = serde_json::from_slice(body).map_or_else(
        |_| status.canonical_reason().unwrap_or("an unknown status").to_owned(),
        |Refusal { message }| one_line(&message),
    );
    format!("the Docker daemon refuses ({}): {words}", status.as_u16())
}

fn unreachable(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no Docker socket at {socket}; mount it there, or name it in DOCKER_HOST")
        }
        io::ErrorKind::PermissionDenied => {
            format!("no permission for the Docker socket {socket}; run as root or in the socket's group")
        }
        io::ErrorKind::ConnectionRefused => {
            format!("nobody listens on the Docker socket {socket}; is the daemon running?")
        }
        _ => format!("cannot connect to the Docker socket {socket}: {error}"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the daemon allows as a name, which an id is, too: `RestrictedNameChars` of moby's `names` package.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// True for a signal in capital letters without `SIG`.
fn is_signal(name: &str) -> bool {
    let within = |number: &str, highest| {
        number.bytes().all(|byte| byte.is_ascii_digit())
            && number.parse().is_ok_and(|number: u8| (1..=highest).contains(&number))
    };
    NAMES.contains(&name)
        || within(name, 64)
        || name.strip_prefix("RTMIN+").is_some_and(|number| within(number, 15))
        || name.strip_prefix("RTMAX-").is_some_and(|number| within(number, 14))
}

fn is_version(text: &str) -> bool {
    text.strip_prefix("1.")
        .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|it| it.is_ascii_digit()))
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
