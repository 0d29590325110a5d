//! Which store, and how it is reached, in confd's words: its flags, `confd.toml` and a resource's `[backend]`
//! table say the same things under the same names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use waypost_backend::etcd::{self, Etcd, Tls};
use waypost_backend::etcd_v2::{self, EtcdV2};
use waypost_backend::{Backend, env, file};

use crate::Failed;
use crate::duration::duration;
use crate::store::{environment, parse_node, read};

/// What speaks behind a store's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// etcd's v2 keys API.
    Etcd2,
    /// etcd's v3 API.
    Etcd3,
    Env,
    File,
    /// A store that confd reads, and waypost does not yet.
    Unbuilt(&'static str),
}

/// What confd 0.41 and 0.16 read besides.
const UNBUILT: [&str; 11] = [
    "consul",
    "vault",
    "redis",
    "zookeeper",
    "dynamodb",
    "ssm",
    "acm",
    "secretsmanager",
    "imds",
    "rancher",
    "stackengine",
];

impl Kind {
    /// The store of that name; `etcd` is the v3 API's unless `etcd_is_v2`, as it was to confd 0.16.
    pub(crate) fn of(name: &str, etcd_is_v2: bool) -> Option<Kind> {
        Some(match name {
            "etcd" if etcd_is_v2 => Kind::Etcd2,
            "etcd" | "etcdv3" => Kind::Etcd3,
            "etcdv2" => Kind::Etcd2,
            "env" => Kind::Env,
            "file" => Kind::File,
            other => Kind::Unbuilt(UNBUILT.iter().find(|name| **name == other)?),
        })
    }

    /// A key as the store spells it: the environment has no `_`, and no capitals.
    pub(crate) fn spelling(self, key: &str) -> String {
        match self {
            Kind::Env => key.to_lowercase().replace('_', "/"),
            _ => key.to_owned(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Etcd2 => "etcd (v2)",
            Kind::Etcd3 => "etcd",
            Kind::Env => "env",
            Kind::File => "file",
            Kind::Unbuilt(name) => name,
        }
    }
}

/// A store and what was said of how to reach it, each under the name of confd's flag.
///
/// Two that are equal are one store. Passwords are among the values, so `Debug` shows the names only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Access {
    kind: Kind,
    values: BTreeMap<String, Vec<String>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("kind", &self.kind).field("given", &self.values.keys()).finish()
    }
}

impl Access {
    pub(crate) fn new(kind: Kind, values: BTreeMap<String, Vec<String>>) -> Access {
        Access { kind, values }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The same with other nodes.
    pub(crate) fn with_nodes(mut self, nodes: Vec<String>) -> Access {
        self.values.insert("node".to_owned(), nodes);
        self
    }

    /// Its name, and where it is if that is said.
    pub(crate) fn label(&self) -> String {
        let places = if self.kind == Kind::File { self.all("file") } else { self.all("node") };
        let name = self.kind.name();
        if places.is_empty() { name.to_owned() } else { format!("{name} {}", places.join(", ")) }
    }

    /// Takes from `other` what is not said here: how patient to be, and whether that is all, is the same for all.
    pub(crate) fn with_manner_of(mut self, other: &Access) -> Access {
        for name in ["backend-timeout", "dial-timeout", "read-timeout", "write-timeout", "onetime"] {
            if let Some(values) = other.values.get(name).filter(|_| !self.values.contains_key(name)) {
                self.values.insert(name.to_owned(), values.clone());
            }
        }
        self
    }

    /// Opens the store. Nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// One line if what is said makes no sense, or a file that is named cannot be read.
    pub(crate) fn open(&self) -> Result<Arc<dyn Backend>, Failed> {
        let of = |error: Failed| format!("the {} backend: {error}", self.kind.name()).into();
        match self.kind {
            Kind::Etcd3 => self.open_etcd().map_err(of),
            Kind::Etcd2 => self.open_etcd2().map_err(of),
            Kind::Env => Ok(Arc::new(env::Env::new(environment()))),
            Kind::File => self.open_files().map_err(of),
            Kind::Unbuilt(name) => Err(format!(
                "waypost does not read {name} yet; it reads etcd (the v2 and the v3 API), the environment and files"
            )
            .into()),
        }
    }

    fn open_etcd(&self) -> Result<Arc<dyn Backend>, Failed> {
        let mut settings = etcd::Settings::new(self.urls(2379)?);
        settings.user = self.user();
        settings.tls = self.tls()?;
        settings.connect_timeout = self.time("dial-timeout")?.unwrap_or(settings.connect_timeout);
        settings.request_timeout = self.time("backend-timeout")?.unwrap_or(settings.request_timeout);
        Ok(Arc::new(Etcd::new(settings)?))
    }

    fn open_etcd2(&self) -> Result<Arc<dyn Backend>, Failed> {
        let mut settings = etcd_v2::Settings::new(self.urls(4001)?);
        settings.user = self.user();
        settings.tls = self.tls()?;
        settings.connect_timeout = self.time("dial-timeout")?.unwrap_or(settings.connect_timeout);
        settings.request_timeout = self.time("backend-timeout")?.unwrap_or(settings.request_timeout);
        Ok(Arc::new(EtcdV2::new(settings)?))
    }

    fn open_files(&self) -> Result<Arc<dyn Backend>, Failed> {
        let paths = self.all("file").iter().map(PathBuf::from);
        let mut settings = file::Settings::new(paths);
        if self.all("file").is_empty() {
            return Err("it needs at least one file".into());
        }
        if let Some(filter) = self.one("filter") {
            filter.clone_into(&mut settings.filter);
        }
        settings.watches = !self.is_on("onetime");
        Ok(Arc::new(file::open(settings)?))
    }

    fn urls(&self, port: u16) -> Result<Vec<String>, Failed> {
        let is_tls = match self.one("scheme") {
            Some("https") => true,
            Some("http") | None => {
                ["client-ca-keys", "client-cert"].iter().any(|name| self.one(name).is_some())
            }
            Some(other) => return Err(format!("the scheme must be http or https, not `{other}`").into()),
        };
        let local = [format!("127.0.0.1:{port}")];
        let nodes = if self.all("node").is_empty() { &local[..] } else { self.all("node") };
        nodes.iter().map(|node| Ok(parse_node(node, is_tls, port)?.url)).collect()
    }

    /// confd wants `basic_auth` as well; a name that is given without is meant to be used.
    fn user(&self) -> Option<(String, String)> {
        let name = self.one("username")?;
        Some((name.to_owned(), self.one("password").unwrap_or_default().to_owned()))
    }

    fn tls(&self) -> Result<Tls, Failed> {
        let file = |name: &str| self.one(name).map(|path| read(Path::new(path))).transpose();
        let identity = match (file("client-cert")?, file("client-key")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("the client's certificate and its key belong together".into()),
        };
        let insecure = self.is_on("client-insecure");
        Ok(Tls { authority: file("client-ca-keys")?, identity, insecure })
    }

    /// How long an answer may take, if that is said.
    ///
    /// # Errors
    ///
    /// One line if it is no time.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Failed> {
        self.time("backend-timeout")
    }

    fn time(&self, name: &str) -> Result<Option<Duration>, Failed> {
        let of = |why: String| -> Failed { format!("{name}: {why}").into() };
        self.one(name).map(|text| duration(text).map_err(of)).transpose()
    }

    fn is_on(&self, name: &str) -> bool {
        self.one(name).is_some_and(|text| ["1", "t", "T", "true", "TRUE", "True"].contains(&text))
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(|text| &**text).filter(|text| !text.is_empty())
    }

    /// What was said under that name of a flag.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], |values| values)
    }
}
