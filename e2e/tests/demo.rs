//! `waypost demo`: it ends with nothing lost, and with nothing of it left behind.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use waypost_e2e::{DEADLINE, Output, Tree, Waypost, command, finish, require};
use waypost_servers::{Etcd, Signal, wait_until};

/// `waypost demo`, with its files below `place`.
fn demo(place: &Path, arguments: &[&str]) -> Command {
    let mut demo = command();
    demo.arg("demo").args(arguments).env("TMPDIR", place);
    demo
}

/// The processes that were started with files below `place`.
fn processes_of(place: &Path) -> Vec<String> {
    let mark = format!("TMPDIR={}", place.display());
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let is_ours = |path: &PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        let is_dead = fs::read_to_string(path.join("stat")).is_ok_and(|stat| stat.contains(") Z "));
        !is_dead && environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let line = |path: PathBuf| {
        String::from_utf8_lossy(&fs::read(path.join("cmdline")).unwrap_or_default()).replace('\0', " ")
    };
    processes.filter(is_ours).map(line).collect()
}

#[track_caller]
fn assert_nothing_is_left(place: &Path) {
    // An nginx worker may take a moment longer than its master.
    wait_until(format!("no process to be left: {:?}", processes_of(place)), DEADLINE, || {
        processes_of(place).is_empty()
    });
    let files: Vec<_> = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.is_empty(), "{files:?}");
}

/// A service's name and its number of answered requests: the first and the third column.
fn row(line: &str) -> Option<(&str, u64)> {
    let mut columns = line.split_whitespace();
    Some((columns.next()?, columns.nth(1)?.parse().ok()?))
}

/// The answered requests of each service, from the summary's table.
fn answered(stdout: &str) -> Vec<(&str, u64)> {
    let table = stdout.lines().skip_while(|line| !line.trim_start().starts_with("service "));
    table.skip(1).map_while(row).collect()
}

#[test]
fn the_script_ends_with_nothing_lost_and_nothing_left() {
    require!("nginx");
    script(&["--for", "20s", "--script"]);
}

#[test]
fn the_script_ends_so_on_a_real_etcd_too() {
    require!("etcd", "nginx");
    script(&["--for", "20s", "--script", "--etcd"]);
}

#[track_caller]
fn script(arguments: &[&str]) {
    let tree = Tree::new();
    let place = tree.join("out");

    let Output { code, stdout, stderr } = finish(&mut demo(&place, arguments));

    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    let answered = answered(&stdout);
    let names: BTreeSet<&str> = answered.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, BTreeSet::from(["one", "two", "three", "four", "five", "six"]), "{stdout}");
    assert!(answered.iter().all(|(_, requests)| *requests > 0), "{stdout}");
    assert_nothing_is_left(&place);
}

#[test]
fn an_interrupt_ends_all_of_it_and_leaves_nothing() {
    require!("nginx");
    let tree = Tree::new();
    let place = tree.join("out");
    let demo = Waypost::start(demo(&place, &[]), &tree);
    demo.wait_logged(&["three"]);
    wait_until("its processes", DEADLINE, || processes_of(&place).len() > 5);

    demo.signal(Signal::INT);

    demo.wait();
    assert_nothing_is_left(&place);
}

#[test]
fn somebody_elses_etcd_is_used_and_left_as_it_was() {
    require!("etcd", "nginx");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/demo/mine", "kept");
    let place = tree.join("out");

    let output = finish(&mut demo(&place, &["--for", "5s", "--etcd", &etcd.endpoint()]));

    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    let left: Vec<String> = etcd.get_prefix("").into_keys().collect();
    assert_eq!(left, ["/demo/mine"]);
    assert_nothing_is_left(&place);
}
