//! Which store, and how it is reached: the flags that all commands share.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use waypost_backend::etcd::{self, Etcd, Tls};
use waypost_backend::{Backend, Error, ErrorKind, Registry, env, file};
use waypost_model::Endpoint;

use crate::access::Access;
use crate::configuration::Configuration;
use crate::{Failed, gateway};

const DEFAULT_PORT: u16 = 2379;

/// The registry.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Arguments {
    /// Where the keys are
    #[arg(long, global = true, value_enum, default_value_t = Kind::Etcd, env = "WAYPOST_BACKEND")]
    backend: Kind,
    /// An etcd to ask: URL, HOST:PORT, or `gateway` for the default gateway (from inside a container: its
    /// host); may be repeated [default: 127.0.0.1:2379]
    #[arg(long, global = true, value_name = "NODE", value_delimiter = ',', env = "ETCD_ENDPOINT")]
    node: Vec<String>,
    /// A YAML, JSON or TOML file, or a directory of such; may be repeated
    #[arg(long, global = true, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Which files of a directory count
    #[arg(long, global = true, value_name = "GLOB", default_value = "*")]
    filter: String,
    /// The user to log in as
    #[arg(long, global = true, env = "WAYPOST_USERNAME")]
    username: Option<String>,
    /// The file with the user's password; without it the variable WAYPOST_PASSWORD
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The authorities that may have signed the server's certificate (PEM) [default: the system's]
    #[arg(long, global = true, value_name = "FILE", env = "WAYPOST_CLIENT_CAKEYS")]
    client_ca_keys: Option<PathBuf>,
    /// The certificate to show (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "client_key", env = "WAYPOST_CLIENT_CERT")]
    client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert", env = "WAYPOST_CLIENT_KEY")]
    client_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// etcd's v3 API
    #[value(alias = "etcdv3")]
    Etcd,
    /// The variables of the environment
    Env,
    /// Files
    File,
}

/// An open store.
pub(crate) struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    registry: Option<Arc<dyn Registry>>,
    /// Where it is reached; empty for one on this host.
    pub(crate) endpoints: Vec<Endpoint>,
    name: &'static str,
}

impl Store {
    /// It and the stores that resources have of their own.
    pub(crate) fn with(&self, configuration: &Configuration) -> Result<Vec<Arc<dyn Backend>>, Failed> {
        let own = configuration.backends.iter().map(Access::open);
        std::iter::once(Ok(Arc::clone(&self.backend))).chain(own).collect()
    }

    /// Its writing side.
    pub(crate) fn registry(&self) -> Result<Arc<dyn Registry>, Failed> {
        let unsupported = || Error::new(ErrorKind::Unsupported, self.name, "write", "a key");
        self.registry.clone().ok_or_else(|| unsupported().into())
    }
}

impl Arguments {
    /// The same as confd's flags.
    pub(crate) fn as_confds(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut put = |flag: &str, value: String| words.extend([format!("--{flag}"), value]);
        match self.backend {
            Kind::Etcd if !self.file.is_empty() && self.node.is_empty() => put("backend", "file".into()),
            Kind::Etcd => {}
            Kind::Env => put("backend", "env".into()),
            Kind::File => put("backend", "file".into()),
        }
        self.node.iter().for_each(|node| put("node", node.clone()));
        self.file.iter().for_each(|file| put("file", file.display().to_string()));
        if self.filter != "*" {
            put("filter", self.filter.clone());
        }
        self.username.iter().for_each(|name| put("username", name.clone()));
        for (flag, path) in [
            ("client-ca-keys", &self.client_ca_keys),
            ("client-cert", &self.client_cert),
            ("client-key", &self.client_key),
        ] {
            path.iter().for_each(|path| put(flag, path.display().to_string()));
        }
        words
    }

    /// Whether a flag or a variable names a store; if none does, it is the etcd on this host.
    pub(crate) fn is_said(&self) -> bool {
        self.backend != Kind::Etcd || !self.node.is_empty() || !self.file.is_empty()
    }

    /// Opens the store that the flags name.
    pub(crate) fn open(&self) -> Result<Store, Failed> {
        match self.backend {
            // A file says by itself what it is.
            Kind::Etcd if !self.file.is_empty() && self.node.is_empty() => self.open_file(),
            Kind::Etcd => self.open_etcd(),
            Kind::Env => {
                let backend = Arc::new(env::Env::new(environment()));
                Ok(Store { backend, registry: None, endpoints: Vec::new(), name: "env" })
            }
            Kind::File => self.open_file(),
        }
    }

    fn open_file(&self) -> Result<Store, Failed> {
        if self.file.is_empty() {
            return Err("the file backend needs at least one --file".into());
        }
        let mut settings = file::Settings::new(self.file.iter().cloned());
        settings.filter.clone_from(&self.filter);
        let backend = Arc::new(file::open(settings)?);
        Ok(Store { backend, registry: None, endpoints: Vec::new(), name: "file" })
    }

    fn open_etcd(&self) -> Result<Store, Failed> {
        let (settings, endpoints) = self.reach().settings()?;
        let etcd = Etcd::new(settings)?;
        Ok(Store { backend: Arc::new(etcd.clone()), registry: Some(Arc::new(etcd)), endpoints, name: "etcd" })
    }

    fn reach(&self) -> Reach<'_> {
        Reach {
            nodes: &self.node,
            username: self.username.as_deref(),
            password_file: self.password_file.as_deref(),
            named: Named {
                username: "--username",
                password_file: "--password-file",
                password: "WAYPOST_PASSWORD",
            },
            client_ca_keys: self.client_ca_keys.as_deref(),
            client_cert: self.client_cert.as_deref(),
            client_key: self.client_key.as_deref(),
        }
    }
}

/// How an etcd is reached, whichever flags say it.
pub(crate) struct Reach<'a> {
    /// As they are given; none is the one on this host.
    pub(crate) nodes: &'a [String],
    pub(crate) username: Option<&'a str>,
    pub(crate) password_file: Option<&'a Path>,
    pub(crate) named: Named,
    pub(crate) client_ca_keys: Option<&'a Path>,
    pub(crate) client_cert: Option<&'a Path>,
    pub(crate) client_key: Option<&'a Path>,
}

/// What the flags of a [`Reach`] are called.
pub(crate) struct Named {
    pub(crate) username: &'static str,
    pub(crate) password_file: &'static str,
    /// The variable that holds the password if no file does.
    pub(crate) password: &'static str,
}

impl Reach<'_> {
    /// What the etcd is opened with, and where it is.
    pub(crate) fn settings(&self) -> Result<(etcd::Settings, Vec<Endpoint>), Failed> {
        let is_tls = self.client_ca_keys.is_some() || self.client_cert.is_some();
        let default = [format!("127.0.0.1:{DEFAULT_PORT}")];
        let nodes = if self.nodes.is_empty() { &default[..] } else { self.nodes };
        let nodes =
            nodes.iter().map(|node| parse_node(node, is_tls, DEFAULT_PORT)).collect::<Result<Vec<_>, _>>()?;
        let mut settings = etcd::Settings::new(nodes.iter().map(|node| node.url.clone()));
        settings.user = self.user()?;
        settings.tls = self.tls()?;
        Ok((settings, nodes.into_iter().map(|node| node.endpoint).collect()))
    }

    fn user(&self) -> Result<Option<(String, String)>, Failed> {
        let Some(name) = self.username else { return Ok(None) };
        let Named { username, password_file, password } = self.named;
        let password = match self.password_file {
            Some(path) => String::from_utf8(read(path)?)?.trim_end_matches(['\r', '\n']).to_owned(),
            None => std::env::var(password)
                .map_err(|_| format!("{username} needs {password_file}, or the variable {password}"))?,
        };
        Ok(Some((name.to_owned(), password)))
    }

    fn tls(&self) -> Result<Tls, Failed> {
        let authority = self.client_ca_keys.map(read).transpose()?;
        let identity = match (self.client_cert, self.client_key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        Ok(Tls { authority, identity, insecure: false })
    }
}

/// The variables that are text; others cannot be keys.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(text)
}

fn text((name, value): (impl AsRef<OsStr>, impl AsRef<OsStr>)) -> Option<(String, String)> {
    Some((name.as_ref().to_str()?.to_owned(), value.as_ref().to_str()?.to_owned()))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) url: String,
    endpoint: Endpoint,
}

/// Reads a node as it is given: with or without a scheme, with or without a port.
pub(crate) fn parse_node(node: &str, is_tls: bool, default_port: u16) -> Result<Node, Failed> {
    let (scheme, rest) = match node.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => {
            return Err(format!("the node `{node}` must be http://HOST:PORT or https://HOST:PORT").into());
        }
        None => (if is_tls { "https" } else { "http" }, node),
    };
    let rest = rest.trim_end_matches('/');
    let rest = match rest.strip_prefix("gateway") {
        Some(port) if port.is_empty() || port.starts_with(':') => {
            let gateway = gateway::default_gateway();
            let gateway = gateway.map_err(|error| format!("cannot find the node `gateway`: {error}"))?;
            format!("{gateway}{port}")
        }
        _ => rest.to_owned(),
    };
    let has_port = rest.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let endpoint = if has_port { rest } else { format!("{rest}:{default_port}") };
    let endpoint: Endpoint = endpoint.parse()?;
    Ok(Node { url: format!("{scheme}://{endpoint}"), endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(node: &str) -> String {
        parse_node(node, false, DEFAULT_PORT).unwrap().url
    }

    #[test]
    fn nodes_are_read_as_they_are_given() {
        assert_eq!(url("10.0.0.1"), "http://10.0.0.1:2379");
        assert_eq!(url("etcd:4001"), "http://etcd:4001");
        assert_eq!(url("https://etcd/"), "https://etcd:2379");
        assert_eq!(url("[fd00::1]"), "http://[fd00::1]:2379");
        assert_eq!(url("http://[fd00::1]:99"), "http://[fd00::1]:99");
        assert_eq!(parse_node("etcd", true, 4001).unwrap().url, "https://etcd:4001");
    }

    #[test]
    fn what_is_no_node_is_refused() {
        for node in ["ftp://x", "http://", "a b", "x:0", ""] {
            assert!(parse_node(node, false, DEFAULT_PORT).is_err(), "{node}");
        }
    }
}
