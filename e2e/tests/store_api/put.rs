//! Put: what a key becomes, what is kept of it, and its lease.

use etcd_client::{GetOptions, PutOptions};

use crate::api::refused;

#[tokio::test]
async fn a_key_keeps_its_creation_and_counts_its_versions() {
    let mut api = api!();
    assert_eq!(api.put("a", "1").await, 1);
    assert_eq!(api.get("a").await.unwrap(), "a=1 c1 m1 v1");
    assert_eq!(api.put("b", "1").await, 2);
    assert_eq!(api.put("a", "2").await, 3);
    assert_eq!(api.put("a", "2").await, 4, "the same value is a change too");
    assert_eq!(api.all().await, ["a=2 c1 m4 v3", "b=1 c2 m2 v1"]);
}

#[tokio::test]
async fn a_put_returns_what_was_there_before_if_that_is_asked_for() {
    let mut api = api!();
    let prev = PutOptions::new().with_prev_key();
    assert_eq!(api.put_with("a", "1", prev.clone()).await, Ok((1, None)));
    assert_eq!(api.put_with("a", "2", prev.clone()).await, Ok((2, Some("a=1 c1 m1 v1".to_owned()))));
    assert_eq!(api.put_with("a", "3", PutOptions::new()).await, Ok((3, None)));
    assert_eq!(api.put_with("a", "4", prev).await, Ok((4, Some("a=3 c1 m3 v3".to_owned()))));
}

#[tokio::test]
async fn a_value_may_be_empty_and_a_key_may_not() {
    let mut api = api!();
    api.put("a", "").await;
    assert_eq!(api.get("a").await.unwrap(), "a= c1 m1 v1");
    assert_eq!(api.put_with("", "1", PutOptions::new()).await.unwrap_err(), refused::EMPTY_KEY);
    assert_eq!(api.revision().await, 1);
}

#[tokio::test]
async fn keys_and_values_are_any_bytes_in_the_order_of_bytes() {
    let mut api = api!();
    let keys: [&[u8]; 7] = [b"\xff\xff", b"\xff", b"a\x00b", b"a", b"a\xff", b"\x00", b"a\x00"];
    for key in keys {
        api.put(key, b"\x00\xff\x00").await;
    }
    let found = api.range("", GetOptions::new().with_all_keys()).await.unwrap();
    assert_eq!(found.keys(), [r"\x00", "a", r"a\x00", r"a\x00b", r"a\xff", r"\xff", r"\xff\xff"]);
    assert_eq!(api.get(b"a\x00b").await.unwrap(), r"a\x00b=\x00\xff\x00 c3 m3 v1");

    let found = api.range("a", GetOptions::new().with_prefix()).await.unwrap();
    assert_eq!(found.keys(), ["a", r"a\x00", r"a\x00b", r"a\xff"]);
    let found = api.range(b"\xff", GetOptions::new().with_prefix()).await.unwrap();
    assert_eq!(found.keys(), [r"\xff", r"\xff\xff"], "a prefix of 0xff has no end");
    let found = api.range(b"a\x00", GetOptions::new().with_range(b"a\x00\x00")).await.unwrap();
    assert_eq!(found.keys(), [r"a\x00"]);
}

#[tokio::test]
async fn a_long_key_is_a_key() {
    let mut api = api!();
    let key = "k".repeat(100_000);
    api.put(key.as_str(), "1").await;
    assert_eq!(api.get(key.as_str()).await.unwrap(), "100000 bytes=1 c1 m1 v1");
}

#[tokio::test]
async fn a_put_may_keep_the_value() {
    let mut api = api!();
    let keep = PutOptions::new().with_ignore_value();
    assert_eq!(api.put_with("a", "", keep.clone()).await.unwrap_err(), refused::NO_KEY);
    api.grant(7, 100).await.unwrap();
    api.put("a", "1").await;
    assert_eq!(api.put_with("a", "2", keep.clone()).await.unwrap_err(), refused::VALUE);
    let prev = keep.clone().with_lease(7).with_prev_key();
    assert_eq!(api.put_with("a", "", prev).await, Ok((2, Some("a=1 c1 m1 v1".to_owned()))));
    assert_eq!(api.get("a").await.unwrap(), "a=1 c1 m2 v2 l7");
    api.put_with("a", "", keep.clone()).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), "a=1 c1 m3 v3", "the lease is not kept along");

    api.delete("a").await;
    assert_eq!(api.put_with("a", "", keep).await.unwrap_err(), refused::NO_KEY);
    assert_eq!(api.revision().await, 4);
}

#[tokio::test]
async fn a_put_may_keep_the_lease() {
    let mut api = api!();
    let keep = PutOptions::new().with_ignore_lease();
    assert_eq!(api.put_with("a", "1", keep.clone()).await.unwrap_err(), refused::NO_KEY);
    api.grant(7, 100).await.unwrap();
    api.put_with("a", "1", PutOptions::new().with_lease(7)).await.unwrap();
    assert_eq!(api.put_with("a", "2", keep.clone().with_lease(7)).await.unwrap_err(), refused::LEASE);
    api.put_with("a", "2", keep.clone()).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), "a=2 c1 m2 v2 l7");
    api.put_with("a", "", keep.clone().with_ignore_value()).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), "a=2 c1 m3 v3 l7");
    assert_eq!(api.leased(7).await, ["a"]);

    api.put("b", "1").await;
    api.put_with("b", "2", keep).await.unwrap();
    assert_eq!(api.get("b").await.unwrap(), "b=2 c4 m5 v2", "no lease is kept too");
}

#[tokio::test]
async fn what_was_given_is_checked_before_what_is_there() {
    let mut api = api!();
    let keep_value = PutOptions::new().with_ignore_value();
    assert_eq!(api.put_with("a", "1", keep_value.clone()).await.unwrap_err(), refused::VALUE);
    let both = keep_value.clone().with_lease(99);
    assert_eq!(
        api.put_with("a", "", both).await.unwrap_err(),
        refused::NO_LEASE,
        "and the lease before the key"
    );
    let keep_lease = PutOptions::new().with_ignore_lease().with_lease(99);
    assert_eq!(api.put_with("a", "1", keep_lease).await.unwrap_err(), refused::LEASE);
    assert_eq!(api.put_with("", "1", keep_value).await.unwrap_err(), refused::EMPTY_KEY);
    assert_eq!(api.revision().await, 0);
}

#[tokio::test]
async fn a_put_on_a_lease_that_is_not_there_is_refused() {
    let mut api = api!();
    let refused = api.put_with("a", "1", PutOptions::new().with_lease(99)).await.unwrap_err();
    assert_eq!(refused, refused::NO_LEASE);
    assert_eq!((api.get("a").await, api.revision().await), (None, 0));
}

#[tokio::test]
async fn a_key_is_on_the_lease_of_its_last_put() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    api.grant(8, 100).await.unwrap();
    api.put_with("a", "1", PutOptions::new().with_lease(7)).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), "a=1 c1 m1 v1 l7");
    api.put_with("a", "2", PutOptions::new().with_lease(8)).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), "a=2 c1 m2 v2 l8");
    assert_eq!((api.leased(7).await, api.leased(8).await), (vec![], vec!["a".to_owned()]));
    api.put("a", "3").await;
    assert_eq!(api.get("a").await.unwrap(), "a=3 c1 m3 v3");
    assert_eq!((api.leased(7).await, api.leased(8).await), (vec![], vec![]));

    assert_eq!(api.revoke(7).await, Ok(3), "a lease without keys ends without a revision");
    assert_eq!(api.revoke(8).await, Ok(3));
    assert_eq!(api.get("a").await.unwrap(), "a=3 c1 m3 v3");
    let old = api.range("a", api.at(2)).await.unwrap();
    assert_eq!(old.kvs, ["a=2 c1 m2 v2 l8"], "the past keeps its leases");
}
