//! How long it takes to ask a server for one thing, on a connection that is kept: HTTP/1.1 or Redis.
//!
//! What a program pays that looks its endpoints up in a server each time, beside one that has them in memory.
//!
//! Usage: `asks COUNT unix:PATH|HOST:PORT http HOST PATH [BODY]`, `asks COUNT unix:PATH|HOST:PORT redis KEY`.
//! It prints the median in nanoseconds.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A connection to read from and to write to.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// What is sent, and how the end of the answer is told.
enum Question {
    Http(String),
    Redis(String),
}

fn main() -> Outcome<()> {
    let usage = "usage: asks COUNT unix:PATH|HOST:PORT http HOST PATH [BODY] | redis KEY";
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(|arg| &**arg).collect();
    let [count, address, question @ ..] = &args[..] else { return Err(usage.into()) };
    let question = match question {
        ["http", host, path] => http("GET", host, path, ""),
        ["http", host, path, body] => http("POST", host, path, body),
        ["redis", key] => Question::Redis(format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len())),
        _ => return Err(usage.into()),
    };
    let count: usize = count.parse()?;
    let mut connection = BufReader::new(connect(address)?);
    let mut took = Vec::new();
    for number in 0..count + count / 10 {
        let started = Instant::now();
        ask(&mut connection, &question)?;
        // The first tenth only warms up.
        if number >= count / 10 {
            took.push(started.elapsed().as_nanos());
        }
    }
    took.sort_unstable();
    println!("{}", took.get(took.len() / 2).ok_or(usage)?);
    Ok(())
}

fn http(method: &str, host: &str, path: &str, body: &str) -> Question {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    Question::Http(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n{body}"))
}

fn connect(address: &str) -> Outcome<Box<dyn Connection>> {
    let patience = Some(Duration::from_secs(10));
    if let Some(path) = address.strip_prefix("unix:") {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(patience)?;
        return Ok(Box::new(stream));
    }
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(patience)?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Asks once, and reads the answer to its end.
fn ask(connection: &mut BufReader<Box<dyn Connection>>, question: &Question) -> Outcome<()> {
    let (Question::Http(text) | Question::Redis(text)) = question;
    connection.get_mut().write_all(text.as_bytes())?;
    let length = match question {
        Question::Http(_) => length_of_http(connection)?,
        Question::Redis(_) => {
            let line = line(connection)?;
            let length = line.strip_prefix('$').ok_or_else(|| format!("redis answers {line}"))?;
            // What follows ends with a line's end of its own.
            length.parse::<usize>()? + 2
        }
    };
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok(())
}

fn length_of_http(connection: &mut impl BufRead) -> Outcome<usize> {
    let status = line(connection)?;
    if !status.contains(" 200") {
        return Err(format!("it answers {status}").into());
    }
    let mut length = None;
    loop {
        let line = line(connection)?.to_ascii_lowercase();
        if line.is_empty() {
            return length.ok_or_else(|| "an answer without a length".into());
        }
        if let Some(text) = line.strip_prefix("content-length:") {
            length = Some(text.trim().parse()?);
        }
    }
}

fn line(connection: &mut impl BufRead) -> Outcome<String> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
