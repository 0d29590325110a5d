//! etcd's own gRPC proxy.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::binaries::path_of;
use crate::etcd::Etcd;
use crate::process::{Process, Signal};
use crate::wait::poll;
use crate::{Outcome, Ports, Scratch, Storage};

const DEADLINE: Duration = Duration::from_secs(30);

const ATTEMPTS: usize = 5;

/// `etcd grpc-proxy` in front of an etcd: what happens behind it does not break a client's connection.
///
/// So a client can meet a store that went back or was emptied without having been disconnected. The
/// proxy has habits of its own: it shares one watch between clients that watch the same range, and
/// answers serializable reads from a cache.
#[derive(Debug)]
pub struct EtcdGrpcProxy {
    port: u16,
    process: Process,
    _scratch: Scratch,
}

impl EtcdGrpcProxy {
    /// Starts the proxy in front of `etcd`, which must be without TLS, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When etcd is not installed or the proxy does not start; the message shows its log.
    #[track_caller]
    pub fn in_front_of(etcd: &Etcd) -> EtcdGrpcProxy {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match try_start(&etcd.endpoint()) {
                Ok(proxy) => return proxy,
                Err(why) if why.contains("address already in use") => last = why,
                Err(why) => panic!("{why}"),
            }
        }
        panic!("etcd grpc-proxy: {ATTEMPTS} ports were taken one after the other: {last}");
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address for clients, as `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address for clients, as `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.endpoint())
    }

    /// Stops it in its tracks (SIGSTOP), until [`EtcdGrpcProxy::resume`].
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Continues what [`EtcdGrpcProxy::pause`] stopped.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn try_start(endpoint: &str) -> Outcome<EtcdGrpcProxy> {
    let port = Ports::free();
    let scratch = Scratch::new("etcd-grpc-proxy", Storage::Memory);
    let mut command = Command::new(path_of("etcd")?);
    command.current_dir(scratch.path()).args(["grpc-proxy", "start", "--data-dir"]).arg(scratch.join("data"));
    command.arg("--endpoints").arg(endpoint).arg("--listen-addr").arg(format!("127.0.0.1:{port}"));
    command.arg("--advertise-client-url").arg(format!("127.0.0.1:{port}"));
    let log = scratch.join("grpc-proxy.log");
    let process = Process::try_start("etcd grpc-proxy", &command, &log, Signal::KILL)?;

    let ready = poll(DEADLINE, || {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(Ok(()));
        }
        if process.is_running() { None } else { Some(Err("has ended".to_owned())) }
    });
    ready
        .unwrap_or_else(|| Err(format!("did not listen within {DEADLINE:?}")))
        .map_err(|why| format!("etcd grpc-proxy {why}\n{}", process.log_tail()))?;
    Ok(EtcdGrpcProxy { port, process, _scratch: scratch })
}
