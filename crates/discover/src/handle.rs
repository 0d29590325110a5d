//! A service in the hands of an application.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use waypost_model::Instance;

use crate::choose::choose;
use crate::discovery::Tasks;
use crate::list::{Endpoints, Instances, List, Origin};
use crate::shared::{Cell, Shared, Wanted};

/// A service, or those of its instances that have a role. Cheap to clone; it keeps the registry followed.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) cell: Arc<Cell>,
    pub(crate) shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

/// Nothing is known of a service, and the registry does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service}: nothing is known after {waited:?}: {why}")]
pub struct NotReady {
    service: String,
    waited: Duration,
    why: String,
}

impl Handle {
    pub(crate) fn new(shared: &Arc<Shared>, tasks: &Arc<Tasks>, wanted: Wanted) -> Handle {
        Handle { cell: shared.cell(wanted), shared: Arc::clone(shared), tasks: Arc::clone(tasks) }
    }

    /// The name of the service.
    pub fn name(&self) -> &str {
        &self.cell.wanted.name
    }

    /// Those of the instances that have `role`, such as `primary`.
    pub fn with_role(&self, role: &str) -> Handle {
        let wanted = Wanted { name: self.name().to_owned(), role: Some(role.to_owned()) };
        Handle::new(&self.shared, &self.tasks, wanted)
    }

    /// Where the instances answer, from memory and without a lock.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints(self.cell.list.load())
    }

    /// The instances, from memory and without a lock.
    pub fn instances(&self) -> Instances {
        Instances(self.cell.list.load())
    }

    /// All that is known at this moment, to keep.
    pub fn list(&self) -> Arc<List> {
        self.cell.list.load_full()
    }

    /// How old what is known is: zero while the registry answers, else how long ago it last did, which may
    /// have been before this process began; none if nothing is known.
    pub fn age(&self) -> Option<Duration> {
        self.cell.list.load().age()
    }

    /// Takes an instance: of the own zone if there is one, at random by weight, one that failed of late only
    /// if all have. None if there is none, or all have weight 0.
    pub fn pick(&self) -> Option<Instance> {
        let suspects =
            self.cell.suspects().since(self.shared.settings.retry.suspect, Instant::now().into_std());
        let zone = self.shared.settings.zone.as_deref();
        choose(&self.instances(), zone, &suspects, &mut self.shared.random()).cloned()
    }

    /// Waits until the registry has answered, for at most [`Settings::patience`](crate::Settings::patience);
    /// then what the last-good file holds has to do.
    ///
    /// # Errors
    ///
    /// [`NotReady`] if that holds nothing of the service either, with the reason.
    pub async fn ready(&self) -> Result<Arc<List>, NotReady> {
        let patience = self.shared.settings.patience;
        let mut changes = self.watch();
        let answered =
            async { while changes.next().await.is_none_or(|list| list.origin() != Origin::Registry) {} };
        // When time is up, what is known has to do.
        let _ = timeout(patience, answered).await;
        let list = self.list();
        if list.origin() != Origin::Nowhere {
            return Ok(list);
        }
        let why = self.shared.trouble().unwrap_or_else(|| "the registry has not answered yet".to_owned());
        Err(NotReady { service: self.name().to_owned(), waited: patience, why })
    }

    /// The changes of what is known, beginning with what is known now.
    pub fn watch(&self) -> Changes {
        let mut bell = self.cell.bell.subscribe();
        bell.mark_changed();
        Changes { handle: self.clone(), bell }
    }
}

/// The lists of a service, one after the other. Those in between may be skipped, the last one never.
#[derive(Debug)]
pub struct Changes {
    handle: Handle,
    bell: watch::Receiver<()>,
}

impl Changes {
    /// Waits for the next list; the first is the one that is known already, if one is. There is no end: as
    /// long as this lives the registry is followed.
    pub async fn next(&mut self) -> Option<Arc<List>> {
        loop {
            // The cell is in the handle, so that its bell cannot be gone.
            self.bell.changed().await.ok()?;
            let list = self.handle.list();
            if list.origin() != Origin::Nowhere {
                return Some(list);
            }
        }
    }
}
