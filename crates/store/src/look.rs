//! Looking at the store: keys in a range, now or at an old revision.
//!
//! The past is not stored as such: what a key was at revision R is what the first change of it after R says
//! was before. So a look at R reads the changes since R, and costs nothing where nothing looks back.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use redb::{ReadableTable, StorageError};

use crate::error::Refusal;
use crate::format::{self, Change, Record, Seen, meta};
use crate::pb;

/// Keys from `start` to before `end`, as etcd's requests name them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) start: Bytes,
    pub(crate) end: End,
}

/// Where a span ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// With its first key.
    One,
    /// Before this key.
    Before(Bytes),
    /// Nowhere: etcd's `range_end` of one zero byte.
    Open,
}

impl Span {
    /// `key` and `range_end` as in etcd's `RangeRequest`.
    pub(crate) fn new(key: &[u8], range_end: &[u8]) -> Span {
        let end = match range_end {
            [] => End::One,
            [0] => End::Open,
            end => End::Before(Bytes::copy_from_slice(end)),
        };
        Span { start: Bytes::copy_from_slice(key), end }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::One => key == self.start,
            End::Before(end) => *key >= *self.start && *key < **end,
            End::Open => *key >= *self.start,
        }
    }

    /// True if no key can be in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.end, End::Before(end) if *end <= self.start)
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = match &self.end {
            End::One => Bound::Included(&*self.start),
            End::Before(end) => Bound::Excluded(&**end),
            End::Open => Bound::Unbounded,
        };
        (Bound::Included(&*self.start), end)
    }
}

/// How far the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) revision: u64,
    /// History before this revision is gone; `None` before the first compaction.
    pub(crate) compacted: Option<u64>,
}

impl Head {
    /// How far a database is: to its last change, or to where its history was when it had none.
    pub(crate) fn of(
        meta: &impl ReadableTable<&'static str, u64>,
        changes: &impl ReadableTable<(u64, u32), &'static [u8]>,
    ) -> Result<Head, StorageError> {
        let last = changes.last()?.map_or(0, |(place, _)| place.value().0);
        Ok(Head {
            revision: last.max(format::number(meta, meta::REVISION)?),
            compacted: meta.get(meta::COMPACTED)?.map(|number| number.value()),
        })
    }

    /// The first revision that can be looked at.
    pub(crate) fn floor(self) -> u64 {
        self.compacted.unwrap_or(0)
    }

    /// The first revision that can be looked at as etcd tells it: -1 before the first compaction.
    pub(crate) fn mark(self) -> i64 {
        self.compacted.map_or(-1, u64::cast_signed)
    }

    /// The revision that a request means, if it can be looked at: 0 and below mean the latest.
    pub(crate) fn resolve(self, revision: i64) -> Result<u64, Refusal> {
        match u64::try_from(revision) {
            Err(_) | Ok(0) => Ok(self.revision),
            Ok(revision) if revision > self.revision => Err(Refusal::FutureRevision),
            Ok(revision) if revision < self.floor() => Err(Refusal::Compacted),
            Ok(revision) => Ok(revision),
        }
    }
}

/// Either a request is refused, or the database fails.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Storage(StorageError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Failure {
        Failure::Storage(error)
    }
}

/// The tables that are looked at, of a read or of a write transaction, and how far they are.
#[derive(Debug)]
pub(crate) struct Look<'t, K, C> {
    pub(crate) keys: &'t K,
    pub(crate) changes: &'t C,
    pub(crate) head: Head,
}

impl<K, C> Look<'_, K, C>
where
    K: ReadableTable<&'static [u8], &'static [u8]>,
    C: ReadableTable<(u64, u32), &'static [u8]>,
{
    /// A key as it is now.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Record>, StorageError> {
        Ok(self.keys.get(key)?.map(|record| Record::decode(record.value())))
    }

    /// The keys of a span as they are now.
    pub(crate) fn keys_in(&self, span: &Span) -> Result<Vec<Bytes>, StorageError> {
        let mut keys = Vec::new();
        self.each_now(span, &mut |key, _| {
            keys.push(Bytes::copy_from_slice(key));
            true
        })?;
        Ok(keys)
    }

    /// Gives `visit` the records of a span at a revision, in key order, until it says `false`.
    pub(crate) fn each(
        &self,
        span: &Span,
        revision: u64,
        visit: &mut impl FnMut(&[u8], Seen<'_>) -> bool,
    ) -> Result<(), StorageError> {
        if revision >= self.head.revision {
            return self.each_now(span, visit);
        }
        let mut past = self.changed_since(span, revision)?.into_iter().peekable();
        let wants_more = Cell::new(true);
        let mut visit = |key: &[u8], seen: Seen<'_>| {
            wants_more.set(visit(key, seen));
            wants_more.get()
        };
        self.each_now(span, &mut |key, seen| {
            while let Some((old, record)) = past.next_if(|(old, _)| **old < *key) {
                if let Some(record) = record
                    && !visit(&old, record.seen())
                {
                    return false;
                }
            }
            match past.next_if(|(old, _)| **old == *key) {
                Some((_, Some(record))) => visit(key, record.seen()),
                Some((_, None)) => true,
                None => visit(key, seen),
            }
        })?;
        if wants_more.get() {
            for (key, record) in past {
                if let Some(record) = record
                    && !visit(&key, record.seen())
                {
                    break;
                }
            }
        }
        Ok(())
    }

    fn each_now(
        &self,
        span: &Span,
        visit: &mut impl FnMut(&[u8], Seen<'_>) -> bool,
    ) -> Result<(), StorageError> {
        if span.end == End::One {
            if let Some(record) = self.keys.get(&*span.start)? {
                visit(&span.start, Seen::of(record.value()));
            }
            return Ok(());
        }
        if span.is_empty() {
            return Ok(());
        }
        for entry in self.keys.range::<&[u8]>(span.bounds())? {
            let (key, record) = entry?;
            if !visit(key.value(), Seen::of(record.value())) {
                break;
            }
        }
        Ok(())
    }

    /// What the keys that have changed since a revision were at it.
    fn changed_since(
        &self,
        span: &Span,
        revision: u64,
    ) -> Result<BTreeMap<Bytes, Option<Record>>, StorageError> {
        let mut past = BTreeMap::new();
        for entry in self.changes.range((revision + 1, 0)..)? {
            let (_, change) = entry?;
            if span.contains(Change::key_in(change.value())) {
                let Change { key, before, .. } = Change::decode(change.value());
                past.entry(key).or_insert(before);
            }
        }
        Ok(past)
    }

    /// Answers a range request as etcd's `applierV3backend.Range` does, header apart: filters and sorting
    /// come after the count and before the limit.
    pub(crate) fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Failure> {
        let revision = self.head.resolve(request.revision)?;
        let span = Span::new(&request.key, &request.range_end);
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let order = Order::of(request);
        let filter = Filter::of(request);
        let take = if order.is_none() && filter.is_none() { limit } else { usize::MAX };
        // Values are left where they are unless something compares them.
        let keys_only = request.keys_only && order.as_ref().is_none_or(|order| order.target != Target::Value);

        let mut found = pb::RangeResponse::default();
        self.each(&span, revision, &mut |key, seen| {
            found.count += 1;
            if !request.count_only
                && found.kvs.len() < take
                && filter.as_ref().is_none_or(|filter| filter.admits(seen))
            {
                found.kvs.push(if keys_only { seen.key_only(key) } else { seen.key_value(key) });
            }
            true
        })?;
        // What the filters leave out is no more to come: etcd compares with what they have left.
        let matching = if filter.is_some() {
            found.kvs.len()
        } else {
            usize::try_from(found.count).unwrap_or(usize::MAX)
        };
        if let Some(order) = order {
            found.kvs.sort_by(|a, b| order.compare(a, b));
        }
        found.kvs.truncate(limit);
        found.more = !request.count_only && matching > limit;
        if request.keys_only {
            found.kvs.iter_mut().for_each(|pair| pair.value = Vec::new());
        }
        Ok(found)
    }

    /// The changes of a span from revision `first` to `last`, whole revisions, until they weigh more than `most` bytes;
    /// and the revision to go on with.
    pub(crate) fn history(
        &self,
        span: &Span,
        first: u64,
        last: u64,
        most: usize,
    ) -> Result<(Vec<(u64, Change)>, u64), StorageError> {
        let mut found = Vec::new();
        let mut weight = 0;
        let mut previous = first;
        for entry in self.changes.range((first, 0)..(last + 1, 0))? {
            let (place, change) = entry?;
            let revision = place.value().0;
            if weight > most && revision != previous {
                return Ok((found, revision));
            }
            previous = revision;
            weight += change.value().len();
            if span.contains(Change::key_in(change.value())) {
                found.push((revision, Change::decode(change.value())));
            }
        }
        Ok((found, last + 1))
    }
}

/// What history has from a revision on.
pub(crate) enum Past {
    /// Nothing: it is gone before this revision.
    Compacted(u64),
    /// Whole revisions, and the one to go on with.
    Changes { changes: Vec<(u64, Change)>, next: u64 },
}

/// The bounds on revisions that a request sets.
#[derive(Debug)]
struct Filter {
    modified: (i64, i64),
    created: (i64, i64),
}

impl Filter {
    fn of(request: &pb::RangeRequest) -> Option<Filter> {
        let modified = (request.min_mod_revision, request.max_mod_revision);
        let created = (request.min_create_revision, request.max_create_revision);
        (modified != (0, 0) || created != (0, 0)).then_some(Filter { modified, created })
    }

    fn admits(&self, seen: Seen<'_>) -> bool {
        let within = |(least, most): (i64, i64), revision: u64| {
            let revision = revision.cast_signed();
            revision >= least && (most == 0 || revision <= most)
        };
        // A least of 0 admits all revisions, as in etcd.
        within(self.modified, seen.modified) && within(self.created, seen.created)
    }
}

/// How a request wants its keys sorted.
#[derive(Debug)]
struct Order {
    target: Target,
    descending: bool,
}

/// etcd's `RangeRequest.SortTarget`.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Key,
    Version,
    Created,
    Modified,
    Value,
}

impl Order {
    /// `None` where the keys' own order is asked for. A target without an order means ascending.
    fn of(request: &pb::RangeRequest) -> Option<Order> {
        let target = match request.sort_target {
            1 => Target::Version,
            2 => Target::Created,
            3 => Target::Modified,
            4 => Target::Value,
            _ => Target::Key,
        };
        let descending = request.sort_order == 2;
        (descending || target != Target::Key).then_some(Order { target, descending })
    }

    fn compare(&self, a: &pb::KeyValue, b: &pb::KeyValue) -> Ordering {
        let ascending = match self.target {
            Target::Key => a.key.cmp(&b.key),
            Target::Version => a.version.cmp(&b.version),
            Target::Created => a.create_revision.cmp(&b.create_revision),
            Target::Modified => a.mod_revision.cmp(&b.mod_revision),
            Target::Value => a.value.cmp(&b.value),
        };
        if self.descending { ascending.reverse() } else { ascending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_one_key_a_range_or_everything_from_a_key() {
        let one = Span::new(b"a", b"");
        assert!(one.contains(b"a") && !one.contains(b"aa"));
        let range = Span::new(b"a", b"c");
        assert!(range.contains(b"a") && range.contains(b"b\xff") && !range.contains(b"c"));
        let open = Span::new(b"a", b"\0");
        assert!(open.contains(b"\xff\xff") && !open.contains(b"A"));
        assert!(Span::new(b"b", b"a").is_empty() && Span::new(b"b", b"b").is_empty() && !one.is_empty());
    }
}
