//! A stream of watches, read with a deadline.

use etcd_client::{WatchOptions, WatchResponse, WatchStream};
use tokio::time::timeout;
use waypost_e2e::DEADLINE;

use crate::show;

/// A stream of watches.
pub struct Watching {
    stream: WatchStream,
    base: i64,
    ids: (u64, u64),
}

impl Watching {
    /// Revisions are told since `base`; `ids` are those of the cluster and the member.
    pub fn new(stream: WatchStream, base: i64, ids: (u64, u64)) -> Watching {
        Watching { stream, base, ids }
    }

    /// Asks for another watch.
    pub async fn watch(&mut self, key: impl Into<Vec<u8>>, options: WatchOptions) {
        self.stream.watch(key, Some(options)).await.unwrap();
    }

    /// Asks for the end of a watch.
    pub async fn cancel(&mut self, id: i64) {
        self.stream.cancel(id).await.unwrap();
    }

    /// Asks how far the stream is.
    pub async fn request_progress(&mut self) {
        self.stream.request_progress().await.unwrap();
    }

    /// The next response, whatever it is.
    pub async fn response(&mut self) -> WatchResponse {
        let response = timeout(DEADLINE, self.stream.message()).await;
        let response = response.expect("a response in time").map_err(show::error).unwrap();
        let response = response.expect("the stream goes on");
        let header = response.header().expect("a header");
        assert_eq!((header.cluster_id(), header.member_id()), self.ids, "every header names the same server");
        response
    }

    /// The next response's revision since the test began.
    pub fn revision(&self, response: &WatchResponse) -> i64 {
        response.header().unwrap().revision() - self.base
    }

    /// The id in the next response, which says that a watch is there.
    pub async fn created(&mut self) -> i64 {
        let response = self.response().await;
        assert!(response.created() && !response.canceled(), "not a new watch: {response:?}");
        assert!(response.events().is_empty(), "a new watch's events come later: {response:?}");
        response.watch_id()
    }

    /// The events of the next response, and of which watch they are.
    pub async fn batch(&mut self) -> (i64, Vec<String>) {
        let response = self.response().await;
        assert!(!response.created() && !response.canceled(), "not events: {response:?}");
        let last = response.events().last().expect("an event").kv().unwrap().mod_revision();
        let revision = response.header().unwrap().revision();
        assert!(revision >= last, "the header tells {revision}, and an event is of {last}");
        let events = response.events().iter().map(|event| show::event(event, self.base)).collect();
        (response.watch_id(), events)
    }

    /// The next `count` events, in however many responses.
    pub async fn events(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.batch().await.1);
        }
        assert_eq!(events.len(), count, "more events than expected: {events:#?}");
        events
    }
}
