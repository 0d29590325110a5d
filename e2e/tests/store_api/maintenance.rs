//! What a server tells of itself: status, hashes, alarms, members, a snapshot; and users that are not asked for.

use std::fs;
use std::process::Command;

use etcd_client::{AlarmAction, AlarmType, Client, CompactionOptions, ConnectOptions};
use waypost_servers::{Scratch, Storage};

use crate::api::{Api, refused};
use crate::show;

#[tokio::test]
async fn the_status_is_that_of_a_leader() {
    let mut api = api!();
    api.put("a", "1").await;
    let status = api.client.status().await.unwrap();
    assert_eq!(api.since(status.header()), 1);
    assert_eq!(status.leader(), api.member());
    assert_ne!(status.leader(), 0);
    assert!(status.raft_term() >= 1 && status.raft_index() >= 1, "{status:?}");
    assert_eq!(status.header().unwrap().raft_term(), status.raft_term());
    assert!(status.raft_applied_index() <= status.raft_index(), "{status:?}");
    assert!(status.db_size() > 0 && status.raft_used_db_size() <= status.db_size(), "{status:?}");
    assert_eq!((status.is_learner(), status.errors()), (false, &[][..]));
    // What follows the three numbers of a semantic version is the server's own.
    let release = status.version().split(['-', '+']).next().unwrap();
    let numbers: Vec<u64> = release.split('.').map(|part| part.parse().expect("a number")).collect();
    assert!(numbers.len() == 3 && (numbers[0], numbers[1]) >= (3, 4), "{}", status.version());
}

#[tokio::test]
async fn headers_name_one_server_over_all_calls() {
    let mut api = api!();
    let hash = api.client.hash().await.unwrap();
    api.since(hash.header());
    let members = api.client.member_list().await.unwrap();
    let header = members.header().unwrap();
    assert_eq!(header.member_id(), api.member());
    let mut again = api.another().await;
    let status = again.status().await.unwrap();
    assert_eq!(api.since(status.header()), 0, "the same on another connection");
    assert_eq!(status.header().unwrap().cluster_id(), header.cluster_id());
}

#[tokio::test]
async fn there_is_one_member() {
    let mut api = api!();
    let list = api.client.member_list().await.unwrap();
    assert_eq!(list.members().len(), 1, "{list:?}");
    let member = &list.members()[0];
    assert_eq!((member.id(), member.is_learner()), (api.member(), false));
    assert!(!member.name().is_empty());
    let port = |url: &str| url.rsplit(':').next().map(str::to_owned);
    assert_eq!(member.client_urls().iter().map(|url| port(url)).collect::<Vec<_>>(), [port(&api.url())]);
}

#[tokio::test]
async fn nothing_is_alarming() {
    let mut api = api!();
    for kind in [AlarmType::None, AlarmType::Nospace, AlarmType::Corrupt] {
        let alarms = api.client.alarm(AlarmAction::Get, kind, None).await.unwrap();
        assert_eq!(alarms.alarms().len(), 0, "{kind:?}: {alarms:?}");
    }
}

#[tokio::test]
async fn a_hash_of_the_history_changes_with_it_only() {
    let mut api = api!();
    api.put("a", "1").await;
    let mut hash = async |revision: i64| {
        let hash = api.client.hash_kv(revision).await.unwrap();
        (hash.hash(), api.since(hash.header()))
    };
    let first = hash(0).await;
    assert_eq!(first.1, 1);
    assert_eq!(hash(0).await, first);
    let base = api.base;
    api.put("a", "2").await;
    let mut hash = async |revision: i64| api.client.hash_kv(revision).await.map(|hash| hash.hash());
    let second = hash(0).await.unwrap();
    assert_ne!(second, first.0);
    assert_eq!(hash(base + 2).await.unwrap(), second, "0 is now");
    assert_eq!(hash(base + 1).await.unwrap(), first.0, "as it was then");
}

#[tokio::test]
async fn a_hash_is_of_a_revision_that_is_there() {
    let mut api = api!();
    for value in ["1", "2", "3"] {
        api.put("a", value).await;
    }
    let base = api.base;
    api.compact(2, CompactionOptions::new().with_physical()).await.unwrap();
    let mut hash = async |revision: i64| api.client.hash_kv(base + revision).await.map_err(show::error);
    assert_eq!(hash(4).await.unwrap_err(), refused::FUTURE);
    assert_eq!(hash(1).await.unwrap_err(), refused::COMPACTED);
    assert_eq!(hash(3).await.unwrap().compact_version() - base, 2);
}

/// A snapshot's bytes, and how many were announced to follow each piece.
async fn snapshot(api: &mut Api) -> (Vec<u8>, Vec<(usize, u64)>) {
    let mut stream = api.client.snapshot().await.unwrap();
    let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
    while let Some(piece) = stream.message().await.unwrap() {
        bytes.extend_from_slice(piece.blob());
        pieces.push((piece.blob().len(), piece.remaining_bytes()));
    }
    (bytes, pieces)
}

#[tokio::test]
async fn a_snapshot_comes_in_pieces_with_its_checksum_last() {
    let mut api = api!();
    api.put("a", "x".repeat(100_000)).await;
    let (bytes, mut pieces) = snapshot(&mut api).await;
    let (data, sum) = bytes.split_at(bytes.len().checked_sub(32).expect("a checksum"));
    assert_eq!(pieces.pop(), Some((32, 0)), "the checksum is the last piece");
    let mut left = data.len() as u64;
    for (size, remaining) in pieces {
        left -= size as u64;
        assert_eq!(remaining, left, "after a piece of {size} bytes");
    }
    assert_eq!(left, 0);
    assert_eq!(hex(sum), sha256(data));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(data: &[u8]) -> String {
    let scratch = Scratch::new("snapshot", Storage::Memory);
    fs::write(scratch.join("data"), data).unwrap();
    let output = Command::new("sha256sum").arg(scratch.join("data")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn who_brings_a_password_is_told_that_none_is_asked_for() {
    let api = api!();
    let options = ConnectOptions::new().with_user("root", "secret");
    let refused = match Client::connect([api.url()], Some(options)).await {
        Ok(_) => panic!("authenticated where nobody is"),
        Err(error) => show::error(error),
    };
    assert_eq!(refused, "FailedPrecondition: etcdserver: authentication is not enabled");
}
