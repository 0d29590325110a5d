//! What a demonstration was worth: from records to a verdict and a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use waypost_model::Endpoint;

use crate::changes::{Change, Kind};
use crate::records::{Lost, Records};

/// A service is sure to have had its turn among so many requests: nginx takes its few in turns.
const TURN: u64 = 20;

/// Requests that were lost for one reason, less than this apart, are shown as one.
const TOGETHER: Duration = Duration::from_secs(1);

/// What was meant to be.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Who is to be in nginx in the end.
    pub(crate) wanted: BTreeSet<Endpoint>,
    /// Whether a script ran; without one only lost requests count, since anybody may have done anything.
    pub(crate) is_scripted: bool,
    /// Why it did not come to its end.
    pub(crate) cut_short: Option<String>,
}

/// How many requests each service needs for its share to be judged.
pub(crate) fn enough(services: usize) -> u64 {
    TURN * u64::try_from(services).unwrap_or(u64::MAX)
}

/// What was done to a service, and when.
pub(crate) type Told = BTreeMap<(String, bool), (&'static str, Instant)>;

/// What was served, what was lost, how long each change took, and whether that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    faults: Vec<String>,
    text: String,
}

impl Summary {
    /// True if nothing was lost that could be kept; after a script, also if every service had its share,
    /// every change arrived, and nginx ran with exactly the live services in the end.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// What is not as it should be, a line each.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// `started` is the moment that times count from.
    pub(crate) fn of(records: &Records, told: &Told, expected: &Expected, started: Instant) -> Summary {
        let faults = faults(records, expected, started);
        let text = [services(records), requests(records, started), changes(records, told)].join("\n");
        Summary { faults, text }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text)
    }
}

fn faults(records: &Records, expected: &Expected, started: Instant) -> Vec<String> {
    let mut faults: Vec<String> = lost(records, started).into_iter().collect();
    if expected.is_scripted {
        faults.extend(expected.cut_short.clone());
        faults.extend(never_served(records));
        faults.extend(never_arrived(records));
        faults.extend(unheard(records));
        faults.extend(in_the_end(records, &expected.wanted));
        faults.extend(unbalanced(records, &expected.wanted));
    }
    faults
}

fn lost(records: &Records, started: Instant) -> Option<String> {
    let kept: Vec<&Lost> = records.lost.iter().filter(|lost| lost.could_be_kept).collect();
    let first = kept.first()?;
    let (count, at) = (kept.len(), since(started, first.at));
    Some(format!("{count} requests were lost while a service was there, the first after {at}: {}", first.why))
}

/// Those that nginx had for long enough, and never asked.
fn never_served(records: &Records) -> Vec<String> {
    let idle = records.shares.iter().filter(|(_, share)| share.served == 0 && share.of >= TURN);
    idle.map(|(endpoint, share)| {
        format!("{} got none of {} requests while nginx had it", records.name(endpoint), share.of)
    })
    .collect()
}

fn never_arrived(records: &Records) -> Vec<String> {
    let pending = records.changes.all().filter(|change| change.is_pending());
    let tell = |change: &Change| match change.kind {
        Kind::Came => format!("{} is registered and never came to nginx", change.name),
        Kind::Went => format!("{} is no longer registered and still in nginx", change.name),
    };
    pending.map(tell).collect()
}

/// How fast the agent was is in its log; what cannot be read there would only leave gaps in the table.
fn unheard(records: &Records) -> Option<String> {
    let is_silent = records.changes.all().all(|change| change.written.is_none());
    is_silent.then(|| "the agent's log told of no change".to_owned())
}

fn in_the_end(records: &Records, wanted: &BTreeSet<Endpoint>) -> Option<String> {
    let last = records.last_in_nginx();
    let names = |endpoints: Vec<&Endpoint>| match endpoints.len() {
        0 => "nobody".to_owned(),
        _ => endpoints.into_iter().map(|endpoint| records.name(endpoint)).collect::<Vec<_>>().join(", "),
    };
    (last != wanted).then(|| {
        let (missing, extra) = (wanted.difference(last).collect(), last.difference(wanted).collect());
        format!("in the end nginx lacks {}, and still has {}", names(missing), names(extra))
    })
}

/// Since the last change, each service has at least half of what is its even share.
fn unbalanced(records: &Records, wanted: &BTreeSet<Endpoint>) -> Vec<String> {
    let all: u64 = records.lately.values().sum();
    if all < enough(wanted.len()) {
        return vec![format!("{all} requests in the end are too few to tell whether they are balanced")];
    }
    let count = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
    let got = |endpoint: &Endpoint| records.lately.get(endpoint).copied().unwrap_or(0);
    let poor = wanted.iter().filter(|endpoint| got(endpoint) * count * 2 < all);
    poor.map(|endpoint| {
        format!("in the end {} got {} of {all} requests", records.name(endpoint), got(endpoint))
    })
    .collect()
}

fn services(records: &Records) -> String {
    let mut table = vec![["service", "at", "answered", "of", "share"].map(str::to_owned)];
    let order = records.order();
    table.extend(order.filter_map(|endpoint| {
        let share = records.shares.get(endpoint)?;
        let percent = (share.served * 100).checked_div(share.of).unwrap_or(0);
        let numbers = [share.served.to_string(), share.of.to_string(), format!("{percent} %")];
        let [served, of, percent] = numbers;
        Some([records.name(endpoint), endpoint.to_string(), served, of, percent])
    }));
    aligned(&table) + "(of: all requests that were answered while nginx had it)\n"
}

fn requests(records: &Records, started: Instant) -> String {
    let (served, passed_on) = (records.served_in_all(), records.passed_on);
    let count = records.lost.len();
    let lost = if count == 0 { "none".to_owned() } else { count.to_string() };
    let mut text =
        format!("{served} requests answered, {passed_on} of them at the second try; {lost} lost\n");
    let belong_together = |one: &Lost, next: &Lost| {
        (&one.why, one.could_be_kept) == (&next.why, next.could_be_kept) && next.at < one.at + TOGETHER
    };
    text.extend(records.lost.chunk_by(belong_together).map(|alike| lost_alike(alike, started)));
    text
}

/// A line on requests that were lost for one reason.
fn lost_alike(alike: &[Lost], started: Instant) -> String {
    let (Some(first), Some(last)) = (alike.first(), alike.last()) else { return String::new() };
    let excuse = if first.could_be_kept { "" } else { " (no service was there)" };
    let (from, to) = (since(started, first.at), since(started, last.at));
    format!("  {} lost from {from} to {to}: {}{excuse}\n", alike.len(), first.why)
}

fn changes(records: &Records, told: &Told) -> String {
    let mut table = vec![["change", "", "key", "written", "reloaded", "in nginx"].map(str::to_owned)];
    let after = |after: Option<Duration>| after.map_or("-".to_owned(), brief);
    table.extend(records.changes.all().map(|change| {
        let done = told.get(&(change.name.clone(), change.kind == Kind::Came));
        let key = done.map(|(_, at)| change.seen.saturating_duration_since(*at));
        let how = done.map_or(if change.kind == Kind::Came { "came" } else { "went" }, |(how, _)| how);
        let timings = [change.written, change.reloaded, change.served].map(|at| after(change.after(at)));
        let [written, reloaded, served] = timings;
        [change.name.clone(), how.to_owned(), after(key), written, reloaded, served]
    }));
    let note = "(key: after it was done; written, reloaded, in nginx: after the key)\n";
    aligned(&table) + note
}

/// Columns with two spaces between them: texts left, and what begins with a digit right.
fn aligned<const N: usize>(table: &[[String; N]]) -> String {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let is_number = |column: usize| {
        let cells = table.iter().skip(1).map(|row| &row[column]);
        column >= 2
            && cells.into_iter().all(|cell| cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit()))
    };
    let row = |row: &[String; N]| {
        let cell = |(column, cell): (usize, &String)| {
            let width = widths[column];
            if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    table.iter().map(row).collect()
}

fn since(started: Instant, at: Instant) -> String {
    format!("{:.1} s", at.saturating_duration_since(started).as_secs_f64())
}

/// A duration to read: milliseconds below a second.
pub(crate) fn brief(duration: Duration) -> String {
    match duration.as_millis() {
        milliseconds @ 0..1000 => format!("{milliseconds} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Said;
    use crate::records::tests::{endpoint, in_nginx, picture, served};
    use crate::records::{Answer, Event, Stamped};

    /// One and two, registered and in nginx.
    fn records() -> Records {
        let mut records = Records::default();
        let both = picture(2, &[("one", 1, 1), ("two", 2, 2)]);
        records.take(Stamped::now(Event::Registry(both)), true);
        records.take(Stamped::now(Event::Agent(Said::Applied { revision: 2 })), true);
        records.take(in_nginx(&[1, 2]), true);
        records
    }

    fn ask(records: &mut Records, by: u16, times: usize) {
        for _ in 0..times {
            records.take(served(by), true);
        }
    }

    fn lose(records: &mut Records, is_anybody_there: bool) {
        let lost = Answer::Lost { why: "nginx answers 502 Bad Gateway".to_owned() };
        records.take(Stamped::now(Event::Answer(lost)), is_anybody_there);
    }

    fn expected(wanted: &[u16]) -> Expected {
        let wanted = wanted.iter().copied().map(endpoint).collect();
        Expected { wanted, is_scripted: true, cut_short: None }
    }

    fn faults_of(records: &Records, expected: &Expected) -> Vec<String> {
        Summary::of(records, &Told::new(), expected, Instant::now()).faults
    }

    #[test]
    fn balanced_and_complete_is_good() {
        let mut records = records();
        ask(&mut records, 1, 25);
        ask(&mut records, 2, 20);
        assert_eq!(faults_of(&records, &expected(&[1, 2])), [""; 0]);
    }

    #[test]
    fn a_lost_request_counts_unless_nobody_was_there() {
        let mut records = records();
        let free = Expected { is_scripted: false, ..expected(&[]) };
        lose(&mut records, false);
        assert_eq!(faults_of(&records, &free), [""; 0]);
        lose(&mut records, true);
        assert_eq!(
            faults_of(&records, &free),
            ["1 requests were lost while a service was there, the first after 0.0 s: \
              nginx answers 502 Bad Gateway"]
        );
        let shown = Summary::of(&records, &Told::new(), &free, Instant::now()).to_string();
        let line = "  1 lost from 0.0 s to 0.0 s: nginx answers 502 Bad Gateway";
        assert!(shown.contains(&format!("{line} (no service was there)\n{line}\n")), "{shown}");
    }

    #[test]
    fn a_missing_share_is_a_fault() {
        let mut records = records();
        ask(&mut records, 1, 40);
        assert_eq!(
            faults_of(&records, &expected(&[1, 2])),
            ["two got none of 40 requests while nginx had it", "in the end two got 0 of 40 requests"]
        );
        ask(&mut records, 2, 10);
        assert_eq!(faults_of(&records, &expected(&[1, 2])), ["in the end two got 10 of 50 requests"]);
    }

    #[test]
    fn too_few_requests_prove_nothing() {
        let mut records = records();
        ask(&mut records, 1, 2);
        ask(&mut records, 2, 2);
        assert_eq!(
            faults_of(&records, &expected(&[1, 2])),
            ["4 requests in the end are too few to tell whether they are balanced"]
        );
    }

    #[test]
    fn a_change_that_does_not_arrive_is_a_fault_and_so_is_a_wrong_end() {
        let mut records = records();
        ask(&mut records, 1, 25);
        ask(&mut records, 2, 25);
        records.take(Stamped::now(Event::Registry(picture(3, &[("one", 1, 1)]))), true);
        assert_eq!(
            faults_of(&records, &expected(&[1])),
            [
                "two is no longer registered and still in nginx",
                "in the end nginx lacks nobody, and still has two"
            ]
        );
    }

    #[test]
    fn an_agent_that_is_not_understood_is_a_fault() {
        assert_eq!(faults_of(&Records::default(), &expected(&[])), ["the agent's log told of no change"]);
    }

    #[test]
    fn a_script_that_did_not_end_is_not_good() {
        let mut records = records();
        ask(&mut records, 1, 25);
        ask(&mut records, 2, 25);
        let cut = Expected { cut_short: Some("it was interrupted".to_owned()), ..expected(&[1, 2]) };
        assert_eq!(faults_of(&records, &cut), ["it was interrupted"]);
    }

    #[test]
    fn the_table_is_aligned() {
        let row = |name: &str, at: &str, count: &str| [name, at, count].map(str::to_owned);
        let table = [row("service", "at", "answered"), row("one", "127.0.0.1:1", "7")];
        assert_eq!(aligned(&table), "service  at           answered\none      127.0.0.1:1         7\n");
        assert_eq!(brief(Duration::from_micros(12_900)), "12 ms");
        assert_eq!(brief(Duration::from_millis(3_400)), "3.4 s");
    }
}
