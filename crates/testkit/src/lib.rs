//! What tests of stores, and of what reads them, share.
//!
//! - [`contract`]: the promises of [`Backend`](waypost_backend::Backend) and
//!   [`Registry`](waypost_backend::Registry) as checks that every store passes.
//! - [`Memory`]: a store in memory that breaks on command, in all the ways that real ones do.
//! - [`Reader`]: reads what a Mirror tells, and checks that it is true.
//!
//! Only tests depend on this crate. What goes wrong here is a broken test or a broken store, so the
//! functions panic with what they expected, instead of returning an error.

pub mod contract;
mod memory;
mod reader;

pub use memory::{Backup, Memory};
pub use reader::{News, Reader};
