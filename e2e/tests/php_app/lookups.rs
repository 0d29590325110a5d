//! What a look-up costs, and what becomes of it while everything behind the file is away.

use std::fs::{self, File, FileTimes};
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;
use waypost_e2e::{DEADLINE, require};
use waypost_servers::wait_until;

use crate::alone;
use crate::arrangement::Arrangement;
use crate::database::Kind;

/// The seconds that an hour has.
const HOUR: u64 = 3600;

#[test]
fn t13_a_look_up_in_the_file_of_services_takes_less_than_five_microseconds() {
    require!("etcd", "php-fpm8.2");
    let _turn = alone();
    let arrangement = Arrangement::start(Kind::MariaDb, 1);
    arrangement.register("db/1", "127.0.0.1:3306");
    // opcache takes no file that was written in the last two seconds (`opcache.file_update_protection`).
    let age =
        || fs::metadata(arrangement.services()).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    wait_until("the file to be old enough for opcache", DEADLINE, || age() > Duration::from_secs(3));
    let ask = || arrangement.application.get("/lookup?way=include&n=0").unwrap();
    let nanoseconds = |answer: String| answer.split(' ').next().unwrap().parse::<u64>().unwrap();
    let mut firsts: Vec<u64> = (0..300).map(|_| nanoseconds(ask())).collect();
    firsts.sort_unstable();
    println!("the first look-up of a request takes {} ns, the median of 300", firsts[150]);
    assert!(firsts[150] < 5000, "{firsts:?}");
}

#[test]
fn an_hour_without_registry_and_agent_changes_no_answer_and_its_age_is_told() {
    require!("etcd", "php-fpm8.2");
    let _turn = alone();
    let mut arrangement = Arrangement::start(Kind::MariaDb, 2);
    arrangement.register("db/1", "127.0.0.1:3306");
    let before = service(&arrangement);
    assert!(before["age_seconds"].as_f64().unwrap() < 60.0, "{before}");

    arrangement.etcd.kill();
    arrangement.agent.kill();
    // As if both had been away for an hour: the marker is the only one who knows the time.
    let an_hour_ago = SystemTime::now() - Duration::from_secs(HOUR);
    let marker = File::options().write(true).open(arrangement.marker()).unwrap();
    marker.set_times(FileTimes::new().set_modified(an_hour_ago)).unwrap();
    let during = service(&arrangement);
    assert_eq!(during["addresses"], before["addresses"]);
    let age = during["age_seconds"].as_f64().unwrap();
    assert!((HOUR as f64..HOUR as f64 + 60.0).contains(&age), "{during}");

    // The application starts anew, and the agent, with nobody to ask.
    arrangement.application.start_again();
    arrangement.agent.start_again();
    arrangement.agent.wait_logged(&["cannot be read"]);
    let started = service(&arrangement);
    assert_eq!(started["addresses"], before["addresses"]);
    assert!(started["age_seconds"].as_f64().unwrap() >= HOUR as f64, "{started}");
}

fn service(arrangement: &Arrangement) -> Json {
    serde_json::from_str(&arrangement.application.get("/services/db").unwrap()).unwrap()
}
