//! The nginx does what a test asks of it.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use waypost_servers::{Nginx, NginxLayout, Ports, Scratch, Storage, get, require, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// A server that answers `word` on `port`.
fn server(port: u16, word: &str) -> String {
    format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"{word}\"; }} }}\n")
}

/// A shell command's success, as an agent would run a check or a reload.
fn shell(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).status().expect("sh runs").success()
}

/// True while something of it runs: a zombie is only waiting for its new parent to look.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_reload_that_takes_effect_is_counted() {
    require!("nginx");
    let nginx = Nginx::start();
    assert_eq!(get(&nginx.url()).unwrap().text(), "nginx\n");
    assert_eq!((nginx.reloads(), nginx.workers().len()), (0, 1));
    let worker = nginx.workers();

    let port = Ports::free();
    fs::write(nginx.layout().conf_d().join("more.conf"), server(port, "more")).unwrap();
    nginx.reload();
    wait_until("the reload", SOON, || nginx.reloads() == 1);
    assert_eq!(get(&format!("http://127.0.0.1:{port}/")).unwrap().text(), "more");
    wait_until("the old worker to end", SOON, || nginx.workers().len() == 1);
    assert_ne!(nginx.workers(), worker);
    assert!(shell(&nginx.reload_command()));
    wait_until("the second reload", SOON, || nginx.reloads() == 2);
}

#[test]
fn a_reload_with_a_faulty_configuration_is_a_signal_and_not_a_reload() {
    require!("nginx");
    let nginx = Nginx::start();
    let file = nginx.layout().conf_d().join("faulty.conf");
    assert_eq!(nginx.test(nginx.config_file()), Ok(()));
    assert!(shell(&format!("{} {}", nginx.check_command(), nginx.config_file().display())));

    fs::write(&file, "server { no_such_directive on; }\n").unwrap();
    let why = nginx.test(nginx.config_file()).unwrap_err();
    assert!(why.contains("no_such_directive"), "{why}");
    assert!(!shell(&format!("{} {}", nginx.check_command(), nginx.config_file().display())));

    nginx.reload();
    wait_until("the error", SOON, || nginx.error_log().contains("[emerg]"));
    assert_eq!((nginx.reload_signals(), nginx.reloads()), (1, 0));
    assert_eq!(get(&nginx.url()).unwrap().status, 200);
}

#[test]
fn a_worker_with_a_request_in_hand_is_shutting_down_after_a_reload() {
    require!("nginx");
    let nginx = Nginx::start();
    let old = nginx.workers();
    // Half a request: the worker waits for the rest of it.
    let client = TcpStream::connect(("127.0.0.1", nginx.port())).unwrap();
    std::io::Write::write_all(&mut &client, b"GET / HTTP/1.1\r\n").unwrap();
    let taken = || get(&nginx.url()).is_ok();
    wait_until("the worker to have taken it", SOON, taken);

    nginx.reload();
    wait_until("the old worker to shut down", SOON, || nginx.workers_shutting_down() == old);
    wait_until("the new worker to say what it is", SOON, || nginx.workers().len() == 2);
    drop(client);
    wait_until("the old worker to end", SOON, || nginx.workers().len() == 1);
}

#[test]
fn a_killed_nginx_leaves_no_worker_and_comes_back() {
    require!("nginx");
    let nginx = Nginx::start();
    let workers = nginx.workers();
    nginx.kill();
    wait_until("the workers to be gone", SOON, || !workers.iter().copied().any(runs));
    assert!(get(&nginx.url()).is_err());

    nginx.start_again();
    assert_eq!(get(&nginx.url()).unwrap().status, 200);
    nginx.stop();
    assert!(!nginx.is_running());
    nginx.start_again();
    assert_eq!((get(&nginx.url()).unwrap().status, nginx.reloads()), (200, 0));
}

#[test]
fn it_runs_on_a_file_of_the_callers() {
    require!("nginx");
    let scratch = Scratch::new("nginx-config", Storage::Disk);
    let (file, port, pid_file) = (scratch.join("own.conf"), Ports::free(), scratch.join("own.pid"));
    let pid_line = format!("pid {};\n", pid_file.display());
    let text = format!("{pid_line}events {{}}\nhttp {{ access_log off; {} }}\n", server(port, "own"));
    fs::write(&file, text).unwrap();

    let nginx = Nginx::start_on(&file);

    assert_eq!(get(&format!("http://127.0.0.1:{port}")).unwrap().text(), "own");
    assert_eq!(nginx.pid_file(), pid_file);
    assert_eq!(fs::read_to_string(pid_file).unwrap().trim(), nginx.pid().to_string());
}

#[test]
fn a_paused_nginx_does_not_answer_until_it_is_resumed() {
    require!("nginx");
    let nginx = Nginx::start();
    nginx.pause();
    let silence = waypost_servers::get_within(&nginx.url(), Duration::from_millis(200)).unwrap_err();
    assert!(matches!(silence.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock));
    nginx.resume();
    assert_eq!(get(&nginx.url()).unwrap().status, 200);
}

#[test]
#[should_panic(expected = "no_such_directive")]
fn an_nginx_that_does_not_start_shows_why() {
    if waypost_servers::find("nginx").is_none() {
        panic!("no_such_directive (not installed: nothing to show)");
    }
    Nginx::start_with(|layout: &NginxLayout| format!("{}no_such_directive on;\n", layout.main_lines()));
}
