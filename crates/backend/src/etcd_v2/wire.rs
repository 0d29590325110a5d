//! What the v2 API answers, and what that means.

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use waypost_model::StoreId;

use super::{STORE, invalid};
use crate::{Error, ErrorKind, Result};

/// A key or a directory.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Node {
    /// Absent for the root.
    pub(super) key: String,
    pub(super) value: String,
    pub(super) dir: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) modified_index: u64,
}

/// The answer to a read, and an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) action: String,
    pub(super) node: Node,
    pub(super) prev_node: Option<Node>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    error_code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    cause: String,
    #[serde(default)]
    index: u64,
}

/// Where the store is, as an answer's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) store: StoreId,
    pub(super) index: u64,
}

/// None if the answer does not come from etcd's v2 API, or has no say, as a refusal of credentials.
pub(super) fn at(headers: &HeaderMap) -> Option<At> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let store = u64::from_str_radix(text("x-etcd-cluster-id")?, 16).ok()?;
    let index = text("x-etcd-index")?.parse().ok()?;
    // The two APIs of one cluster are two stores: an index of one says nothing of a revision of the other.
    Some(At { store: StoreId::Lasting(!store), index })
}

/// What an answer to `operation` on `subject` holds; none if there is no such key.
pub(super) fn judge(
    status: StatusCode,
    body: &Bytes,
    operation: &'static str,
    subject: &str,
) -> Result<Option<Event>> {
    if status.is_success() {
        let event = serde_json::from_slice(body);
        return event.map(Some).map_err(|why| invalid(operation, subject, without_text(&why)));
    }
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        let kind = match status.as_u16() {
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::Unsupported,
            408 | 429 | 500.. => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        };
        return Err(Error::new(kind, STORE, operation, subject).because(format!("the answer is {status}")));
    };
    match kind_of(&refusal, status) {
        None => Ok(None),
        Some(kind) => Err(Error::new(kind, STORE, operation, subject).because(refusal.shown())),
    }
}

/// None where there is no key: neither an unknown name nor one below a key is an error to a reader.
///
/// Source: etcd's `v2error/error.go`: 100 `EcodeKeyNotFound`, 104 `EcodeNotDir`, 110 `EcodeUnauthorized`,
/// 3xx raft's, 401 `EcodeEventIndexCleared`.
fn kind_of(refusal: &Refusal, status: StatusCode) -> Option<ErrorKind> {
    match (refusal.error_code, status.as_u16()) {
        (100 | 104, _) => None,
        (401, _) => Some(ErrorKind::Lost),
        (110, _) | (_, 401 | 403) => Some(ErrorKind::Denied),
        (300..=399, _) | (_, 500..) => Some(ErrorKind::Unavailable),
        _ => Some(ErrorKind::Invalid),
    }
}

impl Refusal {
    fn shown(&self) -> String {
        let Refusal { error_code, message, cause, index } = self;
        let cause = if cause.is_empty() { String::new() } else { format!(" ({cause})") };
        format!("{message}{cause}, etcd's error {error_code} at index {index}")
    }
}

/// serde's own words quote what it read, which may be a value.
fn without_text(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "it is not what etcd's v2 API answers",
    };
    format!("{what} (byte {} of line {})", error.column(), error.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Result<Option<Event>> {
        judge(StatusCode::from_u16(status).unwrap(), &Bytes::from_static(body.as_bytes()), "read", "/app")
    }

    #[test]
    fn etcds_refusals_are_told_apart() {
        let refusal = |status, code: u32| {
            let body = format!(r#"{{"errorCode":{code},"message":"m","cause":"c","index":7}}"#);
            answer(status, body.leak()).map_err(|error| error.kind())
        };
        assert!(matches!(refusal(404, 100), Ok(None)));
        assert!(matches!(refusal(400, 104), Ok(None)), "below a key there is nothing");
        assert_eq!(refusal(400, 401).unwrap_err(), ErrorKind::Lost);
        assert_eq!(refusal(401, 110).unwrap_err(), ErrorKind::Denied);
        assert_eq!(refusal(500, 300).unwrap_err(), ErrorKind::Unavailable);
        assert_eq!(refusal(400, 209).unwrap_err(), ErrorKind::Invalid);
    }

    #[test]
    fn answers_of_others_than_etcd_are_told_apart() {
        let kind = |status| answer(status, "<html>").unwrap_err().kind();
        assert_eq!(kind(404), ErrorKind::Unsupported);
        assert_eq!(kind(403), ErrorKind::Denied);
        assert_eq!(kind(502), ErrorKind::Unavailable);
        assert_eq!(kind(301), ErrorKind::Invalid);
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        let error = answer(200, r#"{"action":"get","node":{"value":{"hunter2":1}}}"#).unwrap_err();
        assert!(!error.chain().contains("hunter2"), "{}", error.chain());
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
