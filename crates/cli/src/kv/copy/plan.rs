//! What is to be done with each key. No I/O: two snapshots go in, a plan comes out.

use std::collections::{BTreeMap, HashMap};

use waypost_backend::etcd::{GuardedPut, RawEntry, RawSnapshot};
use waypost_model::Position;

/// Keys and what they hold.
pub(super) type Content = BTreeMap<Vec<u8>, RawEntry>;

/// Operations a transaction; etcd's own limit (`--max-txn-ops`).
const OPERATIONS: usize = 128;

/// Bytes a transaction; etcd's limit for a request is 1.5 MiB (`--max-request-bytes`). One put may be larger.
const BYTES: usize = 1024 * 1024;

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Keys to write: missing at the target, or to be overwritten.
    pub(super) writes: Vec<GuardedPut>,
    /// How many keys hold the same on both sides.
    pub(super) equal: usize,
    /// Keys that live under a lease at the source. They are their announcers', who register anew.
    pub(super) leased: Vec<Vec<u8>>,
    /// Keys that hold something else at the target, and are left.
    pub(super) differing: Vec<Vec<u8>>,
    /// How many keys are at the target only, and are left.
    pub(super) only_at_target: usize,
}

/// Decides. A key that lives under a lease at the target is an announcer's there: it is left even with `overwrite`.
pub(super) fn decide(source: &Content, target: &Content, overwrite: bool) -> Plan {
    let mut plan = Plan {
        only_at_target: target.keys().filter(|key| !source.contains_key(*key)).count(),
        ..Plan::default()
    };
    for (key, entry) in source {
        let there = target.get(key);
        if entry.lease != 0 {
            plan.leased.push(key.clone());
            continue;
        }
        match there {
            Some(there) if there.value == entry.value => plan.equal += 1,
            Some(there) if !overwrite || there.lease != 0 => plan.differing.push(key.clone()),
            there => plan.writes.push(GuardedPut {
                key: key.clone(),
                value: entry.value.clone(),
                seen: there.map_or(0, |there| there.revision),
            }),
        }
    }
    plan
}

/// The writes in transactions that a server with etcd's own limits takes.
pub(super) fn batches(writes: Vec<GuardedPut>) -> Vec<Vec<GuardedPut>> {
    let mut batches: Vec<Vec<GuardedPut>> = Vec::new();
    let mut bytes = 0;
    for put in writes {
        // The key is in the comparison, the put and the read that a refusal answers with.
        let size = 3 * put.key.len() + put.value.as_bytes().len() + 64;
        match batches.last_mut() {
            Some(batch) if batch.len() < OPERATIONS && bytes + size <= BYTES => {
                batch.push(put);
                bytes += size;
            }
            _ => {
                batches.push(vec![put]);
                bytes = size;
            }
        }
    }
    batches
}

/// What a refused transaction leaves to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// As they were seen still: to be written in a transaction without the others.
    pub(super) again: Vec<GuardedPut>,
    /// There by now, with the value that they are to have: of a transaction whose answer was lost, or anybody's.
    pub(super) done: Vec<GuardedPut>,
    /// Changed by somebody else since they were seen.
    pub(super) changed: Vec<Vec<u8>>,
}

/// Sorts the puts of a refused transaction by what was `found` in their places. At least one is not to be
/// done again, or it would not have been refused.
pub(super) fn settle(puts: Vec<GuardedPut>, found: Vec<Option<RawEntry>>) -> Settled {
    let mut settled = Settled::default();
    for (put, found) in puts.into_iter().zip(found) {
        if found.as_ref().map_or(0, |found| found.revision) == put.seen {
            settled.again.push(put);
        } else if found.is_some_and(|found| found.value == put.value) {
            settled.done.push(put);
        } else {
            settled.changed.push(put.key);
        }
    }
    settled
}

/// True if the target is the source, as far as can be seen. Cluster ids alone do not tell: etcd makes them of the
/// members' addresses and a token, and two single ones with the defaults have the same. But within one cluster no
/// read is older than one before it, so the target is between the source `before` and `source`; and what was not
/// written since the target was read is the same write there.
///
/// Source: etcd's `etcdserver/api/membership/cluster.go` (`genID`).
pub(super) fn is_same(before: Position, target: &RawSnapshot, source: &RawSnapshot) -> bool {
    let (then, now) = (target.position, source.position);
    let is_between = before.revision <= then.revision && then.revision <= now.revision;
    let mut older = source.entries.iter().filter(|(_, entry)| entry.revision <= then.revision);
    before.store == then.store
        && is_between
        && older.all(|(key, entry)| target.entries.get(key) == Some(entry))
}

/// Of the keys that a second look finds wrong, those that are not accounted for.
pub(super) fn unnamed<'a>(wrong: &Plan, named: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Vec<u8>> {
    let named: HashMap<&[u8], ()> = named.into_iter().map(|key| (key.as_slice(), ())).collect();
    let wrong = wrong.writes.iter().map(|put| &put.key).chain(&wrong.differing);
    wrong.filter(|key| !named.contains_key(key.as_slice())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use waypost_model::StoreId;

    use super::*;

    fn entry(value: &str, revision: u64, lease: i64) -> RawEntry {
        RawEntry { value: value.to_owned().into(), revision, lease }
    }

    fn content(entries: &[(&str, RawEntry)]) -> Content {
        entries.iter().map(|(key, entry)| (key.as_bytes().to_vec(), entry.clone())).collect()
    }

    fn put(key: &str, value: &str, seen: u64) -> GuardedPut {
        GuardedPut { key: key.into(), value: value.to_owned().into(), seen }
    }

    fn keys(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    /// One key of each kind.
    fn sides() -> (Content, Content) {
        let source = content(&[
            ("differs", entry("source", 1, 0)),
            ("equal", entry("same", 2, 0)),
            ("leased", entry("announced", 3, 77)),
            ("missing", entry("new", 4, 0)),
            ("taken", entry("source", 5, 0)),
        ]);
        let target = content(&[
            ("differs", entry("target", 21, 0)),
            ("equal", entry("same", 22, 0)),
            ("leased", entry("announced there", 23, 78)),
            ("only here", entry("x", 24, 0)),
            ("taken", entry("target", 25, 79)),
        ]);
        (source, target)
    }

    #[test]
    fn missing_keys_are_written_and_others_left() {
        let (source, target) = sides();
        let wanted = Plan {
            writes: vec![put("missing", "new", 0)],
            equal: 1,
            leased: keys(&["leased"]),
            differing: keys(&["differs", "taken"]),
            only_at_target: 1,
        };
        assert_eq!(decide(&source, &target, false), wanted);
    }

    #[test]
    fn overwriting_leaves_what_an_announcer_holds_at_the_target() {
        let (source, target) = sides();
        let plan = decide(&source, &target, true);
        assert_eq!(plan.writes, [put("differs", "source", 21), put("missing", "new", 0)]);
        assert_eq!(plan.differing, keys(&["taken"]));
    }

    #[test]
    fn a_copy_of_a_copy_has_nothing_to_do() {
        let (source, _) = sides();
        let copied = source.iter().filter(|(_, entry)| entry.lease == 0);
        let copied = copied.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let plan = decide(&source, &copied, true);
        assert_eq!((plan.writes, plan.equal, plan.only_at_target), (vec![], 4, 0));
    }

    #[test]
    fn transactions_keep_to_etcds_limits() {
        let sizes = |writes: Vec<GuardedPut>| batches(writes).iter().map(Vec::len).collect::<Vec<_>>();
        let small = (0..300).map(|number| put(&format!("/k/{number}"), "v", 0)).collect();
        assert_eq!(sizes(small), [128, 128, 44]);
        let large = |size: usize| put("/k", &"x".repeat(size), 0);
        let two = BYTES / 2 - 100;
        assert_eq!(
            sizes(vec![large(two), large(two), large(BYTES), large(BYTES + 1), large(1)]),
            [2, 1, 1, 1]
        );
        assert_eq!(sizes(vec![]), [0; 0]);
    }

    #[test]
    fn after_a_refusal_what_somebody_changed_is_left_and_the_rest_written() {
        let puts = ["as seen", "still missing", "written", "changed", "made", "deleted"];
        let seen = [5, 0, 0, 5, 0, 5];
        let puts = puts.iter().zip(seen).map(|(key, seen)| put(key, "v", seen)).collect();
        let found = vec![
            Some(entry("old", 5, 0)),
            None,
            Some(entry("v", 9, 0)),
            Some(entry("theirs", 9, 0)),
            Some(entry("theirs", 9, 0)),
            None,
        ];
        let settled = settle(puts, found);
        assert_eq!(settled.again, [put("as seen", "v", 5), put("still missing", "v", 0)]);
        assert_eq!(settled.done, [put("written", "v", 0)]);
        assert_eq!(settled.changed, keys(&["changed", "made", "deleted"]));
    }

    #[test]
    fn a_target_is_the_source_only_if_its_history_fits_too() {
        let at = |store, revision| Position::new(StoreId::Lasting(store), revision);
        let read = |store, revision, entries: &[(&str, RawEntry)]| RawSnapshot {
            position: at(store, revision),
            entries: content(entries),
        };
        let (old, new) = (("/old", entry("v", 3, 0)), ("/new", entry("v", 8, 0)));
        let source = read(1, 7, std::slice::from_ref(&old));
        assert!(is_same(at(1, 7), &source, &source));
        let later = read(1, 8, &[old.clone(), new]);
        assert!(is_same(at(1, 6), &source, &later), "written to meanwhile");

        assert!(!is_same(at(1, 7), &read(2, 7, std::slice::from_ref(&old)), &source), "another id");
        assert!(!is_same(at(1, 7), &read(1, 1, &[]), &source), "a fresh one with the same names");
        let copied = read(1, 7, &[("/old", entry("v", 7, 0))]);
        assert!(!is_same(at(1, 7), &copied, &source), "a copy that came to the same revision");
    }

    #[test]
    fn a_second_look_names_what_is_not_named_yet() {
        let (source, target) = sides();
        let wrong = decide(&source, &target, false);
        assert_eq!(unnamed(&wrong, &keys(&["differs"])), keys(&["missing", "taken"]));
    }
}
