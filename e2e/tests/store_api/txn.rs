//! Txn: what its operations see and answer, nested ones too, and that it is one revision.

use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};

use crate::api::Done;

fn put(key: &str, value: &str) -> TxnOp {
    TxnOp::put(key, value, None)
}

fn get(key: &str) -> TxnOp {
    TxnOp::get(key, None)
}

fn is(key: &str, value: &str) -> Compare {
    Compare::value(key, CompareOp::Equal, value)
}

fn done(succeeded: bool, operations: &[&str], revision: i64) -> Done {
    let operations = operations.iter().map(|it| (*it).to_owned()).collect();
    Done { succeeded, operations, revision }
}

#[tokio::test]
async fn the_comparisons_choose_the_branch() {
    let mut api = api!();
    api.put("a", "1").await;
    let txn = |value| {
        Txn::new().when([is("a", value)]).and_then([put("then", "1")]).or_else([put("else", "1"), get("a")])
    };
    assert_eq!(api.txn(txn("1")).await, Ok(done(true, &["put @2"], 2)));
    assert_eq!(api.txn(txn("2")).await, Ok(done(false, &["put @3", "range @3 1: a=1 c1 m1 v1"], 3)));
    assert_eq!(api.all().await, ["a=1 c1 m1 v1", "else=1 c3 m3 v1", "then=1 c2 m2 v1"]);
}

#[tokio::test]
async fn all_comparisons_must_hold() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("b", "1").await;
    let txn = |a, b| Txn::new().when([is("a", a), is("b", b)]).and_then([get("a")]);
    assert!(api.txn(txn("1", "1")).await.unwrap().succeeded);
    for (a, b) in [("1", "2"), ("2", "1"), ("2", "2")] {
        assert_eq!(api.txn(txn(a, b)).await, Ok(done(false, &[], 2)), "{a} {b}");
    }
}

#[tokio::test]
async fn an_empty_transaction_succeeds_and_is_no_revision() {
    let mut api = api!();
    api.put("a", "1").await;
    assert_eq!(api.txn(Txn::new()).await, Ok(done(true, &[], 1)));
    assert_eq!(api.txn(Txn::new().when([is("a", "2")])).await, Ok(done(false, &[], 1)));
}

#[tokio::test]
async fn a_transaction_is_one_revision_however_much_it_changes() {
    let mut api = api!();
    api.put("x", "1").await;
    let run = api.run([put("a", "1"), put("b", "1"), TxnOp::delete("x", None), put("c", "1")]).await;
    assert_eq!(run, Ok(done(true, &["put @2", "put @2", "delete @2 1", "put @2"], 2)));
    assert_eq!(api.all().await, ["a=1 c2 m2 v1", "b=1 c2 m2 v1", "c=1 c2 m2 v1"]);
    assert_eq!(api.put("d", "1").await, 3);
}

#[tokio::test]
async fn a_transaction_that_changes_nothing_is_no_revision() {
    let mut api = api!();
    api.put("a", "1").await;
    assert_eq!(
        api.run([get("a"), get("b")]).await,
        Ok(done(true, &["range @1 1: a=1 c1 m1 v1", "range @1 0: "], 1))
    );
    let nothing = TxnOp::delete("b", Some(DeleteOptions::new().with_from_key().with_prev_key()));
    assert_eq!(api.run([nothing]).await, Ok(done(true, &["delete @1 0"], 1)));
    assert_eq!(api.revision().await, 1);
}

#[tokio::test]
async fn an_operation_sees_what_those_before_it_did() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("x", "1").await;
    let run = api.run([get("a"), put("a", "2"), get("a"), put("b", "1"), TxnOp::delete("x", None), {
        TxnOp::get("", Some(GetOptions::new().with_all_keys()))
    }]);
    let operations = [
        "range @2 1: a=1 c1 m1 v1",
        "put @3",
        "range @3 1: a=2 c1 m3 v2",
        "put @3",
        "delete @3 1",
        "range @3 2: a=2 c1 m3 v2, b=1 c3 m3 v1",
    ];
    assert_eq!(run.await, Ok(done(true, &operations, 3)));
}

#[tokio::test]
async fn a_read_at_a_revision_sees_the_past_within_a_transaction() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("a", "2").await;
    let run =
        api.run([put("a", "3"), TxnOp::get("a", Some(api.at(1))), TxnOp::get("a", Some(api.at(2)))]).await;
    let operations = ["put @3", "range @3 1: a=1 c1 m1 v1", "range @3 1: a=2 c1 m2 v2"];
    assert_eq!(run, Ok(done(true, &operations, 3)));
}

#[tokio::test]
async fn reads_take_their_options_along() {
    let mut api = api!();
    for key in ["a", "b", "c"] {
        api.put(key, "1").await;
    }
    let all = || GetOptions::new().with_all_keys();
    let newest = all().with_sort(etcd_client::SortTarget::Mod, etcd_client::SortOrder::Descend).with_limit(2);
    let run = api.run([
        TxnOp::get("", Some(all().with_limit(1))),
        TxnOp::get("", Some(all().with_count_only())),
        TxnOp::get("b", Some(GetOptions::new().with_keys_only())),
        TxnOp::get("", Some(newest)),
    ]);
    let operations = [
        "range @3 3: a=1 c1 m1 v1 and more",
        "range @3 3: ",
        "range @3 1: b= c2 m2 v1",
        "range @3 3: c=1 c3 m3 v1, b=1 c2 m2 v1 and more",
    ];
    assert_eq!(run.await, Ok(done(true, &operations, 3)));
}

#[tokio::test]
async fn puts_and_deletions_tell_what_was_there() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("b/1", "1").await;
    api.put("b/2", "1").await;
    let prev = PutOptions::new().with_prev_key();
    let run = api.run([
        TxnOp::put("a", "2", Some(prev.clone())),
        TxnOp::put("c", "1", Some(prev)),
        TxnOp::delete("b/", Some(DeleteOptions::new().with_prefix().with_prev_key())),
    ]);
    let operations = ["put @4 was a=1 c1 m1 v1", "put @4", "delete @4 2 were b/1=1 c2 m2 v1, b/2=1 c3 m3 v1"];
    assert_eq!(run.await, Ok(done(true, &operations, 4)));
}

#[tokio::test]
async fn a_put_in_a_transaction_keeps_or_sets_value_and_lease() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    api.put_with("a", "1", PutOptions::new().with_lease(7)).await.unwrap();
    api.put("b", "1").await;
    let run = api.run([
        TxnOp::put("a", "2", Some(PutOptions::new().with_ignore_lease())),
        TxnOp::put("b", "", Some(PutOptions::new().with_ignore_value().with_lease(7))),
    ]);
    run.await.unwrap();
    assert_eq!(api.all().await, ["a=2 c1 m3 v2 l7", "b=1 c2 m3 v2 l7"]);
    let mut leased = api.leased(7).await;
    leased.sort();
    assert_eq!(leased, ["a", "b"]);
}

#[tokio::test]
async fn two_deletions_may_overlap() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("b", "1").await;
    let all = || TxnOp::delete("a", Some(DeleteOptions::new().with_from_key()));
    let run = api.run([TxnOp::delete("a", None), all(), all()]).await;
    assert_eq!(run, Ok(done(true, &["delete @3 1", "delete @3 1", "delete @3 0"], 3)));
    assert_eq!(api.revision().await, 3);
}

#[tokio::test]
async fn nested_transactions_take_their_own_branches() {
    let mut api = api!();
    api.put("a", "1").await;
    let inner = |value: &str, key: &str| {
        let (yes, no) = (format!("{key}/yes"), format!("{key}/no"));
        TxnOp::txn(
            Txn::new().when([is("a", value)]).and_then([put(&yes, "1")]).or_else([put(&no, "1"), get(&no)]),
        )
    };
    let txn = Txn::new().when([is("a", "1")]).and_then([inner("1", "x"), put("m", "1"), inner("2", "y")]);
    let operations = ["txn true [put @2]", "put @2", "txn false [put @2; range @2 1: y/no=1 c2 m2 v1]"];
    assert_eq!(api.txn(txn).await, Ok(done(true, &operations, 2)));

    let txn = Txn::new()
        .when([is("a", "2")])
        .and_then([inner("1", "p")])
        .or_else([inner("2", "q"), inner("1", "r")]);
    let operations = ["txn false [put @3; range @3 1: q/no=1 c3 m3 v1]", "txn true [put @3]"];
    assert_eq!(api.txn(txn).await, Ok(done(false, &operations, 3)));
    let keys = api.range("b", GetOptions::new().with_from_key()).await.unwrap();
    assert_eq!(keys.keys(), ["m", "q/no", "r/yes", "x/yes", "y/no"]);
}

#[tokio::test]
async fn nested_transactions_go_deep() {
    let mut api = api!();
    let deepest = Txn::new().and_then([put("a", "1"), get("a")]);
    let txn = (0..5).fold(deepest, |inner, _| Txn::new().and_then([TxnOp::txn(inner)]));
    let done = api.txn(txn).await.unwrap();
    let inner = "put @1; range @1 1: a=1 c1 m1 v1";
    assert_eq!(done.operations, [format!("{}{inner}{}", "txn true [".repeat(5), "]".repeat(5))]);
    assert_eq!(done.revision, 1);
}

#[tokio::test]
async fn nested_comparisons_see_what_was_before_the_whole_transaction() {
    let mut api = api!();
    api.put("a", "1").await;
    let inner = Txn::new().when([is("a", "1")]).and_then([put("was", "1")]).or_else([put("is", "1")]);
    let run = api.run([put("a", "2"), get("a"), TxnOp::txn(inner)]).await;
    let operations = ["put @2", "range @2 1: a=2 c1 m2 v2", "txn true [put @2]"];
    assert_eq!(run, Ok(done(true, &operations, 2)));
    assert_eq!(api.get("was").await.unwrap(), "was=1 c2 m2 v1");
}

#[tokio::test]
async fn a_key_may_be_put_in_both_branches() {
    let mut api = api!();
    let branches =
        || Txn::new().when([is("a", "1")]).and_then([put("k", "then")]).or_else([put("k", "else")]);
    assert_eq!(api.txn(branches()).await, Ok(done(false, &["put @1"], 1)));
    assert_eq!(api.run([TxnOp::txn(branches())]).await, Ok(done(true, &["txn false [put @2]"], 2)));
    assert_eq!(api.get("k").await.unwrap(), "k=else c1 m2 v2");
}

#[tokio::test]
async fn a_key_may_be_read_and_written_and_deleted_keys_read() {
    let mut api = api!();
    api.put("a", "1").await;
    let run = api.run([get("a"), get("a"), TxnOp::delete("a", None), get("a")]).await;
    let operations = ["range @1 1: a=1 c1 m1 v1", "range @1 1: a=1 c1 m1 v1", "delete @2 1", "range @2 0: "];
    assert_eq!(run, Ok(done(true, &operations, 2)));
}
