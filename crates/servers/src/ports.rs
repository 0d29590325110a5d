//! Free loopback ports that nobody else gets.
//!
//! A port is above 10000 and below 32768, where Linux's ephemeral range begins: no client's own
//! port can take it. It is reserved by a socket that is bound to it and never listens. Such a socket
//! does not keep a server from listening there (both set `SO_REUSEADDR`, as Go, nginx and Rust's
//! `TcpListener` do), keeps the next reservation away even while the server is down, and leaves a
//! client's connection refused while nobody listens. It holds between processes too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

const LOWEST: u16 = 10_001;
const HIGHEST: u16 = 32_767;

/// Attempts at finding a free port; far more than a machine that is not full of servers needs.
const ATTEMPTS: usize = 10_000;

/// Every port ever handed out by this process, with the socket that reserves it until the end.
static RESERVED: Mutex<BTreeMap<u16, OwnedFd>> = Mutex::new(BTreeMap::new());

/// Hands out loopback ports: each once in a process, and reserved until the process ends.
#[derive(Debug)]
pub struct Ports;

impl Ports {
    /// A port on 127.0.0.1 that nobody uses, chosen at random.
    ///
    /// # Panics
    ///
    /// When no port between 10001 and 32767 is free.
    #[track_caller]
    pub fn free() -> u16 {
        let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let port = fastrand::u16(LOWEST..=HIGHEST);
            if reserved.contains_key(&port) {
                continue;
            }
            if let Ok(socket) = reserve(port) {
                reserved.insert(port, socket);
                return port;
            }
        }
        panic!("no free port between {LOWEST} and {HIGHEST} on 127.0.0.1");
    }

    /// `wanted` if nobody uses it, as [`Ports::free`] otherwise.
    #[track_caller]
    pub fn free_or(wanted: u16) -> u16 {
        let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
        if !reserved.contains_key(&wanted)
            && let Ok(socket) = reserve(wanted)
        {
            reserved.insert(wanted, socket);
            return wanted;
        }
        drop(reserved);
        Ports::free()
    }
}

/// Binds without `SO_REUSEADDR`, which fails on any other socket there, and sets it afterwards, which
/// lets the server in.
fn reserve(port: u16) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn no_port_is_handed_out_twice_and_none_is_ephemeral() {
        let ports: Vec<u16> = (0..200).map(|_| Ports::free()).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(ports.iter().all(|port| (10_001..32_768).contains(port)), "{ports:?}");
    }

    #[test]
    fn a_reserved_port_refuses_clients_until_a_server_listens_on_it() {
        let port = Ports::free();
        let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
        TcpStream::connect(("127.0.0.1", port)).unwrap();

        drop(server);
        let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_reserved_port_is_not_free_for_the_next_reservation() {
        let port = Ports::free();
        assert!(reserve(port).is_err(), "reserved, nobody listening");
        assert_ne!(Ports::free_or(port), port);
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        assert!(reserve(listener.local_addr().unwrap().port()).is_err());
    }
}
