//! Notices to PHP: a request over FastCGI to each php-fpm, whose script makes opcache forget the old file.
//!
//! Every socket is asked, all at once, and each must answer with status 200 and a body that begins with `ok`; which
//! did not, and why, is one line. Whoever calls tries again. No web server is needed between us and php-fpm.
//!
//! Source: the FastCGI specification 1.0, and RFC 3875 for the parameters and the answer's headers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use waypost_model::Endpoint;

use crate::{Failure, Step};

/// No answer that we read is longer.
const LONGEST_ANSWER: u64 = 256 << 10;

/// How much of what a script says a failure shows, in characters.
const SHOWN: usize = 200;

/// Types of records.
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// The script that is asked for, by whom, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One socket of each php-fpm: its opcache is shared by all its pools.
    pub sockets: Vec<Socket>,
    /// The script, as php-fpm finds it.
    pub script: PathBuf,
    /// How long each of them may take to answer.
    pub timeout: Duration,
}

/// Where a php-fpm listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Socket {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(Endpoint),
}

impl FromStr for Socket {
    type Err = String;

    fn from_str(text: &str) -> Result<Socket, String> {
        if text.starts_with('/') {
            return Ok(Socket::Unix(text.into()));
        }
        let wrong = |_| format!("{text:?} is neither the path of a socket nor HOST:PORT");
        text.parse().map(Socket::Tcp).map_err(wrong)
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Unix(path) => write!(f, "{}", path.display()),
            Socket::Tcp(endpoint) => write!(f, "{endpoint}"),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sockets: Vec<String> = self.sockets.iter().map(Socket::to_string).collect();
        write!(f, "{} by {}", self.script.display(), sockets.join(", "))
    }
}

/// Asks for the script on every socket, with the parameter `WAYPOST_FILE` for `file`.
///
/// # Errors
///
/// A [`Failure`] of [`Step::Reload`] that names each socket where nobody listens, where the script is not found,
/// where it answers anything else than status 200 and `ok`, or where that took longer than [`Notice::timeout`].
pub async fn send(notice: &Notice, file: &Path) -> Result<(), Failure> {
    let params = params(&notice.script, file);
    let mut asked = JoinSet::new();
    for (number, socket) in notice.sockets.iter().cloned().enumerate() {
        let (params, timeout) = (params.clone(), notice.timeout);
        asked.spawn(async move {
            let asked = tokio::time::timeout(timeout, ask(&socket, &params)).await;
            let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")));
            (number, answer.map_err(|why| format!("{socket}: {why}")))
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    let failures: Vec<String> = answers.into_iter().filter_map(|(_, answer)| answer.err()).collect();
    match failures.is_empty() {
        true => Ok(()),
        false => {
            let what = format!("cannot tell PHP of {}", file.display());
            Err(Failure::new(Step::Reload, format!("{what}: {}", failures.join("; "))))
        }
    }
}

fn params(script: &Path, file: &Path) -> Vec<u8> {
    let (script, file) = (script.as_os_str().as_encoded_bytes(), file.as_os_str().as_encoded_bytes());
    let all: [(&str, &[u8]); 9] = [
        ("GATEWAY_INTERFACE", b"CGI/1.1"),
        ("SERVER_SOFTWARE", b"waypost"),
        ("SERVER_PROTOCOL", b"HTTP/1.1"),
        ("REQUEST_METHOD", b"GET"),
        ("REQUEST_URI", script),
        ("QUERY_STRING", b""),
        ("SCRIPT_NAME", script),
        ("SCRIPT_FILENAME", script),
        ("WAYPOST_FILE", file),
    ];
    all.iter().flat_map(|(name, value)| pair(name.as_bytes(), value)).collect()
}

/// A name and a value, each after its length: one byte, or four of which the first bit is set.
fn pair(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| match u8::try_from(bytes.len()) {
        Ok(short) if short < 128 => vec![short],
        // Paths are not longer than 4 KiB.
        _ => (u32::try_from(bytes.len()).unwrap_or(u32::MAX) | 1 << 31).to_be_bytes().to_vec(),
    };
    [&length(name), &length(value), name, value].concat()
}

/// Reads and writes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn ask(socket: &Socket, params: &[u8]) -> Result<(), String> {
    let unreachable = |error: std::io::Error| format!("cannot connect: {error}");
    let mut stream: Box<dyn Stream> = match socket {
        Socket::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(unreachable)?),
        Socket::Tcp(endpoint) => {
            let address = (endpoint.host(), endpoint.port());
            Box::new(TcpStream::connect(address).await.map_err(unreachable)?)
        }
    };
    let broken = |error: std::io::Error| format!("the connection broke: {error}");
    // As a responder (1), on a connection that is not kept (0).
    let begin = record(BEGIN_REQUEST, &[0, 1, 0, 0, 0, 0, 0, 0]);
    let message = [begin, record(PARAMS, params), record(PARAMS, &[]), record(STDIN, &[])].concat();
    stream.write_all(&message).await.map_err(broken)?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await.map_err(broken)?;
    judge(&Answer::read(&answer)?)
}

/// A record of version 1, of the one request (1) that a connection has here, without padding.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
}

/// What came back: the two streams, and how the request ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    output: Vec<u8>,
    errors: Vec<u8>,
    /// The protocol's status; none if the answer was cut off.
    end: Option<u8>,
}

impl Answer {
    fn read(mut bytes: &[u8]) -> Result<Answer, String> {
        let mut answer = Answer::default();
        while let [version, kind, _, _, high, low, padding, _, rest @ ..] = bytes {
            if *version != 1 {
                return Err("what answers does not speak FastCGI".to_owned());
            }
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(content) = rest.get(..length) else { break };
            match *kind {
                STDOUT => answer.output.extend(content),
                STDERR => answer.errors.extend(content),
                END_REQUEST => answer.end = content.get(4).copied(),
                _ => {}
            }
            bytes = rest.get(length + usize::from(*padding)..).unwrap_or_default();
        }
        Ok(answer)
    }

    /// The status, 200 if none is told, and the body.
    fn parts(&self) -> Option<(u16, &[u8])> {
        let end = self.output.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let (head, body) = (String::from_utf8_lossy(&self.output[..end]), &self.output[end + 4..]);
        let status = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("status").then(|| value.trim().split(' ').next()?.parse().ok())?
        });
        Some((status.unwrap_or(200), body))
    }
}

fn judge(answer: &Answer) -> Result<(), String> {
    match answer.end {
        None => return Err("the answer was cut off".to_owned()),
        Some(0) => {}
        // 2 is FCGI_OVERLOADED; the others are about what we do not do.
        Some(2) => return Err("it is overloaded".to_owned()),
        Some(status) => return Err(format!("it refuses the request (protocol status {status})")),
    }
    let (status, body) = answer.parts().ok_or_else(|| format!("no headers; {}", shown(&answer.errors)))?;
    if status == 200 && body.starts_with(b"ok") {
        return Ok(());
    }
    let said = if answer.errors.is_empty() { body } else { &answer.errors };
    Err(format!("the script answers {status} and not `ok`: {}", shown(said)))
}

/// The beginning of what was said, on one line.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
}

#[cfg(test)]
#[path = "fastcgi_tests.rs"]
mod tests;
