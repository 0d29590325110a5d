//! What handles read and sources write: the newest list of each service that was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use waypost_model::{Key, Service};

use crate::Settings;
use crate::asks::Asks;
use crate::belief::Services;
use crate::freshness::Freshness;
use crate::list::{List, Origin};
use crate::suspects::Suspects;

/// Asks the registry, past everything that is remembered.
pub(crate) trait Ask: fmt::Debug + Send + Sync + 'static {
    /// The service as it is registered now; the error is one line.
    fn ask<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, String>>;
}

/// A service, or those of its instances that have a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) role: Option<String>,
}

impl Wanted {
    /// Those of the instances that are wanted.
    pub(crate) fn of(&self, mut service: Service) -> Service {
        if self.role.is_some() {
            service.instances.retain(|instance| instance.role == self.role);
        }
        service
    }
}

/// Where a handle looks.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) wanted: Wanted,
    pub(crate) list: ArcSwap<List>,
    /// Rings when there is a new list, or the same is known from the registry now.
    pub(crate) bell: watch::Sender<()>,
    /// What failed of late.
    pub(crate) suspects: Mutex<Suspects>,
    pub(crate) asks: Asks,
}

/// What the handles and the tasks of one Discovery have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) asker: Arc<dyn Ask>,
    pub(crate) freshness: Arc<ArcSwap<Freshness>>,
    /// The names that were asked for.
    pub(crate) wanted: watch::Sender<BTreeSet<String>>,
    /// Rings when something is known anew, or the registry comes or goes.
    pub(crate) news: watch::Sender<()>,
    state: Mutex<State>,
}

/// Gives a service from all that is known, for a name that nobody asked for before.
type Recall = Box<dyn Fn(&str) -> Service + Send>;

struct State {
    cells: BTreeMap<Wanted, Arc<Cell>>,
    /// What the registry told, or tells again.
    told: Services,
    /// What the last-good file told.
    last_good: Services,
    recall: Option<Recall>,
    trouble: Option<String>,
    random: fastrand::Rng,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("told", &self.told.keys()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(settings: Settings, asker: Arc<dyn Ask>) -> Shared {
        let random = settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let state = State {
            cells: BTreeMap::new(),
            told: Services::new(),
            last_good: Services::new(),
            recall: None,
            trouble: None,
            random,
        };
        Shared {
            settings,
            asker,
            freshness: Arc::new(ArcSwap::from_pointee(Freshness::Unknown)),
            wanted: watch::Sender::default(),
            news: watch::Sender::default(),
            state: Mutex::new(state),
        }
    }

    /// The cell for what is wanted; from now on it is followed.
    pub(crate) fn cell(&self, wanted: Wanted) -> Arc<Cell> {
        let mut state = self.state();
        if let Some(cell) = state.cells.get(&wanted) {
            return Arc::clone(cell);
        }
        if !state.told.contains_key(&wanted.name)
            && let Some(service) = state.recall.as_ref().map(|recall| recall(&wanted.name))
        {
            state.told.insert(wanted.name.clone(), service);
        }
        let (service, origin) = state.known(&wanted.name);
        let list = List::new(wanted.of(service), origin, &self.freshness);
        let cell = Arc::new(Cell {
            wanted: wanted.clone(),
            list: ArcSwap::from_pointee(list),
            bell: watch::Sender::default(),
            suspects: Mutex::default(),
            asks: Asks::default(),
        });
        state.cells.insert(wanted.clone(), Arc::clone(&cell));
        drop(state);
        self.follow([wanted.name]);
        cell
    }

    /// What cannot be a key is not asked for: it would be refused together with all others.
    fn follow(&self, names: impl IntoIterator<Item = String>) {
        let names: Vec<String> = names.into_iter().filter(|name| Key::new(&**name).is_ok()).collect();
        self.wanted.send_if_modified(|wanted| {
            let before = wanted.len();
            wanted.extend(names);
            wanted.len() > before
        });
    }

    /// Takes what a last-good file told, `age` ago. It is followed too, so that the file holds nothing that is
    /// older than it says.
    pub(crate) fn remember(&self, services: Vec<Service>, age: Duration) {
        let then = Instant::now();
        self.follow(services.iter().map(|service| service.name.clone()));
        self.state().last_good =
            services.into_iter().map(|service| (service.name.clone(), service)).collect();
        self.freshness.store(Arc::new(Freshness::Aging { age, then }));
    }

    /// Takes what the registry tells of these services.
    pub(crate) fn learn(&self, services: Services) {
        let mut state = self.state();
        for (name, service) in services {
            let first = Wanted { name, role: None };
            let cells = state.cells.range::<Wanted, _>(&first..).map(|(_, cell)| cell);
            for cell in cells.take_while(|cell| cell.wanted.name == first.name) {
                cell.update(cell.wanted.of(service.clone()), &self.freshness);
            }
            state.told.insert(first.name, service);
        }
        drop(state);
        self.news.send_replace(());
    }

    /// Takes another way to recall what was never asked for.
    pub(crate) fn recall_by(&self, recall: impl Fn(&str) -> Service + Send + 'static) {
        self.state().recall = Some(Box::new(recall));
    }

    /// The services that are to be followed, with what is known of them.
    pub(crate) fn held(&self) -> Services {
        let state = self.state();
        let names = state.cells.keys().map(|wanted| &wanted.name).chain(state.last_good.keys());
        names.map(|name| (name.clone(), state.known(name).0)).collect()
    }

    /// What is known of the services that were asked for, now or before the last start; none before the registry
    /// has told anything.
    pub(crate) fn known(&self) -> Option<Vec<Service>> {
        let state = self.state();
        if state.told.is_empty() {
            return None;
        }
        let names: BTreeSet<&String> = state.told.keys().chain(state.last_good.keys()).collect();
        Some(names.into_iter().map(|name| state.known(name).0).collect())
    }

    /// The registry answers and is believed, or not since a while.
    pub(crate) fn set_freshness(&self, freshness: Freshness) {
        let before = self.freshness.swap(Arc::new(freshness));
        if freshness == Freshness::Fresh {
            self.state().trouble = None;
        }
        if *before != freshness {
            self.news.send_replace(());
        }
    }

    /// The registry does not answer, or is not believed, for the reason that is told.
    pub(crate) fn lose(&self, why: String) {
        self.set_trouble(why);
        self.set_freshness(self.freshness.load().lost(Instant::now()));
    }

    /// Remembers why what is known ages; it is logged once.
    pub(crate) fn set_trouble(&self, why: String) {
        let is_news = self.state().trouble.replace(why.clone()).is_none();
        if is_news {
            tracing::warn!(%why, "what is known of the registry stays");
        }
    }

    /// Why the registry does not answer, or is not believed, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// A generator of its own for one choice or one connect.
    pub(crate) fn random(&self) -> fastrand::Rng {
        self.state().random.fork()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&self, name: &str) -> (Service, Origin) {
        let nothing = || Service { name: name.to_owned(), instances: Vec::new() };
        match (self.told.get(name), self.last_good.get(name)) {
            (Some(service), _) => (service.clone(), Origin::Registry),
            (None, Some(service)) => (service.clone(), Origin::LastGood),
            (None, None) => (nothing(), Origin::Nowhere),
        }
    }
}

impl Cell {
    /// Takes what the registry tells.
    fn update(&self, service: Service, freshness: &Arc<ArcSwap<Freshness>>) {
        let before = self.list.load();
        let is_same = before.instances() == service.instances;
        if is_same && before.origin() == Origin::Registry {
            return;
        }
        self.list.store(Arc::new(List::new(service, Origin::Registry, freshness)));
        self.bell.send_replace(());
    }

    pub(crate) fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
