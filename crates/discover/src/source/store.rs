//! A backend as the source: one Mirror of the root of all services.

use std::sync::Arc;

use futures::future::{self, BoxFuture, FutureExt};
use tokio::time::{Instant, sleep_until};
use waypost_backend::{Backend, Continuity, Mirror, MirrorSettings, Update, View};
use waypost_model::{Prefix, Service};

use crate::belief::{Belief, Services};
use crate::freshness::Freshness;
use crate::shared::{Ask, Shared};

/// A registry that is read by this process itself.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) root: Prefix,
}

impl Ask for Store {
    fn ask<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, String>> {
        async move {
            let prefix = Prefix::new(&format!("{}/{name}", self.root.as_str()));
            let snapshot = self.backend.snapshot(&[prefix]).await.map_err(|error| error.chain())?;
            Ok(View::from(snapshot).service(&self.root, name).service)
        }
        .boxed()
    }
}

impl Store {
    /// Follows the registry for as long as it is polled.
    pub(crate) async fn follow(self, shared: Arc<Shared>) {
        let (_mirror, mut updates) =
            Mirror::follow(self.backend, [self.root.clone()], MirrorSettings::default());
        let mut reader =
            Reader { belief: Belief::new(shared.settings.settle), view: None, root: self.root, shared };
        loop {
            let deadline = reader.belief.deadline(Instant::now());
            let settled = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                update = updates.next() => match update {
                    Some(update) => reader.take(update),
                    None => return,
                },
                () = settled => reader.judge(),
            }
        }
    }
}

/// What is made of the Mirror's updates.
struct Reader {
    shared: Arc<Shared>,
    root: Prefix,
    belief: Belief,
    view: Option<View>,
}

impl Reader {
    fn take(&mut self, update: Update) {
        match update {
            Update::Changed { view, continuity, .. } => {
                // What the last-good file held, an empty registry has lost: it may have been emptied
                // meanwhile.
                let is_lost = continuity == Continuity::First && view.is_empty();
                if is_lost || !continuity.is_continued() {
                    self.belief.doubt(Instant::now());
                }
                self.view = Some(view);
                self.judge();
            }
            Update::Unreachable(error) => {
                self.belief.away();
                self.shared.lose(error.chain());
            }
        }
    }

    fn judge(&mut self) {
        let Some(view) = self.view.clone() else { return };
        let (now, root) = (Instant::now(), self.root.clone());
        let recalled = view.clone();
        // First, so that a name that comes in between is either held already, or recalled from this view.
        self.shared.recall_by(move |name| recalled.service(&root, name).service);
        let held = self.shared.held();
        let told: Services = held.keys().map(|name| (name.clone(), self.told(&view, name))).collect();
        let known = self.belief.judge(&held, told, now);
        let freshness = match self.belief.is_whole() {
            true => Freshness::Fresh,
            false => self.shared.freshness.load().lost(now),
        };
        self.shared.set_freshness(freshness);
        self.shared.learn(known);
    }

    fn told(&self, view: &View, name: &str) -> Service {
        let found = view.service(&self.root, name);
        for (key, why) in &found.refused {
            tracing::debug!(%key, %why, "a registry's record is left out");
        }
        found.service
    }
}
