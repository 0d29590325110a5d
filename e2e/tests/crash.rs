//! The agent killed at each step of an apply: the destination is the old file or the new one, whole, and
//! the next start ends right.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use waypost_e2e::{Call, DEADLINE, Resource, Strace, Tree, Waypost, command, finish, once, require};
use waypost_servers::{Etcd, wait_until};

const OLD: &str = "begin\n1=old\nend\n";
const NEW: &str = "begin\n1=new\nend\n";
const TEMPLATE: &str = "begin\n{{range gets \"/web/*\"}}{{base .Key}}={{.Value}}\n{{end}}end\n";

/// More runs than there are calls to be killed at, by far.
const RUNS: usize = 40;

/// The whole file only: a check that sees half a file fails.
const CHECK: &str = "grep -q ^begin {{.src}} && grep -q ^end {{.src}}";

/// A tree whose file is old and in sync, and an etcd that has the new value.
struct Owing<'a> {
    tree: Tree,
    etcd: &'a Etcd,
}

/// How waypost is run while it is killed, and started afterwards.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Once,
    Run,
}

impl<'a> Owing<'a> {
    fn new(etcd: &'a Etcd, resource: &Resource) -> Owing<'a> {
        let tree = Tree::new();
        resource.clone().write_to(&tree);
        etcd.put("/web/1", "old");
        let owing = Owing { tree, etcd };
        // The first file is a reload too, which is asked for before anything is killed.
        owing.once();
        assert_eq!((owing.text().as_str(), owing.tree.reloads("web").len()), (OLD, 1));
        etcd.put("/web/1", "new");
        owing
    }

    /// With a check and a reload.
    fn checked(etcd: &'a Etcd) -> Owing<'a> {
        Owing::new(etcd, &Resource::new("web").template(TEMPLATE).check(CHECK).counts_reloads())
    }

    /// Runs waypost under `strace` until it is killed, or in sync; true if it was killed.
    fn run(&self, strace: &Strace, mode: Mode) -> bool {
        let mut command = strace.command();
        match mode {
            Mode::Once => command.args(["render", "--once"]),
            Mode::Run => command.args(["run"]),
        };
        command.args(self.tree.arguments()).args(["--node", &self.etcd.endpoint()]);
        let waypost = Waypost::start(command, &self.tree);
        if mode == Mode::Run {
            let is_done = || self.reloaded() == Some(NEW.trim_end().to_owned()) && self.is_noted();
            waypost
                .wait_until("the end, or the new file and its reload", || !waypost.is_running() || is_done());
            waypost.stop();
        }
        waypost.wait();
        strace.was_killed(waypost.pid())
    }

    /// The file is the old one or the new one; the next start makes it the new one, and a further one
    /// has nothing to do.
    fn assert_recovers(&self, mode: Mode, after: &str) {
        let text = self.text();
        assert!(text == OLD || text == NEW, "after {after}: {text:?}");
        if mode == Mode::Run {
            let waypost = Waypost::agent(&self.tree, ["--node", &self.etcd.endpoint()]);
            waypost.wait_logged(&["keeping files up to date"]);
            waypost.wait_for_reload(&self.tree, "web", NEW);
            assert!(waypost.stop().success());
        }
        self.once();
        assert_eq!(self.text(), NEW, "after {after}");
        assert_eq!(self.reloaded().as_deref(), Some(NEW.trim_end()), "after {after}");
        assert_eq!(self.tree.files(), ["web.conf"], "after {after}");

        let before = self.state();
        self.once();
        assert_eq!(self.state(), before, "a further start does nothing, after {after}");
    }

    fn once(&self) {
        let output = once(&self.tree, ["--node", &self.etcd.endpoint()]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }

    fn text(&self) -> String {
        self.tree.text("web").unwrap()
    }

    fn reloaded(&self) -> Option<String> {
        self.tree.reloads("web").pop()
    }

    /// What a start that does nothing leaves as it is: the reloads, the file, and the agent's note of it.
    fn state(&self) -> (usize, u64, i64, Vec<u8>) {
        let metadata = fs::metadata(self.tree.destination("web")).unwrap();
        (self.tree.reloads("web").len(), metadata.ino(), metadata.mtime_nsec(), self.ledger())
    }

    fn ledger(&self) -> Vec<u8> {
        let entries = fs::read_dir(self.tree.join("state/ledger")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let entry = paths.find(|path| path.extension().is_some_and(|extension| extension == "json"));
        fs::read(entry.unwrap()).unwrap()
    }

    /// True if the agent has noted that what it wrote is running: the last step of an apply.
    fn is_noted(&self) -> bool {
        let entry: serde_json::Value = serde_json::from_slice(&self.ledger()).unwrap();
        entry["written"] == entry["running"]
    }
}

fn tracing_is_possible() -> bool {
    Strace::obstacle().is_none_or(|why| waypost_e2e::unavailable(&why))
}

/// Kills waypost at every rename, fsync and start of a process that a run without a kill makes.
fn kill_at_every_call(mode: Mode) {
    let etcd = Etcd::start();
    let owing = Owing::checked(&etcd);
    let plain = Strace::listening(&owing.tree.join("calls"));
    assert!(!owing.run(&plain, mode), "nothing kills it");
    owing.assert_recovers(mode, "no kill");
    let calls = plain.calls(owing.tree.path());
    let is_point = |call: &&Call| call.name != "execve" && call.about != "thread";
    let points: BTreeSet<Call> = calls.iter().filter(is_point).cloned().collect();
    let has = |name: &str, about: &str| {
        points.iter().any(|point| point.name.starts_with(name) && point.about.contains(about))
    };
    assert!(has("fsync", "/out/.web.conf.waypost"), "the stage is synced: {points:#?}");
    assert!(has("rename", "/out/.web.conf.waypost to /out/web.conf"), "it is swapped in: {points:#?}");
    assert!(points.iter().any(|point| point.name == "fsync" && point.about == "/out"), "{points:#?}");
    assert_eq!(points.iter().filter(|point| point.about == "process").count(), 2, "{points:#?}");
    assert!(points.len() >= 7, "two syncs, three renames, two processes: {points:#?}");

    let names: BTreeSet<&str> = points.iter().map(|point| point.name.as_str()).collect();
    let mut killed_at = BTreeSet::new();
    for name in names {
        let left = |killed_at: &BTreeSet<Call>| points.difference(killed_at).any(|point| point.name == name);
        let mut when = 1;
        for _ in 0..RUNS {
            let owing = Owing::checked(&etcd);
            let strace = Strace::killing(&owing.tree.join("calls"), name, when);
            let was_killed = owing.run(&strace, mode);
            let last = strace.calls(owing.tree.path()).into_iter().rfind(|call| call.name == name);
            owing.assert_recovers(mode, &format!("a kill at {name} number {when}: {last:?}"));
            if was_killed {
                killed_at.extend(last);
                when += 1;
            } else if left(&killed_at) {
                // A call that another thread made this time: `when` counts each thread's apart.
                when = 1;
            } else {
                break;
            }
        }
    }
    let missed: Vec<&Call> = points.difference(&killed_at).collect();
    assert!(missed.is_empty(), "never killed at {missed:#?}, but at {killed_at:#?}");
}

#[test]
fn a_pass_killed_at_any_rename_fsync_or_start_of_a_process_is_made_good_by_the_next() {
    require!("etcd", "strace");
    if tracing_is_possible() {
        kill_at_every_call(Mode::Once);
    }
}

#[test]
fn an_agent_killed_at_any_rename_fsync_or_start_of_a_process_is_made_good_by_the_next() {
    require!("etcd", "strace");
    if tracing_is_possible() {
        kill_at_every_call(Mode::Run);
    }
}

#[test]
fn a_check_killed_at_its_exec_is_a_failed_check() {
    require!("etcd", "strace");
    if !tracing_is_possible() {
        return;
    }
    let etcd = Etcd::start();
    let owing = Owing::checked(&etcd);
    let strace = Strace::killing_execs_of(&owing.tree.join("calls"), "/bin/sh");
    let output = traced(&owing, &strace);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains("check failed") && output.stderr.contains("signal: 9"),
        "{}",
        output.stderr
    );
    assert_eq!((owing.text().as_str(), owing.tree.files().len()), (OLD, 1));
    owing.assert_recovers(Mode::Once, "a kill of the check");
}

#[test]
fn a_reload_killed_at_its_exec_stays_owed() {
    require!("etcd", "strace");
    if !tracing_is_possible() {
        return;
    }
    let etcd = Etcd::start();
    let owing = Owing::new(&etcd, &Resource::new("web").template(TEMPLATE).counts_reloads());
    let strace = Strace::killing_execs_of(&owing.tree.join("calls"), "/bin/sh");
    let output = traced(&owing, &strace);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains("reload failed") && output.stderr.contains("signal: 9"),
        "{}",
        output.stderr
    );
    assert_eq!((owing.text().as_str(), owing.tree.reloads("web").len()), (NEW, 1));
    owing.assert_recovers(Mode::Once, "a kill of the reload");
}

/// One pass under `strace`, with what it printed.
fn traced(owing: &Owing<'_>, strace: &Strace) -> waypost_e2e::Output {
    let mut command = strace.command();
    command.args(["render", "--once", "--node", &owing.etcd.endpoint()]).args(owing.tree.arguments());
    finish(&mut command)
}

/// What the agent started lives on when the agent is killed: here each command kills the agent first, or last.
#[test]
fn an_agent_killed_while_its_check_or_reload_runs_is_made_good_by_the_next() {
    require!("etcd");
    let etcd = Etcd::start();
    for (point, lines) in [
        ("the check begins", ["kill -KILL $PPID; exit 0", "true"]),
        ("the check has failed", ["kill -KILL $PPID; exit 1", "true"]),
        ("the reload begins", ["true", "kill -KILL $PPID"]),
    ] {
        let owing = Owing::checked(&etcd);
        let [check, reload] = lines;
        let lethal = Resource::new("web").template(TEMPLATE).check(check).reload(reload);
        lethal.write_to(&owing.tree);
        let mut pass: Command = command();
        pass.args(["render", "--once", "--node", &etcd.endpoint()]).args(owing.tree.arguments());
        assert_eq!(finish(&mut pass).code, None, "killed when {point}");

        Resource::new("web").template(TEMPLATE).check(CHECK).counts_reloads().write_to(&owing.tree);
        owing.assert_recovers(Mode::Once, point);
    }
}

/// A line for the shell that makes `began`, and ends when `go` is there, or when all of the test is gone.
fn waits(began: &Path, go: &Path) -> String {
    let (began, go) = (began.display(), go.display());
    format!("touch {began}; while test -e {began} && ! test -e {go}; do sleep 0.05; done")
}

#[test]
fn a_reload_whose_agent_was_killed_is_run_again() {
    require!("etcd");
    let etcd = Etcd::start();
    let owing = Owing::checked(&etcd);
    let (began, go) = (owing.tree.join("began"), owing.tree.join("go"));
    let wait = waits(&began, &go);
    Resource::new("web").template(TEMPLATE).reload(&wait).write_to(&owing.tree);
    let agent = Waypost::agent(&owing.tree, ["--node", &etcd.endpoint()]);
    wait_until("the reload", DEADLINE, || began.exists());
    assert_eq!(owing.text(), NEW);
    agent.kill();

    Resource::new("web").template(TEMPLATE).check(CHECK).counts_reloads().write_to(&owing.tree);
    owing.assert_recovers(Mode::Once, "a kill during the reload");
    fs::write(go, "").unwrap();
}
