//! `waypost kv`: keys by hand, on every store.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;

use serde_json::{Value, json};
use waypost_e2e::{Output, Tree, Waypost, command, finish, require, run_to_end};
use waypost_servers::{Etcd, Signal};

/// Runs `waypost kv` on `etcd`.
fn kv(etcd: &Etcd, arguments: &[&str]) -> Output {
    run_to_end(["kv", "--node", &etcd.endpoint()].iter().chain(arguments))
}

#[track_caller]
fn assert_prints(output: &Output, stdout: &str) {
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), stdout), "{}", output.stderr);
}

#[track_caller]
fn assert_fails(output: &Output, stderr: &str) {
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(1), "", stderr));
}

/// The objects that were printed, one a line.
#[track_caller]
fn objects(output: &Output) -> Vec<Value> {
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn keys_are_put_got_listed_and_deleted() {
    require!("etcd");
    let etcd = Etcd::start();
    assert_prints(&kv(&etcd, &["put", "/web/1", "one"]), "");
    assert_prints(&kv(&etcd, &["put", "/web/2", "two words"]), "");
    assert_prints(&kv(&etcd, &["put", "/website", "not below /web"]), "");
    assert_eq!(etcd.get("/web/2").as_deref(), Some("two words"));

    assert_prints(&kv(&etcd, &["get", "/web/2"]), "two words\n");
    assert_prints(&kv(&etcd, &["ls", "/web"]), "/web/1\n/web/2\n");
    assert_prints(&kv(&etcd, &["ls"]), "/web/1\n/web/2\n/website\n");
    assert_prints(&kv(&etcd, &["ls", "--values", "/web"]), "/web/1=one\n/web/2=two words\n");
    assert_prints(&kv(&etcd, &["ls", "/none"]), "");

    assert_prints(&kv(&etcd, &["del", "/web/1"]), "");
    assert_fails(&kv(&etcd, &["get", "/web/1"]), "waypost: there is no key /web/1\n");
    assert_fails(&kv(&etcd, &["del", "/web/1"]), "waypost: there is no key /web/1\n");
    assert_fails(&kv(&etcd, &["del", "/web"]), "waypost: there is no key /web\n");
    assert_prints(&kv(&etcd, &["del", "--recursive", "/web"]), "");
    assert_prints(&kv(&etcd, &["ls"]), "/website\n");
}

#[test]
fn machines_get_an_object_a_line() {
    require!("etcd");
    let etcd = Etcd::start();
    let put = objects(&kv(&etcd, &["put", "/web/1", "one", "--json"]));
    let revision = etcd.revision();
    assert_eq!(put, [json!({ "key": "/web/1", "revision": revision })]);
    let entry = json!({ "key": "/web/1", "value": "one", "revision": revision });
    assert_eq!(objects(&kv(&etcd, &["get", "/web/1", "--json"]))[0], entry);

    etcd.put("/web/2", [0xff, 0x00]);
    let bytes = json!({ "key": "/web/2", "value_base64": "/wA=", "revision": revision + 1 });
    assert_eq!(objects(&kv(&etcd, &["ls", "/web", "--json"])), [entry, bytes]);

    let deleted = objects(&kv(&etcd, &["del", "--recursive", "/web", "--json"]));
    let keys: Vec<&Value> = deleted.iter().map(|object| &object["key"]).collect();
    assert_eq!(keys, ["/web/1", "/web/2"]);
    assert!(deleted.iter().all(|object| object["revision"].as_i64() > Some(revision)), "{deleted:?}");
}

#[test]
fn changes_are_shown_as_they_come_over_a_restart_of_the_registry() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/web/1", "before");
    let node = etcd.endpoint();
    let text = Waypost::with(["kv", "watch", "/web", "--initial", "--node", &node]);
    let json = Waypost::with(["kv", "watch", "/web", "--initial", "--json", "--node", &node]);
    text.wait_logged(&["PUT /web/1 before"]);
    json.wait_logged(&["\"value\":\"before\""]);

    etcd.put("/web/2", "new");
    etcd.put("/elsewhere", "new");
    etcd.delete("/web/1");
    text.wait_logged(&["DEL /web/1"]);
    json.wait_logged(&["\"deleted\":true", "\"key\":\"/web/1\""]);
    assert_eq!(text.log(), "PUT /web/1 before\nPUT /web/2 new\nDEL /web/1\n");

    etcd.kill();
    text.wait_logged(&["waypost: etcd: cannot", "trying again"]);
    etcd.start_again();
    etcd.put("/web/3", "after");
    text.wait_logged(&["PUT /web/3 after"]);
    assert_eq!(text.logged(&["/elsewhere"]), 0, "{}", text.log());
    // Not INT, which is ignored where the tests run in the background of a script.
    text.signal(Signal::TERM);
    text.wait();
}

#[test]
fn a_value_is_read_from_standard_input_byte_for_byte() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    let file = tree.join("value");
    fs::write(&file, "two\nlines\n").unwrap();
    let mut put = command();
    put.args(["kv", "put", "/web/1", "-", "--node", &etcd.endpoint()]).stdin(fs::File::open(&file).unwrap());
    assert_prints(&finish(&mut put), "");
    assert_eq!(etcd.get("/web/1").as_deref(), Some("two\nlines\n"));
}

#[test]
fn the_environment_and_files_are_read_and_not_written() {
    require!();
    let tree = Tree::new();
    let file = tree.join("keys.json");
    fs::write(&file, r#"{"web": {"one": "1", "two": "2"}}"#).unwrap();
    let file = file.display().to_string();
    let stores: [(&str, Vec<&str>); 2] =
        [("env", vec!["--backend", "env"]), ("file", vec!["--backend", "file", "--file", &file])];
    for (store, flags) in stores {
        let kv = |arguments: &[&str]| {
            let mut kv = command();
            kv.arg("kv").args(&flags).args(arguments).env("WEB_ONE", "1").env("WEB_TWO", "2");
            finish(&mut kv)
        };
        assert_prints(&kv(&["get", "/web/one"]), "1\n");
        assert_prints(&kv(&["ls", "--values", "/web"]), "/web/one=1\n/web/two=2\n");
        let first = objects(&kv(&["ls", "/web", "--json"])).remove(0);
        assert_eq!((&first["key"], &first["value"]), (&json!("/web/one"), &json!("1")));
        assert_fails(&kv(&["get", "/web/three"]), "waypost: there is no key /web/three\n");
        let refused = kv(&["put", "/web/three", "3"]);
        assert_eq!(refused.code, Some(1));
        assert!(
            refused.stderr.starts_with(&format!("waypost: {store}: cannot write a key")),
            "{}",
            refused.stderr
        );
    }
}
