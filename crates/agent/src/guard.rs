//! What may not be believed at once.
//!
//! A store that does not answer never gets here. One that answers as another store, or went back in its
//! history, is doubted: while keys that were there are missing, files stay as they are, for a while, so that
//! services that live can register again; and as long as it holds nothing at all, without end. Keys that are
//! deleted in the store that was followed are believed at once.

use std::time::{Duration, Instant};

/// Why what a store says is doubted, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) why: String,
    pub(crate) since: Instant,
}

/// What a resource sees now, compared with what it last believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// How many keys it sees.
    pub(crate) keys: usize,
    /// How many of those that it believed in are missing.
    pub(crate) lost: usize,
}

/// Whether a resource may be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Apply,
    /// Not before something changes, or the time has come.
    Hold {
        until: Option<Instant>,
        reason: String,
    },
}

pub(crate) fn judge(doubt: Option<&Doubt>, now: Instant, settle: Duration, seen: Comparison) -> Verdict {
    let Some(doubt) = doubt else { return Verdict::Apply };
    if seen.lost == 0 {
        return Verdict::Apply;
    }
    let why = &doubt.why;
    if seen.keys == 0 {
        let reason = format!("{why}; it has no key, and had {}: the last good file stays", seen.lost);
        return Verdict::Hold { until: None, reason };
    }
    let until = doubt.since + settle;
    if now < until {
        let reason = format!("{why}; keys are missing ({}): the file stays for {settle:?}", seen.lost);
        return Verdict::Hold { until: Some(until), reason };
    }
    Verdict::Apply
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    fn judge_after(elapsed: Duration, keys: usize, lost: usize) -> Verdict {
        let doubt = Doubt { why: "it went back".into(), since: Instant::now() };
        judge(Some(&doubt), doubt.since + elapsed, SETTLE, Comparison { keys, lost })
    }

    #[test]
    fn without_a_doubt_even_nothing_is_believed() {
        assert_eq!(judge(None, Instant::now(), SETTLE, Comparison { keys: 0, lost: 9 }), Verdict::Apply);
    }

    #[test]
    fn a_doubted_store_that_lost_nothing_is_believed() {
        assert_eq!(judge_after(Duration::ZERO, 3, 0), Verdict::Apply);
    }

    #[test]
    fn missing_keys_are_waited_for() {
        let Verdict::Hold { until: Some(_), reason } = judge_after(SETTLE / 2, 2, 1) else { panic!() };
        assert_eq!(reason, "it went back; keys are missing (1): the file stays for 30s");
        assert_eq!(judge_after(SETTLE, 2, 1), Verdict::Apply);
    }

    #[test]
    fn an_emptied_store_is_never_believed_by_itself() {
        assert!(matches!(judge_after(SETTLE * 100, 0, 3), Verdict::Hold { until: None, .. }));
    }
}
