//! Health checks against real servers on loopback. Time is paused: a server that says nothing costs none.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod common;

use std::time::Duration;

use common::bound;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use waypost_announce::{CheckFailure, Expected, HealthCheck, HttpCheck};
use waypost_model::Endpoint;

const TIMEOUT: Duration = Duration::from_secs(1);

/// A server that answers each request with the same bytes; the task gives the first request's head.
fn server(answer: &'static str) -> (Endpoint, JoinHandle<String>) {
    let (socket, endpoint) = bound();
    let listener = socket.listen(8).unwrap();
    (endpoint, tokio::spawn(async move { serve(&listener, answer).await }))
}

async fn serve(listener: &TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(head).unwrap()
}

async fn run(check: HttpCheck) -> Result<(), CheckFailure> {
    HealthCheck::Http(check).run(TIMEOUT).await
}

#[tokio::test(start_paused = true)]
async fn no_check_always_passes() {
    assert_eq!(HealthCheck::None.run(TIMEOUT).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn tcp_passes_when_somebody_listens() {
    let (socket, endpoint) = bound();
    let check = HealthCheck::Tcp(endpoint.clone());
    let refused = check.run(TIMEOUT).await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("cannot connect to {endpoint}: Connection refused")), "{refused}");

    let _listener = socket.listen(8).unwrap();
    assert_eq!(check.run(TIMEOUT).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn http_asks_for_the_path_under_the_host_and_takes_a_good_status() {
    let (endpoint, server) = server("HTTP/1.1 204 No Content\r\n\r\n");
    let check = HttpCheck { host: Some("shop.example".into()), ..HttpCheck::new(endpoint, "/up?deep=1") };
    assert_eq!(run(check).await, Ok(()));

    let head = server.await.unwrap();
    assert!(head.starts_with("GET /up?deep=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: shop.example\r\n") && head.contains("connection: close\r\n"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn http_without_a_host_names_the_endpoint() {
    let (endpoint, server) = server("HTTP/1.1 302 Found\r\nlocation: /login\r\n\r\n");
    assert_eq!(run(HttpCheck::new(endpoint.clone(), "/")).await, Ok(()), "redirects are not followed");
    assert!(server.await.unwrap().contains(&format!("host: {endpoint}\r\n")));
}

#[tokio::test(start_paused = true)]
async fn http_fails_on_another_status_with_the_status_and_the_url() {
    let (endpoint, _server) = server("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    let failure = run(HttpCheck::new(endpoint.clone(), "/health")).await.unwrap_err().to_string();
    assert_eq!(failure, format!("http://{endpoint}/health answers 503, expected 200 to 399"));
}

#[tokio::test(start_paused = true)]
async fn http_takes_exactly_the_listed_statuses() {
    let (endpoint, _server) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let expected = Expected::OneOf(vec![401]);
    let failure = run(HttpCheck { expected, ..HttpCheck::new(endpoint, "/") }).await;
    assert!(matches!(failure, Err(CheckFailure::Unexpected { status: 200, .. })), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn http_does_not_wait_for_a_body_that_never_ends() {
    let (endpoint, _server) = server("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
    assert_eq!(run(HttpCheck::new(endpoint, "/")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn http_fails_on_a_server_that_says_nothing() {
    let (socket, endpoint) = bound();
    let _silent = socket.listen(8).unwrap();
    let failure = run(HttpCheck::new(endpoint.clone(), "/")).await.unwrap_err().to_string();
    assert_eq!(failure, format!("no answer from http://{endpoint}/: nothing within 1s"));
}

#[tokio::test(start_paused = true)]
async fn http_fails_on_a_server_that_speaks_something_else_or_hangs_up() {
    for (answer, why) in [("220 mail.example ESMTP\r\n", "invalid HTTP"), ("", "closed before")] {
        let (endpoint, _server) = server(answer);
        let failure = run(HttpCheck::new(endpoint.clone(), "/")).await.unwrap_err().to_string();
        let start = format!("no answer from http://{endpoint}/: ");
        assert!(failure.starts_with(&start) && failure.contains(why), "{failure}");
        assert!(!failure.contains('\n'), "{failure}");
    }
}
