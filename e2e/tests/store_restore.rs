//! A backup that etcd's own tool has made of the store becomes a store again.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::process::Command;

use waypost_e2e::{Waypost, require, run_to_end};
use waypost_servers::{Ports, Scratch, Storage};

/// A served store, and where.
fn serve(directory: &str) -> (Waypost, String) {
    let listen = format!("127.0.0.1:{}", Ports::free());
    let store = Waypost::with(["store", "--data-dir", directory, "--listen", &listen]);
    store.wait_logged(&["serving the store"]);
    (store, listen)
}

#[track_caller]
fn waypost(arguments: &[&str]) -> String {
    let output = run_to_end(arguments);
    assert_eq!(output.code, Some(0), "{arguments:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}

#[test]
fn what_etcdctl_has_saved_is_served_again() {
    require!("etcdctl");
    let scratch = Scratch::new("store-restore", Storage::Disk);
    let at = |name: &str| scratch.join(name).display().to_string();
    let (mut store, listen) = serve(&at("one"));
    waypost(&["kv", "put", "/app/db", "10.0.0.5:5432", "--node", &listen]);

    let etcdctl = waypost_servers::find("etcdctl").unwrap();
    let mut save = Command::new(etcdctl);
    save.env("ETCDCTL_API", "3").args(["--endpoints", &listen, "snapshot", "save", &at("saved")]);
    let saved = save.output().unwrap();
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    waypost(&["kv", "put", "/app/db", "10.0.0.6:5432", "--node", &listen]);
    store.kill();

    waypost(&["store", "restore", &at("saved"), "--data-dir", &at("two")]);
    let (restored, listen) = serve(&at("two"));
    assert_eq!(waypost(&["kv", "get", "/app/db", "--node", &listen]).trim_end(), "10.0.0.5:5432");
    assert!(restored.stop().success());

    let again = run_to_end(["store", "restore", &at("saved"), "--data-dir", &at("two")]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("there is a store already"), "{}", again.stderr);
    store.start_again();
}
