//! The server that the clients talk to: the embedded store, or real etcd to compare it with.

use std::env;

use waypost_e2e::{DEADLINE, Waypost, available};
use waypost_servers::{Etcd, Ports, Scratch, Storage, get, wait_for};

/// Says which server the tests are about.
const VARIABLE: &str = "WAYPOST_API_SERVER";

/// A server that is new, empty and at revision 1; dropping it kills it.
pub struct Server {
    port: u16,
    running: Running,
}

enum Running {
    Etcd(Box<Etcd>),
    Store { waypost: Box<Waypost>, _data: Scratch },
}

impl Server {
    /// Starts the chosen one, and waits until it answers; `None`, with a printed line, when it or etcdctl is missing.
    #[track_caller]
    pub fn start() -> Option<Server> {
        if is_etcd() {
            return waypost_servers::available(&["etcd", "etcdctl"]).then(|| Server::etcd(Etcd::start()));
        }
        available(&["etcdctl"]).then(Server::store)
    }

    /// Takes an etcd that was started with options of its own.
    pub fn etcd(etcd: Etcd) -> Server {
        Server { port: etcd.port(), running: Running::Etcd(Box::new(etcd)) }
    }

    #[track_caller]
    fn store() -> Server {
        let (port, data) = (Ports::free(), Scratch::new("store", Storage::Memory));
        let directory = data.join("data").display().to_string();
        let listen = format!("127.0.0.1:{port}");
        let waypost = Waypost::with(["store", "--data-dir", &directory, "--listen", &listen]);
        wait_for(format!("waypost store on {listen}"), DEADLINE, || {
            assert!(waypost.is_running(), "waypost store has ended:\n{}", waypost.log());
            get(&format!("http://{listen}/health")).ok().filter(|answer| answer.status == 200)
        });
        Server { port, running: Running::Store { waypost: Box::new(waypost), _data: data } }
    }

    /// The address for clients, as `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The end of its log, for a message.
    pub fn log_tail(&self) -> String {
        let log = match &self.running {
            Running::Etcd(etcd) => etcd.log(),
            Running::Store { waypost, .. } => waypost.log(),
        };
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// True if real etcd is what the clients talk to.
#[track_caller]
pub fn is_etcd() -> bool {
    match env::var(VARIABLE).as_deref().unwrap_or_default() {
        "" | "store" => false,
        "etcd" => true,
        other => panic!("{VARIABLE} is etcd or store, not {other:?}"),
    }
}
