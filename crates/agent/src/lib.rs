//! Keeps files and the processes that read them in step with a registry.
//!
//! One way, one owner at each step: a [`View`](waypost_backend::View) and the keys that changed come in;
//! `engine.rs` decides which resources are rendered, held, retried and reloaded; `apply.rs` renders and
//! puts a file in place; `command.rs`, `docker.rs`, `fastcgi.rs` and
//! `varnish` run checks and reloads; `ledger.rs` remembers what is owed over a
//! restart. [`run`] goes on until it is told to stop, [`settle`] until all is done, [`once`] makes one pass.

mod apply;
mod command;
mod diff;
pub mod docker;
mod engine;
pub mod fastcgi;
mod format;
mod guard;
mod ledger;
mod names;
mod once;
mod php;
mod place;
mod report;
mod resource;
mod run;
mod services;
mod source;
mod state;
mod target;
mod trial;
pub mod varnish;
mod world;

pub use apply::Policy;
pub use diff::{Difference, preview};
pub use ledger::{Ledger, LedgerError};
pub use once::{Outcome, once};
pub use report::{Failure, Log, Observer, Report, Step};
pub use resource::{
    Attributes, Command, Content, Form, Format, Language, Reload, Resource, Services, TemplateFile,
};
pub use run::{Settings, Setup, run, settle};
pub use trial::{Trial, trial};
