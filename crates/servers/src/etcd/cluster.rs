//! Three etcd members that elect a leader.

use std::time::Duration;

use serde_json::Value;

use crate::etcd::node::{NodePorts, entries_of, key_request, put_request, revision_of};
use crate::etcd::{Etcd, EtcdOptions};
use crate::{Outcome, must, wait_for};

/// How long an election may take on a busy machine; etcd's timeout is one second.
const ELECTION: Duration = Duration::from_secs(30);

const ATTEMPTS: usize = 5;

/// A cluster of three; each member is an [`Etcd`] with faults of its own.
///
/// [`Etcd::restore_from`] and [`Etcd::wipe`] are for single ones: a member cannot go back alone.
#[derive(Debug)]
pub struct EtcdCluster {
    members: Vec<Etcd>,
}

impl EtcdCluster {
    /// Starts three members, and waits until each serves.
    ///
    /// # Panics
    ///
    /// When etcd is not installed or a member does not start.
    #[track_caller]
    pub fn start() -> EtcdCluster {
        EtcdCluster::start_with(Etcd::options())
    }

    /// As [`EtcdCluster::start`], each member with `options`, which must be without TLS.
    ///
    /// # Panics
    ///
    /// As [`EtcdCluster::start`], or when `options` ask for TLS.
    #[track_caller]
    pub fn start_with(options: EtcdOptions) -> EtcdCluster {
        assert!(!options.tls, "a cluster with TLS would need one authority for its members, and has none");
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match try_start(&options) {
                Ok(cluster) => return cluster,
                Err(why) if why.contains("address already in use") => last = why,
                Err(why) => panic!("{why}"),
            }
        }
        panic!("etcd: {ATTEMPTS} sets of ports were taken one after the other: {last}");
    }

    /// The member with that index, 0 to 2.
    pub fn member(&self, index: usize) -> &Etcd {
        &self.members[index]
    }

    /// The members' addresses for clients, as `127.0.0.1:port`.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Etcd::endpoint).collect()
    }

    /// The members' addresses for clients, as URLs.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(Etcd::url).collect()
    }

    /// The index of the leader; waits while there is none.
    ///
    /// # Panics
    ///
    /// When none is elected within 30 s, for instance because two members are down.
    #[track_caller]
    pub fn leader(&self) -> usize {
        wait_for("an etcd leader", ELECTION, || {
            self.running().find(|(_, member)| member.leads()).map(|(index, _)| index)
        })
    }

    /// A running member that is not the leader.
    ///
    /// # Panics
    ///
    /// When there is no leader within 30 s, or no other member runs.
    #[track_caller]
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        let follower = self.running().map(|(index, _)| index).find(|index| *index != leader);
        must(follower.ok_or_else(|| "etcd: no member but the leader runs".to_owned()))
    }

    /// Kills a member (SIGKILL); its data stays.
    pub fn kill(&self, index: usize) {
        self.members[index].kill();
    }

    /// Starts a killed member again, and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it does not; a member without a majority never does.
    #[track_caller]
    pub fn start_again(&self, index: usize) {
        self.members[index].start_again();
    }

    /// Stops a member in its tracks (SIGSTOP).
    pub fn pause(&self, index: usize) {
        self.members[index].pause();
    }

    /// Continues a paused member.
    pub fn resume(&self, index: usize) {
        self.members[index].resume();
    }

    /// Writes a key through the leader of the moment, and returns the revision.
    ///
    /// It is sent again when an election comes in between, so it may be written twice.
    ///
    /// # Panics
    ///
    /// When no leader takes it within 30 s.
    #[track_caller]
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) -> i64 {
        revision_of(&self.call("kv/put", &put_request(key, value)))
    }

    /// Reads a key through the leader of the moment; the read is linearizable.
    ///
    /// # Panics
    ///
    /// When no leader answers within 30 s, or the value is not UTF-8.
    #[track_caller]
    pub fn get(&self, key: &str) -> Option<String> {
        must(entries_of(&self.call("kv/range", &key_request(key)))).into_values().next()
    }

    /// Deletes a key as [`EtcdCluster::put`] writes one, and returns the revision.
    ///
    /// # Panics
    ///
    /// When no leader takes it within 30 s.
    #[track_caller]
    pub fn delete(&self, key: &str) -> i64 {
        revision_of(&self.call("kv/deleterange", &key_request(key)))
    }

    #[track_caller]
    fn call(&self, path: &str, body: &Value) -> Value {
        wait_for("a leader to take a request", ELECTION, || self.members[self.leader()].call(path, body).ok())
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Etcd)> {
        self.members.iter().enumerate().filter(|(_, member)| member.is_running())
    }
}

fn try_start(options: &EtcdOptions) -> Outcome<EtcdCluster> {
    let names = ["one", "two", "three"];
    let ports = names.map(|_| NodePorts::free());
    let all: Vec<String> = names.iter().zip(ports).map(|(name, ports)| ports.member(name)).collect();
    let all = all.join(",");
    let member = |(name, ports): (&str, NodePorts)| Etcd::member(options.clone(), name, all.clone(), ports);
    let members: Vec<Etcd> = names.into_iter().zip(ports).map(member).collect();
    // All of them first: the first one is not ready before a second one is there.
    members.iter().try_for_each(Etcd::launch)?;
    members.iter().try_for_each(Etcd::try_wait_ready)?;
    members[0].set_up_users()?;
    Ok(EtcdCluster { members })
}
