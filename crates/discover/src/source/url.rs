//! Which registry a URL names.

use std::path::PathBuf;
use std::sync::Arc;

use waypost_backend::Backend;

/// Where the local agent answers unless told otherwise.
pub const AGENT_SOCKET: &str = "/run/waypost/api.sock";

/// Why a URL leads to no registry. It does not quote the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot discover: {0}")]
pub struct InvalidUrl(String);

/// What a URL names.
#[derive(Debug)]
#[allow(dead_code, reason = "without its feature, none of a kind is ever made")]
pub(crate) enum Source {
    /// The local agent at a Unix socket.
    #[cfg(feature = "agent")]
    Agent(PathBuf),
    /// A store that is read directly.
    Store(Arc<dyn Backend>),
}

/// Reads `unix:/path`, `agent:`, `etcd://HOST:PORT,…`, `http://…`, `https://…`, `file:///path` and `env:`.
pub(crate) fn parse(url: &str) -> Result<Source, InvalidUrl> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(InvalidUrl("the URL has no scheme, such as agent: or etcd:".to_owned()));
    };
    let path = || PathBuf::from(rest.strip_prefix("//").unwrap_or(rest));
    match scheme {
        "agent" if matches!(rest, "" | "//") => agent(AGENT_SOCKET.into()),
        "agent" => Err(InvalidUrl("`agent:` takes no path; `unix:/path` does".to_owned())),
        "unix" if path().is_absolute() => agent(path()),
        "unix" => Err(InvalidUrl("`unix:` needs an absolute path".to_owned())),
        "etcd" | "http" | "https" => etcd(scheme, rest),
        "file" if path().is_absolute() => file(path()),
        "file" => Err(InvalidUrl("`file:` needs an absolute path".to_owned())),
        "env" => env(),
        other => Err(InvalidUrl(format!(
            "`{other}:` is no registry; there are agent:, unix:, etcd:, http:, https:, file: and env:"
        ))),
    }
}

#[allow(dead_code, reason = "with all features nothing lacks")]
fn lacking(feature: &str) -> InvalidUrl {
    InvalidUrl(format!("this program was built without the feature `{feature}` of waypost-discover"))
}

#[cfg(feature = "agent")]
fn agent(socket: PathBuf) -> Result<Source, InvalidUrl> {
    Ok(Source::Agent(socket))
}

#[cfg(not(feature = "agent"))]
fn agent(_: PathBuf) -> Result<Source, InvalidUrl> {
    Err(lacking("agent"))
}

#[cfg(feature = "etcd")]
fn etcd(scheme: &str, rest: &str) -> Result<Source, InvalidUrl> {
    use waypost_backend::etcd::{Etcd, Settings};

    let scheme = if scheme == "etcd" { "http" } else { scheme };
    let hosts = rest.trim_start_matches("//").trim_end_matches('/').split(',');
    // Each may be a whole URL, or stand under the scheme of the first.
    let endpoints = hosts.map(|host| match host.contains("://") {
        true => host.to_owned(),
        false => format!("{scheme}://{host}"),
    });
    let etcd = Etcd::new(Settings::new(endpoints)).map_err(|error| InvalidUrl(error.chain()))?;
    Ok(Source::Store(Arc::new(etcd)))
}

#[cfg(not(feature = "etcd"))]
fn etcd(_: &str, _: &str) -> Result<Source, InvalidUrl> {
    Err(lacking("etcd"))
}

#[cfg(feature = "file")]
fn file(path: PathBuf) -> Result<Source, InvalidUrl> {
    use waypost_backend::file::{Settings, open};

    let files = open(Settings::new([path])).map_err(|error| InvalidUrl(error.chain()))?;
    Ok(Source::Store(Arc::new(files)))
}

#[cfg(not(feature = "file"))]
fn file(_: PathBuf) -> Result<Source, InvalidUrl> {
    Err(lacking("file"))
}

#[cfg(feature = "env")]
fn env() -> Result<Source, InvalidUrl> {
    let is_text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = std::env::vars_os().filter_map(is_text);
    Ok(Source::Store(Arc::new(waypost_backend::env::Env::new(variables))))
}

#[cfg(not(feature = "env"))]
fn env() -> Result<Source, InvalidUrl> {
    Err(lacking("env"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "agent")]
    fn the_agent_is_named_by_its_socket_or_by_itself() {
        for (url, path) in
            [("agent:", AGENT_SOCKET), ("unix:/a/b.sock", "/a/b.sock"), ("unix:///a/b.sock", "/a/b.sock")]
        {
            let Ok(Source::Agent(socket)) = parse(url) else { panic!("{url}") };
            assert_eq!(socket.to_str(), Some(path));
        }
    }

    #[test]
    fn what_is_no_registry_is_refused_without_being_quoted() {
        for url in
            ["hunter2", "ftp://u:hunter2@h", "unix:hunter2", "file:hunter2", "agent:hunter2", "http://"]
        {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.starts_with("cannot discover: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    #[cfg(all(feature = "etcd", feature = "file", feature = "env"))]
    fn stores_are_named_by_their_urls() {
        for url in
            ["etcd://a:1,b:2", "http://a:1,http://b:2/", "https://a:1", "file:///etc/services.yaml", "env:"]
        {
            assert!(matches!(parse(url), Ok(Source::Store(_))), "{url}");
        }
    }
}
