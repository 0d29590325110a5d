//! Compact: what is forgotten, what stays, and what is refused afterwards.

use etcd_client::{CompactionOptions, GetOptions, TxnOp};

use crate::api::{Api, refused};

fn plain() -> CompactionOptions {
    CompactionOptions::new()
}

/// Puts `a` at 1, 3 and 5, `b` at 2, deletes it at 4.
async fn history(api: &mut Api) {
    api.put("a", "1").await;
    api.put("b", "1").await;
    api.put("a", "2").await;
    api.delete("b").await;
    api.put("a", "3").await;
}

#[tokio::test]
async fn what_is_older_is_gone_and_the_revision_itself_stays() {
    let mut api = api!();
    history(&mut api).await;
    assert_eq!(api.compact(3, plain()).await, Ok(5), "the revision now is told");
    for revision in [0, 1, 2] {
        assert_eq!(api.range("a", api.at(revision)).await.unwrap_err(), refused::COMPACTED, "at {revision}");
    }
    let at = api.range("a", api.at(3).with_from_key()).await.unwrap();
    assert_eq!(at.kvs, ["a=2 c1 m3 v2", "b=1 c2 m2 v1"]);
    let after = api.range("a", api.at(4).with_from_key()).await.unwrap();
    assert_eq!(after.kvs, ["a=2 c1 m3 v2"]);
    assert_eq!(api.all().await, ["a=3 c1 m5 v3"]);
}

#[tokio::test]
async fn live_keys_keep_their_revisions_and_versions() {
    let mut api = api!();
    for key in ["a", "b", "c"] {
        api.put(key, "1").await;
    }
    api.put("b", "2").await;
    api.delete("c").await;
    assert_eq!(api.compact(5, plain().with_physical()).await, Ok(5));
    assert_eq!(api.all().await, ["a=1 c1 m1 v1", "b=2 c2 m4 v2"]);
    api.put("a", "2").await;
    api.put("c", "2").await;
    assert_eq!(api.all().await, ["a=2 c1 m6 v2", "b=2 c2 m4 v2", "c=2 c7 m7 v1"]);
    let at = api.range("a", api.at(5).with_from_key()).await.unwrap();
    assert_eq!(at.kvs, ["a=1 c1 m1 v1", "b=2 c2 m4 v2"]);
}

#[tokio::test]
async fn a_compaction_makes_no_revision() {
    let mut api = api!();
    history(&mut api).await;
    api.compact(5, plain().with_physical()).await.unwrap();
    assert_eq!(api.revision().await, 5);
    assert_eq!(api.put("a", "4").await, 6);
}

#[tokio::test]
async fn what_was_compacted_is_not_compacted_again() {
    let mut api = api!();
    history(&mut api).await;
    api.compact(3, plain()).await.unwrap();
    for revision in [3, 2] {
        assert_eq!(api.compact(revision, plain()).await.unwrap_err(), refused::COMPACTED, "at {revision}");
        let physical = api.compact(revision, plain().with_physical()).await;
        assert_eq!(physical.unwrap_err(), refused::COMPACTED, "at {revision}, physically");
    }
    assert_eq!(api.compact(4, plain()).await, Ok(5));
}

#[tokio::test]
async fn the_future_is_not_compacted() {
    let mut api = api!();
    history(&mut api).await;
    assert_eq!(api.compact(6, plain()).await.unwrap_err(), refused::FUTURE);
    assert_eq!(api.compact(1_000, plain()).await.unwrap_err(), refused::FUTURE);
    assert_eq!(api.range("a", api.at(1)).await.unwrap().kvs, ["a=1 c1 m1 v1"]);
    assert_eq!(api.compact(5, plain()).await, Ok(5), "the newest revision is");
}

#[tokio::test]
async fn zero_and_below_are_gone_after_a_compaction() {
    let mut api = api!();
    history(&mut api).await;
    api.compact(1, plain()).await.unwrap();
    for revision in [0, -1, i64::MIN] {
        let compacted = api.client.compact(revision, None).await.map_err(crate::show::error);
        assert_eq!(compacted.unwrap_err(), refused::COMPACTED, "at {revision}");
    }
}

#[tokio::test]
async fn a_new_server_takes_a_compaction_of_nothing_once() {
    let mut api = new_api!();
    api.put("a", "1").await;
    let zero = -api.base;
    assert_eq!(api.compact(zero - 1, plain()).await.unwrap_err(), refused::COMPACTED, "below 0");
    assert_eq!(api.compact(zero, plain()).await, Ok(1));
    assert_eq!(api.compact(zero, plain()).await.unwrap_err(), refused::COMPACTED, "done already");
    assert_eq!(api.range("a", api.at(1)).await.unwrap().kvs, ["a=1 c1 m1 v1"]);
}

#[tokio::test]
async fn a_transaction_that_reads_what_is_gone_is_refused() {
    let mut api = api!();
    history(&mut api).await;
    api.compact(3, plain()).await.unwrap();
    let read = TxnOp::get("a", Some(api.at(2)));
    assert_eq!(api.run([TxnOp::put("z", "1", None), read]).await.unwrap_err(), refused::COMPACTED);
    let read = TxnOp::get("a", Some(api.at(3)));
    assert_eq!(api.run([read]).await.unwrap().operations, ["range @5 1: a=2 c1 m3 v2"]);
    assert_eq!(api.all().await, ["a=3 c1 m5 v3"]);
}

#[tokio::test]
async fn a_watch_from_what_is_gone_is_cancelled_and_told_from_where_it_can() {
    let mut api = api!();
    history(&mut api).await;
    api.compact(3, plain()).await.unwrap();
    let mut watching = api.watch_stream("a", api.from(2)).await;
    assert_eq!(watching.created().await, 0);
    let cancelled = watching.response().await;
    assert!(cancelled.canceled() && !cancelled.created(), "{cancelled:?}");
    assert_eq!((cancelled.watch_id(), cancelled.events().len()), (0, 0));
    assert_eq!(cancelled.compact_revision() - api.base, 3);

    // The stream goes on, with the next watch.
    watching.watch("a", api.from(4)).await;
    assert_eq!(watching.created().await, 1);
    assert_eq!(watching.events(1).await, ["PUT a=3 c1 m5 v3"]);
}

#[tokio::test]
async fn a_watch_from_the_compacted_revision_gets_what_still_stands_of_it() {
    let mut api = api!();
    history(&mut api).await;
    api.compact(3, plain().with_physical()).await.unwrap();
    let mut watching = api.watch("a", api.from(3).with_from_key()).await;
    assert_eq!(watching.events(3).await, ["PUT a=2 c1 m3 v2", "DELETE b m4", "PUT a=3 c1 m5 v3"]);
}

#[tokio::test]
async fn a_watch_that_is_there_is_not_troubled() {
    let mut api = api!();
    let mut watching = api.watch("a", api.from(1).with_from_key()).await;
    history(&mut api).await;
    assert_eq!(watching.events(5).await.len(), 5);
    api.compact(5, plain().with_physical()).await.unwrap();
    api.put("b", "2").await;
    assert_eq!(watching.events(1).await, ["PUT b=2 c6 m6 v1"]);
}

#[tokio::test]
async fn reading_now_works_after_everything_is_compacted() {
    let mut api = api!();
    history(&mut api).await;
    api.delete("a").await;
    api.compact(6, plain().with_physical()).await.unwrap();
    let found = api.range("", GetOptions::new().with_all_keys()).await.unwrap();
    assert_eq!((found.count, found.revision), (0, 6));
    let at = api.range("a", api.at(6).with_from_key()).await.unwrap();
    assert_eq!((at.count, at.revision), (0, 6));
    assert_eq!(api.put("a", "4").await, 7);
    assert_eq!(api.get("a").await.unwrap(), "a=4 c7 m7 v1");
}
