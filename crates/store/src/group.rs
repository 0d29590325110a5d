//! A group of requests being written: one redb transaction, one record of the journal.
//!
//! Everything that changes the store goes through the few operations here. Each is noted in the group's
//! record in the same step, and [`replay`](Group::replay) does the noted operations again: what the journal
//! brings back is what was done. Requests are checked before they come here (`apply.rs`); nothing here
//! refuses.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use redb::{ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction};

use crate::format::{CHANGES, Change, KEYS, LEASED, LEASES, META, Reader, Record, Seen, append_bytes, meta};
use crate::look::{Head, Look};

/// What is noted in a record. The numbers are a part of the format.
mod note {
    pub(super) const PUT: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const REVISION: u8 = 3;
    pub(super) const GRANT: u8 = 4;
    pub(super) const FORGET: u8 = 5;
    pub(super) const COMPACT: u8 = 6;
}

/// What a change costs beside its bytes, in [`Group::size`]: its number and its pages' share.
const CHANGE_OVERHEAD: u64 = 64;

/// What happened in one revision.
#[derive(Debug, Clone)]
pub(crate) struct Revision {
    pub(crate) number: u64,
    pub(crate) changes: Arc<[Change]>,
    /// About how many bytes the changes hold.
    pub(crate) weight: usize,
}

type Keys<'t> = Table<'t, &'static [u8], &'static [u8]>;
type Changes<'t> = Table<'t, (u64, u32), &'static [u8]>;
type Leased<'t> = Table<'t, (i64, &'static [u8]), ()>;

/// What the writer knows of the store between groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) head: Head,
    /// Bytes of keys, values and history.
    pub(crate) size: u64,
}

/// One redb write transaction, with the tables that it needs: opening and committing one more costs a sixth
/// of a put.
pub(crate) struct Group<'t> {
    transaction: &'t WriteTransaction,
    keys: Keys<'t>,
    changes: Changes<'t>,
    leases: Option<Table<'t, i64, u64>>,
    leased: Option<Leased<'t>>,
    head: Head,
    size: u64,
    /// The head that the group began with.
    before: Head,
    /// The revision that is being made.
    open: Vec<Change>,
    revisions: Vec<Revision>,
    changed_leases: Vec<(i64, Option<u64>)>,
    notes: Vec<u8>,
    /// Bytes of all changes, and of those that are in ended revisions.
    weight: usize,
    ended_weight: usize,
}

/// What a group leaves behind when it is done.
pub(crate) struct Done {
    /// The revisions it made, in order.
    pub(crate) revisions: Vec<Revision>,
    /// Its record for the journal; empty if nothing has changed.
    pub(crate) record: Vec<u8>,
    /// Leases that were granted, with their time to live, and that have ended, in order.
    pub(crate) leases: Vec<(i64, Option<u64>)>,
    pub(crate) state: State,
}

impl<'t> Group<'t> {
    pub(crate) fn begin(transaction: &'t WriteTransaction, state: State) -> Result<Group<'t>, TableError> {
        Ok(Group {
            transaction,
            keys: transaction.open_table(KEYS)?,
            changes: transaction.open_table(CHANGES)?,
            leases: None,
            leased: None,
            head: state.head,
            size: state.size,
            before: state.head,
            open: Vec::new(),
            revisions: Vec::new(),
            changed_leases: Vec::new(),
            notes: Vec::new(),
            weight: 0,
            ended_weight: 0,
        })
    }

    /// What the group can see: everything before it, and what it did itself.
    pub(crate) fn look(&self) -> Look<'_, Keys<'t>, Changes<'t>> {
        let head = Head { revision: self.revision(), ..self.head };
        Look { keys: &self.keys, changes: &self.changes, head }
    }

    /// The latest revision; the one that is being made once it has a change.
    pub(crate) fn revision(&self) -> u64 {
        self.head.revision + u64::from(!self.open.is_empty())
    }

    /// Bytes of the record so far.
    pub(crate) fn noted(&self) -> usize {
        self.notes.len()
    }

    /// Bytes of the changes so far, with what was before them.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// The first revision that can be looked at.
    pub(crate) fn floor(&self) -> u64 {
        self.head.floor()
    }

    /// Writes a key; the lease must be there.
    pub(crate) fn put(&mut self, key: Bytes, value: Bytes, lease: i64) -> Result<(), StorageError> {
        self.notes.push(note::PUT);
        append_bytes(&mut self.notes, &key);
        self.notes.extend_from_slice(&lease.to_le_bytes());
        append_bytes(&mut self.notes, &value);

        let modified = self.head.revision + 1;
        let before = self.keys.get(&*key)?.map(|record| Record::decode(record.value()));
        let (created, version) = before.as_ref().map_or((modified, 1), |old| (old.created, old.version + 1));
        let now = Record { created, modified, version, lease, value };
        self.keys.insert(&*key, &*now.encode())?;

        let old_lease = before.as_ref().map_or(0, |old| old.lease);
        if old_lease != lease {
            self.detach(old_lease, &key)?;
            if lease != 0 {
                opened(&mut self.leased, self.transaction, LEASED)?.insert((lease, &*key), ())?;
            }
        }
        self.size += (key.len() + now.value.len()) as u64;
        self.note_change(Change { key, now: Some(now), before })
    }

    /// Deletes a key; `false` if it was not there.
    pub(crate) fn delete(&mut self, key: Bytes) -> Result<bool, StorageError> {
        let Some(before) = self.keys.remove(&*key)?.map(|record| Record::decode(record.value())) else {
            return Ok(false);
        };
        self.notes.push(note::DELETE);
        append_bytes(&mut self.notes, &key);
        self.detach(before.lease, &key)?;
        self.note_change(Change { key, now: None, before: Some(before) })?;
        Ok(true)
    }

    fn detach(&mut self, lease: i64, key: &[u8]) -> Result<(), StorageError> {
        if lease != 0 {
            opened(&mut self.leased, self.transaction, LEASED)?.remove((lease, key))?;
        }
        Ok(())
    }

    fn note_change(&mut self, change: Change) -> Result<(), StorageError> {
        let place = u32::try_from(self.open.len()).expect("a revision has fewer than four billion changes");
        let bytes = change.encode();
        self.changes.insert((self.head.revision + 1, place), &*bytes)?;
        self.size += size_of_change(&bytes);
        self.weight += bytes.len();
        if let Some(before) = &change.before {
            self.size = self.size.saturating_sub((change.key.len() + before.value.len()) as u64);
        }
        self.open.push(change);
        Ok(())
    }

    /// Ends a request: what it has changed is one revision.
    pub(crate) fn end_revision(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.notes.push(note::REVISION);
        self.head.revision += 1;
        let changes = std::mem::take(&mut self.open).into();
        let weight = self.weight - std::mem::replace(&mut self.ended_weight, self.weight);
        self.revisions.push(Revision { number: self.head.revision, changes, weight });
    }

    pub(crate) fn has_lease(&mut self, id: i64) -> Result<bool, StorageError> {
        Ok(opened(&mut self.leases, self.transaction, LEASES)?.get(id)?.is_some())
    }

    pub(crate) fn grant(&mut self, id: i64, ttl: u64) -> Result<(), StorageError> {
        self.notes.push(note::GRANT);
        self.notes.extend_from_slice(&id.to_le_bytes());
        self.notes.extend_from_slice(&ttl.to_le_bytes());
        opened(&mut self.leases, self.transaction, LEASES)?.insert(id, ttl)?;
        self.changed_leases.push((id, Some(ttl)));
        Ok(())
    }

    /// Ends a lease: its keys go in one revision, in order.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), StorageError> {
        for key in keys_of(opened(&mut self.leased, self.transaction, LEASED)?, id)? {
            self.delete(key)?;
        }
        self.forget(id)?;
        self.end_revision();
        Ok(())
    }

    fn forget(&mut self, id: i64) -> Result<(), StorageError> {
        self.notes.push(note::FORGET);
        self.notes.extend_from_slice(&id.to_le_bytes());
        opened(&mut self.leases, self.transaction, LEASES)?.remove(id)?;
        self.changed_leases.push((id, None));
        Ok(())
    }

    /// Ends the history before `revision`; [`sweep`](Group::sweep) removes it.
    pub(crate) fn compact(&mut self, revision: u64) {
        self.notes.push(note::COMPACT);
        self.notes.extend_from_slice(&revision.to_le_bytes());
        self.head.compacted = Some(revision);
    }

    /// Removes up to `most` changes that compaction has ended, and tells how many. It is not noted: done
    /// again or not at all, it is the same store.
    pub(crate) fn sweep(&mut self, most: usize) -> Result<usize, StorageError> {
        let mut swept = 0;
        while swept < most {
            let Some((place, _)) =
                self.changes.first()?.map(|(place, change)| (place.value(), change.value().len()))
            else {
                break;
            };
            if place.0 >= self.head.floor() {
                break;
            }
            if let Some((_, change)) = self.changes.pop_first()? {
                self.size = self.size.saturating_sub(size_of_change(change.value()));
            }
            swept += 1;
        }
        Ok(swept)
    }

    /// Does again what a record of the journal says.
    pub(crate) fn replay(&mut self, record: &[u8]) -> Result<(), StorageError> {
        let mut rest = Reader(record);
        while !rest.0.is_empty() {
            match rest.u8() {
                note::PUT => {
                    let key = Bytes::copy_from_slice(rest.bytes());
                    let lease = rest.i64();
                    self.put(key, Bytes::copy_from_slice(rest.bytes()), lease)?;
                }
                note::DELETE => {
                    self.delete(Bytes::copy_from_slice(rest.bytes()))?;
                }
                note::REVISION => self.end_revision(),
                note::GRANT => {
                    let id = rest.i64();
                    self.grant(id, rest.u64())?;
                }
                note::FORGET => self.forget(rest.i64())?,
                note::COMPACT => self.compact(rest.u64()),
                unknown => {
                    return Err(StorageError::Corrupted(format!("the journal has a note of kind {unknown}")));
                }
            }
        }
        Ok(())
    }

    /// Closes the tables. With a `sequence`, for a commit that is durable, the database is told all that a
    /// start needs to know, and that this record of the journal is in it.
    ///
    /// Readers need less: the latest revision is that of the last change ([`Head::of`]).
    pub(crate) fn finish(mut self, sequence: Option<u64>) -> Result<Done, StorageError> {
        self.end_revision();
        let mut numbers = Vec::new();
        if self.head.compacted != self.before.compacted || sequence.is_some() {
            numbers.extend(self.head.compacted.map(|compacted| (meta::COMPACTED, compacted)));
        }
        if let Some(sequence) = sequence {
            numbers.extend([
                (meta::REVISION, self.head.revision),
                (meta::SIZE, self.size),
                (meta::SEQUENCE, sequence),
            ]);
        }
        if !numbers.is_empty() {
            let mut table = None;
            let table = opened(&mut table, self.transaction, META)?;
            for (name, number) in numbers {
                table.insert(name, number)?;
            }
        }
        let state = State { head: self.head, size: self.size };
        Ok(Done { revisions: self.revisions, record: self.notes, leases: self.changed_leases, state })
    }
}

/// What a live key counts in a store's size.
pub(crate) fn size_of_key(key: &[u8], record: &[u8]) -> u64 {
    (key.len() + Seen::of(record).value.len()) as u64
}

/// What a change counts in a store's size.
pub(crate) fn size_of_change(change: &[u8]) -> u64 {
    change.len() as u64 + CHANGE_OVERHEAD
}

/// A table of the transaction, opened when it is first needed.
fn opened<'o, 't, K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &'o mut Option<Table<'t, K, V>>,
    transaction: &'t WriteTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<&'o mut Table<'t, K, V>, StorageError> {
    if table.is_none() {
        let opened = transaction.open_table(definition).map_err(|why| match why {
            TableError::Storage(error) => error,
            other => StorageError::Corrupted(other.to_string()),
        });
        *table = Some(opened?);
    }
    Ok(table.as_mut().expect("it was opened just now"))
}

/// The keys under a lease, in order.
pub(crate) fn keys_of(
    leased: &impl ReadableTable<(i64, &'static [u8]), ()>,
    id: i64,
) -> Result<Vec<Bytes>, StorageError> {
    let keys = leased.range::<(i64, &[u8])>((Bound::Included((id, &[][..])), Bound::Unbounded))?;
    let mut found = Vec::new();
    for entry in keys {
        let (place, ()) = entry.map(|(place, unit)| (place, unit.value()))?;
        let (lease, key) = place.value();
        if lease != id {
            break;
        }
        found.push(Bytes::copy_from_slice(key));
    }
    Ok(found)
}
