//! A small HTTP service that says who it is, for tests of balancing and health checks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Ports, must};

/// A client that sends no whole request within this is let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service on a port of its own: `/health` answers whether it is well, any other path its name.
///
/// The name is the body and the `X-Handler` header. It starts healthy.
#[derive(Debug)]
pub struct Http {
    port: u16,
    shared: Arc<Shared>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    healthy: AtomicBool,
    stopped: AtomicBool,
    requests: AtomicUsize,
    health_checks: AtomicUsize,
}

impl Http {
    /// Starts a service of that name on a free port.
    #[track_caller]
    pub fn start(name: &str) -> Http {
        let shared = Shared {
            name: name.to_owned(),
            healthy: AtomicBool::new(true),
            stopped: AtomicBool::new(true),
            requests: AtomicUsize::new(0),
            health_checks: AtomicUsize::new(0),
        };
        let http = Http { port: Ports::free(), shared: Arc::new(shared), listener: Mutex::new(None) };
        http.start_again();
        http
    }

    /// The name it answers with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its address, as `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.endpoint())
    }

    /// What `/health` answers from now on: 200, or 503.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::SeqCst);
    }

    /// Requests answered so far, those for `/health` not counted.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Requests for `/health` answered so far.
    pub fn health_checks(&self) -> usize {
        self.shared.health_checks.load(Ordering::SeqCst)
    }

    /// Stops listening: connections are refused until [`Http::start_again`].
    pub fn stop(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = listener.take() {
            self.shared.stopped.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(("127.0.0.1", self.port));
            let _ = thread.join();
        }
    }

    /// Listens again, on the same port.
    ///
    /// # Panics
    ///
    /// When the port was taken meanwhile.
    #[track_caller]
    pub fn start_again(&self) {
        let mut thread = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_some() {
            return;
        }
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .map_err(|why| format!("{} cannot listen on port {}: {why}", self.shared.name, self.port));
        let listener = must(listener);
        self.shared.stopped.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        *thread = Some(thread::spawn(move || accept_until_stopped(&shared, &listener)));
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept_until_stopped(shared: &Arc<Shared>, listener: &TcpListener) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let _ = answer(&shared, &stream);
            let _ = stream.shutdown(Shutdown::Write);
        });
    }
}

fn answer(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut request_line = String::new();
    reader.read_line(&mut request_line)?;
    skip_request(&mut reader)?;
    let Some(path) = request_line.split(' ').nth(1) else { return Ok(()) };

    let healthy = shared.healthy.load(Ordering::SeqCst);
    let (status, body) = if path == "/health" {
        shared.health_checks.fetch_add(1, Ordering::SeqCst);
        if healthy { ("200 OK", "healthy") } else { ("503 Service Unavailable", "unhealthy") }
    } else {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        ("200 OK", shared.name.as_str())
    };
    let response = format!(
        "HTTP/1.1 {status}\r\nX-Handler: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}\n",
        shared.name,
        body.len() + 1,
    );
    let mut stream = stream;
    stream.write_all(response.as_bytes())
}

/// Reads headers and body: closing with bytes unread would reset the connection under the answer.
fn skip_request(reader: &mut impl BufRead) -> std::io::Result<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).map(|_| ())
}
