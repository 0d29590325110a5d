//! What etcd's own command and a foreign client find: `etcdctl` 3.4, and PyPI's `etcd3` with its own tests.
//!
//! `WAYPOST_API_SERVER` says on which server: `store`, the default, or `etcd`, which is right by definition.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod etcd3;
mod etcdctl;
mod keys;
mod leases;
mod maintenance;
mod recipes;
mod server;
mod transactions;
mod users;
mod watches;

/// A new server for the calling test, which ends here when there can be none.
macro_rules! new_server {
    () => {
        match $crate::server::Server::start() {
            Some(server) => server,
            None => return,
        }
    };
}
use new_server;
