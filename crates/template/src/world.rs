//! The world: all that a template can ask for besides keys and files.
//!
//! It is passed in, so that a render is a function of its inputs and a test needs no network, clock or
//! environment. [`Os`] is the real one.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Reads a file of the directory of templates, for `include`.
pub trait Files {
    /// The content of the file; `path` is clean, relative and stays inside the directory.
    ///
    /// # Errors
    ///
    /// Whatever keeps the file from being read; the template then fails.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// No files: every `include` fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The surroundings of a render: variables, host, addresses, time, files that may exist.
pub trait World {
    /// The environment variable `name`, if it is set.
    fn variable(&self, name: &[u8]) -> Option<Vec<u8>>;

    /// The name of this host.
    ///
    /// # Errors
    ///
    /// If the system does not tell.
    fn hostname(&self) -> io::Result<String>;

    /// The addresses of `host`, in any order; none if it has none or nothing answered.
    fn addresses(&self, host: &str) -> Vec<IpAddr>;

    /// The SRV records of `_service._proto.name`; none by default.
    fn servers(&self, service: &str, proto: &str, name: &str) -> Vec<Server> {
        let _ = (service, proto, name);
        Vec::new()
    }

    /// The addresses of a network interface of this host, in the system's order.
    fn interface(&self, name: &str) -> Vec<IpAddr>;

    /// The time now, with the local zone.
    fn now(&self) -> Moment;

    /// Whether a file exists. Any doubt but a plain "no such file" counts as yes, as confd has it.
    fn file_exists(&self, path: &[u8]) -> bool;
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The host, with its final dot.
    pub target: String,
    /// The port.
    pub port: u16,
    /// Lower comes first.
    pub priority: u16,
    /// The share among records of one priority.
    pub weight: u16,
}

/// A point in time and the local zone at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub unix_nanoseconds: i128,
    /// Seconds east of UTC.
    pub offset_seconds: i32,
    /// The zone's abbreviation, such as `CET`.
    pub zone: String,
}

/// The operating system. SRV records are not looked up: the standard library cannot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Os;

impl World for Os {
    fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        // `var_os` panics on names that the environment cannot hold.
        let possible = !name.is_empty() && !name.contains(&b'=') && !name.contains(&0);
        let value = if possible { std::env::var_os(OsStr::from_bytes(name)) } else { None };
        value.map(OsStringExt::into_vec)
    }

    fn hostname(&self) -> io::Result<String> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
        Ok(name.trim_end().to_owned())
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        (host, 0)
            .to_socket_addrs()
            .map(|found| found.map(|address| address.ip()).collect())
            .unwrap_or_default()
    }

    fn interface(&self, name: &str) -> Vec<IpAddr> {
        let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
        all.filter(|entry| entry.interface_name == name).filter_map(|entry| ip(&entry.address?)).collect()
    }

    fn now(&self) -> Moment {
        let now = jiff::Zoned::now();
        let zone = now.time_zone().to_offset_info(now.timestamp());
        Moment {
            unix_nanoseconds: now.timestamp().as_nanosecond(),
            offset_seconds: zone.offset().seconds(),
            zone: zone.abbreviation().to_owned(),
        }
    }

    fn file_exists(&self, path: &[u8]) -> bool {
        match std::fs::metadata(Path::new(OsStr::from_bytes(path))) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}
