//! What was measured, and the line that says it.

use std::fs;
use std::time::Duration;

use crate::Outcome;

/// Named numbers, printed as one line of JSON.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Figures {
        self.0.push((name, value));
        self
    }

    pub(crate) fn print(&self) {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        println!("{{{}}}", members.join(", "));
    }
}

/// How long each of many took.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// With room, so that nothing is allocated while the clock runs.
    pub(crate) fn with_room_for(count: usize) -> Times {
        Times(Vec::with_capacity(count))
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn join(&mut self, mut other: Times) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// How many, and the median and the 99th of a hundred.
    pub(crate) fn figures(mut self) -> Figures {
        self.0.sort_unstable();
        let part =
            |hundredths| self.0.get(self.0.len() * hundredths / 100).map_or(0.0, Duration::as_secs_f64);
        let (median, worst) = (part(50), part(99));
        Figures::default().with("count", float(self.0.len())).with("p50", median).with("p99", worst)
    }
}

/// A count as a number for the line: none reaches 2^53.
pub(crate) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Seconds of a CPU that this thread, which is all there is, has used so far.
pub(crate) fn cpu() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().ok_or("an empty schedstat")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
}
