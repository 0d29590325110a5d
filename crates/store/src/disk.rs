//! The data directory: who has it, which files are in it, and what their errors mean.
//!
//! `store.redb` is the database, `store.journal` what was acknowledged since its last checkpoint; neither is
//! of use without the other. Both are made under other names and renamed when they are whole, the database
//! last: where it is, the store is complete. `store.lock` is held, and names the process that holds it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError};

use crate::error::Error;
use crate::format::{self, CHANGES, FORMAT, KEYS, LEASED, LEASES, META, meta};
use crate::journal::{Broken, Journal};
use crate::overlay::Overlay;

/// The two files of a store, wherever they are.
#[derive(Debug)]
pub struct Files {
    /// redb's.
    pub database: Box<dyn StorageBackend>,
    /// What was acknowledged since the last checkpoint.
    pub journal: Box<dyn StorageBackend>,
}

/// A data directory that is this process's while it lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// How much of a database is in memory while it is only looked at.
const EXAMINED: usize = 8 << 20;

/// The names in a data directory.
pub(crate) const DATABASE: &str = "store.redb";
pub(crate) const JOURNAL: &str = "store.journal";
const LOCK: &str = "store.lock";

impl Directory {
    /// Takes the directory, and makes it if it is not there.
    pub(crate) fn take(path: &Path) -> Result<Directory, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| io_error("make the data directory", path, source))?;
        let file = path.join(LOCK);
        let mut lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&file);
        let lock = lock
            .as_mut()
            .map_err(|why| io_error("open", &file, io::Error::new(why.kind(), why.to_string())))?;
        let mut lock = lock.try_clone().map_err(|source| io_error("open", &file, source))?;
        if lock.try_lock().is_err() {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            return Err(Error::InUse { path: path.to_owned(), holder: holder.trim().parse().ok() });
        }
        let named = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        named.map_err(|source| io_error("write", &file, source))?;
        Ok(Directory { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// Opens the store's files; makes them if the directory has neither.
    pub(crate) fn files(&self, journal_length: u64) -> Result<Files, Error> {
        match (is_there(&self.database())?, is_there(&self.journal())?) {
            (true, true) => {}
            (true, false) => {
                let why = format!(
                    "{JOURNAL} is missing beside it, which may hold acknowledged changes; put it back or restore a backup"
                );
                return Err(Error::Unusable { path: self.database(), why });
            }
            // An unused journal alone is what is left of a first start that was killed: the database comes
            // last.
            (false, true) if self.journal_was_used()? => {
                let why = format!("{DATABASE} is missing beside it; put it back or restore a backup");
                return Err(Error::Unusable { path: self.journal(), why });
            }
            (false, _) => self.make(journal_length)?,
        }
        Ok(Files { database: backend(&self.database())?, journal: backend(&self.journal())? })
    }

    /// True if there is no store here.
    pub(crate) fn is_free(&self) -> Result<bool, Error> {
        Ok(!is_there(&self.database())?)
    }

    /// Looks whether the files can be used, without writing to them.
    pub(crate) fn examine(&self) -> Result<(), Error> {
        let (database, journal) = (self.database(), self.journal());
        let overlay = |file| Ok(Box::new(Overlay::over(file)?));
        let overlay = overlay(backend(&database)?).map_err(|why| io_error("read", &database, why))?;
        let look = || {
            let database = open(overlay, EXAMINED, Check::Whole)?;
            let transaction = database.begin_read().map_err(|why| damaged(&why))?;
            let numbers = transaction.open_table(META)?;
            let number = |name| format::number(&numbers, name);
            Ok((number(meta::CLUSTER)?, number(meta::SEQUENCE)?))
        };
        let (cluster, checkpoint) = look().map_err(|why: Trouble| why.at(&database))?;
        let checked = Journal::open(backend(&journal)?, cluster, checkpoint, |_, _| {});
        checked.map(drop).map_err(|why| Trouble::from(why).at(&journal))
    }

    fn journal_was_used(&self) -> Result<bool, Error> {
        let path = self.journal();
        Journal::was_used(&*backend(&path)?).map_err(|source| io_error("read", &path, source))
    }

    fn make(&self, journal_length: u64) -> Result<(), Error> {
        let cluster = draw();
        self.make_journal(cluster, journal_length)?;
        let new = self.path.join(format!("{DATABASE}.new"));
        create(&new)?;
        initialise(backend(&new)?, cluster).map(drop).map_err(|why| why.at(&new))?;
        self.put_in_place(&self.path.join(format!("{JOURNAL}.new")), JOURNAL)?;
        self.put_in_place(&new, DATABASE)
    }

    /// Makes an empty journal beside its final name.
    pub(crate) fn make_journal(&self, cluster: u64, length: u64) -> Result<(), Error> {
        let new = self.path.join(format!("{JOURNAL}.new"));
        create(&new)?;
        Journal::create(&*backend(&new)?, cluster, length).map_err(|source| io_error("write", &new, source))
    }

    /// Renames a file that is whole to its name, durably.
    pub(crate) fn put_in_place(&self, from: &Path, name: &str) -> Result<(), Error> {
        let renamed =
            std::fs::rename(from, self.path.join(name)).and_then(|()| File::open(&self.path)?.sync_all());
        renamed.map_err(|source| io_error("rename", from, source))
    }

    /// Bytes that are free on the disk.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok(disk.f_bavail * disk.f_frsize)
    }
}

/// True if there is something of that name, be it a link to nothing: a disk may not be mounted.
fn is_there(path: &Path) -> Result<bool, Error> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(io_error("look for", path, source)),
    }
}

fn create(path: &Path) -> Result<File, Error> {
    let made = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path);
    made.map_err(|source| io_error("make", path, source))
}

fn backend(path: &Path) -> Result<Box<dyn StorageBackend>, Error> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|source| io_error("open", path, source))?;
    let backend = FileBackend::new(file).map_err(|why| Trouble::from(why).at(path))?;
    Ok(Box::new(backend))
}

/// Makes an empty store's database in an empty file.
pub(crate) fn initialise(file: Box<dyn StorageBackend>, cluster: u64) -> Result<Database, Trouble> {
    let database = Builder::new().set_cache_size(EXAMINED).create_with_backend(Handed(file))?;
    let transaction = database.begin_write().map_err(|why| damaged(&why))?;
    {
        transaction.open_table(KEYS)?;
        transaction.open_table(CHANGES)?;
        transaction.open_table(LEASES)?;
        transaction.open_table(LEASED)?;
        let mut numbers = transaction.open_table(META)?;
        // An empty etcd is at revision 1.
        let first =
            [(meta::FORMAT, FORMAT), (meta::CLUSTER, cluster), (meta::MEMBER, draw()), (meta::REVISION, 1)];
        for (name, number) in first {
            numbers.insert(name, number)?;
        }
    }
    transaction.commit()?;
    Ok(database)
}

/// An id as etcd's are: any number but 0.
pub(crate) fn draw() -> u64 {
    fastrand::u64(1..)
}

/// How much of a database is looked at when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// All pages against their checksums; redb does not look at them again when they are read.
    Whole,
    /// What has to be: everything, if it was not closed; else its beginning.
    Needed,
}

/// Opens a database that was [made](initialise) before.
pub(crate) fn open(file: Box<dyn StorageBackend>, cache: usize, check: Check) -> Result<Database, Trouble> {
    if file.len()? == 0 {
        return Err(Trouble::Unusable("it is empty; restore a backup".to_owned()));
    }
    let database = Builder::new()
        .set_cache_size(cache)
        .set_check_integrity_on_open(check == Check::Whole)
        .create_with_backend(Handed(file))?;
    check_format(&database)?;
    Ok(database)
}

fn check_format(database: &Database) -> Result<(), Trouble> {
    let transaction = database.begin_read().map_err(|why| damaged(&why))?;
    let found = match transaction.open_table(META) {
        Ok(numbers) => format::number(&numbers, meta::FORMAT)?,
        Err(redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => 0,
    };
    match found {
        FORMAT => Ok(()),
        0 => Err(Trouble::Unusable("it is a redb file, but not a waypost store".to_owned())),
        later => Err(Trouble::Unusable(format!(
            "it has format {later}, and this version of waypost knows formats up to {FORMAT}; use the version that wrote it, or a later one"
        ))),
    }
}

/// redb takes a backend by value; this is one that was boxed before.
#[derive(Debug)]
struct Handed(Box<dyn StorageBackend>);

impl StorageBackend for Handed {
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
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// What went wrong with a file, before it is known which one it was.
#[derive(Debug)]
pub(crate) enum Trouble {
    Io(io::Error),
    InUse,
    Unusable(String),
}

impl Trouble {
    /// The error to tell, about `path`.
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Trouble::Io(source) => io_error("use", path, source),
            Trouble::InUse => Error::InUse { path: path.to_owned(), holder: None },
            Trouble::Unusable(why) => Error::Unusable { path: path.to_owned(), why },
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Io(error) => error.fmt(f),
            Trouble::InUse => f.write_str("it is in use by another process"),
            Trouble::Unusable(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            // redb's and our own words for a file that is too short, or no such file at all.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => damaged(&error),
            _ => Trouble::Io(error),
        }
    }
}

impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Trouble {
        match error {
            StorageError::Io(error) => error.into(),
            error => damaged(&error),
        }
    }
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Trouble {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Trouble::InUse,
            DatabaseError::Storage(error) => error.into(),
            error => damaged(&error),
        }
    }
}

impl From<redb::TableError> for Trouble {
    fn from(error: redb::TableError) -> Trouble {
        match error {
            redb::TableError::Storage(error) => error.into(),
            error => damaged(&error),
        }
    }
}

impl From<redb::CommitError> for Trouble {
    fn from(error: redb::CommitError) -> Trouble {
        match error {
            redb::CommitError::Storage(error) => error.into(),
            error => damaged(&error),
        }
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Trouble {
        match broken {
            Broken::Io(error) => error.into(),
            broken => Trouble::Unusable(broken.to_string()),
        }
    }
}

pub(crate) fn damaged(why: &dyn std::fmt::Display) -> Trouble {
    Trouble::Unusable(format!("it is damaged or not a waypost store ({why}); restore a backup"))
}

pub(crate) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { operation, path: path.to_owned(), source }
}
