//! etcd's JSON gateway: the v3 API as HTTP/1.1 with JSON bodies, keys and values in base64.
//!
//! It needs no gRPC client here, and costs a fraction of an `etcdctl` process a call.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::{Outcome, client};

/// Longer than etcd's own limit on a request without a leader (5 s and two election timeouts).
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// A plain-text address of an etcd, the user to be there, and the limit on each request.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) url: String,
    pub(super) user: Option<(String, String)>,
    pub(super) timeout: Duration,
}

impl Gateway {
    /// Calls `/v3/PATH`, as the user if there is one, and returns the answer.
    pub(super) fn call(&self, path: &str, body: &Value) -> Outcome<Value> {
        let token = self.token()?;
        let headers: Vec<(&str, &str)> =
            token.iter().map(|token| ("Authorization", token.as_str())).collect();
        self.post(path, &headers, body)
    }

    /// A fresh token for each call: a token can expire, and with it a test's set-up.
    fn token(&self) -> Outcome<Option<String>> {
        let Some((name, password)) = &self.user else { return Ok(None) };
        let answer = self.post("auth/authenticate", &[], &json!({ "name": name, "password": password }))?;
        Ok(answer["token"].as_str().map(str::to_owned))
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Outcome<Value> {
        let url = format!("{}/v3/{path}", self.url);
        let failed = |why: String| format!("etcd: {path} at {}: {why}", self.url);
        let response = client::post(&url, headers, body.to_string().as_bytes(), self.timeout)
            .map_err(|why| failed(why.to_string()))?;
        if response.status != 200 {
            return Err(failed(format!("{} {}", response.status, response.text().trim())));
        }
        serde_json::from_slice(&response.body).map_err(|why| failed(why.to_string()))
    }
}

/// Bytes as the gateway wants them.
pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Bytes as the gateway gives them; an empty field is left out there.
pub(super) fn decode(field: &Value) -> Outcome<Vec<u8>> {
    let text = field.as_str().unwrap_or_default();
    STANDARD.decode(text).map_err(|why| format!("etcd: not base64: {text:?}: {why}"))
}

/// A number as the gateway gives it: a string, because JSON's numbers are too small, or left out for 0.
pub(super) fn number(field: &Value) -> i64 {
    field.as_str().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The first key after all those that begin with `prefix`, as etcd's `range_end` wants it.
pub(super) fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0] // No key is after all of them: etcd's word for "to the end".
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_byte() {
        assert_eq!(prefix_end("/web/"), b"/web0");
        assert_eq!(prefix_end(""), [0]);
    }
}
