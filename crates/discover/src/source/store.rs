//! A backend as the source: one Mirror of the root of all services.

use std::sync::Arc;

use futures::future::{self, BoxFuture, FutureExt};
use tokio::time::{Instant, sleep_until};
use waypost_backend::{Backend, Continuity, Mirror, MirrorSettings, Update, View};
use waypost_model::{Prefix, Service};

use crate::belief::{Belief, Services};
use crate::freshness::Freshness;
use crate::shared::{Ask, Shared};

/// Why what the registry lacks is kept.
const DOUBTED: &str = "the registry came back as another one or with an earlier state: what it lacks is kept";

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
                self.recall(&view);
                // What the last-good file held, an empty registry has lost: it may have been emptied
                // meanwhile.
                let is_lost = continuity == Continuity::First && view.is_empty();
                if is_lost || !continuity.is_continued() {
                    let held = self.shared.held();
                    let told = self.all_told(&view, &held);
                    self.belief.doubt(held, &told, Instant::now());
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

    /// Comes before what is held is looked at, so that a name that comes in between is either held already, or
    /// recalled from this view.
    fn recall(&self, view: &View) {
        let (recalled, root) = (view.clone(), self.root.clone());
        self.shared.recall_by(move |name| recalled.service(&root, name).service);
    }

    fn judge(&mut self) {
        let Some(view) = &self.view else { return };
        let (now, told) = (Instant::now(), self.all_told(view, &self.shared.held()));
        let known = self.belief.judge(told, now);
        if self.belief.is_whole() {
            self.shared.set_freshness(Freshness::Fresh);
        } else {
            self.shared.lose(DOUBTED.to_owned());
        }
        self.shared.learn(known);
    }

    fn all_told(&self, view: &View, held: &Services) -> Services {
        held.keys().map(|name| (name.clone(), self.told(view, name))).collect()
    }

    fn told(&self, view: &View, name: &str) -> Service {
        let found = view.service(&self.root, name);
        for (key, why) in &found.refused {
            tracing::debug!(%key, %why, "a registry's record is left out");
        }
        found.service
    }
}
