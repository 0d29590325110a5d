//! The announcer around a command: real processes, so real time, with conditions and deadlines.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Announcer, DEADLINE, FakeRegistry, settings};
use futures::stream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use waypost_announce::{CommandLine, Error, Happening, HealthCheck, Outcome, Settings, Signal, announce};
use waypost_model::Endpoint;

/// Says `ready`, then what it is told: USR1 and USR2, and ends on TERM with 3. (HUP may be ignored where the
/// tests run, under nohup(1), and a shell cannot trap what it was started to ignore.)
const SERVICE: &str = "
    trap 'echo usr1 >>$0' USR1
    trap 'echo usr2 >>$0' USR2
    trap 'echo term >>$0; exit 3' TERM
    echo ready >>$0
    while :; do sleep 0.02; done
";

/// A command's own record of what it saw: it appends to the file that is its `$0`.
struct Record {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Record {
    fn new() -> Record {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        Record { _directory: directory, path }
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_default()
    }

    async fn until(&self, line: &str) {
        let is_there = async {
            while !self.read().lines().any(|found| found == line) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(DEADLINE, is_there).await.is_ok(), "no `{line}` in {:?}", self.read());
    }
}

/// `script`, announced without a health check.
fn around(script: &str, record: &Path) -> Settings {
    let arguments = vec!["-c".into(), script.into(), record.into()];
    let command = Some(CommandLine { program: "/bin/sh".into(), arguments });
    Settings { check: HealthCheck::None, command, ..settings(&Endpoint::new("10.0.0.5", 8001)) }
}

#[tokio::test]
async fn the_key_is_gone_before_the_command_is_told_and_its_exit_code_is_kept() {
    let (registry, record) = (FakeRegistry::new(), Record::new());
    registry.answer_revokes(false);
    let settings = Settings { stop_timeout: DEADLINE, ..around(SERVICE, &record.path) };
    let key = settings.key.clone();
    let mut announcer = Announcer::start(&registry, settings);
    announcer.until_registered().await;
    record.until("ready").await;

    announcer.signal(Signal::Term);
    announcer.until(|happening| matches!(happening, Happening::StopAsked { .. })).await;
    announcer.signal(Signal::Usr1);
    record.until("usr1").await;
    assert_eq!(record.read(), "ready\nusr1\n", "the key is still there");

    registry.answer_revokes(true);
    announcer.until(|happening| *happening == Happening::CommandTold { signal: Signal::Term }).await;
    assert_eq!(registry.get(&key), None);
    assert_eq!(announcer.outcome().await, Outcome { exit_code: 3, is_key_left: false });
    assert_eq!(record.read(), "ready\nusr1\nterm\n");
}

#[tokio::test]
async fn a_registry_that_hangs_does_not_keep_the_command_from_being_stopped() {
    let (registry, record) = (FakeRegistry::new(), Record::new());
    registry.answer_revokes(false);
    let stop_timeout = Duration::from_millis(50);
    let settings = Settings { stop_timeout, ..around(SERVICE, &record.path) };
    let mut announcer = Announcer::start(&registry, settings);
    announcer.until_registered().await;
    record.until("ready").await;

    announcer.signal(Signal::Term);
    announcer.until(|happening| *happening == Happening::NotWaitedFor { waited: stop_timeout }).await;
    assert_eq!(announcer.outcome().await, Outcome { exit_code: 3, is_key_left: true });
    assert_eq!(record.read(), "ready\nterm\n");
}

#[tokio::test]
async fn signals_that_do_not_stop_are_passed_on_and_the_key_stays() {
    let (registry, record) = (FakeRegistry::new(), Record::new());
    let settings = around(SERVICE, &record.path);
    let key = settings.key.clone();
    let mut announcer = Announcer::start(&registry, settings);
    announcer.until_registered().await;
    record.until("ready").await;

    for (signal, line) in [(Signal::Usr2, "usr2"), (Signal::Usr1, "usr1")] {
        announcer.signal(signal);
        record.until(line).await;
    }
    assert!(registry.get(&key).is_some());
}

#[tokio::test]
async fn a_command_that_ends_by_itself_takes_its_key_along() {
    let (registry, record) = (FakeRegistry::new(), Record::new());
    let script = "trap 'exit 7' USR1; echo ready >>$0; while :; do sleep 0.02; done";
    let settings = around(script, &record.path);
    let key = settings.key.clone();
    let mut announcer = Announcer::start(&registry, settings);
    announcer.until_registered().await;
    record.until("ready").await;

    announcer.signal(Signal::Usr1);
    let ended = announcer.until(|happening| matches!(happening, Happening::CommandEnded { .. })).await;
    assert_eq!(ended, Happening::CommandEnded { code: 7, how: "exit status: 7".into() });
    assert_eq!(announcer.outcome().await, Outcome { exit_code: 7, is_key_left: false });
    assert_eq!(registry.get(&key), None);
}

#[tokio::test]
async fn a_command_that_dies_of_a_signal_gives_128_and_the_signal() {
    let (registry, record) = (FakeRegistry::new(), Record::new());
    let announcer = Announcer::start(&registry, around("kill -KILL $$", &record.path));
    assert_eq!(announcer.outcome().await, Outcome { exit_code: 128 + 9, is_key_left: false });
}

#[tokio::test]
async fn ctrl_c_reaches_the_whole_command_as_it_would_from_a_terminal() {
    // A signal that a test run was started to ignore is ignored by its children; one it handles is not.
    let _handled = signal(SignalKind::interrupt()).unwrap();
    let (registry, record) = (FakeRegistry::new(), Record::new());
    let inner = "trap \"echo inner >>$0; exit 0\" INT; echo ready >>$0; while :; do sleep 0.02; done";
    let script = format!("/bin/sh -c '{inner}' $0; exit 1");
    let mut announcer = Announcer::start(&registry, around(&script, &record.path));
    announcer.until_registered().await;
    record.until("ready").await;

    announcer.signal(Signal::Int);
    record.until("inner").await;
    assert_eq!(announcer.outcome().await.exit_code, 128 + 2);
}

#[tokio::test]
async fn dropping_the_announcement_kills_the_command() {
    let (registry, record) = (FakeRegistry::new(), Record::new());
    let mut pid = None;
    let observe = |happening: &Happening| {
        if let Happening::CommandStarted { pid: started } = happening {
            pid = Some(*started);
        }
    };
    let announcing = announce(registry, around(SERVICE, &record.path), stream::empty(), observe);
    tokio::select! {
        outcome = announcing => panic!("it ended: {outcome:?}"),
        () = record.until("ready") => {}
    }
    let process = PathBuf::from(format!("/proc/{}/stat", pid.unwrap()));
    let is_dead = || std::fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "));
    let is_gone = async {
        while !is_dead() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, is_gone).await.expect("the command is killed");
}

#[tokio::test]
async fn a_command_that_cannot_be_started_is_told_and_nothing_is_registered() {
    let (registry, record) = (FakeRegistry::new(), Record::new());
    let command = Some(CommandLine { program: "/no/such/program".into(), arguments: Vec::new() });
    let settings = Settings { command, ..around("", &record.path) };
    let key = settings.key.clone();
    let error = announce(registry.clone(), settings, stream::empty(), |_| {}).await.unwrap_err();
    let Error::Command(error) = error else { panic!("{error:?}") };
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("cannot start `/no/such/program`", 127));
    assert_eq!(registry.get(&key), None);
}
