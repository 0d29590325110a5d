//! What is answered while the registry is there.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use tokio::time::{Instant, timeout};
use waypost_model::Prefix;
use waypost_status::api::{Limits, Settings};
use waypost_testkit::Memory;

use crate::client::{Client, settings};

const SHOP: [(&str, &str); 5] = [
    ("/services/db/1", r#"{"address": "10.0.0.5:3306", "role": "primary", "user": "app"}"#),
    ("/services/db/9", "hunter2"),
    ("/services/cache/eu/1", "10.0.0.6:11211"),
    ("/app/db/host", "10.0.0.5"),
    ("/other/key", "hunter2"),
];

#[tokio::test(start_paused = true)]
async fn a_service_has_its_instances_and_the_keys_that_are_none() {
    let client = Client::over(&SHOP).await;
    let db = client.good("/v1/services/db").await;
    assert_eq!(db["instances"][0]["address"], "10.0.0.5:3306");
    assert_eq!(db["instances"][0]["meta"], json!({ "user": "app" }));
    assert_eq!((&db["refused"], &db["age_seconds"]), (&json!(["/services/db/9"]), &json!(0.0)));
    assert_eq!(client.good("/v1/services/cache/eu/").await["instances"][0]["id"], "1");
    assert_eq!(client.good("/v1/services/none").await["instances"], json!([]));
    let list = client.good("/v1/services").await;
    let names: Vec<&str> =
        list["services"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cache/eu", "db"]);
    assert_eq!(list["services"][1]["version"], db["version"]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_served_below_the_prefixes_that_are_named_and_nowhere_else() {
    let client = Client::over(&SHOP).await;
    client.memory.put("/app/raw", vec![0xff, 0]);
    let raw = client.until("/v1/keys/app/raw", |answer| answer.get("key").is_some()).await;
    assert_eq!(raw["value_base64"], "/wA=");
    let host = client.good("/v1/keys/app/db/host").await;
    assert_eq!((&host["key"], &host["value"]), (&json!("/app/db/host"), &json!("10.0.0.5")));
    let all = client.good("/v1/keys/app?recursive=true").await;
    assert_eq!(all["keys"].as_array().unwrap().len(), 2);
    assert_eq!(client.good("/v1/keys/app/none?recursive=true").await, json!({ "keys": [] }));
    for path in
        ["/v1/keys/other/key", "/v1/keys/other?recursive=true", "/v1/keys/apple", "/v1/keys/services/db/9"]
    {
        let (status, answer) = client.get(path).await;
        assert_eq!(status, 403, "{path}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
    assert_eq!(client.get("/v1/keys/app/none").await.0, 404);
    assert_eq!(client.get("/v1/keys/app/../other/key").await.0, 404, "it is a name like any other");
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_only_so_much() {
    let client = Client::over(&[]).await;
    for number in 0..5 {
        client.memory.put(&format!("/app/{number}"), vec![b'x'; 1 << 20]);
    }
    client.until("/v1/health", |health| health["keys"] == 5).await;
    assert_eq!(client.get("/v1/keys/app?recursive=true").await.0, 400);
    assert_eq!(client.get("/v1/keys/app/4").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_with_one_line() {
    let client = Client::over(&SHOP).await;
    for path in [
        "/v1/services/db?wait=30",
        "/v1/services/db?wiat=30s",
        "/v1/services/a%00b",
        "/v1/services/a%ffb",
        "/v1/services//",
        "/v1/keys/app?recursive=1",
        "/v1/events?service=",
        "/v1/services?service=db",
    ] {
        assert_eq!(client.get(path).await.0, 400, "{path}");
    }
    for path in ["/", "/v1", "/v1/services/", "/v1/openapi", "/metrics"] {
        assert_eq!(client.get(path).await.0, 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_path_is_only_read() {
    let client = Client::over(&SHOP).await;
    let paths: Vec<String> = client.document.0["paths"].as_object().unwrap().keys().cloned().collect();
    for path in paths {
        let path = path.replace("{name}", "db").replace("{key}", "app/db/host");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let (status, body) = client.ask(method, &path).await;
            assert_eq!(status, 405, "{path}");
            client.document.check_as("Error", &serde_json::from_slice(&body).unwrap());
        }
    }
    assert_eq!(client.good("/v1/openapi.json").await, client.document.0);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_marked_secret_is_not_served() {
    let secret = Settings { secret: true, ..settings() };
    let client = Client::with(Memory::new(1), secret);
    client.memory.put("/services/db/1", "hunter2:3306");
    client.memory.put("/app/key", "hunter2");
    client.until_healthy().await;
    for path in
        ["/v1/services", "/v1/services/db", "/v1/events", "/v1/keys/app/key", "/v1/keys/app?recursive=true"]
    {
        let (status, answer) = client.get(path).await;
        assert_eq!(status, 403, "{path}");
        assert!(answer["error"].as_str().unwrap().contains("marked as secret"), "{answer}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
    assert_eq!(client.good("/v1/health").await["keys"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_once_for_another_version_and_at_a_change_or_the_end_for_the_same() {
    let client = Client::over(&SHOP).await;
    let begun = Instant::now();
    let version =
        client.good("/v1/services/db?wait=30s&version=x").await["version"].as_str().unwrap().to_owned();
    client.good("/v1/services/db?wait=30s").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let same = format!("/v1/services/db?wait=30s&version={version}");
    assert_eq!(client.good(&same).await["version"], *version);
    assert_eq!(begun.elapsed().as_secs(), 30);

    let change = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        client.memory.put("/services/cache/eu/2", "elsewhere:1");
        tokio::time::sleep(Duration::from_secs(4)).await;
        client.memory.put("/services/db/2", "10.0.0.7:3306");
    };
    let (answer, ()) = tokio::join!(client.good(&same), change);
    assert_eq!(answer["instances"].as_array().unwrap().len(), 2);
    assert_eq!(begun.elapsed().as_secs(), 37);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait_or_listen_at_once() {
    let limits = Limits { polls: 1, streams: 1, ..Limits::default() };
    let client = Client::with(Memory::new(1), Settings { limits, ..settings() });
    client.until_healthy().await;
    let version = client.good("/v1/services/db").await["version"].as_str().unwrap().to_owned();
    let wait = format!("/v1/services/db?wait=30s&version={version}");
    let (first, second) = tokio::join!(client.get(&wait), client.get(&wait));
    assert_eq!((first.0, second.0), (200, 503));
    assert_eq!(client.get(&wait).await.0, 200, "its place is free again");

    let stream = client.stream("/v1/events").await;
    assert_eq!(client.get("/v1/events").await.0, 503);
    drop(stream);
    client.stream("/v1/events").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_each_change_and_that_it_lives() {
    let client = Client::over(&SHOP).await;
    let mut stream = client.stream("/v1/events?service=db&service=none").await;
    for name in ["db", "none"] {
        let (kind, service) = stream.event().await;
        assert_eq!((&*kind, &service["name"]), ("service", &json!(name)));
        client.document.check_as("Service", &service);
    }
    let begun = Instant::now();
    assert_eq!(stream.text().await.as_deref(), Some(":\n\n"));
    assert_eq!(begun.elapsed().as_secs(), 5);

    client.memory.put("/services/none/1", "h:1");
    let (_, service) = stream.event().await;
    assert_eq!((&service["name"], service["instances"].as_array().unwrap().len()), (&json!("none"), 1));

    client.memory.cut();
    let (kind, registry) = stream.event().await;
    assert_eq!((&*kind, &registry["reachable"]), ("registry", &json!(false)));
    client.document.check_as("Registry", &registry);
    client.memory.heal();
    let (kind, registry) = stream.event().await;
    assert_eq!((&*kind, registry), ("registry", json!({ "reachable": true, "age_seconds": 0.0 })));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_costs_no_queue() {
    let client = Client::over(&SHOP).await;
    let mut stream = client.stream("/v1/events?service=db").await;
    stream.event().await;
    for port in 1..1000 {
        client.memory.put("/services/db/1", format!("h:{port}"));
    }
    client.until("/v1/services/db", |db| db["instances"][0]["port"] == 999).await;
    assert_eq!(stream.event().await.1["instances"][0]["port"], 999, "the newest, and none in between");
    let none = timeout(Duration::from_secs(60), stream.event());
    assert!(none.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn another_root_may_hold_the_services() {
    let settings = Settings { services: Prefix::new("/test"), ..settings() };
    let client = Client::with(Memory::new(1), settings);
    client.memory.put("/test/web/1", "h:1");
    client.memory.put("/services/web/1", "h:1");
    client.until_healthy().await;
    assert_eq!(client.good("/v1/services").await["services"].as_array().unwrap().len(), 1);
}
