//! Watches on real etcd: directories, expiry, other ways to write, and a history of 1,000 events.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use waypost_backend::{Backend, ErrorKind, Result};
use waypost_model::Batch;
use waypost_servers::{Etcd, require, wait_until};

use crate::{content, follow, open, prefixes, settings, start, store};

const SOON: Duration = Duration::from_secs(20);

/// Enough to push everything else out of etcd's history.
const MANY: usize = 1_100;

fn write_elsewhere(etcd: &Etcd, count: usize) {
    etcd.v2_put_all((0..count).map(|number| ("/elsewhere".to_owned(), number.to_string())));
}

/// The next batch that says more than how far the store is.
async fn next(watch: &mut BoxStream<'static, Result<Batch>>) -> Result<Batch> {
    loop {
        let batch = tokio::time::timeout(SOON, watch.next()).await.expect("a batch in time").unwrap()?;
        if !batch.changes.is_empty() {
            return Ok(batch);
        }
    }
}

/// The changed keys of a batch, those that are gone with a minus before them.
fn shown(batch: &Batch) -> Vec<String> {
    let sign = |is_gone: bool| if is_gone { "-" } else { "" };
    batch.changes.iter().map(|change| format!("{}{}", sign(change.entry.is_none()), change.key)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_deleted_takes_its_keys_along() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put_all([("/app/a/1", "x"), ("/app/a/2/b", "x"), ("/app/b", "x"), ("/apple/c", "x")]);
    let store = store(etcd.url());
    let mut reader = follow(&store, &["/app", "/apple/c"]);
    reader
        .reach(&content(&[("/app/a/1", "x"), ("/app/a/2/b", "x"), ("/app/b", "x"), ("/apple/c", "x")]))
        .await;
    etcd.v2_put("/app/a/3", "x");
    reader.changed().await;

    etcd.v2_delete("/app/a");
    let told = reader.reach(&content(&[("/app/b", "x"), ("/apple/c", "x")])).await;
    assert_eq!(told.len(), 1, "all at once, and without reading anew: {told:?}");

    etcd.v2_delete("/apple");
    reader.reach(&content(&[("/app/b", "x")])).await;
    etcd.v2_put("/apple/c", "y");
    reader.reach(&content(&[("/app/b", "x"), ("/apple/c", "y")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_above_the_prefix_that_went_before_the_watch_began_is_told() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put_all([("/top/app/a", "1"), ("/top/app/b", "1")]);
    let store = store(etcd.url());
    let asked = prefixes(&["/top/app"]);
    let position = store.snapshot(&asked).await.unwrap().position;
    etcd.v2_delete("/top");
    let mut watch = store.watch(&asked, position);
    assert_eq!(shown(&next(&mut watch).await.unwrap()), ["-/top/app/a", "-/top/app/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_keys_that_were_never_read_is_lost() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put("/app/a/1", "x");
    let position = store(etcd.url()).snapshot(&prefixes(&["/app"])).await.unwrap().position;
    let mut watch = store(etcd.url()).watch(&prefixes(&["/app"]), position);
    etcd.v2_delete("/app/a");
    let error = next(&mut watch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{}", error.chain());
    assert!(error.chain().contains("the directory /app/a was removed"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_directories_that_expire_are_gone() {
    require!("etcd");
    let etcd = start();
    etcd.v2("PUT", "/v2/keys/app/key", "value=x&ttl=1");
    etcd.v2("PUT", "/v2/keys/app/dir", "dir=true&ttl=2");
    etcd.v2_put_all([("/app/dir/a", "x"), ("/app/dir/b/c", "x"), ("/app/stays", "x")]);
    let store = store(etcd.url());
    let mut reader = follow(&store, &["/app"]);
    let told = reader.reach(&content(&[("/app/stays", "x")])).await;
    assert!(told.iter().all(|news| news.continuity.is_continued()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_is_told_and_hidden_keys_are_not() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put("/app/a", "1");
    let store = store(etcd.url());
    let asked = prefixes(&["/app"]);
    let position = store.snapshot(&asked).await.unwrap().position;
    let mut watch = store.watch(&asked, position);
    let steps = [
        ("PUT", "/v2/keys/app/_hidden/x", "value=1", None),
        ("PUT", "/v2/keys/app/a?prevValue=1", "value=2", Some("/app/a")),
        ("PUT", "/v2/keys/app/a?prevExist=true", "value=3", Some("/app/a")),
        ("PUT", "/v2/keys/app/a?prevExist=true&refresh=true&ttl=60", "", None),
        ("PUT", "/v2/keys/app/b?prevExist=false", "value=1", Some("/app/b")),
        ("PUT", "/v2/keys/app/dir", "dir=true", None),
        ("DELETE", "/v2/keys/app/b?prevValue=1", "", Some("-/app/b")),
        ("PUT", "/v2/keys/app/a", "dir=true", Some("-/app/a")),
        ("PUT", "/v2/keys/app/a/below", "value=1", Some("/app/a/below")),
    ];
    for (method, path, body, expected) in steps {
        let answer = etcd.v2(method, path, body);
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        if let Some(expected) = expected {
            assert_eq!(shown(&next(&mut watch).await.unwrap()), [expected], "{method} {path}");
        }
    }
    let created = etcd.v2("POST", "/v2/keys/app/queue", "value=1");
    assert_eq!(created.status, 201);
    let told = shown(&next(&mut watch).await.unwrap());
    assert!(told[0].starts_with("/app/queue/"), "{told:?}");
    assert_eq!(store.snapshot(&asked).await.unwrap().entries.len(), 2, "what is hidden is not listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_elsewhere_do_not_end_a_watch() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put("/app/a", "1");
    let store = store(etcd.url());
    let asked = prefixes(&["/app"]);
    let position = store.snapshot(&asked).await.unwrap().position;
    let mut watch = store.watch(&asked, position);
    let told = tokio::spawn(async move { next(&mut watch).await });
    let polls = || etcd.metric("etcd_debugging_store_watch_requests_total", "");
    wait_until("the first poll", SOON, || polls() > 0.0);
    // Each time enough to make a poll old, and more than twice what etcd keeps in all.
    for _ in 0..8 {
        let before = polls();
        write_elsewhere(&etcd, 310);
        wait_until("another poll", SOON, || polls() > before);
    }
    etcd.v2_put("/app/a", "3");
    assert_eq!(shown(&told.await.unwrap().unwrap()), ["/app/a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_etcd_has_forgotten_is_lost() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put("/app/a", "1");
    let store = store(etcd.url());
    let asked = prefixes(&["/app"]);
    let position = store.snapshot(&asked).await.unwrap().position;
    write_elsewhere(&etcd, MANY);
    let error = next(&mut store.watch(&asked, position)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{}", error.chain());
    assert!(error.chain().contains("outdated and cleared"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_ended_for_its_age_loses_nothing() {
    require!("etcd");
    let etcd = Arc::new(start());
    etcd.v2_put("/app/a", "0");
    let store = open(waypost_backend::etcd_v2::Settings {
        // About as long as a write takes, so that polls end and events come at the same time.
        longest_poll: Duration::from_millis(1),
        ..settings([etcd.url()])
    });
    let asked = prefixes(&["/app"]);
    let position = store.snapshot(&asked).await.unwrap().position;
    let mut watch = store.watch(&asked, position);
    let writing = tokio::task::spawn_blocking(move || {
        etcd.v2_put_all((1..=200).map(|round| ("/app/a", round.to_string())));
        etcd
    });
    let mut values = Vec::new();
    while values.len() < 200 {
        let batch = next(&mut watch).await.unwrap();
        values.push(batch.changes[0].entry.as_ref().unwrap().value.as_text().unwrap().to_owned());
    }
    assert_eq!(values, (1..=200).map(|round| round.to_string()).collect::<Vec<_>>());
    writing.await.unwrap();
}
