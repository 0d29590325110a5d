//! Who is told of what: the watches that are up to date, found by the keys that change.
//!
//! The writer [publishes](Hub::publish_with) what a group has changed after it is durable; nothing here blocks it.
//! A watch that is not up to date is not here: its stream reads history (`watch.rs`) until it can
//! [attach](Hub::attach). A watch whose stream does not keep up is dropped from here with the revision that
//! it has missed, and reads history again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::group::Revision;
use crate::look::{End, Span};

/// Deliveries that a stream may leave unread for each of its watches.
const UNREAD: usize = 16;
/// Deliveries that a stream may leave unread, however few watches it has.
const UNREAD_LEAST: usize = 1024;

/// Bytes of changes that a stream may leave unread.
const UNREAD_BYTES: usize = 16 << 20;

/// All watches that are up to date.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last revision that was published.
    head: u64,
    next: u64,
    watches: HashMap<u64, Attached>,
    index: Index,
}

#[derive(Debug)]
struct Attached {
    id: i64,
    span: Span,
    /// The first revision that it wants.
    next: u64,
    mailbox: Arc<Mailbox>,
    /// What it wants of the group that is being published.
    picks: Vec<Pick>,
}

/// A change of a group: which of its revisions, and which change of that.
pub(crate) type Pick = (u32, u32);

/// What one stream has still to read.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    unread: Mutex<Unread>,
    pub(crate) arrived: Notify,
}

#[derive(Debug, Default)]
struct Unread {
    /// With the bytes that each holds and those before it do not.
    deliveries: VecDeque<(Delivery, usize)>,
    watches: usize,
    bytes: usize,
    /// The last revision whose bytes were counted: a stream's watches share them.
    counted: u64,
}

/// What a stream is told.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Changes that a watch may want: its filters are its stream's matter.
    Changes {
        /// The watch, by the stream's own number.
        id: i64,
        /// The last revision that the watch has then seen.
        head: u64,
        /// The group's revisions, and what of them is meant, in order.
        revisions: Arc<[Revision]>,
        picks: Vec<Pick>,
    },
    /// The watch is not attached any more, and has seen all before this revision.
    Behind { id: i64, next: u64 },
}

impl Mailbox {
    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Option<Delivery> {
        let mut unread = self.unread();
        let (delivery, bytes) = unread.deliveries.pop_front()?;
        unread.bytes -= bytes;
        Some(delivery)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unread().deliveries.is_empty()
    }

    /// Adds a delivery; `false` if the stream has too many.
    fn deliver(&self, delivery: Delivery) -> bool {
        let mut unread = self.unread();
        let bytes = unread.new_bytes(&delivery);
        let is_full = unread.deliveries.len() >= UNREAD_LEAST.max(UNREAD * unread.watches)
            || (bytes > 0 && unread.bytes >= UNREAD_BYTES);
        let takes = !is_full || matches!(delivery, Delivery::Behind { .. });
        if takes {
            unread.bytes += bytes;
            unread.counted = unread.counted.max(delivery.head());
            unread.deliveries.push_back((delivery, bytes));
            self.arrived.notify_one();
        }
        takes
    }
}

impl Unread {
    /// The bytes that a delivery adds to what is held already.
    fn new_bytes(&self, delivery: &Delivery) -> usize {
        let Delivery::Changes { revisions, .. } = delivery else { return 0 };
        let new = revisions.iter().filter(|revision| revision.number > self.counted);
        new.map(|revision| revision.weight).sum()
    }
}

impl Delivery {
    /// The last revision that it holds.
    fn head(&self) -> u64 {
        match self {
            Delivery::Changes { head, .. } => *head,
            Delivery::Behind { .. } => 0,
        }
    }
}

/// An attached watch's number in the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Hub {
    /// A hub of a store that is at `head`.
    pub(crate) fn new(head: u64) -> Hub {
        Hub { inner: Mutex::new(Inner { head, ..Inner::default() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last revision that was published.
    pub(crate) fn head(&self) -> u64 {
        self.inner().head
    }

    /// Adds a watch that has seen all before revision `next`; `None` if there is more to see already.
    pub(crate) fn attach(&self, id: i64, span: &Span, next: u64, mailbox: &Arc<Mailbox>) -> Option<Ticket> {
        let mut inner = self.inner();
        if inner.head >= next {
            return None;
        }
        let ticket = inner.next;
        inner.next += 1;
        inner.index.add(span, ticket);
        let (span, mailbox) = (span.clone(), Arc::clone(mailbox));
        mailbox.unread().watches += 1;
        let watch = Attached { id, span, next, mailbox, picks: Vec::new() };
        inner.watches.insert(ticket, watch);
        Some(Ticket(ticket))
    }

    /// Removes a watch; what was delivered to it before may still be unread.
    pub(crate) fn detach(&self, ticket: Ticket) {
        self.inner().remove(ticket.0);
    }

    /// Calls `then` with the last published revision, while nothing can be published: all deliveries up to it
    /// are in the mailboxes.
    pub(crate) fn at_head<T>(&self, then: impl FnOnce(u64) -> T) -> T {
        let inner = self.inner();
        then(inner.head)
    }

    /// Calls `commit`, which lets readers see what a group has changed, and tells the watches. A watch that is
    /// made meanwhile waits, so that it begins where readers are.
    pub(crate) fn publish_with<E>(
        &self,
        revisions: &[Revision],
        commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut inner = self.inner();
        commit()?;
        inner.publish(revisions);
        Ok(())
    }
}

impl Inner {
    fn publish(&mut self, revisions: &[Revision]) {
        let Some(last) = revisions.last() else { return };
        let mut told = Vec::new();
        for (index, revision) in (0_u32..).zip(revisions) {
            for (place, change) in (0_u32..).zip(revision.changes.iter()) {
                let watches = &mut self.watches;
                self.index.each(&change.key, |ticket| {
                    let Some(watch) = watches.get_mut(&ticket) else { return };
                    if watch.next > revision.number {
                        return;
                    }
                    if watch.picks.is_empty() {
                        told.push(ticket);
                    }
                    watch.picks.push((index, place));
                });
            }
        }
        self.head = last.number;
        let revisions: Arc<[Revision]> = revisions.into();
        for ticket in told {
            self.deliver(ticket, &revisions);
        }
    }

    fn deliver(&mut self, ticket: u64, revisions: &Arc<[Revision]>) {
        let Some(watch) = self.watches.get_mut(&ticket) else { return };
        let (id, head) = (watch.id, self.head);
        let picks = std::mem::take(&mut watch.picks);
        let missed = picks.first().map_or(head, |(index, _)| revisions[*index as usize].number);
        if !watch.mailbox.deliver(Delivery::Changes { id, head, revisions: Arc::clone(revisions), picks }) {
            let mailbox = Arc::clone(&watch.mailbox);
            self.remove(ticket);
            mailbox.deliver(Delivery::Behind { id, next: missed });
        }
    }

    fn remove(&mut self, ticket: u64) {
        if let Some(watch) = self.watches.remove(&ticket) {
            self.index.remove(&watch.span, ticket);
            watch.mailbox.unread().watches -= 1;
        }
    }
}

/// Watches by what they watch. Nearly all watch a key or a prefix, and those are found without looking at the
/// others.
#[derive(Debug, Default)]
struct Index {
    keys: HashMap<Bytes, Vec<u64>>,
    prefixes: HashMap<Bytes, Vec<u64>>,
    /// How many prefixes have which length: only these are looked up.
    lengths: BTreeMap<usize, usize>,
    others: Vec<(Span, u64)>,
}

impl Index {
    fn add(&mut self, span: &Span, ticket: u64) {
        match kind(span) {
            Kind::Key => self.keys.entry(span.start.clone()).or_default().push(ticket),
            Kind::Prefix => {
                self.prefixes.entry(span.start.clone()).or_default().push(ticket);
                *self.lengths.entry(span.start.len()).or_default() += 1;
            }
            Kind::Other => self.others.push((span.clone(), ticket)),
        }
    }

    fn remove(&mut self, span: &Span, ticket: u64) {
        match kind(span) {
            Kind::Key => take_out(&mut self.keys, &span.start, ticket),
            Kind::Prefix => {
                take_out(&mut self.prefixes, &span.start, ticket);
                let length = span.start.len();
                if let Some(count) = self.lengths.get_mut(&length) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&length);
                    }
                }
            }
            Kind::Other => self.others.retain(|(_, other)| *other != ticket),
        }
    }

    fn each(&self, key: &[u8], mut found: impl FnMut(u64)) {
        for ticket in self.keys.get(key).into_iter().flatten() {
            found(*ticket);
        }
        for length in self.lengths.keys().take_while(|length| **length <= key.len()) {
            for ticket in self.prefixes.get(&key[..*length]).into_iter().flatten() {
                found(*ticket);
            }
        }
        for (span, ticket) in &self.others {
            if span.contains(key) {
                found(*ticket);
            }
        }
    }
}

fn take_out(map: &mut HashMap<Bytes, Vec<u64>>, key: &Bytes, ticket: u64) {
    if let Some(tickets) = map.get_mut(key) {
        tickets.retain(|other| *other != ticket);
        if tickets.is_empty() {
            map.remove(key);
        }
    }
}

enum Kind {
    Key,
    Prefix,
    Other,
}

fn kind(span: &Span) -> Kind {
    match &span.end {
        End::One => Kind::Key,
        End::Before(end) if ends_prefix(&span.start, end) => Kind::Prefix,
        End::Before(_) | End::Open => Kind::Other,
    }
}

/// True if the keys from `start` to before `end` are those that begin with `start`: etcd's clients make such
/// an end of a prefix by adding one to its last byte.
fn ends_prefix(start: &[u8], end: &[u8]) -> bool {
    match (start.split_last(), end.split_last()) {
        (Some((last, head)), Some((end_last, end_head))) => {
            head == end_head && last.checked_add(1) == Some(*end_last)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Change;

    fn revision(number: u64, keys: &[&'static str]) -> Revision {
        let change =
            |key: &&'static str| Change { key: Bytes::from_static(key.as_bytes()), now: None, before: None };
        Revision { number, changes: keys.iter().map(change).collect(), weight: 1 }
    }

    fn publish(hub: &Hub, revisions: &[Revision]) {
        hub.publish_with(revisions, || Ok::<(), ()>(())).expect("nothing is committed here");
    }

    /// A watch, and the revisions with the places that it is told.
    type Told = (i64, Vec<(u64, Vec<u32>)>);

    /// What is in a mailbox.
    fn read(mailbox: &Mailbox) -> Vec<Told> {
        let deliveries = std::iter::from_fn(|| mailbox.take());
        let plain = deliveries.map(|delivery| match delivery {
            Delivery::Changes { id, revisions, picks, .. } => {
                let mut told: Vec<(u64, Vec<u32>)> = Vec::new();
                for (index, place) in picks {
                    let number = revisions[index as usize].number;
                    match told.last_mut() {
                        Some((same, places)) if *same == number => places.push(place),
                        _ => told.push((number, vec![place])),
                    }
                }
                (id, told)
            }
            Delivery::Behind { id, next } => (id, vec![(next, vec![])]),
        });
        plain.collect()
    }

    #[test]
    fn a_watch_is_told_of_its_keys_and_no_others() {
        let hub = Hub::new(1);
        let mailbox = Arc::default();
        let spans = [(b"/a/", &b"/a0"[..]), (b"/a/", b""), (b"/a0", b"\0"), (b"/a!", b"/a/z")];
        for (id, (start, end)) in (0..).zip(spans) {
            hub.attach(id, &Span::new(start, end), 2, &mailbox).expect("nothing was published");
        }
        publish(&hub, &[revision(2, &["/a/1", "/b", "/a/"])]);
        let mut told = read(&mailbox);
        told.sort_unstable();
        assert_eq!(
            told,
            [
                (0, vec![(2, vec![0, 2])]),
                (1, vec![(2, vec![2])]),
                (2, vec![(2, vec![1])]),
                (3, vec![(2, vec![0, 2])])
            ]
        );
    }

    #[test]
    fn a_watch_of_the_future_is_not_told_of_what_is_before() {
        let hub = Hub::new(1);
        let mailbox = Arc::default();
        hub.attach(7, &Span::new(b"k", b""), 4, &mailbox).expect("4 is not there yet");
        publish(&hub, &[revision(2, &["k"]), revision(3, &["k"]), revision(4, &["k"])]);
        assert_eq!(read(&mailbox), [(7, vec![(4, vec![0])])]);
        assert!(hub.attach(8, &Span::new(b"k", b""), 4, &mailbox).is_none(), "it would miss 4");
    }

    #[test]
    fn a_stream_that_does_not_read_is_told_where_it_was_left_behind() {
        let hub = Hub::new(1);
        let mailbox = Arc::default();
        hub.attach(7, &Span::new(b"k", b""), 2, &mailbox).expect("nothing was published");
        let many = UNREAD_LEAST as u64 + 10;
        for number in 2..2 + many {
            publish(&hub, &[revision(number, &["k"])]);
        }
        let told = read(&mailbox);
        assert_eq!(told.len(), UNREAD_LEAST + 1);
        assert_eq!(told.last(), Some(&(7, vec![(2 + UNREAD_LEAST as u64, vec![])])));
        publish(&hub, &[revision(2 + many, &["k"])]);
        assert_eq!(read(&mailbox), [], "it is not attached any more");
    }

    #[test]
    fn a_stream_that_holds_much_is_left_behind_and_shared_bytes_count_once() {
        let hub = Hub::new(1);
        let mailbox = Arc::default();
        for id in 0..100 {
            hub.attach(id, &Span::new(b"k", b""), 2, &mailbox).expect("nothing was published");
        }
        let heavy = |number| Revision { weight: UNREAD_BYTES / 4, ..revision(number, &["k"]) };
        (2..=5).for_each(|number| publish(&hub, &[heavy(number)]));
        publish(&hub, &[revision(6, &["k"])]);
        let told = read(&mailbox);
        assert_eq!(told.len(), 4 * 100 + 100, "four revisions for all, and where they were left");
        assert!(told[400..].iter().all(|(_, told)| *told == [(6, vec![])]));
        assert_eq!(mailbox.unread().bytes, 0);
    }

    #[test]
    fn a_detached_watch_leaves_nothing_behind() {
        let hub = Hub::new(1);
        let mailbox = Arc::default();
        for (start, end) in [(&b"k"[..], &b""[..]), (b"k", b"l"), (b"k", b"\0")] {
            let ticket = hub.attach(1, &Span::new(start, end), 2, &mailbox).expect("nothing was published");
            hub.detach(ticket);
        }
        let inner = hub.inner();
        assert!(inner.watches.is_empty() && inner.index.keys.is_empty() && inner.index.prefixes.is_empty());
        assert!(inner.index.lengths.is_empty() && inner.index.others.is_empty());
    }
}
