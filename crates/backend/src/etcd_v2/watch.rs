//! Watching: a series of long polls for each prefix, and a session that tells whether the same process still
//! answers.

use std::sync::Arc;

use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use tokio::sync::watch::{self, Sender};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use waypost_model::{Batch, Position, StoreId};

use super::connection::{Connector, Session};
use super::poll::{Polls, Told, poll_path};
use super::read::Watched;
use super::{STORE, invalid};
use crate::{Error, ErrorKind, Result};

pub(super) fn watch(
    connector: Arc<Connector>,
    watched: Vec<Watched>,
    after: Position,
) -> BoxStream<'static, Result<Batch>> {
    stream::unfold(Some(Progress::Start { connector, watched, after }), |progress| async {
        let watcher = match progress? {
            Progress::Start { connector, watched, after } => Watcher::open(connector, watched, after).await,
            Progress::Open(watcher) => Ok(watcher),
        };
        let mut watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => return Some((Err(error), None)),
        };
        match watcher.next().await {
            Ok(batch) => Some((Ok(batch), Some(Progress::Open(watcher)))),
            Err(error) => {
                if error.is_transient() {
                    watcher.connector.pass_over(watcher.session.number);
                }
                Some((Err(error), None))
            }
        }
    })
    .boxed()
}

enum Progress {
    Start { connector: Arc<Connector>, watched: Vec<Watched>, after: Position },
    Open(Box<Watcher>),
}

struct Watcher {
    connector: Arc<Connector>,
    session: Session,
    store: StoreId,
    watched: Vec<Watched>,
    /// The events of each, by its number.
    told: SelectAll<BoxStream<'static, (usize, Result<Told>)>>,
    /// Tells the polls where the store is.
    newest: Sender<u64>,
    probe: Interval,
}

impl Watcher {
    async fn open(connector: Arc<Connector>, watched: Vec<Watched>, after: Position) -> Result<Box<Watcher>> {
        let Some(first) = watched.first() else {
            return Err(invalid("watch", "nothing", "no prefix is given"));
        };
        let session = connector.open(&first.prefix).await?;
        let (newest, _) = watch::channel(after.revision);
        let every = connector.settings.probe_every;
        let mut probe = tokio::time::interval_at(Instant::now() + every, every);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let told = SelectAll::new();
        let store = after.store;
        let mut watcher = Watcher { connector, session, store, watched, told, newest, probe };
        watcher.compare(after)?;
        for (number, watched) in watcher.watched.iter().enumerate() {
            watcher.told.push(watcher.polls(number, watched));
        }
        Ok(Box::new(watcher))
    }

    fn polls(&self, number: usize, watched: &Watched) -> BoxStream<'static, (usize, Result<Told>)> {
        let polls = Polls {
            connector: Arc::clone(&self.connector),
            number: self.session.number,
            store: self.store,
            path: poll_path(&watched.prefix),
            subject: watched.prefix.to_string(),
            next: watched.seen + 1,
            newest: self.newest.subscribe(),
            connection: None,
        };
        stream::unfold(polls, move |mut polls| async move { Some(((number, polls.next().await), polls)) })
            .boxed()
    }

    async fn next(&mut self) -> Result<Batch> {
        loop {
            tokio::select! {
                // An end of the session comes first: what a poll finds after it may be another history's.
                biased;
                () = self.session.connection.ended() => return Err(self.broken()),
                Some((number, told)) = self.told.next() => {
                    if let Some(batch) = self.take(number, told?)? {
                        return Ok(batch);
                    }
                }
                _ = self.probe.tick() => self.probe().await?,
            }
        }
    }

    /// None if it means nothing to the reader.
    fn take(&mut self, number: usize, told: Told) -> Result<Option<Batch>> {
        let before = self.position();
        let watched = &mut self.watched[number];
        watched.seen = told.seen;
        let changes = match told.event {
            Some(event) => {
                let key = event.node.key.clone();
                let unknown = |_| {
                    let why = format!("the directory {key} was removed, with keys that are not known here");
                    Error::new(ErrorKind::Lost, STORE, "watch", &watched.prefix).because(why)
                };
                watched.known.changes(event).map_err(unknown)?
            }
            None => Vec::new(),
        };
        let position = self.position();
        Ok((!changes.is_empty() || position != before).then_some(Batch { position, changes }))
    }

    /// All polls have seen everything up to the earliest of them.
    fn position(&self) -> Position {
        let seen = self.watched.iter().map(|watched| watched.seen).min();
        Position::new(self.store, seen.unwrap_or_default())
    }

    async fn probe(&mut self) -> Result<()> {
        let before = Position::new(self.store, *self.newest.borrow());
        self.connector.probe(&mut self.session).await?;
        self.compare(before)
    }

    /// Tells the polls where the store is, unless it cannot be the one that was `before`.
    fn compare(&self, before: Position) -> Result<()> {
        let Some(at) = self.session.at else { return Ok(()) };
        if at.store != before.store || at.index < before.revision {
            let why = format!("the store is at {}, the watch was at {before}", at.position());
            return Err(Error::new(ErrorKind::Lost, STORE, "watch", self.shown()).because(why));
        }
        self.newest.send_replace(at.index);
        Ok(())
    }

    fn broken(&self) -> Error {
        let peer = self.connector.url(self.session.number);
        Error::new(ErrorKind::Unavailable, STORE, "watch", self.shown())
            .because(format!("{peer} ended the connection"))
    }

    fn shown(&self) -> String {
        self.watched.first().map(|watched| watched.prefix.to_string()).unwrap_or_default()
    }
}
