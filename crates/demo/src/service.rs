//! One of the services: says who it is, and stops without losing a request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
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

/// Serves `name` on `address` until `stop` is over: `/` says who it is, `/health` that it can serve.
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
        "/" => (StatusCode::OK, who.to_owned()),
        "/health" => (StatusCode::OK, "healthy\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there is / and /health\n".to_owned()),
    };
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
