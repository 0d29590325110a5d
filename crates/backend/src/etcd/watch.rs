//! Watching: one stream with a watch a range, on one connection.
//!
//! A watch that etcd cancels (no leader, just now) is opened again on the same connection from where it
//! was. When the connection breaks or the peer stops answering, the stream ends: whoever answers next may
//! hold another history, and only a read tells.
//!
//! Source: etcd's `rpc.proto`, `WatchResponse`: events of one revision come in one response; a compacted
//! start is told by `compact_revision`. A start in the future is silently waited for, so the header of the
//! answer to the creation is compared with the position.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::PbEvent;
use etcd_client::{GetOptions, WatchOptions, WatchResponse, WatchStream};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, MissedTickBehavior};
use waypost_model::{Batch, Change, Entry, Position};

use super::connection::{Connection, Connector, silent};
use super::wire::{position_of, readable, signed, unsigned};
use super::{Range, STORE, status};
use crate::{Backoff, Error, ErrorKind, Result};

pub(super) fn watch(
    connector: Arc<Connector>,
    ranges: Vec<Range>,
    after: Position,
) -> BoxStream<'static, Result<Batch>> {
    stream::unfold(Some(Progress::Start { connector, ranges, after }), |progress| async {
        let watcher = match progress? {
            Progress::Start { connector, ranges, after } => Watcher::open(connector, ranges, after).await,
            Progress::Open(watcher) => Ok(watcher),
        };
        match watcher {
            Ok(mut watcher) => match watcher.next().await {
                Ok(batch) => Some((Ok(batch), Some(Progress::Open(watcher)))),
                Err(error) => {
                    if error.kind() != ErrorKind::Lost && error.kind() != ErrorKind::Denied {
                        watcher.connector.discard(&watcher.connection);
                    }
                    Some((Err(error), None))
                }
            },
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

enum Progress {
    Start { connector: Arc<Connector>, ranges: Vec<Range>, after: Position },
    Open(Box<Watcher>),
}

/// A range that is watched, and how far its events came.
struct Watched {
    range: Range,
    seen: u64,
}

struct Watcher {
    connector: Arc<Connector>,
    connection: Arc<Connection>,
    stream: WatchStream,
    /// By watch id, which counts from 1.
    watched: Vec<Watched>,
    /// How many of them etcd has answered, in the order in which they were asked for.
    answered: usize,
    position: Position,
    waiting: VecDeque<Batch>,
    probe: tokio::time::Interval,
    backoff: Backoff,
}

impl Watcher {
    async fn open(connector: Arc<Connector>, ranges: Vec<Range>, after: Position) -> Result<Box<Watcher>> {
        let connection = connector.connection().await?;
        let watched: Vec<_> =
            ranges.into_iter().map(|range| Watched { range, seen: after.revision }).collect();
        let stream = open_stream(&connector, &connection, &watched).await?;
        let every = connector.settings.probe_every;
        let mut probe = tokio::time::interval_at(Instant::now() + every, every);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (base, cap) = (Duration::from_millis(50), Duration::from_secs(1));
        Ok(Box::new(Watcher {
            connector,
            connection,
            stream,
            watched,
            answered: 0,
            position: after,
            waiting: VecDeque::new(),
            probe,
            backoff: Backoff::new(base, cap, fastrand::Rng::new()),
        }))
    }

    async fn next(&mut self) -> Result<Batch> {
        loop {
            if let Some(batch) = self.waiting.pop_front() {
                return Ok(batch);
            }
            tokio::select! {
                response = self.stream.message() => match response {
                    Ok(Some(response)) => self.take(response).await?,
                    Ok(None) => self.reopen(Error::new(ErrorKind::Unavailable, STORE, "watch", self.shown())).await?,
                    Err(failure) => self.reopen(status::error(failure, "watch", self.shown())).await?,
                },
                _ = self.probe.tick() => self.probe().await?,
            }
        }
    }

    async fn take(&mut self, response: WatchResponse) -> Result<()> {
        let is_at = position_of(response.header())?;
        self.answered += usize::from(response.created());
        if response.canceled() {
            return self.canceled(&response).await;
        }
        if is_at.store != self.position.store
            || (response.created() && is_at.revision < self.position.revision)
        {
            return Err(self.lost(format!("the store is at {is_at}, the watch was at {}", self.position)));
        }
        let id = usize::try_from(response.watch_id()).unwrap_or_default();
        let Some(watched) = id.checked_sub(1).and_then(|number| self.watched.get_mut(number)) else {
            return Ok(());
        };
        let after = watched.seen;
        let events = response.0.events.into_iter().filter_map(|event| change(event, after));
        let (revisions, changes): (Vec<u64>, Vec<Change>) = events.unzip();
        if let Some(last) = revisions.into_iter().max() {
            watched.seen = last;
            // Watches of one stream deliver in the order of revisions, so the latest holds for all of them.
            self.position.revision = self.position.revision.max(last);
            self.waiting.push_back(Batch { position: self.position, changes });
        }
        Ok(())
    }

    async fn canceled(&mut self, response: &WatchResponse) -> Result<()> {
        if response.compact_revision() > 0 {
            return Err(self.lost(format!("it was compacted up to {}", response.compact_revision())));
        }
        let reason = response.cancel_reason().to_owned();
        if reason.contains("permission denied") {
            return self.denied(response, reason).await;
        }
        if reason.contains("invalid auth token") {
            // It is renewed with the next request, not on a stream.
            return Err(Error::new(ErrorKind::Unavailable, STORE, "watch", self.shown()).because(reason));
        }
        let reason = if reason.is_empty() { "the server cancelled the watch".to_owned() } else { reason };
        self.reopen(Error::new(ErrorKind::Unavailable, STORE, "watch", self.shown()).because(reason)).await
    }

    /// Permission for what is below a path is often all there is; the path as a key is then left out.
    ///
    /// The others are asked for anew without it: after a refusal, many versions of etcd listen to no further
    /// request on the stream. Which one was refused, only the order tells: the id may be -1.
    ///
    /// Source: `recvLoop` in etcd's `api/v3rpc/watch.go`, which returned there before it was made to go on.
    async fn denied(&mut self, response: &WatchResponse, reason: String) -> Result<()> {
        let number = self.answered.checked_sub(1).filter(|_| response.created());
        match number.and_then(|number| self.watched.get(number)) {
            Some(watched) if watched.range.is_one_key() => {
                self.watched.remove(self.answered - 1);
                self.resume().await
            }
            _ => Err(Error::new(ErrorKind::Denied, STORE, "watch", self.shown()).because(reason)),
        }
    }

    /// Opens the stream again on the same connection, from where each of its watches was.
    async fn resume(&mut self) -> Result<()> {
        self.stream = open_stream(&self.connector, &self.connection, &self.watched).await?;
        self.answered = 0;
        Ok(())
    }

    /// The same after a while, unless `error` is not of the kind that passes.
    async fn reopen(&mut self, error: Error) -> Result<()> {
        if !error.is_transient() || self.backoff.failures() > 10 {
            return Err(error);
        }
        tracing::debug!(store = STORE, reason = error.chain(), "the watch ended; resuming it");
        tokio::time::sleep(self.backoff.failed(Instant::now().into_std())).await;
        match self.resume().await {
            Err(later) if later.kind() == error.kind() => Err(error),
            resumed => resumed,
        }
    }

    /// Asks the peer for anything at all. What it answers does not matter.
    async fn probe(&mut self) -> Result<()> {
        let timeout = self.connector.settings.probe_every + Duration::from_secs(1);
        let key = self.watched.first().map(|watched| watched.range.start.clone()).unwrap_or_default();
        let options = GetOptions::new().with_serializable().with_count_only();
        let mut kv = self.connection.kv();
        match tokio::time::timeout(timeout, kv.get(key, Some(options))).await {
            Ok(Ok(_)) => Ok(()),
            // "no leader" and the like: there is a server, and the watch tells what it thinks of it.
            Ok(Err(etcd_client::Error::GRpcStatus(status)))
                if std::error::Error::source(&status).is_none() =>
            {
                Ok(())
            }
            Ok(Err(failure)) => Err(status::error(failure, "watch", self.shown())),
            Err(_) => Err(silent("watch", self.shown(), &self.connection.peer, timeout)),
        }
    }

    fn lost(&self, why: String) -> Error {
        Error::new(ErrorKind::Lost, STORE, "watch", self.shown()).because(why)
    }

    fn shown(&self) -> String {
        self.watched.first().map_or_else(String::new, |watched| watched.range.shown())
    }
}

async fn open_stream(
    connector: &Connector,
    connection: &Arc<Connection>,
    watched: &[Watched],
) -> Result<WatchStream> {
    let shown = watched.first().map_or_else(String::new, |watched| watched.range.shown());
    let opening = async {
        let mut stream: Option<WatchStream> = None;
        for (id, Watched { range, seen }) in (1..).zip(watched) {
            let options = WatchOptions::new().with_watch_id(id).with_start_revision(signed(*seen) + 1);
            let options = if range.is_one_key() { options } else { options.with_range(range.end.clone()) };
            match &mut stream {
                Some(stream) => stream.watch(range.start.clone(), Some(options)).await?,
                None => {
                    stream = Some(connection.watch().watch(range.start.clone(), Some(options)).await?);
                }
            }
        }
        Ok(stream)
    };
    let timeout = connector.settings.request_timeout;
    let failure = match tokio::time::timeout(timeout, opening).await {
        Ok(Ok(Some(stream))) => return Ok(stream),
        Ok(Ok(None)) => super::invalid("watch", "nothing", "no prefix is given"),
        Ok(Err(failure)) => status::error(failure, "watch", shown),
        Err(_) => silent("watch", shown, &connection.peer, timeout),
    };
    if failure.is_transient() {
        connector.discard(connection);
    }
    Err(failure)
}

/// The change that `event` tells, with its revision, if it comes after `seen`.
fn change(event: PbEvent, seen: u64) -> Option<(u64, Change)> {
    const DELETE: i32 = 1;
    let kv = event.kv?;
    let revision = unsigned(kv.mod_revision);
    if revision <= seen {
        return None;
    }
    let key = readable(kv.key)?;
    let entry = (event.r#type != DELETE).then(|| Entry { value: kv.value.into(), revision });
    Some((revision, Change { key, entry }))
}
