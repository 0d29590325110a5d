//! Keeping files up to date until told to stop; the configuration is read again meanwhile.
//!
//! A new configuration takes the place of the old one as a whole, once what the old one had under way is done.
//! One that cannot be read changes nothing.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use waypost_agent::{Ledger, Observer, Resource, Settings, Setup};
use waypost_backend::Backend;

use crate::Failed;
use crate::outside::Outside;

/// What is kept up to date, from which stores.
pub(crate) struct Keeping {
    pub(crate) resources: Vec<Resource>,
    pub(crate) stores: Vec<Arc<dyn Backend>>,
    pub(crate) settings: Settings,
    /// Files of the configuration that cannot be worked on, each with what is wrong; none but for confd.
    pub(crate) refused: Vec<String>,
}

impl Keeping {
    pub(crate) fn setup(self, ledger: Arc<Ledger>, observer: Arc<dyn Observer>) -> Setup {
        let Keeping { resources, stores, settings, .. } = self;
        Setup { resources, stores, ledger, settings, observer }
    }
}

/// When the configuration is read again.
pub(crate) struct Again {
    hup: Signal,
    /// What is looked at for new files.
    looked_at: Option<Looked>,
}

impl Again {
    /// On HUP; and when `looked_at` has changed, which is looked at as often as is said.
    pub(crate) fn new(looked_at: Option<(Duration, PathBuf)>) -> Result<Again, Failed> {
        let looked_at = looked_at.map(|(pause, directory)| {
            let seen = fingerprint(&directory);
            Looked { pause, directory, seen }
        });
        Ok(Again { hup: signal(SignalKind::hangup())?, looked_at })
    }

    async fn due(&mut self) {
        let Again { hup, looked_at } = self;
        let changed = async {
            match looked_at {
                Some(looked) => looked.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hup.recv() => {}
            () = changed => {}
        }
    }
}

/// A directory that is looked at every so often.
struct Looked {
    pause: Duration,
    directory: PathBuf,
    /// What it held before it was last read.
    seen: u64,
}

impl Looked {
    /// Ends once the directory holds other files than it did.
    async fn changed(&mut self) {
        loop {
            tokio::time::sleep(self.pause).await;
            let now = fingerprint(&self.directory);
            if std::mem::replace(&mut self.seen, now) != now {
                return;
            }
        }
    }
}

/// Differs if a file below `directory` came, went or was written to.
fn fingerprint(directory: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut entries: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        path.hash(&mut hasher);
        // A link to a directory may lead back.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fingerprint(&path).hash(&mut hasher);
            continue;
        }
        if let Ok(metadata) = fs::metadata(&path) {
            (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Keeps `first` up to date until `stop` is over; whenever it is time, what `load` gives takes its place.
pub(crate) async fn keep(
    first: Keeping,
    load: impl Fn() -> Result<Keeping, Failed>,
    mut again: Again,
    ledger: Arc<Ledger>,
    outside: Arc<Outside>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failed> {
    tokio::pin!(stop);
    let mut next = Some(first);
    while let Some(keeping) = next.take() {
        tracing::info!(resources = keeping.resources.len(), "keeping files up to date");
        let until = async {
            next = tokio::select! {
                () = &mut stop => None,
                new = loaded(&load, &mut again, &outside) => Some(new),
            };
            if next.is_none() {
                outside.stopping();
            }
        };
        outside.configured(&keeping.resources, &keeping.refused);
        let setup = keeping.setup(Arc::clone(&ledger), Arc::clone(&outside) as Arc<dyn Observer>);
        waypost_agent::run(setup, until).await.map_err(|failure| failure.to_string())?;
    }
    Ok(())
}

/// The next configuration that can be read.
async fn loaded(
    load: &impl Fn() -> Result<Keeping, Failed>,
    again: &mut Again,
    outside: &Outside,
) -> Keeping {
    loop {
        again.due().await;
        outside.reloading();
        let loaded = load();
        // Whichever configuration is in force now, systemd waits for no more.
        outside.ready();
        match loaded {
            Ok(keeping) => {
                tracing::info!("the configuration is read again");
                return keeping;
            }
            Err(error) => {
                let why = crate::chain(&*error);
                tracing::error!(why, "the configuration is not read again: the old one stays in force");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_another_once_a_file_below_it_came_went_or_was_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let sub = directory.path().join("sub");
        fs::create_dir(&sub).unwrap();
        let mut seen = vec![fingerprint(directory.path())];
        fs::write(sub.join("a.toml"), "1").unwrap();
        seen.push(fingerprint(directory.path()));
        fs::write(sub.join("a.toml"), "22").unwrap();
        seen.push(fingerprint(directory.path()));
        assert_eq!(fingerprint(directory.path()), seen[2], "nothing has changed");
        fs::remove_file(sub.join("a.toml")).unwrap();
        assert_ne!(fingerprint(directory.path()), seen[2]);
        seen.dedup();
        assert_eq!(seen.len(), 3);
    }
}
