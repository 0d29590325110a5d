//! Which address to announce: one that is given, one of an interface, or the one that faces the registry.
//!
//! What comes out of here can be reached by others, as far as it can be told from this host: a loopback
//! address is refused unless the registry is on loopback too, and so is `0.0.0.0`.
//!
//! Interfaces are listed with nix's `getifaddrs`: it adds `memoffset` to what is in the tree, no more.
//! rustix has no such call; `local-ip-address` (by `neli`) and `netdev` (by `netlink-packet-route`) bring a
//! netlink stack along for the same answer.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use tokio::net::UdpSocket;
use waypost_model::Endpoint;

/// Where the announced address comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AddressSource {
    /// It is this one, a name or an address (`--address`).
    Given(String),
    /// It is the one of this interface (`--interface`): IPv4 if there is one, else IPv6 that is not
    /// link-local.
    Interface(String),
    /// It is the source address of the route to the registry.
    #[default]
    Route,
}

/// Why no address can be announced.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Others would connect to themselves.
    #[error(
        "{address} is a loopback address, and the registry {registry} is not on this host: nobody else \
         could connect to it; give the address that others use with --address or --interface"
    )]
    Loopback {
        /// What would have been announced.
        address: String,
        /// The registry that is elsewhere.
        registry: Endpoint,
    },
    /// It stands for "all addresses" where one listens, and for none where one connects.
    #[error(
        "{address} is no address to connect to; give the one that others use with --address or --interface"
    )]
    Unspecified {
        /// What would have been announced.
        address: String,
    },
    /// The interface is not there.
    #[error("there is no interface `{name}`; there are {}", .others.join(", "))]
    NoInterface {
        /// The name that was given.
        name: String,
        /// The names that there are.
        others: Vec<String>,
    },
    /// The interface is there, without an address to announce.
    #[error("the interface `{name}` {why}")]
    NoAddress {
        /// Its name.
        name: String,
        /// What is missing.
        why: &'static str,
    },
    /// The interfaces cannot be listed.
    #[error("cannot list the interfaces of this host")]
    Interfaces(#[source] io::Error),
    /// No registry is given, so there is no route to it.
    #[error("there is no registry to find the route to; give --address or --interface")]
    NoRegistry,
    /// There is no route to the registry, or its name means nothing here.
    #[error("cannot find the route to the registry {registry}; give --address or --interface")]
    NoRoute {
        /// The registry.
        registry: Endpoint,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// The address to announce, for a registry that is reached at `registry`.
///
/// Loopback is fine if all of the registry's endpoints are on loopback. A registry without endpoints (a
/// file) is on this host, and says nothing about who reads it: then loopback is fine too.
///
/// # Errors
///
/// [`AddressError`], with the flag that helps.
pub async fn announced_host(source: &AddressSource, registry: &[Endpoint]) -> Result<String, AddressError> {
    let host = match source {
        AddressSource::Given(host) => host.clone(),
        AddressSource::Interface(name) => of_interface(name)?.to_string(),
        AddressSource::Route => of_route(registry).await?.to_string(),
    };
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        return Err(AddressError::Unspecified { address: host });
    }
    if Endpoint::new(host.as_str(), 0).is_loopback()
        && let Some(registry) = elsewhere(registry).await
    {
        return Err(AddressError::Loopback { address: host, registry });
    }
    Ok(host)
}

/// The first endpoint that is not on loopback. A name that cannot be resolved is taken to be elsewhere:
/// it is not one that every host gives itself.
async fn elsewhere(registry: &[Endpoint]) -> Option<Endpoint> {
    for endpoint in registry {
        if !endpoint.is_loopback() && !resolve(endpoint).await.is_ok_and(|at| at.ip().is_loopback()) {
            return Some(endpoint.clone());
        }
    }
    None
}

async fn resolve(endpoint: &Endpoint) -> io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await?;
    found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// The source address of the route to the registry: to an endpoint that is elsewhere, if there is one.
async fn of_route(registry: &[Endpoint]) -> Result<IpAddr, AddressError> {
    let first = registry.first().ok_or(AddressError::NoRegistry)?;
    let registry = elsewhere(registry).await.unwrap_or_else(|| first.clone());
    source_to(&registry).await.map_err(|source| AddressError::NoRoute { registry, source })
}

/// Connecting a UDP socket sends nothing: the system looks up the route and notes the source address.
async fn source_to(registry: &Endpoint) -> io::Result<IpAddr> {
    let registry = resolve(registry).await?;
    let any: IpAddr = match registry {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(registry).await?;
    Ok(socket.local_addr()?.ip())
}

#[derive(Debug, Default)]
struct Interface {
    is_up: bool,
    addresses: Vec<IpAddr>,
}

fn of_interface(name: &str) -> Result<IpAddr, AddressError> {
    let listed = getifaddrs().map_err(|errno| AddressError::Interfaces(errno.into()))?;
    let mut all: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in listed {
        let interface = all.entry(entry.interface_name.clone()).or_default();
        interface.is_up |= entry.flags.contains(InterfaceFlags::IFF_UP);
        interface.addresses.extend(ip_of(&entry));
    }
    let Some(interface) = all.get(name) else {
        return Err(AddressError::NoInterface { name: name.to_owned(), others: all.into_keys().collect() });
    };
    interface.pick().map_err(|why| AddressError::NoAddress { name: name.to_owned(), why })
}

fn ip_of(entry: &InterfaceAddress) -> Option<IpAddr> {
    let address = entry.address.as_ref()?;
    let v4 = || address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4().or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

impl Interface {
    fn pick(&self) -> Result<IpAddr, &'static str> {
        if !self.is_up {
            return Err("is down");
        }
        let v4 = self.addresses.iter().find(|address| address.is_ipv4());
        let v6 = || self.addresses.iter().find(|address| is_beyond_link(address));
        v4.or_else(v6).copied().ok_or("has neither an IPv4 address nor an IPv6 address beyond its own link")
    }
}

/// A link-local IPv6 address means nothing without the name of the reader's own interface.
fn is_beyond_link(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(addresses: &[&str]) -> Interface {
        Interface { is_up: true, addresses: addresses.iter().map(|text| text.parse().unwrap()).collect() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn registry(texts: &[&str]) -> Vec<Endpoint> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    async fn given(host: &str, at: &[&str]) -> Result<String, AddressError> {
        announced_host(&AddressSource::Given(host.to_owned()), &registry(at)).await
    }

    #[test]
    fn an_interface_gives_ipv4_first_and_no_link_local_ipv6() {
        assert_eq!(up(&["fd00::1", "10.0.0.5"]).pick(), Ok(ip("10.0.0.5")));
        assert_eq!(up(&["fe80::1", "2001:db8::1"]).pick(), Ok(ip("2001:db8::1")));
        assert!(up(&["fe80::1"]).pick().unwrap_err().contains("neither"));
        assert_eq!(Interface { is_up: false, ..up(&["10.0.0.5"]) }.pick(), Err("is down"));
    }

    #[tokio::test]
    async fn loopback_is_refused_for_a_registry_elsewhere() {
        let error = given("127.0.0.1", &["127.0.0.1:2379", "192.0.2.7:2379"]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("127.0.0.1 is a loopback address"), "{text}");
        assert!(text.contains("192.0.2.7:2379") && text.contains("--address"), "{text}");
        assert!(matches!(given("localhost", &["192.0.2.7:1"]).await, Err(AddressError::Loopback { .. })));
        assert!(matches!(given("::1", &["192.0.2.7:1"]).await, Err(AddressError::Loopback { .. })));
    }

    #[tokio::test]
    async fn loopback_is_fine_for_a_registry_on_loopback() {
        for at in ["127.0.0.1:2379", "localhost:2379", "[::1]:2379"] {
            assert_eq!(given("127.0.0.1", &[at]).await.unwrap(), "127.0.0.1");
        }
    }

    #[tokio::test]
    async fn other_addresses_and_names_are_taken_as_they_are() {
        assert_eq!(given("10.0.0.5", &["192.0.2.7:2379"]).await.unwrap(), "10.0.0.5");
        assert_eq!(given("web-1.example", &["192.0.2.7:2379"]).await.unwrap(), "web-1.example");
        assert!(matches!(given("0.0.0.0", &["127.0.0.1:1"]).await, Err(AddressError::Unspecified { .. })));
    }

    #[tokio::test]
    async fn the_route_to_a_registry_on_loopback_is_loopback() {
        let found = announced_host(&AddressSource::Route, &registry(&["127.0.0.1:2379"])).await;
        assert_eq!(found.unwrap(), "127.0.0.1");
        let nothing = announced_host(&AddressSource::Route, &[]).await;
        assert!(matches!(nothing, Err(AddressError::NoRegistry)));
    }

    #[tokio::test]
    async fn the_loopback_interface_has_the_loopback_address() {
        let of = |name: &str| AddressSource::Interface(name.to_owned());
        let local = registry(&["127.0.0.1:2379"]);
        assert_eq!(announced_host(&of("lo"), &local).await.unwrap(), "127.0.0.1");

        let error = announced_host(&of("no-such-0"), &local).await.unwrap_err().to_string();
        assert!(error.contains("`no-such-0`") && error.contains("lo"), "{error}");
    }
}
