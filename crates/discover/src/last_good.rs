//! The last-good file: what was known last, for the next start.
//!
//! It is the document of services that the agent writes too ([`waypost_model::document`]), mode 0600, since
//! it may hold passwords; written beside and renamed over, only when its content changes, which may be while
//! some service is not believed. How fresh it is tells a marker beside it, `.NAME.seen`, which is touched every 5 s
//! while the registry answers and is believed in all. A file that cannot be read or written is one warning, and no obstacle.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval, sleep_until};
use waypost_model::{Service, document, from_document};

use crate::freshness::Freshness;
use crate::shared::Shared;

/// How often the marker is touched.
const TOUCH: Duration = Duration::from_secs(5);

/// The file is written at most once in this time.
const SPACING: Duration = Duration::from_secs(1);

/// The file, and what it holds.
#[derive(Debug)]
pub(crate) struct LastGood {
    path: PathBuf,
    content: Vec<u8>,
    has_warned: bool,
}

impl LastGood {
    pub(crate) fn new(path: PathBuf) -> LastGood {
        LastGood { path, content: Vec::new(), has_warned: false }
    }

    /// Takes what the file holds, if there is one.
    pub(crate) fn recall(&mut self, shared: &Shared) {
        match read(&self.path) {
            Ok(Some((services, age))) => {
                self.content = content(&services);
                shared.remember(services, age);
            }
            Ok(None) => {}
            Err(why) => {
                let path = self.path.display();
                tracing::warn!(%path, %why, "the last-good file cannot be used: it starts without one");
            }
        }
    }

    /// Writes the file whenever something else is known, and touches the marker, for as long as it is polled.
    pub(crate) async fn keep(mut self, shared: Arc<Shared>) {
        let mut news = shared.news.subscribe();
        let mut touch = interval(TOUCH);
        loop {
            tokio::select! {
                // The other end is in `shared`.
                _ = news.changed() => {}
                _ = touch.tick() => {}
            }
            let next = Instant::now() + SPACING;
            if let Some(known) = shared.known() {
                let is_fresh = **shared.freshness.load() == Freshness::Fresh;
                self = self.save(known, is_fresh).await;
                sleep_until(next).await;
            }
        }
    }

    async fn save(self, services: Vec<Service>, is_fresh: bool) -> LastGood {
        let fallback = LastGood::new(self.path.clone());
        tokio::task::spawn_blocking(move || self.save_now(&services, is_fresh)).await.unwrap_or(fallback)
    }

    fn save_now(mut self, services: &[Service], is_fresh: bool) -> LastGood {
        let content = content(services);
        let saved = match content == self.content && self.path.exists() {
            true => Ok(()),
            false => write(&self.path, &content),
        };
        let seen = || if is_fresh { touch(&marker(&self.path)) } else { Ok(()) };
        match saved.and_then(|()| seen()) {
            Ok(()) => (self.content, self.has_warned) = (content, false),
            Err(why) if !self.has_warned => {
                self.has_warned = true;
                let path = self.path.display();
                tracing::warn!(%path, %why, "the last-good file cannot be written");
            }
            Err(_) => {}
        }
        self
    }
}

fn content(services: &[Service]) -> Vec<u8> {
    document(services).to_string().into_bytes()
}

/// The services, and how long ago the registry was seen; none without a file.
fn read(path: &Path) -> Result<Option<(Vec<Service>, Duration)>, String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let json = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let services = from_document(&json).map_err(|error| error.to_string())?;
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let seen = changed(&marker(path)).or_else(|_| changed(path)).map_err(|error| error.to_string())?;
    // A clock that was set back makes it young, not old.
    Ok(Some((services, SystemTime::now().duration_since(seen).unwrap_or_default())))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = named(path, &format!("{}.tmp", std::process::id()));
    // What a process of the same number left behind when it was killed.
    let _ = fs::remove_file(&beside);
    let mut file = private().create_new(true).open(&beside)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        // It is of no use, and what went wrong is told.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn touch(marker: &Path) -> io::Result<()> {
    private().open(marker)?.set_modified(SystemTime::now())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn marker(path: &Path) -> PathBuf {
    named(path, "seen")
}

/// A hidden file beside `path`.
fn named(path: &Path, end: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{end}"))
}
