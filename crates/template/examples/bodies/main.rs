//! Times typical templates, as `bench/go/bodies` times them with Go's text/template.
//!
//! Usage: `bodies MILLISECONDS [NAME…]`, all bodies if none is named. One line for each: its name, the least and
//! the middle time of a render in nanoseconds, the length and the hash (FNV-1a, 64 bits) of its output.
//! Allocations are counted by the example `allocations`, since counting them takes time.
//!
//! Compare only what ran side by side: `cargo xtask bench templates`.

mod data;

use std::time::{Duration, Instant};

use data::{Body, bodies};
use waypost_template::{Context, Error, Template};

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let milliseconds = args.next().and_then(|text| text.parse().ok()).unwrap_or(500);
    let wanted: Vec<String> = args.collect();
    for body in bodies(&wanted) {
        measure(body, Duration::from_millis(milliseconds))?;
    }
    Ok(())
}

fn measure(body: &Body, duration: Duration) -> Result<(), Error> {
    let names = (body.keys)();
    let template = Template::parse(body.name, body.template.as_bytes())?;
    let context = Context::new(&names);
    let output = template.render(&context)?.bytes;
    let (least, middle) = times(duration, || drop(template.render(&context)));
    let (name, length, hash) = (body.name, output.len(), fnv1a(&output));
    println!("{name} {} {} {length} {hash:016x}", least.as_nanos(), middle.as_nanos());
    Ok(())
}

/// The least and the middle time of a run; it runs for the duration, but five times at least.
fn times(duration: Duration, mut run: impl FnMut()) -> (Duration, Duration) {
    let end = Instant::now() + duration;
    let mut all = Vec::new();
    while all.len() < 5 || Instant::now() < end {
        let start = Instant::now();
        run();
        all.push(start.elapsed());
    }
    all.sort_unstable();
    (all[0], all[all.len() / 2])
}

/// Small enough to write down, and in Go's library: the two programs' outputs are compared by it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
