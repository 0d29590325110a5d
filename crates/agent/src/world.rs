//! What a template can ask for besides keys and files: the operating system, and DNS for what that cannot tell.

use std::io;
use std::net::IpAddr;

use waypost_backend::srv;
use waypost_template::{Moment, Os, Server, World};

/// The operating system; SRV records are looked up afresh each time. The thread that renders waits for them, as
/// it does for the system's own resolver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings;

impl World for Surroundings {
    fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        Os.variable(name)
    }

    fn hostname(&self) -> io::Result<String> {
        Os.hostname()
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        Os.addresses(host)
    }

    /// As Go's `net.LookupSRV`: without service and protocol the name is looked up as it is.
    fn servers(&self, service: &str, proto: &str, name: &str) -> Vec<Server> {
        let record = match (service, proto) {
            ("", "") => name.to_owned(),
            _ => format!("_{service}._{proto}.{name}"),
        };
        match srv::look_up_blocking(&record) {
            Ok(found) => found.into_iter().map(server).collect(),
            Err(error) => {
                tracing::warn!(error = error.chain(), "lookupSRV gives nothing");
                Vec::new()
            }
        }
    }

    fn interface(&self, name: &str) -> Vec<IpAddr> {
        Os.interface(name)
    }

    fn now(&self) -> Moment {
        Os.now()
    }

    fn file_exists(&self, path: &[u8]) -> bool {
        Os.file_exists(path)
    }
}

fn server(found: srv::Server) -> Server {
    let srv::Server { target, port, priority, weight } = found;
    Server { target, port, priority, weight }
}
