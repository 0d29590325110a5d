//! DeleteRange: what goes, what is told of it, and what comes after.

use etcd_client::{DeleteOptions, GetOptions};

use crate::api::{Deleted, refused};

fn deleted(count: i64, before: &[&str], revision: i64) -> Deleted {
    Deleted { count, before: before.iter().map(|kv| (*kv).to_owned()).collect(), revision }
}

#[tokio::test]
async fn a_key_that_was_deleted_is_gone() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("ab", "1").await;
    assert_eq!(api.delete_with("a", DeleteOptions::new()).await, Ok(deleted(1, &[], 3)));
    assert_eq!(api.all().await, ["ab=1 c2 m2 v1"]);
    let found = api.range("a", GetOptions::new()).await.unwrap();
    assert_eq!((found.count, found.revision), (0, 3));
}

#[tokio::test]
async fn a_deletion_of_nothing_is_no_revision() {
    let mut api = api!();
    api.put("a", "1").await;
    assert_eq!(api.delete_with("b", DeleteOptions::new()).await, Ok(deleted(0, &[], 1)));
    let prev = DeleteOptions::new().with_prev_key();
    assert_eq!(api.delete_with("b", prev.with_from_key()).await, Ok(deleted(0, &[], 1)));
    api.delete("a").await;
    assert_eq!(api.delete_with("a", DeleteOptions::new()).await, Ok(deleted(0, &[], 2)), "gone already");
    assert_eq!(api.revision().await, 2);
}

#[tokio::test]
async fn a_range_goes_in_one_revision() {
    let mut api = api!();
    for key in ["a", "b/1", "b/2", "b0", "c"] {
        api.put(key, "1").await;
    }
    let prefix = DeleteOptions::new().with_prefix().with_prev_key();
    let before = ["b/1=1 c2 m2 v1", "b/2=1 c3 m3 v1"];
    assert_eq!(api.delete_with("b/", prefix).await, Ok(deleted(2, &before, 6)));
    assert_eq!(api.all().await, ["a=1 c1 m1 v1", "b0=1 c4 m4 v1", "c=1 c5 m5 v1"]);
    assert_eq!(api.delete_with("b0", DeleteOptions::new().with_range("c")).await, Ok(deleted(1, &[], 7)));
    assert_eq!(api.delete_with("a", DeleteOptions::new().with_from_key()).await, Ok(deleted(2, &[], 8)));
    assert_eq!(api.all().await, [""; 0]);
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_has_nothing_to_delete() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("b", "1").await;
    assert_eq!(api.delete_with("b", DeleteOptions::new().with_range("a")).await, Ok(deleted(0, &[], 2)));
    assert_eq!(api.delete_with("b", DeleteOptions::new().with_range("b")).await, Ok(deleted(0, &[], 2)));
}

#[tokio::test]
async fn what_was_there_is_told_with_all_that_it_had() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    api.put("a", "1").await;
    api.put_with("a", "2", etcd_client::PutOptions::new().with_lease(7)).await.unwrap();
    let prev = DeleteOptions::new().with_prev_key();
    assert_eq!(api.delete_with("a", prev).await, Ok(deleted(1, &["a=2 c1 m2 v2 l7"], 3)));
    assert_eq!(api.leased(7).await, [""; 0]);
    assert_eq!(api.revoke(7).await, Ok(3), "the lease had no key left");
}

#[tokio::test]
async fn a_key_that_comes_back_is_a_new_one() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("a", "2").await;
    api.delete("a").await;
    api.put("a", "3").await;
    assert_eq!(api.get("a").await.unwrap(), "a=3 c4 m4 v1");
    api.put("a", "4").await;
    assert_eq!(api.get("a").await.unwrap(), "a=4 c4 m5 v2");
    let old = api.range("a", api.at(2)).await.unwrap();
    assert_eq!(old.kvs, ["a=2 c1 m2 v2"]);
}

#[tokio::test]
async fn a_deletion_without_a_key_is_refused() {
    let mut api = api!();
    api.put("a", "1").await;
    assert_eq!(api.delete_with("", DeleteOptions::new()).await.unwrap_err(), refused::EMPTY_KEY);
    let range = DeleteOptions::new().with_range("z");
    assert_eq!(api.delete_with("", range).await.unwrap_err(), refused::EMPTY_KEY);
    assert_eq!(api.all().await.len(), 1);
}
