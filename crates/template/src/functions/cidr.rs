//! CIDR: networks such as `10.1.0.0/16` and `fd00::/8`, and what is in them. What they do is what
//! Terraform's functions of these names do; bits of the host in a network's address are ignored.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{int, text};
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::value::{Operand, Value};

fn network(operand: &Operand) -> Outcome<IpNet> {
    let parsed = std::str::from_utf8(text(operand)).ok().and_then(|text| text.parse::<IpNet>().ok());
    match parsed {
        Some(network) => Ok(network.trunc()),
        None => fault("no network: ADDRESS/BITS is wanted, such as 10.0.0.0/8"),
    }
}

/// An address, as the network that holds it alone, or a network.
fn address_or_network(operand: &Operand) -> Outcome<IpNet> {
    let address = std::str::from_utf8(text(operand)).ok().and_then(|text| text.parse::<IpAddr>().ok());
    address.map_or_else(|| network(operand), |address| Ok(IpNet::from(address)))
}

fn shown(value: impl ToString) -> Outcome<Value> {
    Ok(Value::Text(value.to_string().into()))
}

/// The address as a number. 128 bits hold both families.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of that number, in the family of `network`.
fn address(network: &IpNet, bits: u128) -> IpAddr {
    match network {
        IpNet::V4(_) => IpAddr::V4((bits as u32).into()), // the caller stays within the network
        IpNet::V6(_) => IpAddr::V6(bits.into()),
    }
}

/// Whether the address or network lies in the network.
pub(super) fn contains(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (outer, inner) = (network(&args[0])?, address_or_network(&args[1])?);
    Ok(Value::Bool(outer.contains(&inner)))
}

/// The address of that number in the network; negative numbers count from its end.
pub(super) fn host(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (network, number) = (network(&args[0])?, int(&args[1]));
    let (first, last) = (bits(network.network()), bits(network.broadcast()));
    let distance = u128::from(number.unsigned_abs());
    let found = match number {
        0.. => first.checked_add(distance),
        _ => last.checked_sub(distance - 1),
    };
    match found.filter(|found| (first..=last).contains(found)) {
        Some(found) => shown(address(&network, found)),
        None => fault(format!("a network of {} bits has no address {number}", network.prefix_len())),
    }
}

/// `255.255.0.0`; IPv6 does not write networks so.
pub(super) fn netmask(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match network(&args[0])? {
        IpNet::V4(network) => shown(network.netmask()),
        IpNet::V6(_) => fault("an IPv6 network has no netmask: take cidrLength"),
    }
}

/// The network's bits: 16 of `10.1.0.0/16`.
pub(super) fn length(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Int(network(&args[0])?.prefix_len().into()))
}

/// The network of that number among those that are longer by some bits.
pub(super) fn subnet(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let (network, more, number) = (network(&args[0])?, int(&args[1]), int(&args[2]));
    let longest = i64::from(network.max_prefix_len());
    let length = match more.checked_add(network.prefix_len().into()) {
        Some(length) if more >= 0 && length <= longest => length,
        _ => {
            return fault(format!(
                "a network of {} bits has none that are longer by {more}",
                network.prefix_len()
            ));
        }
    };
    let Some(number) = u128::try_from(number).ok().filter(|number| more >= 64 || *number < 1 << more) else {
        return fault(format!("{more} more bits do not count up to network {number}"));
    };
    let shift = u32::try_from(longest - length).expect("it is 0 to 128");
    let offset = number.checked_shl(shift).unwrap_or(0); // by all 128 bits only where `number` is 0
    let start = address(&network, bits(network.network()) + offset);
    let length = u8::try_from(length).expect("it is 0 to 128");
    shown(IpNet::new(start, length).expect("the length was checked"))
}

/// The first address, which names the network.
pub(super) fn first(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    shown(network(&args[0])?.network())
}

/// The last address, in IPv4 the one for broadcasts.
pub(super) fn last(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    shown(network(&args[0])?.broadcast())
}
