//! Memory: what a call may take at most, which needs an allocator that counts.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls `what`, which may allocate so many bytes in sum, freed or not.
///
/// # Panics
///
/// If it took more. Other threads' allocations count too, so only one target runs in a process at a time.
pub(crate) fn bounded<T>(bytes: usize, what: impl FnOnce() -> T) -> T {
    let region = Region::new(ALLOCATOR);
    let result = what();
    let took = region.change().bytes_allocated;
    assert!(took <= bytes, "{took} bytes were allocated, {bytes} are in proportion");
    result
}
