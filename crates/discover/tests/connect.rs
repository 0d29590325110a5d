//! Connecting: what is tried in which order, when, and what an error says.

use std::cell::RefCell;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use waypost_discover::{ConnectError, Discovery, GaveUp, Handle, Instance, Settings};
use waypost_testkit::Memory;

/// A service of these ports, found in a store in memory.
async fn service(ports: &[u16]) -> (Memory, Handle) {
    let memory = Memory::new(1);
    for port in ports {
        memory.put(&format!("/services/db/{port}"), format!("h:{port}"));
    }
    let settings = Settings { seed: Some(7), ..Settings::default() };
    let db = Discovery::over(Arc::new(memory.clone()), settings).service("db");
    db.ready().await.expect("the store answers");
    (memory, db)
}

/// Connects to what is alive, and takes down what was tried.
async fn connect(db: &Handle, alive: &[u16], tried: &RefCell<Vec<u16>>) -> Result<u16, ConnectError<String>> {
    let connect = |instance: Instance| async move {
        let port = instance.endpoint.port();
        tried.borrow_mut().push(port);
        if alive.contains(&port) { Ok(port) } else { Err("refused".to_owned()) }
    };
    db.connect_with(connect).await
}

#[tokio::test(start_paused = true)]
async fn an_address_that_moved_is_found_without_a_pause_even_before_the_watch_tells() {
    let (memory, db) = service(&[1]).await;
    memory.mute_watches();
    memory.delete("/services/db/1");
    memory.put("/services/db/2", "h:2");
    let (begun, tried) = (Instant::now(), RefCell::default());
    assert_eq!(connect(&db, &[2], &tried).await.expect("it moved"), 2);
    assert_eq!((tried.take(), begun.elapsed()), (vec![1, 2], Duration::ZERO));

    assert_eq!(connect(&db, &[2], &tried).await.expect("it moved"), 2);
    assert_eq!(tried.take(), [2], "the dead one is not tried again, though it is all that is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_connect_may_be_a_task_of_its_own() {
    let (_memory, db) = service(&[1]).await;
    let connect = |instance: Instance| async move { Ok::<_, String>(instance.endpoint.port()) };
    let task = tokio::spawn(async move { db.connect_with(connect).await.map_err(|error| error.to_string()) });
    assert_eq!(task.await.expect("it does not panic"), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_died_is_tried_once_and_then_last() {
    let (_memory, db) = service(&[1, 2, 3]).await;
    let tried = RefCell::default();
    for _ in 0..50 {
        connect(&db, &[2, 3], &tried).await.expect("two are alive");
    }
    let dead = tried.take().iter().filter(|port| **port == 1).count();
    assert!(dead <= 1, "tried {dead} times");
    assert!((0..50).all(|_| db.pick().is_some_and(|picked| picked.endpoint.port() != 1)));
}

#[tokio::test(start_paused = true)]
async fn a_change_in_the_registry_ends_the_pause() {
    let (memory, db) = service(&[1]).await;
    let (begun, tried) = (Instant::now(), RefCell::default());
    let outage = Duration::from_millis(30);
    let replaced = async {
        sleep(outage).await;
        memory.put("/services/db/2", "h:2");
    };
    let (connected, ()) = tokio::join!(connect(&db, &[2], &tried), replaced);
    assert_eq!(connected.expect("it was replaced"), 2);
    assert_eq!((tried.take(), begun.elapsed()), (vec![1, 2], outage), "a pause is 50 ms at least");
}

#[tokio::test(start_paused = true)]
async fn t5_all_dead_gives_up_within_the_budget_and_names_each_endpoint_and_reason() {
    let (_memory, db) = service(&[1, 2]).await;
    let (begun, tried) = (Instant::now(), RefCell::default());
    let error = connect(&db, &[], &tried).await.expect_err("all are dead");
    assert!(begun.elapsed() <= Duration::from_secs(2));
    let text = error.to_string();
    assert!(text.starts_with("db: no connection after ") && error.tried.len() >= 5, "{text}");
    assert!(text.contains("h:1: refused") && text.contains("h:2: refused"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn t6_a_peer_that_accepts_and_never_speaks_takes_no_longer_than_an_attempt_may() {
    let (_memory, db) = service(&[1]).await;
    let begun = Instant::now();
    let silent = db.connect_with(|_| pending::<Result<(), String>>()).await.expect_err("it never speaks");
    assert_eq!(begun.elapsed(), Duration::from_secs(2), "the budget");
    assert!(silent.to_string().contains("h:1: no answer within 1.0s"), "{silent}");
    assert_eq!(silent.gave_up, GaveUp::Budget);
}

#[tokio::test(start_paused = true)]
async fn t5_an_error_that_no_other_attempt_mends_is_not_tried_again() {
    let (_memory, db) = service(&[1, 2]).await;
    let denied = |_: Instance| async { Err::<(), _>("wrong password") };
    let error = db.connect_while(|why| *why != "wrong password", denied).await.expect_err("it is denied");
    assert_eq!((error.gave_up, error.tried.len()), (GaveUp::Final, 1));
    let is_picked =
        |port: u16| (0..50).any(|_| db.pick().is_some_and(|picked| picked.endpoint.port() == port));
    assert!(is_picked(1) && is_picked(2), "the server is well");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_says_nothing_is_not_waited_for_longer_than_it_may_take() {
    let (memory, db) = service(&[1, 2]).await;
    memory.silence();
    let (begun, tried) = (Instant::now(), RefCell::default());
    let alive = [db.pick().expect("there are two").endpoint.port()];
    connect(&db, &alive, &tried).await.expect("one is alive");
    assert!(begun.elapsed() <= Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_own_zone_is_preferred_and_weight_0_gets_nothing() {
    let memory = Memory::new(1);
    for (id, zone, weight) in [(1, "a", 1), (2, "b", 9), (3, "a", 0)] {
        let record = format!(r#"{{"address": "h:{id}", "zone": "{zone}", "weight": {weight}}}"#);
        memory.put(&format!("/services/db/{id}"), record);
    }
    let settings = Settings { zone: Some("a".to_owned()), ..Settings::default() };
    let db = Discovery::over(Arc::new(memory.clone()), settings).service("db");
    db.ready().await.expect("the store answers");
    let tried = RefCell::default();
    assert_eq!(connect(&db, &[1, 2, 3], &tried).await.expect("it is near"), 1);
    assert_eq!(connect(&db, &[2, 3], &tried).await.expect("it is far"), 2);
    assert_eq!(tried.take(), [1, 1, 2]);
}
