//! Keys of any bytes, read in pages at one revision, and writes that undo nobody else's.

use std::sync::atomic::{AtomicUsize, Ordering};

use waypost_backend::ErrorKind;
use waypost_backend::etcd::{Guarded, GuardedPut};
use waypost_servers::{Etcd, require};

use crate::{prefixes, store};

/// More than one page.
fn fill(etcd: &Etcd) -> i64 {
    etcd.put_all((0..300).map(|number| (format!("/k/{number:03}"), "old")))
}

fn put(key: &str, seen: u64) -> GuardedPut {
    GuardedPut { key: key.into(), value: "new".into(), seen }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_of_one_revision() {
    require!("etcd");
    let etcd = Etcd::start();
    let revision = fill(&etcd);
    let pages = AtomicUsize::new(0);
    let write = |read: usize, total: usize| {
        pages.fetch_add(1, Ordering::Relaxed);
        assert!(read <= total && total == 300, "{read} of {total}");
        etcd.put("/k/299", "new");
        etcd.put("/k/299a", "new");
        etcd.delete("/k/298");
    };
    let read = store(etcd.url()).read_raw(&prefixes(&["/k"]), &write).await.unwrap();
    assert!(pages.into_inner() > 2, "there are pages for something to come between");
    assert_eq!((read.position.revision, read.entries.len()), (revision.unsigned_abs(), 300));
    assert!(read.entries.values().all(|entry| entry.value.as_bytes() == b"old"));
    assert!(read.entries.contains_key(&b"/k/298"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_compacted_meanwhile_is_lost() {
    require!("etcd");
    let etcd = Etcd::start();
    fill(&etcd);
    let compact = |_: usize, _: usize| {
        let revision = etcd.put("/elsewhere", "x");
        etcd.compact(revision);
    };
    let error = store(etcd.url()).read_raw(&prefixes(&["/k"]), &compact).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn guarded_puts_are_written_all_or_none() {
    require!("etcd");
    let etcd = Etcd::start();
    let seen = etcd.put("/a", "old").unsigned_abs();
    let store = store(etcd.url());

    assert_eq!(store.put_guarded(&[put("/a", seen), put("/b", 0)]).await.unwrap(), Guarded::Written);
    assert_eq!((etcd.get("/a").as_deref(), etcd.get("/b").as_deref()), (Some("new"), Some("new")));
    let written = etcd.revision().unsigned_abs();

    let Guarded::Refused(found) = store.put_guarded(&[put("/a", seen), put("/c", 0)]).await.unwrap() else {
        panic!("/a was written since it was seen");
    };
    let revisions: Vec<Option<u64>> = found.iter().map(|it| it.as_ref().map(|it| it.revision)).collect();
    assert_eq!(revisions, [Some(written), None]);
    assert_eq!((etcd.get("/c"), etcd.revision().unsigned_abs()), (None, written), "nothing was written");
}
