//! Surroundings: the functions that ask for something outside of keys and files.
//!
//! Each makes the render volatile: what they return can change though no key does.

use std::net::IpAddr;
use std::rc::Rc;

use crate::Text;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::functions::text;
use crate::list::Slice;
use crate::value::{Operand, Value};
use crate::world::Server;

fn string(operand: &Operand) -> String {
    String::from_utf8_lossy(text(operand)).into_owned()
}

/// The variable, or the default; empty counts as unset.
pub(crate) fn getenv(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    run.reads.volatile = true;
    let value = run.context.world.variable(text(&args[0])).filter(|value| !value.is_empty());
    let default = || args.get(1).map(|operand| text(operand).clone()).unwrap_or_default();
    Ok(Value::Text(value.map_or_else(default, Text::from)))
}

pub(crate) fn hostname(run: &mut Run<'_>, _: &mut [Operand]) -> Outcome<Value> {
    run.reads.volatile = true;
    match run.context.world.hostname() {
        Ok(name) => Ok(Value::Text(Text::from(name))),
        Err(error) => fault(error.to_string()),
    }
}

pub(crate) fn file_exists(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    run.reads.volatile = true;
    Ok(Value::Bool(run.context.world.file_exists(text(&args[0]))))
}

/// Addresses in order of their text; an address stands for itself without a look-up.
fn addresses(run: &mut Run<'_>, host: &str) -> Vec<Text> {
    let found = match host.parse::<IpAddr>() {
        Ok(literal) => vec![literal],
        Err(_) if host.is_empty() => Vec::new(),
        Err(_) => {
            run.reads.volatile = true;
            run.context.world.addresses(host)
        }
    };
    let mut texts: Vec<Text> =
        found.into_iter().map(|ip| Text::from(ip.to_canonical().to_string())).collect();
    texts.sort_unstable();
    texts
}

pub(crate) fn lookup_ip(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let found = addresses(run, &string(&args[0]));
    Ok(Value::Strings(if found.is_empty() { Slice::nil() } else { Slice::exact(found) }))
}

pub(crate) fn lookup_ipv4(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let found = addresses(run, &string(&args[0]));
    Ok(Value::Strings(Slice::appended(found.into_iter().filter(|ip| ip.contains(&b'.')).collect())))
}

pub(crate) fn lookup_ipv6(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let found = addresses(run, &string(&args[0]));
    Ok(Value::Strings(Slice::appended(found.into_iter().filter(|ip| ip.contains(&b':')).collect())))
}

pub(crate) fn lookup_iface_ipv4(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    interface(run, args, IpAddr::is_ipv4)
}

pub(crate) fn lookup_iface_ipv6(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    interface(run, args, IpAddr::is_ipv6)
}

/// The first address of an interface of one family, or nothing.
fn interface(run: &mut Run<'_>, args: &[Operand], wanted: fn(&IpAddr) -> bool) -> Outcome<Value> {
    run.reads.volatile = true;
    let addresses = run.context.world.interface(&string(&args[0]));
    let first = addresses.into_iter().map(|ip| ip.to_canonical()).find(wanted);
    Ok(Value::Text(first.map(|ip| Text::from(ip.to_string())).unwrap_or_default()))
}

/// Records in order of their text, all parts run together, as in confd.
pub(crate) fn lookup_srv(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    run.reads.volatile = true;
    let [service, proto, name] = [0, 1, 2].map(|index| string(&args[index]));
    let mut servers = run.context.world.servers(&service, &proto, &name);
    servers
        .sort_by_key(|Server { target, port, priority, weight }| format!("{target}{port}{priority}{weight}"));
    Ok(Value::Servers(Slice::exact(servers.into_iter().map(Rc::new).collect())))
}
