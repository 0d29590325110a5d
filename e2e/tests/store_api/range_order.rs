//! Range: the order in which keys are told.

use etcd_client::{GetOptions, SortOrder, SortTarget};

use crate::api::Api;

/// Four keys that stand in another order by name, value, creation, change and version.
async fn four(api: &mut Api) {
    for (key, value) in [("c", "9"), ("a", "9"), ("d", "9"), ("b", "3"), ("d", "9"), ("a", "9")] {
        api.put(key, value).await;
    }
    for (key, value) in [("a", "2"), ("d", "1"), ("c", "4"), ("a", "2"), ("a", "2"), ("c", "4"), ("d", "1")] {
        api.put(key, value).await;
    }
    assert_eq!(
        api.all().await,
        ["a=2 c2 m11 v5", "b=3 c4 m4 v1", "c=4 c1 m12 v3", "d=1 c3 m13 v4"],
        "what the expectations below are about"
    );
}

async fn order(api: &mut Api, options: GetOptions) -> String {
    api.range("", options.with_all_keys()).await.unwrap().keys().join("")
}

#[tokio::test]
async fn keys_are_told_in_every_order() {
    let mut api = api!();
    four(&mut api).await;
    let orders = [
        (SortTarget::Key, "abcd"),
        (SortTarget::Version, "bcda"),
        (SortTarget::Create, "cadb"),
        (SortTarget::Mod, "bacd"),
        (SortTarget::Value, "dabc"),
    ];
    for (target, ascending) in orders {
        let sorted = |order| GetOptions::new().with_sort(target, order);
        let descending: String = ascending.chars().rev().collect();
        assert_eq!(order(&mut api, sorted(SortOrder::Ascend)).await, ascending, "by {target:?}");
        assert_eq!(
            order(&mut api, sorted(SortOrder::Descend)).await,
            descending,
            "by {target:?}, from the end"
        );
        assert_eq!(
            order(&mut api, sorted(SortOrder::None)).await,
            ascending,
            "by {target:?}, without an order"
        );
    }
}

#[tokio::test]
async fn a_limit_counts_in_the_order_that_was_asked_for() {
    let mut api = api!();
    four(&mut api).await;
    let newest =
        GetOptions::new().with_all_keys().with_sort(SortTarget::Create, SortOrder::Descend).with_limit(1);
    let found = api.range("", newest).await.unwrap();
    assert_eq!((found.keys().join(""), found.count, found.more), ("b".to_owned(), 4, true));
    let all = GetOptions::new().with_all_keys().with_sort(SortTarget::Mod, SortOrder::Descend).with_limit(4);
    let found = api.range("", all).await.unwrap();
    assert_eq!((found.keys().join(""), found.count, found.more), ("dcab".to_owned(), 4, false));
    let last = GetOptions::new().with_range("d").with_sort(SortTarget::Key, SortOrder::Descend).with_limit(2);
    let found = api.range("a", last).await.unwrap();
    assert_eq!((found.keys().join(""), found.count, found.more), ("cb".to_owned(), 3, true));
}

#[tokio::test]
async fn the_past_is_told_in_order_too() {
    let mut api = api!();
    four(&mut api).await;
    let past = api.at(4).with_sort(SortTarget::Mod, SortOrder::Descend);
    assert_eq!(order(&mut api, past).await, "bdac");
    let bounds = GetOptions::new()
        .with_min_mod_revision(api.base + 11)
        .with_sort(SortTarget::Value, SortOrder::Ascend);
    assert_eq!(order(&mut api, bounds).await, "dac");
}

#[tokio::test]
async fn values_that_are_not_told_still_give_the_order() {
    let mut api = api!();
    four(&mut api).await;
    let options = GetOptions::new().with_keys_only().with_sort(SortTarget::Value, SortOrder::Descend);
    assert_eq!(order(&mut api, options).await, "cbad");
}

#[tokio::test]
async fn values_are_in_the_order_of_their_bytes() {
    let mut api = api!();
    let values: [(&str, &[u8]); 5] = [("a", b"b"), ("b", b"\xff"), ("c", b""), ("d", b"a\x00"), ("e", b"a")];
    for (key, value) in values {
        api.put(key, value).await;
    }
    let options = GetOptions::new().with_sort(SortTarget::Value, SortOrder::Ascend);
    assert_eq!(order(&mut api, options).await, "cedab");
}
