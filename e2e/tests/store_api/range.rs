//! Range: which keys are found, at which revision, and how much of them is told.

use etcd_client::GetOptions;

use crate::api::{Api, Found, refused};

/// Puts `a` to `e` with the values 1 to 5, at revisions 1 to 5.
async fn letters(api: &mut Api) {
    for (key, value) in ["a", "b", "c", "d", "e"].into_iter().zip(["1", "2", "3", "4", "5"]) {
        api.put(key, value).await;
    }
}

fn found(kvs: &[&str], count: i64, more: bool, revision: i64) -> Found {
    Found { kvs: kvs.iter().map(|kv| (*kv).to_owned()).collect(), count, more, revision }
}

#[tokio::test]
async fn a_new_server_is_empty_at_revision_one() {
    let mut api = new_api!();
    assert_eq!(api.base, 1);
    assert_eq!(api.range("", GetOptions::new().with_all_keys()).await, Ok(found(&[], 0, false, 0)));
    assert_eq!(api.put("a", "1").await, 1);
    assert_eq!(api.get("a").await.unwrap(), "a=1 c1 m1 v1");
    assert_eq!(
        api.range("a", api.at(0)).await,
        Ok(found(&[], 0, false, 1)),
        "nothing was there at revision 1"
    );
}

#[tokio::test]
async fn one_key_is_found_by_its_whole_name() {
    let mut api = api!();
    letters(&mut api).await;
    api.put("bb", "6").await;
    assert_eq!(api.range("b", GetOptions::new()).await, Ok(found(&["b=2 c2 m2 v1"], 1, false, 6)));
    assert_eq!(api.range("ba", GetOptions::new()).await, Ok(found(&[], 0, false, 6)));
}

#[tokio::test]
async fn a_range_has_its_begin_and_not_its_end() {
    let mut api = api!();
    letters(&mut api).await;
    api.put("bb", "6").await;
    let keys = async |api: &mut Api, key: &str, options: GetOptions| {
        let found = api.range(key, options).await.unwrap();
        assert_eq!((found.count, found.more, found.revision), (found.kvs.len() as i64, false, 6));
        found.keys().join("")
    };
    assert_eq!(keys(&mut api, "b", GetOptions::new().with_range("d")).await, "bbbc");
    assert_eq!(keys(&mut api, "b", GetOptions::new().with_prefix()).await, "bbb");
    assert_eq!(keys(&mut api, "c", GetOptions::new().with_from_key()).await, "cde");
    assert_eq!(keys(&mut api, "", GetOptions::new().with_all_keys()).await, "abbbcde");
    assert_eq!(keys(&mut api, "aa", GetOptions::new().with_range("b")).await, "");
    assert_eq!(keys(&mut api, "z", GetOptions::new().with_from_key()).await, "");
}

#[tokio::test]
async fn a_range_that_ends_where_it_begins_or_before_is_empty() {
    let mut api = api!();
    letters(&mut api).await;
    for end in ["b", "c"] {
        let range = api.range("c", GetOptions::new().with_range(end)).await;
        assert_eq!(range, Ok(found(&[], 0, false, 5)), "from c to {end}");
    }
}

#[tokio::test]
async fn a_range_without_a_key_is_refused() {
    let mut api = api!();
    assert_eq!(api.range("", GetOptions::new()).await.unwrap_err(), refused::EMPTY_KEY);
    assert_eq!(api.range("", GetOptions::new().with_range("b")).await.unwrap_err(), refused::EMPTY_KEY);
}

#[tokio::test]
async fn a_limit_holds_keys_back_and_says_so() {
    let mut api = api!();
    letters(&mut api).await;
    let limited = |limit| GetOptions::new().with_all_keys().with_limit(limit);
    assert_eq!(
        api.range("", limited(2)).await,
        Ok(found(&["a=1 c1 m1 v1", "b=2 c2 m2 v1"], 5, true, 5)),
        "the count is of the whole range"
    );
    for limit in [0, -1, 5, 6] {
        let all = api.range("", limited(limit)).await.unwrap();
        assert_eq!((all.kvs.len(), all.count, all.more), (5, 5, false), "with a limit of {limit}");
    }
    let four = api.range("", limited(4)).await.unwrap();
    assert_eq!((four.keys().join(""), four.count, four.more), ("abcd".to_owned(), 5, true));
    let next = api.range("d\0", GetOptions::new().with_from_key().with_limit(4)).await.unwrap();
    assert_eq!((next.keys().join(""), next.count, next.more), ("e".to_owned(), 1, false));
}

#[tokio::test]
async fn a_count_comes_without_keys() {
    let mut api = api!();
    letters(&mut api).await;
    let count = GetOptions::new().with_count_only();
    assert_eq!(api.range("", count.clone().with_all_keys()).await, Ok(found(&[], 5, false, 5)));
    assert_eq!(api.range("b", count.clone().with_range("d")).await, Ok(found(&[], 2, false, 5)));
    assert_eq!(api.range("b", count.clone()).await, Ok(found(&[], 1, false, 5)));
    assert_eq!(api.range("x", count.clone()).await, Ok(found(&[], 0, false, 5)));
    let limited = count.clone().with_all_keys().with_limit(2);
    assert_eq!(api.range("", limited).await, Ok(found(&[], 5, false, 5)), "a limit does not matter");
    let past = count.with_all_keys().with_revision(api.base + 3);
    assert_eq!(api.range("", past).await, Ok(found(&[], 3, false, 5)));
}

#[tokio::test]
async fn keys_come_without_values() {
    let mut api = api!();
    letters(&mut api).await;
    let range = api.range("b", GetOptions::new().with_range("d").with_keys_only()).await;
    assert_eq!(range, Ok(found(&["b= c2 m2 v1", "c= c3 m3 v1"], 2, false, 5)));
    assert_eq!(api.get("b").await.unwrap(), "b=2 c2 m2 v1");
}

#[tokio::test]
async fn the_past_stays_as_it_was() {
    let mut api = api!();
    api.put("a", "1").await;
    api.put("b", "1").await;
    api.put("a", "2").await;
    assert_eq!(api.delete("b").await, 4);
    api.put("c", "1").await;
    api.put("b", "2").await;
    let at: [(i64, &[&str]); 7] = [
        (0, &[]),
        (1, &["a=1 c1 m1 v1"]),
        (2, &["a=1 c1 m1 v1", "b=1 c2 m2 v1"]),
        (3, &["a=2 c1 m3 v2", "b=1 c2 m2 v1"]),
        (4, &["a=2 c1 m3 v2"]),
        (5, &["a=2 c1 m3 v2", "c=1 c5 m5 v1"]),
        (6, &["a=2 c1 m3 v2", "b=2 c6 m6 v1", "c=1 c5 m5 v1"]),
    ];
    for (revision, kvs) in at {
        let past = api.range("a", api.at(revision).with_from_key()).await;
        assert_eq!(past, Ok(found(kvs, kvs.len() as i64, false, 6)), "at {revision}");
    }
    let limited = api.range("a", api.at(2).with_from_key().with_limit(1)).await;
    assert_eq!(limited, Ok(found(&["a=1 c1 m1 v1"], 2, true, 6)));
    assert_eq!(api.range("b", api.at(3)).await, Ok(found(&["b=1 c2 m2 v1"], 1, false, 6)));
    assert_eq!(api.range("b", api.at(5)).await, Ok(found(&[], 0, false, 6)), "deleted");
    assert_eq!(api.range("c", api.at(4)).await, Ok(found(&[], 0, false, 6)), "not there yet");
}

#[tokio::test]
async fn the_future_is_refused_and_below_zero_is_now() {
    let mut api = api!();
    api.put("a", "1").await;
    assert_eq!(api.range("a", api.at(2)).await.unwrap_err(), refused::FUTURE);
    assert_eq!(api.range("x", api.at(1_000)).await.unwrap_err(), refused::FUTURE);
    let count = api.at(2).with_count_only().with_all_keys();
    assert_eq!(api.range("", count).await.unwrap_err(), refused::FUTURE);
    let now = found(&["a=1 c1 m1 v1"], 1, false, 1);
    assert_eq!(api.range("a", GetOptions::new().with_revision(-1)).await, Ok(now));
}

#[tokio::test]
async fn bounds_on_revisions_leave_keys_out_and_not_out_of_the_count() {
    let mut api = api!();
    letters(&mut api).await;
    api.put("b", "6").await;
    api.put("a", "7").await;
    // a: created 1, modified 7; b: 2, 6; c: 3, 3; d: 4, 4; e: 5, 5.
    let all = || GetOptions::new().with_all_keys();
    let base = api.base;
    let expected = [
        (all().with_min_mod_revision(base + 5), "abe"),
        (all().with_max_mod_revision(base + 4), "cd"),
        (all().with_min_mod_revision(base + 4).with_max_mod_revision(base + 6), "bde"),
        (all().with_min_create_revision(base + 4), "de"),
        (all().with_max_create_revision(base + 2), "ab"),
        (all().with_min_create_revision(base + 2).with_max_create_revision(base + 3), "bc"),
        (all().with_max_create_revision(base + 2).with_max_mod_revision(base + 6), "b"),
        (all().with_min_mod_revision(base + 8), ""),
        (all().with_min_mod_revision(base + 5).with_max_mod_revision(base + 4), ""),
    ];
    for (options, keys) in expected {
        let found = api.range("", options.clone()).await.unwrap();
        assert_eq!(
            (found.keys().join("").as_str(), found.count, found.more),
            (keys, 5, false),
            "{options:?}"
        );
    }

    let limited = all().with_min_mod_revision(base + 5).with_limit(2);
    let found = api.range("", limited).await.unwrap();
    assert_eq!((found.keys().join(""), found.count, found.more), ("ab".to_owned(), 5, true));
    let exactly = all().with_min_mod_revision(base + 5).with_limit(3);
    let found = api.range("", exactly).await.unwrap();
    assert_eq!((found.keys().join(""), found.count, found.more), ("abe".to_owned(), 5, false));
    let past = api.at(5).with_from_key().with_max_mod_revision(base + 2);
    let found = api.range("a", past).await.unwrap();
    assert_eq!((found.keys().join(""), found.count), ("ab".to_owned(), 5), "the keys as they were then");
}

#[tokio::test]
async fn a_count_is_told_whatever_the_bounds() {
    let mut api = api!();
    letters(&mut api).await;
    let options = GetOptions::new().with_all_keys().with_count_only().with_min_mod_revision(api.base + 4);
    assert_eq!(api.range("", options).await, Ok(found(&[], 5, false, 5)));
}

#[tokio::test]
async fn a_serializable_read_is_one_too() {
    let mut api = api!();
    letters(&mut api).await;
    let options = GetOptions::new().with_serializable();
    assert_eq!(api.range("b", options.clone()).await, Ok(found(&["b=2 c2 m2 v1"], 1, false, 5)));
    let future = options.with_revision(api.base + 6);
    assert_eq!(api.range("b", future).await.unwrap_err(), refused::FUTURE);
}

#[tokio::test]
async fn reading_makes_no_revision() {
    let mut api = api!();
    letters(&mut api).await;
    for _ in 0..3 {
        assert_eq!(api.range("a", GetOptions::new().with_from_key()).await.unwrap().revision, 5);
    }
    assert_eq!(api.put("a", "2").await, 6);
}

#[tokio::test]
async fn a_thousand_keys_come_in_one_answer() {
    let mut api = api!();
    for chunk in 0..10 {
        let puts: Vec<_> = (0..100)
            .map(|number| {
                etcd_client::TxnOp::put(format!("k{:04}", chunk * 100 + number), "v".repeat(1_000), None)
            })
            .collect();
        api.run(puts).await.unwrap();
    }
    let found = api.range("k", GetOptions::new().with_prefix()).await.unwrap();
    assert_eq!((found.kvs.len(), found.count, found.more), (1_000, 1_000, false));
    assert!(found.kvs.is_sorted(), "in the order of their names");
    let page = api.range("k0500", GetOptions::new().with_range("l").with_limit(10)).await.unwrap();
    assert_eq!((page.keys()[9], page.count, page.more), ("k0509", 500, true));
}
