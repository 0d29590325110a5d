//! Concurrent clients: what each of them was told fits one order of everything.

use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp, TxnOpResponse};
use futures::future::join_all;

use crate::api::Api;

/// Adds one to `counter`, however often another one is quicker; returns what it made, and at which revision.
async fn increment(client: &mut Client, base: i64) -> (u64, i64) {
    let mut seen = client.get("counter", None).await.unwrap().take_kvs().remove(0);
    loop {
        let next = seen.value_str().unwrap().parse::<u64>().unwrap() + 1;
        let txn = Txn::new()
            .when([Compare::mod_revision("counter", CompareOp::Equal, seen.mod_revision())])
            .and_then([TxnOp::put("counter", next.to_string(), None)])
            .or_else([TxnOp::get("counter", None)]);
        let done = client.txn(txn).await.unwrap();
        match done.op_responses().remove(0) {
            TxnOpResponse::Get(mut now) => seen = now.take_kvs().remove(0),
            _ => return (next, done.header().unwrap().revision() - base),
        }
    }
}

#[tokio::test]
async fn no_increment_of_32_clients_is_lost() {
    const CLIENTS: u64 = 32;
    const EACH: u64 = 4;
    let mut api = api!();
    api.put("counter", "0").await;
    let one_client = async |api: &Api| {
        let mut client = api.another().await;
        let mut made = Vec::new();
        for _ in 0..EACH {
            made.push(increment(&mut client, api.base).await);
        }
        assert!(made.is_sorted(), "a client's own increments follow each other: {made:?}");
        made
    };
    let made = join_all((0..CLIENTS).map(|_| one_client(&api))).await;
    let mut made: Vec<(u64, i64)> = made.into_iter().flatten().collect();
    made.sort_unstable();
    let expected: Vec<(u64, i64)> = (1..=CLIENTS * EACH).map(|value| (value, value as i64 + 1)).collect();
    assert_eq!(made, expected, "each value once, in the order of the revisions");
    let (all, versions) = (CLIENTS * EACH, CLIENTS * EACH + 1);
    assert_eq!(api.get("counter").await.unwrap(), format!("counter={all} c1 m{versions} v{versions}"));
}

#[tokio::test]
async fn what_was_acknowledged_is_read_by_everybody() {
    let api = api!();
    let writer = async |number: u64| {
        let (mut writer, mut reader) = (api.another().await, api.another().await);
        for round in 0..20 {
            let (key, value) = (format!("k{number}"), format!("{round}"));
            let put = writer.put(key.as_str(), value.as_str(), None).await.unwrap();
            let got = reader.get(key.as_str(), None).await.unwrap();
            assert_eq!(got.kvs()[0].value_str().unwrap(), value);
            assert_eq!(got.kvs()[0].mod_revision(), put.header().unwrap().revision());
            assert!(got.header().unwrap().revision() >= put.header().unwrap().revision());
        }
    };
    join_all((0..16).map(writer)).await;
}

#[tokio::test]
async fn one_of_many_creations_wins() {
    let mut api = api!();
    let create = async |number: usize| {
        let mut client = api.another().await;
        let txn = Txn::new()
            .when([Compare::create_revision("lock", CompareOp::Equal, 0)])
            .and_then([TxnOp::put("lock", number.to_string(), None)]);
        client.txn(txn).await.unwrap().succeeded()
    };
    let won = join_all((0..16).map(create)).await;
    let winners: Vec<usize> = (0..16).filter(|number| won[*number]).collect();
    assert_eq!(winners.len(), 1, "{won:?}");
    assert_eq!(api.get("lock").await.unwrap(), format!("lock={} c1 m1 v1", winners[0]));
}
