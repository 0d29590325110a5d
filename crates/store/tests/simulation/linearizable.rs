//! Concurrent clients on threads of their own, with crashes in between: what they see is linearizable, key by key, and revisions
//! follow real time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use waypost_store::{Refusal, Store, pb};

use crate::beside::{DEADLINE, open, seeds};
use crate::disk::Disk;
use crate::wgl::{self, Call, Effect, End};

const KEYS: [&str; 3] = ["x", "y", "z"];
const CLIENTS: u64 = 8;
/// A crash comes after each.
const ROUNDS: u64 = 5;
/// Calls of all clients together in a round, at least.
const CALLS: u64 = 150;

/// A call, its key, and the revision that was told.
#[derive(Debug, Clone, Copy)]
struct Told {
    key: usize,
    call: Call,
    /// Only of calls that returned: the revision, and whether this call made it.
    revision: Option<(i64, bool)>,
}

/// What the clients share.
#[derive(Default)]
struct Record {
    clock: AtomicU64,
    values: AtomicU64,
    told: Mutex<Vec<Told>>,
}

#[test]
fn concurrent_clients_see_one_store_over_all_crashes() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    for seed in seeds(3) {
        println!("seed {seed}");
        let told = threads.block_on(history(seed));
        check(&told);
    }
}

fn check(told: &[Told]) {
    for (key, name) in KEYS.iter().enumerate() {
        let calls: Vec<Call> = told.iter().filter(|told| told.key == key).map(|told| told.call).collect();
        assert!(calls.len() > 50, "too few calls to show anything: {}", calls.len());
        if let Err(misfits) = wgl::check(&calls) {
            panic!("{name}: of {} calls these fit nowhere: {misfits:#?}\n{calls:#?}", calls.len());
        }
    }
    check_revisions(told);
}

/// What was told before a call was invoked is not above what that call is told; what it makes is above, and is its own.
fn check_revisions(told: &[Told]) {
    let mut known: Vec<_> =
        told.iter().filter_map(|told| Some((told.call.returned()?, told.revision?))).collect();
    known.sort_unstable();
    // The highest revision that was told up to each return.
    let highest: Vec<i64> = known
        .iter()
        .scan(0, |highest, (_, (revision, _))| {
            *highest = revision.max(highest).to_owned();
            Some(*highest)
        })
        .collect();
    for told in told {
        let Some((revision, made)) = told.revision else { continue };
        let before = known.partition_point(|(returned, _)| *returned < told.call.invoked);
        let least = before.checked_sub(1).map_or(0, |last| highest[last]) + i64::from(made);
        assert!(revision >= least, "{told:?}, but {least} was due");
    }
    let makers = || known.iter().filter(|(_, (_, made))| *made).map(|(_, (revision, _))| revision);
    assert_eq!(
        makers().collect::<BTreeSet<_>>().len(),
        makers().count(),
        "each write has a revision of its own"
    );
}

/// Runs the clients over some crashes.
async fn history(seed: u64) -> Vec<Told> {
    let record = Arc::new(Record::default());
    let mut disk = Disk::default();
    let mut rng = fastrand::Rng::with_seed(seed);
    for round in 0..ROUNDS {
        let store = open(&disk).unwrap();
        record.settle();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let rng = fastrand::Rng::with_seed(seed << 32 | round << 16 | client);
                tokio::spawn(client_until_stopped(store.clone(), Arc::clone(&record), rng))
            })
            .collect();
        let enough = record.count() + CALLS + rng.u64(..CALLS);
        let reached = async {
            while record.count() < enough {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.expect("the clients get on");
        disk.crash();
        for client in clients {
            tokio::time::timeout(DEADLINE, client).await.expect("a client ends with its store").unwrap();
        }
        disk = disk.after_crash(seed + round);
    }
    record.told.lock().unwrap().clone()
}

impl Record {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn count(&self) -> u64 {
        self.told.lock().unwrap().len() as u64
    }

    /// Nothing that was lost so far happens from now on: the store was opened again.
    fn settle(&self) {
        let now = self.now();
        for told in self.told.lock().unwrap().iter_mut() {
            if told.call.end == (End::Lost { by: u64::MAX }) {
                told.call.end = End::Lost { by: now };
            }
        }
    }

    /// Notes a call that was invoked at `invoked`; one whose outcome is unknown has none.
    fn note(&self, key: usize, invoked: u64, effect: Effect, revision: Option<(i64, bool)>) {
        let end = revision.map_or(End::Lost { by: u64::MAX }, |_| End::Returned(self.now()));
        self.told.lock().unwrap().push(Told { key, call: Call { invoked, end, effect }, revision });
    }
}

async fn client_until_stopped(store: Store, record: Arc<Record>, mut rng: fastrand::Rng) {
    // What a swap expects is what was seen last, so that some succeed.
    let mut seen = [None; KEYS.len()];
    loop {
        let key = rng.usize(..KEYS.len());
        let invoked = record.now();
        let (effect, outcome) = call(&store, key, &mut seen[key], &record, &mut rng).await;
        match outcome {
            Ok(revision) => record.note(key, invoked, effect, Some(revision)),
            Err(Refusal::Stopped) => {
                if !matches!(effect, Effect::Read(_)) {
                    record.note(key, invoked, effect, None);
                }
                return;
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
}

/// One call: what it did, or would have done, and the revision it was told.
async fn call(
    store: &Store,
    key: usize,
    seen: &mut Option<u64>,
    record: &Record,
    rng: &mut fastrand::Rng,
) -> (Effect, Result<(i64, bool), Refusal>) {
    let new = record.values.fetch_add(1, Ordering::Relaxed) + 1;
    let (name, value) = (KEYS[key].as_bytes().to_vec(), new.to_string().into_bytes());
    let revision = |header: Option<pb::ResponseHeader>| header.expect("every answer has a header").revision;
    match rng.u32(..10) {
        0..4 => {
            let found = store.range(&pb::RangeRequest { key: name, ..Default::default() });
            let told = found.map(|found| {
                *seen = found.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).parse().unwrap());
                (revision(found.header), false)
            });
            (Effect::Read(*seen), told)
        }
        4..6 => {
            let written = store.put(pb::PutRequest { key: name, value, ..Default::default() }).await;
            (Effect::Write(new), written.map(|written| (revision(written.header), true)))
        }
        6 => {
            let deleted =
                store.delete_range(pb::DeleteRangeRequest { key: name, ..Default::default() }).await;
            let was_there = deleted.as_ref().ok().map(|deleted| deleted.deleted == 1);
            let told = deleted.map(|deleted| (revision(deleted.header), deleted.deleted == 1));
            (Effect::Delete { was_there }, told)
        }
        _ => {
            let swapped = store.txn(swap(name, *seen, value)).await;
            let did = swapped.as_ref().ok().map(|swapped| swapped.succeeded);
            let told = swapped.map(|swapped| (revision(swapped.header), swapped.succeeded));
            (Effect::Swap { old: *seen, new, did }, told)
        }
    }
}

/// A transaction that puts `value` if the key has the value `old`, or is not there.
fn swap(key: Vec<u8>, old: Option<u64>, value: Vec<u8>) -> pb::TxnRequest {
    // `Compare.CompareTarget` of etcd's `rpc.proto`: a version of 0 is a key that is not there.
    const VERSION: i32 = 0;
    const VALUE: i32 = 3;
    let (target, union) = match old {
        Some(old) => (VALUE, pb::TargetUnion::Value(old.to_string().into_bytes())),
        None => (VERSION, pb::TargetUnion::Version(0)),
    };
    let compare = pb::Compare { target, key: key.clone(), target_union: Some(union), ..Default::default() };
    let put = pb::RequestUnion::RequestPut(pb::PutRequest { key, value, ..Default::default() });
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![pb::RequestOp { request: Some(put) }],
        failure: Vec::new(),
    }
}
