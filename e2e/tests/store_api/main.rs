//! etcd's v3 API, as real etcd 3.4 answers it: one suite for etcd and for `waypost store`.
//!
//! The variable `WAYPOST_API_SERVER` names the server: `etcd` is a real one, which must pass everything
//! here unchanged; `store`, or nothing, is the built binary's `waypost store`; and `http://host:port` is one that
//! already runs. Every test has a server to itself, without keys and leases, and most take one that an earlier test
//! has left. Revisions are told relative to the one at which the test began.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

#[macro_use]
mod api;
mod server;
mod show;
mod watching;
mod wire;

mod compact;
mod concurrency;
mod delete;
mod health;
mod lease;
mod lease_end;
mod limits;
mod maintenance;
mod put;
mod range;
mod range_order;
mod txn;
mod txn_compare;
mod txn_refused;
mod watch;
mod watch_history;
mod watch_streams;
