//! Registrations on an etcd that breaks.

use std::time::Duration;

use futures::StreamExt;
use waypost_backend::{Backend, Registry};
use waypost_model::Value;
use waypost_servers::{Etcd, Proxy, Storage, require, wait_until};

use crate::{content, follow, key, open, prefixes, settings, store};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lost_with_an_emptied_store_is_written_again() {
    require!("etcd");
    let etcd = Etcd::start();
    let store = store(etcd.url());
    let registered = store.register(&key("/app/a"), Value::from("1"), Duration::from_secs(3)).await.unwrap();
    etcd.wipe();
    wait_until("the key", SOON, || etcd.get("/app/a").as_deref() == Some("1"));
    registered.revoke().await.unwrap();
    assert_eq!(etcd.get("/app/a"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_outlives_a_restart_of_etcd() {
    require!("etcd");
    let etcd = Etcd::options().storage(Storage::Disk).start();
    let store = store(etcd.url());
    let registered = store.register(&key("/app/a"), Value::from("1"), Duration::from_secs(5)).await.unwrap();
    etcd.kill();
    etcd.start_again();
    assert_eq!(etcd.get("/app/a").as_deref(), Some("1"), "a lease survives the restart");
    let lease = etcd.gateway("lease/leases", &serde_json::json!({}));
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1")])).await;
    // Longer than it lives without being renewed: etcd starts the time anew when it starts.
    let gone = tokio::time::timeout(Duration::from_secs(8), reader.changed()).await;
    assert!(gone.is_err(), "{gone:?}");
    assert_eq!(
        etcd.gateway("lease/leases", &serde_json::json!({}))["leases"],
        lease["leases"],
        "the same lease"
    );
    registered.revoke().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_outlives_an_endpoint_that_falls_silent() {
    require!("etcd");
    let etcd = Etcd::start();
    let (first, second) = (Proxy::to(&etcd.endpoint()), Proxy::to(&etcd.endpoint()));
    let store = open(waypost_backend::etcd::Settings {
        // Longer than the key lives: the renewal must not wait that long.
        request_timeout: Duration::from_secs(10),
        ..settings([first.url(), second.url()])
    });
    let ttl = Duration::from_secs(6);
    let registered = store.register(&key("/app/a"), Value::from("1"), ttl).await.unwrap();
    let watching = crate::store(etcd.url());
    let position = watching.snapshot(&prefixes(&["/app"])).await.unwrap().position;
    let mut watch = watching.watch(&prefixes(&["/app"]), position);
    first.black_hole();
    let change = tokio::time::timeout(ttl * 2, watch.next()).await;
    assert!(change.is_err(), "the key was lost: {change:?}");
    registered.revoke().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_given_up_within_seconds_even_if_etcd_is_away_for_a_moment() {
    require!("etcd");
    let etcd = Etcd::start();
    let proxy = Proxy::to(&etcd.endpoint());
    let store = store(proxy.url());
    let registered = store.register(&key("/app/a"), Value::from("1"), Duration::from_secs(60)).await.unwrap();
    proxy.cut();
    let revoking = tokio::spawn(registered.revoke());
    wait_until("an attempt that is refused", SOON, || proxy.open() == 0);
    proxy.resume();
    revoking.await.unwrap().unwrap();
    assert_eq!(etcd.get("/app/a"), None);
}
