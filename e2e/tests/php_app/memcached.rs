//! The memcached pool grows and shrinks while the application uses it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use serde_json::Value as Json;
use waypost_e2e::{DEADLINE, require};
use waypost_servers::{Memcached, wait_until};

use crate::alone;
use crate::arrangement::{Application, Arrangement};
use crate::database::Kind;

const CHILDREN: usize = 4;
const KEYS: usize = 4000;

/// Where each of the keys is, as every child of php-fpm sees it: they must agree.
#[track_caller]
fn ring(application: &Arc<Application>) -> Vec<String> {
    // More questions at once than there are children, so that all of them are asked.
    let ask = || {
        let application = Arc::clone(application);
        thread::spawn(move || application.get(&format!("/ring?keys={KEYS}")).unwrap())
    };
    let answers: Vec<_> = (0..3 * CHILDREN).map(|_| ask()).collect();
    let answers: BTreeSet<String> = answers.into_iter().map(|answer| answer.join().unwrap()).collect();
    assert_eq!(answers.len(), 1, "every child has the same ring");
    let places: Vec<Json> = serde_json::from_str(answers.first().unwrap()).unwrap();
    places.into_iter().map(|place| place.as_str().unwrap().to_owned()).collect()
}

/// Waits until the application sees so many servers.
#[track_caller]
fn wait_for_servers(arrangement: &Arrangement, count: usize) {
    wait_until(format!("a pool of {count}"), DEADLINE, || {
        let answer = arrangement.application.get("/services/memcached").unwrap();
        let answer: Json = serde_json::from_str(&answer).unwrap();
        answer["addresses"].as_array().unwrap().len() == count
    });
}

fn share_moved(before: &[String], after: &[String]) -> f64 {
    let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
    moved as f64 / before.len() as f64
}

fn hits(application: &Application) -> usize {
    let is_hit =
        |key: &usize| application.get(&format!("/cache?key=key-{key}")).unwrap() == format!("value-{key}");
    (0..KEYS).step_by(10).filter(is_hit).count()
}

#[test]
fn t12_a_pool_that_grows_or_shrinks_leaves_keys_where_they_are_and_every_child_agrees() {
    require!("etcd", "memcached", "php-fpm8.2");
    let _turn = alone();
    let arrangement = Arrangement::start(Kind::MariaDb, CHILDREN);
    let servers: Vec<Memcached> = (0..5).map(|_| Memcached::start()).collect();
    let key = |number: usize| format!("/services/memcached/{number}");
    for (number, server) in servers.iter().enumerate().take(4) {
        arrangement.etcd.put(&key(number), server.endpoint());
    }
    wait_for_servers(&arrangement, 4);
    let four = ring(&arrangement.application);
    for number in (0..KEYS).step_by(10) {
        let stored = arrangement.application.get(&format!("/cache?key=key-{number}&value=value-{number}"));
        assert_eq!(stored.as_deref(), Ok("stored"));
    }

    // Registered under a name that comes first: the order of a list is not to matter.
    arrangement.etcd.put("/services/memcached/+", servers[4].endpoint());
    wait_for_servers(&arrangement, 5);
    let five = ring(&arrangement.application);
    let (grown, newcomer) = (share_moved(&four, &five), servers[4].endpoint());
    let strays = four.iter().zip(&five).filter(|(before, after)| before != after && **after != newcomer);
    let found = hits(&arrangement.application);
    println!("4 to 5 servers: {:.1} % of {KEYS} keys move, in theory 20 %", grown * 100.0);
    println!("{found} of {} values are found where they were put", KEYS / 10);
    assert_eq!(strays.count(), 0, "keys move to the new server only");
    // A server has 160 points of the ring: the share of one among five is 20 % give or take a few.
    assert!((0.12..0.28).contains(&grown), "{grown}");
    assert!(found >= KEYS / 10 * 7 / 10, "{found}");

    arrangement.etcd.delete("/services/memcached/+");
    wait_for_servers(&arrangement, 4);
    assert_eq!(ring(&arrangement.application), four, "it is as it was");

    arrangement.etcd.delete(&key(0));
    wait_for_servers(&arrangement, 3);
    let three = ring(&arrangement.application);
    let gone = servers[0].endpoint();
    let strays = four.iter().zip(&three).filter(|(before, after)| before != after && **before != gone);
    println!("4 to 3 servers: {:.1} % move, in theory 25 %", share_moved(&four, &three) * 100.0);
    assert_eq!(strays.count(), 0, "only keys of the server that went move");
    assert!((0.15..0.35).contains(&share_moved(&four, &three)));
}
