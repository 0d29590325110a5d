//! The etcd store against real etcd.
#![cfg(feature = "etcd")]
#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod access;
mod contract;
mod following;
mod other_apis;
mod raw;
mod registering;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use waypost_backend::MirrorSettings;
use waypost_backend::etcd::{Etcd, Settings};
use waypost_model::{Key, Prefix, Value};
use waypost_testkit::Reader;
use waypost_testkit::contract::Content;

/// A store at `urls`, with limits that suit a loopback.
fn settings(urls: impl IntoIterator<Item = String>) -> Settings {
    Settings {
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(2),
        probe_every: Duration::from_millis(300),
        ..Settings::new(urls)
    }
}

fn store(url: String) -> Arc<Etcd> {
    open(settings([url]))
}

fn open(settings: Settings) -> Arc<Etcd> {
    Arc::new(Etcd::new(settings).unwrap())
}

/// A Mirror that finds out quickly.
fn follow(store: &Arc<Etcd>, prefixes: &[&str]) -> Reader {
    let settings = MirrorSettings {
        audit_every: Duration::from_millis(500),
        grace: Duration::from_millis(500),
        retry: (Duration::from_millis(50), Duration::from_millis(500)),
        ..MirrorSettings::default()
    };
    Reader::follow(store.clone(), prefixes, settings)
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| key(name)).collect()
}

fn prefixes(list: &[&str]) -> Vec<Prefix> {
    list.iter().map(|path| Prefix::new(path)).collect()
}

fn content(list: &[(&str, &str)]) -> Content {
    list.iter().map(|(name, value)| (key(name), Value::from((*value).to_owned()))).collect()
}
