//! What an application links to find its servers: live endpoints from memory, and connections that survive a
//! move.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tokio::net::TcpStream;
//! use waypost_discover::Discovery;
//!
//! let discovery = Discovery::connect("agent:")?; // Or "etcd://10.0.0.1:2379", with the feature `etcd`.
//! let db = discovery.service("db").with_role("primary");
//! let stream = db.connect_with(|instance| async move {
//!     TcpStream::connect((instance.endpoint.host(), instance.endpoint.port())).await
//! });
//! let stream = stream.await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Discovery::connect`], [`Discovery::connect_as`] with [`Settings`], [`Discovery::over`] any
//!   [`Backend`](waypost_backend::Backend). None of them waits for the registry.
//! - [`Discovery::service`] gives a [`Handle`]. [`Handle::endpoints`], [`Handle::instances`] and
//!   [`Handle::list`] read memory; [`Handle::ready`] waits for the first answer; [`Handle::watch`] tells
//!   changes; [`Handle::age`] tells how old the answer is.
//! - [`Handle::connect_with`] tries instances until one serves; [`Handle::pick`] only takes one.
//! - [`Handle::with_role`], [`Settings::zone`] and weights decide which.
//! - `List::ring` (feature `ring`) puts keys on caches as libmemcached does.
//! - [`Settings::last_good`] names a file from which an application starts while the registry is away.
//!
//! Features: `agent` (the local agent's socket, on by default: hyper), `etcd` (tonic), `file`, `env`, `ring`
//! (md-5). Without any, what is linked besides waypost's own crates is arc-swap, fastrand, futures, imbl,
//! serde_json, thiserror, tokio, tracing, xxhash-rust.

mod asks;
mod attempts;
mod belief;
mod choose;
mod connect;
mod discovery;
mod freshness;
mod handle;
mod last_good;
mod list;
#[cfg(feature = "ring")]
mod ring;
mod settings;
mod shared;
mod source;
mod suspects;

pub use attempts::{GaveUp, Retry};
pub use connect::{ConnectError, Why};
pub use discovery::Discovery;
pub use handle::{Changes, Handle, NotReady};
pub use list::{Endpoints, Instances, List, Origin};
#[cfg(feature = "ring")]
pub use ring::Ring;
pub use settings::Settings;
pub use source::{AGENT_SOCKET, InvalidUrl};
pub use waypost_model::{Endpoint, Instance, Prefix};

/// The examples of the guide compile.
#[cfg(all(doctest, feature = "ring"))]
#[doc = include_str!("../../../docs/discover.md")]
struct Guide;
