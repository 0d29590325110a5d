//! What is in the database: its tables and the bytes of their entries. `docs/store-format.md` says it for
//! readers.
//!
//! A change of what is written here is a new [`FORMAT`]; older formats stay readable. Numbers are
//! little-endian, lengths are four bytes.

use std::fmt;

use bytes::Bytes;
use redb::{ReadableTable, TableDefinition};

use crate::pb;

/// The format that this version writes.
pub(crate) const FORMAT: u64 = 1;

/// Live keys: key to [`Record`].
pub(crate) const KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("keys");
/// History: revision and place in it to [`Change`].
pub(crate) const CHANGES: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("changes");
/// Leases: id to time to live in seconds.
pub(crate) const LEASES: TableDefinition<'_, i64, u64> = TableDefinition::new("leases");
/// Which keys live under which lease.
pub(crate) const LEASED: TableDefinition<'_, (i64, &[u8]), ()> = TableDefinition::new("leased");
/// The numbers named by [`meta`].
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The names in [`META`].
pub(crate) mod meta {
    /// [`FORMAT`](super::FORMAT) of the writer.
    pub(crate) const FORMAT: &str = "format";
    /// etcd's cluster id, drawn when the store is made.
    pub(crate) const CLUSTER: &str = "cluster";
    /// etcd's member id, drawn when the store is made.
    pub(crate) const MEMBER: &str = "member";
    /// How often the store was opened: etcd's raft term.
    pub(crate) const TERM: &str = "term";
    /// The latest revision.
    pub(crate) const REVISION: &str = "revision";
    /// The revision before which history is gone; missing before the first compaction.
    pub(crate) const COMPACTED: &str = "compacted";
    /// Bytes of keys, values and history.
    pub(crate) const SIZE: &str = "size";
    /// The last record of the journal that is in the database.
    pub(crate) const SEQUENCE: &str = "sequence";
}

/// A key's value and what etcd tells about it. `Debug` shows the value's length only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) value: Bytes,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { created, modified, version, lease, value } = self;
        write!(f, "{created}/{modified}/{version} lease {lease}, {} bytes", value.len())
    }
}

/// Bytes of a record before its value.
const RECORD_HEAD: usize = 32;

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORD_HEAD + self.value.len());
        self.append(&mut bytes);
        bytes
    }

    fn append(&self, bytes: &mut Vec<u8>) {
        for number in [self.created, self.modified, self.version] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.lease.to_le_bytes());
        bytes.extend_from_slice(&self.value);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Record {
        let Seen { created, modified, version, lease, value } = Seen::of(bytes);
        Record { created, modified, version, lease, value: Bytes::copy_from_slice(value) }
    }

    pub(crate) fn seen(&self) -> Seen<'_> {
        let Record { created, modified, version, lease, ref value } = *self;
        Seen { created, modified, version, lease, value }
    }
}

/// A record whose value is still where it is kept.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
    pub(crate) value: &'a [u8],
}

impl<'a> Seen<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Seen<'a> {
        let mut rest = Reader(bytes);
        Seen {
            created: rest.u64(),
            modified: rest.u64(),
            version: rest.u64(),
            lease: rest.i64(),
            value: rest.0,
        }
    }

    /// etcd's answer for this record.
    pub(crate) fn key_value(self, key: &[u8]) -> pb::KeyValue {
        self.about(key, self.value)
    }

    /// The same without its value.
    pub(crate) fn key_only(self, key: &[u8]) -> pb::KeyValue {
        self.about(key, &[])
    }

    fn about(self, key: &[u8], value: &[u8]) -> pb::KeyValue {
        pb::KeyValue {
            key: key.to_vec(),
            create_revision: self.created.cast_signed(),
            mod_revision: self.modified.cast_signed(),
            version: self.version.cast_signed(),
            value: value.to_vec(),
            lease: self.lease,
        }
    }
}

/// What happened to one key in one revision: enough to tell watchers, and to look back before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Bytes,
    /// What the key became; `None` if it was deleted.
    pub(crate) now: Option<Record>,
    /// What it was before; `None` if it was not there.
    pub(crate) before: Option<Record>,
}

impl Change {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.key.len() + 2 * RECORD_HEAD);
        append_bytes(&mut bytes, &self.key);
        for record in [&self.now, &self.before] {
            let start = bytes.len();
            bytes.extend_from_slice(&[0; 4]);
            if let Some(record) = record {
                record.append(&mut bytes);
            }
            let length = length_of(bytes.len() - start - 4);
            bytes[start..start + 4].copy_from_slice(&length);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Change {
        let mut rest = Reader(bytes);
        let key = Bytes::copy_from_slice(rest.bytes());
        let mut record = || {
            let bytes = rest.bytes();
            (!bytes.is_empty()).then(|| Record::decode(bytes))
        };
        Change { key, now: record(), before: record() }
    }

    /// The key alone, for those who may not care about the rest.
    pub(crate) fn key_in(bytes: &[u8]) -> &[u8] {
        Reader(bytes).bytes()
    }
}

/// Appends `bytes` with their length before them.
pub(crate) fn append_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&length_of(bytes.len()));
    to.extend_from_slice(bytes);
}

fn length_of(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("requests are far below four gigabytes").to_le_bytes()
}

/// Takes numbers and bytes off the front of an entry that was written whole: the database's pages are
/// checked at the start, the journal's records when they are read, so running out of bytes is a bug and not a broken file.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    pub(crate) fn i64(&mut self) -> i64 {
        self.u64().cast_signed()
    }

    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = u32::from_le_bytes(self.take(4).try_into().expect("four bytes"));
        self.take(length as usize)
    }
}

/// A number of [`META`]; 0 if it was never written.
pub(crate) fn number(
    meta: &impl ReadableTable<&'static str, u64>,
    name: &str,
) -> Result<u64, redb::StorageError> {
    Ok(meta.get(name)?.map_or(0, |number| number.value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &'static [u8]) -> Record {
        Record { created: 2, modified: 7, version: 3, lease: -5, value: Bytes::from_static(value) }
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let empty = record(b"");
        assert_eq!(Record::decode(&empty.encode()), empty);
        for (now, before) in
            [(Some(record(b"v")), None), (None, Some(empty)), (Some(record(b"")), Some(record(b"w")))]
        {
            let change = Change { key: Bytes::from_static(b"\0k\xff"), now, before };
            assert_eq!(Change::decode(&change.encode()), change);
            assert_eq!(Change::key_in(&change.encode()), b"\0k\xff");
        }
    }
}
