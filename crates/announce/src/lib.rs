//! Announces a service: its key is in the registry while the service can serve, and only then.
//!
//! - [`announce()`] checks the service, registers its key under a lease after `rise` passed checks in a row,
//!   revokes it after `fall` failed ones in a row and at the end. Alone, or around the command that serves.
//! - [`HealthCheck`] asks the service; [`announced_host`] finds the address that others reach it at.
//! - [`signals`] catches what the process is told; [`Running`] is a command that it is passed on to.
//!
//! After a crash, of the announcer or its host, the key stays for its time to live at the longest.
//!
//! Which store the registry is, is its [`Registry`](waypost_backend::Registry)'s business.

mod address;
mod announcer;
mod command;
mod happening;
mod health;
mod machine;
mod settings;
mod signal;

pub use address::{AddressError, AddressSource, announced_host};
pub use announcer::{Error, Outcome, announce};
pub use command::{CommandLine, CommandNotStarted, End, Running};
pub use happening::Happening;
pub use health::{CheckFailure, Expected, HealthCheck, HttpCheck};
pub use settings::{InvalidSettings, Settings};
pub use signal::{Signal, signals};
