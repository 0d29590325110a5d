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
        self.number().is_some_and(|number| number >= (3, 0))
    }

    /// Whether it can be started with the v2 API: etcd 3.6 has it no more.
    #[cfg(feature = "etcd-v2")]
    pub(crate) fn may_have_v2(&self) -> bool {
        self.number().is_some_and(|number| number < (3, 6))
    }

    fn number(&self) -> Option<(u32, u32)> {
        let mut parts = self.etcdserver.split('.').map_while(|text| text.parse().ok());
        Some((parts.next()?, parts.next()?))
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

#[cfg(all(test, feature = "etcd-v2"))]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_which_apis_there_can_be() {
        for (etcdserver, has_v3, may_have_v2) in
            [("2.3.8", false, true), ("3.4.23", true, true), ("3.6.0-rc.1", true, false), ("x", false, false)]
        {
            let version = Version { etcdserver: etcdserver.to_owned() };
            assert_eq!((version.has_v3(), version.may_have_v2()), (has_v3, may_have_v2), "{etcdserver}");
        }
    }

    #[test]
    fn a_version_is_shown_on_one_line() {
        let version = Version { etcdserver: "3.4\n\u{1b}[31m".to_owned() + &"x".repeat(100) };
        assert_eq!(version.to_string(), format!("3.431m{}", "x".repeat(34)));
    }
}
