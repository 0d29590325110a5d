//! Serving a store over TCP: listeners, TLS, connections, and their end.
//!
//! What a client can hold is bounded: connections, streams of one connection, the time of a handshake. A peer
//! that is gone without a word is noticed by pings. When told to stop, streams end with an error that makes
//! clients come back, requests under way are answered, and after [`GRACE`] nobody is waited for.

mod authority;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tower::Service;

use authority::Mended;

use crate::Store;
use crate::access::{Access, Gate, Peer, acceptor, common_name};
use crate::error::Error;
use crate::grpc::{self, Served, Stop, Stopper, Urls};

/// At a time; more wait until one ends.
const CONNECTIONS: u32 = 10_000;

/// Of one connection. etcd has no bound.
const STREAMS: u32 = 10_000;

/// Streams that a client may give up before they are looked at, so that many watches can be left at once.
const GIVEN_UP: usize = 1_000;

/// From the connection to its first byte, and to the end of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// From one ping to the next, and until the answer must have come.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// After which TCP asks whether the peer is still there; the system's two hours are too long.
const IDLE: Duration = Duration::from_secs(60);

/// How long clients may hold up the end.
const GRACE: Duration = Duration::from_secs(1);

/// After the system refused to accept a connection: there are too many open files, for instance.
const RECOVER: Duration = Duration::from_millis(100);

/// Listeners that are open, and the terms on which they serve.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: Option<Tls>,
    access: Access,
}

/// An acceptor, which has no `Debug` of its own.
#[derive(Clone)]
struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Server {
    /// Opens `listen`, after a look at whether that is safe and the certificates are good.
    ///
    /// # Errors
    ///
    /// [`Error::Access`] with what is wrong and what to do.
    pub async fn bind(listen: &[SocketAddr], access: Access) -> Result<Server, Error> {
        access.permits(listen)?;
        let tls = access.tls.as_ref().map(|tls| acceptor(tls).map(Tls)).transpose()?;
        let mut listeners = Vec::new();
        for address in listen {
            listeners.push(TcpListener::bind(address).await.map_err(|why| cannot_listen(*address, &why))?);
        }
        let addresses = listeners.iter().zip(listen);
        let addresses = addresses.map(|(listener, asked)| listener.local_addr().unwrap_or(*asked)).collect();
        Ok(Server { listeners, addresses, tls, access })
    }

    /// Where it listens, port 0 resolved.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves `store` until `stop` ends, and returns at most a little over a second later.
    ///
    /// A store that fails goes on being served, so that clients and probes are told.
    pub async fn serve(self, store: Store, stop: impl Future<Output = ()>) {
        raise_open_files();
        let (stopper, told) = Stopper::new();
        let urls = Urls { listen: self.addresses.clone(), is_tls: self.tls.is_some() };
        let gate = Gate::new(&self.access.users);
        let served = Arc::new(Served::new(store.clone(), gate, urls, told.clone()));
        let (health, health_service) = tonic_health::server::health_reporter();
        let router = grpc::router(&served, Routes::new(health_service).into_axum_router().reset_fallback());
        let room = Arc::new(Semaphore::new(CONNECTIONS as usize));
        let endpoint = Endpoint { router, tls: self.tls, stop: told, room: Arc::clone(&room) };
        let accept = future::join_all(self.listeners.into_iter().map(|listener| endpoint.accept(listener)));
        let tell = async {
            store.failed().await;
            health.set_service_status("", ServingStatus::NotServing).await;
        };
        // The listeners close here: who comes now is refused, and not kept waiting.
        tokio::select! {
            _ = future::join(accept, tell) => {}
            () = stop => {}
        }
        stopper.stop();
        // Every connection holds one, and ends by itself within the grace.
        let _ = timeout(2 * GRACE, room.acquire_many(CONNECTIONS)).await;
    }
}

/// Opens `listen` and serves `store` there until `stop` ends: [`Server::bind`] and [`Server::serve`].
///
/// # Errors
///
/// As for [`Server::bind`].
pub async fn serve(
    store: Store,
    listen: &[SocketAddr],
    access: Access,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    Server::bind(listen, access).await?.serve(store, stop).await;
    Ok(())
}

fn cannot_listen(address: SocketAddr, why: &io::Error) -> Error {
    let what = match why.kind() {
        io::ErrorKind::AddrInUse => {
            "something else listens there; stop it, or give another address with --listen"
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; give another one with --listen",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a right; give another one with --listen",
        _ => return Error::Access(format!("cannot listen on {address}: {why}")),
    };
    Error::Access(format!("cannot listen on {address}: {what}"))
}

/// Raises the limit on open files as far as connections need it and the system lets us, as Go's programs do.
fn raise_open_files() {
    let wanted = u64::from(CONNECTIONS) + 1_000;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let reachable = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if current.is_some_and(|current| current < reachable) {
        // Without it there is room for fewer connections, which is no reason not to start.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), maximum });
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Endpoint {
    router: Router,
    tls: Option<Tls>,
    stop: Stop,
    room: Arc<Semaphore>,
}

impl Endpoint {
    async fn accept(&self, listener: TcpListener) {
        while let Ok(place) = Arc::clone(&self.room).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(self.clone().connection(stream, place));
                }
                Err(why) => {
                    tracing::warn!(%why, "a connection could not be accepted");
                    tokio::time::sleep(RECOVER).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let _place = place;
        let mut stop = self.stop.clone();
        let greeted = tokio::select! {
            greeted = timeout(HANDSHAKE, self.greet(stream)) => greeted,
            () = stop.called() => return,
        };
        match greeted {
            Ok(Ok((Greeted::Plain(stream), peer))) => self.talk(stream, peer).await,
            Ok(Ok((Greeted::Tls(stream), peer))) => self.talk(stream, peer).await,
            Ok(Err(why)) => tracing::debug!(%why, "a connection came to nothing"),
            Err(_) => tracing::debug!("a connection came to nothing: no handshake in time"),
        }
    }

    /// Waits for the first byte, or for the end of the TLS handshake.
    async fn greet(&self, stream: TcpStream) -> io::Result<(Greeted, Peer)> {
        stream.set_nodelay(true)?;
        // For HTTP/1 and what has not said yet what it speaks; HTTP/2 has pings.
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, IDLE)?;
        let local = stream.local_addr()?;
        let Some(Tls(acceptor)) = &self.tls else {
            stream.readable().await?;
            return Ok((Greeted::Plain(stream), Peer { name: None, local }));
        };
        let stream = acceptor.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let name = certificates.first().and_then(common_name).map(Into::into);
        Ok((Greeted::Tls(Box::new(stream)), Peer { name, local }))
    }

    /// Serves HTTP/2 or HTTP/1 until the peer has enough, or for a grace after it is time to stop.
    async fn talk(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let answer = router.clone().call(request);
            async move { answer.await.map(grpc::in_the_words_of_grpc) }
        });
        let protocol = protocol();
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(Mended::new(stream)), service));
        tokio::select! {
            // How it ended is the peer's affair: a client that goes away is no error.
            _ = connection.as_mut() => return,
            () = self.stop.called() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(GRACE, connection).await;
    }
}

enum Greeted {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(GIVEN_UP)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    builder
}
