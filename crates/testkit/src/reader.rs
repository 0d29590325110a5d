//! A reader of a Mirror's updates that believes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use waypost_backend::{Backend, Continuity, Error, Mirror, MirrorSettings, Update, Updates, View};
use waypost_model::{Key, Prefix};

use crate::contract::Content;

/// How long an update may take; far longer than any does.
const SOON: Duration = Duration::from_secs(60);

/// Follows a backend through a Mirror, and checks of every update that it says what has changed since the
/// one before, all of it, and nothing else.
#[derive(Debug)]
pub struct Reader {
    mirror: Mirror,
    updates: Updates,
    content: Content,
    /// Whether the last update said that the store does not answer.
    is_unreachable: bool,
}

/// What an update said that there is a new view.
#[derive(Debug)]
pub struct News {
    /// The keys that hold something else, as they were told.
    pub changed: Vec<Key>,
    /// How the view follows from the one before.
    pub continuity: Continuity,
}

impl Reader {
    /// Starts a Mirror of what is below `prefixes`.
    pub fn follow(backend: Arc<dyn Backend>, prefixes: &[&str], settings: MirrorSettings) -> Reader {
        let prefixes = prefixes.iter().map(|path| Prefix::new(path));
        let (mirror, updates) = Mirror::follow(backend, prefixes, settings);
        Reader { mirror, updates, content: Content::new(), is_unreachable: false }
    }

    /// The Mirror that is read.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// What the updates so far add up to.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// What the Mirror shows just now; nothing before its first view.
    pub fn shown(&self) -> Content {
        self.mirror.view().map(|view| content(&view)).unwrap_or_default()
    }

    /// The next update: a new view, or that the store does not answer.
    ///
    /// # Panics
    ///
    /// If none comes, or it tells anything but the truth.
    pub async fn next(&mut self) -> Result<News, Error> {
        let update = tokio::time::timeout(SOON, self.updates.next()).await;
        self.take(update.expect("an update in time").expect("the Mirror goes on"))
    }

    /// The next new view.
    ///
    /// # Panics
    ///
    /// As [`Reader::next`].
    pub async fn changed(&mut self) -> News {
        loop {
            if let Ok(news) = self.next().await {
                return news;
            }
        }
    }

    /// The next word that the store does not answer.
    ///
    /// # Panics
    ///
    /// As [`Reader::next`].
    pub async fn unreachable(&mut self) -> Error {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }

    /// Reads on until the content is `expected`; gives all that was told on the way.
    ///
    /// # Panics
    ///
    /// As [`Reader::next`].
    pub async fn reach(&mut self, expected: &Content) -> Vec<News> {
        let mut told = Vec::new();
        while self.content != *expected {
            told.push(self.changed().await);
        }
        told
    }

    /// Takes what is waiting; gives the new views among it.
    ///
    /// # Panics
    ///
    /// If it tells anything but the truth.
    pub fn drain(&mut self) -> Vec<News> {
        let mut told = Vec::new();
        while let Some(update) = self.updates.try_next() {
            told.extend(self.take(update));
        }
        told
    }

    fn take(&mut self, update: Update) -> Result<News, Error> {
        let (view, changed, continuity) = match update {
            Update::Changed { view, changed, continuity } => (view, changed, continuity),
            Update::Unreachable(error) => {
                self.is_unreachable = true;
                return Err(error);
            }
        };
        let content = content(&view);
        let told: BTreeSet<&Key> = changed.iter().collect();
        let keys = self.content.keys().chain(content.keys());
        let expected = keys.filter(|key| self.content.get(*key) != content.get(*key));
        assert_eq!(told, expected.collect(), "what is told is what differs");
        let is_news = !changed.is_empty() || continuity != Continuity::Continued || self.is_unreachable;
        assert!(is_news, "an update without news");
        self.content = content;
        self.is_unreachable = false;
        Ok(News { changed, continuity })
    }
}

fn content(view: &View) -> Content {
    view.starting_with("", "").map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
}
