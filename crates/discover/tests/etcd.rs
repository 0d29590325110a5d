//! Discovery in a real etcd, that is killed.

#![cfg(feature = "etcd")]

use std::time::Duration;

use waypost_discover::{Discovery, Endpoint, Handle};
use waypost_servers::{Etcd, require, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn ports(handle: &Handle) -> Vec<u16> {
    handle.endpoints().iter().map(Endpoint::port).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_etcd_is_named_by_its_url_and_what_it_told_stays_when_it_is_killed() {
    require!("etcd", "etcdctl", "setpriv");
    let etcd = Etcd::start();
    etcd.put("/services/db/1", "h:1");
    let url = etcd.url().replace("http://", "etcd://127.0.0.1:1,");
    let db = Discovery::connect(&url).expect("it is a URL").service("db");
    wait_until("the second endpoint to answer", SOON, || ports(&db) == [1]);

    etcd.put("/services/db/2", "h:2");
    wait_until("the change", SOON, || ports(&db) == [1, 2]);
    etcd.kill();
    wait_until("the outage to be noticed", SOON, || db.age() > Some(Duration::ZERO));
    assert_eq!(ports(&db), [1, 2]);
}
