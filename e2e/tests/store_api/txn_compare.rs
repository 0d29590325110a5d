//! Txn: what its comparisons compare.

use etcd_client::{Compare, CompareOp, PutOptions, Txn};

use crate::api::Api;

const OPERATORS: [CompareOp; 4] =
    [CompareOp::Equal, CompareOp::NotEqual, CompareOp::Greater, CompareOp::Less];

async fn holds(api: &mut Api, compare: Compare) -> bool {
    api.txn(Txn::new().when([compare])).await.unwrap().succeeded
}

/// Asserts that `compare` finds the key's number to be `number`, under every operator.
async fn assert_number(api: &mut Api, number: i64, compare: impl Fn(CompareOp, i64) -> Compare) {
    for given in [number - 1, number, number + 1] {
        let expected = [number == given, number != given, number > given, number < given];
        for (operator, expected) in OPERATORS.into_iter().zip(expected) {
            let compare = compare(operator, given);
            assert_eq!(
                holds(api, compare.clone()).await,
                expected,
                "{number} {operator:?} {given}: {compare:?}"
            );
        }
    }
}

/// Puts `a` at 1 and, on lease 7, at 3.
async fn a_twice(api: &mut Api) {
    api.grant(7, 100).await.unwrap();
    api.put("a", "1").await;
    api.put("b", "1").await;
    api.put_with("a", "m", PutOptions::new().with_lease(7)).await.unwrap();
}

#[tokio::test]
async fn every_number_of_a_key_is_compared() {
    let mut api = api!();
    a_twice(&mut api).await;
    let base = api.base;
    assert_number(&mut api, 2, |operator, number| Compare::version("a", operator, number)).await;
    assert_number(&mut api, base + 1, |operator, number| Compare::create_revision("a", operator, number))
        .await;
    assert_number(&mut api, base + 3, |operator, number| Compare::mod_revision("a", operator, number)).await;
    assert_number(&mut api, 7, |operator, number| Compare::lease("a", operator, number)).await;
    assert_number(&mut api, 0, |operator, number| Compare::lease("b", operator, number)).await;
}

#[tokio::test]
async fn values_are_compared_as_bytes() {
    let mut api = api!();
    a_twice(&mut api).await;
    let values: [(&[u8], _); 7] = [
        (b"l", [false, true, true, false]),
        (b"m", [true, false, false, false]),
        (b"n", [false, true, false, true]),
        (b"m\x00", [false, true, false, true]),
        (b"\xff", [false, true, false, true]),
        (b"", [false, true, true, false]),
        (b"M", [false, true, true, false]),
    ];
    for (value, expected) in values {
        for (operator, expected) in OPERATORS.into_iter().zip(expected) {
            let compare = Compare::value("a", operator, value);
            assert_eq!(holds(&mut api, compare).await, expected, "m {operator:?} {value:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_has_zeros_and_no_value() {
    let mut api = api!();
    a_twice(&mut api).await;
    api.delete("a").await;
    for key in ["never", "a"] {
        assert_number(&mut api, 0, |operator, number| Compare::version(key, operator, number)).await;
        assert_number(&mut api, 0, |operator, number| Compare::create_revision(key, operator, number)).await;
        assert_number(&mut api, 0, |operator, number| Compare::mod_revision(key, operator, number)).await;
        assert_number(&mut api, 0, |operator, number| Compare::lease(key, operator, number)).await;
        for (operator, value) in OPERATORS.into_iter().flat_map(|operator| [(operator, ""), (operator, "x")])
        {
            let compare = Compare::value(key, operator, value);
            assert!(!holds(&mut api, compare).await, "{key} {operator:?} {value:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_value_is_a_value() {
    let mut api = api!();
    api.put("a", "").await;
    let expected = [true, false, false, false];
    for (operator, expected) in OPERATORS.into_iter().zip(expected) {
        assert_eq!(holds(&mut api, Compare::value("a", operator, "")).await, expected, "{operator:?}");
    }
}

#[tokio::test]
async fn a_comparison_of_a_range_is_one_of_each_key_in_it() {
    let mut api = api!();
    api.put("p/1", "1").await;
    api.put("p/2", "2").await;
    api.put("q", "9").await;
    api.put("p/2", "2").await;
    let base = api.base;
    let value = |operator, value: &str| Compare::value("p/", operator, value).with_prefix();
    let expected = [
        (value(CompareOp::Greater, "0"), true),
        (value(CompareOp::Greater, "1"), false),
        (value(CompareOp::Less, "3"), true),
        (value(CompareOp::Equal, "1"), false),
        (value(CompareOp::NotEqual, "1"), false),
        (value(CompareOp::NotEqual, "3"), true),
        (Compare::value("p/", CompareOp::Less, "3").with_range("r"), false),
        (Compare::value("p/", CompareOp::Less, "3").with_range([0]), false),
        (Compare::value("p/", CompareOp::Less, "2").with_range("p/2"), true),
        (Compare::version("p/", CompareOp::Greater, 0).with_prefix(), true),
        (Compare::version("p/", CompareOp::Equal, 1).with_prefix(), false),
        (Compare::create_revision("p/", CompareOp::Less, base + 3).with_prefix(), true),
        (Compare::mod_revision("p/", CompareOp::Less, base + 3).with_prefix(), false),
        (Compare::lease("p/", CompareOp::Equal, 0).with_prefix(), true),
    ];
    for (compare, expected) in expected {
        assert_eq!(holds(&mut api, compare.clone()).await, expected, "{compare:?}");
    }
}

#[tokio::test]
async fn a_range_without_keys_compares_as_one_missing_key() {
    let mut api = api!();
    api.put("a", "1").await;
    let expected = [
        (Compare::version("p/", CompareOp::Equal, 0).with_prefix(), true),
        (Compare::version("p/", CompareOp::Greater, 0).with_prefix(), false),
        (Compare::create_revision("p/", CompareOp::Equal, 0).with_prefix(), true),
        (Compare::mod_revision("p/", CompareOp::Less, 1).with_prefix(), true),
        (Compare::lease("p/", CompareOp::Equal, 0).with_prefix(), true),
        (Compare::value("p/", CompareOp::NotEqual, "1").with_prefix(), false),
        (Compare::version("z", CompareOp::Equal, 0).with_range("b"), true),
    ];
    for (compare, expected) in expected {
        assert_eq!(holds(&mut api, compare.clone()).await, expected, "{compare:?}");
    }
}
