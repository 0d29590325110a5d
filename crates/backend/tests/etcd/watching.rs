//! Watches on real etcd: compaction, elections, what is large.

use std::time::Duration;

use futures::StreamExt;
use waypost_backend::{Backend, ErrorKind};
use waypost_model::Value;
use waypost_servers::{Etcd, EtcdCluster, require};
use waypost_testkit::contract::Content;

use crate::{content, follow, key, open, prefixes, settings, store};

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_watch_outlives_the_compaction_of_what_it_has_seen() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/app/a", "1");
    let store = store(etcd.url());
    let position = store.snapshot(&prefixes(&["/app"])).await.unwrap().position;
    let mut watch = store.watch(&prefixes(&["/app"]), position);
    let mut next = async || {
        let batch = tokio::time::timeout(Duration::from_secs(20), watch.next()).await;
        batch.unwrap().unwrap().unwrap()
    };
    etcd.put("/app/a", "2");
    next().await;
    for value in ["3", "4"] {
        for _ in 0..10 {
            etcd.put("/elsewhere", value);
        }
        etcd.compact(etcd.revision());
        etcd.put("/app/a", value);
        let batch = next().await;
        assert_eq!(batch.changes[0].entry.as_ref().unwrap().value, Value::from(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_before_a_compaction_is_lost() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/app/a", "1");
    let store = store(etcd.url());
    let position = store.snapshot(&prefixes(&["/app"])).await.unwrap().position;
    etcd.put("/app/a", "2");
    etcd.put("/app/a", "3");
    etcd.compact(etcd.revision());
    let error = store.watch(&prefixes(&["/app"]), position).next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.chain().contains("compacted"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_events_larger_than_grpcs_usual_limit_are_taken() {
    require!("etcd");
    let etcd = Etcd::start();
    let big = |letter: &str| letter.repeat(1_000_000);
    let mut expected = Content::new();
    for number in 0..6 {
        etcd.put(&format!("/app/{number}"), big("x"));
        expected.insert(key(&format!("/app/{number}")), Value::from(big("x")));
    }
    let store = store(etcd.url());
    let position = store.snapshot(&prefixes(&["/app"])).await.unwrap().position;
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&expected).await;
    for number in 0..6 {
        etcd.put(&format!("/app/{number}"), big("y"));
        expected.insert(key(&format!("/app/{number}")), Value::from(big("y")));
    }
    reader.reach(&expected).await;
    // All six in the first answer of a watch that begins before them.
    let mut watch = store.watch(&prefixes(&["/app"]), position);
    let mut seen = 0;
    while seen < 6 {
        seen += watch.next().await.unwrap().unwrap().changes.len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_election_loses_no_change() {
    require!("etcd");
    let cluster = EtcdCluster::start();
    let store = open(settings(cluster.urls()));
    let mut reader = follow(&store, &["/app"]);
    let mut expected = Content::new();
    let write = |round: usize, expected: &mut Content| {
        for number in 0..5 {
            let (name, value) = (format!("/app/{number}"), format!("{round}"));
            cluster.put(&name, &value);
            expected.insert(key(&name), Value::from(value));
        }
        cluster.delete("/app/0");
        expected.remove("/app/0");
    };
    write(0, &mut expected);
    reader.reach(&expected).await;
    for round in 1..4 {
        // The one we are connected to is among them sooner or later: each in turn.
        let victim = if round == 1 { cluster.leader() } else { round - 1 };
        cluster.kill(victim);
        write(round, &mut expected);
        let told = reader.reach(&expected).await;
        assert!(told.iter().all(|news| news.continuity.is_continued()), "{told:?}");
        cluster.start_again(victim);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_lost_and_nothing_is_told_wrong() {
    require!("etcd");
    let cluster = EtcdCluster::start();
    let follower = cluster.follower();
    let store = open(settings([cluster.urls()[follower].clone()]));
    cluster.put("/app/a", "1");
    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1")])).await;
    let others: Vec<usize> = (0..3).filter(|member| *member != follower).collect();
    for other in &others {
        cluster.pause(*other);
    }
    let error = reader.unreachable().await;
    assert!(error.is_transient(), "{}", error.chain());
    assert_eq!(reader.shown(), content(&[("/app/a", "1")]), "the last view stays");
    for other in &others {
        cluster.resume(*other);
    }
    cluster.put("/app/b", "1");
    let told = reader.reach(&content(&[("/app/a", "1"), ("/app/b", "1")])).await;
    assert!(told.iter().all(|news| news.continuity.is_continued()), "{told:?}");
}
