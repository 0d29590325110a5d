//! The contract that every store keeps.

use futures::future::{BoxFuture, FutureExt};
use std::sync::Arc;
use waypost_model::Change;
use waypost_servers::require;
use waypost_testkit::contract::{self, Content, Harness, Store, Writer};

/// One server for all checks; each finds it emptied.
struct OnEtcd(Arc<waypost_servers::Etcd>);

#[derive(Debug)]
struct Writing(Arc<waypost_servers::Etcd>);

impl Harness for OnEtcd {
    fn start(&self, content: Content) -> BoxFuture<'_, Store> {
        self.0.delete_prefix("");
        // Big ones one by one: etcd takes 1.5 MiB a request.
        let (big, small): (Vec<_>, Vec<_>) =
            content.iter().partition(|(_, value)| value.as_bytes().len() > 1000);
        self.0.put_all(small.into_iter().map(|(key, value)| (key.as_str(), value.as_bytes())));
        for (key, value) in big {
            self.0.put(key.as_str(), value.as_bytes());
        }
        let etcd = super::store(self.0.url());
        let writer = Some(Arc::new(Writing(Arc::clone(&self.0))) as Arc<dyn Writer>);
        async { Store { backend: etcd.clone(), writer, registry: Some(etcd) } }.boxed()
    }
}

impl Writer for Writing {
    fn write(&self, changes: Vec<Change>) -> BoxFuture<'_, ()> {
        for Change { key, entry } in changes {
            match entry {
                Some(entry) => self.0.put(key.as_str(), entry.value.as_bytes()),
                None => self.0.delete(key.as_str()),
            };
        }
        async {}.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_keeps_the_contract() {
    require!("etcd");
    contract::run(&OnEtcd(Arc::new(waypost_servers::Etcd::start()))).await;
}
