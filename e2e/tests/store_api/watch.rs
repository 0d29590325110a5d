//! Watch: which events one watch sees, and what is told of each.

use etcd_client::{DeleteOptions, PutOptions, TxnOp, WatchFilterType, WatchOptions};

#[tokio::test]
async fn puts_and_deletions_are_told_as_they_come() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    let mut watching = api.watch("a", WatchOptions::new()).await;
    api.put("a", "1").await;
    assert_eq!(watching.batch().await, (0, vec!["PUT a=1 c1 m1 v1".to_owned()]));
    api.put_with("a", "2", PutOptions::new().with_lease(7)).await.unwrap();
    assert_eq!(watching.batch().await, (0, vec!["PUT a=2 c1 m2 v2 l7".to_owned()]));
    api.delete("a").await;
    assert_eq!(watching.batch().await, (0, vec!["DELETE a m3".to_owned()]));
    api.put("a", "").await;
    assert_eq!(watching.batch().await, (0, vec!["PUT a= c4 m4 v1".to_owned()]));
}

#[tokio::test]
async fn a_response_tells_the_revision_that_it_reaches() {
    let mut api = api!();
    api.put("b", "1").await;
    let mut watching = api.watch_stream("a", WatchOptions::new()).await;
    let created = watching.response().await;
    assert!(created.created() && !created.canceled(), "{created:?}");
    assert_eq!(
        (watching.revision(&created), created.compact_revision(), created.cancel_reason()),
        (1, 0, "")
    );
    api.put("a", "1").await;
    let events = watching.response().await;
    assert_eq!((watching.revision(&events), events.compact_revision(), events.events().len()), (2, 0, 1));
}

#[tokio::test]
async fn one_key_is_watched_by_its_whole_name() {
    let mut api = api!();
    let mut watching = api.watch("b", WatchOptions::new()).await;
    for key in ["a", "ba", "b\0", "b", "c", "b"] {
        api.put(key, "1").await;
    }
    assert_eq!(watching.events(2).await, ["PUT b=1 c4 m4 v1", "PUT b=1 c4 m6 v2"]);
}

#[tokio::test]
async fn a_range_is_watched_from_its_begin_to_before_its_end() {
    let mut api = api!();
    let ranges = [
        ("b", WatchOptions::new().with_range("d"), "b=1 b/x=1 c=1"),
        ("b", WatchOptions::new().with_prefix(), "b=1 b/x=1"),
        ("c", WatchOptions::new().with_from_key(), "c=1 d=1"),
        ("", WatchOptions::new().with_all_keys(), "a=1 b=1 b/x=1 c=1 d=1"),
    ];
    let mut watches = Vec::new();
    for (key, options, expected) in ranges {
        watches.push((api.watch(key, options).await, expected));
    }
    for key in ["a", "b", "b/x", "c", "d"] {
        api.put(key, "1").await;
    }
    for (watching, expected) in &mut watches {
        let events = watching.events(expected.split(' ').count()).await;
        let seen: Vec<&str> = events.iter().map(|event| event.split(' ').nth(1).unwrap()).collect();
        assert_eq!(seen.join(" "), *expected);
    }
}

#[tokio::test]
async fn a_watch_without_a_key_is_one_of_the_lowest_key() {
    let mut api = api!();
    let mut lowest = api.watch("", WatchOptions::new()).await;
    let mut to_b = api.watch("", WatchOptions::new().with_range("b")).await;
    for key in ["a", "b", "\0"] {
        api.put(key, "1").await;
    }
    assert_eq!(lowest.events(1).await, [r"PUT \x00=1 c3 m3 v1"]);
    assert_eq!(to_b.events(2).await, ["PUT a=1 c1 m1 v1", r"PUT \x00=1 c3 m3 v1"]);
}

#[tokio::test]
async fn a_deletion_of_a_range_tells_each_key() {
    let mut api = api!();
    for key in ["a/2", "a/1", "b"] {
        api.put(key, "1").await;
    }
    let mut watching = api.watch("", WatchOptions::new().with_all_keys()).await;
    api.delete_with("a/", DeleteOptions::new().with_prefix()).await.unwrap();
    let events = vec!["DELETE a/1 m4".to_owned(), "DELETE a/2 m4".to_owned()];
    assert_eq!(watching.batch().await, (0, events), "in the order of their names, in one response");
}

#[tokio::test]
async fn the_events_of_a_transaction_come_together_in_its_order() {
    let mut api = api!();
    api.put("x", "0").await;
    let mut all = api.watch("", WatchOptions::new().with_all_keys()).await;
    let mut some = api.watch("b", WatchOptions::new().with_from_key()).await;
    let done = api.run([
        TxnOp::put("c", "1", None),
        TxnOp::delete("x", None),
        TxnOp::put("a", "1", None),
        TxnOp::put("b", "1", None),
    ]);
    assert_eq!(done.await.unwrap().revision, 2);
    let events = ["PUT c=1 c2 m2 v1", "DELETE x m2", "PUT a=1 c2 m2 v1", "PUT b=1 c2 m2 v1"];
    assert_eq!(all.batch().await, (0, events.map(str::to_owned).to_vec()));
    let events = ["PUT c=1 c2 m2 v1", "DELETE x m2", "PUT b=1 c2 m2 v1"];
    assert_eq!(some.batch().await, (0, events.map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn what_was_there_before_is_told_if_that_is_asked_for() {
    let mut api = api!();
    let prev = WatchOptions::new().with_all_keys().with_prev_key();
    let mut watching = api.watch("", prev.clone()).await;
    api.put("a", "1").await;
    api.put("a", "2").await;
    api.run([TxnOp::put("b", "1", None), TxnOp::delete("a", None)]).await.unwrap();
    api.put("a", "3").await;
    let expected = [
        "PUT a=1 c1 m1 v1",
        "PUT a=2 c1 m2 v2 was a=1 c1 m1 v1",
        "PUT b=1 c3 m3 v1",
        "DELETE a m3 was a=2 c1 m2 v2",
        "PUT a=3 c4 m4 v1",
    ];
    assert_eq!(watching.events(5).await, expected);

    let mut late = api.watch("", prev.with_start_revision(api.base + 1)).await;
    assert_eq!(late.events(5).await, expected, "to one that comes later too");
    api.compact(4, etcd_client::CompactionOptions::new().with_physical()).await.unwrap();
    let from = api.from(4).with_all_keys().with_prev_key();
    assert_eq!(api.watch("", from).await.events(1).await, expected[4..]);
}

#[tokio::test]
async fn a_compaction_takes_what_was_there_before_and_not_the_event() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("a", "2").await;
    api.put("a", "3").await;
    api.compact(2, etcd_client::CompactionOptions::new().with_physical()).await.unwrap();
    let mut watching = api.watch("a", api.from(2).with_prev_key()).await;
    assert_eq!(watching.events(2).await, ["PUT a=2 c1 m2 v2", "PUT a=3 c1 m3 v3 was a=2 c1 m2 v2"]);
}

#[tokio::test]
async fn filters_leave_puts_or_deletions_out() {
    let mut api = api!();
    let filtered = |filters: &[WatchFilterType]| WatchOptions::new().with_all_keys().with_filters(filters);
    let mut deletions = api.watch("", filtered(&[WatchFilterType::NoPut])).await;
    let mut puts = api.watch("", filtered(&[WatchFilterType::NoDelete])).await;
    api.put("a", "1").await;
    api.delete("a").await;
    api.run([TxnOp::put("b", "1", None), TxnOp::put("c", "1", None)]).await.unwrap();
    api.delete_with("b", DeleteOptions::new().with_from_key()).await.unwrap();
    api.put("d", "1").await;
    assert_eq!(deletions.events(3).await, ["DELETE a m2", "DELETE b m4", "DELETE c m4"]);
    let expected = ["PUT a=1 c1 m1 v1", "PUT b=1 c3 m3 v1", "PUT c=1 c3 m3 v1", "PUT d=1 c5 m5 v1"];
    assert_eq!(puts.events(4).await, expected);

    let mut past = api.watch("", api.from(1).with_all_keys().with_filters([WatchFilterType::NoPut])).await;
    assert_eq!(past.events(3).await, ["DELETE a m2", "DELETE b m4", "DELETE c m4"]);
}

#[tokio::test]
async fn the_end_of_a_lease_is_told_as_deletions() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    for key in ["c", "a", "b"] {
        api.put_with(key, "1", PutOptions::new().with_lease(7)).await.unwrap();
    }
    let mut watching = api.watch("", WatchOptions::new().with_all_keys().with_prev_key()).await;
    assert_eq!(api.revoke(7).await, Ok(4));
    let expected = [
        "DELETE a m4 was a=1 c2 m2 v1 l7",
        "DELETE b m4 was b=1 c3 m3 v1 l7",
        "DELETE c m4 was c=1 c1 m1 v1 l7",
    ];
    assert_eq!(watching.batch().await, (0, expected.map(str::to_owned).to_vec()));
}
