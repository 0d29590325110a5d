//! Snapshots and audits.

use waypost_model::Value;

use super::{Content, Harness, at, check, content, delete, key, prefixes, put, values};

pub(super) async fn run(harness: &dyn Harness) {
    check!(
        harness,
        no_keys_are_an_empty_snapshot,
        a_prefix_holds_itself_and_what_is_below,
        several_prefixes_give_each_key_once,
        a_value_is_what_was_written,
        many_keys_are_all_there,
        an_audit_agrees_with_the_store,
    );
}

async fn no_keys_are_an_empty_snapshot(harness: &dyn Harness) {
    let empty = harness.start(Content::new()).await;
    for asked in [&["/"][..], &["/none"], &[]] {
        assert!(empty.snapshot(&prefixes(asked)).await.entries.is_empty(), "{asked:?}");
    }
    let store = harness.start(content(&[("/app/a", "1")])).await;
    assert!(store.snapshot(&prefixes(&["/none"])).await.entries.is_empty());
    assert!(store.snapshot(&[]).await.entries.is_empty(), "nothing was asked for");
}

async fn a_prefix_holds_itself_and_what_is_below(harness: &dyn Harness) {
    let (app, db) = (at("/app", harness), at("/app/db", harness));
    let inside = content(&[(&app, "1"), (&db, "2"), ("/app/db/host", "3")]);
    let outside = content(&[("/app-x/a", "4"), ("/apple", "5"), ("/ap", "6"), ("/b/app/c", "7")]);
    let all: Content = inside.clone().into_iter().chain(outside).collect();
    let store = harness.start(all.clone()).await;
    assert_eq!(values(&store.snapshot(&prefixes(&["/app"])).await), inside);
    assert_eq!(values(&store.snapshot(&prefixes(&["/"])).await), all);
    assert_eq!(
        values(&store.snapshot(&prefixes(&["/app/db/host"])).await),
        content(&[("/app/db/host", "3")])
    );
}

async fn several_prefixes_give_each_key_once(harness: &dyn Harness) {
    let store = harness
        .start(content(&[("/a/x", "1"), ("/a/y", "2"), ("/b", "3"), ("/c", "4"), ("/d/z", "5")]))
        .await;
    let asked = prefixes(&["/a", "/a/y", "/c", "/d"]);
    let expected = content(&[("/a/x", "1"), ("/a/y", "2"), ("/c", "4"), ("/d/z", "5")]);
    assert_eq!(values(&store.snapshot(&asked).await), expected);
}

async fn a_value_is_what_was_written(harness: &dyn Harness) {
    let limits = harness.limits();
    let mut written = content(&[
        ("/v/empty", ""),
        ("/v/text", "ü – 漢"),
        ("/v/lines", "one\ntwo\n"),
        ("/v/space", " x "),
        ("/v/number", "007"),
        ("/v/quotes", "\"'\\{{}}"),
    ]);
    written.insert(key("/v/big"), Value::from("x".repeat(limits.largest_value)));
    if limits.any_bytes {
        written.insert(key("/v/bytes"), Value::from((0..=255).collect::<Vec<u8>>()));
    }
    let store = harness.start(written.clone()).await;
    let asked = prefixes(&["/v"]);
    assert!(values(&store.snapshot(&asked).await) == written, "a value differs from what was written");
}

async fn many_keys_are_all_there(harness: &dyn Harness) {
    let count = harness.limits().many_keys;
    let numbered = |number: usize| (key(&format!("/many/key{number:06}")), Value::from(number.to_string()));
    let mut all: Content = (0..count).map(numbered).collect();
    let store = harness.start(all.clone()).await;
    let asked = prefixes(&["/many"]);
    let mut reader = store.reader(&asked).await;
    assert!(reader.content == all, "{} keys of {count}", reader.content.len());

    let Some(writer) = &store.writer else { return };
    reader.watch(&store);
    writer.write(vec![put("/many/key000007", "changed")]).await;
    let batch = reader.next().await;
    assert_eq!(batch.changes.len(), 1, "only what changed");
    all.insert(key("/many/key000007"), Value::from("changed"));
    assert!(reader.content == all);
}

async fn an_audit_agrees_with_the_store(harness: &dyn Harness) {
    let app = at("/app", harness);
    let store =
        harness.start(content(&[(&app, "1"), ("/app/a", "1"), ("/app/b", "1"), ("/apple", "1")])).await;
    let asked = prefixes(&["/app"]);
    let at_first = store.snapshot(&asked).await;
    let audit = async |since| {
        let audit = store.backend.audit(&asked, since).await;
        audit.unwrap_or_else(|error| panic!("no audit: {}", error.chain()))
    };
    // A store without such a question never has one.
    let Some(found) = audit(at_first.position).await else { return };
    assert_eq!((found.keys, found.is_newer), (3, false));
    assert!(!found.position.is_before(&at_first.position));

    let Some(writer) = &store.writer else { return };
    writer.write(vec![put("/apple", "2"), put("/b", "1")]).await;
    let found = audit(at_first.position).await.expect("an audit as before");
    assert_eq!((found.keys, found.is_newer), (3, false), "writes elsewhere");

    writer.write(vec![delete("/app/b")]).await;
    let found = audit(at_first.position).await.expect("an audit as before");
    assert_eq!((found.keys, found.is_newer), (2, false), "a deletion shows in the number");

    writer.write(vec![put("/app/a", "1")]).await;
    let found = audit(at_first.position).await.expect("an audit as before");
    assert_eq!((found.keys, found.is_newer), (2, true), "the same value is a write too");
    let later = store.snapshot(&asked).await;
    let found = audit(later.position).await.expect("an audit as before");
    assert_eq!((found.keys, found.is_newer), (2, false));
}
