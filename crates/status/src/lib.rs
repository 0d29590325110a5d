//! What waypost tells: of itself, metrics, and whether what runs is what is wanted; of the registry, what the
//! applications of this host ask for (see [`api`]).
//!
//! A [`Board`] takes plain [`Event`]s, and [`serve`] answers from it over HTTP: `/metrics`, `/health`, `/ready`
//! and `/ready/detailed`. Ready means that every store was read and answers, and that every file is as wanted
//! and was reloaded: not merely that the process lives, which is all that `/health` says.
//!
//! Events carry names, counts and reasons, never the value of a key.

pub mod api;
mod board;
mod metrics;
mod serve;

pub use board::{Board, Event, Report};
pub use serve::{address, serve};
