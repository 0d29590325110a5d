//! What an etcd is started with.

use std::time::Duration;

use crate::Storage;
use crate::etcd::Etcd;
use crate::etcd::node::try_start;
use crate::must;

/// What a user may do below a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read and watch.
    Read,
    /// Put and delete.
    Write,
    /// Both.
    ReadWrite,
}

/// A user, and what it may do where.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) grants: Vec<(String, Permission)>,
}

/// How to start an etcd; [`Etcd::start`] is this with nothing set.
#[derive(Debug, Clone, Default)]
pub struct EtcdOptions {
    pub(super) storage: Storage,
    pub(super) tls: bool,
    pub(super) enable_v2: bool,
    pub(super) auth_token_ttl: Option<Duration>,
    pub(super) users: Vec<User>,
    pub(super) extra: Vec<String>,
}

impl EtcdOptions {
    /// Where the data is: in memory unless told otherwise.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> EtcdOptions {
        self.storage = storage;
        self
    }

    /// Serves clients over TLS only, and only those with a certificate of [`Etcd::certificates`].
    #[must_use]
    pub fn tls(mut self) -> EtcdOptions {
        self.tls = true;
        self
    }

    /// Adds a user with rights below some prefixes; the first one switches authentication on.
    ///
    /// The user `root`, with the password [`Etcd::ROOT_PASSWORD`], may do everything.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, grants: &[(&str, Permission)]) -> EtcdOptions {
        let grants = grants.iter().map(|(prefix, permission)| ((*prefix).to_owned(), *permission)).collect();
        self.users.push(User { name: name.to_owned(), password: password.to_owned(), grants });
        self
    }

    /// How long a token lives after its last use, in whole seconds (`--auth-token-ttl`).
    #[must_use]
    pub fn auth_token_ttl(mut self, ttl: Duration) -> EtcdOptions {
        self.auth_token_ttl = Some(ttl);
        self
    }

    /// Serves the v2 API too.
    #[must_use]
    pub fn enable_v2(mut self) -> EtcdOptions {
        self.enable_v2 = true;
        self
    }

    /// Adds an argument of etcd's, such as `--max-txn-ops=10`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> EtcdOptions {
        self.extra.push(arg.to_owned());
        self
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Panics
    ///
    /// When etcd is not installed or does not start; the message shows its log.
    #[track_caller]
    pub fn start(self) -> Etcd {
        must(try_start(self))
    }
}
