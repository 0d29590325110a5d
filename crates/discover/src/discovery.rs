//! What an application holds: the way to all its services.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use waypost_backend::Backend;

use crate::freshness::Freshness;
use crate::last_good::LastGood;
use crate::shared::{Shared, Wanted};
#[cfg(feature = "agent")]
use crate::source::Agent;
use crate::source::{InvalidUrl, Source, Store, parse};
use crate::{Handle, Settings};

/// The services of a registry, followed for as long as this or a handle of it lives. Clones are the same.
#[derive(Debug, Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

/// The tasks that follow and write; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Discovery {
    /// Discovers in the registry that `url` names, with the default settings.
    ///
    /// `agent:` is the local agent, `unix:/path` one at another socket; `etcd://HOST:PORT,HOST:PORT`,
    /// `http://…` and `https://…` are etcds, `file:///path` a file or directory, `env:` the environment, each
    /// with the feature of its name. Nothing is waited for: an application starts while the registry is away.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] if the URL names no registry, or one whose feature is not there.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect(url: &str) -> Result<Discovery, InvalidUrl> {
        Discovery::connect_as(url, Settings::default())
    }

    /// As [`Discovery::connect`], with settings.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect_as(url: &str, settings: Settings) -> Result<Discovery, InvalidUrl> {
        Ok(match parse(url)? {
            #[cfg(feature = "agent")]
            Source::Agent(socket) => {
                let agent = Agent { socket };
                Discovery::start(settings, agent.clone(), |shared| agent.follow(shared))
            }
            Source::Store(backend) => Discovery::over(backend, settings),
        })
    }

    /// Discovers in any backend, below the root that the settings name.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn over(backend: Arc<dyn Backend>, settings: Settings) -> Discovery {
        let store = Store { backend, root: settings.root.clone() };
        Discovery::start(settings, store.clone(), |shared| store.follow(shared))
    }

    fn start<F>(
        settings: Settings,
        asker: impl crate::shared::Ask,
        follow: impl FnOnce(Arc<Shared>) -> F,
    ) -> Discovery
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let last_good = settings.last_good.clone().map(LastGood::new);
        let shared = Arc::new(Shared::new(settings, Arc::new(asker)));
        let mut tasks = Vec::new();
        if let Some(mut last_good) = last_good {
            last_good.recall(&shared);
            tasks.push(tokio::spawn(last_good.keep(Arc::clone(&shared))));
        }
        tasks.push(tokio::spawn(follow(Arc::clone(&shared))));
        Discovery { shared, tasks: Arc::new(Tasks(tasks)) }
    }

    /// The service of that name, such as `db` or `shop/cache`; it is followed from now on, as long as the
    /// Discovery lives. What is no name, such as an empty text, has no instances.
    pub fn service(&self, name: &str) -> Handle {
        let wanted = Wanted { name: name.trim_matches('/').to_owned(), role: None };
        Handle::new(&self.shared, &self.tasks, wanted)
    }

    /// Whether the registry answers now, and is believed.
    pub fn is_reachable(&self) -> bool {
        **self.shared.freshness.load() == Freshness::Fresh
    }

    /// How old what is known is: zero while the registry answers, else how long ago it last did, which may
    /// have been before this process began; none if nothing is known.
    pub fn age(&self) -> Option<Duration> {
        self.shared.freshness.load().age(Instant::now())
    }

    /// Why the registry does not answer, or is not believed, in one line; none while it is.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }
}
