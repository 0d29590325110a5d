//! The store on a simulated disk, beside a model of etcd: random requests, crashes at every sync, concurrent clients.
//!
//! Everything random comes from a seed, which a failure prints; `WAYPOST_STORE_SEEDS` says how many seeds each test tries,
//! and `WAYPOST_STORE_SEED` which one is the first.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod beside;
mod crash;
mod disk;
mod generator;
mod linearizable;
mod lockstep;
mod model;
mod oracle;
mod refused;
mod sweep;
mod untouched;
mod wgl;
