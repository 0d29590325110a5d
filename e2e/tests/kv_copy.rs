//! `waypost kv copy`: keys from one etcd to another.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use waypost_e2e::{DEADLINE, Output, Tree, Waypost, command, finish, require, run_to_end};
use waypost_servers::{Etcd, EtcdCluster, Permission, Ports, Proxy, wait_until};

const MIB: usize = 1024 * 1024;

/// Runs `waypost kv copy` between two addresses.
fn copy(from: &str, to: &str, arguments: &[&str]) -> Output {
    run_to_end(["kv", "copy", "--from", from, "--to", to].iter().chain(arguments))
}

fn copy_all(from: &Etcd, to: &Etcd) -> Output {
    copy(&from.url(), &to.url(), &[])
}

#[track_caller]
fn assert_ends(output: &Output, code: i32, last: &[&str]) {
    let shown = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, Some(code), "{shown}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(lines.ends_with(last), "the last lines are to be {last:?}:\n{shown}");
}

/// The objects that `--json` printed, the summary last.
#[track_caller]
fn objects(output: &Output) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A text per key, in order.
fn entries(path: &str, keys: usize) -> BTreeMap<String, String> {
    (0..keys).map(|number| (format!("{path}/{number:05}"), format!("value of {number}"))).collect()
}

fn leased(etcd: &Etcd, key: &str, value: &str) {
    let lease = etcd.gateway("lease/grant", &json!({ "TTL": 600 }))["ID"].clone();
    let (key, value) = (base64(key), base64(value));
    etcd.gateway("kv/put", &json!({ "key": key, "value": value, "lease": lease }));
}

/// Base64 of a text, for etcd's gateway: keys and values here are small.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let bits = bytes.iter().chain(&[0, 0]).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |place: usize| char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
        (0..4).map(|place| if place <= bytes.len() { digit(place) } else { '=' }).collect::<String>()
    };
    text.as_bytes().chunks(3).map(group).collect()
}

#[test]
fn a_fresh_target_gets_all_keys_and_a_second_copy_writes_nothing() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    let all = entries("/config", 300);
    from.put_all(&all);

    let first = copy_all(&from, &to);
    assert_ends(&first, 0, &["copied 300 keys", "verified 300 keys"]);
    let read = format!("read 300 keys from {} at revision {}", from.url(), from.revision());
    assert!(first.stdout.starts_with(&read), "{}", first.stdout);
    assert_eq!(first.stderr, "", "no progress bar where nobody looks");
    assert_eq!(to.get_prefix(""), all);

    let (before, source) = (to.revision(), from.revision());
    assert_ends(&copy_all(&from, &to), 0, &["copied 0 keys, 300 equal", "verified 300 keys"]);
    let overwriting = copy(&from.url(), &to.url(), &["--overwrite"]);
    assert_ends(&overwriting, 0, &["copied 0 keys, 300 equal", "verified 300 keys"]);
    assert_eq!((to.revision(), from.revision()), (before, source), "nothing was written on either side");
}

#[test]
fn keys_that_differ_are_named_and_left_unless_they_are_to_be_overwritten() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    from.put_all([("/a", "1"), ("/b", "secret one"), ("/c", "3")]);
    to.put_all([("/b", "secret two"), ("/c", "3"), ("/only/here", "x")]);
    leased(&to, "/held", "announced");
    from.put("/held", "by hand");

    let shown = copy(&from.url(), &to.url(), &["--dry-run"]);
    let would = "would copy 1 key, 1 equal, 2 differing and left, 1 only at the target";
    assert_ends(&shown, 1, &[would]);
    assert_eq!(to.get("/a"), None, "a dry run writes nothing");

    let left = copy_all(&from, &to);
    let summary = "copied 1 key, 1 equal, 2 differing and left, 1 only at the target";
    assert_ends(&left, 1, &["  /b", "  /held", summary, "verified 2 keys"]);
    assert_eq!(left.stderr, "waypost: 2 keys not as at the source\n");
    assert!(!left.stdout.contains("secret"), "{}", left.stdout);
    assert_eq!((to.get("/a"), to.get("/b")), (Some("1".into()), Some("secret two".into())));

    let overwritten = copy(&from.url(), &to.url(), &["--overwrite"]);
    let summary = "copied 0 keys, overwrote 1, 2 equal, 1 differing and left, 1 only at the target";
    assert_ends(&overwritten, 1, &["  /held", summary, "verified 3 keys"]);
    assert_eq!(to.get("/b").as_deref(), Some("secret one"));
    assert_eq!(to.get("/held").as_deref(), Some("announced"), "it is its announcer's");
    assert_eq!(to.get("/only/here").as_deref(), Some("x"));
}

#[test]
fn leased_keys_are_named_and_left_to_their_announcers() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    from.put("/config", "1");
    (0..25).for_each(|number| leased(&from, &format!("/web/{number:02}"), "10.0.0.1:80"));

    let bounded = copy_all(&from, &to);
    assert_ends(&bounded, 0, &["copied 1 key, 25 left to announcers", "verified 1 key"]);
    let head = "25 keys, under a lease, left to their announcers:\n  /web/00\n";
    assert!(bounded.stdout.contains(head), "{}", bounded.stdout);
    assert!(bounded.stdout.contains("  /web/19\n  and 5 more; --verbose"), "{}", bounded.stdout);
    let all = copy(&from.url(), &to.url(), &["--verbose"]);
    assert!(all.stdout.contains("  /web/19\n  /web/20\n") && !all.stdout.contains("more"), "{}", all.stdout);
    assert_eq!(to.get_prefix("").len(), 1);
}

#[test]
fn scripts_get_each_key_that_is_left_and_the_numbers_last() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    from.put_all([("/a", "1"), ("/b", "2")]);
    to.put("/b", "another");
    leased(&from, "/web", "10.0.0.1:80");

    let output = copy(&from.url(), &to.url(), &["--json"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let mut objects = objects(&output);
    let summary = json!({
        "copied": 1, "overwritten": 0, "equal": 0, "leased": 1, "differing": 1, "changed": 0, "failed": 0,
        "only_at_target": 0, "dry_run": false, "verified": 1,
    });
    assert_eq!(objects.pop(), Some(summary));
    assert_eq!(objects.pop(), Some(json!({ "key": "/b", "left": "differing" })));
    assert_eq!(objects.pop(), Some(json!({ "key": "/web", "left": "leased" })));
    let sides: Vec<&Value> = objects.iter().map(|object| &object["read"]).collect();
    assert_eq!(sides, ["source", "target"]);
    assert_eq!((&objects[0]["keys"], &objects[0]["revision"]), (&json!(3), &json!(from.revision())));
}

#[test]
fn five_thousand_keys_a_large_value_and_keys_of_any_bytes_arrive() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    let mut all = entries("/many", 5_000);
    all.insert("/large".into(), "x".repeat(MIB));
    all.insert("/larger".into(), "y".repeat(MIB + MIB / 4));
    from.put_all(all.iter().filter(|(key, _)| key.starts_with("/many")));
    all.iter().filter(|(key, _)| key.starts_with("/large")).for_each(|(key, value)| {
        from.put(key, value);
    });
    // The bytes ff 00 41, and 00 alone, which is the first key that there can be.
    let binary = [json!({ "key": "/wBB", "value": "/v8A" }), json!({ "key": "AA==", "value": "AA==" })];
    binary.iter().for_each(|put| drop(from.gateway("kv/put", put)));

    assert_ends(&copy_all(&from, &to), 0, &["copied 5004 keys", "verified 5004 keys"]);
    for put in &binary {
        let found = to.gateway("kv/range", &json!({ "key": put["key"] }));
        assert_eq!(found["kvs"][0]["value"], put["value"], "{found}");
        to.gateway("kv/deleterange", &json!({ "key": put["key"] }));
    }
    assert!(to.get_prefix("") == all, "every key has its value");
    let transactions = to.revision();
    assert!(transactions < 60, "{transactions} revisions: keys go over in batches");
}

#[test]
fn the_embedded_store_is_filled_from_etcd_and_outgrown_into_it() {
    require!("etcd");
    let (from, to, tree) = (Etcd::start(), Etcd::start(), Tree::new());
    let mut all = entries("/many", 2_000);
    all.insert("/large".into(), "x".repeat(MIB));
    from.put_all(all.iter().filter(|(key, _)| key.starts_with("/many")));
    from.put("/large", &all["/large"]);
    let binary = json!({ "key": "/wBB", "value": "/v8A" });
    from.gateway("kv/put", &binary);
    let listen = format!("127.0.0.1:{}", Ports::free());
    let data = tree.join("store").display().to_string();
    let store = Waypost::with(["store", "--data-dir", &data, "--listen", &listen]);
    store.wait_logged(&["serving the store"]);

    let filled = copy(&from.url(), &listen, &[]);
    assert_ends(&filled, 0, &["copied 2002 keys", "verified 2002 keys"]);
    assert_ends(&copy(&from.url(), &listen, &[]), 0, &["copied 0 keys, 2002 equal", "verified 2002 keys"]);
    let itself = copy(&listen, &listen, &[]);
    assert_eq!(itself.code, Some(2), "{}{}", itself.stdout, itself.stderr);

    let announcer = Waypost::announcer("1", 1, &listen, &["--check", "none"]);
    announcer.wait_logged(&["registered"]);
    let outgrown = copy(&listen, &to.url(), &[]);
    assert_ends(&outgrown, 0, &["copied 2002 keys, 1 left to announcers", "verified 2002 keys"]);
    assert!(outgrown.stdout.contains("announcers:\n  /web/1\n"), "{}", outgrown.stdout);
    let found = to.gateway("kv/range", &json!({ "key": binary["key"] }));
    assert_eq!(found["kvs"][0]["value"], binary["value"], "{found}");
    to.gateway("kv/deleterange", &json!({ "key": binary["key"] }));
    assert!(to.get_prefix("") == all, "every key has its value");
    announcer.stop();
    assert!(store.stop().success(), "{}", store.log());
}

#[test]
fn only_the_paths_that_are_named_are_copied() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    from.put_all([
        ("/app", "itself"),
        ("/app/db", "below"),
        ("/apple", "no"),
        ("/web/x", "too"),
        ("/z", "no"),
    ]);
    to.put("/elsewhere", "not counted");

    let output = copy(&from.url(), &to.url(), &["/app", "/web/", "/app/db"]);
    assert_ends(&output, 0, &["copied 3 keys", "verified 3 keys"]);
    let keys: Vec<String> = to.get_prefix("").into_keys().collect();
    assert_eq!(keys, ["/app", "/app/db", "/elsewhere", "/web/x"]);
}

#[test]
fn a_store_is_not_copied_onto_itself() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/a", "1");
    let proxy = Proxy::to(&etcd.endpoint());
    for other in [etcd.url(), etcd.endpoint(), proxy.url()] {
        let output = copy(&etcd.url(), &other, &[]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{other}: {}", output.stderr);
        assert!(output.stderr.contains("are the same store (cluster "), "{}", output.stderr);
    }
    let half = run_to_end(["kv", "copy", "--from", &etcd.url()]);
    assert_eq!(half.code, Some(2), "{}", half.stderr);
}

#[test]
fn a_side_that_does_not_answer_is_named() {
    require!("etcd");
    let etcd = Etcd::start();
    let dead = format!("http://127.0.0.1:{}", Ports::free());
    for output in [copy(&etcd.url(), &dead, &[]), copy(&dead, &etcd.url(), &[])] {
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{}", output.stderr);
        assert!(output.stderr.contains(&dead), "{}", output.stderr);
        assert!(output.stderr.contains("Connection refused"), "{}", output.stderr);
    }
}

#[test]
fn any_member_of_a_cluster_takes_the_keys() {
    require!("etcd");
    let (from, cluster) = (Etcd::start(), EtcdCluster::start());
    from.put_all(entries("/config", 200));
    cluster.kill(cluster.follower());
    let output = copy(&from.url(), &cluster.urls().join(","), &[]);
    assert_ends(&output, 0, &["copied 200 keys", "verified 200 keys"]);
    assert_eq!(cluster.get("/config/00199").as_deref(), Some("value of 199"));
}

#[test]
fn users_and_certificates_are_those_of_the_side() {
    require!("etcd");
    let from = Etcd::options().user("reader", "correct horse", &[("/app/", Permission::Read)]).start();
    let to = Etcd::options().tls().start();
    from.put_all([("/app/a", "1"), ("/other", "not readable")]);
    let files = to.certificates().unwrap();
    let tree = Tree::new();
    let password = tree.join("password");
    fs::write(&password, "correct horse\n").unwrap();

    let with = |flags: &[&str], variable: Option<&str>| {
        let mut waypost = command();
        waypost.args(["kv", "copy", "/app", "--from", &from.url(), "--to", &to.url()]).args(flags);
        waypost.args(["--from-username", "reader"]);
        waypost.arg("--to-client-ca-keys").arg(&files.ca).arg("--to-client-cert").arg(&files.client);
        waypost.arg("--to-client-key").arg(&files.client_key);
        variable.map(|password| waypost.env("WAYPOST_FROM_PASSWORD", password));
        finish(&mut waypost)
    };
    let file = password.display().to_string();
    assert_ends(&with(&["--from-password-file", &file], None), 0, &["copied 1 key", "verified 1 key"]);
    let again = with(&[], Some("correct horse"));
    assert_ends(&again, 0, &["copied 0 keys, 1 equal", "verified 1 key"]);
    assert_eq!(to.get("/app/a").as_deref(), Some("1"));

    let wrong = with(&[], Some("battery"));
    assert!(wrong.code == Some(1) && wrong.stderr.contains("authentication failed"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("battery"), "{}", wrong.stderr);
    let none = with(&[], None).stderr;
    assert!(none.contains("--from-password-file") && none.contains("WAYPOST_FROM_PASSWORD"), "{none}");
    let everything = copy(&to.url(), &from.url(), &["--to-username", "reader", "--to-password-file", &file]);
    assert_eq!(everything.code, Some(1), "without its certificate: {}", everything.stdout);
}

#[test]
fn what_the_target_does_not_take_is_named_and_the_rest_copied() {
    require!("etcd");
    let from = Etcd::start();
    let to = Etcd::options().arg("--max-request-bytes=20000").arg("--max-txn-ops=10").start();
    from.put_all(entries("/config", 300));
    from.put("/larger", "x".repeat(30_000));
    // More than gRPC lets in, which is half a MiB more than etcd.
    from.put("/largest", "x".repeat(MIB));

    let output = copy_all(&from, &to);
    assert_ends(&output, 1, &["copied 300 keys, 2 not copied", "verified 300 keys"]);
    for why in
        ["/larger: invalid: etcdserver: request is too large", "/largest: invalid: grpc: received message"]
    {
        assert!(
            output.stdout.contains(&format!("not copied: etcd: cannot write {why}")),
            "{}",
            output.stdout
        );
    }
    assert_eq!(to.get_prefix("").len(), 300);
}

/// A key is changed at the target after it was read there, and before it is written: the target's proxy holds
/// the copy while the source is made silent, and the source holds it after the target was read.
#[test]
fn a_key_that_somebody_else_writes_meanwhile_is_not_overwritten() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    from.put_all([("/a", "copied"), ("/b", "copied"), ("/c", "copied"), ("/d", "copied")]);
    to.put_all([("/c", "old"), ("/d", "old")]);
    let (source, target) = (Proxy::to(&from.endpoint()), Proxy::to(&to.endpoint()));
    let ranges = |etcd: &Etcd| etcd.metric("grpc_server_handled_total", "grpc_method=\"Range\"");
    let (source_before, target_before) = (ranges(&from), ranges(&to));

    target.black_hole();
    let waypost =
        Waypost::with(["kv", "copy", "--overwrite", "--from", &source.url(), "--to", &target.url()]);
    waypost.wait_until("a first question to the source", || ranges(&from) > source_before);
    source.black_hole();
    target.resume();
    // Whether it is there, and what it has.
    waypost.wait_until("the target being read", || ranges(&to) >= target_before + 2.0);
    to.put("/b", "theirs");
    to.put("/d", "theirs");
    source.resume();

    let status = waypost.wait();
    assert_eq!(status.code(), Some(1), "{}", waypost.log());
    let values = ["/a", "/b", "/c", "/d"].map(|key| to.get(key).unwrap_or_default());
    assert_eq!(values, ["copied", "theirs", "copied", "theirs"], "{}", waypost.log());
    let told = "2 keys, changed at the target meanwhile and left:\n  /b\n  /d\n\
                copied 1 key, overwrote 1, 2 changed meanwhile and left\nverified 2 keys\n";
    assert!(waypost.log().contains(told), "{}", waypost.log());
}

#[test]
fn a_copy_that_is_killed_half_way_is_completed_by_the_next() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    let large = "x".repeat(MIB - 1_000);
    let all: BTreeMap<String, &str> =
        (0..20).map(|number| (format!("/large/{number:02}"), &*large)).collect();
    for (key, value) in &all {
        from.put(key, value);
    }

    let gate = Gate::to(&to, 5 * MIB + MIB / 2);
    let waypost = Waypost::with(["kv", "copy", "--from", &from.url(), "--to", &gate.url()]);
    waypost.wait_until("the gate to be shut", || gate.is_shut());
    let keys = || to.gateway("kv/range", &json!({ "key": "AA==", "range_end": "AA==", "count_only": true }));
    waypost.wait_until("the five keys before it", || keys()["count"] == "5");
    waypost.kill();

    assert_ends(&copy_all(&from, &to), 0, &["copied 15 keys, 5 equal", "verified 20 keys"]);
    assert!(to.get_prefix("").iter().map(|(key, value)| (key.clone(), &**value)).eq(all), "all are whole");
}

#[test]
fn a_target_that_goes_and_comes_back_is_waited_for() {
    require!("etcd");
    let (from, to) = (Etcd::start(), Etcd::start());
    let large = "x".repeat(MIB - 1_000);
    for number in 0..20 {
        from.put(&format!("/large/{number:02}"), &large);
    }
    let gate = Gate::to(&to, 5 * MIB + MIB / 2);
    // Behind the gate that shuts is the etcd itself.
    let nodes = format!("{},{}", gate.url(), to.url());
    let waypost = Waypost::with(["kv", "copy", "--from", &from.url(), "--to", &nodes]);
    waypost.wait_until("the gate to be shut", || gate.is_shut());
    gate.close();
    assert_eq!(waypost.wait().code(), Some(0), "{}", waypost.log());
    waypost.wait_logged(&["trying again"]);
    waypost.wait_logged(&["copied 20 keys"]);
    waypost.wait_logged(&["verified 20 keys"]);
}

/// In front of an etcd: lets so many bytes through to it, and nothing after them.
struct Gate {
    port: u16,
    is_shut: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
}

impl Gate {
    fn to(etcd: &Etcd, bytes: usize) -> Gate {
        let listener = TcpListener::bind(("127.0.0.1", Ports::free())).unwrap();
        let gate = Gate {
            port: listener.local_addr().unwrap().port(),
            is_shut: Arc::default(),
            is_closed: Arc::default(),
        };
        let (etcd, is_shut, is_closed) = (etcd.endpoint(), gate.is_shut.clone(), gate.is_closed.clone());
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            drop(listener);
            let server = TcpStream::connect(etcd).unwrap();
            let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut answers, &mut to_client));
            let mut let_through = (&client).take(bytes as u64);
            let _ = io::copy(&mut let_through, &mut &server);
            let _ = (&server).flush();
            is_shut.store(true, Ordering::Relaxed);
            wait_until("the gate to be closed", DEADLINE, || is_closed.load(Ordering::Relaxed));
            let _ = client.shutdown(std::net::Shutdown::Both);
            let _ = server.shutdown(std::net::Shutdown::Both);
        });
        gate
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Relaxed)
    }

    /// Ends its connection; new ones are refused since its first.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}
