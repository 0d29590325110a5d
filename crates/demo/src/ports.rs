//! Ports for servers, kept away from everybody else for as long as the demonstration lasts.
//!
//! A port is below 32768, where Linux's ephemeral range begins (`ip_local_port_range`), so that no client's
//! own port takes it. A socket is bound to it that never listens: it does not keep a server with
//! `SO_REUSEADDR` out (etcd, nginx and Tokio all set it), and it does keep out whoever looks for a free port.
//! So the port of a service that was killed stays dead, and nginx, which may still ask there, finds nobody
//! rather than somebody else.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::Error;

const LOWEST: u16 = 10_001;
const HIGHEST: u16 = 32_767;

/// Far more than a machine needs that is not full of servers.
const ATTEMPTS: usize = 1_000;

/// A port that nobody else gets while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    _socket: OwnedFd,
}

impl Port {
    /// A free port on `host`, chosen at random.
    pub(crate) fn free(host: IpAddr) -> Result<Port, Error> {
        let candidates = (0..ATTEMPTS).map(|_| SocketAddr::new(host, fastrand::u16(LOWEST..=HIGHEST)));
        candidates
            .into_iter()
            .find_map(|address| reserve(address, Care::Strict).ok())
            .ok_or_else(|| Error::NoPort { host: host.to_string(), lowest: LOWEST, highest: HIGHEST })
    }

    /// This very port, unless a server listens on it.
    pub(crate) fn this(address: SocketAddr) -> Option<Port> {
        reserve(address, Care::ListenersOnly).ok()
    }
}

/// What keeps a port from being taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Any socket at all.
    Strict,
    /// A server that listens; connections that a former one had, and that the system remembers for a
    /// minute, do not matter.
    ListenersOnly,
}

fn reserve(address: SocketAddr, care: Care) -> rustix::io::Result<Port> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if care == Care::ListenersOnly {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(Port { address, _socket: socket })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_is_kept_for_its_server_and_refuses_clients_without_it() {
        let port = Port::free(LOOPBACK).unwrap();
        assert!((LOWEST..=HIGHEST).contains(&port.address.port()));
        assert!(TcpStream::connect(port.address).is_err(), "nobody listens");
        assert!(reserve(port.address, Care::Strict).is_err(), "it is taken");
        let _server = TcpListener::bind(port.address).unwrap();
        TcpStream::connect(port.address).unwrap();
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_given() {
        let server = TcpListener::bind((LOOPBACK, 0)).unwrap();
        assert!(Port::this(server.local_addr().unwrap()).is_none());
    }
}
