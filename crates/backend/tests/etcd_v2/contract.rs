//! The contract that every store keeps.

use futures::future::{BoxFuture, FutureExt};
use std::sync::Arc;
use waypost_model::{Change, Value};
use waypost_servers::{Etcd, require};
use waypost_testkit::contract::{self, Content, Harness, Limits, Store, Writer};

/// One server for all checks; each finds it emptied.
struct OnEtcd(Arc<Etcd>);

#[derive(Debug)]
struct Writing(Arc<Etcd>);

impl Harness for OnEtcd {
    fn start(&self, content: Content) -> BoxFuture<'_, Store> {
        let names = self.0.v2("GET", "/v2/keys/", "").text();
        let listed: serde_json::Value = serde_json::from_str(&names).unwrap();
        for node in listed["node"]["nodes"].as_array().into_iter().flatten() {
            self.0.v2_delete(node["key"].as_str().unwrap());
        }
        for (key, value) in &content {
            self.0.v2_put(key.as_str(), text(value));
        }
        let backend = super::store(self.0.url());
        let writer = Some(Arc::new(Writing(Arc::clone(&self.0))) as Arc<dyn Writer>);
        async { Store { backend, writer, registry: None } }.boxed()
    }

    fn limits(&self) -> Limits {
        Limits { any_bytes: false, many_keys: 2_000, keys_below_keys: false, ..Limits::default() }
    }
}

impl Writer for Writing {
    fn write(&self, changes: Vec<Change>) -> BoxFuture<'_, ()> {
        for Change { key, entry } in changes {
            match entry {
                Some(entry) => self.0.v2_put(key.as_str(), text(&entry.value)),
                None => self.0.v2_delete(key.as_str()),
            }
        }
        async {}.boxed()
    }
}

fn text(value: &Value) -> &str {
    value.as_text().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn etcds_v2_keys_keep_the_contract() {
    require!("etcd");
    contract::run(&OnEtcd(Arc::new(super::start()))).await;
}
