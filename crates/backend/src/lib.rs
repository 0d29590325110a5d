//! Reading and writing registries: one contract for all stores, a module for each.
//!
//! - [`Backend`] is a store's reading side, [`Registry`] its writing side. Neither retries, caches or
//!   logs values.
//! - [`Mirror`] keeps the only copy of a backend's keys: it reads, watches, re-reads when its position
//!   is lost, and hands out immutable views without a lock.
//! - [`Backoff`] spaces retries; [`Poll`] makes a backend of a store that cannot be watched.
//! - The stores: [`mod@env`]; `file`, `etcd` and `etcd_v2` behind the features of these names.
//! - `srv` finds a store's nodes in DNS.

mod backoff;
mod contract;
pub mod env;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "etcd-v2")]
pub mod etcd_v2;
#[cfg(feature = "file")]
pub mod file;
mod follow;
#[cfg(feature = "http1")]
#[cfg_attr(not(feature = "etcd-v2"), allow(dead_code, reason = "only the v2 API uses all of it"))]
mod http1;
mod mirror;
mod patient;
mod poll;
mod registration;
mod services;
#[cfg(feature = "http1")]
mod speaks;
#[cfg(feature = "srv")]
pub mod srv;
#[cfg(feature = "http1")]
mod tls;
mod view;

pub use backoff::Backoff;
pub use contract::{Audit, Backend, LeaseLimits, Registry};
pub use error::{Error, ErrorKind, Result};
pub use follow::{Continuity, Settings as MirrorSettings};
pub use mirror::{Mirror, Update, Updates};
pub use patient::Patient;
pub use poll::{Poll, Readable};
pub use registration::{Lease, Registration};
pub use services::Found;
pub use view::View;
