//! Where clients come in, how many at once, and how the last ones are let go.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::patient::Patient;
use super::refusal::Refusal;
use super::socket::{Socket, SocketSettings};
use super::{Api, Shared, routes};

/// How long clients may take to be done when the API is told to stop.
const FAREWELL: Duration = Duration::from_secs(1);

/// How much of an answer waits for a client, beyond what the system keeps.
const BUFFER: usize = 64 << 10;

/// What is said to who comes when all connections are taken; the request is not read.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Length: 69\r\n\r\n\
    {\"error\":\"there are too many connections already: ask again later\"}\r\n";

/// Where clients come in.
#[derive(Debug)]
pub struct Doors {
    socket: Option<Socket>,
    tcp: Option<TcpListener>,
}

/// Whether the API may be served at `address` over TCP.
///
/// # Errors
///
/// One line if other hosts could reach it.
pub fn loopback(address: SocketAddr) -> Result<(), String> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "the local API knows no users: it is served on loopback only, such as 127.0.0.1:{}, and not at {address}",
        address.port()
    ))
}

impl Doors {
    /// Listens where it is said.
    ///
    /// # Errors
    ///
    /// One line if that cannot be, or if other hosts could come to the TCP address.
    pub async fn open(socket: Option<&SocketSettings>, tcp: Option<SocketAddr>) -> Result<Doors, String> {
        let socket = socket.map(Socket::open).transpose()?;
        let tcp = match tcp {
            Some(address) => {
                loopback(address)?;
                let failed = |why: io::Error| format!("cannot serve the local API at {address}: {why}");
                Some(TcpListener::bind(address).await.map_err(failed)?)
            }
            None => None,
        };
        Ok(Doors { socket, tcp })
    }

    /// The address of the TCP listener.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }

    /// The next client.
    async fn next(&self) -> io::Result<Client> {
        let unix = async {
            match &self.socket {
                Some(socket) => socket.listener.accept().await.map(|(stream, _)| Client::Unix(stream)),
                None => std::future::pending().await,
            }
        };
        let tcp = async {
            match &self.tcp {
                Some(listener) => listener.accept().await.map(|(stream, _)| Client::Tcp(stream)),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            client = unix => client,
            client = tcp => client,
        }
    }
}

enum Client {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Api {
    /// Serves clients that come to `doors`, in a task of its own.
    pub fn serve(self, doors: Doors) -> Serving {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(serve(doors, Arc::clone(&shared)));
        Serving { api: self, task }
    }
}

/// The API at work.
#[derive(Debug)]
pub struct Serving {
    api: Api,
    task: JoinHandle<()>,
}

impl Serving {
    /// Lets everybody go: who waits is told, streams end, the socket is removed. Takes a second at most.
    pub async fn stop(self) {
        self.api.shared.is_stopping.send_replace(true);
        if let Err(why) = self.task.await {
            tracing::error!(%why, "the local API ended by a fault of its own");
        }
    }
}

async fn serve(doors: Doors, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(shared.settings.limits.connections));
    let over_unix = routes::router(Arc::clone(&shared));
    let over_tcp = over_unix.clone().layer(middleware::from_fn(only_from_here));
    let mut tasks = JoinSet::new();
    loop {
        let client = tokio::select! {
            client = doors.next() => client,
            Some(_) = tasks.join_next() => continue,
            () = shared.stopping() => break,
        };
        let permit = Arc::clone(&connections).try_acquire_owned().ok();
        match client {
            Ok(Client::Unix(stream)) => welcome(&mut tasks, stream, permit, &over_unix, &shared),
            Ok(Client::Tcp(stream)) => welcome(&mut tasks, stream, permit, &over_tcp, &shared),
            // Too many open files, most likely: some will be closed.
            Err(error) => {
                tracing::warn!(%error, "the local API cannot let a client in");
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(doors);
    // Who has not taken its answer by then is cut off with the tasks.
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(FAREWELL, all).await;
}

/// Talks with a client in a task of its own; without a permit it is only told so.
fn welcome<S: AsyncRead + AsyncWrite + TryWrite + Send + Unpin + 'static>(
    tasks: &mut JoinSet<()>,
    stream: S,
    permit: Option<OwnedSemaphorePermit>,
    router: &Router,
    shared: &Arc<Shared>,
) {
    let Some(permit) = permit else {
        // A client that does not even take this does not mind.
        let _ = stream.try_write(FULL);
        return;
    };
    let (router, shared) = (router.clone(), Arc::clone(shared));
    tasks.spawn(async move {
        let _permit = permit;
        let patience = shared.settings.limits.patience;
        let mut protocol = http1::Builder::new();
        protocol.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(BUFFER);
        let stream = TokioIo::new(Patient::new(stream, patience));
        let connection = protocol.serve_connection(stream, TowerToHyperService::new(router));
        let mut connection = std::pin::pin!(connection);
        let is_over = tokio::select! {
            _ = connection.as_mut() => true,
            () = shared.stopping() => false,
        };
        if !is_over {
            connection.as_mut().graceful_shutdown();
            // What breaks a connection is the client's business.
            let _ = connection.await;
        }
    });
}

/// Writing what fits at once.
trait TryWrite {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

impl TryWrite for UnixStream {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        UnixStream::try_write(self, bytes)
    }
}

impl TryWrite for TcpStream {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        TcpStream::try_write(self, bytes)
    }
}

/// Refuses what a browser was led to by a name that somebody else gave to loopback (DNS rebinding): such a request
/// carries that name.
async fn only_from_here(request: Request, next: Next) -> Result<Response, Refusal> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let is_here = |authority: &str| is_this_host(authority);
    let target = request.uri().authority().is_none_or(|authority| is_here(authority.as_str()));
    if host.is_some_and(is_here) && target {
        Ok(next.run(request).await)
    } else {
        Err(Refusal::forbidden("the header `Host` must be localhost or a loopback address"))
    }
}

fn is_this_host(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else { return false };
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_at() {
        let may = |address: &str| loopback(address.parse().unwrap());
        assert!(may("127.0.0.1:1").is_ok() && may("127.9.9.9:1").is_ok() && may("[::1]:1").is_ok());
        for address in ["0.0.0.0:79", "[::]:79", "10.0.0.5:79"] {
            assert!(may(address).unwrap_err().contains("loopback only"), "{address}");
        }
    }

    #[test]
    fn a_name_that_others_gave_to_loopback_is_not_this_host() {
        for host in ["localhost", "LOCALHOST:79", "127.0.0.1:79", "127.0.0.1", "[::1]:79"] {
            assert!(is_this_host(host), "{host}");
        }
        for host in ["evil.example:79", "127.0.0.1.evil.example", "10.0.0.5", "", "a@evil.example"] {
            assert!(!is_this_host(host), "{host}");
        }
    }

    #[test]
    fn what_is_said_at_a_full_house_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
