//! Addresses of servers, checked: what is taken for one can be written into any proxy's configuration.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a server answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads `HOST:PORT`, where an IPv6 address stands in brackets. The error is one of few texts and holds
    /// nothing of `text`.
    pub(super) fn parse(text: &str) -> Result<Address, &'static str> {
        let (host, port) = text.rsplit_once(':').ok_or("no HOST:PORT: the port is missing")?;
        if !host.starts_with('[') && host.contains(':') {
            return Err("no HOST:PORT: an IPv6 address needs brackets");
        }
        Address::new(host, parse_port(port)?)
    }

    /// Checks a host, an IPv6 address with or without brackets, to go with a port.
    pub(super) fn new(host: &str, port: u16) -> Result<Address, &'static str> {
        let inner = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or("no host: a bracket is not closed")?,
            None => host,
        };
        let host = if inner.contains(':') || inner.len() < host.len() {
            inner.parse::<Ipv6Addr>().map_err(|_| "no host: not an IPv6 address")?.to_string()
        } else {
            check_name(inner)?;
            inner.to_owned()
        };
        Ok(Address { host, port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Reads a port from its digits.
pub(super) fn parse_port(digits: &str) -> Result<u16, &'static str> {
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.filter(|port| *port != 0).ok_or("the port must be a number from 1 to 65535")
}

/// A DNS name, or an IPv4 address: as in URLs, what ends in a number must be one.
fn check_name(name: &str) -> Result<(), &'static str> {
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-')
    };
    let relative = name.strip_suffix('.').unwrap_or(name);
    if relative.len() > 253 || !relative.split('.').all(is_label) {
        return Err("no host: a name has letters, digits, `-`, `_` and single dots");
    }
    let ends_in_number =
        relative.split('.').next_back().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if ends_in_number && name.parse::<Ipv4Addr>().is_err() {
        return Err("no host: not an IPv4 address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_read() {
        for text in ["10.0.0.5:8001", "web-1.example:80", "[fd00::1]:443", "a_b:1", "web.:65535", "1a:80"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Address::parse("[FD00:0::1]:80").unwrap().to_string(),
            "[fd00::1]:80",
            "in the short form"
        );
        assert_eq!(Address::new("fd00::1", 80).unwrap().to_string(), "[fd00::1]:80");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let wrong = [
            "",
            "host",
            "host:",
            ":80",
            "host:0",
            "host:65536",
            "host:+80",
            "host:8 0",
            "::1:80",
            "[::1:80",
            "[]:80",
            "[10.0.0.1]:80",
            "10.0.0.256:80",
            "1.2.3:80",
            "a b:80",
            "a;b:80",
            "a/b:80",
            "-x:80",
            "a..b:80",
            ".a:80",
            "a.:b.:80",
            "é:80",
            "a\n:80",
            "$x:80",
            "[fe80::1%eth0]:80",
            "http://a:80",
            "[::1]x:80",
            "a]:80",
        ];
        for text in wrong {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        assert!(Address::parse(&format!("{}:80", "a".repeat(64))).is_err());
        assert!(Address::parse(&format!("{}:80", "a.".repeat(200))).is_err());
    }
}
