//! A PHP-FPM application under load while its database moves, its cache grows and its registry is away: real MariaDB, PostgreSQL,
//! memcached and etcd, the agent that writes what the application reads, and the application of
//! `clients/symfony/tests/app`.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod arrangement;
mod database;
mod load;
mod lookups;
mod memcached;
mod moves;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One arrangement at a time: each has servers and clients enough for two cores.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
