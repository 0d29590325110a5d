//! The store in memory keeps the contract, and breaks as it is told.
#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::StreamExt;
use waypost_backend::{Backend, ErrorKind};
use waypost_model::{Change, Prefix};
use waypost_testkit::Memory;
use waypost_testkit::contract::{self, Content, Harness, Store, Writer};

#[derive(Debug)]
struct InMemory;

#[derive(Debug)]
struct Writing(Memory);

impl Harness for InMemory {
    fn start(&self, content: Content) -> BoxFuture<'_, Store> {
        let memory = Memory::new(7);
        for (key, value) in content {
            memory.put(key.as_str(), value);
        }
        let store = Store {
            backend: Arc::new(memory.clone()),
            writer: Some(Arc::new(Writing(memory.clone()))),
            registry: Some(Arc::new(memory)),
        };
        async { store }.boxed()
    }
}

impl Writer for Writing {
    fn write(&self, changes: Vec<Change>) -> BoxFuture<'_, ()> {
        for Change { key, entry } in changes {
            match entry {
                Some(entry) => self.0.put(key.as_str(), entry.value),
                None => self.0.delete(key.as_str()),
            };
        }
        async {}.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_keeps_the_contract() {
    contract::run(&InMemory).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_cut_off_refuses_and_breaks_its_watches() {
    let memory = Memory::new(7);
    let mut watch = memory.watch(&[Prefix::all()], memory.position());
    memory.cut();
    assert_eq!(watch.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(memory.snapshot(&[Prefix::all()]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    memory.heal();
    memory.snapshot(&[Prefix::all()]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_is_given_up_after_a_while() {
    let memory = Memory::new(7);
    let mut watch = memory.watch(&[Prefix::all()], memory.position());
    memory.silence();
    assert_eq!(watch.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(memory.snapshot(&[Prefix::all()]).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_watch_cannot_begin_before_a_compaction_and_outlives_one() {
    let memory = Memory::new(7);
    let before = memory.put("/a", "1");
    let mut open = memory.watch(&[Prefix::all()], memory.position());
    assert!(futures::poll!(open.next()).is_pending());
    memory.put("/a", "2");
    open.next().await.unwrap().unwrap();
    memory.compact();
    let mut late = memory.watch(&[Prefix::all()], before);
    assert_eq!(late.next().await.unwrap().unwrap_err().kind(), ErrorKind::Lost);
    memory.put("/a", "3");
    assert_eq!(open.next().await.unwrap().unwrap().changes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hidden_changes_are_seen_by_new_watches_only() {
    let memory = Memory::new(7);
    let start = memory.position();
    let mut open = memory.watch(&[Prefix::all()], start);
    assert!(futures::poll!(open.next()).is_pending());
    memory.hide_changes(1);
    memory.put("/a", "1");
    memory.put("/b", "1");
    assert_eq!(open.next().await.unwrap().unwrap().changes[0].key.as_str(), "/b");
    let mut new = memory.watch(&[Prefix::all()], start);
    assert_eq!(new.next().await.unwrap().unwrap().changes[0].key.as_str(), "/a");
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_is_at_its_old_revision_under_the_same_identity() {
    let memory = Memory::new(7);
    memory.put("/a", "1");
    let (backup, then) = (memory.backup(), memory.position());
    memory.put("/a", "2");
    let later = memory.position();
    memory.restore(&backup);
    assert_eq!(memory.position(), then);
    let mut watch = memory.watch(&[Prefix::all()], later);
    assert_eq!(watch.next().await.unwrap().unwrap_err().kind(), ErrorKind::Lost);
}
