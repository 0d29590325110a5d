//! The server under test: which one, and which test has it.
//!
//! A test has a server to itself, so that revisions, leases and compactions are its own; when it is done, the next
//! test gets it. The last test of all ends the servers, and one that fails ends its own.

use std::env;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use waypost_e2e::{DEADLINE, Waypost, available, unavailable};
use waypost_servers::{Etcd, Ports, Scratch, Storage, get, wait_for};

/// Says which server the tests are about.
const VARIABLE: &str = "WAYPOST_API_SERVER";

/// A server that answers.
enum Server {
    Etcd(Box<Etcd>),
    Store { port: u16, _waypost: Box<Waypost>, _data: Scratch },
    Given(String),
}

impl Server {
    /// Starts one, or takes the one that is there.
    fn start() -> Server {
        match chosen().as_str() {
            "etcd" => Server::Etcd(Box::new(Etcd::start())),
            "store" => Server::store(),
            url => Server::Given(url.to_owned()),
        }
    }

    fn store() -> Server {
        let (port, data) = (Ports::free(), Scratch::new("store", Storage::Memory));
        let directory = data.join("data").display().to_string();
        let listen = format!("127.0.0.1:{port}");
        let waypost = Waypost::with(["store", "--data-dir", &directory, "--listen", &listen]);
        wait_for(format!("waypost store on {listen}"), DEADLINE, || {
            assert!(waypost.is_running(), "waypost store has ended:\n{}", waypost.log());
            get(&format!("http://{listen}/health")).ok().filter(|answer| answer.status == 200)
        });
        Server::Store { port, _waypost: Box::new(waypost), _data: data }
    }

    fn url(&self) -> String {
        match self {
            Server::Etcd(etcd) => etcd.url(),
            Server::Store { port, .. } => format!("http://127.0.0.1:{port}"),
            Server::Given(url) => url.clone(),
        }
    }
}

fn chosen() -> String {
    let chosen = env::var(VARIABLE).unwrap_or_default();
    assert!(
        ["", "etcd", "store"].contains(&chosen.as_str()) || chosen.starts_with("http://"),
        "{VARIABLE} is etcd, store or http://host:port, not {chosen:?}"
    );
    if chosen.is_empty() { "store".to_owned() } else { chosen }
}

/// False, with a printed line, when what the chosen server needs is missing.
fn can_start() -> bool {
    match chosen().as_str() {
        "etcd" => waypost_servers::available(&["etcd"]),
        "store" => available(&[]),
        _ => true,
    }
}

/// All servers of the running tests.
struct Pool {
    idle: Vec<Server>,
    held: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), held: 0 });
static LEFT: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server, held by one test.
pub struct Held {
    server: Option<Server>,
    pooled: bool,
}

impl Held {
    /// A server that other tests may have used, or a new one; `None`, with a printed line, when there can be none.
    pub fn any() -> Option<Held> {
        if !can_start() {
            return None;
        }
        let mut pool = pool();
        if chosen().starts_with("http://") {
            // There is only one.
            pool = LEFT.wait_while(pool, |pool| pool.held > 0).unwrap_or_else(PoisonError::into_inner);
        }
        pool.held += 1;
        let idle = pool.idle.pop();
        drop(pool);
        // Held already while it starts: should that fail, the count is right again.
        let mut held = Held { server: None, pooled: true };
        held.server = Some(idle.unwrap_or_else(Server::start));
        Some(held)
    }

    /// A server that nobody has used; `None`, with a printed line, when there can be none.
    pub fn new() -> Option<Held> {
        if chosen().starts_with("http://") {
            unavailable(&format!("the server that {VARIABLE} names is not new"));
            return None;
        }
        can_start().then(|| Held { server: Some(Server::start()), pooled: false })
    }

    /// True for one that was not started here.
    pub fn is_foreign(&self) -> bool {
        matches!(self.server, Some(Server::Given(_)))
    }

    /// Its address, as `http://host:port`.
    pub fn url(&self) -> String {
        self.server.as_ref().map(Server::url).unwrap_or_default()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.pooled {
            return;
        }
        let mut pool = pool();
        pool.held -= 1;
        // A static is never dropped, so that servers in it would outlive the last test.
        let ended: Vec<Server> = if pool.held == 0 {
            pool.idle.drain(..).chain(self.server.take()).collect()
        } else {
            pool.idle.extend(self.server.take().filter(|_| !std::thread::panicking()));
            Vec::new()
        };
        drop(pool);
        LEFT.notify_one();
        drop(ended);
    }
}
