//! `waypost discover` over the local agent and over a real etcd: every format, a command with variables, and what
//! happens at a change.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;

use waypost_e2e::{DEADLINE, Output, Tree, Waypost, command, finish, require};
use waypost_servers::{Etcd, Signal, wait_until};

const DB: &str = r#"{"address": "127.0.0.1:3306", "role": "primary", "user": "it's $(id)"}"#;

fn discover(words: &[&str]) -> Command {
    let mut command = command();
    command.arg("discover").args(words);
    command
}

/// What it prints on the registry at `etcd`.
fn ask(etcd: &Etcd, words: &[&str]) -> Output {
    finish(discover(&["--node", &etcd.endpoint()]).args(words))
}

fn good(etcd: &Etcd, words: &[&str]) -> String {
    let output = ask(etcd, words);
    assert_eq!(output.code, Some(0), "{words:?}: {}", output.stderr);
    output.stdout
}

#[test]
fn an_answer_comes_in_each_format() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put_all([("/services/shop/db/1", DB), ("/services/web/1", "h:1"), ("/services/web/2", "h:2")]);
    assert_eq!(good(&etcd, &["shop/db"]), "127.0.0.1:3306\n");
    assert_eq!(good(&etcd, &["shop/db", "--format", "url", "--scheme", "mysql"]), "mysql://127.0.0.1:3306\n");
    let json: serde_json::Value =
        serde_json::from_str(&good(&etcd, &["shop/db", "--format", "json"])).unwrap();
    assert_eq!((&json["id"], &json["meta"]["user"]), (&"1".into(), &"it's $(id)".into()));
    assert_eq!(good(&etcd, &["web", "--all"]), "h:1\nh:2\n");
    assert!(["h:1\n", "h:2\n"].contains(&&*good(&etcd, &["web"])));
    etcd.put("/test/web/1", "h:3");
    assert_eq!(good(&etcd, &["web", "--root", "/test"]), "h:3\n");

    // As a script takes it.
    let env = good(&etcd, &["shop/db", "--format", "env"]);
    let script = "eval \"$1\"; printf '%s|%s|%s|%s' \"$SHOP_DB_HOST\" \"$SHOP_DB_PORT\" \"$SHOP_DB_ROLE\" \"$SHOP_DB_USER\"";
    let shell = Command::new("sh").args(["-euc", script, "sh", &env]).output().unwrap();
    assert_eq!(String::from_utf8(shell.stdout).unwrap(), "127.0.0.1|3306|primary|it's $(id)");
}

#[test]
fn it_ends_with_1_and_a_reason_if_there_is_nobody() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", DB);
    let nobody = ask(&etcd, &["cache"]);
    assert_eq!((nobody.code, &*nobody.stdout), (Some(1), ""));
    assert_eq!(nobody.stderr, "waypost: no instance of `cache` is registered\n");
    let replica = ask(&etcd, &["db", "--role", "replica"]);
    assert_eq!(replica.stderr, "waypost: no instance of `db` with the role `replica` is registered\n");
    etcd.kill();
    let away = ask(&etcd, &["db"]);
    assert_eq!(away.code, Some(1));
    assert!(away.stderr.contains("\nwaypost: nothing is known of `db`: "), "{}", away.stderr);
    for words in [&["db", "--format", "yaml"][..], &["db", "--watch", "--format", "env"]] {
        assert_eq!(finish(&mut discover(words)).code, Some(2), "{words:?}");
    }
}

#[test]
fn it_waits_for_an_instance_if_it_is_told_to() {
    require!("etcd");
    let etcd = Etcd::start();
    let waiting = Waypost::with(["discover", "db", "--wait", "1m", "--node", &etcd.endpoint()]);
    etcd.put("/services/db/1", DB);
    assert!(waiting.wait().success(), "{}", waiting.log());
    assert_eq!(waiting.log(), "127.0.0.1:3306\n");
}

#[test]
fn a_command_takes_its_place_with_the_variables_in_its_environment() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", DB);
    let node = etcd.endpoint();
    let run = |words: &[&str]| finish(discover(&["db", "--node", &node, "--"]).args(words));
    let output = run(&["sh", "-c", "echo \"$DB_URL $DB_USER $1\"; exit 7", "sh", "a b"]);
    assert_eq!((output.code, &*output.stdout), (Some(7), "tcp://127.0.0.1:3306 it's $(id) a b\n"));
    assert_eq!(run(&["/no/such/program"]).code, Some(127));
}

#[test]
fn each_change_is_a_line() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", "h:1");
    let watch = Waypost::with(["discover", "db", "--watch", "--all", "--node", &etcd.endpoint()]);
    let lines = |text: &str| watch.wait_until(text, || watch.log() == text);
    lines("h:1\n");
    etcd.put("/services/db/2", "h:2");
    lines("h:1\nh:1 h:2\n");
    etcd.put("/services/web/1", "h:3");
    etcd.delete("/services/db/1");
    lines("h:1\nh:1 h:2\nh:2\n");
    etcd.delete("/services/db/2");
    lines("h:1\nh:1 h:2\nh:2\n\n");
}

#[test]
fn a_command_that_is_kept_is_started_again_at_a_change_and_its_exit_code_is_kept() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/services/db/1", "h:1");
    let seen = tree.join("seen");
    let script = format!(
        "trap 'echo hup >> {0}' HUP; trap 'echo stop >> {0}; exit 3' TERM; echo $DB_ADDRESS >> {0}
         while :; do sleep 0.05; done",
        seen.display()
    );
    let node = etcd.endpoint();
    let kept = Waypost::with(["discover", "db", "--watch", "--node", &node, "--", "sh", "-c", &script]);
    let saw = |text: &str| {
        kept.wait_until(text, || fs::read_to_string(&seen).unwrap_or_default() == text);
    };
    saw("h:1\n");
    etcd.put("/services/db/2", "h:2");
    etcd.put("/services/db/1", "h:9");
    kept.wait_until("the next start", || {
        fs::read_to_string(&seen).unwrap().lines().last().is_some_and(|line| line == "h:2" || line == "h:9")
    });
    etcd.delete_prefix("/services/db");
    fs::write(&seen, "").unwrap();
    kept.signal(Signal::HUP);
    saw("hup\n");
    etcd.put("/services/db/3", "h:3");
    saw("hup\nstop\nh:3\n");
    kept.signal(Signal::TERM);
    assert_eq!(kept.wait().code(), Some(3), "{}", kept.log());
    saw("hup\nstop\nh:3\nstop\n");
}

#[test]
fn the_agent_answers_while_the_registry_is_dead_and_says_how_old_it_is() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/services/db/1", DB);
    fs::write(tree.join("waypost.toml"), "[api]\nsocket = \"api.sock\"\n").unwrap();
    let agent = Waypost::agent(&tree, ["--node", &etcd.endpoint(), "--retry-max", "1s"]);
    let socket = tree.join("api.sock");
    agent.wait_until("the socket", || UnixStream::connect(&socket).is_ok());
    let ask = |words: &[&str]| finish(discover(&["db", "--socket"]).arg(&socket).args(words));
    let first = ask(&["--wait", "1m"]);
    assert_eq!(first.stdout, "127.0.0.1:3306\n", "{}", first.stderr);

    etcd.kill();
    wait_until("an old answer", DEADLINE, || ask(&[]).stderr.contains("the registry does not answer"));
    let old = ask(&[]);
    assert_eq!((old.code, &*old.stdout), (Some(0), "127.0.0.1:3306\n"));
    assert!(old.stderr.contains("age="), "{}", old.stderr);

    assert!(agent.stop().success());
    let gone = ask(&[]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("\nwaypost: nothing is known of `db`: "), "{}", gone.stderr);
}
