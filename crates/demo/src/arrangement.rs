//! What is running, and how it is started and ended.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedSender;
use waypost_announce::{AddressSource, announced_host};
use waypost_model::Endpoint;

use crate::nginx::Nginx;
use crate::ports::Port;
use crate::process::{Line, Process, Signal, find};
use crate::records::Stamped;
use crate::registry::{Program, Registry, RegistryKind};
use crate::{Error, Settings, agent};

/// How long a killed service's key lives on: short, so that it can be waited for, and long enough for
/// an announcer on a busy machine to renew it, which it tries every second.
pub(crate) const TTL: Duration = Duration::from_secs(3);

/// nginx's port if it is free.
const PREFERRED: u16 = 8080;

/// Starts on ports that somebody else took meanwhile.
const ATTEMPTS: usize = 5;

/// How long the agent may take to write nginx's configuration, on a busy machine.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60);

/// How long anything may take to stop, before it is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The programs that are not waypost's.
#[derive(Debug)]
pub(crate) struct Programs {
    etcd: PathBuf,
    nginx: PathBuf,
}

impl Programs {
    /// Finds those that are needed.
    pub(crate) fn find(needs_etcd: bool) -> Result<Programs, Error> {
        let (etcd, nginx) = (find("etcd"), find("nginx"));
        let wanted =
            [("etcd", "etcd-server", etcd.is_none() && needs_etcd), ("nginx", "nginx", nginx.is_none())];
        let missing = wanted.iter().filter(|(_, _, is_missing)| *is_missing);
        let (programs, packages): (Vec<_>, Vec<_>) =
            missing.map(|(program, package, _)| (program, package)).unzip();
        match nginx {
            Some(nginx) if programs.is_empty() => Ok(Programs { etcd: etcd.unwrap_or_default(), nginx }),
            _ => Err(Error::Missing { programs, packages }),
        }
    }
}

/// A service with its announcer.
#[derive(Debug)]
struct Service {
    name: String,
    /// Kept when the service is gone: nginx may ask there still.
    port: Port,
    announcer: Option<Process>,
    /// It is to be registered and served.
    is_wanted: bool,
    starts: usize,
}

/// Something ended that nobody ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) what: String,
    pub(crate) how: String,
    pub(crate) is_agent: bool,
}

/// Everything that is running. Dropping it kills all of it; the directory goes last.
#[derive(Debug)]
pub(crate) struct Arrangement {
    services: Vec<Service>,
    agent: Option<Process>,
    nginx: Process,
    _nginx_port: Port,
    /// Where nginx listens.
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    /// Where the services listen.
    host: IpAddr,
    program: PathBuf,
    events: UnboundedSender<Stamped>,
    place: TempDir,
}

impl Arrangement {
    /// Starts registry, agent and nginx, without a service yet; each is told of once it is up.
    pub(crate) async fn start(
        settings: &Settings,
        events: UnboundedSender<Stamped>,
        mut tell: impl FnMut(&str, String) -> Result<(), Error>,
    ) -> Result<Arrangement, Error> {
        let programs = Programs::find(settings.registry == RegistryKind::Etcd)?;
        let place = lay_out()?;
        let data = place.path().join("registry");
        let own = async |program| Registry::start(program, &data, place.path()).await;
        let (registry, what) = match &settings.registry {
            RegistryKind::Store => (own(Program::Waypost(&settings.program)).await?, "waypost's own store"),
            RegistryKind::Etcd => (own(Program::Etcd(&programs.etcd)).await?, "etcd"),
            RegistryKind::At(endpoint) => (Registry::join(endpoint.clone()).await?, "what is there"),
        };
        tell("registry", format!("{what} answers at {}", registry.endpoint))?;
        let host = announced_host(&AddressSource::Route, std::slice::from_ref(&registry.endpoint)).await?;
        let host = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let plan = FrontPlan { program: &settings.program, place: place.path(), registry: &registry };
        let Front { agent, nginx, port } = plan.start(&programs.nginx, &events).await?;
        tell("agent", format!("keeps nginx.conf in step with {}", registry.services()))?;
        tell("nginx", format!("serves at http://{}/", port.address))?;
        Ok(Arrangement {
            services: Vec::new(),
            agent: Some(agent),
            nginx,
            address: port.address,
            _nginx_port: port,
            registry,
            host,
            program: settings.program.clone(),
            events,
            place,
        })
    }

    /// Starts a service and its announcer.
    pub(crate) fn start_service(&mut self, name: &str) -> Result<(), Error> {
        let port = Port::free(self.host)?;
        let announcer = Some(self.announcer(name, port.address)?);
        self.services.push(Service { name: name.to_owned(), port, announcer, is_wanted: true, starts: 1 });
        Ok(())
    }

    /// Asks a service's announcer to stop it.
    pub(crate) fn stop_service(&mut self, name: &str) {
        if let Some(service) = self.service(name) {
            service.is_wanted = false;
            if let Some(announcer) = &service.announcer {
                announcer.tell(Signal::TERM);
            }
        }
    }

    /// Kills an announcer; the service goes with it, as [`serve`](crate::serve) has it.
    pub(crate) fn kill_service(&mut self, name: &str) {
        if let Some(service) = self.service(name) {
            service.is_wanted = false;
            service.announcer = None;
        }
    }

    pub(crate) fn kill_agent(&mut self) {
        self.agent = None;
    }

    pub(crate) fn start_agent(&mut self) -> Result<(), Error> {
        let endpoint = &self.registry.endpoint;
        self.agent = Some(agent::start(&self.program, self.place.path(), endpoint, self.events.clone())?);
        Ok(())
    }

    pub(crate) fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// The waypost binary.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The services that are to be in nginx.
    pub(crate) fn wanted(&self) -> BTreeSet<Endpoint> {
        self.services.iter().filter(|service| service.is_wanted).map(Service::endpoint).collect()
    }

    /// What can be killed by hand: names and pids.
    pub(crate) fn pids(&self) -> Vec<(String, u32)> {
        let services = self.services.iter().filter_map(|service| {
            Some((format!("the announcer of {}", service.name), service.announcer.as_ref()?.pid()))
        });
        let agent = self.agent.iter().map(|agent| ("the agent".to_owned(), agent.pid()));
        services.chain(agent).collect()
    }

    /// An error that tells of a service that did not come up.
    pub(crate) fn nobody_came(&self, why: &str) -> Error {
        let announcers = self.services.iter().filter_map(|service| service.announcer.as_ref());
        let processes = self.agent.iter().chain(announcers);
        processes.last().unwrap_or(&self.nginx).not_started(why)
    }

    /// Looks whether something ended that nobody ended: an error for what all depends on.
    ///
    /// A service that did not get its port is started again on another one.
    pub(crate) fn look_after(&mut self) -> Result<Vec<Ended>, Error> {
        self.registry.check()?;
        if let Some(status) = self.nginx.ended() {
            return Err(self.nginx.has_ended(status));
        }
        let mut ended = Vec::new();
        if let Some(status) = self.agent.as_ref().and_then(Process::ended) {
            self.agent = None;
            ended.push(Ended { what: "agent".to_owned(), how: status.to_string(), is_agent: true });
        }
        for index in 0..self.services.len() {
            ended.extend(self.look_after_service(index)?);
        }
        Ok(ended)
    }

    fn look_after_service(&mut self, index: usize) -> Result<Option<Ended>, Error> {
        let service = &mut self.services[index];
        let Some((announcer, status)) =
            service.announcer.as_ref().and_then(|announcer| Some((announcer, announcer.ended()?)))
        else {
            return Ok(None);
        };
        if service.is_wanted && announcer.found_its_port_taken() && service.starts < ATTEMPTS {
            let (name, port) = (service.name.clone(), Port::free(self.host)?);
            let announcer = self.announcer(&name, port.address)?;
            let service = &mut self.services[index];
            (service.port, service.announcer) = (port, Some(announcer));
            service.starts += 1;
            return Ok(None);
        }
        service.announcer = None;
        let was_wanted = std::mem::replace(&mut service.is_wanted, false);
        let ended = Ended { what: service.name.clone(), how: status.to_string(), is_agent: false };
        Ok(was_wanted.then_some(ended))
    }

    /// The command that announces a service, and serves it.
    pub(crate) fn command(&self, name: &str, address: SocketAddr) -> Vec<String> {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let (prefix, node) = (self.registry.services(), self.registry.endpoint.to_string());
        let (ttl, listen) = (format!("{}s", TTL.as_secs()), address.to_string());
        let program = self.program.display().to_string();
        let words: [&str; 22] = [
            &program,
            "announce",
            name,
            "--prefix",
            &prefix,
            "--node",
            &node,
            "--address",
            &host,
            "--port",
            &port,
            "--check",
            "http:/health",
            "--interval",
            "250ms",
            "--ttl",
            &ttl,
            "--",
            &program,
            "demo-service",
            name,
            &listen,
        ];
        words.map(str::to_owned).to_vec()
    }

    /// A command to start another service by hand, on a port that is free just now.
    pub(crate) fn example(&self, name: &str) -> Result<String, Error> {
        Ok(self.command(name, Port::free(self.host)?.address).join(" "))
    }

    fn announcer(&self, name: &str, address: SocketAddr) -> Result<Process, Error> {
        // A check that takes long is no failure here: the machine may be busy.
        let patience = ["--timeout", "5s", "--stop-timeout", "2s", "--log-level", "info"].map(str::to_owned);
        let mut words = self.command(name, address);
        words.splice(2..2, patience);
        words.push("--with-input".to_owned());
        let mut line = Line::new(&self.program, words.into_iter().skip(1));
        line.has_input = true;
        Process::start(name, &line, self.place.path())
    }

    fn service(&mut self, name: &str) -> Option<&mut Service> {
        self.services.iter_mut().find(|service| service.name == name && service.is_wanted)
    }

    /// Stops everything, and removes what it wrote.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        let announcers = self.services.drain(..).filter_map(|service| service.announcer);
        let first: Vec<Process> = announcers.chain(self.agent.take()).collect();
        stop(first).await;
        stop(vec![self.nginx]).await;
        let cleaned = self.registry.clean_up().await;
        drop(self.registry);
        let path = self.place.path().display().to_string();
        self.place.close().map_err(Error::system(format!("remove {path}")))?;
        cleaned
    }
}

impl Service {
    fn endpoint(&self) -> Endpoint {
        self.port.address.into()
    }
}

/// Asks all to stop; what does not is killed.
async fn stop(processes: Vec<Process>) {
    processes.iter().for_each(|process| process.tell(Signal::TERM));
    let deadline = Instant::now() + STOPPED_WITHIN;
    for process in &processes {
        process.ended_by(deadline).await;
    }
}

/// A directory with places for everything.
fn lay_out() -> Result<TempDir, Error> {
    let place = tempfile::Builder::new().prefix("waypost-demo-").tempdir();
    let place = place.map_err(Error::system("make a temporary directory"))?;
    for directory in ["conf/conf.d", "conf/templates", "nginx", "state"] {
        let path = place.path().join(directory);
        fs::create_dir_all(&path).map_err(Error::system(format!("make {}", path.display())))?;
    }
    Ok(place)
}

/// The agent and nginx, which come up together: nginx on the file that the agent writes.
struct Front {
    agent: Process,
    nginx: Process,
    port: Port,
}

/// What they are started from.
struct FrontPlan<'a> {
    program: &'a Path,
    place: &'a Path,
    registry: &'a Registry,
}

impl FrontPlan<'_> {
    async fn start(&self, nginx: &Path, events: &UnboundedSender<Stamped>) -> Result<Front, Error> {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut preferred = Port::this(SocketAddr::new(host, PREFERRED));
        for _ in 0..ATTEMPTS {
            let port = preferred.take().map_or_else(|| Port::free(host), Ok)?;
            let directory = self.place.join("nginx");
            let nginx = Nginx { program: nginx.to_owned(), directory, address: port.address };
            let agent = self.start_agent(&nginx, events).await?;
            if let Some(nginx) = nginx.start(self.place).await? {
                return Ok(Front { agent, nginx, port });
            }
        }
        Err(Error::PortsTaken { host: host.to_string(), attempts: ATTEMPTS })
    }

    /// Starts the agent, and waits for what it writes.
    async fn start_agent(&self, nginx: &Nginx, events: &UnboundedSender<Stamped>) -> Result<Process, Error> {
        write(&self.place.join("conf/templates/nginx.conf.tmpl"), &nginx.template())?;
        write(&self.place.join("conf/conf.d/nginx.toml"), &nginx.resource(&self.registry.root))?;
        let config = nginx.config();
        // That of a former attempt has another port.
        let _ = fs::remove_file(&config);
        let agent = agent::start(self.program, self.place, &self.registry.endpoint, events.clone())?;
        let deadline = Instant::now() + WRITTEN_WITHIN;
        while !config.exists() {
            if let Some(status) = agent.ended() {
                return Err(agent.not_started(status.to_string()));
            }
            if Instant::now() >= deadline {
                return Err(agent.not_started(format!("no nginx.conf within {WRITTEN_WITHIN:?}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(agent)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::system(format!("write {}", path.display())))
}
