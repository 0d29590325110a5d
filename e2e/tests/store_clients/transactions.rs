//! txn, as it is typed.

use serde_json::json;

use crate::etcdctl::{Run, run, run_with_input};
use crate::new_server;
use crate::server::Server;

/// Three paragraphs: what is compared, and what is done if that holds, and if not.
fn transaction(server: &Server, compares: &str, then: &str, otherwise: &str) -> Run {
    let paragraph =
        |lines: &str| lines.lines().chain([""]).map(|line| format!("{line}\n")).collect::<String>();
    run_with_input(server, &["txn"], &[compares, then, otherwise].map(paragraph).concat())
}

#[test]
fn what_is_compared_decides() {
    let server = new_server!();
    run(&server, &["put", "other", "x"]).ok();
    run(&server, &["put", "k", "b"]).ok();
    run(&server, &["put", "k", "b"]).ok();
    let holds = |compare: &str| {
        let printed = transaction(&server, compare, "get k", "get k").ok();
        match printed.lines().next() {
            Some("SUCCESS") => true,
            Some("FAILURE") => false,
            other => panic!("{compare}: {other:?}"),
        }
    };
    // A compare of leases panics in etcdctl 3.4 itself.
    for (target, less, equal, greater) in [
        ("value", "a", "b", "c"),
        ("version", "1", "2", "3"),
        ("create", "2", "3", "4"),
        ("mod", "3", "4", "5"),
    ] {
        let compare = |op: &str, than: &str| holds(&format!("{target}(\"k\") {op} \"{than}\""));
        assert_eq!([less, equal, greater].map(|than| compare(">", than)), [true, false, false], "{target} >");
        assert_eq!([less, equal, greater].map(|than| compare("=", than)), [false, true, false], "{target} =");
        assert_eq!([less, equal, greater].map(|than| compare("<", than)), [false, false, true], "{target} <");
        assert_eq!(
            [less, equal, greater].map(|than| compare("!=", than)),
            [true, false, true],
            "{target} !="
        );
    }
    assert!(holds("create(\"none\") = \"0\""));
    assert!(holds("version(\"none\") < \"1\""));
    assert!(!holds("value(\"none\") = \"\""), "a key that is not there has no value, not even an empty one");
    assert!(!holds("value(\"none\") != \"x\""));
    assert!(!holds("value(\"k\") = \"b\"\nversion(\"k\") = \"1\""), "all of them must hold");
}

#[test]
fn all_of_a_branch_is_done_in_one_revision() {
    let server = new_server!();
    run(&server, &["put", "old", "1"]).ok();
    let printed = transaction(
        &server,
        "mod(\"old\") > \"0\"",
        "put new 2\nget --prefix new\nget old\ndel --prev-kv old\nput \"two words\" \"and more\"",
        "put never 3",
    );
    assert_eq!(printed.ok(), "SUCCESS\n\nOK\n\nnew\n2\n\nold\n1\n\n1\nold\n1\n\nOK\n");
    assert_eq!(run(&server, &["get", "", "--prefix"]).ok(), "new\n2\ntwo words\nand more\n");
    let new = run(&server, &["get", "", "--prefix", "-w", "json"]).json();
    assert_eq!((&new["kvs"][0]["mod_revision"], &new["kvs"][1]["mod_revision"]), (&json!(3), &json!(3)));
    assert_eq!(new["header"]["revision"], json!(3));
}

#[test]
fn the_other_branch_is_done_when_a_compare_fails() {
    let server = new_server!();
    let printed = run_with_input(
        &server,
        &["txn", "--interactive"],
        "version(\"k\") > \"0\"\n\nput no no\n\nput k 1\nget k\nget none\n\n",
    );
    let asked = "compares:\nsuccess requests (get, put, del):\nfailure requests (get, put, del):\n";
    assert_eq!(printed.ok(), format!("{asked}FAILURE\n\nOK\n\nk\n1\n\n"));
    assert_eq!(run(&server, &["get", "no"]).ok(), "");
}

#[test]
fn json_tells_each_answer() {
    let server = new_server!();
    let asked = "\nput k 1\nget k\ndel none\n\n\n";
    let kv = json!({ "key": "aw==", "create_revision": 2, "mod_revision": 2, "version": 1, "value": "MQ==" });
    assert_eq!(
        run_with_input(&server, &["txn", "-w", "json"], asked).json(),
        json!({ "header": { "revision": 2 }, "succeeded": true, "responses": [
            { "Response": { "ResponsePut": { "header": { "revision": 2 } } } },
            { "Response": { "ResponseRange": { "header": { "revision": 2 }, "kvs": [kv], "count": 1 } } },
            { "Response": { "ResponseDeleteRange": { "header": { "revision": 2 } } } },
        ] })
    );
}

#[test]
fn a_transaction_that_etcd_refuses_changes_nothing() {
    let server = new_server!();
    transaction(&server, "", "put k 1\nput k 2", "")
        .fails("InvalidArgument", "etcdserver: duplicate key given in txn request");
    transaction(&server, "", "put k1 1\ndel --prefix k", "")
        .fails("InvalidArgument", "etcdserver: duplicate key given in txn request");
    let many: Vec<String> = (0..129).map(|number| format!("put k{number} v")).collect();
    transaction(&server, "", &many.join("\n"), "")
        .fails("InvalidArgument", "etcdserver: too many operations in txn request");
    transaction(&server, "", "put k 1\nput --lease=123 l 1", "")
        .fails("NotFound", "etcdserver: requested lease not found");
    transaction(&server, "", "put k 1\nget k --rev=99", "")
        .fails("OutOfRange", "etcdserver: mvcc: required revision is a future revision");
    assert_eq!(
        run(&server, &["get", "", "--prefix", "-w", "json"]).json(),
        json!({ "header": { "revision": 1 } })
    );
}
