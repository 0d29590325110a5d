//! The writing side: keys that stay, and keys that live while they are kept alive.

use std::sync::Arc;
use std::time::Duration;

use waypost_backend::{ErrorKind, Registry};
use waypost_model::{Position, Value};

use super::{Content, Harness, SOON, Store, check, content, key, prefixes, values};

pub(super) async fn run(harness: &dyn Harness) {
    if harness.start(Content::new()).await.registry.is_none() {
        return;
    }
    check!(
        harness,
        what_is_put_is_there_until_it_is_removed,
        a_time_to_live_out_of_range_is_refused,
        a_registered_key_is_there_until_it_is_revoked,
        a_registered_key_outlives_its_time_to_live,
        a_key_that_nobody_keeps_alive_goes,
        a_key_that_is_lost_is_written_again,
    );
}

async fn start(harness: &dyn Harness) -> (Store, Arc<dyn Registry>) {
    let store = harness.start(Content::new()).await;
    let registry = store.registry.clone().expect("a writing side");
    (store, registry)
}

/// What the store holds, read at or after `position`.
async fn holds(store: &Store, position: Position) -> Content {
    let snapshot = store.snapshot(&prefixes(&["/"])).await;
    assert_eq!(snapshot.position.store, position.store);
    assert!(!snapshot.position.is_before(&position), "a write is not later than what is read after it");
    values(&snapshot)
}

async fn what_is_put_is_there_until_it_is_removed(harness: &dyn Harness) {
    let (store, registry) = start(harness).await;
    let (name, bytes) = (key("/app/a"), Value::from("one"));
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    reader.watch(&store);

    let written = registry.put(&name, bytes).await.expect("the key is written");
    assert_eq!(holds(&store, written).await, content(&[("/app/a", "one")]));
    reader.reach(&content(&[("/app/a", "one")])).await;

    let removed = registry.deregister(&name).await.expect("the key is removed");
    assert!(written.is_before(&removed));
    assert_eq!(holds(&store, removed).await, content(&[]));
    reader.reach(&content(&[])).await;
    assert!(!removed.is_before(&reader.position), "the position is at or after the removal");

    registry.deregister(&name).await.expect("a key that is not there is removed already");
}

async fn a_time_to_live_out_of_range_is_refused(harness: &dyn Harness) {
    let (store, registry) = start(harness).await;
    let limits = registry.lease_limits();
    for ttl in [Duration::ZERO, limits.shortest - Duration::from_millis(1), limits.longest * 2] {
        let refused = registry.register(&key("/app/a"), Value::from("one"), ttl).await;
        assert_eq!(refused.expect_err("out of range").kind(), ErrorKind::Invalid, "{ttl:?}");
    }
    assert!(store.snapshot(&prefixes(&["/"])).await.entries.is_empty());
}

async fn a_registered_key_is_there_until_it_is_revoked(harness: &dyn Harness) {
    let (store, registry) = start(harness).await;
    let ttl = registry.lease_limits().shortest * 10;
    let name = key("/app/a");
    let registered = registry.register(&name, Value::from("one"), ttl).await.expect("it is registered");
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    assert_eq!(reader.content, content(&[("/app/a", "one")]));
    reader.watch(&store);

    let revoked = registered.revoke().await.expect("it is revoked");
    assert_eq!(holds(&store, revoked).await, content(&[]));
    reader.reach(&content(&[])).await;
    assert!(!revoked.is_before(&reader.position), "the position is at or after the removal");
}

async fn a_registered_key_outlives_its_time_to_live(harness: &dyn Harness) {
    let (store, registry) = start(harness).await;
    let limits = registry.lease_limits();
    let registered = registry.register(&key("/app/a"), Value::from("one"), limits.shortest).await;
    let registered = registered.expect("it is registered");
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    reader.watch(&store);
    // That nothing happens takes as long as it could have happened.
    let whole_life = limits.shortest * 2 + limits.slack;
    let change = tokio::time::timeout(whole_life, reader.next()).await;
    assert!(change.is_err(), "the key changed: {change:?}");
    drop(registered);
}

async fn a_key_that_nobody_keeps_alive_goes(harness: &dyn Harness) {
    let (store, registry) = start(harness).await;
    let limits = registry.lease_limits();
    let registered = registry.register(&key("/app/a"), Value::from("one"), limits.shortest).await;
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    reader.watch(&store);
    drop(registered.expect("it is registered"));
    let gone = tokio::time::timeout(limits.shortest + limits.slack + SOON, reader.reach(&content(&[]))).await;
    assert!(gone.is_ok(), "the key is still there");
}

async fn a_key_that_is_lost_is_written_again(harness: &dyn Harness) {
    let (store, registry) = start(harness).await;
    let limits = registry.lease_limits();
    let registered = registry.register(&key("/app/a"), Value::from("one"), limits.shortest).await;
    let registered = registered.expect("it is registered");
    registry.deregister(&key("/app/a")).await.expect("somebody removes it");
    store.shows(&prefixes(&["/app"]), &content(&[("/app/a", "one")])).await;
    registered.revoke().await.expect("it is revoked");
    assert!(store.snapshot(&prefixes(&["/app"])).await.entries.is_empty());
}
