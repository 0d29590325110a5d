//! The registry: a store or an etcd of the demonstration's own, or a corner of one that is there.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use waypost_backend::etcd::{self, Etcd};
use waypost_backend::{Backend, Mirror, MirrorSettings, Registry as _, Update, View};
use waypost_model::{Endpoint, Prefix};

use crate::Error;
use crate::ports::Port;
use crate::process::{Line, Process};
use crate::records::{Event, Picture, Stamped};

/// How long it may take to serve, on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// Starts on ports that somebody else took meanwhile.
const ATTEMPTS: usize = 5;

const ASK_EVERY: Duration = Duration::from_millis(50);

/// Where the services are registered, below what is the demonstration's own.
const SERVICES: &str = "/demo";

/// Where the services register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryKind {
    /// waypost's own store, which is started.
    Store,
    /// An etcd, which is started.
    Etcd,
    /// Whatever speaks etcd's API at this address. What is written to it is removed in the end.
    At(Endpoint),
}

/// A registry that answers.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) endpoint: Endpoint,
    /// What is before every key: nothing in a registry of our own.
    pub(crate) root: String,
    store: Etcd,
    server: Option<Server>,
}

/// A store or an etcd of our own.
#[derive(Debug)]
struct Server {
    name: &'static str,
    line: Line,
    logs: PathBuf,
    process: Option<Process>,
    _ports: Vec<Port>,
}

/// A program that is a registry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program<'p> {
    /// This one, as its own store.
    Waypost(&'p Path),
    Etcd(&'p Path),
}

impl Program<'_> {
    /// How it is started with its data in `directory`, and the ports that it takes, the clients' first.
    fn on_free_ports(self, directory: &Path) -> Result<(Line, Vec<Port>), Error> {
        let free = || Port::free(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let directory = directory.display().to_string();
        match self {
            Program::Waypost(program) => {
                let port = free()?;
                let listen = port.address.to_string();
                let words = ["store", "--data-dir", &directory, "--listen", &listen];
                Ok((Line::new(program, words), vec![port]))
            }
            Program::Etcd(program) => {
                let ports = [free()?, free()?];
                let [clients, peers] = ports.each_ref().map(|port| format!("http://{}", port.address));
                let flags = [
                    ("--name", "demo"),
                    ("--data-dir", &directory),
                    ("--listen-client-urls", &clients),
                    ("--advertise-client-urls", &clients),
                    ("--listen-peer-urls", &peers),
                    ("--initial-advertise-peer-urls", &peers),
                    ("--initial-cluster", &format!("demo={peers}")),
                ];
                let words = flags.iter().flat_map(|(flag, value)| [flag, value]);
                Ok((Line::new(program, words), ports.into()))
            }
        }
    }

    /// What it is called.
    fn name(self) -> &'static str {
        match self {
            Program::Waypost(_) => "store",
            Program::Etcd(_) => "etcd",
        }
    }
}

impl Registry {
    /// Starts a registry with its data in `directory`, and waits until it serves.
    pub(crate) async fn start(
        program: Program<'_>,
        directory: &Path,
        logs: &Path,
    ) -> Result<Registry, Error> {
        for _ in 0..ATTEMPTS {
            let mut registry = Registry::on_free_ports(program, directory, logs)?;
            registry.start_again()?;
            match registry.answers().await {
                Ok(()) => return Ok(registry),
                Err(error) if !registry.is_port_taken() => return Err(error),
                Err(_) => drop(registry),
            }
            let _ = fs::remove_dir_all(directory);
        }
        Err(Error::PortsTaken { host: Ipv4Addr::LOCALHOST.to_string(), attempts: ATTEMPTS })
    }

    /// Takes a corner of the registry at `endpoint`, which must answer.
    pub(crate) async fn join(endpoint: Endpoint) -> Result<Registry, Error> {
        let root = format!("/waypost-demo-{:08x}", fastrand::u32(..));
        let registry = Registry { store: client(&endpoint)?, endpoint, root, server: None };
        registry.store.snapshot(&[registry.prefix()]).await?;
        Ok(registry)
    }

    fn on_free_ports(program: Program<'_>, directory: &Path, logs: &Path) -> Result<Registry, Error> {
        let (line, ports) = program.on_free_ports(directory)?;
        let endpoint = Endpoint::from(ports[0].address);
        let server =
            Server { name: program.name(), line, logs: logs.to_owned(), process: None, _ports: ports };
        Ok(Registry { store: client(&endpoint)?, endpoint, root: String::new(), server: Some(server) })
    }

    /// True for a registry of the demonstration's own.
    pub(crate) fn is_own(&self) -> bool {
        self.server.is_some()
    }

    /// The prefix of all that the demonstration writes.
    pub(crate) fn prefix(&self) -> Prefix {
        Prefix::new(&self.services())
    }

    /// The path that the services are registered under.
    pub(crate) fn services(&self) -> String {
        format!("{}{SERVICES}", self.root)
    }

    /// Kills a registry of our own; its data stays.
    pub(crate) fn kill(&mut self) {
        if let Some(server) = &mut self.server {
            server.process = None;
        }
    }

    /// Starts a registry of our own on the ports and data that it had, and does not wait for it.
    pub(crate) fn start_again(&mut self) -> Result<(), Error> {
        if let Some(server) = &mut self.server {
            server.process = Some(Process::start(server.name, &server.line, &server.logs)?);
        }
        Ok(())
    }

    /// An error if it has ended, and nobody ended it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let ended = self.process().and_then(|process| Some(process.has_ended(process.ended()?)));
        ended.map_or(Ok(()), Err)
    }

    fn process(&self) -> Option<&Process> {
        self.server.as_ref().and_then(|server| server.process.as_ref())
    }

    fn is_port_taken(&self) -> bool {
        self.process().is_some_and(Process::found_its_port_taken)
    }

    async fn answers(&self) -> Result<(), Error> {
        let deadline = Instant::now() + UP_WITHIN;
        while let Err(error) = self.store.snapshot(&[self.prefix()]).await {
            self.check()?;
            if Instant::now() >= deadline {
                return Err(error.into());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// Tells `events` of every change to the services, until nobody listens.
    pub(crate) async fn follow(store: Etcd, prefix: Prefix, events: UnboundedSender<Stamped>) {
        let (_mirror, mut updates) = Mirror::follow(Arc::new(store), [prefix], MirrorSettings::default());
        while let Some(update) = updates.next().await {
            let event = match update {
                Update::Changed { view, .. } => Event::Registry(picture(&view)),
                Update::Unreachable(error) => Event::RegistryAway(error.to_string()),
            };
            if events.send(Stamped::now(event)).is_err() {
                return;
            }
        }
    }

    /// The client of it.
    pub(crate) fn store(&self) -> Etcd {
        self.store.clone()
    }

    /// Removes all that the demonstration wrote from a registry that goes on without it.
    pub(crate) async fn clean_up(&self) -> Result<(), Error> {
        if self.is_own() {
            return Ok(());
        }
        let left = |source| Error::Left { prefix: self.services(), source };
        let found = self.store.snapshot(&[self.prefix()]).await.map_err(left)?;
        for key in found.entries.keys() {
            self.store.deregister(key).await.map_err(left)?;
        }
        Ok(())
    }
}

fn client(endpoint: &Endpoint) -> Result<Etcd, Error> {
    Ok(Etcd::new(etcd::Settings::new([format!("http://{endpoint}")]))?)
}

/// Who is registered; what is no endpoint is nobody.
fn picture(view: &View) -> Picture {
    let services: BTreeMap<_, _> = view
        .below(&Prefix::all())
        .filter_map(|(key, entry)| {
            let name = key.as_str().rsplit('/').next()?.to_owned();
            Some((entry.value.as_text()?.parse().ok()?, (name, entry.revision)))
        })
        .collect();
    Picture { services, revision: view.position().revision }
}
