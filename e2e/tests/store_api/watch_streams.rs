//! Watch: several watches on a stream, their ids and ends, progress and fragments.

use etcd_client::{TxnOp, WatchOptions};

use crate::api::Api;
use crate::show;
use crate::watching::Watching;

fn one() -> WatchOptions {
    WatchOptions::new()
}

/// The next response is a refusal that says `why`.
async fn assert_not_created(watching: &mut Watching, why: &str) {
    let response = watching.response().await;
    assert!(response.created() && response.canceled(), "{response:?}");
    assert_eq!((response.watch_id(), response.cancel_reason(), response.events().len()), (-1, why, 0));
    assert_eq!(response.compact_revision(), 0);
}

/// The next response is the end of the watch `id`.
async fn assert_cancelled(watching: &mut Watching, id: i64) {
    let response = watching.response().await;
    assert!(response.canceled() && !response.created(), "{response:?}");
    assert_eq!((response.watch_id(), response.compact_revision(), response.events().len()), (id, 0, 0));
}

#[tokio::test]
async fn each_watch_of_a_stream_gets_its_own_events() {
    let mut api = api!();
    let mut watching = api.watch("a", one()).await;
    watching.watch("b", one()).await;
    watching.watch("a", one().with_from_key()).await;
    assert_eq!((watching.created().await, watching.created().await), (1, 2), "ids are counted");
    api.run([TxnOp::put("a", "1", None), TxnOp::put("b", "1", None)]).await.unwrap();
    let mut batches = vec![watching.batch().await, watching.batch().await, watching.batch().await];
    batches.sort();
    let (a, b) = ("PUT a=1 c1 m1 v1".to_owned(), "PUT b=1 c1 m1 v1".to_owned());
    assert_eq!(batches, [(0, vec![a.clone()]), (1, vec![b.clone()]), (2, vec![a, b])]);
}

#[tokio::test]
async fn a_stream_takes_hundreds_of_watches() {
    const WATCHES: i64 = 300;
    let mut api = api!();
    let mut watching = api.watch("k", one().with_prefix()).await;
    for number in 1..WATCHES {
        let key = format!("k{number}");
        watching.watch(key, if number % 2 == 0 { one() } else { one().with_prev_key() }).await;
        assert_eq!(watching.created().await, number);
    }
    for number in 1..WATCHES {
        let key = format!("k{number}");
        api.put(key.as_str(), "1").await;
        let mut batches = [watching.batch().await, watching.batch().await];
        batches.sort();
        let events = vec![format!("PUT {key}=1 c{number} m{number} v1")];
        assert_eq!(batches, [(0, events.clone()), (number, events)]);
    }
}

#[tokio::test]
async fn ids_are_chosen_by_the_client_or_counted_around_those() {
    let mut api = api!();
    let mut watching = api.watch_stream("a", one().with_watch_id(1)).await;
    assert_eq!(watching.created().await, 1);
    for expected in [0, 2, 3] {
        watching.watch("a", one()).await;
        assert_eq!(watching.created().await, expected, "1 is taken");
    }
    watching.watch("a", one().with_watch_id(77)).await;
    assert_eq!(watching.created().await, 77);
    api.put("a", "1").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(watching.batch().await.0);
    }
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3, 77]);
}

#[tokio::test]
async fn an_id_is_given_once_and_the_first_watch_stays() {
    let mut api = api!();
    let mut watching = api.watch_stream("a", one().with_watch_id(5)).await;
    assert_eq!(watching.created().await, 5);
    watching.watch("b", one().with_watch_id(5)).await;
    assert_not_created(&mut watching, "mvcc: duplicate watch ID provided on the WatchStream").await;
    api.put("b", "1").await;
    api.put("a", "1").await;
    assert_eq!(watching.batch().await, (5, vec!["PUT a=1 c2 m2 v1".to_owned()]));

    let mut other = api.watch_stream("b", one().with_watch_id(5)).await;
    assert_eq!(other.created().await, 5, "another stream has ids of its own");
}

#[tokio::test]
async fn a_cancelled_watch_is_silent_and_its_id_free() {
    let mut api = api!();
    let mut watching = api.watch_stream("a", one().with_watch_id(5)).await;
    assert_eq!(watching.created().await, 5);
    watching.watch("b", one().with_watch_id(6)).await;
    assert_eq!(watching.created().await, 6);
    watching.cancel(5).await;
    assert_cancelled(&mut watching, 5).await;
    api.put("a", "1").await;
    api.put("b", "1").await;
    assert_eq!(watching.batch().await, (6, vec!["PUT b=1 c2 m2 v1".to_owned()]));

    watching.watch("c", one().with_watch_id(5)).await;
    assert_eq!(watching.created().await, 5);
    api.put("c", "1").await;
    assert_eq!(watching.batch().await, (5, vec!["PUT c=1 c3 m3 v1".to_owned()]));
}

#[tokio::test]
async fn a_watch_may_be_cancelled_while_it_catches_up() {
    let mut api = api!();
    // Less than the client takes in one response, 4 MB: a server may send all of it at once.
    for _ in 0..2 {
        put_large(&mut api, "a").await;
    }
    let mut watching = api.watch("k", api.from(1).with_prefix()).await;
    watching.cancel(0).await;
    // What was on its way may still come; after the end, nothing does.
    let mut events = 0;
    loop {
        let response = watching.response().await;
        if response.canceled() {
            assert_eq!((response.watch_id(), response.compact_revision()), (0, 0));
            break;
        }
        events += response.events().len();
    }
    assert!(events <= 32, "{events} of 32 events");
    watching.watch("z", one()).await;
    assert_eq!(watching.created().await, 1);
    api.put("k00", "2").await;
    api.put("z", "1").await;
    assert_eq!(watching.batch().await, (1, vec!["PUT z=1 c4 m4 v1".to_owned()]));
}

#[tokio::test]
async fn the_end_of_a_watch_that_is_not_there_is_no_answer() {
    let mut api = api!();
    let mut watching = api.watch("a", one()).await;
    watching.cancel(9).await;
    watching.cancel(-1).await;
    watching.cancel(0).await;
    assert_cancelled(&mut watching, 0).await;
    watching.cancel(0).await;
    watching.watch("b", one()).await;
    assert_eq!(watching.created().await, 1, "an id that was counted does not come again");
}

#[tokio::test]
async fn a_range_without_keys_is_refused_and_the_stream_goes_on() {
    let mut api = api!();
    let mut watching = api.watch_stream("b", one().with_range("a")).await;
    assert_not_created(&mut watching, "mvcc: watcher range is empty").await;
    watching.watch("b", one().with_range("b")).await;
    assert_not_created(&mut watching, "mvcc: watcher range is empty").await;
    watching.watch("b", one().with_range("c")).await;
    assert_eq!(watching.created().await, 0, "a refusal takes no id");
    api.put("b", "1").await;
    assert_eq!(watching.batch().await.0, 0);
}

#[tokio::test]
async fn streams_do_not_end_each_other() {
    let mut api = api!();
    let first = api.watch("a", one()).await;
    let mut second = api.watch("a", one()).await;
    drop(first);
    api.put("a", "1").await;
    assert_eq!(second.events(1).await, ["PUT a=1 c1 m1 v1"]);
}

#[tokio::test]
async fn progress_is_told_for_the_whole_stream() {
    let mut api = api!();
    let mut watching = api.watch("a", one()).await;
    watching.watch("b", one()).await;
    watching.created().await;
    api.put("a", "1").await;
    assert_eq!(watching.events(1).await.len(), 1);
    // The watch has seen the last revision, so that nothing keeps the answer back.
    watching.request_progress().await;
    let progress = watching.response().await;
    assert!(!progress.created() && !progress.canceled(), "{progress:?}");
    assert_eq!((progress.watch_id(), progress.events().len(), watching.revision(&progress)), (-1, 0, 1));

    api.put("b", "1").await;
    assert_eq!(watching.batch().await, (1, vec!["PUT b=1 c2 m2 v1".to_owned()]), "and the watches go on");
}

/// Sixteen keys of 90 kB each, in one transaction.
async fn put_large(api: &mut Api, fill: &str) -> i64 {
    let puts: Vec<TxnOp> =
        (0..16).map(|number| TxnOp::put(format!("k{number:02}"), fill.repeat(90_000), None)).collect();
    api.run(puts).await.unwrap().revision
}

#[tokio::test]
async fn a_large_batch_comes_in_fragments_with_every_event_once() {
    let mut api = api!();
    let options = one().with_all_keys().with_prev_key().with_fragment();
    let mut watching = api.watch("", options).await;
    assert_eq!(put_large(&mut api, "a").await, 1);
    let first = watching.response().await;
    assert!(!first.0.fragment && first.events().len() == 16, "1.4 MB fit into a response");

    assert_eq!(put_large(&mut api, "b").await, 2);
    let mut events = Vec::new();
    let mut fragments = 0;
    loop {
        let response = watching.response().await;
        assert_eq!((response.watch_id(), watching.revision(&response)), (0, 2));
        assert!(!response.events().is_empty(), "a fragment without events");
        let size: usize =
            response.events().iter().map(|event| size(event.kv()) + size(event.prev_kv())).sum();
        assert!(size < 2_200_000, "a fragment of {size} bytes");
        events.extend(response.events().iter().map(|event| show::event(event, api.base)));
        fragments += 1;
        if !response.0.fragment {
            break;
        }
    }
    assert!(fragments > 1, "2.9 MB in one response");
    let expected: Vec<String> = (0..16)
        .map(|number| format!("PUT k{number:02}=90000 bytes c1 m2 v2 was k{number:02}=90000 bytes c1 m1 v1"))
        .collect();
    assert_eq!(events, expected);

    api.put("z", "1").await;
    let next = watching.response().await;
    assert!(!next.0.fragment && next.events().len() == 1, "{next:?}");
}

fn size(kv: Option<&etcd_client::KeyValue>) -> usize {
    kv.map_or(0, |kv| kv.key().len() + kv.value().len())
}

#[tokio::test]
async fn who_does_not_ask_for_fragments_gets_none() {
    let mut api = api!();
    let mut watching = api.watch("", one().with_all_keys().with_prev_key()).await;
    put_large(&mut api, "a").await;
    put_large(&mut api, "b").await;
    for _ in 0..2 {
        let response = watching.response().await;
        assert!(!response.0.fragment && response.events().len() == 16, "{} events", response.events().len());
    }
}
