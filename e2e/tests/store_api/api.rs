//! A client of the server under test whose answers are plain values, with revisions since the test began.
//!
//! Every header is looked at: it names the one cluster and member.

use std::sync::OnceLock;

use etcd_client::{
    Client, CompactionOptions, ConnectOptions, DeleteOptions, GetOptions, LeaseGrantOptions,
    LeaseTimeToLiveOptions, PutOptions, ResponseHeader, Txn, TxnOp, WatchOptions, WatchStream,
};
use waypost_e2e::DEADLINE;

use crate::server::Held;
use crate::show;
use crate::watching::Watching;

/// An [`Api`] on a server without keys and leases; ends the test when there is no server.
macro_rules! api {
    () => {
        match crate::api::Api::start().await {
            Some(api) => api,
            None => return,
        }
    };
}

/// An [`Api`] on a server that nobody has used; ends the test when there can be none.
macro_rules! new_api {
    () => {
        match crate::api::Api::start_new().await {
            Some(api) => api,
            None => return,
        }
    };
}

/// What errors say.
pub mod refused {
    /// A key of no bytes.
    pub const EMPTY_KEY: &str = "InvalidArgument: etcdserver: key is not provided";
    /// Something is to be kept of a key that does not exist; also a transaction's operation that is none.
    pub const NO_KEY: &str = "InvalidArgument: etcdserver: key not found";
    /// A value beside the wish to keep the old one.
    pub const VALUE: &str = "InvalidArgument: etcdserver: value is provided";
    /// A lease beside the wish to keep the old one.
    pub const LEASE: &str = "InvalidArgument: etcdserver: lease is provided";
    /// A transaction with more than 128 operations in a list.
    pub const TOO_MANY: &str = "InvalidArgument: etcdserver: too many operations in txn request";
    /// A transaction that changes a key twice.
    pub const TWICE: &str = "InvalidArgument: etcdserver: duplicate key given in txn request";
    /// A revision that is gone.
    pub const COMPACTED: &str = "OutOfRange: etcdserver: mvcc: required revision has been compacted";
    /// A revision that is still to come.
    pub const FUTURE: &str = "OutOfRange: etcdserver: mvcc: required revision is a future revision";
    /// A lease that is not there.
    pub const NO_LEASE: &str = "NotFound: etcdserver: requested lease not found";
    /// A request of more than 1.5 MiB.
    pub const TOO_LARGE: &str = "InvalidArgument: etcdserver: request is too large";
}

/// A client, and the server that it has to itself.
pub struct Api {
    /// For what has no shorthand here.
    pub client: Client,
    /// The revision at which the test began.
    pub base: i64,
    ids: (u64, u64),
    held: Held,
}

/// What a range answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The keys, as [`show::kv`] tells them.
    pub kvs: Vec<String>,
    /// How many there are in the range.
    pub count: i64,
    /// Whether a limit held some back.
    pub more: bool,
    /// The header's revision.
    pub revision: i64,
}

impl Found {
    /// The names of the keys.
    pub fn keys(&self) -> Vec<&str> {
        self.kvs.iter().map(|kv| kv.split('=').next().unwrap()).collect()
    }
}

/// What a deletion answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// How many.
    pub count: i64,
    /// What they were, if that was asked for.
    pub before: Vec<String>,
    /// The header's revision.
    pub revision: i64,
}

/// What a transaction answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// What each operation answered, as [`show::operations`] tells it.
    pub operations: Vec<String>,
    /// The header's revision.
    pub revision: i64,
}

/// An answer, or the code and the message of an error.
pub type Answer<T> = Result<T, String>;

impl Api {
    /// On a server without keys and leases.
    pub async fn start() -> Option<Api> {
        let mut api = Api::on(Held::any()?).await;
        api.empty().await;
        Some(api)
    }

    /// On a server that nobody has used.
    pub async fn start_new() -> Option<Api> {
        Some(Api::on(Held::new()?).await)
    }

    async fn on(held: Held) -> Api {
        let mut client = connect(&held.url()).await;
        let status = client.status().await.expect("the server tells its status");
        let header = status.header().expect("a header");
        let ids = (header.cluster_id(), header.member_id());
        Api { base: header.revision(), client, ids, held }
    }

    /// Leaves nothing of an earlier test's.
    async fn empty(&mut self) {
        if self.held.is_foreign() {
            self.assert_unused().await;
        }
        for lease in self.client.leases().await.unwrap().leases() {
            self.client.lease_revoke(lease.id()).await.unwrap();
        }
        let all = DeleteOptions::new().with_all_keys();
        let emptied = self.client.delete("", Some(all)).await.unwrap();
        self.base = emptied.header().unwrap().revision();
    }

    /// Refuses a server that held anything when the first test came: nobody's data goes because of a wrong address.
    async fn assert_unused(&mut self) {
        static USED: OnceLock<bool> = OnceLock::new();
        let (keys, leases) = (self.all().await, self.client.leases().await.unwrap());
        let used = *USED.get_or_init(|| !keys.is_empty() || !leases.leases().is_empty());
        assert!(!used, "{} is in use: it has keys or leases that no test made", self.url());
    }

    /// The server's address, as `http://host:port`.
    pub fn url(&self) -> String {
        self.held.url()
    }

    /// Another connection to the same server.
    pub async fn another(&self) -> Client {
        connect(&self.url()).await
    }

    /// A header's revision since the test began.
    #[track_caller]
    pub fn since(&self, header: Option<&ResponseHeader>) -> i64 {
        let header = header.expect("an answer has a header");
        assert_eq!((header.cluster_id(), header.member_id()), self.ids, "every header names the same server");
        header.revision() - self.base
    }

    /// The id of the member that answers.
    pub fn member(&self) -> u64 {
        self.ids.1
    }

    /// The server's revision since the test began.
    pub async fn revision(&mut self) -> i64 {
        self.range("none", GetOptions::new()).await.unwrap().revision
    }

    /// Writes a key, and returns the revision that made.
    pub async fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> i64 {
        self.put_with(key, value, PutOptions::new()).await.unwrap().0
    }

    /// Writes a key, and returns the revision, and what was there before if that was asked for.
    pub async fn put_with(
        &mut self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        options: PutOptions,
    ) -> Answer<(i64, Option<String>)> {
        let put = self.client.put(key, value, Some(options)).await.map_err(show::error)?;
        let before = put.prev_key().map(|before| show::kv(&before.0, self.base));
        Ok((self.since(put.header()), before))
    }

    /// Reads a range.
    pub async fn range(&mut self, key: impl Into<Vec<u8>>, options: GetOptions) -> Answer<Found> {
        let found = self.client.get(key, Some(options)).await.map_err(show::error)?;
        let kvs = show::kvs(found.kvs(), self.base);
        Ok(Found { kvs, count: found.count(), more: found.more(), revision: self.since(found.header()) })
    }

    /// One key as it is now, as [`show::kv`] tells it.
    pub async fn get(&mut self, key: impl Into<Vec<u8>>) -> Option<String> {
        self.range(key, GetOptions::new()).await.unwrap().kvs.pop()
    }

    /// All keys as they are now.
    pub async fn all(&mut self) -> Vec<String> {
        self.range("", GetOptions::new().with_all_keys()).await.unwrap().kvs
    }

    /// Reads at a revision since the test began.
    pub fn at(&self, revision: i64) -> GetOptions {
        GetOptions::new().with_revision(self.base + revision)
    }

    /// Deletes a range.
    pub async fn delete_with(&mut self, key: impl Into<Vec<u8>>, options: DeleteOptions) -> Answer<Deleted> {
        let deleted = self.client.delete(key, Some(options)).await.map_err(show::error)?;
        let before = show::kvs(deleted.prev_kvs(), self.base);
        Ok(Deleted { count: deleted.deleted(), before, revision: self.since(deleted.header()) })
    }

    /// Deletes a key, and returns the revision after that.
    pub async fn delete(&mut self, key: impl Into<Vec<u8>>) -> i64 {
        self.delete_with(key, DeleteOptions::new()).await.unwrap().revision
    }

    /// Runs a transaction.
    pub async fn txn(&mut self, txn: Txn) -> Answer<Done> {
        let done = self.client.txn(txn).await.map_err(show::error)?;
        let operations = show::operations(&done.0, self.base);
        Ok(Done { succeeded: done.succeeded(), operations, revision: self.since(done.header()) })
    }

    /// Runs operations in one transaction, unconditionally.
    pub async fn run(&mut self, operations: impl Into<Vec<TxnOp>>) -> Answer<Done> {
        self.txn(Txn::new().and_then(operations)).await
    }

    /// Forgets what was before a revision since the test began; returns the revision that is told.
    pub async fn compact(&mut self, revision: i64, options: CompactionOptions) -> Answer<i64> {
        let done = self.client.compact(self.base + revision, Some(options)).await.map_err(show::error)?;
        Ok(self.since(done.header()))
    }

    /// Grants a lease (0 chooses an id), and returns its id and time to live.
    pub async fn grant(&mut self, id: i64, ttl: i64) -> Answer<(i64, i64)> {
        let options = LeaseGrantOptions::new().with_id(id);
        let granted = self.client.lease_grant(ttl, Some(options)).await.map_err(show::error)?;
        let revision = self.since(granted.header());
        assert_eq!(revision, self.revision().await, "a grant is no revision");
        Ok((granted.id(), granted.ttl()))
    }

    /// Ends a lease, and returns the revision after that.
    pub async fn revoke(&mut self, id: i64) -> Answer<i64> {
        let revoked = self.client.lease_revoke(id).await.map_err(show::error)?;
        Ok(self.since(revoked.header()))
    }

    /// The keys of a lease.
    pub async fn leased(&mut self, id: i64) -> Vec<String> {
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let lease = self.client.lease_time_to_live(id, Some(options)).await.unwrap();
        lease.keys().iter().map(|key| show::bytes(key)).collect()
    }

    /// Watches a range on a stream of its own; the watch is there when this returns.
    pub async fn watch(&mut self, key: impl Into<Vec<u8>>, options: WatchOptions) -> Watching {
        let mut watching = self.watch_stream(key, options).await;
        assert_eq!(watching.created().await, 0, "the first id of a stream");
        watching
    }

    /// Opens a stream with one watch, and leaves its answers to the caller.
    pub async fn watch_stream(&mut self, key: impl Into<Vec<u8>>, options: WatchOptions) -> Watching {
        let stream = self.client.watch(key, Some(options)).await.expect("a stream of watches");
        self.adopt(stream)
    }

    /// A stream that another client has opened.
    pub fn adopt(&self, stream: WatchStream) -> Watching {
        Watching::new(stream, self.base, self.ids)
    }

    /// Watches from a revision since the test began.
    pub fn from(&self, revision: i64) -> WatchOptions {
        WatchOptions::new().with_start_revision(self.base + revision)
    }
}

async fn connect(url: &str) -> Client {
    let options = ConnectOptions::new().with_timeout(DEADLINE).with_connect_timeout(DEADLINE);
    Client::connect([url], Some(options)).await.expect("a connection to the server")
}
