//! The host's address as seen from inside a container: the default gateway.

use std::io;
use std::net::Ipv4Addr;

/// The address of the default gateway.
///
/// Source: Linux's `/proc/net/route` (proc_net(5)); addresses are hexadecimal in the host's byte order.
///
/// # Errors
///
/// If the routes cannot be read, or there is no default route for IPv4.
pub(crate) fn default_gateway() -> io::Result<Ipv4Addr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "there is no default route for IPv4");
    of_routes(&std::fs::read_to_string("/proc/net/route")?).ok_or_else(none)
}

fn of_routes(table: &str) -> Option<Ipv4Addr> {
    let gateway = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let mask = fields.nth(4)?;
        let address = u32::from_str_radix(gateway, 16).ok().filter(|address| *address != 0)?;
        let is_default = destination == "00000000" && mask == "00000000";
        is_default.then(|| Ipv4Addr::from(address.to_ne_bytes()))
    };
    table.lines().skip(1).find_map(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_default_route_names_the_gateway() {
        let routes = "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                      eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(of_routes(&format!("{HEAD}{routes}")), Some(Ipv4Addr::new(172, 17, 0, 1)));
    }

    #[test]
    fn without_a_default_route_there_is_none() {
        let routes = "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(of_routes(&format!("{HEAD}{routes}")), None);
    }
}
