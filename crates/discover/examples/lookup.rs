//! What a look-up costs: prints `lookup_ns` and the median of `endpoints()` in nanoseconds.
//!
//! It looks in a registry that is a value in this process; where it comes from makes no difference to a
//! look-up.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use waypost_backend::env::Env;
use waypost_discover::{Discovery, Settings};

/// Look-ups between two looks at the clock, which costs as much as one of them.
const BATCH: u32 = 1000;

/// How many batches are timed.
const BATCHES: usize = 2000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let variables = (1..=3).map(|number| (format!("SERVICES_DB_{number}"), format!("10.0.0.{number}:5432")));
    let discovery = Discovery::over(Arc::new(Env::new(variables)), Settings::default());
    let db = discovery.service("db");
    db.ready().await.expect("an environment always answers");

    let batch = |_| {
        let started = Instant::now();
        for _ in 0..BATCH {
            black_box(db.endpoints().first());
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
    };
    let mut nanoseconds: Vec<f64> = (0..BATCHES).map(batch).collect();
    nanoseconds.sort_by(f64::total_cmp);
    println!("lookup_ns {:.1}", nanoseconds[BATCHES / 2]);
}
