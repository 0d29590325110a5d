//! Watches.

use futures::stream::StreamExt;
use waypost_backend::ErrorKind;
use waypost_model::{Position, StoreId};

use super::{Harness, SOON, Store, Writer, at, check, content, delete, key, prefixes, put};

pub(super) async fn run(harness: &dyn Harness) {
    check!(
        harness,
        a_position_of_another_store_is_lost,
        a_watch_without_changes_stays_open_and_silent,
        what_changed_before_the_watch_began_is_delivered,
        every_change_after_the_snapshot_is_delivered,
        a_deletion_is_never_left_out,
        only_what_is_below_the_prefixes_is_delivered,
        several_watches_do_not_disturb_each_other,
    );
}

/// A store that can be written to, with some keys.
async fn writable(
    harness: &dyn Harness,
    keys: &[(&str, &str)],
) -> Option<(Store, std::sync::Arc<dyn Writer>)> {
    let store = harness.start(content(keys)).await;
    let writer = store.writer.clone()?;
    Some((store, writer))
}

async fn a_position_of_another_store_is_lost(harness: &dyn Harness) {
    let store = harness.start(content(&[("/a", "1")])).await;
    let asked = prefixes(&["/"]);
    let position = store.snapshot(&asked).await.position;
    let other = Position::new(StoreId::Lasting(0xdead), position.revision);
    let future = Position::new(position.store, position.revision + (1 << 40));
    for unknown in [other, future] {
        let mut watch = store.backend.watch(&asked, unknown);
        let end = tokio::time::timeout(SOON, watch.next()).await.expect("an answer in time");
        let error = end.expect("a last word").expect_err("the position is unknown");
        assert_eq!(error.kind(), ErrorKind::Lost, "{unknown}: {}", error.chain());
        assert!(watch.next().await.is_none(), "an error ends the stream");
    }
}

async fn a_watch_without_changes_stays_open_and_silent(harness: &dyn Harness) {
    let store = harness.start(content(&[("/app/a", "1"), ("/app/b", "1")])).await;
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    reader.watch(&store);
    match &store.writer {
        Some(writer) => {
            // Whatever comes before the change would be seen before it.
            writer.write(vec![put("/app/b", "2")]).await;
            let batch = reader.next().await;
            assert_eq!(batch.changes.iter().map(|change| &change.key).collect::<Vec<_>>(), [&key("/app/b")]);
        }
        None => {
            let stream = reader.stream.as_mut().expect("watching");
            for _ in 0..100 {
                assert!(futures::poll!(stream.next()).is_pending(), "nothing can have changed");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn what_changed_before_the_watch_began_is_delivered(harness: &dyn Harness) {
    let keys = [("/app/a", "1"), ("/app/b", "1"), ("/app/c", "1")];
    let Some((store, writer)) = writable(harness, &keys).await else { return };
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    writer.write(vec![put("/app/a", "2"), delete("/app/b"), put("/app/d", "1")]).await;
    reader.watch(&store);
    reader.reach(&content(&[("/app/a", "2"), ("/app/c", "1"), ("/app/d", "1")])).await;
    assert!(reader.deleted.contains(&key("/app/b")));
}

async fn every_change_after_the_snapshot_is_delivered(harness: &dyn Harness) {
    let app = at("/app", harness);
    let Some((store, writer)) = writable(harness, &[(&app, "0")]).await else { return };
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    reader.watch(&store);
    for round in ["1", "2", "3"] {
        writer.write(vec![put(&app, round), put("/app/deep/er", round)]).await;
        reader.reach(&content(&[(&app, round), ("/app/deep/er", round)])).await;
        writer.write(vec![delete("/app/deep/er")]).await;
        reader.reach(&content(&[(&app, round)])).await;
    }
    let last = reader.position;
    assert!(!store.snapshot(&prefixes(&["/app"])).await.position.is_before(&last));
}

async fn a_deletion_is_never_left_out(harness: &dyn Harness) {
    let names: Vec<String> = (0..50).map(|number| format!("/app/{number:02}")).collect();
    let keys: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let Some((store, writer)) = writable(harness, &keys).await else { return };
    let mut reader = store.reader(&prefixes(&["/app"])).await;
    reader.watch(&store);
    writer.write(names.iter().map(|name| delete(name)).collect()).await;
    reader.reach(&content(&[])).await;
    assert_eq!(reader.deleted.len(), names.len());
}

async fn only_what_is_below_the_prefixes_is_delivered(harness: &dyn Harness) {
    let app = at("/app", harness);
    let keys = [(app.as_str(), "1"), ("/b/x", "1"), ("/c", "1")];
    let Some((store, writer)) = writable(harness, &keys).await else { return };
    let mut reader = store.reader(&prefixes(&["/app", "/b"])).await;
    reader.watch(&store);
    let elsewhere = ["/apple", "/app-x", "/app.y/z", "/c", "/b-x", "/bx", "/ap"];
    writer.write(elsewhere.iter().map(|name| put(name, "2")).collect()).await;
    writer.write(vec![put("/b/x", "2"), put(&app, "2"), put("/app/a", "2")]).await;
    // The reader refuses what is below no prefix.
    reader.reach(&content(&[(&app, "2"), ("/app/a", "2"), ("/b/x", "2")])).await;
}

async fn several_watches_do_not_disturb_each_other(harness: &dyn Harness) {
    let Some((store, writer)) = writable(harness, &[("/a", "1"), ("/b", "1")]).await else { return };
    let mut first = store.reader(&prefixes(&["/"])).await;
    first.watch(&store);
    let mut second = store.reader(&prefixes(&["/"])).await;
    second.watch(&store);
    writer.write(vec![put("/a", "2"), delete("/b")]).await;
    let expected = content(&[("/a", "2")]);
    first.reach(&expected).await;
    drop(first);
    second.reach(&expected).await;
    writer.write(vec![put("/c", "1")]).await;
    second.reach(&content(&[("/a", "2"), ("/c", "1")])).await;
}
