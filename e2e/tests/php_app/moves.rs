//! The database moves to another port while requests run.

use std::time::Duration;

use waypost_e2e::{DEADLINE, require};
use waypost_servers::wait_until;

use crate::alone;
use crate::arrangement::Arrangement;
use crate::database::Kind;
use crate::load::{Load, Seen};

const WITH: &str = "/db";
const WITHOUT: &str = "/db/without";

#[test]
fn t3_a_crash_of_mariadb_loses_no_request_with_the_bundle_and_hundreds_without() {
    require!("etcd", "mariadbd", "php-fpm8.2");
    crash(Kind::MariaDb);
}

#[test]
fn t3_a_crash_of_postgresql_loses_no_request_with_the_bundle_and_hundreds_without() {
    require!("etcd", "pg_ctlcluster", "php-fpm8.2");
    crash(Kind::Postgres);
}

#[test]
fn t4_a_planned_move_of_mariadb_loses_nothing_and_holds_nobody_up() {
    require!("etcd", "mariadbd", "php-fpm8.2");
    planned(Kind::MariaDb);
}

#[test]
fn t4_a_planned_move_of_postgresql_loses_nothing_and_holds_nobody_up() {
    require!("etcd", "pg_ctlcluster", "php-fpm8.2");
    planned(Kind::Postgres);
}

/// The primary is killed; its announcer notices, its key goes, and then the replica is announced as primary.
/// The clients without the bundle do what the same application did before: a registry that is asked every few
/// seconds, and an attempt to connect that is caught where nothing connects yet.
fn crash(kind: Kind) {
    let _turn = alone();
    let (old, new) = (kind.start(), kind.start());
    let arrangement = Arrangement::start(kind, 12);
    let _old = arrangement.announce("a", &old, kind);
    let with = Load::on(&arrangement.application, WITH, 4);
    let without = Load::on(&arrangement.application, WITHOUT, 8);
    with.wait_for(&old.answer(), 100);
    without.wait_for(&old.answer(), 100);

    old.kill();
    arrangement.wait_until_gone("a");
    let _new = arrangement.announce("b", &new, kind);
    with.wait_for(&new.answer(), 200);
    without.wait_for(&new.answer(), 100);

    let (with, without) = (with.stop(), without.stop());
    println!("{kind:?}, crash, with the bundle: {with}");
    println!("{kind:?}, crash, without it: {without}");
    assert_eq!(with.failures, [""; 0], "{with}");
    assert!(without.failures.len() > 100, "{without}");
}

/// The new primary is announced, the old one is withdrawn, drained of its connections, and stopped.
fn planned(kind: Kind) {
    let _turn = alone();
    let (old, new) = (kind.start(), kind.start());
    let arrangement = Arrangement::start(kind, 4);
    let old_announcer = arrangement.announce("a", &old, kind);
    let load = Load::on(&arrangement.application, WITH, 2);
    load.wait_for(&old.answer(), 200);
    let usual = load.seen().p99();

    let _new = arrangement.announce("b", &new, kind);
    old_announcer.stop();
    arrangement.wait_until_gone("a");
    // Every request of this moment may still have looked up the old one; those after it have not.
    load.wait_for(&new.answer(), 100);
    wait_until("the old primary's last client to go", DEADLINE, || old.connections() == 0);
    old.stop();
    wait_until("the old primary's end", DEADLINE, || !old.is_listening());
    load.wait_for(&new.answer(), 200);

    let seen: Seen = load.stop();
    println!("{kind:?}, planned move: {seen}");
    assert_eq!(seen.failures, [""; 0], "{seen}");
    // A machine that is busy with something else is slow without any move.
    let bound = Duration::from_millis(100).max(usual * 5);
    assert!(seen.p99() < bound, "{bound:?} at most, {usual:?} before the move: {seen}");
}
