//! lease grant, revoke, timetolive, list and keep-alive.

use serde_json::json;
use waypost_e2e::DEADLINE;
use waypost_servers::wait_until;

use crate::etcdctl::{Background, run};
use crate::new_server;
use crate::server::Server;

/// Grants a lease, and returns its id as etcdctl writes it.
#[track_caller]
fn grant(server: &Server, seconds: &str) -> String {
    let printed = run(server, &["lease", "grant", seconds]).ok();
    let (id, rest) = printed.strip_prefix("lease ").and_then(|rest| rest.split_once(' ')).unwrap();
    assert_eq!(id.len(), 16, "{printed}");
    assert_eq!(rest, format!("granted with TTL({seconds}s)\n"));
    id.to_owned()
}

#[test]
fn a_lease_keeps_its_keys_until_it_is_revoked() {
    let server = new_server!();
    let lease = grant(&server, "600");
    let flag = format!("--lease={lease}");
    run(&server, &["put", &flag, "k1", "v"]).ok();
    run(&server, &["put", &flag, "k2", "v"]).ok();
    run(&server, &["put", "--ignore-lease", "k1", "other"]).ok();
    run(&server, &["put", "k3", "v"]).ok();
    assert_eq!(run(&server, &["lease", "revoke", &lease]).ok(), format!("lease {lease} revoked\n"));
    let left = run(&server, &["get", "", "--prefix", "-w", "json"]).json();
    assert_eq!((&left["kvs"][0]["key"], &left["count"]), (&json!("azM="), &json!(1)));
    assert_eq!(left["header"]["revision"], json!(6), "the keys went in one revision");
    run(&server, &["lease", "revoke", &lease]).fails("NotFound", "etcdserver: requested lease not found");
}

#[test]
fn a_lease_tells_its_time_and_keys() {
    let server = new_server!();
    let lease = grant(&server, "600");
    let left = |flags: &[&str]| {
        let printed = run(&server, &[&["lease", "timetolive", &lease], flags].concat()).ok();
        let (before, after) = printed.split_once("remaining(").unwrap();
        assert_eq!(before, format!("lease {lease} granted with TTL(600s), "));
        let (seconds, after) = after.split_once("s)").unwrap();
        assert!((590..=600).contains(&seconds.parse::<u32>().unwrap()), "{printed}");
        after.to_owned()
    };
    assert_eq!(left(&[]), "\n");
    assert_eq!(left(&["--keys"]), ", attached keys([])\n");
    run(&server, &["put", "--lease", &lease, "k2", "v"]).ok();
    run(&server, &["put", "--lease", &lease, "k1", "v"]).ok();
    let keys = left(&["--keys"]);
    assert!([", attached keys([k1 k2])\n", ", attached keys([k2 k1])\n"].contains(&keys.as_str()), "{keys}");
    run(&server, &["put", "k2", "no lease any more"]).ok();
    assert_eq!(left(&["--keys"]), ", attached keys([k1])\n");

    let unknown = run(&server, &["lease", "timetolive", "123"]).ok();
    assert_eq!(unknown, "lease 0000000000000123 already expired\n");
}

#[test]
fn a_key_tells_its_lease() {
    let server = new_server!();
    let lease = grant(&server, "600");
    run(&server, &["put", "--lease", &lease, "k", "v"]).ok();
    let got = run(&server, &["get", "k", "-w", "json"]).json();
    let id = i64::from_str_radix(&lease, 16).unwrap();
    assert_eq!(got["kvs"][0]["lease"], json!(id));
}

#[test]
fn all_leases_are_listed() {
    let server = new_server!();
    assert_eq!(run(&server, &["lease", "list"]).ok(), "found 0 leases\n");
    let mut leases = [grant(&server, "600"), grant(&server, "700")];
    leases.sort_unstable();
    let printed = run(&server, &["lease", "list"]).ok();
    let (head, rest) = printed.split_once('\n').unwrap();
    assert_eq!(head, "found 2 leases");
    let mut listed: Vec<&str> = rest.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, leases);
    let revision = run(&server, &["lease", "list", "-w", "json"]).json()["revision"].clone();
    assert_eq!(revision, json!(1), "a lease makes no revision");
}

#[test]
fn a_lease_runs_out_with_its_key_unless_it_is_kept_alive() {
    let server = new_server!();
    let kept = grant(&server, "5");
    run(&server, &["put", "--lease", &kept, "kept", "v"]).ok();
    let keeping = Background::start(&server, &["lease", "keep-alive", &kept]);
    let left = grant(&server, "2");
    run(&server, &["put", "--lease", &left, "left", "v"]).ok();
    wait_until("the other key to go", DEADLINE, || run(&server, &["get", "left"]).ok().is_empty());
    // Five are four thirds of the time that the key had at first.
    let line = format!("lease {kept} keepalived with TTL(5)\n");
    let printed = keeping.wait_printed("five lines", |printed| printed.len() >= 5 * line.len());
    assert_eq!(printed.replace(&line, ""), "");
    assert_eq!(run(&server, &["get", "kept"]).ok(), "kept\nv\n");

    run(&server, &["lease", "revoke", &kept]).ok();
    assert!(keeping.ended_well(), "{}", keeping.printed());
    assert!(
        keeping.printed().ends_with(&format!("lease {kept} expired or revoked.\n")),
        "{}",
        keeping.printed()
    );
}

#[test]
fn a_lease_is_kept_alive_once() {
    let server = new_server!();
    let lease = grant(&server, "600");
    let kept = run(&server, &["lease", "keep-alive", "--once", &lease]).ok();
    assert_eq!(kept, format!("lease {lease} keepalived with TTL(600)\n"));
    let unknown = run(&server, &["lease", "keep-alive", "--once", "123"]);
    assert_eq!(unknown.stderr.lines().next_back(), Some("Error: etcdserver: requested lease not found"));
    assert_ne!(unknown.code, Some(0));
}

#[test]
fn a_time_to_live_has_bounds() {
    let server = new_server!();
    let printed = run(&server, &["lease", "grant", "1"]).ok();
    assert!(printed.ends_with(" granted with TTL(2s)\n"), "the least that etcd grants: {printed}");
    run(&server, &["lease", "grant", "9000000001"]).fails("OutOfRange", "etcdserver: too large lease TTL");
}
