//! Servers by DNS: the SRV records of a name (RFC 2782).
//!
//! Every look-up asks afresh: nothing is cached, so that a caller decides how old an answer may be.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::{TokioResolver, system_conf};

use crate::{Error, ErrorKind, Result};

const STORE: &str = "dns";

/// A server, as a record names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The host, with the final dot that DNS gives it.
    pub target: String,
    /// The port.
    pub port: u16,
    /// Lower comes first.
    pub priority: u16,
    /// The share among records of one priority.
    pub weight: u16,
}

impl Server {
    /// `HOST:PORT`, without the final dot: neither TLS nor HTTP has it in a host's name.
    pub fn node(&self) -> String {
        format!("{}:{}", self.target.trim_end_matches('.'), self.port)
    }
}

/// The record below `domain` that confd's `-srv-domain` means for `backend`: `_etcd._tcp.example.com.`.
pub fn record_of(backend: &str, domain: &str) -> String {
    format!("_{backend}._tcp.{}.", domain.trim_end_matches('.'))
}

/// Asks the name servers of `/etc/resolv.conf`; see [`Resolver::look_up`].
///
/// # Errors
///
/// As [`Resolver::system`] and [`Resolver::look_up`].
pub async fn look_up(record: &str) -> Result<Vec<Server>> {
    Resolver::system()?.look_up(record).await
}

/// The same, for a thread that may wait.
///
/// # Errors
///
/// As [`look_up`].
pub fn look_up_blocking(record: &str) -> Result<Vec<Server>> {
    Resolver::system()?.look_up_blocking(record)
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Resolver {
    config: ResolverConfig,
    options: ResolverOpts,
}

impl Resolver {
    /// The name servers and search domains of `/etc/resolv.conf`, as it is now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it cannot be read.
    pub fn system() -> Result<Resolver> {
        let read = system_conf::read_system_conf()
            .map_err(|why| Error::new(ErrorKind::Invalid, STORE, "read", "/etc/resolv.conf").because(why));
        let (config, options) = read?;
        Ok(Resolver::new(config, options))
    }

    /// One name server, asked over UDP and, for what does not fit there, over TCP. It has `timeout` to answer.
    pub fn at(name_server: SocketAddr, timeout: Duration) -> Resolver {
        let mut server = NameServerConfig::new(name_server.ip(), true, Vec::new());
        for mut connection in [ConnectionConfig::udp(), ConnectionConfig::tcp()] {
            connection.port = name_server.port();
            server.connections.push(connection);
        }
        let mut options = ResolverOpts::default();
        (options.timeout, options.attempts) = (timeout, 1);
        Resolver::new(ResolverConfig::from_parts(None, Vec::new(), vec![server]), options)
    }

    fn new(config: ResolverConfig, mut options: ResolverOpts) -> Resolver {
        options.cache_size = 0;
        Resolver { config, options }
    }

    /// The servers of `record`, for instance `_etcd._tcp.example.com`: by priority, those of more weight first,
    /// then by name and port, so that the same answer always gives the same list.
    ///
    /// A name without records is an empty list, as is a record that says that there is no such service (its
    /// target is the root).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if `record` is no name, [`ErrorKind::Unavailable`] if no name server gave an answer.
    pub async fn look_up(&self, record: &str) -> Result<Vec<Server>> {
        let error = |kind, why: NetError| Err(Error::new(kind, STORE, "look up", record).because(why));
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(self.config.clone(), provider);
        let resolver = match builder.with_options(self.options.clone()).build() {
            Ok(resolver) => resolver,
            Err(why) => return error(ErrorKind::Invalid, why),
        };
        match resolver.srv_lookup(record).await {
            Ok(found) => Ok(sorted(found.answers())),
            Err(why) if why.is_no_records_found() => Ok(Vec::new()),
            Err(why @ NetError::Proto(_)) => error(ErrorKind::Invalid, why),
            Err(why) => error(ErrorKind::Unavailable, why),
        }
    }

    /// The same, for a thread that may wait, whether or not it is one of a runtime's.
    ///
    /// # Errors
    ///
    /// As [`Resolver::look_up`].
    pub fn look_up_blocking(&self, record: &str) -> Result<Vec<Server>> {
        let look_up = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime
                .map_err(|why| Error::new(ErrorKind::Unavailable, STORE, "look up", record).because(why))?;
            runtime.block_on(self.look_up(record))
        };
        // A runtime cannot be entered on a thread that is in one already.
        std::thread::scope(|scope| scope.spawn(look_up).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn sorted(records: &[Record]) -> Vec<Server> {
    let mut servers: Vec<Server> = records.iter().filter_map(server).collect();
    servers.sort_by(|a, b| {
        let (weights, names) = (b.weight.cmp(&a.weight), (&a.target, a.port).cmp(&(&b.target, b.port)));
        a.priority.cmp(&b.priority).then(weights).then(names)
    });
    servers
}

fn server(record: &Record) -> Option<Server> {
    let RData::SRV(SRV { priority, weight, port, target, .. }) = &record.data else { return None };
    let (priority, weight, port) = (*priority, *weight, *port);
    (!target.is_root()).then(|| Server { target: target.to_ascii(), port, priority, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_asked_for_the_backends_record() {
        assert_eq!(record_of("etcd", "example.com"), "_etcd._tcp.example.com.");
        assert_eq!(record_of("consul", "example.com."), "_consul._tcp.example.com.");
    }

    #[test]
    fn a_node_has_no_final_dot() {
        let server = Server { target: "etcd1.example.com.".into(), port: 4001, priority: 0, weight: 0 };
        assert_eq!(server.node(), "etcd1.example.com:4001");
    }
}
