//! snapshot, endpoint, member, alarm: what an operator asks.

use std::fs;

use serde_json::{Value, json};
use waypost_servers::{Scratch, Storage};

use crate::etcdctl::{run, run_at};
use crate::new_server;
use crate::server::is_etcd;

#[test]
fn a_snapshot_is_saved_with_its_checksum_at_its_end() {
    let server = new_server!();
    run(&server, &["put", "k", "v"]).ok();
    let scratch = Scratch::new("snapshot", Storage::Disk);
    let file = scratch.join("saved");
    let name = file.display().to_string();
    let printed = run(&server, &["snapshot", "save", &name]).ok();
    assert!(printed.ends_with(&format!("Snapshot saved at {name}\n")), "{printed}");

    let bytes = fs::read(&file).unwrap();
    let (content, sum) = bytes.split_at(bytes.len() - 32);
    let stored: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    let whole = scratch.join("content");
    fs::write(&whole, content).unwrap();
    let output = std::process::Command::new("sha256sum").arg(&whole).output().unwrap();
    let computed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(computed.split(' ').next(), Some(stored.as_str()));
    assert!(!content.is_empty());
}

#[test]
fn the_status_names_a_leader_which_is_itself() {
    let server = new_server!();
    run(&server, &["put", "k", "v"]).ok();
    let printed = run(&server, &["endpoint", "status", "-w", "json"]).ok();
    let status: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(status[0]["Endpoint"], json!(server.endpoint()), "{printed}");
    let status = &status[0]["Status"];
    assert_eq!(status["header"]["revision"], json!(2), "{printed}");
    assert_eq!(status["leader"], status["header"]["member_id"], "{printed}");
    assert_eq!(status.get("errors"), None, "{printed}");
    let version = status["version"].as_str().unwrap();
    // What clients look at to know what they may ask.
    assert!(version.starts_with("3.4."), "{printed}");
    for number in ["dbSize", "raftIndex", "raftAppliedIndex", "raftTerm"] {
        assert!(status[number].as_u64() > Some(0), "{number} in {printed}");
    }
    assert!(run(&server, &["endpoint", "status"]).ok().contains(", true, false, "), "leader and no learner");
    let table = run(&server, &["endpoint", "status", "-w", "table"]).ok();
    assert!(table.contains("| IS LEADER |"), "{table}");
}

#[test]
fn the_endpoint_is_healthy() {
    let server = new_server!();
    // The second one asks at the address that the list of members tells.
    for (flags, endpoint) in [(&[][..], server.endpoint()), (&["--cluster"], server.url())] {
        let expected = format!("{endpoint} is healthy: successfully committed proposal: took = ");
        let health = run(&server, &[&["endpoint", "health"], flags].concat());
        assert_eq!(health.code, Some(0), "{}", health.stderr);
        // etcdctl 3.4 prints it there.
        assert!(health.stderr.starts_with(&expected), "{}", health.stderr);
    }
}

#[test]
fn the_hash_of_a_revision_stays_what_it_was() {
    let server = new_server!();
    let hash = |flags: &[&str]| {
        let printed = run(&server, &[&["endpoint", "hashkv", "-w", "json"], flags].concat()).ok();
        serde_json::from_str::<Value>(&printed).unwrap()[0]["HashKV"].clone()
    };
    run(&server, &["put", "k", "v"]).ok();
    let first = hash(&[]);
    assert_eq!(first["header"]["revision"], json!(2));
    assert!(first["hash"].as_u64() > Some(0), "{first}");
    run(&server, &["put", "k", "w"]).ok();
    assert_ne!(hash(&[])["hash"], first["hash"]);
    assert_eq!(hash(&["--rev=2"])["hash"], first["hash"]);
    run(&server, &["compaction", "3", "--physical"]).ok();
    assert_eq!(hash(&[])["compact_revision"], json!(3));
    run(&server, &["endpoint", "hashkv", "--rev=2"])
        .fails("OutOfRange", "etcdserver: mvcc: required revision has been compacted");
    run(&server, &["endpoint", "hashkv", "--rev=99"])
        .fails("OutOfRange", "etcdserver: mvcc: required revision is a future revision");
}

#[test]
fn the_only_member_is_listed_with_the_address_that_clients_use() {
    let server = new_server!();
    let printed = run(&server, &["member", "list"]).ok();
    let fields: Vec<&str> = printed.trim_end().split(", ").collect();
    let [id, started, name, _peers, clients, learner] = fields[..] else { panic!("{printed}") };
    assert_eq!((started, clients, learner), ("started", server.url().as_str(), "false"), "{printed}");
    assert!(!name.is_empty() && u64::from_str_radix(id, 16).unwrap() > 0, "{printed}");
    let listed: Value = serde_json::from_str(&run(&server, &["member", "list", "-w", "json"]).ok()).unwrap();
    assert_eq!(listed["members"][0]["ID"], listed["header"]["member_id"]);
}

#[test]
fn there_is_no_alarm_and_none_to_disarm() {
    let server = new_server!();
    assert_eq!(run(&server, &["alarm", "list"]).ok(), "");
    assert_eq!(run(&server, &["alarm", "disarm"]).ok(), "");
    let listed = run(&server, &["alarm", "list", "-w", "json"]).json();
    assert_eq!(listed.get("alarms"), None, "{listed}");
}

#[test]
fn what_a_single_node_cannot_do_is_refused() {
    let server = new_server!();
    let refused = [
        (&["member", "remove", "1"][..], "NotFound", "etcdserver: member not found"),
        (&["move-leader", "1"], "FailedPrecondition", "etcdserver: bad leader transferee"),
        (&["auth", "enable"], "FailedPrecondition", "etcdserver: root user does not exist"),
    ];
    for (command, code, message) in refused {
        let (code, message) = if is_etcd() { (code, message) } else { ("Unimplemented", "waypost's store ") };
        run(&server, command).fails(code, message);
    }
}

/// etcdctl 3.4 sends the endpoint as it was typed as the authority of the first two. A URL is none; etcd looks at none.
#[test]
fn status_and_hash_are_asked_at_an_address_or_a_url() {
    let server = new_server!();
    let slash = format!("{}/", server.url());
    for command in [&["endpoint", "status"][..], &["endpoint", "hashkv"], &["put", "k", "v"]] {
        for endpoint in [&server.endpoint(), &server.url(), &slash] {
            run_at(&server, endpoint, command).ok();
        }
    }
    // The members are listed by their URLs, and asked there.
    let printed = run(&server, &["endpoint", "status", "--cluster", "-w", "json"]).json();
    assert_eq!(printed[0]["Endpoint"], json!(server.url()), "{printed}");
}
