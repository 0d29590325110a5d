//! Random requests, to the store and to the model: every answer is the same, and in the end everything that can be seen.

use futures::future::join_all;
use waypost_store::Store;

use crate::beside::{OPERATIONS, Stream, ask, compare, compare_all, open, run, seeds, shown};
use crate::disk::{Disk, Name};
use crate::generator::Generator;
use crate::model::Model;

const REQUESTS: usize = 250;

#[test]
fn a_store_answers_as_the_model_does() {
    for seed in seeds(12) {
        println!("seed {seed}");
        run(beside_the_model(seed));
    }
}

async fn beside_the_model(seed: u64) {
    let disk = Disk::default();
    let mut store = open(&disk).unwrap();
    let (mut model, mut generator) = (Model::new(OPERATIONS), Generator::new(seed));
    let mut streams = Vec::new();
    for request in 0..REQUESTS {
        if streams.len() < 6 && generator.once_in(20) {
            streams.push(watches(&store, &model, &mut generator));
        }
        step(&store, &mut model, &mut generator).await;
        for stream in &mut streams {
            // Slow ones fall behind and are told later.
            stream.take(generator.rng.usize(..3));
        }
        if generator.once_in(40) {
            compare(&store, &model).unwrap_or_else(|why| panic!("after request {request}: {why}"));
        }
        if generator.once_in(100) {
            for mut stream in streams.drain(..) {
                stream.expect(&model).await;
            }
            store = reopened(store, &disk).await;
        }
    }
    for mut stream in streams {
        stream.expect(&model).await;
    }
    compare_all(&store, &model, &mut generator.rng).await.unwrap();
    let store = reopened(store, &disk).await;
    compare_all(&store, &model, &mut generator.rng).await.unwrap();
    store.close().await.unwrap();
}

/// A stream with some watches, from now on or from a revision that is left.
fn watches(store: &Store, model: &Model, generator: &mut Generator) -> Stream {
    let mut stream = Stream::new(store);
    for _ in 0..generator.rng.u32(1..4) {
        let first = model.compacted().max(0) + 1;
        let start = if generator.once_in(2) { 0 } else { generator.rng.i64(first..=model.revision() + 3) };
        stream.follow(&generator.watched(), start, model);
    }
    stream
}

/// One request, or some at a time, which the writer takes in their order.
async fn step(store: &Store, model: &mut Model, generator: &mut Generator) {
    let requests = match generator.rng.u32(..4) {
        0 => (0..generator.rng.u32(2..6)).map(|_| generator.write(model)).collect(),
        _ => vec![generator.request(model)],
    };
    let answers = join_all(requests.iter().map(|request| ask(store, request.clone()))).await;
    for (request, answer) in requests.iter().zip(answers) {
        let before = model.clone();
        let expected = model.apply(request);
        let at = format!("at {}, compacted {}", before.revision(), before.compacted());
        assert!(
            answer == expected,
            "{at}: {}\n is {}\nnot {}",
            shown(request),
            shown(&answer),
            shown(&expected)
        );
    }
}

async fn reopened(store: Store, disk: &Disk) -> Store {
    let identity = store.header().cluster_id;
    store.close().await.unwrap();
    let store = open(disk).unwrap();
    assert_eq!(store.header().cluster_id, identity, "the cluster stays the same");
    store
}

#[test]
fn a_store_that_was_closed_has_nothing_left_to_sync() {
    run(async {
        let disk = Disk::default();
        let store = open(&disk).unwrap();
        let (mut model, mut generator) = (Model::new(OPERATIONS), Generator::new(7));
        for _ in 0..50 {
            step(&store, &mut model, &mut generator).await;
        }
        store.close().await.unwrap();
        let (lost, kept) = (disk.after_crash(0), disk.copy());
        assert_eq!(lost.bytes(Name::Database), kept.bytes(Name::Database));
        let store = open(&lost).unwrap();
        compare(&store, &model).unwrap();
    });
}
