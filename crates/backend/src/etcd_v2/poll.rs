//! Long polls for one prefix, one after the other, without a gap between them.
//!
//! A poll asks for the first event from an index on. Its headers come at once and say where the store was when
//! the poll began; had there been an event before that, the poll would end with it. So a poll that ends in order
//! and without an event has seen that there is none up to there, and the next one asks from there on. To
//! end a poll that has become long or old we close our half of the connection, which makes etcd end its
//! answer in order: what it had sent already comes before the end. A poll that breaks off although we ended it
//! (a proxy may do that) proves nothing, and is asked again as before.
//!
//! Source: `handleKeyWatch` in etcd's `v2http/client.go`, `watch` in `v2store/watcher_hub.go`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::Instant;
use waypost_model::StoreId;

use super::STORE;
use super::connection::{Connector, failed, is_gateway_timeout, path_of, silent};
use super::wire::{Event, at, judge};
use crate::http1::{Connection, body_of};
use crate::{Error, ErrorKind, Result};

/// How far the store may get ahead of a poll before the poll is asked again; etcd keeps 1,000 events.
const FAR_BEHIND: u64 = 300;

/// The shortest time between polls that bring nothing, should a proxy end them at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The polls of a prefix.
pub(super) struct Polls {
    pub(super) connector: Arc<Connector>,
    /// Which endpoint is polled.
    pub(super) number: usize,
    pub(super) store: StoreId,
    /// The path in the URL, and as it is shown.
    pub(super) path: String,
    pub(super) subject: String,
    /// The next event of interest has this index, or a later one.
    pub(super) next: u64,
    /// Where the store is, as the probes find it.
    pub(super) newest: watch::Receiver<u64>,
    pub(super) connection: Option<Connection>,
}

/// How a poll ended.
enum End {
    Answer(Bytes),
    BrokeOff,
}

/// What the polls came to know.
pub(super) struct Told {
    /// All up to here is told with it.
    pub(super) seen: u64,
    /// None if nothing happened.
    pub(super) event: Option<Event>,
}

impl Polls {
    /// The next event, or that there is none up to some index.
    pub(super) async fn next(&mut self) -> Result<Told> {
        loop {
            let (since, before) = (Instant::now(), self.next);
            let event = self.poll().await?;
            // A poll from an index that is yet to come is answered with any event.
            if let Some(event) = event.filter(|event| event.node.modified_index >= before) {
                self.next = event.node.modified_index + 1;
                return Ok(Told { seen: event.node.modified_index, event: Some(event) });
            }
            tokio::time::sleep_until(since + PAUSE).await;
            if self.next > before {
                return Ok(Told { seen: self.next - 1, event: None });
            }
        }
    }

    async fn poll(&mut self) -> Result<Option<Event>> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => self.connector.connect(self.number).await?,
        };
        let path = format!("{}?wait=true&recursive=true&waitIndex={}", self.path, self.next);
        let asked = (path.as_str(), self.subject.as_str());
        let answer = self.connector.ask(&mut connection, self.number, "watch", asked).await?;
        if is_gateway_timeout(answer.status()) {
            return Ok(None);
        }
        let status = answer.status();
        let begun = at(answer.headers());
        let body = match self.wait(&mut connection, answer, begun.map_or(self.next, |at| at.index)).await? {
            End::Answer(body) => body,
            End::BrokeOff => return Ok(None),
        };
        if !status.is_success() {
            judge(status, &body, "watch", &self.subject)?;
            return Ok(None);
        }
        let begun =
            begun.ok_or_else(|| self.lost("the answer does not say where the store is".to_owned()))?;
        if begun.store != self.store || begun.index + 1 < self.next {
            let (is, was) = (begun.position(), self.next - 1);
            return Err(self.lost(format!("the store is at {is}, the watch was at {}@{was}", self.store)));
        }
        if body.is_empty() {
            self.next = begun.index + 1;
            return Ok(None);
        }
        self.connection = Some(connection);
        judge(status, &body, "watch", &self.subject)
    }

    /// Waits for the end of `answer`, and ends it if that takes long.
    async fn wait(
        &mut self,
        connection: &mut Connection,
        answer: Response<Incoming>,
        begun: u64,
    ) -> Result<End> {
        let settings = &self.connector.settings;
        let mut body = std::pin::pin!(body_of(answer));
        let is_far_ahead = self.newest.wait_for(|newest| *newest > begun + FAR_BEHIND);
        tokio::select! {
            // What has come is taken before anything is ended.
            biased;
            body = &mut body => {
                return body.map(End::Answer).map_err(|failure| failed(failure, "watch", &self.subject));
            }
            _ = is_far_ahead => {}
            () = tokio::time::sleep(settings.longest_poll) => {}
        }
        connection.hang_up();
        match tokio::time::timeout(settings.request_timeout, body).await {
            Ok(Ok(body)) => Ok(End::Answer(body)),
            Ok(Err(failure)) => {
                tracing::debug!(store = STORE, reason = %failure, "a poll that we ended broke off");
                Ok(End::BrokeOff)
            }
            Err(_) => {
                let peer = self.connector.url(self.number);
                Err(silent("watch", &self.subject, peer, settings.request_timeout))
            }
        }
    }

    fn lost(&self, why: String) -> Error {
        Error::new(ErrorKind::Lost, STORE, "watch", &self.subject).because(why)
    }
}

/// The path that is polled for `prefix`.
pub(super) fn poll_path(prefix: &waypost_model::Prefix) -> String {
    path_of(prefix.as_str())
}
