//! Discovery from the local agent, over its socket.

#![cfg(feature = "agent")]

mod server;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use waypost_discover::{Discovery, Endpoint, Handle, Origin, Settings};
use waypost_servers::{Scratch, Storage};

use server::Agent;

const SECOND: Duration = Duration::from_secs(1);

fn ports(handle: &Handle) -> Vec<u16> {
    handle.endpoints().iter().map(Endpoint::port).collect()
}

/// Waits until the condition holds; in simulated time, which is not waited for.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if condition() {
            return;
        }
        sleep(SECOND / 1000).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test(start_paused = true)]
async fn services_are_followed_one_that_is_asked_for_later_too() {
    let agent = Agent::start();
    agent.set("db", &[1]);
    agent.set("shop/cache", &[7]);
    let discovery = Discovery::connect(&agent.url()).expect("it is a URL");
    let db = discovery.service("db");
    db.ready().await.expect("the agent answers");
    assert_eq!(
        (ports(&db), db.age(), agent.asked()),
        (vec![1], Some(Duration::ZERO), vec!["/v1/events?service=db".to_owned()])
    );

    let cache = discovery.service("shop/cache");
    cache.ready().await.expect("the agent answers");
    assert_eq!((ports(&cache), ports(&db)), (vec![7], vec![1]));
    assert_eq!(agent.asked(), ["/v1/events?service=db&service=shop/cache"]);

    let mut changes = db.watch();
    changes.next().await;
    agent.set("db", &[1, 2]);
    assert_eq!(changes.next().await.expect("it changes").endpoints().len(), 2);
    let none = discovery.service("none").ready().await.expect("the agent answers");
    assert_eq!((none.endpoints().len(), none.origin()), (0, Origin::Registry));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_keeps_no_service_from_being_followed() {
    let agent = Agent::start();
    agent.set("db", &[1]);
    let discovery = Discovery::connect(&agent.url()).expect("it is a URL");
    let (none, nul) = (discovery.service("/"), discovery.service("a\0b"));
    let db = discovery.service("db");
    db.ready().await.expect("the agent answers");
    assert_eq!((ports(&db), ports(&none), ports(&nul)), (vec![1], vec![], vec![]));
    assert_eq!(agent.asked(), ["/v1/events?service=db"]);
}

#[tokio::test(start_paused = true)]
async fn how_long_the_registry_is_away_is_told_by_the_agent() {
    let agent = Agent::start();
    agent.set("db", &[1]);
    let discovery = Discovery::connect(&agent.url()).expect("it is a URL");
    let db = discovery.service("db");
    db.ready().await.expect("the agent answers");

    agent.set_away(Some(3.0));
    until("the outage to be told", || !discovery.is_reachable()).await;
    assert!(discovery.trouble().is_some_and(|why| why.starts_with("the agent's registry does not answer")));
    sleep(SECOND * 60).await;
    assert_eq!(db.age().map(|age| age.as_secs()), Some(63));
    agent.set_away(None);
    until("the end to be told", || discovery.is_reachable()).await;

    // One that begins when the registry is away hears it with the service.
    agent.set_away(Some(3600.0));
    let late = Discovery::connect(&agent.url()).expect("it is a URL").service("db");
    late.ready().await.expect("the agent answers");
    assert_eq!((ports(&late), late.age().map(|age| age.as_secs())), (vec![1], Some(3600)));
}

#[tokio::test(start_paused = true)]
async fn t11_an_agent_that_is_gone_for_an_hour_costs_nothing_and_is_followed_again() {
    let mut agent = Agent::start();
    agent.set("db", &[1]);
    let discovery = Discovery::connect(&agent.url()).expect("it is a URL");
    let db = discovery.service("db");
    db.ready().await.expect("the agent answers");

    agent.stop().await;
    sleep(SECOND * 3600).await;
    assert_eq!((ports(&db), db.age().map(|age| age.as_secs())), (vec![1], Some(3600)));
    assert!(discovery.trouble().is_some_and(|why| why.contains("api.sock does not answer")));
    let connected =
        db.connect_with(|instance| async move { Ok::<_, String>(instance.endpoint.port()) }).await;
    assert_eq!(connected.expect("what is known does"), 1);

    agent.set("db", &[2]);
    agent.start_again();
    until("the agent to be followed again", || ports(&db) == [2]).await;
    assert_eq!(db.age(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_nothing_any_more_is_given_up_and_asked_again() {
    let agent = Agent::start();
    agent.set("db", &[1]);
    let discovery = Discovery::connect(&agent.url()).expect("it is a URL");
    let db = discovery.service("db");
    db.ready().await.expect("the agent answers");

    sleep(SECOND * 60).await;
    assert!(discovery.is_reachable(), "its pulse is enough");
    agent.silence(true);
    let silent_since = Instant::now();
    until("the silence to be noticed", || !discovery.is_reachable()).await;
    assert!(silent_since.elapsed() <= SECOND * 16, "{:?}", silent_since.elapsed());
    agent.set("db", &[2]);
    agent.silence(false);
    until("the agent to be followed again", || ports(&db) == [2]).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_starting_is_waited_for_and_its_reason_told() {
    let agent = Agent::start();
    let discovery = Discovery::connect(&agent.url()).expect("it is a URL");
    let db = discovery.service("db");
    let why = db.ready().await.expect_err("nothing is known").to_string();
    assert!(why.starts_with("db: nothing is known after 2s: the agent at "), "{why}");
    assert!(why.ends_with("answers 503 Service Unavailable: not read yet"), "{why}");

    agent.set("db", &[1]);
    until("the agent to be asked again", || ports(&db) == [1]).await;
}

#[tokio::test(start_paused = true)]
async fn t2_after_a_failure_the_agent_is_asked_past_the_stream() {
    let agent = Agent::start();
    agent.set("a b", &[1]);
    let db = Discovery::connect(&agent.url()).expect("it is a URL").service("a b");
    db.ready().await.expect("the agent answers");
    agent.asked();

    let error = db.connect_with(|_| async { Err::<(), _>("refused") }).await.expect_err("it is dead");
    let asked = agent.asked();
    assert_eq!(asked.iter().filter(|path| **path == "/v1/services/a%20b").count(), asked.len(), "{asked:?}");
    assert!(asked.len() >= error.tried.len(), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn t11_without_agent_the_last_good_file_serves_and_keeps_what_was_not_asked_for_again() {
    let scratch = Scratch::new("last-good", Storage::Memory);
    let settings = Settings { last_good: Some(scratch.join("services.json")), ..Settings::default() };
    let mut agent = Agent::start();
    agent.set("db", &[1]);
    agent.set("cache", &[7]);
    let connect = || Discovery::connect_as(&agent.url(), settings.clone()).expect("it is a URL");
    let before = connect();
    for name in ["db", "cache"] {
        before.service(name).ready().await.expect("the agent answers");
    }
    let written = || std::fs::read_to_string(scratch.join("services.json")).unwrap_or_default();
    until("the file to be written", || written().contains("h:1") && written().contains("h:7")).await;
    drop(before);

    agent.set("db", &[2]);
    let second = connect();
    second.service("db").ready().await.expect("the agent answers");
    until("the file to be written again", || written().contains("h:2") && written().contains("h:7")).await;
    agent.set("cache", &[8]);
    until("what nobody asks for now to be followed as well", || written().contains("h:8")).await;
    drop((second, connect));

    agent.stop().await;
    let third = Discovery::connect_as(&agent.url(), settings).expect("it is a URL");
    let (db, cache) = (third.service("db"), third.service("cache"));
    assert_eq!((ports(&db), ports(&cache), db.list().origin()), (vec![2], vec![8], Origin::LastGood));
}
