//! What is answered while the registry is away: at the start, and in the middle.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};
use waypost_testkit::Memory;

use crate::client::{Client, settings};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_for_an_hour_at_the_start_is_told_and_waited_for() {
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    memory.cut();
    let client = Client::with(memory, settings());
    sleep(HOUR).await;

    for path in ["/v1/services/db", "/v1/services", "/v1/events", "/v1/keys/app/db"] {
        assert_eq!(client.get(path).await.0, 503, "{path}");
    }
    let health = client.good("/v1/health").await;
    assert_eq!(health, json!({ "status": "starting", "reachable": false, "age_seconds": null, "keys": 0 }));
    let begun = Instant::now();
    assert_eq!(client.get("/v1/services/db?wait=10s").await.0, 503, "a wait waits for it, and no longer");
    assert_eq!(begun.elapsed().as_secs(), 10);

    let heal = async {
        sleep(Duration::from_secs(1)).await;
        client.memory.heal();
    };
    let (answer, ()) = tokio::join!(client.good("/v1/services/db?wait=1m"), heal);
    assert_eq!((&answer["reachable"], &answer["instances"][0]["host"]), (&json!(true), &json!("h")));
    assert!(begun.elapsed() < Duration::from_secs(30), "at the next try, not at the end of the wait");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_for_an_hour_in_the_middle_leaves_the_instances_and_their_age() {
    let client = Client::over(&[("/services/db/1", "h:1"), ("/app/key", "v")]).await;
    let before = client.good("/v1/services/db").await;
    client.memory.cut();
    client.until("/v1/health", |health| health["status"] == "stale").await;
    sleep(HOUR).await;

    let db = client.good("/v1/services/db").await;
    assert_eq!((&db["instances"], &db["version"]), (&before["instances"], &before["version"]));
    assert_eq!((&db["reachable"], seconds(&db)), (&json!(false), 3600));
    let health = client.good("/v1/health").await;
    assert_eq!((&health["status"], seconds(&health)), (&json!("stale"), 3600));
    assert_eq!(client.good("/v1/keys/app/key").await["value"], "v");
    let mut stream = client.stream("/v1/events").await;
    assert_eq!(seconds(&stream.event().await.1), 3600);
    let second = stream.event().await;
    assert_eq!(second.0, "registry", "it is away for who comes now, too: {}", second.1);

    client.memory.put("/services/db/2", "h:2");
    client.memory.heal();
    let db = client.until("/v1/services/db", |db| db["reachable"] == true).await;
    assert_eq!((db["instances"].as_array().unwrap().len(), &db["age_seconds"]), (2, &json!(0.0)));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_says_nothing_is_noticed_and_nothing_is_forgotten() {
    let client = Client::over(&[("/services/db/1", "h:1")]).await;
    client.memory.silence();
    client.until("/v1/health", |health| health["status"] == "stale").await;
    assert_eq!(client.good("/v1/services/db").await["instances"][0]["host"], "h");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_comes_back_empty_is_not_believed_and_one_that_lost_some_is_after_a_while() {
    let client = Client::over(&[("/services/db/1", "h:1"), ("/services/db/2", "h:2")]).await;
    client.memory.wipe();
    client.memory.reset_connections();
    client.until("/v1/health", |health| health["status"] == "stale").await;
    sleep(HOUR).await;
    let db = client.good("/v1/services/db").await;
    assert_eq!(db["instances"].as_array().unwrap().len(), 2);
    assert!(seconds(&db) >= 3599, "{db}");

    client.memory.put("/services/db/1", "h:1");
    let db = client.until("/v1/services/db", |db| db["reachable"] == true).await;
    assert_eq!(db["instances"].as_array().unwrap().len(), 1);
}

fn seconds(answer: &Json) -> u64 {
    answer["age_seconds"].as_f64().unwrap() as u64
}
