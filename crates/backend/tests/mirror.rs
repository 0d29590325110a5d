//! The Mirror against a store that breaks on command, in simulated time.
#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_backend::{Continuity, ErrorKind, MirrorSettings};
use waypost_model::{Key, Prefix};
use waypost_testkit::contract::Content;
use waypost_testkit::{Backup, Memory, News, Reader};

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> MirrorSettings {
    MirrorSettings {
        audit_every: 10 * SECOND,
        reread_every: 120 * SECOND,
        grace: SECOND,
        retry: (SECOND / 10, 2 * SECOND),
        ..MirrorSettings::default()
    }
}

fn follow(memory: &Memory, prefixes: &[&str]) -> Reader {
    Reader::follow(Arc::new(memory.clone()), prefixes, settings())
}

/// What the store holds below these prefixes.
fn truth(memory: &Memory, prefixes: &[&str]) -> Content {
    let mut content = memory.content();
    content.retain(|key, _| prefixes.iter().any(|path| Prefix::new(path).contains(key)));
    content
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A store with three keys, and a reader that has them.
async fn followed() -> (Memory, Reader) {
    let memory = Memory::new(7);
    for name in ["/app/a", "/app/b", "/app/c", "/other"] {
        memory.put(name, "1");
    }
    let mut reader = follow(&memory, &["/app"]);
    let first = reader.changed().await;
    assert_eq!((first.changed.len(), first.continuity), (3, Continuity::First));
    // The watch is open once it has delivered something.
    memory.put("/app/a", "open");
    reader.changed().await;
    (memory, reader)
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_as_they_come_and_only_those_that_matter() {
    let (memory, mut reader) = followed().await;
    memory.put("/other", "2");
    memory.put("/app/b", "1");
    memory.delete("/app/c");
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (keys(&["/app/c"]), Continuity::Continued));
    assert_eq!(reader.shown(), truth(&memory, &["/app"]));
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_the_store_was_cut_off_is_told_exactly_once() {
    let (memory, mut reader) = followed().await;
    memory.cut();
    let error = reader.unreachable().await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(reader.shown().len(), 3, "the last view stays");
    memory.delete("/app/a");
    memory.put("/app/d", "1");
    memory.put("/app/b", "2");
    memory.put("/app/b", "1");
    memory.compact();
    memory.heal();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (keys(&["/app/a", "/app/d"]), Continuity::Continued));
}

#[tokio::test(start_paused = true)]
async fn a_compaction_that_overtakes_the_watch_costs_a_read_and_no_word() {
    let (memory, mut reader) = followed().await;
    memory.mute_watches();
    memory.delete("/app/a");
    memory.compact();
    memory.reset_connections();
    let error = reader.unreachable().await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(reader.changed().await.changed, keys(&["/app/a"]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_is_noticed_and_read_when_it_is_back() {
    let (memory, mut reader) = followed().await;
    let silent_since = Instant::now();
    memory.silence();
    reader.unreachable().await;
    assert!(silent_since.elapsed() <= 6 * SECOND, "{:?}", silent_since.elapsed());
    memory.delete("/app/a");
    memory.heal();
    let back_since = Instant::now();
    assert_eq!(reader.changed().await.changed, keys(&["/app/a"]));
    assert!(back_since.elapsed() <= 3 * SECOND, "{:?}", back_since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_delivers_nothing_is_found_out_by_the_audit() {
    for change in [Memory::delete as fn(&Memory, &str) -> _, |memory, key| memory.put(key, "new")] {
        let (memory, mut reader) = followed().await;
        memory.mute_watches();
        change(&memory, "/app/a");
        let since = Instant::now();
        let news = reader.changed().await;
        assert_eq!((news.changed, news.continuity), (keys(&["/app/a"]), Continuity::Continued));
        assert!(since.elapsed() <= 12 * SECOND, "{:?}", since.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_went_back_is_recognised_with_and_without_a_broken_connection() {
    for is_broken in [true, false] {
        let (memory, mut reader) = followed().await;
        let (backup, was) = (memory.backup(), memory.position());
        memory.put("/app/d", "1");
        memory.delete("/app/b");
        reader.reach(&truth(&memory, &["/app"])).await;
        let held = memory.position();
        memory.restore(&backup);
        if is_broken {
            memory.reset_connections();
        }
        let news = reader.changed().await;
        assert_eq!(news.changed, keys(&["/app/b", "/app/d"]));
        assert_eq!(news.continuity, Continuity::WentBack { was: held, is: was });
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_emptied_is_recognised_with_and_without_a_broken_connection() {
    for is_broken in [true, false] {
        let (memory, mut reader) = followed().await;
        memory.wipe();
        if is_broken {
            memory.reset_connections();
        }
        let news = reader.changed().await;
        assert_eq!(news.changed.len(), 3);
        assert!(matches!(news.continuity, Continuity::WentBack { .. }), "{:?}", news.continuity);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_went_back_and_was_written_to_since_is_recognised() {
    let (memory, mut reader) = followed().await;
    let backup = memory.backup();
    memory.put("/app/b", "seen");
    reader.changed().await;
    memory.cut();
    reader.unreachable().await;
    memory.restore(&backup);
    memory.put("/app/b", "another");
    memory.put("/other", "to be past the revision");
    memory.heal();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (keys(&["/app/b"]), Continuity::Rewritten));
}

#[tokio::test(start_paused = true)]
async fn another_store_is_recognised() {
    let (memory, mut reader) = followed().await;
    let was = memory.position().store;
    memory.become_another();
    memory.reset_connections();
    let news = reader.changed().await;
    let is = memory.position().store;
    assert_eq!((news.changed, news.continuity), (vec![], Continuity::OtherStore { was, is }));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_is_asked_again() {
    let (memory, mut reader) = followed().await;
    memory.deny();
    assert_eq!(reader.unreachable().await.kind(), ErrorKind::Denied);
    memory.delete("/app/a");
    memory.heal();
    assert_eq!(reader.changed().await.changed, keys(&["/app/a"]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_again_is_told_of_even_if_nothing_has_changed() {
    let (memory, mut reader) = followed().await;
    memory.reset_connections();
    reader.unreachable().await;
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (vec![], Continuity::Continued));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_late_is_waited_for() {
    let memory = Memory::new(7);
    memory.cut();
    let mut reader = follow(&memory, &["/"]);
    reader.unreachable().await;
    assert!(reader.mirror().view().is_none(), "no answer is not an empty store");
    memory.heal();
    let news = reader.changed().await;
    assert_eq!((news.changed, news.continuity), (vec![], Continuity::First));
    assert!(reader.mirror().view().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_mirror_ends_with_its_updates() {
    let (memory, reader) = followed().await;
    let mirror = reader.mirror().clone();
    drop(reader);
    memory.delete("/app/a");
    tokio::time::sleep(1000 * SECOND).await;
    assert_eq!(mirror.view().unwrap().len(), 3);
}

/// Random writes and faults. `WAYPOST_SEED` runs one that failed again, `WAYPOST_SEEDS` another number of them.
#[test]
fn whatever_happens_the_view_ends_as_the_store_is_and_nothing_is_told_wrong() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("WAYPOST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WAYPOST_SEEDS").unwrap_or(300),
    };
    for seed in seeds {
        eprintln!("WAYPOST_SEED={seed}");
        // The Mirror draws its waits from the thread's generator.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(simulate(seed));
    }
}

async fn simulate(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let memory = Memory::new(seed);
    let may_replace_history = seed.is_multiple_of(2);
    let prefixes = ["/app", "/b/x", "/b"];
    let mut reader = follow(&memory, &prefixes);
    let mut backups = vec![memory.backup()];
    for _ in 0..random.usize(10..200) {
        step(&memory, &mut random, may_replace_history, &mut backups);
        if random.u8(..4) > 0 {
            tokio::time::sleep(SECOND.mul_f64(random.f64() * random.f64() * 20.0)).await;
        }
        // Sometimes the reader is slow, and the Mirror has to wait for it.
        if random.u8(..4) > 0 {
            check(&reader.drain(), may_replace_history);
        }
    }

    memory.heal();
    let end = Instant::now() + 2 * settings().reread_every;
    while Instant::now() < end {
        tokio::time::sleep(SECOND).await;
        reader.drain();
    }
    let truth = truth(&memory, &prefixes);
    assert_eq!(*reader.content(), truth, "what was told ends as the store is");
    assert_eq!(reader.shown(), truth, "and so does the view");
    tokio::time::sleep(3 * settings().reread_every).await;
    assert!(reader.drain().is_empty(), "nothing happens, nothing is told");
}

fn step(memory: &Memory, random: &mut fastrand::Rng, may_replace_history: bool, backups: &mut Vec<Backup>) {
    let names = ["/app", "/app/a", "/app/b", "/apple", "/b/x/1", "/b/y", "/b-x", "/c"];
    let name = names[random.usize(..names.len())];
    let value = ["1", "2", "3"][random.usize(..3)];
    match random.u8(..100) {
        0..45 => drop(memory.put(name, value)),
        45..65 => drop(memory.delete(name)),
        65..70 => memory.cut(),
        70..73 => memory.silence(),
        73..75 => memory.deny(),
        75..85 => memory.heal(),
        85..88 => memory.mute_watches(),
        88..91 => memory.reset_connections(),
        91..94 => memory.compact(),
        _ if !may_replace_history => {}
        // To a reader that has later changes, one that it never saw is another history.
        94..96 => memory.hide_changes(random.u64(1..4)),
        96 => backups.push(memory.backup()),
        97 => memory.restore(&backups[random.usize(..backups.len())]),
        98 => memory.wipe(),
        _ => memory.become_another(),
    }
}

/// Without a replaced history none is told of; all keys may be gone though, one by one and unseen.
fn check(told: &[News], may_replace_history: bool) {
    for News { continuity, .. } in told {
        let is_plausible = continuity.is_continued() || *continuity == Continuity::Emptied;
        assert!(is_plausible || may_replace_history, "{continuity:?}");
    }
}
