//! Steps of a longer chore, each announced, timed, and the last if it fails.

use std::time::{Duration, Instant};

use crate::Outcome;

/// How long each step took, for the summary.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs a step; its error gets its name.
    pub(crate) fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        println!("── {name}");
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        self.done.push((name, took));
        let word = if outcome.is_ok() { "ok" } else { "failed" };
        println!("── {name}: {word}, {}", seconds(took));
        outcome.map_err(|why| format!("{name}: {why}"))
    }

    /// One line: all steps and their sum.
    pub(crate) fn summary(&self) -> String {
        let each: Vec<String> =
            self.done.iter().map(|(name, took)| format!("{name} {}", seconds(*took))).collect();
        let all = self.done.iter().map(|(_, took)| *took).sum();
        format!("{}; all {}", each.join(", "), seconds(all))
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("first", || Ok(1)), Ok(1));
        assert_eq!(steps.run::<()>("second", || Err("why".to_owned())), Err("second: why".to_owned()));
        assert!(steps.summary().starts_with("first 0.0 s, second 0.0 s; all "));
    }
}
