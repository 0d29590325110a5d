//! The server that the clients talk to: the embedded store, or real etcd to compare it with.

use std::env;
use std::fs;

use waypost_e2e::{DEADLINE, available, command};
use waypost_servers::{Etcd, EtcdOptions, Ports, Process, Scratch, Storage, get, wait_for};

/// Says which server the tests are about.
const VARIABLE: &str = "WAYPOST_API_SERVER";

/// A server that is new, empty and at revision 1; dropping it kills it.
pub struct Server {
    port: u16,
    running: Running,
}

enum Running {
    Etcd(Box<Etcd>),
    Store { process: Process, _files: Scratch },
}

impl Server {
    /// Starts the chosen one, and waits until it answers; `None`, with a printed line, when it or etcdctl is missing.
    #[track_caller]
    pub fn start() -> Option<Server> {
        Server::start_with(Etcd::options(), "")
    }

    /// As [`Server::start`], with options for etcd, or for the store the rest of the table `[store]` of its
    /// configuration, which may name the file `password`: it says `secret`.
    #[track_caller]
    pub fn start_with(options: EtcdOptions, table: &str) -> Option<Server> {
        if is_etcd() {
            return waypost_servers::available(&["etcd", "etcdctl"]).then(|| Server::etcd(options.start()));
        }
        available(&["etcdctl"]).then(|| Server::store(table))
    }

    fn etcd(etcd: Etcd) -> Server {
        Server { port: etcd.port(), running: Running::Etcd(Box::new(etcd)) }
    }

    #[track_caller]
    fn store(table: &str) -> Server {
        let (port, files) = (Ports::free(), Scratch::new("store", Storage::Memory));
        let (data, config) = (files.join("data"), files.join("waypost.toml"));
        fs::write(&config, format!("[store]\n{table}")).unwrap();
        fs::write(files.join("password"), "secret\n").unwrap();
        let listen = format!("127.0.0.1:{port}");
        let mut command = command();
        command.args(["store", "--listen", &listen]);
        command.arg("--data-dir").arg(&data).arg("--config").arg(&config);
        let process = Process::start("waypost store", &command, &files.join("store.log"));
        wait_for(format!("waypost store on {listen}"), DEADLINE, || {
            assert!(process.is_running(), "waypost store has ended\n{}", process.log_tail());
            get(&format!("http://{listen}/health")).ok().filter(|answer| answer.status == 200)
        });
        Server { port, running: Running::Store { process, _files: files } }
    }

    /// The address for clients, as `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address for clients, as `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.endpoint())
    }

    /// The end of its log, for a message.
    pub fn log_tail(&self) -> String {
        let log = match &self.running {
            Running::Etcd(etcd) => etcd.log(),
            Running::Store { process, .. } => process.log(),
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
