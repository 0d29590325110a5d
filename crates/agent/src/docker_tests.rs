//! Against a Unix socket that plays the daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

const VERSION: &str = r#"{"ApiVersion":"1.41","MinAPIVersion":"1.12"}"#;
const RUNNING: &str = r#"{"State":{"Status":"running","Running":true,"Restarting":false}}"#;

/// A daemon that gives its answers one after the other, and remembers what it was asked.
struct Daemon {
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
    directory: TempDir,
}

impl Daemon {
    /// After the last answer it says nothing more, and does not hang up.
    fn answering(answers: &[(u16, &str)]) -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let answers: Vec<String> = answers.iter().map(|(status, body)| answer(*status, body)).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut answers = answers.into_iter();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap() == 0 {
                    return;
                }
                let request = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
                while stream.read_line(&mut line).await.unwrap() > 2 {}
                remembered.lock().unwrap().push(request);
                match answers.next() {
                    // An error: it was hung up on.
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => std::future::pending().await,
                }
            }
        });
        Daemon { asked, serving, directory }
    }

    fn signal(&self, container: &str, signal: &str) -> Signal {
        let timeout = Duration::from_secs(60);
        Signal::parse(container, signal, self.directory.path().join("socket"), timeout).unwrap()
    }

    /// What was asked for after the version.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().split_off(1)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn answer(status: u16, body: &str) -> String {
    let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("HTTP/1.1 {status} .\r\nContent-Type: application/json\r\n{length}\r\n{body}")
}

async fn failure(signal: &Signal) -> String {
    let failure = send(signal).await.unwrap_err();
    assert_eq!((failure.step, failure.detail.as_str()), (Step::Reload, ""));
    assert!(!failure.message.contains('\n'), "{failure}");
    failure.message
}

fn parse(container: &str, signal: &str) -> Result<Signal, String> {
    Signal::parse(container, signal, "/s".into(), Duration::from_secs(1))
}

#[tokio::test]
async fn the_daemon_is_addressed_in_its_own_version_of_the_api() {
    let version = VERSION.replace("1.41", "1.54");
    let daemon = Daemon::answering(&[(200, &version), (200, RUNNING), (204, "")]);
    send(&daemon.signal("nginx", "hup")).await.unwrap();
    assert_eq!(
        daemon.asked(),
        ["GET /v1.54/containers/nginx/json", "POST /v1.54/containers/nginx/kill?signal=HUP"]
    );
}

#[tokio::test]
async fn the_plus_of_a_realtime_signal_is_escaped() {
    let daemon = Daemon::answering(&[(200, VERSION), (200, RUNNING), (204, "")]);
    send(&daemon.signal("nginx", "SIGRTMIN+3")).await.unwrap();
    assert_eq!(daemon.asked()[1], "POST /v1.41/containers/nginx/kill?signal=SIGRTMIN%2B3");
}

#[tokio::test]
async fn a_container_that_does_not_run_or_is_restarting_gets_no_signal() {
    for (status, running, restarting) in [("exited", false, false), ("restarting", true, true)] {
        let state =
            format!(r#"{{"State":{{"Status":"{status}","Running":{running},"Restarting":{restarting}}}}}"#);
        let daemon = Daemon::answering(&[(200, VERSION), (200, &state)]);
        assert_eq!(
            failure(&daemon.signal("nginx", "HUP")).await,
            format!("cannot send HUP to container nginx: it is not running, but {status}")
        );
        assert_eq!(daemon.asked(), ["GET /v1.41/containers/nginx/json"]);
    }
}

#[tokio::test]
async fn what_the_daemon_refuses_is_told_in_its_words_on_one_line() {
    let unknown = r#"{"message":"No such container: nginx"}"#;
    let daemon = Daemon::answering(&[(200, VERSION), (404, unknown)]);
    assert_eq!(
        failure(&daemon.signal("nginx", "HUP")).await,
        "cannot send HUP to container nginx: the Docker daemon refuses (404): No such container: nginx"
    );

    let stopped = r#"{"message":"Cannot kill container: nginx:\n Container is not running\n"}"#;
    let daemon = Daemon::answering(&[(200, VERSION), (200, RUNNING), (409, stopped)]);
    let refused = failure(&daemon.signal("nginx", "HUP")).await;
    assert!(refused.ends_with("(409): Cannot kill container: nginx: Container is not running"), "{refused}");

    let daemon = Daemon::answering(&[(503, "<html>")]);
    let refused = failure(&daemon.signal("nginx", "HUP")).await;
    assert!(refused.ends_with("refuses (503): Service Unavailable"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_daemon_is_given_up_at_the_timeout() {
    for answers in [&[][..], &[(200, VERSION)], &[(200, VERSION), (200, RUNNING)]] {
        let daemon = Daemon::answering(answers);
        let silent = failure(&daemon.signal("nginx", "HUP")).await;
        assert!(silent.ends_with("/socket did not answer within 60s"), "{silent}");
    }
}

#[tokio::test]
async fn what_answers_and_is_no_daemon_is_an_error() {
    for (body, why) in [("hello", "is no Docker daemon"), (r#"{"ApiVersion":"2.0"}"#, "\"2.0\" of its API")] {
        let daemon = Daemon::answering(&[(200, body)]);
        let stranger = failure(&daemon.signal("nginx", "HUP")).await;
        assert!(stranger.contains(why), "{stranger}");
    }
}

#[tokio::test]
async fn an_answer_without_bounds_is_cut_off() {
    let endless = " ".repeat(LONGEST_ANSWER + 1);
    let daemon = Daemon::answering(&[(200, &endless)]);
    let cut = failure(&daemon.signal("nginx", "HUP")).await;
    assert!(cut.ends_with("broke off: length limit exceeded"), "{cut}");
}

#[tokio::test]
async fn a_missing_a_forbidden_and_a_dead_socket_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let mut signal = parse("nginx", "HUP").unwrap();
    signal.socket = directory.path().join("none");
    let missing = failure(&signal).await;
    assert!(missing.contains("there is no Docker socket at") && missing.contains("DOCKER_HOST"), "{missing}");

    signal.socket = directory.path().join("dead");
    drop(UnixListener::bind(&signal.socket).unwrap());
    let dead = failure(&signal).await;
    assert!(dead.contains("nobody listens on"), "{dead}");

    let denied = unreachable(&signal.socket, &io::ErrorKind::PermissionDenied.into());
    assert!(denied.starts_with("no permission for the Docker socket"), "{denied}");
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(&signal.socket, fs::Permissions::from_mode(0o0)).unwrap();
        assert!(failure(&signal).await.ends_with(&denied));
    }
}

#[test]
fn signals_have_names_with_or_without_sig_and_numbers() {
    for signal in ["HUP", "SIGHUP", "sighup", "1", "64", "RTMIN", "RTMIN+15", "SIGRTMAX-1"] {
        assert_eq!(parse("nginx", signal).unwrap().signal, signal.to_uppercase());
    }
    for wrong in ["", "HUPP", "SIG", "SIGSIGHUP", "0", "65", "-1", "+1", "RTMIN+16", "RTMIN+", "1&x=y", "HÜP"]
    {
        let why = parse("nginx", wrong).unwrap_err();
        assert_eq!(why, format!("{wrong:?} is not a signal; it would be one like HUP, SIGHUP or 1"));
    }
}

#[test]
fn a_containers_name_cannot_lead_to_another_path() {
    for name in ["nginx", "web_1", "my.nginx-2", "4f5a0c21d9e8"] {
        assert_eq!(parse(name, "HUP").unwrap().container, name);
    }
    for wrong in ["", "/nginx", "a/b", "..", "-x", "a b", "a?b", "a%2fb", "ä"] {
        let why = parse(wrong, "HUP").unwrap_err();
        assert!(why.starts_with(&format!("{wrong:?} is not a container's name")), "{why}");
    }
}

#[test]
fn docker_host_names_a_unix_socket_or_nothing() {
    assert_eq!(socket(None).unwrap(), Path::new("/var/run/docker.sock"));
    assert_eq!(socket(Some("")).unwrap(), Path::new("/var/run/docker.sock"));
    assert_eq!(socket(Some("unix:///run/d.sock")).unwrap(), Path::new("/run/d.sock"));
    for wrong in ["tcp://10.0.0.1:2375", "ssh://host", "/run/d.sock", "unix://run/d.sock"] {
        let why = socket(Some(wrong)).unwrap_err();
        assert_eq!(why, format!("DOCKER_HOST is {wrong:?}: signals are sent over unix:///PATH only"));
    }
}
