//! Where what is known comes from: any backend, or the local agent.

#[cfg(feature = "agent")]
mod agent;
#[cfg(feature = "agent")]
mod client;
#[cfg(feature = "agent")]
mod events;
mod store;
mod url;

#[cfg(feature = "agent")]
pub(crate) use agent::Agent;
pub(crate) use store::Store;
pub use url::{AGENT_SOCKET, InvalidUrl};
pub(crate) use url::{Source, parse};
