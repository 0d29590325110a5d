//! How many pages a second the site of `examples/wordpress` serves: as PHP makes them, and through Varnish.
//!
//! One web server stands behind Varnish here, the one that is asked directly as well. The ways take turns;
//! what counts is the ratio, since the machine's other work hits all of them. A page that is no good answer
//! ends the run.
//!
//! Usage: `site [ROUNDS [SECONDS]]`, with wrk installed.

mod wrk;

use std::env;
use std::error::Error;
use std::io::{self, Write};

use waypost_e2e::site::{Site, visit};

use wrk::{Figures, Load};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Asked of the cache, by PHP's own speed: for visitors of whom none has logged in, and one in twenty has.
const ASKED: [f64; 2] = [100.0, 10.0];

/// A way to ask, and what it was found to be like in each round.
struct Way {
    name: &'static str,
    load: Load,
    rounds: Vec<Figures>,
}

fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u32>());
    let (rounds, seconds) = (number(5)?, number(6)?);
    let mut site = Site::start(None);
    site.withdraw_server(1);
    site.wait_for_servers(&[0]);
    let (direct, cached) = (site.servers[0].nginx.url(), site.varnish.url());
    for url in [&direct, &cached] {
        // It is in opcache, and in Varnish.
        let page = visit(url, "/", None)?;
        assert_eq!(page.status, 200, "{url}");
    }
    let way = |name, url: &str, passed| Way {
        name,
        load: Load { url: url.to_owned(), passed, seconds },
        rounds: Vec::new(),
    };
    let mut ways = [
        way("as PHP makes them", &direct, None),
        way("from Varnish", &cached, None),
        way("from Varnish, 1 in 20 passed to PHP", &cached, Some(20)),
        way("from Varnish, 1 in 100 passed to PHP", &cached, Some(100)),
    ];
    for round in 0..=rounds {
        for way in &mut ways {
            let figures = way.load.run()?;
            // The first round warms up.
            if round > 0 {
                way.rounds.push(figures);
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    report(&ways, rounds, seconds)?;
    Ok(())
}

fn report(ways: &[Way], rounds: u32, seconds: u32) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "# The front page of a site of 30 posts: 8 connections, {rounds} rounds of {seconds} s\n")?;
    writeln!(out, "| pages | a second | p50 ms | p99 ms | ÷ PHP's | of the rounds |")?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    for way in ways {
        let middle = |figure: fn(&Figures) -> f64| median(way.rounds.iter().map(figure).collect());
        let ratios = sorted(ratios(way, &ways[0]));
        writeln!(
            out,
            "| {} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} to {:.1} |",
            way.name,
            middle(|figures| figures.pages_a_second),
            middle(|figures| figures.p50),
            middle(|figures| figures.p99),
            median(ratios.clone()),
            ratios.first().copied().unwrap_or_default(),
            ratios.last().copied().unwrap_or_default(),
        )?;
    }
    writeln!(out)?;
    for (way, asked) in ways[1..].iter().zip(ASKED) {
        let ratio = median(ratios(way, &ways[0]));
        let holds = if ratio >= asked { "holds" } else { "DOES NOT HOLD" };
        writeln!(out, "- {}: {ratio:.1} times PHP's, at least {asked} asked: {holds}", way.name)?;
    }
    Ok(())
}

/// How many times the base's pages it served, round by round.
fn ratios(way: &Way, base: &Way) -> Vec<f64> {
    let pairs = way.rounds.iter().zip(&base.rounds);
    pairs.map(|(of, by)| of.pages_a_second / by.pages_a_second).collect()
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The middle one; of an even count the upper.
fn median(numbers: Vec<f64>) -> f64 {
    sorted(numbers.clone()).get(numbers.len() / 2).copied().unwrap_or_default()
}
