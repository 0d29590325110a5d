//! wrk, and what it finds.

use std::fs;
use std::process::Command;

use waypost_e2e::site::HOST;
use waypost_servers::{Scratch, Storage};

use crate::Outcome;

/// Requests under way at a time, each on a connection that is kept.
const CONNECTIONS: u32 = 8;

/// Which page is asked for, by whom, and for how long.
pub(crate) struct Load {
    pub(crate) url: String,
    /// One request in so many is passed on to PHP.
    pub(crate) passed: Option<u32>,
    pub(crate) seconds: u32,
}

/// What came of a load.
pub(crate) struct Figures {
    pub(crate) pages_a_second: f64,
    /// In milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Load {
    /// Runs it, with all answers good.
    pub(crate) fn run(&self) -> Outcome<Figures> {
        let scratch = Scratch::new("wrk", Storage::Memory);
        let script = scratch.join("site.lua");
        fs::write(&script, include_str!("site.lua"))?;
        let mut wrk = Command::new("wrk");
        wrk.args([
            "-t1",
            &format!("-c{CONNECTIONS}"),
            &format!("-d{}s", self.seconds),
            "--timeout",
            "20s",
            "-s",
        ]);
        wrk.arg(script).arg(&self.url).env("SITE", HOST);
        wrk.env("PASSED", self.passed.unwrap_or(0).to_string());
        let output = wrk.output().map_err(|why| format!("wrk (Debian package wrk) cannot be run: {why}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("figures "));
        let line = line.ok_or_else(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
        Figures::read(line).ok_or_else(|| format!("not all pages were good: {text}").into())
    }
}

impl Figures {
    /// Reads what the script prints; nothing if a page was lost.
    fn read(line: &str) -> Option<Figures> {
        let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [seconds, pages, bad, failed, p50, p99] if bad + failed == 0.0 => {
                Some(Figures { pages_a_second: pages / seconds, p50, p99 })
            }
            _ => None,
        }
    }
}
