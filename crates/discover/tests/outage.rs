//! The registry is away, at the start or in the middle, or comes back as another one: what was known serves,
//! and says how old it is.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use waypost_discover::{Discovery, Handle, Origin, Settings};
use waypost_servers::{Scratch, Storage};
use waypost_testkit::Memory;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn discovery(memory: &Memory, last_good: Option<PathBuf>) -> Discovery {
    Discovery::over(Arc::new(memory.clone()), Settings { last_good, ..Settings::default() })
}

fn ports(handle: &Handle) -> Vec<u16> {
    handle.endpoints().iter().map(waypost_discover::Endpoint::port).collect()
}

/// Connects to whatever answers: all but the ports in `dead`.
async fn connects(handle: &Handle, dead: &[u16]) -> Result<u16, String> {
    let connect = |instance: waypost_discover::Instance| async move {
        let port = instance.endpoint.port();
        if dead.contains(&port) { Err("refused") } else { Ok(port) }
    };
    handle.connect_with(connect).await.map_err(|error| error.to_string())
}

/// The age to a second: an outage is noticed when something is asked, or a watch breaks.
fn age_in_seconds(handle: &Handle) -> u64 {
    handle.age().expect("something is known").as_secs()
}

fn old_by(path: &Path, age: Duration) {
    let then = SystemTime::now() - age;
    File::options().write(true).open(path).and_then(|file| file.set_modified(then)).expect("it is ours");
}

/// Waits until the condition holds; in simulated time, which is not waited for.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        sleep(SECOND / 100).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test(start_paused = true)]
async fn t11_a_registry_that_is_away_for_an_hour_in_the_middle_costs_no_connection() {
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    memory.put("/services/db/2", "h:2");
    let discovery = discovery(&memory, None);
    let db = discovery.service("db");
    db.ready().await.expect("the store answers");

    memory.cut();
    for minute in 1..=60 {
        sleep(HOUR / 60).await;
        assert_eq!(ports(&db), [1, 2]);
        assert_eq!(connects(&db, &[1]).await, Ok(2));
        let age = age_in_seconds(&db);
        assert!((minute * 60..minute * 60 + 2).contains(&age), "minute {minute}: {age} s");
    }
    assert!(!discovery.is_reachable());
    assert_eq!(discovery.trouble().as_deref(), Some("memory: cannot read its keys: it does not answer"));

    memory.heal();
    memory.put("/services/db/3", "h:3");
    until("the registry to be followed again", || ports(&db) == [1, 2, 3]).await;
    assert_eq!((db.age(), discovery.trouble()), (Some(Duration::ZERO), None));
}

#[tokio::test(start_paused = true)]
async fn t11_a_registry_that_is_away_for_the_first_hour_is_made_up_for_by_the_last_good_file() {
    let scratch = Scratch::new("last-good", Storage::Memory);
    let (file, seen) = (scratch.join("services.json"), scratch.join(".services.json.seen"));
    let memory = Memory::new(1);
    memory.put("/services/db/1", r#"{"address": "h:1", "password": "x"}"#);
    let before = discovery(&memory, Some(file.clone()));
    before.service("db").ready().await.expect("the store answers");
    until("the file to be written", || seen.exists()).await;
    drop(before);
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);

    old_by(&seen, HOUR * 2);
    memory.cut();
    let discovery = discovery(&memory, Some(file));
    let db = discovery.service("db");
    assert_eq!((ports(&db), db.list().origin()), (vec![1], Origin::LastGood));
    db.ready().await.expect("the file has to do");
    for minute in 1..=60 {
        sleep(HOUR / 60).await;
        assert_eq!(connects(&db, &[]).await, Ok(1));
        let age = age_in_seconds(&db);
        assert!((7200 + minute * 60..7200 + minute * 60 + 10).contains(&age), "minute {minute}: {age} s");
    }
    memory.heal();
    until("the registry to be followed", || db.list().origin() == Origin::Registry).await;
    assert_eq!((ports(&db), db.age()), (vec![1], Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn the_last_good_file_changes_with_its_content_and_its_marker_while_the_registry_answers() {
    let scratch = Scratch::new("last-good", Storage::Memory);
    let (file, seen) = (scratch.join("services.json"), scratch.join(".services.json.seen"));
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    let discovery = discovery(&memory, Some(file.clone()));
    let _db = discovery.service("db");
    until("the file to be written", || seen.exists()).await;

    old_by(&file, HOUR);
    old_by(&seen, HOUR);
    let age = |path: &Path| {
        let changed = fs::metadata(path).and_then(|data| data.modified()).expect("it is there");
        SystemTime::now().duration_since(changed).unwrap_or_default()
    };
    until("the marker to be touched", || age(&seen) < HOUR / 2).await;
    assert!(age(&file) > HOUR / 2, "nothing has changed");

    memory.put("/services/db/2", "h:2");
    until("the file to be written again", || age(&file) < HOUR / 2).await;
    let text = fs::read_to_string(&file).expect("it is there");
    let json = serde_json::from_str(&text).expect("it is JSON");
    let services = waypost_model::from_document(&json).expect("it is a document of services");
    assert_eq!((services.len(), services[0].instances.len()), (1, 2));

    memory.cut();
    until("the outage to be noticed", || !discovery.is_reachable()).await;
    sleep(SECOND * 10).await;
    old_by(&seen, HOUR);
    sleep(HOUR).await;
    assert!(age(&seen) > HOUR / 2, "nobody has seen the registry");
}

#[tokio::test(start_paused = true)]
async fn a_broken_last_good_file_is_no_obstacle_and_is_replaced() {
    let scratch = Scratch::new("last-good", Storage::Memory);
    let file = scratch.join("services.json");
    fs::write(&file, "{\"waypost\": 1, \"serv").expect("there is room");
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    let discovery = discovery(&memory, Some(file.clone()));
    let db = discovery.service("db");
    assert_eq!((ports(&db), db.age()), (vec![], None));
    db.ready().await.expect("the store answers");
    assert_eq!(ports(&db), [1]);
    until("the file to be replaced", || fs::read_to_string(&file).is_ok_and(|text| text.contains("h:1")))
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_registry_and_file_a_connect_ends_within_its_budget_and_says_so() {
    let memory = Memory::new(1);
    memory.cut();
    let discovery = discovery(&memory, None);
    let db = discovery.service("db");
    let why = db.ready().await.expect_err("nothing is known").to_string();
    assert_eq!(why, "db: nothing is known after 2s: memory: cannot read its keys: it does not answer");
    let why = connects(&db, &[]).await.expect_err("nothing is known");
    assert_eq!(
        why,
        "db: no connection after 2.0s, when the time was over: no endpoint is known; \
         the registry has not answered yet"
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_comes_back_empty_is_not_believed() {
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    memory.put("/services/web/1", "h:7");
    let discovery = discovery(&memory, None);
    let (db, web) = (discovery.service("db"), discovery.service("web"));
    db.ready().await.expect("the store answers");

    memory.cut();
    memory.wipe();
    memory.heal();
    sleep(HOUR).await;
    assert_eq!((ports(&db), ports(&web)), (vec![1], vec![7]));
    assert!(!discovery.is_reachable() && age_in_seconds(&db) >= 3599);
    assert_eq!(connects(&db, &[]).await, Ok(1), "nor when it is asked");

    memory.put("/services/db/2", "h:2");
    memory.put("/services/web/1", "h:7");
    until("it to be whole again", || discovery.is_reachable()).await;
    assert_eq!((ports(&db), ports(&web)), (vec![2], vec![7]));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_comes_back_holds_up_neither_the_others_nor_the_last_good_file() {
    let scratch = Scratch::new("last-good", Storage::Memory);
    let file = scratch.join("services.json");
    let memory = Memory::new(1);
    memory.put("/services/db/1", "h:1");
    memory.put("/services/old/1", "h:9");
    let discovery = discovery(&memory, Some(file.clone()));
    let (db, old) = (discovery.service("db"), discovery.service("old"));
    db.ready().await.expect("the store answers");

    memory.cut();
    memory.wipe();
    memory.put("/services/db/1", "h:1");
    memory.heal();
    sleep(HOUR).await;
    assert!(discovery.trouble().is_some_and(|why| why.contains("with an earlier state")));
    memory.put("/services/db/2", "h:2");
    until("the change to be seen", || ports(&db) == [1, 2]).await;
    let holds = |text: &str| fs::read_to_string(&file).is_ok_and(|found| found.contains(text));
    until("the file to be written", || holds("h:2")).await;
    fs::remove_file(&file).expect("it is ours");
    until("the file to be written anew", || holds("h:2") && holds("h:9")).await;

    memory.delete("/services/db/1");
    memory.delete("/services/db/2");
    until("the deletions to be seen", || ports(&db).is_empty()).await;
    assert_eq!(ports(&old), [9]);
}
