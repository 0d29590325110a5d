//! The local API of `waypost run` over a real etcd: what applications are told while the registry changes, dies and
//! comes back, and who may ask.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;

use serde_json::{Value as Json, json};
use waypost_e2e::{DEADLINE, Resource, Tree, Waypost, command, finish, require};
use waypost_servers::{Etcd, Ports, Signal, get, wait_until};

/// An agent that serves the API of `etcd`, with more lines in its `[api]` table.
struct Host {
    tree: Tree,
    agent: Waypost,
}

impl Host {
    fn start(etcd: &Etcd, lines: &str) -> Host {
        let tree = Tree::new();
        fs::write(tree.join("waypost.toml"), format!("[api]\nsocket = \"run/api.sock\"\n{lines}")).unwrap();
        let agent = Waypost::agent(&tree, ["--node", &etcd.endpoint(), "--retry-max", "1s"]);
        let host = Host { tree, agent };
        host.wait_until_served();
        host
    }

    /// One that has read the registry.
    fn ready(etcd: &Etcd, lines: &str) -> Host {
        let host = Host::start(etcd, lines);
        host.wait_for("/v1/health", |health| health["status"] == "ok");
        host
    }

    fn wait_until_served(&self) {
        self.agent.wait_until("the socket", || UnixStream::connect(self.socket()).is_ok());
    }

    fn socket(&self) -> PathBuf {
        self.tree.join("run/api.sock")
    }

    fn open(&self, path: &str) -> BufReader<UnixStream> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// The status and the body of an answer.
    fn get(&self, path: &str) -> (u16, Json) {
        let mut text = String::new();
        self.open(path).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn good(&self, path: &str) -> Json {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn wait_for(&self, path: &str, is_so: impl Fn(&Json) -> bool) -> Json {
        self.agent.wait_until(path, || is_so(&self.get(path).1));
        self.get(path).1
    }

    fn events(&self, path: &str) -> Events {
        let mut reader = self.open(path);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        Events { reader }
    }
}

/// An event stream; its chunks are one event or comment each.
struct Events {
    reader: BufReader<UnixStream>,
}

impl Events {
    /// The next event; none at the end.
    fn next(&mut self) -> Option<(String, Json)> {
        let mut name = None;
        for line in (&mut self.reader).lines() {
            let line = line.unwrap();
            if let Some(event) = line.strip_prefix("event: ") {
                name = Some(event.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name?, serde_json::from_str(data).unwrap()));
            }
        }
        None
    }

    fn expect(&mut self, wanted: &str) -> Json {
        let (name, data) = self.next().expect("the stream goes on");
        assert_eq!(name, wanted, "{data}");
        data
    }
}

fn ids(service: &Json) -> Vec<&str> {
    service["instances"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[test]
fn a_long_poll_and_a_stream_see_a_change() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", "127.0.0.1:3306");
    let host = Host::ready(&etcd, "keys = \"/app\"\n");
    let version = host.good("/v1/services/db")["version"].as_str().unwrap().to_owned();
    let mut events = host.events("/v1/events?service=db");
    assert_eq!(ids(&events.expect("service")), ["1"]);

    let path = format!("/v1/services/db?wait=1m&version={version}");
    let polled = thread::scope(|scope| {
        let poll = scope.spawn(|| host.good(&path));
        etcd.put("/services/db/2", r#"{"address": "127.0.0.1:3307", "role": "replica"}"#);
        poll.join().unwrap()
    });
    assert_eq!(ids(&polled), ["1", "2"]);
    assert_eq!(events.expect("service")["version"], polled["version"]);

    etcd.put("/app/db/host", "127.0.0.1");
    let key = host.wait_for("/v1/keys/app/db/host", |key| key["value"] == "127.0.0.1");
    assert_eq!(key["revision"].as_i64(), Some(etcd.revision()));
    assert_eq!(host.get("/v1/keys/other").0, 403);
}

#[test]
fn while_the_registry_is_dead_the_instances_stay_and_their_age_grows() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", "127.0.0.1:3306");
    let host = Host::ready(&etcd, "");
    let mut events = host.events("/v1/events");
    events.expect("service");

    etcd.kill();
    assert_eq!(events.expect("registry")["reachable"], false);
    let first = host.good("/v1/services/db");
    assert_eq!((ids(&first), &first["reachable"]), (vec!["1"], &json!(false)));
    let grows = |health: &Json| health["age_seconds"].as_f64() > first["age_seconds"].as_f64();
    assert_eq!(host.wait_for("/v1/health", grows)["status"], "stale");

    etcd.start_again();
    assert_eq!(events.expect("registry"), json!({ "reachable": true, "age_seconds": 0.0 }));
    etcd.put("/services/db/2", "127.0.0.1:3307");
    assert_eq!(ids(&events.expect("service")), ["1", "2"]);
}

#[test]
fn a_registry_that_is_dead_at_the_start_is_waited_for() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", "127.0.0.1:3306");
    etcd.kill();
    let host = Host::start(&etcd, "");
    let (status, error) = host.get("/v1/services/db");
    assert_eq!((status, error["error"].is_string()), (503, true), "{error}");
    assert_eq!(host.good("/v1/health")["status"], "starting");
    let found = thread::scope(|scope| {
        let poll = scope.spawn(|| host.good("/v1/services/db?wait=1m"));
        etcd.start_again();
        poll.join().unwrap()
    });
    assert_eq!(ids(&found), ["1"]);
}

#[test]
fn the_socket_has_its_group_and_mode_replaces_a_dead_one_and_goes_at_the_end() {
    require!("etcd");
    let etcd = Etcd::start();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    // Only root gives files away.
    let (lines, gid) = if is_root { ("group = \"daemon\"\n", Some(1)) } else { ("", None) };
    let mut host = Host::start(&etcd, lines);
    let metadata = fs::metadata(host.socket()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
    assert!(gid.is_none_or(|gid| gid == metadata.gid()));

    let second = Tree::new();
    let table = format!("[api]\nsocket = \"{}\"\n", host.socket().display());
    fs::write(second.join("waypost.toml"), table).unwrap();
    let refused = finish(command().arg("run").args(second.arguments()).args(["--node", &etcd.endpoint()]));
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("another process does"), "{}", refused.stderr);

    host.agent.kill();
    assert!(host.socket().exists());
    host.agent.start_again();
    host.wait_until_served();
    assert!(host.agent.stop().success(), "{}", host.agent.log());
    assert!(!host.socket().exists());
}

#[test]
fn over_tcp_it_answers_on_loopback_and_refuses_anything_else() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", "127.0.0.1:3306");
    let port = Ports::free();
    let host = Host::ready(&etcd, &format!("listen = \"127.0.0.1:{port}\"\n"));
    let answer = get(&format!("http://127.0.0.1:{port}/v1/services/db")).unwrap();
    assert_eq!(ids(&serde_json::from_slice(&answer.body).unwrap()), ["1"]);
    drop(host);

    let tree = Tree::new();
    fs::write(tree.join("waypost.toml"), "[api]\nlisten = \"0.0.0.0:7979\"\n").unwrap();
    let refused = finish(command().arg("run").args(tree.arguments()));
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("waypost.toml:2:10: `listen`: "), "{}", refused.stderr);
}

#[test]
fn secrets_are_not_served_and_appear_nowhere() {
    require!("etcd");
    let (main, own) = (Etcd::start(), Etcd::start());
    main.put_all([("/services/db/1", "hunter2-is-no-instance"), ("/app/key", "hunter2-main")]);
    own.put("/app/own", "hunter2-own");
    let host = Host::ready(&main, "keys = \"/app\"\n");
    let backend = format!("[backend]\nbackend = \"etcd\"\nnodes = [\"{}\"]\nsecret = true", own.endpoint());
    Resource::new("own").keys("/app").template("{{getv \"/app/own\"}}").line(&backend).write_to(&host.tree);
    host.agent.signal(Signal::HUP);
    host.agent.wait_for_text(&host.tree, "own", "hunter2-own");

    assert_eq!(host.get("/v1/keys/app/own").0, 404, "it is in the resource's own store only");
    assert_eq!(host.good("/v1/keys/app?recursive=true")["keys"].as_array().unwrap().len(), 1);
    assert_eq!(host.good("/v1/services/db")["refused"], json!(["/services/db/1"]));

    let secret = Host::ready(&main, "keys = \"/app\"\nsecret = true\n");
    for path in ["/v1/services", "/v1/services/db", "/v1/keys/app/key", "/v1/events"] {
        let (status, answer) = secret.get(path);
        assert_eq!(status, 403, "{path}");
        assert!(answer["error"].as_str().unwrap().contains("marked as secret"), "{answer}");
    }
    for host in [&host, &secret] {
        assert!(!host.agent.log().contains("hunter2"), "{}", host.agent.log());
    }
}

#[test]
fn a_hup_leaves_open_streams_alone_and_tells_of_another_table() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", "127.0.0.1:3306");
    let host = Host::ready(&etcd, "");
    let mut events = host.events("/v1/events");
    events.expect("service");
    let table = fs::read_to_string(host.tree.join("waypost.toml")).unwrap();
    host.agent.signal(Signal::HUP);
    host.agent.wait_logged(&["the configuration is read again"]);
    assert_eq!(host.agent.logged(&["[api] of waypost.toml has changed"]), 0, "{}", host.agent.log());

    fs::write(host.tree.join("waypost.toml"), "[api]\nsockt = 1\n").unwrap();
    host.agent.signal(Signal::HUP);
    host.agent.wait_logged(&["the old one stays in force", "unknown key `sockt`; is `socket` meant?"]);

    fs::write(host.tree.join("waypost.toml"), table + "keys = \"/app\"\n").unwrap();
    let check = finish(command().arg("check").args(&host.tree.arguments()[..2]));
    assert_eq!(check.code, Some(0), "a table is enough: {}{}", check.stdout, check.stderr);
    host.agent.signal(Signal::HUP);
    host.agent.wait_logged(&["[api] of waypost.toml has changed", "restart"]);
    assert_eq!(host.get("/v1/keys/app/key").0, 403, "until then the old one is in force");
    etcd.put("/services/db/2", "127.0.0.1:3307");
    assert_eq!(ids(&events.expect("service")), ["1", "2"]);
}

#[test]
fn open_streams_and_polls_do_not_hold_up_the_end() {
    require!("etcd");
    let etcd = Etcd::start();
    let host = Host::ready(&etcd, "");
    let version = host.good("/v1/services/db")["version"].as_str().unwrap().to_owned();
    // It came first, so that it is waiting once the stream has begun.
    let mut poll = host.open(&format!("/v1/services/db?wait=5m&version={version}"));
    let mut events = host.events("/v1/events?service=db");
    events.expect("service");
    host.agent.signal(Signal::TERM);
    assert_eq!(events.next(), None);
    let mut told = String::new();
    poll.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    wait_until("the agent to end", DEADLINE, || !host.agent.is_running());
    assert!(host.agent.wait().success(), "{}", host.agent.log());
}

#[test]
fn a_registry_that_was_emptied_keeps_its_services_until_they_are_there_again() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put_all([("/services/db/1", "127.0.0.1:3306"), ("/services/web/1", "127.0.0.1:80")]);
    let host = Host::ready(&etcd, "");
    etcd.wipe();
    etcd.put("/services/web/2", "127.0.0.1:81");
    let web = host.wait_for("/v1/services/web", |web| ids(web).contains(&"2"));
    assert_eq!((ids(&web), &web["reachable"]), (vec!["1", "2"], &json!(false)), "1 is given time");
    assert_eq!(ids(&host.good("/v1/services/db")), ["1"]);
    etcd.put_all([("/services/db/1", "127.0.0.1:3306"), ("/services/web/1", "127.0.0.1:80")]);
    host.wait_for("/v1/health", |health| health["status"] == "ok");
}
