//! put, get, del and compaction.

use serde_json::json;

use crate::etcdctl::{run, run_with_input};
use crate::new_server;
use crate::server::Server;

/// Four keys whose order differs by key, value, version, creation and change; returns nothing new to know.
fn put_some(server: &Server) {
    for (key, value) in [("/b", "1"), ("/a", "3"), ("/c", "2"), ("/b", "4"), ("other", "0")] {
        assert_eq!(run(server, &["put", key, value]).ok(), "OK\n");
    }
}

#[test]
fn a_put_prints_what_was_there_and_its_revision() {
    let server = new_server!();
    assert_eq!(run(&server, &["put", "k", "1"]).ok(), "OK\n");
    assert_eq!(run(&server, &["put", "--prev-kv", "k", "2"]).ok(), "OK\nk\n1\n");
    assert_eq!(run(&server, &["put", "k", "3", "-w", "json"]).json(), json!({ "header": { "revision": 4 } }));
    assert_eq!(run_with_input(&server, &["put", "k"], "two\nlines").ok(), "OK\n");
    assert_eq!(run(&server, &["get", "k", "--print-value-only"]).ok(), "two\nlines\n");
}

#[test]
fn a_put_that_etcd_refuses_fails_with_its_words() {
    let server = new_server!();
    run(&server, &["put", "", "v"]).fails("InvalidArgument", "etcdserver: key is not provided");
    run(&server, &["put", "--ignore-value", "k"]).fails("InvalidArgument", "etcdserver: key not found");
    run(&server, &["put", "--ignore-lease", "k", "v"]).fails("InvalidArgument", "etcdserver: key not found");
    run(&server, &["put", "--lease=123", "k", "v"])
        .fails("NotFound", "etcdserver: requested lease not found");
    let large = "a".repeat(1_600_000);
    run_with_input(&server, &["put", "k"], &large)
        .fails("InvalidArgument", "etcdserver: request is too large");
    assert_eq!(run(&server, &["get", "k"]).ok(), "");
}

#[test]
fn keys_are_got_one_by_one_by_prefix_from_a_key_and_in_a_range() {
    let server = new_server!();
    put_some(&server);
    assert_eq!(run(&server, &["get", "/b"]).ok(), "/b\n4\n");
    assert_eq!(run(&server, &["get", "/none"]).ok(), "");
    assert_eq!(run(&server, &["get", "/", "--prefix"]).ok(), "/a\n3\n/b\n4\n/c\n2\n");
    assert_eq!(run(&server, &["get", "", "--prefix", "--keys-only"]).ok(), "/a\n\n/b\n\n/c\n\nother\n\n");
    assert_eq!(run(&server, &["get", "/b", "--from-key", "--print-value-only"]).ok(), "4\n2\n0\n");
    assert_eq!(run(&server, &["get", "/a", "/c"]).ok(), "/a\n3\n/b\n4\n");
    assert_eq!(run(&server, &["get", "/c", "/a"]).ok(), "");
    assert_eq!(run(&server, &["get", "/", "--prefix", "--limit=2"]).ok(), "/a\n3\n/b\n4\n");
    assert_eq!(run(&server, &["get", "/b", "--consistency=s", "--hex"]).ok(), "\\x2f\\x62\n\\x34\n");
}

#[test]
fn keys_come_in_the_order_that_was_asked_for() {
    let server = new_server!();
    put_some(&server);
    let sorted = |by: &str, order: &str| {
        let flags = ["--sort-by", by, "--order", order, "--print-value-only"];
        run(&server, &[&["get", "/", "--prefix"], &flags[..]].concat()).ok()
    };
    assert_eq!(sorted("KEY", "DESCEND"), "2\n4\n3\n");
    assert_eq!(sorted("VALUE", "ASCEND"), "2\n3\n4\n");
    assert_eq!(sorted("CREATE", "ASCEND"), "4\n3\n2\n");
    assert_eq!(sorted("MODIFY", "DESCEND"), "4\n2\n3\n");
    // Those that are equal stay in the order of their keys.
    assert_eq!(sorted("VERSION", "ASCEND"), "3\n2\n4\n");
    let greatest = ["get", "/", "--prefix", "--sort-by=MODIFY", "--order=DESCEND", "--limit=1"];
    assert_eq!(run(&server, &greatest).ok(), "/b\n4\n");
}

#[test]
fn json_tells_revisions_versions_more_and_count() {
    let server = new_server!();
    put_some(&server);
    let first =
        json!({ "key": "L2E=", "create_revision": 3, "mod_revision": 3, "version": 1, "value": "Mw==" });
    assert_eq!(
        run(&server, &["get", "/", "--prefix", "--limit=1", "-w", "json"]).json(),
        json!({ "header": { "revision": 6 }, "kvs": [first], "more": true, "count": 3 })
    );
    let second = json!({ "key": "L2I=", "create_revision": 2, "mod_revision": 5, "version": 2 });
    assert_eq!(
        run(&server, &["get", "/b", "--keys-only", "-w", "json"]).json(),
        json!({ "header": { "revision": 6 }, "kvs": [second], "count": 1 })
    );
    assert_eq!(
        run(&server, &["get", "/none", "-w", "json"]).json(),
        json!({ "header": { "revision": 6 } }),
        "no keys and no count, which is 0"
    );
}

#[test]
fn an_old_revision_is_read_until_it_is_compacted() {
    let server = new_server!();
    put_some(&server);
    assert_eq!(run(&server, &["get", "/", "--prefix", "--rev=3"]).ok(), "/a\n3\n/b\n1\n");
    let old = run(&server, &["get", "/b", "--rev=2", "-w", "json"]).json();
    assert_eq!(old["header"], json!({ "revision": 6 }), "the revision now, not the one that was read");
    run(&server, &["get", "/b", "--rev=99"])
        .fails("OutOfRange", "etcdserver: mvcc: required revision is a future revision");

    assert_eq!(run(&server, &["compaction", "3"]).ok(), "compacted revision 3\n");
    assert_eq!(run(&server, &["get", "/b", "--rev=3"]).ok(), "/b\n1\n", "the compacted revision itself");
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    run(&server, &["get", "/b", "--rev=2"]).fails("OutOfRange", compacted);
    run(&server, &["compaction", "3"]).fails("OutOfRange", compacted);
    run(&server, &["compaction", "99"])
        .fails("OutOfRange", "etcdserver: mvcc: required revision is a future revision");
    assert_eq!(run(&server, &["compaction", "6", "--physical"]).ok(), "compacted revision 6\n");
    assert_eq!(run(&server, &["get", "/", "--prefix"]).ok(), "/a\n3\n/b\n4\n/c\n2\n");
}

#[test]
fn a_delete_prints_how_many_went_and_what_they_were() {
    let server = new_server!();
    put_some(&server);
    assert_eq!(run(&server, &["del", "/none"]).ok(), "0\n");
    assert_eq!(run(&server, &["del", "/b", "--prev-kv"]).ok(), "1\n/b\n4\n");
    let rest = json!([
        { "key": "L2E=", "create_revision": 3, "mod_revision": 3, "version": 1, "value": "Mw==" },
        { "key": "L2M=", "create_revision": 4, "mod_revision": 4, "version": 1, "value": "Mg==" },
    ]);
    assert_eq!(
        run(&server, &["del", "/", "--prefix", "--prev-kv", "-w", "json"]).json(),
        json!({ "header": { "revision": 8 }, "deleted": 2, "prev_kvs": rest }),
        "deleting nothing made no revision"
    );
    assert_eq!(run(&server, &["del", "o", "--from-key"]).ok(), "1\n");
    assert_eq!(run(&server, &["put", "/b", "again"]).ok(), "OK\n");
    let again = run(&server, &["get", "/b", "-w", "json"]).json();
    assert_eq!((&again["kvs"][0]["create_revision"], &again["kvs"][0]["version"]), (&json!(10), &json!(1)));
    run(&server, &["del", ""]).fails("InvalidArgument", "etcdserver: key is not provided");
}
