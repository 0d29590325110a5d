//! Where an instance of a service answers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A host and a port, written `HOST:PORT`; an IPv6 address stands in brackets: `[::1]:80`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not HOST:PORT: {problem}")]
pub struct InvalidEndpoint {
    text: String,
    problem: &'static str,
}

impl Endpoint {
    /// An endpoint of `host`, a name or an address without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Endpoint {
        Endpoint { host: host.into(), port }
    }

    /// A name or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// True if only processes of the same host reach it: `localhost`, `127.0.0.0/8`, `::1`.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint::new(address.ip().to_string(), address.port())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let invalid = |problem| InvalidEndpoint { text: text.to_owned(), problem };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid("the port is missing"))?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| invalid("the port must be a number from 1 to 65535"))?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inner)) => inner,
            Some(None) => return Err(invalid("a bracket is not closed")),
            None if host.contains(':') => return Err(invalid("an IPv6 address needs brackets")),
            None => host,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(invalid("the host is missing or holds white space"));
        }
        Ok(Endpoint::new(host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_as_they_are_written() {
        for text in ["10.0.0.5:8001", "web-1.example:80", "[fd00::1]:443"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_reason() {
        for text in ["", "host", "host:", "host:0", "host:65536", "::1:80", "[::1:80", ":80", "a b:80"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        let error = "::1:80".parse::<Endpoint>().unwrap_err();
        assert_eq!(error.to_string(), "`::1:80` is not HOST:PORT: an IPv6 address needs brackets");
    }

    #[test]
    fn loopback_is_recognised() {
        let is_loopback = |text: &str| text.parse::<Endpoint>().unwrap().is_loopback();
        assert!(is_loopback("127.8.0.1:80") && is_loopback("[::1]:80") && is_loopback("localhost:80"));
        assert!(!is_loopback("10.0.0.1:80"));
    }
}
