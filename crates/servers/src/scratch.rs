//! A server's own directory, and on which kind of storage it is.

use std::env;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where a server keeps its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// In memory, where an fsync costs nothing: `/dev/shm`, or the temporary directory without one.
    #[default]
    Memory,
    /// Below the temporary directory (`TMPDIR`), which is a disk on most machines.
    Disk,
}

/// A directory that is removed with everything in it on drop.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes a directory whose name begins with `waypost-` and `name`.
    ///
    /// # Panics
    ///
    /// When the directory cannot be made.
    #[track_caller]
    pub fn new(name: &str, storage: Storage) -> Scratch {
        let parent = parent(storage);
        match tempfile::Builder::new().prefix(&format!("waypost-{name}-")).tempdir_in(&parent) {
            Ok(dir) => Scratch { dir },
            Err(why) => panic!("cannot make a directory in {}: {why}", parent.display()),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn parent(storage: Storage) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let usable = rustix::fs::access(&memory, rustix::fs::Access::WRITE_OK).is_ok();
    if storage == Storage::Memory && usable { memory } else { env::temp_dir() }
}
