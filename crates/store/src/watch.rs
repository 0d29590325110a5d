//! The watches of one stream: etcd's `Watch` call without its transport.
//!
//! A watch is told of every change of its keys from its start revision on, in order, none twice, and all of
//! one revision's in one response (in consecutive ones, if it wants fragments). It begins by reading history,
//! a chunk at a time, until it is up to date; from then on the hub delivers. What is sent follows etcd's
//! `v3rpc/watch.go`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tonic::Status;

use crate::error::Refusal;
use crate::format::Change;
use crate::hub::{Delivery, Mailbox, Ticket};
use crate::look::{Past, Span};
use crate::pb;
use crate::store::Store;

/// Bytes of history that are read at a time for one watch.
const CHUNK: usize = 1 << 20;
/// How often a watch that asked for it is told the revision: etcd's `progressReportInterval`.
const PROGRESS: Duration = Duration::from_mins(10);
/// The id in responses about no watch.
const NO_WATCH: i64 = -1;
/// `WatchCreateRequest.FilterType` of etcd's `rpc.proto`.
const NO_PUT: i32 = 0;
const NO_DELETE: i32 = 1;
/// `Event.EventType` of etcd's `kv.proto`.
const DELETE: i32 = 1;

/// The watches of one stream.
pub struct Watch {
    store: Store,
    mailbox: Arc<Mailbox>,
    watches: BTreeMap<i64, One>,
    /// The lowest id that was not given yet.
    next_id: i64,
    /// Those that have history to read.
    behind: VecDeque<(i64, u64)>,
    /// What is to be sent next.
    ready: VecDeque<pb::WatchResponse>,
    /// How many progress requests wait until all watches are up to date.
    asked: usize,
    progress: Interval,
}

#[derive(Debug)]
struct One {
    span: Span,
    filters: Vec<i32>,
    prev_kv: bool,
    fragment: bool,
    /// Some if it wants to be told the revision now and then: true if it was told nothing since the last
    /// time.
    idle: Option<bool>,
    ticket: Option<Ticket>,
}

impl fmt::Debug for Watch {
    /// Leaves out what is to be sent, which has values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("watches", &self.watches.keys()).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn new(store: Store) -> Watch {
        let mut progress = interval_at(Instant::now() + PROGRESS, PROGRESS);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Watch {
            store,
            mailbox: Arc::default(),
            watches: BTreeMap::new(),
            next_id: 0,
            behind: VecDeque::new(),
            ready: VecDeque::new(),
            asked: 0,
            progress,
        }
    }

    /// Takes a create, cancel or progress request; what it leads to comes from [`next`](Watch::next).
    pub fn request(&mut self, request: pb::WatchRequest) {
        match request.request_union {
            Some(pb::WatchRequestUnion::CreateRequest(create)) => {
                let span = match &*create.key {
                    // etcd's own reading of a watch without a key: from the first one.
                    [] => Span::new(&[0], &create.range_end),
                    key => Span::new(key, &create.range_end),
                };
                let one = One {
                    span,
                    filters: create.filters,
                    prev_kv: create.prev_kv,
                    fragment: create.fragment,
                    idle: create.progress_notify.then_some(true),
                    ticket: None,
                };
                self.create(create.watch_id, create.start_revision, one);
            }
            Some(pb::WatchRequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            Some(pb::WatchRequestUnion::ProgressRequest(_)) => self.asked += 1,
            None => {}
        }
    }

    /// Refuses a create request as etcd does: created and cancelled at once, with the error as Go's gRPC
    /// prints it.
    pub fn refuse(&mut self, why: &Refusal) {
        let status = Status::from(why.clone());
        let reason = format!("rpc error: code = {:?} desc = {}", status.code(), status.message());
        self.respond_refused(reason);
    }

    fn respond_refused(&mut self, cancel_reason: String) {
        let header = Some(self.store.header());
        self.ready.push_back(pb::WatchResponse {
            header,
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason,
            ..Default::default()
        });
    }

    fn create(&mut self, wanted_id: i64, start: i64, one: One) {
        // The words are those of etcd's `mvcc/watcher.go`.
        if one.span.is_empty() {
            return self.respond_refused("mvcc: watcher range is empty".to_owned());
        }
        if self.watches.contains_key(&wanted_id) && wanted_id != 0 {
            return self.respond_refused("mvcc: duplicate watch ID provided on the WatchStream".to_owned());
        }
        if !self.store.add_watch() {
            return self.refuse(&Refusal::TooManyRequests);
        }
        let id = if wanted_id == 0 { self.free_id() } else { wanted_id };
        let head = self.store.published();
        let header = Some(self.store.header_at(head));
        self.ready.push_back(pb::WatchResponse { header, watch_id: id, created: true, ..Default::default() });
        let next = u64::try_from(start).ok().filter(|start| *start > 0).unwrap_or(head + 1);
        self.watches.insert(id, one);
        self.attach_or_read(id, next);
    }

    fn free_id(&mut self) -> i64 {
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    fn attach_or_read(&mut self, id: i64, next: u64) {
        let Some(one) = self.watches.get_mut(&id) else { return };
        one.ticket = self.store.hub().attach(id, &one.span, next, &self.mailbox);
        if one.ticket.is_none() {
            self.behind.push_back((id, next));
        }
    }

    fn cancel(&mut self, id: i64) {
        // What was delivered before is sent first: the client knows no id after its cancellation.
        while self.read_mailbox() {}
        if self.remove(id) {
            let header = Some(self.store.header());
            let response = pb::WatchResponse { header, watch_id: id, canceled: true, ..Default::default() };
            self.ready.push_back(response);
        }
    }

    fn remove(&mut self, id: i64) -> bool {
        let Some(one) = self.watches.remove(&id) else { return false };
        if let Some(ticket) = one.ticket {
            self.store.hub().detach(ticket);
        }
        self.behind.retain(|(behind, _)| *behind != id);
        self.store.remove_watches(1);
        // Deliveries that came between the last look and the detaching are about nobody.
        while self.read_mailbox() {}
        true
    }

    /// The next response to send; pends while there is none. Dropping the future loses nothing.
    pub async fn next(&mut self) -> pb::WatchResponse {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return response;
            }
            if self.read_mailbox() || self.answer_progress() {
                continue;
            }
            if self.read_history() {
                // A chunk takes milliseconds: others have their turn before the next one.
                tokio::task::yield_now().await;
                continue;
            }
            let Watch { mailbox, progress, .. } = self;
            tokio::select! {
                () = mailbox.arrived.notified() => {}
                _ = progress.tick() => self.tell_idle(),
            }
        }
    }

    /// Turns one delivery into responses; `false` if there was none.
    fn read_mailbox(&mut self) -> bool {
        match self.mailbox.take() {
            None => return false,
            Some(Delivery::Changes { id, head, revisions, picks }) => {
                let changes = picks.iter().map(|(index, place)| {
                    let revision = &revisions[*index as usize];
                    (revision.number, &revision.changes[*place as usize])
                });
                if let Some(one) = self.watches.get_mut(&id) {
                    let events = one.events(changes);
                    self.send(id, head, events);
                }
            }
            Some(Delivery::Behind { id, next }) => {
                if let Some(one) = self.watches.get_mut(&id) {
                    one.ticket = None;
                    self.behind.push_back((id, next));
                }
            }
        }
        true
    }

    /// Reads a chunk of history for the watch that has waited longest; `false` if none is behind.
    fn read_history(&mut self) -> bool {
        let Some((id, next)) = self.behind.pop_front() else { return false };
        let Some(one) = self.watches.get(&id) else { return true };
        match self.store.history(&one.span, next, CHUNK) {
            Ok(Past::Compacted(compacted)) => {
                self.remove(id);
                let header = Some(self.store.header());
                self.ready.push_back(pb::WatchResponse {
                    header,
                    watch_id: id,
                    canceled: true,
                    compact_revision: compacted.cast_signed(),
                    ..Default::default()
                });
            }
            Ok(Past::Changes { changes, next }) => {
                if let Some(one) = self.watches.get_mut(&id) {
                    let events = one.events(changes.iter().map(|(revision, change)| (*revision, change)));
                    self.send(id, next - 1, events);
                    self.attach_or_read(id, next);
                }
            }
            Err(why) => {
                self.remove(id);
                let header = Some(self.store.header());
                let cancel_reason = why.words().to_owned();
                let response = pb::WatchResponse {
                    header,
                    watch_id: id,
                    canceled: true,
                    cancel_reason,
                    ..Default::default()
                };
                self.ready.push_back(response);
            }
        }
        true
    }

    /// Answers a progress request once every watch has been told all there is; etcd before 3.5 could answer
    /// too early.
    fn answer_progress(&mut self) -> bool {
        if self.asked == 0 || !self.behind.is_empty() {
            return false;
        }
        // Under the hub's lock nothing is published, and what was published is in the mailbox: if that is
        // empty, all of it was read.
        if let Some(head) = self.store.hub().at_head(|head| self.mailbox.is_empty().then_some(head)) {
            self.asked -= 1;
            let header = Some(self.store.header_at(head));
            self.ready.push_back(pb::WatchResponse { header, watch_id: NO_WATCH, ..Default::default() });
        }
        true
    }

    fn tell_idle(&mut self) {
        let told = self.store.hub().at_head(|head| self.mailbox.is_empty().then_some(head));
        let Some(head) = told else { return };
        for (id, one) in &mut self.watches {
            if one.ticket.is_none() {
                continue;
            }
            if let Some(idle) = &mut one.idle
                && !std::mem::replace(idle, true)
            {
                continue;
            }
            if one.idle.is_some() {
                let header = Some(self.store.header_at(head));
                self.ready.push_back(pb::WatchResponse { header, watch_id: *id, ..Default::default() });
            }
        }
    }

    fn send(&mut self, id: i64, head: u64, events: Vec<pb::Event>) {
        if events.is_empty() {
            return;
        }
        let Some(one) = self.watches.get_mut(&id) else { return };
        if one.idle.is_some() {
            one.idle = Some(false);
        }
        let most = if one.fragment { self.store.limits().request } else { usize::MAX };
        let header = self.store.header_at(head);
        let response = |events, fragment| pb::WatchResponse {
            header: Some(header),
            watch_id: id,
            events,
            fragment,
            ..Default::default()
        };
        let mut parts = split(events, most).into_iter().peekable();
        while let Some(part) = parts.next() {
            self.ready.push_back(response(part, parts.peek().is_some()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for ticket in self.watches.values().filter_map(|one| one.ticket) {
            self.store.hub().detach(ticket);
        }
        self.store.remove_watches(self.watches.len());
    }
}

impl One {
    fn events<'c>(&self, changes: impl Iterator<Item = (u64, &'c Change)>) -> Vec<pb::Event> {
        let wanted = changes.filter(|(_, change)| {
            let filter = if change.now.is_some() { NO_PUT } else { NO_DELETE };
            !self.filters.contains(&filter)
        });
        wanted.map(|(revision, change)| event(revision, change, self.prev_kv)).collect()
    }
}

/// What etcd tells of a change: of a deletion the key and the revision.
fn event(revision: u64, change: &Change, prev_kv: bool) -> pb::Event {
    let before = change.before.as_ref().filter(|_| prev_kv);
    let mut event = pb::Event {
        prev_kv: before.map(|record| record.seen().key_value(&change.key)),
        ..Default::default()
    };
    match &change.now {
        Some(record) => event.kv = Some(record.seen().key_value(&change.key)),
        None => {
            event.r#type = DELETE;
            let mod_revision = revision.cast_signed();
            event.kv = Some(pb::KeyValue { key: change.key.to_vec(), mod_revision, ..Default::default() });
        }
    }
    event
}

/// Events in parts of at most `most` bytes, or of one event.
fn split(events: Vec<pb::Event>, most: usize) -> Vec<Vec<pb::Event>> {
    if most == usize::MAX {
        return vec![events];
    }
    let weight =
        |pair: &Option<pb::KeyValue>| pair.as_ref().map_or(0, |pair| 32 + pair.key.len() + pair.value.len());
    let mut parts = vec![Vec::new()];
    let mut weighs = 0;
    for event in events {
        let weighs_more = weight(&event.kv) + weight(&event.prev_kv);
        weighs += weighs_more;
        if weighs > most && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(Vec::new());
            weighs = weighs_more;
        }
        if let Some(part) = parts.last_mut() {
            part.push(event);
        }
    }
    parts
}
