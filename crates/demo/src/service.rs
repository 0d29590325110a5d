//! One of the services: says who it is, and stops without losing a request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long requests that are under way may take once it is to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// Pause after a connection could not be taken, since there are too many files open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// What a browser is shown, with a place for who has answered.
const QUIZ: &str = include_str!("../../../examples/hello-quiz/quiz.html");

/// Serves `name` on `address` until `stop` is over: `/` says who it is, to a browser below a quiz;
/// `/health` says that it can serve.
///
/// Then it takes no more connections, and finishes what is under way, for 1 s at the longest. It also ends,
/// at once, when the process that started it dies: as all of a host's processes go with it.
///
/// # Errors
///
/// The system's, if it cannot listen.
pub async fn serve(name: &str, address: SocketAddr, stop: impl Future<Output = ()>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = TcpListener::bind(address).await?;
    let who: Arc<str> = format!("{name} on port {}, process {}\n", address.port(), std::process::id()).into();
    let (stopping, is_stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&who), is_stopping.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    // What is not finished in time is cut off with the process.
    let _ = tokio::time::timeout(FINISH_WITHIN, finished).await;
    Ok(())
}

/// Waits for the end of standard input, which is a pipe that somebody holds open and writes nothing to.
///
/// So a service ends with whoever holds it, even if that was killed, and even if the process in between was.
///
/// # Errors
///
/// The system's, if standard input is no pipe.
pub async fn input_ended() -> io::Result<()> {
    let mut input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    tokio::io::copy(&mut input, &mut tokio::io::sink()).await.map(drop)
}

/// Answers the requests of one connection; when it is to stop, the one that is under way.
async fn converse(stream: TcpStream, who: Arc<str>, mut is_stopping: watch::Receiver<bool>) {
    let answer = service_fn(|request| {
        let answer = respond(&request, &who);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let is_over = tokio::select! {
        _ = &mut connection => true,
        _ = is_stopping.wait_for(|is_stopping| *is_stopping) => false,
    };
    if !is_over {
        connection.as_mut().graceful_shutdown();
        // A client that goes away in between is no concern of ours.
        let _ = connection.await;
    }
}

fn respond(request: &Request<Incoming>, who: &str) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/" if is_browser(request.headers()) => return page(who),
        "/" => (StatusCode::OK, who.to_owned()),
        "/health" => (StatusCode::OK, "healthy\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there is / and /health\n".to_owned()),
    };
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

/// True if it would rather have HTML than text: curl and health checks take anything.
fn is_browser(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|wanted| wanted.to_str().is_ok_and(|wanted| wanted.contains("text/html")))
}

/// The quiz, with who shows it.
fn page(who: &str) -> Response<Full<Bytes>> {
    let who = who.trim_end().replace('&', "&amp;").replace('<', "&lt;");
    let mut response = Response::new(Full::new(QUIZ.replace("{{instance}}", &who).into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // Loading it again is to ask again.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Asks a service that is called `a<b` for `/`, with a header or none, and returns the whole answer.
    async fn answer(header: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (_stopping, is_stopping) = watch::channel(false);
        let conversation = tokio::spawn(converse(stream, "a<b on port 1\n".into(), is_stopping));
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        conversation.await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_browser_is_shown_the_quiz_and_who_has_answered() {
        let answer = answer("Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n").await;
        assert!(answer.contains("content-type: text/html; charset=utf-8"), "{answer}");
        assert!(answer.contains("Which load balancer are you?"), "{answer}");
        assert!(answer.contains("<code id=\"instance\">a&lt;b on port 1</code>"), "{answer}");
    }

    #[tokio::test]
    async fn whoever_does_not_ask_for_html_gets_the_plain_name() {
        for header in ["", "Accept: */*\r\n"] {
            let answer = answer(header).await;
            assert!(answer.ends_with("\r\n\r\na<b on port 1\n"), "{answer}");
        }
    }
}
