//! Whether a history of concurrent calls on one key is linearizable: each call seems to happen at one moment between its
//! invocation and its return, and all together make sense.
//!
//! The search is Wing and Gong's with Lowe's memory of what was tried: a call may come next if no other returned before it was
//! invoked, and a set of calls done with the value they left is looked at once. Keys are checked one by one, which is enough (Herlihy
//! and Wing: linearizability is local).
//!
//! Not a crate: todc-utils has the algorithm, but knows no call whose outcome is unknown, had its one release in 2024, and copies the
//! whole set at each step; stateright's tester has no memory, needs a thread a call, and brings a web server along.

use std::collections::{BTreeSet, HashSet};

/// What a call did to the key. Values are numbers, each written once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It found this.
    Read(Option<u64>),
    /// It wrote this.
    Write(u64),
    /// It removed the key, if it was there.
    Delete { was_there: Option<bool> },
    /// It was to write `new` if it found `old`; whether it did, if that is known.
    Swap { old: Option<u64>, new: u64, did: Option<bool> },
}

/// One call, with the moments at which it was invoked and ended.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub invoked: u64,
    pub end: End,
    pub effect: Effect,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It had returned at this moment.
    Returned(u64),
    /// Nobody knows: it happened before this moment, or not at all.
    Lost { by: u64 },
}

impl Call {
    pub fn returned(&self) -> Option<u64> {
        match self.end {
            End::Returned(moment) => Some(moment),
            End::Lost { .. } => None,
        }
    }

    /// True if it cannot happen at `now` any more.
    fn is_over(&self, now: u64) -> bool {
        matches!(self.end, End::Lost { by } if by < now)
    }
}

impl Effect {
    /// What the key has after it; `None` if it cannot have happened on what the key had.
    fn on(self, value: Option<u64>) -> Option<Option<u64>> {
        let is_possible = |known: Option<bool>, found: bool| known.is_none_or(|known| known == found);
        match self {
            Effect::Read(found) => (found == value).then_some(value),
            Effect::Write(new) => Some(Some(new)),
            Effect::Delete { was_there } => is_possible(was_there, value.is_some()).then_some(None),
            Effect::Swap { old, new, did } => {
                let does = value == old;
                is_possible(did, does).then_some(if does { Some(new) } else { value })
            }
        }
    }
}

/// Checks a history of one key that was not there at first; the error has the calls that fit nowhere, after most that did.
///
/// # Panics
///
/// When it is too hard to tell: with many calls of unknown outcome at a time.
pub fn check(calls: &[Call]) -> Result<(), Vec<Call>> {
    const MOST: usize = 3_000_000;
    let mut calls = calls.to_vec();
    calls.sort_by_key(|call| (call.returned().is_none(), call.invoked));
    let known = calls.partition_point(|call| call.returned().is_some());
    let mut tried = HashSet::new();
    let mut best = Done::default();
    let mut stack = vec![(Done::default(), None)];
    while let Some((done, value)) = stack.pop() {
        // Calls of unknown outcome come after the known ones.
        if done.first >= known {
            return Ok(());
        }
        if done.first > best.first {
            best = done.clone();
        }
        // Pushed in reverse, so that what was invoked first is tried first, and unknown outcomes last.
        for next in done.next(&calls, known).into_iter().rev() {
            let Some(value) = calls[next].effect.on(value) else { continue };
            let done = done.with(next, &calls);
            if tried.insert((done.clone(), value)) {
                assert!(
                    tried.len() < MOST,
                    "{} calls, {} of unknown outcome",
                    calls.len(),
                    calls.len() - known
                );
                stack.push((done, value));
            }
        }
    }
    Err(best.next(&calls, known).into_iter().map(|call| calls[call]).collect())
}

/// Which calls have had their effect: those before the `first` that has not, and a few after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Done {
    first: usize,
    others: BTreeSet<usize>,
    /// The moment that must have come: the last invocation of one that is done.
    now: u64,
}

impl Done {
    fn with(&self, call: usize, calls: &[Call]) -> Done {
        let mut done = self.clone();
        done.now = done.now.max(calls[call].invoked);
        done.others.insert(call);
        while done.others.remove(&done.first) {
            done.first += 1;
        }
        // Whether one happened that cannot happen any more makes no difference but to the value.
        let now = done.now;
        done.others.retain(|other| !calls[*other].is_over(now));
        done
    }

    /// The calls that may come next: those that were invoked before the first return of one that is not done.
    ///
    /// The `known` ones are first in `calls`, as they were invoked; so the search ends soon.
    fn next(&self, calls: &[Call], known: usize) -> Vec<usize> {
        let mut first_return = u64::MAX;
        let mut next = Vec::new();
        for call in (self.first..known).filter(|call| !self.others.contains(call)) {
            if calls[call].invoked > first_return {
                break;
            }
            first_return = first_return.min(calls[call].returned().unwrap_or(u64::MAX));
            next.push(call);
        }
        let unknown = (known..calls.len()).filter(|call| !self.others.contains(call));
        let can_happen = |call: &Call| call.invoked < first_return && !call.is_over(self.now);
        next.extend(unknown.filter(|call| can_happen(&calls[*call])));
        next
    }
}

mod tests {
    use Effect::{Read, Swap, Write};

    use super::*;

    fn call(invoked: u64, returned: u64, effect: Effect) -> Call {
        Call { invoked, end: End::Returned(returned), effect }
    }

    fn unknown(invoked: u64, effect: Effect) -> Call {
        Call { invoked, end: End::Lost { by: u64::MAX }, effect }
    }

    fn is_linearizable(calls: &[Call]) -> bool {
        check(calls).is_ok()
    }

    #[test]
    fn a_read_returns_what_was_written_before_it() {
        assert!(is_linearizable(&[call(0, 1, Write(1)), call(2, 3, Read(Some(1)))]));
        assert!(!is_linearizable(&[call(0, 1, Write(1)), call(2, 3, Read(None))]), "a lost write");
        assert!(!is_linearizable(&[call(0, 1, Write(1)), call(2, 3, Read(Some(2)))]), "out of thin air");
    }

    #[test]
    fn a_read_beside_a_write_returns_either() {
        for found in [None, Some(1)] {
            assert!(is_linearizable(&[call(0, 3, Write(1)), call(1, 2, Read(found))]), "{found:?}");
        }
    }

    #[test]
    fn once_a_value_was_seen_the_old_one_does_not_come_back() {
        let write = call(0, 9, Write(1));
        assert!(is_linearizable(&[write, call(1, 2, Read(None)), call(3, 4, Read(Some(1)))]));
        assert!(
            !is_linearizable(&[write, call(1, 2, Read(Some(1))), call(3, 4, Read(None))]),
            "a stale read"
        );
    }

    #[test]
    fn readers_agree_on_the_order_of_writes() {
        let writes = [call(0, 20, Write(1)), call(0, 20, Write(2))];
        let reads = |order: [u64; 4]| {
            let reads = (1..).step_by(2).zip(order).map(|(at, value)| call(at, at + 1, Read(Some(value))));
            writes.into_iter().chain(reads).collect::<Vec<_>>()
        };
        assert!(is_linearizable(&reads([1, 1, 2, 2])));
        assert!(is_linearizable(&reads([2, 2, 1, 1])));
        assert!(!is_linearizable(&reads([1, 2, 1, 2])));
    }

    #[test]
    fn of_two_swaps_of_one_value_one_succeeds() {
        let swap = |new, did| Swap { old: Some(1), new, did: Some(did) };
        let history =
            |first, second| [call(0, 1, Write(1)), call(2, 5, swap(2, first)), call(3, 6, swap(3, second))];
        assert!(is_linearizable(&history(true, false)));
        assert!(is_linearizable(&history(false, true)));
        assert!(!is_linearizable(&history(true, true)), "both");
        assert!(!is_linearizable(&history(false, false)), "neither");
    }

    #[test]
    fn a_delete_tells_whether_the_key_was_there() {
        let delete = |was_there| Effect::Delete { was_there: Some(was_there) };
        let history =
            |first, second| [call(0, 1, Write(1)), call(2, 3, delete(first)), call(4, 5, delete(second))];
        assert!(is_linearizable(&history(true, false)));
        assert!(!is_linearizable(&history(true, true)));
        assert!(!is_linearizable(&history(false, false)));
    }

    #[test]
    fn a_call_that_did_not_return_happens_late_or_never_but_not_early() {
        let lost = unknown(2, Write(2));
        let before = call(0, 1, Write(1));
        assert!(is_linearizable(&[before, lost, call(3, 4, Read(Some(1)))]), "never, so far");
        assert!(
            is_linearizable(&[before, lost, call(3, 4, Read(Some(1))), call(5, 6, Read(Some(2)))]),
            "late"
        );
        let flickers = [before, lost, call(3, 4, Read(Some(2))), call(5, 6, Read(Some(1)))];
        assert!(!is_linearizable(&flickers), "once it happened it stays");
        assert!(!is_linearizable(&[call(0, 1, Read(Some(2))), lost]), "before it was invoked");
    }

    #[test]
    fn a_call_that_was_lost_by_a_moment_does_not_happen_after_it() {
        let lost = |by| Call { invoked: 2, end: End::Lost { by }, effect: Write(2) };
        let late =
            |by| [call(0, 1, Write(1)), lost(by), call(5, 6, Read(Some(1))), call(7, 8, Read(Some(2)))];
        assert!(is_linearizable(&late(9)));
        assert!(!is_linearizable(&late(4)), "the first read was invoked after that");
        assert!(is_linearizable(&[call(0, 1, Write(1)), lost(4), call(5, 6, Read(Some(2)))]));
        assert!(is_linearizable(&[call(0, 1, Write(1)), lost(4), call(5, 6, Read(Some(1)))]));
    }

    #[test]
    fn an_unknown_swap_or_delete_fits_what_is_seen_after_it() {
        let swap = unknown(2, Swap { old: Some(1), new: 2, did: None });
        for found in [1, 2] {
            assert!(is_linearizable(&[call(0, 1, Write(1)), swap, call(3, 4, Read(Some(found)))]));
        }
        let delete = unknown(2, Effect::Delete { was_there: None });
        for found in [None, Some(1)] {
            assert!(is_linearizable(&[call(0, 1, Write(1)), delete, call(3, 4, Read(found))]));
        }
    }

    #[test]
    fn what_fits_nowhere_is_named() {
        let calls =
            [call(0, 1, Write(1)), call(2, 3, Read(Some(1))), call(4, 5, Read(None)), call(6, 7, Write(3))];
        let misfits = check(&calls).unwrap_err();
        assert_eq!(misfits.iter().map(|call| call.invoked).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn random_histories_of_a_real_register_pass_and_with_one_false_read_fail() {
        for seed in 0..30 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut calls = register(&mut rng, 100);
            assert!(is_linearizable(&calls), "seed {seed}");
            let at = rng.usize(..calls.len());
            calls[at].effect = Read(Some(1_000_000));
            assert!(!is_linearizable(&calls), "seed {seed}");
        }
    }

    /// Calls that took effect in order, each seen from some time before to some time after.
    fn register(rng: &mut fastrand::Rng, length: u64) -> Vec<Call> {
        let mut value = None;
        let calls = (1..=length).map(|number| {
            let effect = match rng.u32(..4) {
                0 => Write(number),
                1 => Swap { old: value, new: number, did: Some(true) },
                2 => Effect::Delete { was_there: Some(value.is_some()) },
                _ => Read(value),
            };
            value = effect.on(value).expect("it is made to fit");
            let moment = 1000 * number;
            Call {
                invoked: moment - rng.u64(..4000).min(moment),
                end: End::Returned(moment + 1 + rng.u64(..4000)),
                effect,
            }
        });
        calls.collect()
    }
}
