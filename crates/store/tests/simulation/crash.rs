//! Crashes at every sync, and at some writes and changes of length: what was acknowledged is there, and what was not is there whole
//! or not at all, in order; watches go on where they were.

use std::sync::LazyLock;

use futures::future::join_all;
use waypost_store::{Refusal, Store, pb};

use crate::beside::{
    OPERATIONS, Stream, ask, compare, compare_all, everything, in_time, open, run, seeds, shown,
};
use crate::disk::{Call, Counts, Disk, Fault, Moment};
use crate::generator::Generator;
use crate::model::{Answer, Model, Request};

/// Steps of up to four requests at a time.
const STEPS: usize = 22;

/// What was going on when the disk failed.
struct Crashed {
    /// What the store may be after it: the state with everything acknowledged, and those that the requests under way would have made
    /// of it, one after the other.
    candidates: Vec<Model>,
    /// Watches from before, with all they were told.
    stream: Option<Stream>,
}

#[test]
fn a_crash_at_any_sync_loses_nothing_acknowledged() {
    for seed in seeds(1) {
        let calls = calls(seed);
        println!("seed {seed}: {calls:?}");
        for at in 0..calls.syncs {
            let moment = [Moment::Before, Moment::During, Moment::After][at % 3];
            crash(seed, Fault { call: Call::Sync, at, moment });
        }
    }
}

#[test]
fn a_crash_at_a_write_loses_nothing_acknowledged() {
    for seed in seeds(1) {
        let calls = calls(seed);
        println!("seed {seed}: {calls:?}");
        for at in (0..calls.writes).step_by(calls.writes / 25 + 1) {
            crash(seed, Fault { call: Call::Write, at, moment: Moment::During });
        }
        for at in 0..calls.set_lens {
            crash(seed, Fault { call: Call::SetLen, at, moment: Moment::After });
        }
    }
}

#[test]
fn a_call_that_fails_once_stops_the_store_for_good() {
    for seed in seeds(1) {
        let calls = calls(seed);
        println!("seed {seed}: {calls:?}");
        for at in (0..calls.syncs).step_by(5) {
            crash(seed, Fault { call: Call::Sync, at, moment: Moment::Once });
        }
        for at in (0..calls.writes).step_by(calls.writes / 10 + 1) {
            crash(seed, Fault { call: Call::Write, at, moment: Moment::Once });
        }
    }
}

/// An empty store, closed.
fn fresh() -> Disk {
    static EMPTY: LazyLock<Disk> = LazyLock::new(|| {
        let disk = Disk::default();
        run(async { open(&disk).unwrap().close().await.unwrap() });
        disk
    });
    EMPTY.copy()
}

/// How many calls a run without a fault makes; it is checked as one with a fault is.
fn calls(seed: u64) -> Counts {
    let disk = fresh();
    run(async {
        let mut crashed = operate(&disk, seed).await;
        let model = crashed.candidates.pop().expect("there is always one");
        assert!(crashed.candidates.is_empty(), "seed {seed}: nothing failed");
        crashed.stream.expect("it was opened").expect(&model).await;
        let store = open(&disk.copy()).unwrap();
        compare(&store, &model).unwrap();
    });
    disk.counts()
}

fn crash(seed: u64, fault: Fault) {
    let context = format!("seed {seed}, {fault:?}");
    let disk = fresh();
    disk.set_fault(fault);
    let _context = OnPanic(&context);
    run(async {
        let crashed = operate(&disk, seed).await;
        let some = seed * 1_000_000 + fault.at as u64 + 2;
        let mut images = vec![disk.after_crash(0), disk.after_crash(1), disk.after_crash(some)];
        if fault.moment == Moment::Once {
            // The same files, read by the next process before any power cut.
            images.push(disk.copy());
        }
        let watches = crashed.stream.map_or_else(Vec::new, Stream::into_resumable);
        for (number, image) in images.iter().enumerate() {
            if number == fault.at % 3 {
                crash_the_recovery(image, &crashed.candidates, some);
            }
            let (store, model) = recovered(image, &crashed.candidates);
            for (followed, next) in &watches {
                followed.check_prefix(&model);
                let mut resumed = Stream::new(&store);
                resumed.follow(followed.watched(), *next, &model);
                resumed.expect(&model).await;
            }
            if number == 2 {
                go_on(image, store, model, some).await;
            }
        }
    });
}

/// Prints what was tried when a check fails deep inside.
struct OnPanic<'c>(&'c str);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

/// Runs the seed's requests until they are done or the store has stopped.
async fn operate(disk: &Disk, seed: u64) -> Crashed {
    let mut model = Model::new(OPERATIONS);
    let Ok(store) = open(disk) else {
        return Crashed { candidates: vec![model], stream: None };
    };
    let mut generator = Generator::new(seed);
    let mut stream = Stream::new(&store);
    stream.follow(&everything(), 1, &model);
    stream.follow(&generator.watched(), 1, &model);
    for _ in 0..STEPS {
        let candidates = step(&store, &model, &mut generator).await;
        match candidates {
            Ok(after) => model = after,
            Err(candidates) => {
                in_time("the end of a store that failed", store.failed()).await;
                let put = pb::PutRequest { key: b"late".into(), ..Default::default() };
                assert_eq!(store.put(put).await.err(), Some(Refusal::Stopped), "it takes nothing any more");
                stream.take(usize::MAX);
                return Crashed { candidates, stream: Some(stream) };
            }
        }
        stream.take(generator.rng.usize(..3));
    }
    // Whatever goes wrong from here on has nothing in flight.
    stream.expect(&model).await;
    drop(store);
    Crashed { candidates: vec![model], stream: Some(stream) }
}

/// Some requests at a time; the model after them, or, if the store has stopped, what it may be then.
async fn step(store: &Store, model: &Model, generator: &mut Generator) -> Result<Model, Vec<Model>> {
    let requests: Vec<Request> = (0..generator.rng.u32(1..5)).map(|_| generator.write(model)).collect();
    let answers = join_all(requests.iter().map(|request| ask(store, request.clone()))).await;
    let mut candidates = vec![model.clone()];
    let mut least = 0;
    for (request, answer) in requests.iter().zip(&answers) {
        let mut after = candidates[candidates.len() - 1].clone();
        let expected = after.apply(request);
        candidates.push(after);
        if *answer != Err(Refusal::Stopped) {
            assert_eq!(*answer, expected, "{}", shown(request));
        }
        if is_telling(answer) {
            least = candidates.len() - 1;
        }
    }
    if answers.contains(&Err(Refusal::Stopped)) {
        return Err(candidates.split_off(least));
    }
    Ok(candidates.pop().expect("there is always one"))
}

/// True if an answer tells of the state that was found, so that everything before it must be durable.
fn is_telling(answer: &Answer) -> bool {
    use Refusal::{Compacted, FutureRevision, LeaseExists, LeaseNotFound};
    matches!(answer, Ok(_) | Err(Compacted | FutureRevision | LeaseExists | LeaseNotFound))
}

/// Opens what a crash has left, and finds out which of `candidates` it is.
fn recovered(image: &Disk, candidates: &[Model]) -> (Store, Model) {
    let store = open(image).unwrap_or_else(|why| panic!("it does not open again: {why}"));
    let differences: Vec<_> = candidates.iter().map(|model| compare(&store, model)).collect();
    match differences.iter().rposition(Result::is_ok) {
        Some(same) => (store, candidates[same].clone()),
        None => panic!("it is none of what it may be: {differences:#?}"),
    }
}

/// Crashes at each sync that opening makes, and opens what is left of that.
fn crash_the_recovery(image: &Disk, candidates: &[Model], seed: u64) {
    for at in 0.. {
        let disk = image.copy();
        let moment = [Moment::After, Moment::Before, Moment::During][at % 3];
        disk.set_fault(Fault { call: Call::Sync, at, moment });
        let opened = open(&disk);
        if !disk.is_crashed() {
            // The fault is later than all that opening does.
            opened.unwrap_or_else(|why| panic!("it does not open again: {why}"));
            return;
        }
        drop(opened);
        recovered(&disk.after_crash(seed % 7 + at as u64), candidates);
    }
}

/// The store is as good as before: goes on, is closed and opened.
async fn go_on(disk: &Disk, store: Store, mut model: Model, seed: u64) {
    let mut generator = Generator::new(seed);
    for _ in 0..6 {
        model = step(&store, &model, &mut generator).await.unwrap_or_else(|_| panic!("it stopped again"));
    }
    compare_all(&store, &model, &mut generator.rng).await.unwrap();
    store.close().await.unwrap();
    compare(&open(disk).unwrap(), &model).unwrap();
}
