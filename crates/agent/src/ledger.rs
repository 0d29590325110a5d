//! What was written and what is running, per destination, over a restart.
//!
//! An entry is written before its file is swapped in, and again when the reload has run. It is replaced
//! whole by a rename and never fsynced: after a power cut it may be an older one or unreadable, and then a
//! reload is owed that may have run already. A reload that is owed is never forgotten, since whatever file
//! is there is compared with what is known to run.
//!
//! One agent works on a directory; a second one is refused. A ledger in memory knows nothing of a restart.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use waypost_model::{Position, StoreId};

/// The hash of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Hash(u128);

impl Hash {
    pub(crate) fn of(bytes: &[u8]) -> Hash {
        Hash(xxhash_rust::xxh3::xxh3_128(bytes))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        format!("{:032x}", hash.0)
    }
}

impl TryFrom<String> for Hash {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Hash, std::num::ParseIntError> {
        u128::from_str_radix(&text, 16).map(Hash)
    }
}

/// What is known of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The content that was last swapped in, or was about to be.
    pub(crate) written: Hash,
    /// The content that the last good reload found; none if it is not known.
    pub(crate) running: Option<Hash>,
    /// Where in which store's history the content is from.
    pub(crate) position: Position,
    /// How many keys the resource saw.
    pub(crate) keys: usize,
}

/// The file's form of [`Known`].
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    destination: PathBuf,
    written: Hash,
    running: Option<Hash>,
    /// None for a store whose identity does not outlive the process.
    store: Option<u64>,
    revision: u64,
    keys: usize,
}

/// What is known of all destinations, in memory and in a directory.
#[derive(Debug)]
pub struct Ledger {
    /// None if it is in memory only.
    directory: Option<PathBuf>,
    known: Mutex<HashMap<Name, State>>,
    _lock: Option<File>,
}

/// What the entry of a destination is called: a hash of its path.
type Name = String;

fn name(destination: &Path) -> Name {
    Hash::of(destination.as_os_str().as_encoded_bytes()).into()
}

#[derive(Debug, Clone)]
enum State {
    Known(Known),
    /// There was an entry, and it cannot be read.
    Torn,
}

/// Why the ledger's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process works on it.
    #[error("{directory}: another waypost uses this state directory; give each its own with --state-dir")]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// It cannot be made, read or written.
    #[error("{directory}: cannot use it as the state directory; give another one with --state-dir")]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Ledger {
    /// A ledger that is forgotten with the process: a reload that is owed then is not known to the next one.
    pub fn in_memory() -> Ledger {
        Ledger { directory: None, known: Mutex::default(), _lock: None }
    }

    /// Opens the ledger in `directory`, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] if another process uses it, or it cannot be used.
    pub fn open(directory: &Path) -> Result<Ledger, LedgerError> {
        let unusable = |source| LedgerError::Unusable { directory: directory.to_owned(), source };
        let entries = directory.join("ledger");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&entries).map_err(unusable)?;
        let lock = private().truncate(false).open(directory.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(LedgerError::InUse { directory: directory.to_owned() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let known = read_all(&entries).map_err(unusable)?;
        Ok(Ledger { directory: Some(entries), known: Mutex::new(known), _lock: Some(lock) })
    }

    pub(crate) fn known(&self, destination: &Path) -> Option<Known> {
        match self.lock().get(&name(destination)) {
            Some(State::Known(known)) => Some(known.clone()),
            _ => None,
        }
    }

    /// True if the process that reads `destination` is not known to have read `content`.
    ///
    /// A destination that was never ours is taken to be read as it is.
    pub(crate) fn is_reload_owed(&self, destination: &Path, content: Hash) -> bool {
        match self.lock().get(&name(destination)) {
            None => false,
            Some(State::Torn) => true,
            Some(State::Known(known)) => known.running != Some(content),
        }
    }

    /// Records what is about to be swapped in.
    ///
    /// # Errors
    ///
    /// The file system's; then nothing may be swapped in.
    pub(crate) fn writing(&self, destination: &Path, known: Known) -> io::Result<()> {
        self.store(destination, known)
    }

    /// Records that the content of `destination` that `known` tells of is running.
    ///
    /// # Errors
    ///
    /// The file system's; after a restart the reload is then run once more.
    pub(crate) fn running(&self, destination: &Path, known: Known) -> io::Result<()> {
        match self.known(destination) {
            Some(before) if before.written == known.written && before.running == known.running => Ok(()),
            _ => self.store(destination, known),
        }
    }

    fn store(&self, destination: &Path, known: Known) -> io::Result<()> {
        if let Some(directory) = &self.directory {
            write(directory, destination, &known)?;
        }
        self.lock().insert(name(destination), State::Known(known));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, State>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(directory: &Path, destination: &Path, known: &Known) -> io::Result<()> {
    let record = Record {
        destination: destination.to_owned(),
        written: known.written,
        running: known.running,
        store: match known.position.store {
            StoreId::Lasting(id) => Some(id),
            StoreId::Drawn(_) => None,
        },
        revision: known.position.revision,
        keys: known.keys,
    };
    let path = directory.join(format!("{}.json", name(destination)));
    let beside = path.with_extension("new");
    let mut file = match private().truncate(true).open(&beside) {
        // Somebody cleaned up: what is known is in memory, and is written anew entry by entry.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            private().truncate(true).open(&beside)?
        }
        opened => opened?,
    };
    file.write_all(&serde_json::to_vec(&record)?)?;
    fs::rename(&beside, &path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Reads the entries. Of one that cannot be read, its name says which destination it is about.
fn read_all(directory: &Path) -> io::Result<HashMap<Name, State>> {
    let mut known = HashMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else {
            continue;
        };
        let state = serde_json::from_slice(&fs::read(&path)?).map_or(State::Torn, |record: Record| {
            let store = record.store.map_or(StoreId::Drawn(0), StoreId::Lasting);
            let position = Position::new(store, record.revision);
            let Record { written, running, keys, .. } = record;
            State::Known(Known { written, running, position, keys })
        });
        known.insert(name.to_owned(), state);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(written: &[u8], running: Option<&[u8]>) -> Known {
        let position = Position::new(StoreId::Lasting(u64::MAX), 7);
        Known { written: Hash::of(written), running: running.map(Hash::of), position, keys: 3 }
    }

    fn only_entry(directory: &Path) -> PathBuf {
        fs::read_dir(directory.join("ledger")).unwrap().next().unwrap().unwrap().path()
    }

    #[test]
    fn what_was_written_is_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let web = Path::new("/etc/web.conf");
        let ledger = Ledger::open(directory.path()).unwrap();
        ledger.writing(web, known(b"new", Some(b"old"))).unwrap();
        drop(ledger);

        let ledger = Ledger::open(directory.path()).unwrap();
        assert_eq!(ledger.known(web), Some(known(b"new", Some(b"old"))));
        assert!(ledger.is_reload_owed(web, Hash::of(b"new")));
        ledger.running(web, known(b"new", Some(b"new"))).unwrap();
        drop(ledger);
        assert!(!Ledger::open(directory.path()).unwrap().is_reload_owed(web, Hash::of(b"new")));
    }

    #[test]
    fn a_swap_that_never_happened_owes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        ledger.writing(Path::new("/web"), known(b"new", Some(b"old"))).unwrap();
        assert!(!ledger.is_reload_owed(Path::new("/web"), Hash::of(b"old")));
    }

    #[test]
    fn a_file_that_was_never_ours_is_taken_as_running() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!Ledger::open(directory.path()).unwrap().is_reload_owed(Path::new("/web"), Hash::of(b"x")));
    }

    #[test]
    fn a_torn_entry_owes_a_reload() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        ledger.writing(Path::new("/web"), known(b"x", Some(b"x"))).unwrap();
        drop(ledger);
        fs::write(only_entry(directory.path()), b"").unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        assert_eq!(ledger.known(Path::new("/web")), None);
        assert!(ledger.is_reload_owed(Path::new("/web"), Hash::of(b"x")));
    }

    #[test]
    fn a_ledger_in_memory_remembers_while_it_lives() {
        let (web, ledger) = (Path::new("/web"), Ledger::in_memory());
        ledger.writing(web, known(b"new", None)).unwrap();
        assert!(ledger.is_reload_owed(web, Hash::of(b"new")));
        ledger.running(web, known(b"new", Some(b"new"))).unwrap();
        assert!(!ledger.is_reload_owed(web, Hash::of(b"new")));
    }

    #[test]
    fn a_second_agent_on_the_same_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Ledger::open(directory.path()).unwrap();
        let error = Ledger::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("another waypost uses this state directory"), "{error}");
    }
}
