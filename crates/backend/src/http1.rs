//! HTTP/1.1 to one server, on connections that are opened, used and ended by whoever asks.
//!
//! A client with a pool reconnects unseen; here a connection that breaks is an error, so that a change of the
//! server behind an address does not go unnoticed.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::Tls;

/// Why nothing came back: of the socket, of TLS or of HTTP.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A server's address, as a URL told it.
pub(crate) struct Target {
    /// As it was given, for errors.
    pub(crate) url: String,
    host: String,
    port: u16,
    authority: HeaderValue,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// Takes `http://HOST:PORT` or `https://HOST:PORT`; the error says what is wrong with it.
    pub(crate) fn new(url: &str, tls: &Tls) -> Result<Target, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let (Some(scheme), Some(authority), "" | "/") = (scheme, uri.authority(), uri.path()) else {
            return Err("it must be http://HOST:PORT or https://HOST:PORT".to_owned());
        };
        let host = authority.host();
        let is_plain = match authority.port_u16() {
            Some(port) => authority.as_str() == format!("{host}:{port}"),
            None => authority.as_str() == host,
        };
        if !is_plain {
            return Err("a host and a port from 0 to 65535 are all that it may have".to_owned());
        }
        let is_secure = scheme == "https";
        Ok(Target {
            url: url.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?,
            tls: is_secure.then(|| tls.client()).transpose()?,
        })
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let (stream, end) = with_second_handle(stream)?;
        let (sender, task) = match &self.tls {
            None => speak_on(stream).await?,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone())?;
                speak_on(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?).await?
            }
        };
        Ok(Connection { sender, task, end, has_hung_up: false, authority: self.authority.clone() })
    }
}

/// An open connection, for one request at a time. Dropping it ends it.
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    task: JoinHandle<()>,
    /// The same socket once more.
    end: std::net::TcpStream,
    has_hung_up: bool,
    authority: HeaderValue,
}

impl Connection {
    /// Asks for `path`, which includes the query; gives the answer when its headers are there.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        credentials: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::get(path).header(HOST, &self.authority);
        if let Some(credentials) = credentials {
            request = request.header(AUTHORIZATION, credentials);
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Empty::new())?).await?)
    }

    /// Whether another request may be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.has_hung_up && !self.sender.is_closed()
    }

    /// Returns when the connection is over, whoever ended it.
    pub(crate) async fn ended(&mut self) {
        // The task has nothing to return, and nobody else ends it.
        let _ = (&mut self.task).await;
    }

    /// Says that nothing more will be asked. A server that was about to answer later ends its answer now, after
    /// all that it has sent already.
    pub(crate) fn hang_up(&mut self) {
        self.has_hung_up = true;
        // A connection that is gone already has nothing to be told.
        let _ = self.end.shutdown(std::net::Shutdown::Write);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All of an answer's body.
pub(crate) async fn body_of(answer: Response<Incoming>) -> Result<Bytes, Failure> {
    Ok(answer.into_body().collect().await?.to_bytes())
}

/// `path` as it stands in a URL.
pub(crate) fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

async fn speak_on(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<(SendRequest<Empty<Bytes>>, JoinHandle<()>), Failure> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let task = tokio::spawn(async move {
        // What ended it is told to the request that was under way.
        let _ = connection.await;
    });
    Ok((sender, task))
}

fn with_second_handle(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_encoded_but_for_its_slashes() {
        assert_eq!(encoded("/a b/ü?x=%/-._~"), "/a%20b/%C3%BC%3Fx%3D%25/-._~");
    }

    #[test]
    fn only_addresses_of_http_servers_are_taken() {
        let target = |url: &str| Target::new(url, &Tls::default());
        for url in
            ["", "127.0.0.1:4001", "ftp://a:1", "http://", "http://a:1/v2", "http://a:99999", "http://u@a:1"]
        {
            assert!(target(url).is_err(), "{url}");
        }
        let target = target("http://[::1]:4001/").unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((target.host.as_str(), target.port), ("::1", 4001));
    }
}
