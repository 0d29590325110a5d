//! Waiting for a condition, with a deadline: the only place of this crate that sleeps.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Short enough not to be noticed in a test, long enough to leave the processor to the servers.
const POLL: Duration = Duration::from_millis(10);

/// Asks `condition` until it yields a value, and returns that.
///
/// # Panics
///
/// When `deadline` has passed: the message says what was waited for, and for how long.
#[track_caller]
pub fn wait_for<T>(what: impl Display, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    match poll(deadline, || condition().map(Ok)) {
        Some(Ok(value)) => value,
        Some(Err(why)) => panic!("while waiting for {what}: {why}"),
        None => panic!("waited {deadline:?} in vain for {what}"),
    }
}

/// [`wait_for`] for a condition that is only true or false.
#[track_caller]
pub fn wait_until(what: impl Display, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, deadline, || condition().then_some(()));
}

/// Asks until there is a value, an error that waiting cannot mend, or no time left (`None`).
pub(crate) fn poll<T>(
    deadline: Duration,
    mut condition: impl FnMut() -> Option<Outcome<T>>,
) -> Option<Outcome<T>> {
    let end = Instant::now() + deadline;
    loop {
        // Asked once more after the deadline: a machine that slept through it is not a failure.
        let last = Instant::now() >= end;
        if let Some(answer) = condition() {
            return Some(answer);
        }
        if last {
            return None;
        }
        thread::sleep(POLL);
    }
}
