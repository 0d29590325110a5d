//! HTTP/1.1 to the local agent, over its Unix socket: one connection a request.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// No answer but an event stream is longer.
const LONGEST: usize = 64 << 20;

/// An answer whose body is still to come. Dropping it ends the connection.
pub(super) struct Answer {
    response: Response<Incoming>,
    task: JoinHandle<()>,
}

impl Answer {
    /// The next bytes of the body; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match self.response.body_mut().frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// All of the body.
    pub(super) async fn body(&mut self) -> Result<Bytes, String> {
        let body = Limited::new(self.response.body_mut(), LONGEST).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks the agent at `socket` for `path`; the error is one line, with what the agent says if it refuses.
pub(super) async fn get(socket: &Path, path: &str) -> Result<Answer, String> {
    let failed = |why: String| format!("the agent at {} does not answer: {why}", socket.display());
    let stream = UnixStream::connect(socket).await.map_err(|error| failed(error.to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
    let task = tokio::spawn(async move {
        // What ended it is told to the request that was under way.
        let _ = connection.await;
    });
    let request = Request::get(path).header("Host", "localhost").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => {
            task.abort();
            return Err(failed(error.to_string()));
        }
    };
    let status = response.status();
    let mut answer = Answer { response, task };
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.body().await.unwrap_or_default();
    let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let said = said.as_ref().and_then(|said| said.get("error")?.as_str()).unwrap_or("it says no more");
    Err(format!("the agent at {} answers {status}: {said}", socket.display()))
}

/// A name as it stands in a URL, its slashes too.
pub(super) fn encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
