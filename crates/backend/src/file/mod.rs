//! Files as a store: YAML, JSON and TOML, one or many, files and directories, flattened to keys.
//!
//! Files are read in the order in which they are given, those of a directory by name; where two give the
//! same key, the later one counts, as with confd. A file that is gone, empty or not understood is an error
//! for all of them, never a store with fewer keys: whoever follows the store keeps what it had.
//!
//! What is read is watched (`watch.rs`), and read again from time to time, for file systems such as NFS
//! that do not tell. Which files there are is in `find.rs`, what their content means in `parse.rs`.
//!
//! Source for what confd does: `kelseyhightower/confd` and `abtreece/confd: backends/file/client.go`.

mod find;
mod parse;
mod watch;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use find::{Filter, Find};
use futures::future::{BoxFuture, FutureExt};
use tokio::time::Instant;
use watch::Watcher;
use waypost_model::{Entry, Key, Prefix};

use crate::{Error, ErrorKind, Poll, Readable, Result};

const STORE: &str = "file";

/// How long nothing may happen to the files before they are read: most programs write a file in less.
const QUIET: Duration = Duration::from_millis(20);

/// How long files may be written to before they are read in the middle of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which files make the store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Files and directories, in the order in which they are read; a directory with all that is below it.
    pub paths: Vec<PathBuf>,
    /// Which files of a directory are read, by their name: a pattern with `*`, `?`, `[a-z]` and `\`, as
    /// confd's `-filter`. Braces, which Go's patterns do not know, mean alternatives: `*.{yaml,json}`.
    pub filter: String,
    /// How often the files are read when nothing tells of a change.
    pub reread_every: Duration,
    /// Whether the files are watched from the first read on. A single read needs no watch, and ending one
    /// takes the kernel longer than the read (inotify waits for its readers).
    pub watches: bool,
}

impl Settings {
    /// The defaults for `paths`: all files, read again every 10 s.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Settings {
        Settings {
            paths: paths.into_iter().collect(),
            filter: "*".to_owned(),
            reread_every: Duration::from_secs(10),
            watches: true,
        }
    }
}

/// The store that `settings` describe. Nothing is read before something is asked.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] if there is no path, or the filter is no pattern.
pub fn open(settings: Settings) -> Result<Poll<Files>> {
    let pause = settings.reread_every;
    Ok(Poll::new(Files::new(settings)?, pause))
}

/// Files that can be read, and that tell when they may have changed.
#[derive(Debug)]
pub struct Files {
    sources: Arc<Sources>,
}

#[derive(Debug)]
struct Sources {
    find: Find,
    watches: bool,
    watcher: Watcher,
}

/// What reading all files gave.
struct Found {
    entries: BTreeMap<Key, Entry>,
    /// None of the files was written just now: what was read is likely whole.
    is_settled: bool,
}

impl Files {
    /// The files that `settings` name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if there is no path, or the filter is no pattern.
    pub fn new(settings: Settings) -> Result<Files> {
        if settings.paths.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, STORE, "read", "it").because("no file is given"));
        }
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| unreadable(path, error));
        let paths = settings.paths.iter().map(absolute).collect::<Result<_>>()?;
        let find = Find { filter: Filter::new(&settings.filter)?, paths };
        let Settings { watches, .. } = settings;
        Ok(Files { sources: Arc::new(Sources { find, watches, watcher: Watcher::default() }) })
    }

    /// Reads everything, again if something is changing it just now.
    async fn read_whole(&self) -> Result<Found> {
        let watcher = &self.sources.watcher;
        let deadline = Instant::now() + PATIENCE;
        loop {
            watcher.whole(deadline).await;
            let mark = watcher.mark();
            let result = self.read_once().await;
            if Instant::now() >= deadline {
                return result;
            }
            match result {
                Ok(found) if found.is_settled && !watcher.is_written_to() => return Ok(found),
                Ok(_) => tokio::time::sleep(QUIET).await,
                // Half a file is often no file that makes sense, and soon a whole one.
                Err(_) if watcher.moves(mark, QUIET).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn read_once(&self) -> Result<Found> {
        let sources = Arc::clone(&self.sources);
        let reading = tokio::task::spawn_blocking(move || sources.read());
        match reading.await {
            Ok(found) => found,
            Err(error) => Err(Error::new(ErrorKind::Unavailable, STORE, "read", "its files").because(error)),
        }
    }
}

impl Readable for Files {
    fn name(&self) -> &'static str {
        STORE
    }

    fn read<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<BTreeMap<Key, Entry>>> {
        async move {
            let mut entries = self.read_whole().await?.entries;
            entries.retain(|key, _| prefixes.iter().any(|prefix| prefix.contains(key)));
            Ok(entries)
        }
        .boxed()
    }

    fn mark(&self) -> u64 {
        self.sources.watcher.mark()
    }

    fn hint(&self, since: u64, pause: Duration) -> BoxFuture<'_, ()> {
        async move {
            if self.sources.watcher.moves(since, pause).await {
                self.sources.watcher.quiet(QUIET, Instant::now() + PATIENCE).await;
            }
        }
        .boxed()
    }
}

impl Sources {
    /// Watches first and looks for files then, so that what comes in between is noticed.
    fn read(&self) -> Result<Found> {
        if self.watches {
            self.watcher.watch(|| self.find.places());
        }
        let mut found = Found { entries: BTreeMap::new(), is_settled: true };
        for path in self.find.files()? {
            let (content, metadata) = content(&path).map_err(|error| unreadable(&path, error))?;
            found.is_settled &= !is_fresh(&metadata);
            let entries = parse::parse(&path, &content)?;
            found.entries.extend(entries.into_iter().map(|(key, text)| (key, Entry::unnumbered(text))));
        }
        Ok(found)
    }
}

/// What the file holds, and what is known of it after it was read.
fn content(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let mut file = File::open(path)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok((content, file.metadata()?))
}

/// True if the file was written within the time that writing one takes.
fn is_fresh(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age < QUIET)
}

/// A file that is not there is [`ErrorKind::Invalid`]: it does not come without somebody writing it.
fn unreadable(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            ErrorKind::Invalid
        }
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, STORE, "read", path.display()).because(error)
}
