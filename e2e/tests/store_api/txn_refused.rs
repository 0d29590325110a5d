//! Txn: what is refused, and that nothing of it is done.

use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};

use crate::api::{Api, refused};
use crate::wire;

fn put(key: &str) -> TxnOp {
    TxnOp::put(key, "2", None)
}

fn delete(key: &str) -> TxnOp {
    TxnOp::delete(key, None)
}

fn delete_to(key: &str, end: &str) -> TxnOp {
    TxnOp::delete(key, Some(DeleteOptions::new().with_range(end)))
}

fn inner(operations: impl Into<Vec<TxnOp>>) -> TxnOp {
    TxnOp::txn(Txn::new().and_then(operations))
}

fn false_compare() -> Compare {
    Compare::version("a", CompareOp::Equal, 99)
}

/// Asserts that a transaction is refused and changes nothing of the key that is there.
async fn assert_refused(api: &mut Api, txn: Txn, why: &str) {
    let told = format!("{txn:?}");
    let revision = api.revision().await;
    match api.txn(txn).await {
        Ok(done) => panic!("{done:?} was done: {told}"),
        Err(error) => assert_eq!(error, why, "{told}"),
    }
    assert_eq!(api.revision().await, revision, "nothing is done of {told}");
}

#[tokio::test]
async fn a_key_is_changed_once() {
    let mut api = api!();
    api.put("b", "1").await;
    // A deletion without an end (`\0`) is not among these: etcd 3.4 overlooks what it overlaps with.
    let overlaps: Vec<Vec<TxnOp>> = vec![
        vec![put("a"), put("a")],
        vec![put("a"), put("b"), put("a")],
        vec![put("a"), delete("a")],
        vec![delete("a"), put("a")],
        vec![put("b"), delete_to("a", "c")],
        vec![delete_to("a", "c"), put("a")],
        vec![put("a"), inner([put("a")])],
        vec![inner([put("a")]), put("a")],
        vec![inner([put("a")]), inner([put("a")])],
        vec![put("a"), inner([delete("a")])],
        vec![delete("a"), inner([put("a")])],
        vec![inner([delete_to("a", "c")]), put("b")],
        vec![inner([put("a"), put("a")])],
        vec![put("a"), TxnOp::txn(Txn::new().when([false_compare()]).or_else([put("a")]))],
        vec![inner([inner([inner([put("a")])])]), put("a")],
    ];
    for operations in overlaps {
        let both = Txn::new().and_then(operations.clone());
        assert_refused(&mut api, both, refused::TWICE).await;
        let unused = Txn::new().when([false_compare()]).and_then(operations.clone());
        assert_refused(&mut api, unused, refused::TWICE).await;
        let other = Txn::new().and_then([put("z")]).or_else(operations);
        assert_refused(&mut api, other, refused::TWICE).await;
    }
}

#[tokio::test]
async fn keys_beside_a_deleted_range_are_free() {
    let mut api = api!();
    api.put("b", "1").await;
    let done =
        api.run([delete_to("b", "c"), put("a"), put("c"), inner([put("d")]), delete("e")]).await.unwrap();
    assert_eq!(done.operations, ["delete @2 1", "put @2", "put @2", "txn true [put @2]", "delete @2 0"]);
}

#[tokio::test]
async fn a_list_has_128_entries_at_most() {
    let mut api = api!();
    let puts = |count: usize| (0..count).map(|number| put(&format!("k{number}"))).collect::<Vec<_>>();
    let compares = |count: usize| vec![Compare::version("a", CompareOp::Equal, 0); count];
    assert_eq!(api.run(puts(128)).await.unwrap().operations.len(), 128);
    assert!(
        api.txn(Txn::new().when(compares(128)).and_then(puts(128)).or_else(puts(128)))
            .await
            .unwrap()
            .succeeded
    );
    assert_refused(&mut api, Txn::new().and_then(puts(129)), refused::TOO_MANY).await;
    assert_refused(&mut api, Txn::new().or_else(puts(129)), refused::TOO_MANY).await;
    assert_refused(&mut api, Txn::new().when(compares(129)), refused::TOO_MANY).await;
}

#[tokio::test]
async fn nested_lists_share_what_the_outer_ones_leave() {
    let mut api = api!();
    let gets = |count: usize| vec![TxnOp::get("a", None); count];
    let with = |outer: usize, nested: usize| {
        let mut operations = gets(outer - 1);
        operations.push(inner(gets(nested)));
        Txn::new().and_then(operations)
    };
    assert_eq!(api.txn(with(1, 127)).await.unwrap().operations.len(), 1);
    assert_refused(&mut api, with(1, 128), refused::TOO_MANY).await;
    assert_eq!(api.txn(with(100, 28)).await.unwrap().operations.len(), 100);
    assert_refused(&mut api, with(100, 29), refused::TOO_MANY).await;
    let siblings = Txn::new().and_then([inner(gets(126)), inner(gets(126))]);
    assert_eq!(api.txn(siblings).await.unwrap().operations.len(), 2, "siblings do not count together");
}

#[tokio::test]
async fn an_empty_key_is_refused_wherever_it_stands() {
    let mut api = api!();
    let empty: Vec<Txn> = vec![
        Txn::new().when([Compare::version("", CompareOp::Equal, 0)]),
        Txn::new().and_then([put("a"), put("")]),
        Txn::new().and_then([put("a"), TxnOp::get("", None)]),
        Txn::new().and_then([put("a"), delete("")]),
        Txn::new().and_then([put("a")]).or_else([put("")]),
        Txn::new().and_then([put("a"), inner([put("")])]),
        Txn::new().and_then([inner([put("a")]), TxnOp::txn(Txn::new().or_else([delete("")]))]),
    ];
    for txn in empty {
        assert_refused(&mut api, txn, refused::EMPTY_KEY).await;
    }
}

#[tokio::test]
async fn an_operation_that_is_none_is_refused() {
    let mut api = api!();
    // A TxnRequest whose `success` has a put of `a`, and then in another one an operation without a kind.
    let put = b"\x12\x08\x12\x06\x0a\x01a\x12\x011";
    let txn = "/etcdserverpb.KV/Txn";
    assert_eq!(wire::call(&api.url(), txn, &[&put[..], b"\x12\x00"].concat()), None);
    assert_eq!(api.revision().await, 0);
    assert!(wire::call(&api.url(), txn, put).is_some(), "and without it, it is done");
    assert_eq!(api.all().await, ["a=1 c1 m1 v1"]);
}

#[tokio::test]
async fn a_put_is_checked_as_it_is_alone() {
    let mut api = api!();
    let keep_value = || PutOptions::new().with_ignore_value();
    let keep_lease = || PutOptions::new().with_ignore_lease();
    let puts = [
        (TxnOp::put("a", "1", Some(keep_value())), refused::VALUE),
        (TxnOp::put("a", "1", Some(keep_lease().with_lease(7))), refused::LEASE),
        (TxnOp::put("a", "", Some(keep_value())), refused::NO_KEY),
        (TxnOp::put("a", "1", Some(keep_lease())), refused::NO_KEY),
        (TxnOp::put("a", "1", Some(PutOptions::new().with_lease(99))), refused::NO_LEASE),
    ];
    for (operation, why) in puts {
        assert_refused(&mut api, Txn::new().and_then([put("b"), operation.clone()]), why).await;
        assert_refused(&mut api, Txn::new().and_then([put("b"), inner([operation])]), why).await;
    }
    assert_eq!(api.all().await, [""; 0]);
}

#[tokio::test]
async fn what_the_other_branch_needs_may_be_missing() {
    let mut api = api!();
    let missing = || {
        vec![
            TxnOp::put("a", "", Some(PutOptions::new().with_ignore_value())),
            TxnOp::put("b", "1", Some(PutOptions::new().with_lease(99))),
            TxnOp::get("a", Some(GetOptions::new().with_revision(1_000_000))),
        ]
    };
    let then = Txn::new().when([false_compare()]).and_then(missing()).or_else([put("c")]);
    assert_eq!(api.txn(then).await.unwrap().operations, ["put @1"]);
    let or_else = Txn::new().and_then([put("c")]).or_else(missing());
    assert_eq!(api.txn(or_else).await.unwrap().operations, ["put @2"]);
}

#[tokio::test]
async fn a_read_of_the_future_stops_the_whole_transaction() {
    let mut api = api!();
    api.put("a", "1").await;
    let future = TxnOp::get("a", Some(api.at(2)));
    assert_refused(&mut api, Txn::new().and_then([future.clone()]), refused::FUTURE).await;
    let writes = Txn::new().and_then([put("a"), delete("b"), future.clone()]);
    assert_refused(&mut api, writes, refused::FUTURE).await;
    assert_refused(&mut api, Txn::new().and_then([put("a"), inner([future])]), refused::FUTURE).await;
    assert_eq!(api.all().await, ["a=1 c1 m1 v1"]);
}

#[tokio::test]
async fn the_revision_that_a_transaction_makes_is_the_future_to_its_reads() {
    let mut api = api!();
    let own = TxnOp::get("a", Some(api.at(1)));
    assert_refused(&mut api, Txn::new().and_then([put("a"), own]), refused::FUTURE).await;
}
