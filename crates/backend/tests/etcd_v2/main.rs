//! The v2 keys API against real etcd.
#![cfg(feature = "etcd-v2")]
#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod access;
mod contract;
mod following;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use waypost_backend::MirrorSettings;
use waypost_backend::etcd_v2::{EtcdV2, Settings};
use waypost_model::{Key, Prefix, Value};
use waypost_servers::Etcd;
use waypost_testkit::Reader;
use waypost_testkit::contract::Content;

fn start() -> Etcd {
    Etcd::options().enable_v2().start()
}

/// A store at `urls`, with limits that suit a loopback.
fn settings(urls: impl IntoIterator<Item = String>) -> Settings {
    Settings {
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(2),
        probe_every: Duration::from_millis(300),
        ..Settings::new(urls)
    }
}

fn store(url: String) -> Arc<EtcdV2> {
    open(settings([url]))
}

fn open(settings: Settings) -> Arc<EtcdV2> {
    Arc::new(EtcdV2::new(settings).unwrap())
}

/// A Mirror that finds out quickly.
fn follow(store: &Arc<EtcdV2>, prefixes: &[&str]) -> Reader {
    let settings = MirrorSettings {
        retry: (Duration::from_millis(50), Duration::from_millis(500)),
        ..MirrorSettings::default()
    };
    Reader::follow(store.clone(), prefixes, settings)
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn prefixes(list: &[&str]) -> Vec<Prefix> {
    list.iter().map(|path| Prefix::new(path)).collect()
}

fn content(list: &[(&str, &str)]) -> Content {
    list.iter().map(|(name, value)| (name.parse().unwrap(), Value::from((*value).to_owned()))).collect()
}
