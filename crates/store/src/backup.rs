//! Copies of a whole store: made while it is in use, and made into a store again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Key, ReadTransaction, ReadableTable, TableDefinition, Value, WriteTransaction};
use sha2::{Digest, Sha256};

use crate::disk::{self, Check, DATABASE, Directory, JOURNAL, Trouble, damaged, io_error};
use crate::error::Error;
use crate::format::{CHANGES, KEYS, LEASED, LEASES, META, meta};
use crate::group;
use crate::settings::Settings;

/// A consistent copy of the store, as a file that nobody else sees.
#[derive(Debug)]
pub struct Backup {
    /// The copy, at its start.
    pub file: File,
    /// Its length in bytes.
    pub length: u64,
}

/// How much of a copy redb keeps in memory, in bytes.
const CACHE: usize = 8 << 20;
/// Bytes of the SHA-256 that etcd's `Snapshot` sends behind the copy.
const DIGEST: u64 = 32;

impl Backup {
    /// Writes all tables into a database of their own: the copy has no free pages, and needs no journal.
    pub(crate) fn of(transaction: &ReadTransaction, directory: Option<&Path>) -> Result<Backup, Trouble> {
        let mut file = directory.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
        {
            let database = Builder::new()
                .set_cache_size(CACHE)
                .create_with_backend(FileBackend::new(file.try_clone()?)?)?;
            let target = database.begin_write().map_err(|why| damaged(&why))?;
            let mut size = 0;
            copy_table(transaction, &target, KEYS, |key, record| size += group::size_of_key(key, record))?;
            copy_table(transaction, &target, CHANGES, |_, change| size += group::size_of_change(change))?;
            copy_table(transaction, &target, LEASES, |_, _| ())?;
            copy_table(transaction, &target, LEASED, |_, _| ())?;
            copy_table(transaction, &target, META, |_, _| ())?;
            // The store tells it to its database only at checkpoints.
            target.open_table(META)?.insert(meta::SIZE, size)?;
            target.commit()?;
        }
        file.rewind()?;
        Ok(Backup { length: file.metadata()?.len(), file })
    }
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
    mut see: impl FnMut(&[u8], &[u8]),
) -> Result<(), Trouble> {
    let (from, mut to) = (from.open_table(table)?, to.open_table(table)?);
    for entry in from.iter()? {
        let (key, value) = entry?;
        see(K::as_bytes(&key.value()).as_ref(), V::as_bytes(&value.value()).as_ref());
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// Makes a store in `settings.dir` of a file that `etcdctl snapshot save` has written from one.
///
/// The new store has the keys, their revisions, history and leases, and a cluster id of its own: clients that
/// followed the old one see that this is another history, which may lack the end of theirs.
///
/// # Errors
///
/// - [`Error::Unusable`] if the file is cut off, damaged or no backup of a store, or if there is a store
///   already.
/// - [`Error::InUse`] and [`Error::Io`] as [`Store::open`](crate::Store::open).
pub fn restore(backup: &Path, settings: &Settings) -> Result<(), Error> {
    let mut from = File::open(backup).map_err(|source| io_error("open", backup, source))?;
    let length = check(&mut from).map_err(|why| why.at(backup))?;
    let directory = Directory::take(&settings.dir)?;
    if !directory.is_free()? {
        let why = "there is a store already; restore into an empty directory".to_owned();
        return Err(Error::Unusable { path: directory.database(), why });
    }
    let new = directory.path().join(format!("{DATABASE}.new"));
    let copied = copy_file(&mut from, length, &new);
    copied.map_err(|source| io_error("write", &new, source))?;
    let cluster = become_another(&new).map_err(|why| {
        // The copy is of no use to anybody, and the backup is still there.
        let _ = fs::remove_file(&new);
        why.at(backup)
    })?;
    directory.make_journal(cluster, settings.journal)?;
    directory.put_in_place(&directory.path().join(format!("{JOURNAL}.new")), JOURNAL)?;
    directory.put_in_place(&new, DATABASE)
}

/// Checks the digest at a backup's end, and gives the length of what is before it.
fn check(file: &mut File) -> Result<u64, Trouble> {
    let whole = file.metadata()?.len();
    let Some(length) = whole.checked_sub(DIGEST).filter(|length| *length > 0) else {
        return Err(Trouble::Unusable("it is too short to be a backup".to_owned()));
    };
    let mut hash = Sha256::new();
    io::copy(&mut file.take(length), &mut HashWriter(&mut hash))?;
    let mut digest = [0; DIGEST as usize];
    file.read_exact(&mut digest)?;
    if hash.finalize()[..] != digest {
        return Err(Trouble::Unusable(
            "its checksum does not match: it is cut off, damaged, or was not made by `etcdctl snapshot save`"
                .to_owned(),
        ));
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(length)
}

struct HashWriter<'h>(&'h mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn copy_file(from: &mut File, length: u64, to: &Path) -> io::Result<()> {
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    io::copy(&mut from.take(length), &mut to)?;
    to.sync_all()
}

/// Gives the copy a cluster id of its own, and takes back that records of a journal are in it.
fn become_another(path: &Path) -> Result<u64, Trouble> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let not_ours = |trouble| match trouble {
        Trouble::Unusable(why) if !why.starts_with("it has format") => Trouble::Unusable(
            "it is not a backup of waypost's store; the keys of an etcd are copied with `waypost kv copy`"
                .to_owned(),
        ),
        trouble => trouble,
    };
    let database = disk::open(Box::new(FileBackend::new(file)?), CACHE, Check::Whole).map_err(not_ours)?;
    let cluster = disk::draw();
    let transaction = database.begin_write().map_err(|why| damaged(&why))?;
    {
        let mut numbers = transaction.open_table(META)?;
        numbers.insert(meta::CLUSTER, cluster)?;
        numbers.insert(meta::SEQUENCE, 0)?;
    }
    transaction.commit()?;
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Refusal, Store, pb};

    async fn put(store: &Store, key: &str) -> i64 {
        let request = pb::PutRequest { key: key.into(), value: b"v".to_vec(), ..Default::default() };
        store.put(request).await.expect("there is room").header.expect("it has one").revision
    }

    fn keys(store: &Store) -> i64 {
        let all =
            pb::RangeRequest { key: vec![0], range_end: vec![0], count_only: true, ..Default::default() };
        store.range(&all).expect("it can be read").count
    }

    /// What `etcdctl snapshot save` makes of a backup.
    fn save(backup: Backup, to: &Path) {
        let Backup { mut file, .. } = backup;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("it is there");
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        fs::write(to, bytes).expect("there is room");
    }

    #[tokio::test]
    async fn a_backup_becomes_a_store_of_its_own() {
        let scratch = tempfile::tempdir().expect("there is room");
        let store = Store::open(&Settings::new(scratch.path().join("one"))).expect("the directory is new");
        let revision = put(&store, "a").await;
        let saved = scratch.path().join("saved");
        save(store.backup().expect("there is room"), &saved);
        put(&store, "b").await;

        let settings = Settings::new(scratch.path().join("two"));
        restore(&saved, &settings).expect("the backup is sound");
        let restored = Store::open(&settings).expect("it was restored");
        let (old, new) = (store.header(), restored.header());
        assert_eq!((new.revision, keys(&restored)), (revision, 1));
        assert_ne!(old.cluster_id, new.cluster_id, "clients must notice");
        assert_eq!(put(&restored, "c").await, revision + 1);

        restored.close().await.expect("the disk is well");
        let again = restore(&saved, &settings).expect_err("there is a store");
        assert!(again.to_string().contains("already"), "{again}");
    }

    #[test]
    fn what_is_no_backup_is_refused_and_makes_no_store() {
        let scratch = tempfile::tempdir().expect("there is room");
        let settings = Settings::new(scratch.path().join("store"));
        let file = scratch.path().join("file");
        let mut foreign = b"a backup of somebody else's".to_vec();
        foreign.extend_from_slice(&Sha256::digest(&foreign));
        for (bytes, why) in [(&b"short"[..], "too short"), (&[7; 100], "checksum"), (&foreign, "kv copy")] {
            fs::write(&file, bytes).expect("there is room");
            let refused = restore(&file, &settings).expect_err("it is no backup").to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let store = Store::open(&settings).expect("nothing was left behind");
        assert_eq!(store.header().revision, 1);
        assert_eq!(
            Refusal::EmptyKey,
            store.range(&pb::RangeRequest::default()).expect_err("no key was given")
        );
    }
}
