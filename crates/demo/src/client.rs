//! A client of HTTP/1.1: one connection a request, one answer within a time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Asks for `path` on a connection of its own. The error is one line.
pub(crate) async fn get(server: SocketAddr, path: &str, timeout: Duration) -> Result<Response, String> {
    let answer = tokio::time::timeout(timeout, ask(server, path)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}

async fn ask(server: SocketAddr, path: &str) -> Result<Response, String> {
    let refused = |error: io::Error| format!("no connection: {error}");
    let stream = TcpStream::connect(server).await.map_err(refused)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(path)
        .header(header::HOST, server.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        Ok(Response { status: head.status, headers: head.headers, body })
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The connection is over; whatever it brought is there by now.
        _ = connection => exchange.await,
    }
}

fn broken(error: hyper::Error) -> String {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("no whole answer: {error}{cause}")
}
