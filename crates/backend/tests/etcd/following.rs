//! The Mirror of an etcd that breaks, goes back, or is emptied.

use std::time::{Duration, Instant};

use waypost_backend::etcd::Settings;
use waypost_backend::{Continuity, MirrorSettings};
use waypost_servers::{Etcd, EtcdGrpcProxy, Proxy, Scratch, Storage, require};
use waypost_testkit::Reader;

use crate::{content, follow, keys, open, store};

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_cut_off_is_told_exactly_once_even_if_it_was_compacted() {
    require!("etcd");
    let etcd = Etcd::start();
    let proxy = Proxy::to(&etcd.endpoint());
    etcd.put_all([("/app/a", "1"), ("/app/b", "1"), ("/app/c", "1")]);
    let store = store(proxy.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "1"), ("/app/c", "1")])).await;

    proxy.cut();
    reader.unreachable().await;
    etcd.delete("/app/a");
    etcd.put("/app/b", "2");
    etcd.put("/app/d", "1");
    etcd.put("/app/c", "2");
    etcd.put("/app/c", "1");
    etcd.compact(etcd.revision());
    proxy.resume();

    let news = reader.changed().await;
    assert_eq!(
        (news.changed, news.continuity),
        (keys(&["/app/a", "/app/b", "/app/d"]), Continuity::Continued)
    );
    etcd.put("/app/d", "2");
    let news = reader.changed().await;
    assert_eq!(news.changed, keys(&["/app/d"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_noticed_within_seconds_and_healed() {
    require!("etcd");
    let etcd = Etcd::start();
    let proxy = Proxy::to(&etcd.endpoint());
    etcd.put("/app/a", "1");
    // As it comes, without shorter times.
    let store = open(Settings::new([proxy.url()]));
    let mut reader = Reader::follow(store, &["/app"], MirrorSettings::default());
    reader.reach(&content(&[("/app/a", "1")])).await;

    proxy.black_hole();
    etcd.put("/app/a", "2");
    let since = Instant::now();
    reader.unreachable().await;
    assert!(since.elapsed() < Duration::from_secs(7), "{:?}", since.elapsed());

    etcd.put("/app/b", "1");
    proxy.resume();
    let told = reader.reach(&content(&[("/app/a", "2"), ("/app/b", "1")])).await;
    assert!(told.iter().all(|news| news.continuity.is_continued()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_is_killed_and_started_again_goes_on() {
    require!("etcd");
    let etcd = Etcd::options().storage(Storage::Disk).start();
    etcd.put_all([("/app/a", "1"), ("/app/b", "1")]);
    let store = store(etcd.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "1")])).await;
    etcd.kill();
    reader.unreachable().await;
    etcd.start_again();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (vec![], Continuity::Continued));
    etcd.delete("/app/a");
    assert_eq!(reader.changed().await.changed, keys(&["/app/a"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_restored_from_an_older_snapshot_is_recognised() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    let scratch = Scratch::new("snapshot", Storage::Memory);
    etcd.put_all([("/app/a", "1"), ("/app/b", "1")]);
    etcd.snapshot_save(&scratch.join("snapshot.db"));
    etcd.put("/app/b", "2");
    etcd.put("/app/c", "2");
    let proxy = Proxy::to(&etcd.endpoint());
    let store = store(proxy.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "2"), ("/app/c", "2")])).await;

    etcd.restore_from(&scratch.join("snapshot.db"));
    let news = reader.changed().await;
    assert_eq!(news.changed, keys(&["/app/b", "/app/c"]));
    assert!(matches!(news.continuity, Continuity::WentBack { .. }), "{:?}", news.continuity);

    // Once more, and written to until it has passed the revision that was seen.
    etcd.put("/app/b", "3");
    etcd.put("/app/d", "3");
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "3"), ("/app/d", "3")])).await;
    proxy.cut();
    reader.unreachable().await;
    etcd.restore_from(&scratch.join("snapshot.db"));
    for number in 0..5 {
        etcd.put("/app/b", number.to_string());
    }
    etcd.put("/app/d", "other");
    etcd.put("/elsewhere", "x");
    etcd.put("/app/a", "1");
    proxy.resume();
    let news = reader.changed().await;
    assert_eq!(*reader.content(), content(&[("/app/a", "1"), ("/app/b", "4"), ("/app/d", "other")]));
    // All writes that were seen have been written over since: nothing tells them from later ones.
    assert_eq!(news.changed, keys(&["/app/b", "/app/d"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_restored_and_written_to_is_recognised_by_what_it_has_from_before() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    let scratch = Scratch::new("snapshot", Storage::Memory);
    etcd.put_all([("/app/a", "1"), ("/app/b", "1")]);
    etcd.snapshot_save(&scratch.join("snapshot.db"));
    etcd.put("/app/b", "2");
    etcd.put("/app/b", "3");
    let proxy = Proxy::to(&etcd.endpoint());
    let store = store(proxy.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "3")])).await;
    proxy.cut();
    reader.unreachable().await;
    etcd.restore_from(&scratch.join("snapshot.db"));
    for _ in 0..5 {
        etcd.put("/app/c", "1");
    }
    proxy.resume();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (keys(&["/app/b", "/app/c"]), Continuity::Rewritten));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_etcd_is_recognised() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/app/a", "1");
    etcd.put("/app/b", "1");
    let proxy = Proxy::to(&etcd.endpoint());
    let store = store(proxy.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "1")])).await;

    etcd.wipe();
    let news = reader.changed().await;
    assert_eq!(news.changed, keys(&["/app/a", "/app/b"]));
    assert!(matches!(news.continuity, Continuity::WentBack { .. }), "{:?}", news.continuity);

    etcd.put("/app/a", "1");
    reader.reach(&content(&[("/app/a", "1")])).await;
    proxy.cut();
    reader.unreachable().await;
    etcd.wipe();
    for _ in 0..10 {
        etcd.put("/elsewhere", "x");
    }
    proxy.resume();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (keys(&["/app/a"]), Continuity::Emptied));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_goes_back_behind_an_unbroken_connection_is_found_out() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    let scratch = Scratch::new("snapshot", Storage::Memory);
    etcd.put_all([("/app/a", "1"), ("/app/b", "1")]);
    etcd.snapshot_save(&scratch.join("snapshot.db"));
    etcd.put("/app/b", "2");
    etcd.put("/app/c", "2");
    let between = EtcdGrpcProxy::in_front_of(&etcd);
    let front = Proxy::to(&between.endpoint());
    let store = store(front.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "2"), ("/app/c", "2")])).await;

    etcd.restore_from(&scratch.join("snapshot.db"));
    let news = reader.changed().await;
    assert_eq!(news.changed, keys(&["/app/b", "/app/c"]));
    assert!(matches!(news.continuity, Continuity::WentBack { .. }), "{:?}", news.continuity);

    etcd.put("/app/b", "new");
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "new")])).await;
    etcd.wipe();
    let news = reader.changed().await;
    assert_eq!(news.changed, keys(&["/app/a", "/app/b"]));
    assert!(matches!(news.continuity, Continuity::WentBack { .. }), "{:?}", news.continuity);
    etcd.put("/app/z", "1");
    reader.reach(&content(&[("/app/z", "1")])).await;
}
