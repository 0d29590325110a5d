//! `--node gateway`: from inside a container, the host's etcd without knowing its address.
//!
//! Two network namespaces stand for the host and the container, with a veth between them and the
//! container's default route over it, as Docker's bridge has it.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::process::Command;

use waypost_e2e::{DEADLINE, command, require, unavailable};
use waypost_servers::{Process, Scratch, Storage, find};

/// The host: etcd on its end of the veth. `$0` is a directory, `$1` etcd, `$2` waypost.
const HOST: &str = r#"
    ip link set lo up
    ip link add host0 type veth peer name eth0
    ip addr add 10.99.0.1/24 dev host0
    ip link set host0 up
    "$1" --data-dir "$0/etcd" --listen-client-urls http://10.99.0.1:2379 \
        --advertise-client-urls http://10.99.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
        --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380 \
        > "$0/etcd.log" 2>&1 &
    unshare --net sh -ec "$3" "$0" "$2" &
    for i in $(seq 600); do [ -e "$0/unshared" ] && break; sleep 0.1; done
    ip link set eth0 netns $!
    wait $!
"#;

/// The container: everything goes to the gateway. `$0` is a directory, `$1` waypost.
const CONTAINER: &str = r#"
    wait_for() { for i in $(seq 600); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; "$@"; }
    touch "$0/unshared"
    wait_for ip link set eth0 up
    ip link set lo up
    ip addr add 10.99.0.2/24 dev eth0
    ip route add default via 10.99.0.1
    wait_for "$1" kv --node gateway put /k here
    "$1" kv --node http://gateway:2379 get /k
    "$1" announce web --prefix /test --port 80 --check none --node gateway -- \
        "$1" kv --node gateway watch /test --initial &
    wait_for "$1" kv --node gateway get /test/web
    "$1" kv --node gateway get /test/web
    kill $!
"#;

#[test]
fn the_gateway_is_the_hosts_etcd_and_the_address_is_the_one_that_leads_to_it() {
    require!("etcd", "ip");
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "sh", "-ec"]);
    if !Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success()) {
        unavailable("no network namespace is permitted here");
        return;
    }
    let scratch = Scratch::new("gateway", Storage::Memory);
    let etcd = find("etcd").unwrap();
    unshare.arg(HOST).arg(scratch.path()).arg(etcd).arg(command().get_program()).arg(CONTAINER);
    let host = Process::start("host", &unshare, &scratch.join("log"));
    let status = host.wait(DEADLINE * 2);
    let log = host.log();
    assert!(status.success(), "{status}: {log}");
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
    assert!(lines.contains(&"here") && lines.contains(&"10.99.0.2:80"), "{log}");
}
