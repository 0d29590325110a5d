//! The plain values that travel through waypost, from a store to a file: no I/O, no async, no serde.
//!
//! - [`Key`], [`Prefix`]: what is asked for and what is found, a path such as `/web/port`.
//! - [`Value`], [`Entry`]: what a key holds; a value is never shown by `Debug`.
//! - [`Position`], [`StoreId`]: how far in the history of which store.
//! - [`Snapshot`], [`Batch`], [`Change`]: all entries at a position; what takes a reader to a later one.
//! - [`Endpoint`]: where an instance of a service answers; [`Instance`], [`Service`]: what is told beside it.

mod change;
mod endpoint;
mod key;
mod position;
mod service;
mod value;

pub use change::{Batch, Change, Exactness, Snapshot};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use key::{InvalidKey, Key, Prefix, clean_path};
pub use position::{Position, StoreId};
pub use service::{Instance, InvalidInstance, Service, document, from_document};
pub use value::{Entry, Value};
