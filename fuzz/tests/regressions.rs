//! What once went wrong does not go wrong again.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use waypost_fuzz::TARGETS;

/// For an input that libFuzzer's limit of ten seconds was too short for.
const LONG: Duration = Duration::from_secs(10);

/// One test for all, and none beside it: the allocations that targets count are those of the whole process.
#[test]
fn inputs_that_were_found_are_harmless() {
    for (name, target) in TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name);
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            println!("{name}: {}", path.display());
            let start = Instant::now();
            target(&fs::read(&path).unwrap());
            assert!(start.elapsed() < LONG, "{} took {:?}", path.display(), start.elapsed());
        }
    }
}
