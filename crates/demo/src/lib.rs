//! The whole arrangement on one machine: a registry, three services with their announcers, the agent, nginx,
//! and a load that goes through it. A script can add, stop and kill what is there.
//!
//! [`run()`] starts it, tells what happens, and leaves no process and no file behind; [`serve()`] is one of
//! the services.
//!
//! Announcers, services and the agent are real processes of the `waypost` binary, so that they can be killed
//! as a host's power cut would do it. The price is that the agent cannot be asked: what it did, and when, is
//! taken from its log, and what nginx runs, from nginx itself.
//!
//! - `arrangement.rs` starts and ends things: `registry.rs`, `agent.rs`, `nginx.rs`, over `process.rs` and
//!   `ports.rs`.
//! - `load.rs` asks nginx, through `client.rs`.
//! - `play.rs` is the loop; what it does when is in `script.rs`, what it saw in `records.rs` and
//!   `changes.rs`, and what that is worth in `summary.rs`. These do no I/O.
//! - `tell.rs` prints.

mod agent;
mod arrangement;
mod changes;
mod client;
mod error;
mod load;
mod nginx;
mod play;
mod ports;
mod process;
mod records;
mod registry;
mod run;
mod script;
mod service;
mod summary;
mod tell;

pub use error::Error;
pub use registry::RegistryKind;
pub use run::{Settings, run};
pub use service::{input_ended, serve};
pub use summary::Summary;
