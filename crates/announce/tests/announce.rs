//! The announcer alone: real health checks, a registry in memory, and paused time.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Announcer, FakeRegistry, bound, settings};
use futures::{StreamExt, future, stream};
use tokio::time::Instant;
use waypost_announce::{Error, Happening, HealthCheck, Outcome, Settings, Signal, announce};
use waypost_backend::ErrorKind;
use waypost_model::Endpoint;

fn unchecked() -> Settings {
    Settings { check: HealthCheck::None, ..settings(&Endpoint::new("10.0.0.5", 8001)) }
}

fn is_revoked(happening: &Happening) -> bool {
    matches!(happening, Happening::Revoked { .. })
}

#[tokio::test(start_paused = true)]
async fn a_service_that_listens_is_registered_when_it_has_been_seen_twice() {
    let (registry, (socket, endpoint)) = (FakeRegistry::new(), bound());
    let _service = socket.listen(8).unwrap();
    let settings = settings(&endpoint);
    let (key, start) = (settings.key.clone(), Instant::now());

    let mut announcer = Announcer::start(&registry, settings);
    announcer.until_registered().await;
    assert_eq!(start.elapsed().as_secs(), 2, "the first check is at once, the second after the interval");
    assert_eq!(registry.get(&key), Some(endpoint.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stops_listening_is_revoked_after_three_failures_and_registered_when_it_is_back() {
    let (registry, (socket, endpoint)) = (FakeRegistry::new(), bound());
    let service = socket.listen(8).unwrap();
    let settings = settings(&endpoint);
    let key = settings.key.clone();
    let mut announcer = Announcer::start(&registry, settings);
    announcer.until_registered().await;
    let registered = Instant::now();

    drop(service);
    let failed = announcer.until(|happening| matches!(happening, Happening::CheckFailed { .. })).await;
    let Happening::CheckFailed { failures: 1, fall: 3, why } = failed else { panic!("{failed:?}") };
    assert!(why.contains(&endpoint.to_string()) && why.contains("refused"), "{why}");
    announcer.until(is_revoked).await;
    assert_eq!(registered.elapsed().as_secs(), 6);
    assert_eq!(registry.get(&key), None);

    let address: std::net::SocketAddr = endpoint.to_string().parse().unwrap();
    let _service = tokio::net::TcpListener::bind(address).await.unwrap();
    announcer.until_registered().await;
    assert!(registry.get(&key).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_listen_is_not_registered() {
    let (registry, (_socket, endpoint)) = (FakeRegistry::new(), bound());
    let settings = settings(&endpoint);
    let key = settings.key.clone();
    let mut announcer = Announcer::start(&registry, settings);

    let is_registered = |happening: &Happening| future::ready(*happening == Happening::Registered);
    let registered = announcer.happenings.by_ref().filter(is_registered).into_future();
    let hour = Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, registered).await.is_err(), "it is registered");
    announcer.signal(Signal::Term);
    announcer.until(|happening| matches!(happening, Happening::StopAsked { .. })).await;
    assert_eq!(registry.get(&key), None);
    assert_eq!(announcer.outcome().await, Outcome { exit_code: 0, is_key_left: false });
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_or_refuses_is_asked_until_it_takes_the_key() {
    let registry = FakeRegistry::new();
    registry.refuse_with([ErrorKind::Unavailable, ErrorKind::Unavailable, ErrorKind::Denied]);
    let mut announcer = Announcer::start(&registry, unchecked());

    for is_away in [true, true, false] {
        let failed =
            announcer.until(|happening| matches!(happening, Happening::RegistrationFailed { .. })).await;
        let Happening::RegistrationFailed { why, is_transient, .. } = failed else { unreachable!() };
        assert!(why.starts_with("fake: cannot register /test/a: "), "{why}");
        assert_eq!(is_transient, is_away);
    }
    announcer.until_registered().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_revokes_at_once() {
    let registry = FakeRegistry::new();
    let mut announcer = Announcer::start(&registry, unchecked());
    announcer.until_registered().await;
    let asked = Instant::now();

    announcer.signal(Signal::Term);
    announcer.until(is_revoked).await;
    assert_eq!(announcer.outcome().await, Outcome { exit_code: 0, is_key_left: false });
    assert_eq!(registry.get(&unchecked().key), None);
    assert!(asked.elapsed() < Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_hangs_keeps_it_for_the_stop_timeout_only() {
    let registry = FakeRegistry::new();
    registry.answer_revokes(false);
    let mut announcer = Announcer::start(&registry, unchecked());
    announcer.until_registered().await;
    let asked = Instant::now();

    announcer.signal(Signal::Int);
    let waited = Duration::from_secs(3);
    announcer.until(|happening| *happening == Happening::NotWaitedFor { waited }).await;
    assert_eq!(announcer.outcome().await, Outcome { exit_code: 0, is_key_left: true });
    assert_eq!(asked.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_when_no_more_signals_can_come() {
    let registry = FakeRegistry::new();
    let (settings, key) = (unchecked(), unchecked().key);
    let announcing = announce(registry.clone(), settings, stream::empty(), |_| {});
    let hour = Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, announcing).await.is_err(), "it ended");
    assert!(registry.get(&key).is_some());
}

#[tokio::test]
async fn settings_that_make_no_sense_are_told_before_anything_is_done() {
    let registry = FakeRegistry::new();
    let settings = Settings { ttl: Duration::from_secs(1), rise: 0, ..unchecked() };
    let refused = announce(Arc::clone(&registry) as _, settings, stream::empty(), |_| {}).await.unwrap_err();
    let Error::Settings(problems) = refused else { panic!("{refused:?}") };
    assert_eq!(problems.problems().len(), 2);
    assert_eq!(registry.get(&unchecked().key), None);
}
