//! Which of etcd's APIs a node speaks, for errors that say what to do.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::http1::{Target, body_of};

/// What an etcd says of itself at `/version`, which all of them answer over HTTP/1.
///
/// Source: etcd's `version/version.go`; etcd 2 answers the same.
#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    etcdserver: String,
}

impl Version {
    /// Whether it is of a version that has the v3 API.
    pub(crate) fn has_v3(&self) -> bool {
        let major = self.etcdserver.split('.').next().and_then(|text| text.parse::<u32>().ok());
        major.is_some_and(|major| major >= 3)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It comes from a server that may be anything, and goes into an error of one line.
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        self.etcdserver.chars().filter(is_plain).take(40).try_for_each(|c| write!(f, "{c}"))
    }
}

/// What answers HTTP/1 at an address.
pub(crate) enum Found {
    Etcd(Version),
    /// Anything else.
    Other,
    Nothing,
}

/// Asks `target`, which has `limit` to answer.
pub(crate) async fn find(target: &Target, limit: Duration) -> Found {
    let asking = async {
        let mut connection = target.connect().await.ok()?;
        let answer = connection.get("/version", None).await.ok()?;
        body_of(answer).await.ok()
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(Some(body)) => serde_json::from_slice(&body).map_or(Found::Other, Found::Etcd),
        Ok(None) | Err(_) => Found::Nothing,
    }
}
