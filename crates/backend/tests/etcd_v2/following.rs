//! The Mirror of an etcd that breaks, goes back, or is emptied.

use std::time::{Duration, Instant};

use waypost_backend::etcd_v2::Settings;
use waypost_backend::{Continuity, ErrorKind, MirrorSettings};
use waypost_servers::{Proxy, Storage, require};
use waypost_testkit::Reader;

use crate::{content, follow, keys, open, start, store};

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_cut_off_is_told_even_if_etcd_has_forgotten_it() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put_all([("/app/a", "1"), ("/app/b/x", "1"), ("/app/c", "1")]);
    let proxy = Proxy::to(&etcd.endpoint());
    let store = store(proxy.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b/x", "1"), ("/app/c", "1")])).await;

    proxy.cut();
    reader.unreachable().await;
    etcd.v2_put("/app/a", "2");
    etcd.v2_delete("/app/b");
    etcd.v2_put_all((0..1_100).map(|number| ("/elsewhere".to_owned(), number.to_string())));
    proxy.resume();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (keys(&["/app/a", "/app/b/x"]), Continuity::Continued));
    etcd.v2_put("/app/d", "1");
    assert_eq!(reader.changed().await.changed, keys(&["/app/d"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_lost_while_connected_is_read_anew_without_a_word() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put("/app/a", "1");
    let proxy = Proxy::to(&etcd.endpoint());
    // Slow enough for the history to be over before anybody looks.
    let store = open(Settings { request_timeout: Duration::from_secs(60), ..crate::settings([proxy.url()]) });
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1")])).await;
    proxy.black_hole();
    etcd.v2_put_all((0..1_100).map(|number| ("/app/a".to_owned(), number.to_string())));
    etcd.v2_put("/app/b", "1");
    proxy.resume();
    // The poll under way brings the first of them, the next one finds that the second is forgotten.
    while *reader.content() != content(&[("/app/a", "1099"), ("/app/b", "1")]) {
        let news = reader.next().await;
        assert!(news.is_ok_and(|news| news.continuity.is_continued()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_noticed_within_seconds_and_healed() {
    require!("etcd");
    let etcd = start();
    let proxy = Proxy::to(&etcd.endpoint());
    etcd.v2_put("/app/a", "1");
    // As it comes, without shorter times.
    let store = open(Settings::new([proxy.url()]));
    let mut reader = Reader::follow(store, &["/app"], MirrorSettings::default());
    reader.reach(&content(&[("/app/a", "1")])).await;

    proxy.black_hole();
    etcd.v2_put("/app/a", "2");
    let since = Instant::now();
    reader.unreachable().await;
    assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());

    etcd.v2_put("/app/b", "1");
    proxy.resume();
    let told = reader.reach(&content(&[("/app/a", "2"), ("/app/b", "1")])).await;
    assert!(told.iter().all(|news| news.continuity.is_continued()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_is_killed_and_started_again_goes_on() {
    require!("etcd");
    let etcd = waypost_servers::Etcd::options().enable_v2().storage(Storage::Disk).start();
    etcd.v2_put_all([("/app/a", "1"), ("/app/b", "1")]);
    let store = store(etcd.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "1")])).await;
    etcd.kill();
    assert_eq!(reader.unreachable().await.kind(), ErrorKind::Unavailable);
    etcd.start_again();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (vec![], Continuity::Continued));
    etcd.v2_delete("/app/a");
    assert_eq!(reader.changed().await.changed, keys(&["/app/a"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_was_emptied_is_recognised() {
    require!("etcd");
    let etcd = start();
    let proxy = Proxy::to(&etcd.endpoint());
    etcd.v2_put_all([("/app/a", "1"), ("/app/b", "1")]);
    let store = store(proxy.url());
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "1")])).await;
    etcd.wipe();
    let news = reader.changed().await;
    assert_eq!(news.changed, keys(&["/app/a", "/app/b"]));
    assert!(!news.continuity.is_continued(), "{:?}", news.continuity);

    etcd.v2_put("/app/a", "1");
    reader.reach(&content(&[("/app/a", "1")])).await;
    proxy.cut();
    reader.unreachable().await;
    etcd.wipe();
    etcd.v2_put_all((0..10).map(|number| ("/elsewhere".to_owned(), number.to_string())));
    proxy.resume();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (keys(&["/app/a"]), Continuity::Emptied));
}
