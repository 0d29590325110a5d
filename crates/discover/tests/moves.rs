//! The examples lose no request while their server moves: announced first, or killed without a word.

#![cfg(all(feature = "file", feature = "ring"))]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use waypost_servers::{Http, Memcached, Postgres, Redis, Scratch, Storage, require, wait_until};

#[allow(dead_code, reason = "it has a main of its own")]
#[path = "../examples/http.rs"]
mod http;
#[allow(dead_code, reason = "it has a main of its own")]
#[path = "../examples/memcache.rs"]
mod memcache_pages;
#[allow(dead_code, reason = "it has a main of its own")]
#[path = "../examples/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "it has a main of its own")]
#[path = "../examples/redis.rs"]
mod redis_counter;

const SOON: Duration = Duration::from_secs(60);

/// A registry that is a file.
struct Registry {
    scratch: Scratch,
}

impl Registry {
    fn of(records: &[(&str, String)]) -> Registry {
        let registry = Registry { scratch: Scratch::new("registry", Storage::Memory) };
        registry.set(records);
        registry
    }

    /// Replaces everything at once.
    fn set(&self, records: &[(&str, String)]) {
        let services: BTreeMap<&str, &String> =
            records.iter().map(|(name, record)| (*name, record)).collect();
        let mut tree = json!({});
        for (name, record) in services {
            let (service, id) = name.split_once('/').expect("SERVICE/ID");
            tree["services"][service][id] = record.clone().into();
        }
        fs::write(self.file("new"), tree.to_string()).expect("there is room");
        fs::rename(self.file("new"), self.file("json")).expect("it is there");
    }

    fn url(&self) -> String {
        format!("file://{}", self.file("json").display())
    }

    fn file(&self, end: &str) -> PathBuf {
        self.scratch.join(format!("services.{end}"))
    }
}

/// Ends the program when the test does, however it ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Lets `program` serve before, during and after `moves`, and gives what it answered; it must not fail.
fn answers_through(
    program: impl FnOnce(&mut dyn FnMut(String) -> bool) -> Result<(), Box<dyn Error>> + Send,
    moves: impl FnOnce(),
) -> usize {
    let (count, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let stop = Stop(&is_over);
        let serving = scope.spawn(|| {
            let mut answered = |_| {
                count.fetch_add(1, Ordering::SeqCst);
                !is_over.load(Ordering::SeqCst)
            };
            program(&mut answered).map_err(|error| error.to_string())
        });
        let more = || {
            let enough = count.load(Ordering::SeqCst) + 100;
            wait_until("a hundred answers, or an error", SOON, || {
                serving.is_finished() || count.load(Ordering::SeqCst) >= enough
            });
        };
        more();
        moves();
        more();
        drop(stop);
        assert_eq!(serving.join().expect("it does not panic"), Ok(()), "no request is lost");
    });
    count.into_inner()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn primary(postgres: &Postgres) -> String {
    json!({ "address": postgres.endpoint(), "role": "primary" }).to_string()
}

#[test]
fn t3_a_postgres_that_is_killed_and_replaced_costs_no_request() {
    require!("pg_ctlcluster", "setpriv");
    let (old, new) = (Postgres::start(), Postgres::start());
    let registry = Registry::of(&[("db/1", primary(&old))]);
    let url = registry.url();
    let crash = || {
        old.kill();
        registry.set(&[("db/2", primary(&new))]);
    };
    assert!(answers_through(|answered| block_on(postgres::run(&url, answered)), crash) >= 200);
}

#[test]
fn t4_a_postgres_whose_successor_is_announced_before_it_stops_costs_no_request() {
    require!("pg_ctlcluster", "setpriv");
    let (old, new) = (Postgres::start(), Postgres::start());
    let replica = primary(&new).replace("primary", "replica");
    let registry = Registry::of(&[("db/1", primary(&old)), ("db/2", replica)]);
    let url = registry.url();
    let fail_over = || {
        registry.set(&[("db/2", primary(&new))]);
        old.stop();
    };
    assert!(answers_through(|answered| block_on(postgres::run(&url, answered)), fail_over) >= 200);
}

#[test]
fn a_redis_that_is_killed_and_replaced_costs_no_request() {
    require!("redis-server", "setpriv");
    let (old, new) = (Redis::start(), Redis::start());
    let registry = Registry::of(&[("redis/1", old.endpoint())]);
    let url = registry.url();
    let crash = || {
        old.kill();
        registry.set(&[("redis/1", new.endpoint())]);
    };
    assert!(answers_through(|answered| block_on(redis_counter::run(&url, answered)), crash) >= 200);
}

#[test]
fn a_web_service_whose_instance_dies_unannounced_and_is_replaced_later_costs_no_request() {
    let [dying, staying, new] = ["dying", "staying", "new"].map(Http::start);
    let registry = Registry::of(&[("web/1", dying.endpoint()), ("web/2", staying.endpoint())]);
    let url = registry.url();
    let crash = || {
        dying.stop();
        let before = staying.requests();
        wait_until("the other one to serve alone", SOON, || staying.requests() > before + 50);
        registry.set(&[("web/2", staying.endpoint()), ("web/3", new.endpoint())]);
        wait_until("the new one to serve", SOON, || new.requests() > 0);
    };
    assert!(answers_through(|answered| block_on(http::run(&url, answered)), crash) >= 200);
}

#[test]
fn a_pool_of_caches_that_loses_one_and_gets_another_costs_no_request() {
    require!("memcached", "setpriv");
    let [dying, staying, new] = [(); 3].map(|()| Memcached::start());
    let registry = Registry::of(&[("cache/1", dying.endpoint()), ("cache/2", staying.endpoint())]);
    let url = registry.url();
    let (kept, is_moved) = (AtomicUsize::new(0), AtomicBool::new(false));
    let program = |answered: &mut dyn FnMut(String) -> bool| {
        memcache_pages::run(&url, |answer| {
            if answer.ends_with(", kept") && is_moved.load(Ordering::SeqCst) {
                kept.fetch_add(1, Ordering::SeqCst);
            } else {
                kept.store(0, Ordering::SeqCst);
            }
            answered(answer)
        })
    };
    let crash = || {
        dying.kill();
        registry.set(&[("cache/2", staying.endpoint()), ("cache/3", new.endpoint())]);
        is_moved.store(true, Ordering::SeqCst);
        // A hundred pages are asked for in turns: so many in a row are all.
        wait_until("all pages to be kept again", SOON, || kept.load(Ordering::SeqCst) >= 100);
    };
    assert!(answers_through(program, crash) >= 200);
}
