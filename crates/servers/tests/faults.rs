//! The proxy's faults, the HTTP service, and processes that cannot outlive their test.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use waypost_servers::{
    Http, Process, Proxy, Scratch, Signal, Storage, get, get_within, wait_for, wait_until,
};

const SOON: Duration = Duration::from_secs(20);

/// How long a black hole is watched before it counts as silent.
const SILENCE: Duration = Duration::from_millis(200);

/// A server that sends back what it gets.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let endpoint = listener.local_addr().expect("it has an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    endpoint
}

/// Connects with a read timeout that makes a silent connection fail as `WouldBlock`.
fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.endpoint()).expect("the proxy accepts");
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout can be set");
    stream
}

/// Sends `word` and reads as many bytes back.
fn say(stream: &TcpStream, word: &str) -> io::Result<String> {
    (&*stream).write_all(word.as_bytes())?;
    hear(stream, word.len())
}

fn hear(stream: &TcpStream, length: usize) -> io::Result<String> {
    let mut buffer = vec![0; length];
    (&*stream).read_exact(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// True while something of it runs: a zombie is only waiting for its new parent to look.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_proxy_forwards_both_ways() {
    let proxy = Proxy::to(&echo());
    let (one, two) = (connect(&proxy), connect(&proxy));
    assert_eq!(say(&one, "one").unwrap(), "one");
    assert_eq!(say(&two, "two").unwrap(), "two");
    assert_eq!((proxy.accepted(), proxy.open()), (2, 2));
    drop(one);
    wait_until("the first to be forgotten", SOON, || proxy.open() == 1);
}

#[test]
fn a_client_that_only_stopped_sending_still_hears_the_answer() {
    let proxy = Proxy::to(&echo());
    let client = connect(&proxy);
    (&client).write_all(b"last words").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    (&client).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "last words");
}

#[test]
fn a_cut_closes_old_connections_and_refuses_new_ones() {
    let proxy = Proxy::to(&echo());
    let client = connect(&proxy);
    assert_eq!(say(&client, "before").unwrap(), "before");

    proxy.cut();
    assert!(say(&client, "after").is_err());
    let refused = TcpStream::connect(proxy.endpoint()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

    proxy.resume();
    assert_eq!(say(&connect(&proxy), "again").unwrap(), "again");
}

#[test]
fn a_black_hole_keeps_connections_open_and_silent() {
    let proxy = Proxy::to(&echo());
    let old = connect(&proxy);
    assert_eq!(say(&old, "before").unwrap(), "before");

    proxy.black_hole();
    let new = connect(&proxy);
    assert_eq!(say(&old, "held").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(say(&new, "held").unwrap_err().kind(), io::ErrorKind::WouldBlock);

    proxy.resume();
    assert_eq!(hear(&old, 4).unwrap(), "held", "the bytes were late, not lost");
    assert_eq!(hear(&new, 4).unwrap(), "held");
}

#[test]
fn a_close_is_not_seen_through_a_black_hole() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(&server.local_addr().unwrap().to_string());
    let client = connect(&proxy);
    let (behind, _) = server.accept().unwrap();

    proxy.black_hole();
    drop(behind);
    assert_eq!((&client).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    proxy.resume();
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_cut_reaches_black_holed_connections() {
    let proxy = Proxy::to(&echo());
    let client = connect(&proxy);
    proxy.black_hole();
    proxy.cut();
    assert_eq!((&client).read(&mut [0]).unwrap_or(0), 0);
    drop(proxy);
}

#[test]
fn a_disconnect_closes_and_lets_in_again() {
    let proxy = Proxy::to(&echo());
    let client = connect(&proxy);
    assert_eq!(say(&client, "before").unwrap(), "before");
    proxy.disconnect();
    assert!(say(&client, "after").is_err());
    assert_eq!(say(&connect(&proxy), "again").unwrap(), "again");
}

#[test]
fn new_connections_go_to_the_new_target() {
    let (one, two) = (Http::start("one"), Http::start("two"));
    let proxy = Proxy::to(&one.endpoint());
    assert_eq!(get(&proxy.url()).unwrap().text(), "one\n");
    proxy.retarget(&two.endpoint());
    assert_eq!(get(&proxy.url()).unwrap().text(), "two\n");
}

#[test]
fn a_client_is_let_go_when_nobody_is_behind() {
    let http = Http::start("gone");
    let proxy = Proxy::to(&http.endpoint());
    http.stop();
    assert_eq!(get(&proxy.url()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_service_says_who_and_how_it_is() {
    let http = Http::start("apache-8001");
    let answer = get(&http.url()).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "apache-8001\n"));
    assert_eq!(answer.header("X-Handler"), Some("apache-8001"));

    let health = format!("{}/health", http.url());
    assert_eq!(get(&health).unwrap().status, 200);
    http.set_healthy(false);
    assert_eq!(get(&health).unwrap().status, 503);
    assert_eq!(get(&http.url()).unwrap().status, 200, "ill, and still serving");
    assert_eq!((http.requests(), http.health_checks()), (2, 2));
}

#[test]
fn a_stopped_service_refuses_and_comes_back_on_its_port() {
    let http = Http::start("web");
    http.stop();
    assert_eq!(get(&http.url()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    http.start_again();
    assert_eq!(get(&http.url()).unwrap().text(), "web\n");
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for() {
    let proxy = Proxy::to(&echo());
    proxy.black_hole();
    let late = get_within(&proxy.url(), SILENCE).unwrap_err();
    assert!(matches!(late.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{late}");
}

fn sleeping(scratch: &Scratch) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $WORD; sleep 1000 & echo child $!; wait"]).env("WORD", "started");
    Process::start("sleeper", &command, &scratch.join("log"))
}

/// The pid of the shell's own child, once it has said it.
fn grandchild(process: &Process) -> u32 {
    wait_for("the shell's child", SOON, || {
        process.log().lines().find_map(|line| line.strip_prefix("child ")?.parse().ok())
    })
}

#[test]
fn a_dropped_process_takes_its_children_with_it() {
    let scratch = Scratch::new("process", Storage::Memory);
    let process = sleeping(&scratch);
    let (pid, child) = (process.pid(), grandchild(&process));
    assert!(process.log().starts_with("started\n"));
    assert!(process.is_running() && runs(pid) && runs(child));
    drop(process);
    assert!(!runs(pid));
    wait_until("the grandchild to be gone", SOON, || !runs(child));
}

#[test]
fn a_process_says_how_it_ended() {
    let scratch = Scratch::new("process", Storage::Memory);
    let process = sleeping(&scratch);
    let child = grandchild(&process);
    process.pause();
    process.resume();
    process.signal(Signal::USR1);
    let status = process.wait(SOON);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::USR1.as_raw()));
    assert!(!process.is_running());
    assert!(runs(child), "the shell did not take it along");
    process.kill();
    wait_until("its child to be gone too", SOON, || !runs(child));
}

#[test]
#[should_panic(expected = "no-such-program is not installed")]
fn a_missing_program_is_named() {
    let scratch = Scratch::new("process", Storage::Memory);
    Process::start("it", &Command::new("no-such-program"), &scratch.join("log"));
}

/// Not a test of its own: what `a_killed_test_leaves_nothing` runs and kills.
#[test]
fn victim() {
    let Some(file) = env::var_os("WAYPOST_VICTIM") else { return };
    let scratch = Scratch::new("victim", Storage::Memory);
    let mut command = Command::new("sleep");
    let log = scratch.join("log");
    // From a thread that ends, as a test's helper may: the process must outlive that.
    let start = move || Process::start("sleeper", command.arg("1000"), &log);
    let process = thread::spawn(start).join().unwrap();
    thread::sleep(SILENCE); // That nothing happens takes a while to show.
    assert!(process.is_running(), "it ended with the thread that asked for it");
    fs::write(&file, format!("{} {}", process.pid(), scratch.path().display())).unwrap();
    process.wait(SOON);
}

#[test]
fn a_killed_test_leaves_nothing_running() {
    let scratch = Scratch::new("killer", Storage::Memory);
    let file = scratch.join("pid");
    let mut victim = Command::new(env::current_exe().unwrap());
    victim.args(["--exact", "victim"]).env("WAYPOST_VICTIM", &file).stdout(Stdio::null());
    let mut victim = victim.spawn().unwrap();
    let (pid, dir) = wait_for("the victim's child", SOON, || {
        let line = fs::read_to_string(&file).ok()?;
        let (pid, dir) = line.split_once(' ')?;
        Some((pid.parse().ok()?, dir.to_owned()))
    });
    assert!(runs(pid));

    victim.kill().unwrap();
    victim.wait().unwrap();

    wait_until("the child to be gone", SOON, || !runs(pid));
    fs::remove_dir_all(Path::new(&dir)).unwrap();
}
