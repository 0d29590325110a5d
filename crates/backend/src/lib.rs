//! Reading and writing registries: one contract for all stores, a module for each.
//!
//! - [`Backend`] is a store's reading side, [`Registry`] its writing side. Neither retries, caches or
//!   logs values.
//! - [`Mirror`] keeps the only copy of a backend's keys: it reads, watches, re-reads when its position
//!   is lost, and hands out immutable views without a lock.
//! - [`Backoff`] spaces retries; [`Poll`] makes a backend of a store that cannot be watched.
//! - The stores: [`mod@env`]; `file` and `etcd` behind the features of these names.

mod backoff;
mod contract;
pub mod env;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "file")]
pub mod file;
mod follow;
mod mirror;
mod poll;
mod registration;
mod view;

pub use backoff::Backoff;
pub use contract::{Audit, Backend, LeaseLimits, Registry};
pub use error::{Error, ErrorKind, Result};
pub use follow::{Continuity, Settings as MirrorSettings};
pub use mirror::{Mirror, Update, Updates};
pub use poll::{Poll, Readable};
pub use registration::{Lease, Registration};
pub use view::View;
