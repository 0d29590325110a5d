//! Connections: how they are opened, bounded and ended.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use waypost_status::api::{Doors, Limits, Serving, Settings, SocketSettings};
use waypost_testkit::Memory;

use crate::client::{Client, settings};

const DEADLINE: Duration = Duration::from_secs(60);

/// An API that is served at a socket.
struct Host {
    serving: Serving,
    path: PathBuf,
    memory: Memory,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Host {
    async fn serving(limits: Limits) -> Host {
        let client = Client::with(Memory::new(1), Settings { limits, ..settings() });
        client.memory.put("/services/db/1", "h:1");
        client.until_healthy().await;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        let socket = SocketSettings { path: path.clone(), mode: 0o600, group: None };
        let doors = Doors::open(Some(&socket), Some("127.0.0.1:0".parse().unwrap())).await.unwrap();
        let port = doors.address().unwrap().port();
        let Client { memory, api, .. } = client;
        Host { serving: api.serve(doors), path, memory, port, _directory: directory }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// The whole answer to a request whose connection ends with it.
    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect().await;
        ask(&mut stream, path, "Connection: close\r\n").await;
        rest(&mut stream).await
    }

    /// Asks until the answer holds `text`.
    async fn until(&self, path: &str, text: &str) {
        let is_so = async { while !self.get(path).await.contains(text) {} };
        timeout(DEADLINE, is_so).await.unwrap_or_else(|_| panic!("{path}: never {text}"));
    }
}

async fn ask(stream: &mut UnixStream, path: &str, headers: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// All that comes until the end, which is a reset if a request was left unread.
async fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("it ends");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn who_waits_is_told_and_streams_end_when_it_stops() {
    let host = Host::serving(Limits::default()).await;
    let answer = host.get("/v1/services/db").await;
    let version = answer.split_once("\"version\":\"").unwrap().1[..16].to_owned();
    let (mut waiting, mut stream, mut idle) =
        (host.connect().await, host.connect().await, host.connect().await);
    ask(&mut waiting, &format!("/v1/services/db?wait=5m&version={version}"), "").await;
    ask(&mut stream, "/v1/events", "").await;
    ask(&mut idle, "/v1/health", "").await;
    let mut first = [0; 512];
    assert!(stream.read(&mut first).await.unwrap() > 0 && idle.read(&mut first).await.unwrap() > 0);

    let Host { serving, path, .. } = host;
    timeout(Duration::from_secs(30), serving.stop()).await.expect("nobody holds it up");
    assert!(!path.exists());
    let told = rest(&mut waiting).await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("waypost is stopping"), "{told}");
    assert!(rest(&mut stream).await.ends_with("0\r\n\r\n"), "the stream has an end");
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn only_so_many_connections_are_open_at_once() {
    let host = Host::serving(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = host.connect().await;
    ask(&mut first, "/v1/health", "").await;
    let mut buffer = [0; 512];
    assert!(first.read(&mut buffer).await.unwrap() > 0);
    let refused = rest(&mut host.connect().await).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("too many connections"), "{refused}");
    drop(first);
    host.until("/v1/health", "HTTP/1.1 200 ").await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_takes_nothing_is_let_go() {
    let limits = Limits { connections: 1, patience: Duration::from_millis(300), ..Limits::default() };
    let host = Host::serving(limits).await;
    assert_eq!(rest(&mut host.connect().await).await, "", "no request came");
    let mut idle = host.connect().await;
    ask(&mut idle, "/v1/health", "").await;
    assert_eq!(rest(&mut idle).await.matches("HTTP/1.1 200 ").count(), 1, "no other request came");

    for number in 0..3 {
        host.memory.put(&format!("/app/{number}"), vec![b'x'; 1 << 20]);
    }
    host.until("/v1/health", "\"keys\":4").await;
    let mut lazy = host.connect().await;
    ask(&mut lazy, "/v1/keys/app?recursive=true", "").await;
    lazy.readable().await.unwrap();
    host.until("/v1/health", "\"status\":\"ok\"").await;
    let mut bytes = Vec::new();
    let _ = timeout(DEADLINE, lazy.read_to_end(&mut bytes)).await.expect("it ends");
    assert!(bytes.len() < 3 << 20, "its place was given away before it took the rest: {} bytes", bytes.len());
}

#[tokio::test]
async fn over_tcp_only_this_hosts_names_are_answered_to() {
    let host = Host::serving(Limits::default()).await;
    let status = async |name: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", host.port)).await.unwrap();
        let request = format!("GET /v1/services/db HTTP/1.1\r\n{name}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut text)).await.expect("it ends").unwrap();
        text[9..12].to_owned()
    };
    assert_eq!(status("Host: localhost:79\r\n").await, "200");
    assert_eq!(status("Host: 127.0.0.1\r\n").await, "200");
    assert_eq!(status("Host: evil.example\r\n").await, "403");
    assert_eq!(status("").await, "403");
}

#[tokio::test]
async fn an_address_that_other_hosts_reach_is_refused() {
    let why = Doors::open(None, Some("0.0.0.0:0".parse().unwrap())).await.unwrap_err();
    assert!(why.contains("loopback only"), "{why}");
}
