//! A small FastCGI client: one request a connection, with one timeout for all of it.
//!
//! Source: the FastCGI specification 1.0. The application closes the connection, as it is asked to. PHP takes
//! no parameter that begins in one record and ends in the next, so all of them must be shorter than 64 KiB.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::Response;

const BEGIN_REQUEST: u8 = 1;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// Of a record's content: its length is told in two bytes.
const LONGEST: usize = 65_535;

/// A connection to a Unix socket's path, or to HOST:PORT.
fn connect(address: &str, timeout: Duration) -> io::Result<Box<dyn ReadWrite>> {
    if address.starts_with('/') {
        let stream = UnixStream::connect(address)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        return Ok(Box::new(stream));
    }
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(Box::new(stream))
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Sends one request with `params` and the body `input`; what is printed on stderr is the header `stderr`.
pub(crate) fn request(
    address: &str,
    params: &[(String, String)],
    input: &[u8],
    timeout: Duration,
) -> io::Result<Response> {
    let mut stream = connect(address, timeout)?;
    // The role of a responder, and no connection that is kept.
    let mut message = record(BEGIN_REQUEST, &[0, 1, 0, 0, 0, 0, 0, 0]);
    let pairs: Vec<u8> = params.iter().flat_map(|(name, value)| pair(name, value)).collect();
    for (kind, content) in [(PARAMS, &*pairs), (STDIN, input)] {
        for part in content.chunks(LONGEST) {
            message.extend(record(kind, part));
        }
        message.extend(record(kind, &[]));
    }
    stream.write_all(&message)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let (output, errors) = streams(&answer)?;
    response(&output, &errors)
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("content comes in parts that are short enough");
    let [high, low] = length.to_be_bytes();
    [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
}

fn pair(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| {
        let length = u32::try_from(text.len()).expect("a parameter is not that long");
        if length < 128 { vec![length.to_be_bytes()[3]] } else { (length | 1 << 31).to_be_bytes().to_vec() }
    };
    [length(name), length(value), name.into(), value.into()].concat()
}

/// What the application wrote on its two streams.
fn streams(mut answer: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    while let [_, kind, _, _, high, low, padding, _, rest @ ..] = answer {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (Some(content), Some(next)) = (rest.get(..length), rest.get(length + usize::from(*padding)..))
        else {
            return Err(broken("a record is cut off"));
        };
        match *kind {
            STDOUT => output.extend(content),
            STDERR => errors.extend(content),
            _ => {}
        }
        answer = next;
    }
    Ok((output, errors))
}

/// Takes CGI's answer apart: headers, of which `Status` may be missing for 200, and a body.
fn response(output: &[u8], errors: &[u8]) -> io::Result<Response> {
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| broken(&format!("no headers; {}", String::from_utf8_lossy(errors))))?;
    let head = String::from_utf8_lossy(&output[..end]);
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let mut headers: Vec<_> = head.lines().filter_map(header).collect();
    let status = headers.iter().find(|(name, _)| name == "status");
    let status = status.and_then(|(_, value)| value.split(' ').next()?.parse().ok()).unwrap_or(200);
    headers.push(("stderr".to_owned(), String::from_utf8_lossy(errors).into_owned()));
    Ok(Response { status, headers, body: output[end + 4..].to_vec() })
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not FastCGI: {why}"))
}
