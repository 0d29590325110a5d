//! What waypost tells of itself: metrics, and whether what runs is what is wanted.
//!
//! A [`Board`] takes plain [`Event`]s, and [`serve`] answers from it over HTTP: `/metrics`, `/health`, `/ready`
//! and `/ready/detailed`. Ready means that every store was read and answers, and that every file is as wanted
//! and was reloaded: not merely that the process lives, which is all that `/health` says.
//!
//! Events carry names, counts and reasons, never the value of a key.

mod board;
mod metrics;
mod serve;

pub use board::{Board, Event, Report};
pub use serve::{address, serve};
