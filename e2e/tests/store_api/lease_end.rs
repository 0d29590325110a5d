//! Leases: what their time brings.

use std::time::Duration;

use etcd_client::{PutOptions, WatchOptions};
use tokio::time::interval;

use crate::api::{Api, refused};

/// The least time to live, in seconds.
const LEAST: i64 = 2;

async fn put_on(api: &mut Api, key: &str, lease: i64) {
    api.put_with(key, "1", PutOptions::new().with_lease(lease)).await.unwrap();
}

#[tokio::test]
async fn an_expired_lease_takes_its_keys_along_in_one_revision() {
    let mut api = api!();
    api.grant(7, LEAST).await.unwrap();
    api.put("free", "1").await;
    put_on(&mut api, "b", 7).await;
    put_on(&mut api, "a", 7).await;
    let mut watching = api.watch("", WatchOptions::new().with_all_keys()).await;
    assert_eq!(watching.batch().await, (0, vec!["DELETE a m4".to_owned(), "DELETE b m4".to_owned()]));
    assert_eq!(api.all().await, ["free=1 c1 m1 v1"]);
    assert_eq!(api.client.leases().await.unwrap().leases(), []);
    assert_eq!(api.revoke(7).await.unwrap_err(), refused::NO_LEASE);
    let refused = api.put_with("a", "1", PutOptions::new().with_lease(7)).await.unwrap_err();
    assert_eq!(refused, refused::NO_LEASE);
}

#[tokio::test]
async fn a_lease_lives_as_long_as_it_is_kept_alive() {
    let mut api = api!();
    api.grant(7, LEAST).await.unwrap();
    put_on(&mut api, "kept", 7).await;
    // Granted after that one, so that it would end after it.
    api.grant(8, LEAST + 1).await.unwrap();
    put_on(&mut api, "left", 8).await;
    let mut watching = api.watch("", WatchOptions::new().with_all_keys()).await;
    let (mut keeper, mut answers) = api.client.lease_keep_alive(7).await.unwrap();
    let keep_alive = async {
        let mut pace = interval(Duration::from_millis(250));
        loop {
            pace.tick().await;
            keeper.keep_alive().await.unwrap();
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!(answer.ttl(), LEAST);
        }
    };
    tokio::select! {
        () = keep_alive => unreachable!("it goes on for ever"),
        events = watching.events(1) => assert_eq!(events, ["DELETE left m3"]),
    }
    assert_eq!(api.all().await, ["kept=1 c1 m1 v1 l7"]);
    assert_eq!(watching.events(1).await, ["DELETE kept m4"], "until nobody keeps it");
}

#[tokio::test]
async fn a_key_that_left_its_lease_survives_its_end() {
    let mut api = api!();
    api.grant(7, LEAST).await.unwrap();
    api.grant(8, 100).await.unwrap();
    for key in ["moved", "freed", "stays"] {
        put_on(&mut api, key, 7).await;
    }
    put_on(&mut api, "moved", 8).await;
    api.put("freed", "2").await;
    let mut watching = api.watch("", WatchOptions::new().with_all_keys()).await;
    assert_eq!(watching.events(1).await, ["DELETE stays m6"]);
    assert_eq!(api.all().await, ["freed=2 c2 m5 v2", "moved=1 c1 m4 v2 l8"]);
}
