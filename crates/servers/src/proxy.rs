//! A TCP proxy whose faults are commands.
//!
//! What a fault holds back is not lost: as on a network that drops packets for a while, the bytes of
//! a black-holed connection arrive once it forwards again. Bytes are read by one thread a direction,
//! which blocks until there are some; closing the sockets is what ends it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{Outcome, Ports, must};

/// Room for one read; small enough that a paused direction holds little.
const BUFFER: usize = 16 * 1024;

/// How long connecting to the server behind may take, on the loopback.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    BlackHole,
    Cut,
}

/// A listener on a port of its own that forwards to a server, until told otherwise.
///
/// Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    target: SocketAddr,
    /// Both ends of every connection, with its number, so that a cut can close them.
    open: Vec<(usize, TcpStream)>,
    accepted: usize,
    listening: bool,
}

impl Proxy {
    /// Starts forwarding from a free port to `target`, an address such as `127.0.0.1:2379`.
    ///
    /// Nobody needs to listen there yet: each connection is made when a client comes.
    ///
    /// # Panics
    ///
    /// When `target` is not an address.
    #[track_caller]
    pub fn to(target: &str) -> Proxy {
        let target = must(address(target));
        let state = State { mode: Mode::Forward, target, open: Vec::new(), accepted: 0, listening: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let proxy = Proxy { port: Ports::free(), shared };
        proxy.listen();
        proxy
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address to connect to, as `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address to connect to, as `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.endpoint())
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Connections that are open, at either end.
    pub fn open(&self) -> usize {
        let mut numbers: Vec<usize> = self.shared.lock().open.iter().map(|(number, _)| *number).collect();
        numbers.dedup();
        numbers.len()
    }

    /// Sends new connections to another server; open ones stay where they are.
    ///
    /// # Panics
    ///
    /// When `target` is not an address.
    #[track_caller]
    pub fn retarget(&self, target: &str) {
        self.shared.lock().target = must(address(target));
    }

    /// Closes all connections; new ones are still accepted.
    pub fn disconnect(&self) {
        self.shared.lock().close_all();
    }

    /// Closes all connections and refuses new ones, as when the server's machine has ended it.
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.mode = Mode::Cut;
        state.close_all();
        self.shared.changed.notify_all();
        // Wakes the thread in accept(), which drops the listener: only then is a client refused.
        while state.listening {
            drop(state);
            let _ = TcpStream::connect(("127.0.0.1", self.port));
            state = self.shared.lock();
            if state.listening {
                state = self.shared.wait(state);
            }
        }
    }

    /// Keeps all connections open and accepts new ones, but forwards nothing: not a byte, no close.
    pub fn black_hole(&self) {
        self.set(Mode::BlackHole);
    }

    /// Forwards again, what was held back first; after a cut, listens again.
    ///
    /// # Panics
    ///
    /// When the port was taken while it was cut.
    #[track_caller]
    pub fn resume(&self) {
        self.set(Mode::Forward);
        self.listen();
    }

    fn set(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        self.shared.changed.notify_all();
    }

    #[track_caller]
    fn listen(&self) {
        let mut state = self.shared.lock();
        if state.listening {
            return;
        }
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .map_err(|why| format!("the proxy cannot listen on port {}: {why}", self.port));
        let listener = must(listener);
        state.listening = true;
        drop(state);
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || accept_until_cut(&shared, listener));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits out a black hole; false when connection `number` was closed meanwhile.
    fn may_forward(&self, number: usize) -> bool {
        let mut state = self.lock();
        while state.mode == Mode::BlackHole && state.is_open(number) {
            state = self.wait(state);
        }
        state.is_open(number)
    }
}

impl State {
    fn is_open(&self, number: usize) -> bool {
        self.open.iter().any(|(other, _)| *other == number)
    }

    fn close_all(&mut self) {
        for (_, stream) in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept_until_cut(shared: &Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = listener.accept();
        let mut state = shared.lock();
        if state.mode == Mode::Cut {
            drop(listener);
            state.listening = false;
            shared.changed.notify_all();
            return;
        }
        let Ok((client, _)) = accepted else { continue };
        let Ok(kept) = client.try_clone() else { continue };
        state.accepted += 1;
        let number = state.accepted;
        state.open.push((number, kept));
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(&shared, number, client));
    }
}

/// Connects to the server, forwards both ways, and forgets the connection when both have ended.
fn serve(shared: &Arc<Shared>, number: usize, client: TcpStream) {
    if let Some((client_again, server, server_again)) = connect(shared, number, &client) {
        let shared_again = Arc::clone(shared);
        let back = thread::spawn(move || forward(&shared_again, number, server_again, client_again));
        forward(shared, number, client, server);
        let _ = back.join();
    }
    let mut state = shared.lock();
    state.open.retain(|(other, stream)| {
        let keep = *other != number;
        if !keep {
            let _ = stream.shutdown(Shutdown::Both);
        }
        keep
    });
    shared.changed.notify_all();
}

fn connect(shared: &Shared, number: usize, client: &TcpStream) -> Option<(TcpStream, TcpStream, TcpStream)> {
    if !shared.may_forward(number) {
        return None;
    }
    let target = shared.lock().target;
    let server = TcpStream::connect_timeout(&target, CONNECT).ok()?;
    let _ = server.set_nodelay(true);
    let _ = client.set_nodelay(true);
    let copies = (client.try_clone().ok()?, server.try_clone().ok()?, server.try_clone().ok()?);
    let mut state = shared.lock();
    if !state.is_open(number) {
        return None;
    }
    // Beside the client's end, so that `open` counts neighbours with one number once.
    let place = state.open.iter().position(|(other, _)| *other == number)?;
    state.open.insert(place, (number, server));
    Some(copies)
}

/// Copies one direction until it ends, and passes the end on.
fn forward(shared: &Shared, number: usize, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; BUFFER];
    loop {
        if !shared.may_forward(number) {
            return;
        }
        let read = from.read(&mut buffer).unwrap_or(0);
        // Asked again: a black hole that began during the read holds these bytes, or this close.
        if !shared.may_forward(number) {
            return;
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            let _ = from.shutdown(Shutdown::Read);
            return;
        }
    }
}

fn address(target: &str) -> Outcome<SocketAddr> {
    target.parse().map_err(|_| format!("the proxy needs an address such as 127.0.0.1:80, not {target:?}"))
}
