//! The embedded single-node store: etcd's v3 API over a durable local file.
//!
//! [`Store`] is the store itself, and speaks in etcd's messages; [`serve`] puts it on the network. What a
//! client was told is on disk: a request is answered after its effect was synced, and nobody sees an effect
//! before. One writer takes requests in groups (`writer.rs`), applies them (`apply.rs`, `group.rs`), notes
//! them in a journal (`journal.rs`) and tells the watches (`hub.rs`, `watch.rs`); readers look at redb's
//! snapshots (`look.rs`) and never wait for it.
//!
//! It is one node: when its machine is down, it is down. The same clients go on with an etcd cluster on the
//! day this is not enough.

mod access;
mod apply;
mod backup;
mod check;
mod disk;
mod error;
mod format;
mod group;
mod grpc;
mod hub;
mod journal;
mod leases;
mod look;
mod overlay;
pub mod pb;
mod serve;
mod settings;
mod start;
mod store;
mod watch;
mod writer;

pub use access::{Access, Password, Tls, User};
pub use backup::{Backup, restore};
pub use disk::Files;
pub use error::{Error, Refusal};
pub use serve::{Server, serve};
pub use settings::{History, Limits, Settings};
pub use store::Store;
pub use watch::Watch;

/// What the store says of its version: the release of etcd whose API it speaks, and its own.
pub const VERSION: &str = concat!("3.4.0+waypost.", env!("CARGO_PKG_VERSION"));
