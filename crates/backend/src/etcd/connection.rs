//! One connection at a time, to one of the endpoints.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, sync::Arc, sync::PoisonError};

use etcd_client::{Channel, Client, ConnectOptions, KvClient, WatchClient};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};

use super::{STORE, Settings, Tls, invalid, status};
use crate::http1::Target;
use crate::speaks::{self, Found};
use crate::{Error, ErrorKind, Result};

/// Opens connections, and keeps the one that works.
pub(super) struct Connector {
    pub(super) settings: Settings,
    endpoints: Vec<Endpoint>,
    /// TLS that tonic does not offer, around what it takes for plain connections.
    wrapping: Option<TlsConnector>,
    /// The same for HTTP/1, to find out what is there if it is not the v3 API.
    targets: Vec<Target>,
    current: Mutex<Option<Arc<Connection>>>,
    /// The endpoint to try first.
    first: AtomicUsize,
    opening: tokio::sync::Mutex<()>,
}

/// A connection to one etcd server. It does not reconnect: what breaks it ends it.
pub(super) struct Connection {
    client: Client,
    /// Where it leads to, for errors.
    pub(super) peer: String,
    number: usize,
    has_answered: AtomicBool,
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Result<Connector> {
        if settings.endpoints.is_empty() {
            return Err(invalid("connect to", "it", "no endpoint is given"));
        }
        let endpoint = |url: &String| endpoint(url, &settings);
        let endpoints = settings.endpoints.iter().map(endpoint).collect::<Result<_>>()?;
        let wrapping = settings.tls.insecure.then(|| wrapping(&settings)).transpose()?;
        let target = |url: &String| {
            Target::new(url, &settings.tls).map_err(|why| invalid("use the endpoint", url, why))
        };
        let targets = settings.endpoints.iter().map(target).collect::<Result<_>>()?;
        Ok(Connector {
            settings,
            endpoints,
            wrapping,
            targets,
            current: Mutex::new(None),
            first: AtomicUsize::new(0),
            opening: tokio::sync::Mutex::new(()),
        })
    }

    /// The connection that works, or a new one.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let _one_at_a_time = self.opening.lock().await;
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let connection = Arc::new(self.open().await?);
        *self.lock() = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Gives up `connection`; the next request opens another one, to the next endpoint.
    pub(super) fn discard(&self, connection: &Arc<Connection>) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            *current = None;
            self.first.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs one request within the time that is set for answers; the connection is given up if no answer
    /// came from the server itself.
    pub(super) async fn request<T, F>(
        &self,
        operation: &'static str,
        subject: impl fmt::Display,
        request: impl FnOnce(Client) -> F,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, etcd_client::Error>>,
    {
        self.request_within(self.settings.request_timeout, operation, subject, request).await
    }

    /// The same within `limit`.
    pub(super) async fn request_within<T, F>(
        &self,
        limit: Duration,
        operation: &'static str,
        subject: impl fmt::Display,
        request: impl FnOnce(Client) -> F,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, etcd_client::Error>>,
    {
        let connection = self.connection().await?;
        let answer = tokio::time::timeout(limit, request(connection.client())).await;
        match answer {
            Ok(Ok(answer)) => {
                connection.has_answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(failure)) => {
                if !status::is_answer(&failure) {
                    self.discard(&connection);
                }
                Err(self.explain(&connection, status::error(failure, operation, subject)).await)
            }
            Err(_) => {
                self.discard(&connection);
                Err(silent(operation, subject, &connection.peer, limit))
            }
        }
    }

    fn current(&self) -> Option<Arc<Connection>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self) -> Result<Connection> {
        let first = self.first.load(Ordering::Relaxed);
        let mut errors = Vec::new();
        for turn in 0..self.endpoints.len() {
            let number = (first + turn) % self.endpoints.len();
            match self.open_one(number).await {
                Ok(connection) => {
                    self.first.store(number, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) if error.kind() == ErrorKind::Denied => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        if errors.len() == 1 {
            return Err(errors.remove(0));
        }
        let each: Vec<String> = errors.iter().map(Error::chain).collect();
        let may_pass = errors.iter().any(Error::is_transient);
        let kind = if may_pass { ErrorKind::Unavailable } else { ErrorKind::Invalid };
        Err(Error::new(kind, STORE, "connect to", "any of the endpoints").because(each.join("; ")))
    }

    async fn open_one(&self, number: usize) -> Result<Connection> {
        let peer = self.settings.endpoints[number].clone();
        let timeout = self.settings.connect_timeout;
        let opening = async {
            let is_secure = peer.starts_with("https:");
            let connector = connect_once(timeout, is_secure, self.wrapping.clone().filter(|_| is_secure));
            let channel = self.endpoints[number].connect_with_connector(connector).await;
            let channel = Channel::Tonic(channel.map_err(etcd_client::Error::from)?);
            Client::from_channel(channel, Some(self.options())).await
        };
        match tokio::time::timeout(timeout, opening).await {
            Ok(Ok(client)) => Ok(Connection { client, peer, number, has_answered: AtomicBool::new(false) }),
            Ok(Err(failure)) => {
                Err(self.without_v3(number, status::error(failure, "connect to", peer)).await)
            }
            Err(_) => Err(silent("connect to", &peer, &peer, timeout)),
        }
    }

    async fn explain(&self, connection: &Connection, error: Error) -> Error {
        if connection.has_answered.load(Ordering::Relaxed) {
            return error;
        }
        connection.explain(self.without_v3(connection.number, error).await)
    }

    /// Says what is there, if it is a server without the v3 API: to one that knows HTTP/1 only, our words are
    /// none, and it closes the connection.
    async fn without_v3(&self, number: usize, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unsupported) {
            return error;
        }
        let target = &self.targets[number];
        let url = &target.url;
        let advice = match speaks::find(target, self.settings.request_timeout).await {
            Found::Etcd(version) if !version.has_v3() => {
                format!("etcd at {url}: answers HTTP/1 but no v3 API ({version}); use -backend etcd")
            }
            Found::Other => {
                format!("{url}: answers HTTP/1 but no v3 API; is it an etcd 2? Then use -backend etcd")
            }
            Found::Etcd(_) | Found::Nothing => return error,
        };
        error.with_kind(ErrorKind::Unsupported).because(advice)
    }

    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
        match &self.settings.user {
            Some((name, password)) => options.with_user(name, password),
            None => options,
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl Connection {
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// A server that refuses the client's certificate says so after the handshake, when the connection counts
    /// as open, and mostly to a task of tonic's that keeps it to itself.
    fn explain(&self, error: Error) -> Error {
        if !self.peer.starts_with("https:") || !error.is_transient() {
            return error;
        }
        let peer = &self.peer;
        error
            .because(format!("{peer} ended the connection at once; does it want another client certificate?"))
    }

    /// Reads, without tonic's limit of 4 MiB an answer: etcd sends what is asked for.
    pub(super) fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(usize::MAX)
    }

    pub(super) fn watch(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(usize::MAX)
    }
}

pub(super) fn silent(
    operation: &'static str,
    subject: impl fmt::Display,
    peer: &str,
    timeout: Duration,
) -> Error {
    Error::new(ErrorKind::Unavailable, STORE, operation, subject)
        .because(format!("{peer} did not answer within {timeout:?}"))
}

fn endpoint(url: &str, settings: &Settings) -> Result<Endpoint> {
    let bad = |why: &dyn fmt::Display| invalid("use the endpoint", url, why);
    let uri: Uri = url.parse().map_err(|error| bad(&error))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(bad(&"it must be http://HOST:PORT or https://HOST:PORT"));
    }
    let endpoint = Endpoint::from(uri.clone());
    if uri.scheme_str() == Some("http") {
        return Ok(endpoint);
    }
    if settings.tls.insecure {
        // tonic checks certificates, so it is told that there are none; the connector knows better.
        let uri: Uri = url.replacen("https", "http", 1).parse().map_err(|error| bad(&error))?;
        return Ok(Endpoint::from(uri));
    }
    endpoint.tls_config(tls(&settings.tls)).map_err(|error| bad(&error))
}

fn wrapping(settings: &Settings) -> Result<TlsConnector> {
    let config = settings.tls.client().map_err(|why| invalid("connect to", "it", why))?;
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn tls(tls: &Tls) -> ClientTlsConfig {
    let config = match &tls.authority {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &tls.identity {
        Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        None => config,
    }
}

/// A connection, whatever is around it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects once. tonic's channels reconnect by themselves, unseen; this makes the second try an error.
fn connect_once(
    timeout: Duration,
    is_secure: bool,
    wrapping: Option<TlsConnector>,
) -> impl tower::Service<
    Uri,
    Response = TokioIo<Box<dyn Stream>>,
    Error = io::Error,
    Future = impl Future<Output = io::Result<TokioIo<Box<dyn Stream>>>> + Send,
> + Send
+ 'static {
    let is_used = Arc::new(AtomicBool::new(false));
    tower::service_fn(move |uri: Uri| {
        let is_used = is_used.swap(true, Ordering::Relaxed);
        let wrapping = wrapping.clone();
        async move {
            if is_used {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
            }
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
            let stream = tokio::time::timeout(timeout, TcpStream::connect((&*host, port))).await??;
            stream.set_nodelay(true)?;
            let Some(wrapping) = wrapping else {
                return Ok(TokioIo::new(Box::new(stream) as Box<dyn Stream>));
            };
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            Ok(TokioIo::new(Box::new(wrapping.connect(name, stream).await?)))
        }
    })
}
