//! Watch: from where a watch begins, and that it misses and repeats nothing.

use std::collections::BTreeMap;

use etcd_client::{DeleteOptions, TxnOp, WatchOptions};
use futures::future::join_all;

use crate::api::Api;

#[tokio::test]
async fn a_watch_begins_in_the_past_now_or_in_the_future() {
    let mut api = api!();
    for value in ["1", "2", "3"] {
        api.put("a", value).await;
    }
    let mut past = api.watch("a", api.from(2)).await;
    let mut last = api.watch("a", api.from(3)).await;
    let mut next = api.watch("a", api.from(4)).await;
    let mut now = api.watch("a", WatchOptions::new()).await;
    let mut future = api.watch("a", api.from(6)).await;
    for value in ["4", "5", "6"] {
        api.put("a", value).await;
    }
    let all: Vec<String> = (1..=6).map(|value| format!("PUT a={value} c1 m{value} v{value}")).collect();
    assert_eq!(past.events(5).await, all[1..]);
    assert_eq!(last.events(4).await, all[2..]);
    assert_eq!(next.events(3).await, all[3..]);
    assert_eq!(now.events(3).await, all[3..]);
    assert_eq!(future.events(1).await, all[5..]);
}

#[tokio::test]
async fn the_past_is_told_with_its_deletions_and_transactions() {
    let mut api = api!();
    api.put("a", "1").await;
    api.delete("a").await;
    api.run([TxnOp::put("b", "1", None), TxnOp::put("a", "2", None)]).await.unwrap();
    api.delete_with("", DeleteOptions::new().with_all_keys()).await.unwrap();
    let mut watching = api.watch("", api.from(1).with_all_keys()).await;
    let expected = [
        "PUT a=1 c1 m1 v1",
        "DELETE a m2",
        "PUT b=1 c3 m3 v1",
        "PUT a=2 c3 m3 v1",
        "DELETE a m4",
        "DELETE b m4",
    ];
    assert_eq!(watching.events(6).await, expected);
}

#[tokio::test]
async fn keys_beside_the_range_do_not_show_in_its_past() {
    let mut api = api!();
    for number in 0..50 {
        api.put(if number % 10 == 0 { "a" } else { "b" }, "1").await;
    }
    let mut watching = api.watch("a", api.from(1)).await;
    let expected: Vec<String> =
        (0..5).map(|number| format!("PUT a=1 c1 m{} v{}", number * 10 + 1, number + 1)).collect();
    assert_eq!(watching.events(5).await, expected);
}

/// Puts and deletes from several clients at once; what each revision did, from the answers.
async fn write(api: &Api, writers: usize, rounds: usize) -> BTreeMap<i64, String> {
    let base = api.base;
    let write_one = async |writer: usize| {
        let (mut client, key) = (api.another().await, format!("w{writer}"));
        let mut done = Vec::new();
        for round in 0..rounds {
            if round % 5 == 4 {
                let revision =
                    client.delete(key.as_str(), None).await.unwrap().header().unwrap().revision() - base;
                done.push((revision, format!("DELETE {key} m{revision}")));
            } else {
                let value = round.to_string();
                let put = client.put(key.as_str(), value, None).await.unwrap();
                done.push((put.header().unwrap().revision() - base, format!("PUT {key}={round} ")));
            }
        }
        done
    };
    join_all((0..writers).map(write_one)).await.into_iter().flatten().collect()
}

#[track_caller]
fn assert_history(events: &[String], expected: &BTreeMap<i64, String>) {
    let expected: Vec<(&i64, &String)> = expected.iter().collect();
    assert_eq!(events.len(), expected.len());
    for (event, (revision, start)) in events.iter().zip(expected) {
        assert!(event.starts_with(start.as_str()), "at {revision}: {event}, not {start}");
        assert!(format!("{event} ").contains(&format!(" m{revision} ")), "at {revision}: {event}");
    }
}

#[tokio::test]
async fn thousands_of_events_are_caught_up_with_in_order() {
    let mut api = api!();
    let history = write(&api, 24, 125).await;
    assert_eq!(
        history.keys().copied().collect::<Vec<_>>(),
        (1..=3_000).collect::<Vec<_>>(),
        "a revision a write"
    );
    let mut all = api.watch("", api.from(1).with_all_keys()).await;
    let mut late = api.watch("", api.from(1_501).with_all_keys()).await;
    let mut one = api.watch("w7", api.from(1)).await;
    assert_history(&all.events(3_000).await, &history);
    let second = history.iter().filter(|(revision, _)| **revision > 1_500);
    assert_history(&late.events(1_500).await, &second.map(|(key, value)| (*key, value.clone())).collect());
    let of_one = history.iter().filter(|(_, event)| event.contains(" w7=") || event.contains(" w7 "));
    assert_history(&one.events(125).await, &of_one.map(|(key, value)| (*key, value.clone())).collect());
}

#[tokio::test]
async fn watches_that_come_while_keys_are_written_miss_and_repeat_nothing() {
    let mut api = api!();
    let mut first = api.watch("", WatchOptions::new().with_all_keys()).await;
    let watcher = api.another().await;
    let base = api.base;
    // They begin wherever the writers are by then.
    let later = join_all((0..8).map(|number| {
        let mut client = watcher.clone();
        async move {
            for _ in 0..number * 10 {
                client.get("none", None).await.unwrap();
            }
            let options = WatchOptions::new().with_all_keys().with_start_revision(base + 1);
            client.watch("", Some(options)).await.unwrap()
        }
    }));
    let (history, streams) = futures::join!(write(&api, 8, 100), later);
    assert_history(&first.events(800).await, &history);
    for stream in streams {
        let mut watching = api.adopt(stream);
        watching.created().await;
        assert_history(&watching.events(800).await, &history);
    }
}

#[tokio::test]
async fn a_watch_that_is_read_late_holds_nobody_up_and_misses_nothing() {
    let mut api = api!();
    // On a connection of its own: what is not read fills the connection's window too.
    let options = WatchOptions::new().with_all_keys();
    let stream = api.another().await.watch("", Some(options.clone())).await.unwrap();
    let mut late = api.adopt(stream);
    late.created().await;
    let mut prompt = api.watch("", options).await;
    // Less than the client takes in one response, 4 MB: a server may send all of it at once.
    for number in 0..180 {
        let puts: Vec<TxnOp> = (0..10)
            .map(|key| TxnOp::put(format!("k{key}"), format!("{number:04}").repeat(500), None))
            .collect();
        api.run(puts).await.unwrap();
        assert_eq!(prompt.events(10).await.len(), 10, "what waits for the other one is not waited for here");
    }
    let events = late.events(1_800).await;
    let expected = (0..1_800).map(|event| {
        let (revision, key) = (event / 10 + 1, event % 10);
        format!("PUT k{key}=2000 bytes c1 m{revision} v{revision}")
    });
    assert_eq!(events, expected.collect::<Vec<_>>());
}
