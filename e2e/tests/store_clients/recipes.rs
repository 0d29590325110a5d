//! lock, elect and make-mirror: made by etcdctl from leases, transactions, reads and watches.

use std::fs;

use waypost_e2e::DEADLINE;
use waypost_servers::{Scratch, Storage, wait_until};

use crate::etcdctl::{Background, run};
use crate::new_server;

#[test]
fn a_lock_is_held_by_one_while_its_command_runs() {
    let server = new_server!();
    let scratch = Scratch::new("lock", Storage::Memory);
    let gate = scratch.join("gate");
    let wait = format!("echo held; until [ -e {} ]; do sleep 0.1; done; echo done", gate.display());
    let first = Background::start(&server, &["lock", "L", "sh", "--", "-c", &wait]);
    first.prints("held\n");
    let second = Background::start(&server, &["lock", "L", "echo", "second"]);
    wait_until("the second one to queue", DEADLINE, || {
        run(&server, &["get", "L/", "--prefix", "--keys-only"]).ok().matches("L/").count() == 2
    });
    assert_eq!(second.printed(), "");
    fs::write(&gate, "").unwrap();
    assert!(second.ended_well(), "{}", second.printed());
    assert_eq!((first.printed().as_str(), second.printed().as_str()), ("held\ndone\n", "second\n"));
    assert_eq!(run(&server, &["get", "", "--prefix"]).ok(), "", "both locks are gone");

    let failing = run(&server, &["lock", "L", "sh", "--", "-c", "echo $ETCD_LOCK_KEY; exit 3"]);
    assert!(
        failing.stdout.starts_with("L/") && failing.stderr.contains("exit status 3"),
        "{}",
        failing.stderr
    );
}

#[test]
fn an_election_is_won_by_the_next_one_when_the_first_resigns() {
    let server = new_server!();
    let first = Background::start(&server, &["elect", "E", "one"]);
    first.wait_printed("the first leader", |printed| printed.ends_with("\none\n"));
    let second = Background::start(&server, &["elect", "E", "two"]);
    let listener = Background::start(&server, &["elect", "E", "--listen"]);
    listener.wait_printed("the first leader", |printed| printed.ends_with("\none\n"));
    wait_until("the second one to stand", DEADLINE, || {
        run(&server, &["get", "E/", "--prefix"]).ok().contains("\ntwo\n")
    });
    assert_eq!(second.printed(), "");
    first.interrupt();
    let leader = second.wait_printed("the second leader", |printed| printed.ends_with("\ntwo\n"));
    listener.wait_printed("the second leader", |printed| printed.ends_with(&leader));
}

#[test]
fn a_mirror_has_what_is_there_and_what_comes() {
    let (from, to) = (new_server!(), new_server!());
    for number in 0..5 {
        run(&from, &["put", &format!("/m/{number}"), "before"]).ok();
    }
    run(&from, &["put", "other", "x"]).ok();
    let mirror = Background::start(&from, &["make-mirror", "--prefix=/m/", "--dest-prefix=/n/", &to.url()]);
    let there = || run(&to, &["get", "", "--prefix"]).ok();
    let all = |from: u32| (from..5).map(|number| format!("/n/{number}\nbefore\n")).collect::<String>();
    wait_until("the mirror to have what is there", DEADLINE, || there() == all(0));
    // One revision; it reaches the other side as one transaction.
    run(&from, &["del", "/m/0", "/m/3"]).ok();
    run(&from, &["put", "/m/9", "after"]).ok();
    let expected = format!("{}/n/9\nafter\n", all(3));
    wait_until("the mirror to have what came", DEADLINE, || there() == expected);
    drop(mirror);
}
