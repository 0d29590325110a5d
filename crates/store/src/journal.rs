//! The journal: what was acknowledged since the last checkpoint, synced before anybody is told.
//!
//! One record a group of requests, at most one of them unsynced. A record begins at a sector of its own, so
//! that writing one never touches a sector of another. Records are numbered over all checkpoints; those that
//! a checkpoint made needless are overwritten from the front and told apart by their numbers.
//!
//! A record that does not check, with none of a higher number behind it, was never acknowledged: the write
//! was cut off. With one behind it, it was, and the journal is damaged. What is in a record is `group.rs`'s.

use std::io;

use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a disk writes whole or not at all: no disk has smaller sectors.
const SECTOR: u64 = 512;
/// The first record's place; before it is the header.
const START: u64 = 4096;
/// What a journal begins with, its format's number included.
const MAGIC: &[u8; 16] = b"waypost journal1";
/// What a record begins with: its mark, length, number and checksum.
const HEAD: usize = 24;
/// What tells a record's first sector from others, cheaply.
const MARK: u32 = 0x7770_6a31;

/// The journal of one store, positioned behind its last record.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Box<dyn StorageBackend>,
    /// Whose journal it is: a part of every checksum.
    store: u64,
    length: u64,
    /// Where the next record goes.
    end: u64,
    /// The last record's number.
    sequence: u64,
}

/// Why a journal is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not a waypost journal, or one of a later version")]
    Foreign,
    #[error("it belongs to another store")]
    OfAnother,
    #[error(
        "it has not the length that it was made with: acknowledged changes may be lost; restore a backup"
    )]
    CutOff,
    #[error(
        "record {0} is damaged, and later ones are there: acknowledged changes would be lost; restore a backup"
    )]
    Damaged(u64),
}

impl Journal {
    /// Makes an empty journal of `length` bytes, all of them written, so that later appends find their
    /// blocks.
    pub(crate) fn create(file: &dyn StorageBackend, store: u64, length: u64) -> io::Result<()> {
        let length = length.max(START + 2 * SECTOR).next_multiple_of(SECTOR);
        file.set_len(length)?;
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < length {
            let part = zeros.len().min(usize::try_from(length - at).unwrap_or(usize::MAX));
            file.write(at, &zeros[..part])?;
            at += part as u64;
        }
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&store.to_le_bytes());
        header.extend_from_slice(&length.to_le_bytes());
        file.write(0, &header)?;
        file.sync_data()
    }

    /// True if a record was ever written to it.
    pub(crate) fn was_used(file: &dyn StorageBackend) -> io::Result<bool> {
        let mut mark = [0; 4];
        if file.len()? > START + SECTOR {
            file.read(START, &mut mark)?;
        }
        Ok(mark == MARK.to_le_bytes())
    }

    /// Opens the journal of `store` and gives `replay` the records after number `checkpoint`, in order.
    pub(crate) fn open(
        file: Box<dyn StorageBackend>,
        store: u64,
        checkpoint: u64,
        mut replay: impl FnMut(u64, &[u8]),
    ) -> Result<Journal, Broken> {
        let length = file.len()?;
        let mut header = [0; MAGIC.len() + 16];
        if length < START + SECTOR {
            return Err(Broken::Foreign);
        }
        file.read(0, &mut header)?;
        let (magic, rest) = header.split_at(MAGIC.len());
        let (owner, made) = rest.split_at(8);
        if magic != MAGIC {
            return Err(Broken::Foreign);
        }
        if owner != store.to_le_bytes() {
            return Err(Broken::OfAnother);
        }
        if made != length.to_le_bytes() {
            return Err(Broken::CutOff);
        }
        let mut journal = Journal { file, store, length, end: START, sequence: checkpoint };
        while let Some(record) = journal.read(journal.end, journal.sequence + 1)? {
            journal.sequence += 1;
            journal.end += sectors(record.len());
            replay(journal.sequence, &record);
        }
        journal.check_behind()?;
        Ok(journal)
    }

    /// True if a record of `bytes` would fit.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.end + sectors(bytes) <= self.length
    }

    /// How full it is, from 0 to 1.
    pub(crate) fn fullness(&self) -> f64 {
        (self.end - START) as f64 / (self.length - START) as f64
    }

    /// The number of the last record.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// True if nothing was written since the last checkpoint.
    pub(crate) fn is_empty(&self) -> bool {
        self.end == START
    }

    /// Writes a record and syncs it.
    ///
    /// After an error nobody knows what is on the disk: the journal must not be written to again.
    pub(crate) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let number = self.sequence + 1;
        let mut bytes = Vec::with_capacity(HEAD + record.len());
        bytes.extend_from_slice(&MARK.to_le_bytes());
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&self.checksum(number, record).to_le_bytes());
        bytes.extend_from_slice(record);
        self.file.write(self.end, &bytes)?;
        self.file.sync_data()?;
        self.sequence = number;
        self.end += sectors(record.len());
        Ok(())
    }

    /// Begins again at the front: everything up to the last record is in the database, durably.
    pub(crate) fn restart(&mut self) {
        self.end = START;
    }

    /// Counts a group that went into the database at once, without a record.
    pub(crate) fn skip(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn checksum(&self, number: u64, record: &[u8]) -> u64 {
        xxh3_64_with_seed(record, self.store ^ number.rotate_left(32))
    }

    /// The record of that number at that place, if one is there whole.
    fn read(&self, at: u64, number: u64) -> io::Result<Option<Vec<u8>>> {
        if at + SECTOR > self.length {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        self.file.read(at, &mut head)?;
        let u64_at =
            |place: usize| u64::from_le_bytes(head[place..place + 8].try_into().expect("eight bytes"));
        let (mark, length) = (u64_at(0) as u32, (u64_at(0) >> 32) as usize);
        if mark != MARK || u64_at(8) != number || at + sectors(length) > self.length {
            return Ok(None);
        }
        let mut record = vec![0; length];
        self.file.read(at + HEAD as u64, &mut record)?;
        Ok((self.checksum(number, &record) == u64_at(16)).then_some(record))
    }

    /// Looks for a record of a higher number behind the end: it could only be there if the one missing was
    /// synced before.
    fn check_behind(&self) -> Result<(), Broken> {
        let mut at = self.end;
        let mut head = [0; HEAD];
        while at + SECTOR <= self.length {
            self.file.read(at, &mut head)?;
            let number = u64::from_le_bytes(head[8..16].try_into().expect("eight bytes"));
            let is_later = number > self.sequence + 1 && head[..4] == MARK.to_le_bytes();
            if is_later && self.read(at, number)?.is_some() {
                return Err(Broken::Damaged(self.sequence + 1));
            }
            at += SECTOR;
        }
        Ok(())
    }
}

/// The sectors that a record takes, in bytes.
fn sectors(record: usize) -> u64 {
    ((HEAD + record) as u64).next_multiple_of(SECTOR)
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    const STORE: u64 = 7;

    /// A file that outlives the journal on it.
    #[derive(Debug, Clone)]
    struct Shared(std::sync::Arc<InMemoryBackend>);

    impl StorageBackend for Shared {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    fn file() -> Shared {
        let file = Shared(InMemoryBackend::new().into());
        Journal::create(&file, STORE, 64 << 10).expect("memory has room");
        file
    }

    /// What is replayed after `checkpoint`.
    fn replayed(file: &Shared, checkpoint: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
        let mut records = Vec::new();
        Journal::open(Box::new(file.clone()), STORE, checkpoint, |number, record| {
            records.push((number, record.to_vec()));
        })
        .map_err(|why| why.to_string())?;
        Ok(records)
    }

    fn open(file: &Shared, checkpoint: u64) -> Journal {
        Journal::open(Box::new(file.clone()), STORE, checkpoint, |_, _| {}).expect("it is sound")
    }

    #[test]
    fn records_come_back_in_order() {
        let file = file();
        let mut journal = open(&file, 0);
        journal.append(b"one").expect("memory");
        journal.append(&[2; 1000]).expect("memory");
        assert_eq!(replayed(&file, 0), Ok(vec![(1, b"one".to_vec()), (2, vec![2; 1000])]));
    }

    #[test]
    fn what_a_checkpoint_has_is_not_replayed() {
        let file = file();
        let mut journal = open(&file, 0);
        for record in [b"one", b"two"] {
            journal.append(record).expect("memory");
        }
        journal.restart();
        assert_eq!(replayed(&file, 2), Ok(vec![]));
        journal.append(b"three").expect("memory");
        assert_eq!(
            replayed(&file, 2),
            Ok(vec![(3, b"three".to_vec())]),
            "the old second record lies behind it"
        );
    }

    #[test]
    fn a_torn_last_record_was_never_acknowledged() {
        let file = file();
        let mut journal = open(&file, 0);
        journal.append(b"one").expect("memory");
        journal.append(&[2; 1000]).expect("memory");
        file.write(START + SECTOR + 600, &[9]).expect("memory");
        assert_eq!(replayed(&file, 0), Ok(vec![(1, b"one".to_vec())]));
    }

    #[test]
    fn a_damaged_record_before_others_is_an_error() {
        let file = file();
        let mut journal = open(&file, 0);
        for record in [b"one", b"two"] {
            journal.append(record).expect("memory");
        }
        file.write(START + HEAD as u64, b"x").expect("memory");
        let why = replayed(&file, 0).expect_err("the first record was acknowledged");
        assert!(why.starts_with("record 1 is damaged"), "{why}");
    }

    #[test]
    fn the_journal_of_another_store_is_refused() {
        let file = file();
        let another = Journal::open(Box::new(file), STORE + 1, 0, |_, _| {});
        assert!(matches!(another, Err(Broken::OfAnother)));
    }
}
