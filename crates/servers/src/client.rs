//! A small HTTP/1.1 client: one request a connection, with one timeout for all of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Long enough for a server on the same, busy machine.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, with chunks put together.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, with anything that is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Fetches an `http://` URL; nothing is followed or retried.
///
/// # Errors
///
/// When nobody listens there, when the answer is not HTTP, or when all of it took more than 5 s.
pub fn get(url: &str) -> io::Result<Response> {
    get_within(url, TIMEOUT)
}

/// As [`get`], with another limit on the whole of connecting, sending and receiving.
///
/// # Errors
///
/// As for [`get`].
pub fn get_within(url: &str, timeout: Duration) -> io::Result<Response> {
    request("GET", url, &[], b"", timeout)
}

/// Sends a POST with a JSON body.
pub(crate) fn post(
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> io::Result<Response> {
    request("POST", url, headers, body, timeout)
}

/// Sends any request, with `headers` besides `Host`, which may be among them, and the body's length.
///
/// # Errors
///
/// As for [`get`].
pub fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> io::Result<Response> {
    let end = Instant::now() + timeout;
    let (host, path) = split_url(url)?;
    let address = resolve(host)?;
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_nodelay(true)?;

    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {host}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));

    stream.set_write_timeout(Some(timeout))?;
    let mut message = head.into_bytes();
    message.extend_from_slice(body);
    (&stream).write_all(&message)?;
    read_response(BufReader::new(Timed { stream: &stream, end }))
}

/// Reads until `end`: a read timeout alone would begin anew with every byte that comes.
struct Timed<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        stream.read(buffer)
    }
}

fn split_url(url: &str) -> io::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| invalid(format!("not an http:// URL: {url}")))?;
    Ok(match rest.find('/') {
        Some(slash) => (&rest[..slash], &rest[slash..]),
        None => (rest, "/"),
    })
}

fn resolve(host: &str) -> io::Result<SocketAddr> {
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    with_port.to_socket_addrs()?.next().ok_or_else(|| invalid(format!("no address for {host}")))
}

fn read_response(mut reader: impl BufRead) -> io::Result<Response> {
    let status_line = read_line(&mut reader)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| invalid(format!("not a status line: {status_line:?}")))?;

    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(format!("not a header: {line:?}")))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }

    let mut response = Response { status, headers, body: Vec::new() };
    response.body = read_body(&response, &mut reader)?;
    Ok(response)
}

fn read_body(response: &Response, reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        while let Some(mut chunk) = read_chunk(reader)? {
            body.append(&mut chunk);
        }
    } else if let Some(length) = response.header("content-length") {
        let length = length.parse().map_err(|_| invalid(format!("not a length: {length:?}")))?;
        let read = reader.take(length).read_to_end(&mut body)?;
        if (read as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(body)
}

/// The next chunk, or `None` after the last one.
fn read_chunk(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let line = read_line(reader)?;
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16).map_err(|_| invalid(format!("not a chunk: {line:?}")))?;
    if size == 0 {
        return Ok(None);
    }
    let mut chunk = vec![0; size];
    reader.read_exact(&mut chunk)?;
    read_line(reader)?;
    Ok(Some(chunk))
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> io::Result<Response> {
        read_response(text.as_bytes())
    }

    #[test]
    fn a_body_ends_at_its_length() {
        let response = parse("HTTP/1.1 200 OK\r\nX-Handler: a\r\nContent-Length: 2\r\n\r\nokmore").unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
        assert_eq!(response.header("x-handler"), Some("a"));
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        assert_eq!(parse("HTTP/1.0 503 Busy\r\n\r\nno\n").unwrap().text(), "no\n");
    }

    #[test]
    fn chunks_are_put_together() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(text).unwrap().text(), "abcde");
    }

    #[test]
    fn a_body_cut_short_is_an_error_and_not_an_answer() {
        let cut = parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn only_http_urls_are_fetched() {
        assert_eq!(get("https://127.0.0.1/").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
