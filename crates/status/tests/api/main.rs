//! The local API over a store in memory: its answers are those of its document, and an outage takes none of them.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod answers;
mod client;
mod doors;
mod outage;
mod schema;
