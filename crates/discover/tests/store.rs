//! Discovery over a store: what is found, and when.

use std::sync::Arc;
use std::time::Duration;

use waypost_discover::{Discovery, Handle, Origin, Settings};
use waypost_testkit::Memory;

fn discovery(memory: &Memory) -> Discovery {
    Discovery::over(Arc::new(memory.clone()), Settings::default())
}

fn ports(handle: &Handle) -> Vec<u16> {
    handle.endpoints().iter().map(waypost_discover::Endpoint::port).collect()
}

#[tokio::test(start_paused = true)]
async fn a_service_is_found_and_followed_and_so_is_one_that_is_asked_for_later() {
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    memory.put("/services/cache", "h:7");
    let discovery = discovery(&memory);
    let db = discovery.service("db");
    assert_eq!((db.list().origin(), db.age()), (Origin::Nowhere, None));

    let first = db.ready().await.expect("the store answers");
    assert_eq!((ports(&db), db.age(), discovery.is_reachable()), (vec![1], Some(Duration::ZERO), true));
    assert_eq!(ports(&discovery.service("cache")), [7], "it is known as soon as it is asked for");

    let mut changes = db.watch();
    assert_eq!(changes.next().await.expect("it is known").version(), first.version());
    memory.put("/services/db/2", "h:2");
    let second = changes.next().await.expect("it changes");
    assert_eq!((ports(&db), second.endpoints().len()), (vec![1, 2], 2));
    assert_eq!(first.endpoints().len(), 1, "a list does not change");
    assert_ne!(first.version(), second.version());
}

#[tokio::test(start_paused = true)]
async fn a_role_is_followed_through_a_fail_over() {
    let memory = Memory::new(1);
    memory.put("/services/db/1", r#"{"address": "h:1", "role": "primary"}"#);
    memory.put("/services/db/2", r#"{"address": "h:2", "role": "replica"}"#);
    let primary = discovery(&memory).service("db").with_role("primary");
    primary.ready().await.expect("the store answers");
    assert_eq!(ports(&primary), [1]);

    let mut changes = primary.watch();
    changes.next().await;
    memory.put("/services/db/2", r#"{"address": "h:2", "role": "primary"}"#);
    memory.delete("/services/db/1");
    while ports(&primary) != [2] {
        changes.next().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_has_no_instances_rather_than_those_of_all_services() {
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    let discovery = discovery(&memory);
    discovery.service("db").ready().await.expect("the store answers");
    for name in ["", "/"] {
        assert_eq!(ports(&discovery.service(name)), [0; 0], "{name:?}");
    }
}

#[cfg(feature = "env")]
#[tokio::test]
async fn an_environment_without_services_has_none() {
    let list = Discovery::connect("env:").expect("it is a URL").service("db").ready().await;
    assert_eq!(list.expect("an environment always answers").endpoints(), []);
}
