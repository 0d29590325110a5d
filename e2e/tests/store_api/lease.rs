//! Leases: granted, asked about, kept alive and revoked.

use etcd_client::{LeaseTimeToLiveOptions, PutOptions};
use futures::future::join_all;

use crate::api::{Api, refused};
use crate::show;

/// What a time-to-live answers: id, seconds left, seconds granted, keys.
async fn time_to_live(api: &mut Api, id: i64, keys: bool) -> (i64, i64, i64, Vec<String>) {
    let options = LeaseTimeToLiveOptions::new();
    let options = if keys { options.with_keys() } else { options };
    let lease = api.client.lease_time_to_live(id, Some(options)).await.unwrap();
    let revision = api.since(lease.header());
    assert_eq!(revision, api.revision().await);
    let mut keys: Vec<String> = lease.keys().iter().map(|key| show::bytes(key)).collect();
    keys.sort();
    (lease.id(), lease.ttl(), lease.granted_ttl(), keys)
}

async fn leases(api: &mut Api) -> Vec<i64> {
    let leases = api.client.leases().await.unwrap();
    api.since(leases.header());
    let mut ids: Vec<i64> = leases.leases().iter().map(etcd_client::LeaseStatus::id).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn an_id_is_chosen_by_the_client_or_the_server() {
    let mut api = api!();
    assert_eq!(api.grant(7, 100).await, Ok((7, 100)));
    assert_eq!(api.grant(i64::MAX, 100).await, Ok((i64::MAX, 100)));
    let (first, ttl) = api.grant(0, 60).await.unwrap();
    let (second, _) = api.grant(0, 60).await.unwrap();
    assert!(first > 0 && second > 0 && first != second && first != 7, "{first} and {second}");
    assert_eq!(ttl, 60);
    let mut expected = vec![7, i64::MAX, first, second];
    expected.sort_unstable();
    assert_eq!(leases(&mut api).await, expected);
}

#[tokio::test]
async fn an_id_may_be_below_zero() {
    let mut api = api!();
    assert_eq!(api.grant(-5, 100).await, Ok((-5, 100)));
    api.put_with("a", "1", PutOptions::new().with_lease(-5)).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), "a=1 c1 m1 v1 l-5");
    assert_eq!((leases(&mut api).await, api.leased(-5).await), (vec![-5], vec!["a".to_owned()]));
    assert_eq!(api.revoke(-5).await, Ok(2));
}

#[tokio::test]
async fn many_clients_get_leases_of_their_own() {
    let mut api = api!();
    let grant = async |_| {
        let mut client = api.another().await;
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(client.lease_grant(100, None).await.unwrap().id());
        }
        ids
    };
    let mut ids: Vec<i64> = join_all((0..16).map(grant)).await.into_iter().flatten().collect();
    ids.sort_unstable();
    assert_eq!(leases(&mut api).await, ids);
    ids.dedup();
    assert_eq!(ids.len(), 160);
}

#[tokio::test]
async fn an_id_is_given_once() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    let refused = "FailedPrecondition: etcdserver: lease already exists";
    assert_eq!(api.grant(7, 200).await.unwrap_err(), refused);
    assert_eq!(time_to_live(&mut api, 7, false).await.2, 100, "the first lease stays");
    api.revoke(7).await.unwrap();
    assert_eq!(api.grant(7, 200).await, Ok((7, 200)));
}

#[tokio::test]
async fn a_time_to_live_is_two_seconds_at_least() {
    let mut api = api!();
    // etcd's least is an election timeout and a half, in whole seconds: 1.5 s unless told otherwise.
    for (id, asked, granted) in [(1, 1, 2), (2, 2, 2), (3, 3, 3), (4, 0, 2), (5, -5, 2)] {
        assert_eq!(api.grant(id, asked).await, Ok((id, granted)), "asked for {asked} s");
    }
}

#[tokio::test]
async fn a_time_to_live_is_285_years_at_most() {
    let mut api = api!();
    let most = 9_000_000_000;
    let refused = "OutOfRange: etcdserver: too large lease TTL";
    assert_eq!(api.grant(7, most + 1).await.unwrap_err(), refused);
    assert_eq!(api.grant(7, i64::MAX).await.unwrap_err(), refused);
    assert_eq!(api.grant(7, most).await, Ok((7, most)));
    let (_, left, granted, _) = time_to_live(&mut api, 7, false).await;
    assert!((most - 60..=most).contains(&left) && granted == most, "{left} of {granted}");
}

#[tokio::test]
async fn a_lease_tells_how_long_it_lives_and_its_keys() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    for key in ["b", "a"] {
        api.put_with(key, "1", PutOptions::new().with_lease(7)).await.unwrap();
    }
    let (id, left, granted, keys) = time_to_live(&mut api, 7, true).await;
    assert!(id == 7 && (40..=100).contains(&left) && granted == 100, "{id}: {left} of {granted}");
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(time_to_live(&mut api, 7, false).await.3, [""; 0], "keys are told if they are asked for");
    api.delete("a").await;
    assert_eq!(time_to_live(&mut api, 7, true).await.3, ["b"]);
}

#[tokio::test]
async fn a_lease_that_is_not_there_has_less_than_nothing_to_live() {
    let mut api = api!();
    assert_eq!(time_to_live(&mut api, 99, true).await, (99, -1, 0, vec![]));
    assert_eq!(time_to_live(&mut api, 0, true).await, (0, -1, 0, vec![]));
    api.grant(7, 100).await.unwrap();
    api.revoke(7).await.unwrap();
    assert_eq!(time_to_live(&mut api, 7, true).await, (7, -1, 0, vec![]));
}

#[tokio::test]
async fn all_leases_are_listed_while_they_live() {
    let mut api = api!();
    assert_eq!(leases(&mut api).await, [0; 0]);
    for id in [9, 3, 5] {
        api.grant(id, 100).await.unwrap();
    }
    assert_eq!(leases(&mut api).await, [3, 5, 9]);
    api.revoke(5).await.unwrap();
    assert_eq!(leases(&mut api).await, [3, 9]);
}

#[tokio::test]
async fn a_revoked_lease_takes_its_keys_along_in_one_revision() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    api.grant(8, 100).await.unwrap();
    for key in ["c", "a", "b"] {
        api.put_with(key, "1", PutOptions::new().with_lease(7)).await.unwrap();
    }
    api.put_with("other", "1", PutOptions::new().with_lease(8)).await.unwrap();
    api.put("free", "1").await;
    assert_eq!(api.revoke(7).await, Ok(6));
    assert_eq!(api.all().await, ["free=1 c5 m5 v1", "other=1 c4 m4 v1 l8"]);
    assert_eq!(api.range("a", api.at(5).with_from_key()).await.unwrap().count, 5);
    assert_eq!(api.revision().await, 6);
}

#[tokio::test]
async fn a_lease_without_keys_ends_without_a_revision() {
    let mut api = api!();
    api.put("a", "1").await;
    api.grant(7, 100).await.unwrap();
    assert_eq!(api.revoke(7).await, Ok(1));
    assert_eq!(api.revision().await, 1);
}

#[tokio::test]
async fn a_lease_that_is_not_there_is_not_revoked() {
    let mut api = api!();
    assert_eq!(api.revoke(99).await.unwrap_err(), refused::NO_LEASE);
    assert_eq!(api.revoke(0).await.unwrap_err(), refused::NO_LEASE);
    api.grant(7, 100).await.unwrap();
    api.revoke(7).await.unwrap();
    assert_eq!(api.revoke(7).await.unwrap_err(), refused::NO_LEASE);
}

#[tokio::test]
async fn a_key_that_comes_back_without_its_lease_is_not_taken_along() {
    let mut api = api!();
    api.grant(7, 100).await.unwrap();
    api.put_with("a", "1", PutOptions::new().with_lease(7)).await.unwrap();
    api.delete("a").await;
    api.put("a", "2").await;
    assert_eq!(api.revoke(7).await, Ok(3));
    assert_eq!(api.get("a").await.unwrap(), "a=2 c3 m3 v1");
}

#[tokio::test]
async fn keeping_a_lease_alive_answers_its_time_to_live() {
    let mut api = api!();
    api.put("a", "1").await;
    api.grant(7, 100).await.unwrap();
    // The client takes the first answer itself.
    let (mut keeper, mut answers) = api.client.lease_keep_alive(7).await.unwrap();
    for _ in 0..3 {
        keeper.keep_alive().await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.id(), answer.ttl(), api.since(answer.header())), (7, 100, 1));
    }
    api.revoke(7).await.unwrap();
    keeper.keep_alive().await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!((answer.id(), answer.ttl(), api.since(answer.header())), (7, 0, 1), "the lease has ended");
    api.grant(7, 50).await.unwrap();
    keeper.keep_alive().await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!((answer.id(), answer.ttl()), (7, 50), "the stream goes on");
}

#[tokio::test]
async fn a_lease_that_is_not_there_is_not_kept_alive() {
    let mut api = api!();
    // So the client tells an answer of 0 s.
    let refused = api.client.lease_keep_alive(99).await.map_err(show::error).unwrap_err();
    assert_eq!(refused, "lease keep alive error: lease not found");
}
