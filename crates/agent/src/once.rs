//! One pass over all resources: read, apply, reload, and say what did not work.

use std::sync::Arc;
use std::time::Duration;

use waypost_backend::{Backend, Continuity, Result, Update, View};
use waypost_model::{Key, Prefix};

use crate::engine::Event;
use crate::run::{Agent, Setup, nothing};
use crate::{Failure, Observer, Report};

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every destination is as wanted, and every reload has run.
    InSync,
    /// Something failed or was held; the observer was told what.
    NotInSync,
}

/// Brings resources in step with what their stores hold now. Nothing is tried twice.
///
/// # Errors
///
/// A [`Failure`] if a command of a resource is no template.
pub async fn once(mut setup: Setup) -> std::result::Result<Outcome, Failure> {
    setup.observer = Arc::new(Single(setup.observer));
    // A single pass cannot wait for services to register again, and the next one would begin to wait anew. What
    // has lost all its keys is held even so.
    setup.settings.settle = Duration::ZERO;
    for resource in &mut setup.resources {
        // There is no second reload that it could put off but one that is owed at the end.
        resource.min_reload_interval = Duration::ZERO;
    }
    let stores = setup.stores.iter().enumerate();
    let reads = stores.map(|(number, store)| tokio::spawn(read(Arc::clone(store), setup.prefixes(number))));
    let reads: Vec<_> = reads.collect();
    let mut agent = Agent::new(setup)?;
    for (store, read) in reads.into_iter().enumerate() {
        // A task that panicked has told so itself; its store counts as not read.
        let Ok(update) = read.await else { continue };
        agent.handle(Event::Store { store, update });
    }
    agent.start().await;
    while !agent.is_idle() {
        if let Some(event) = agent.finished().await {
            agent.handle(event);
        }
        agent.start().await;
    }
    Ok(if agent.engine.is_in_sync() { Outcome::InSync } else { Outcome::NotInSync })
}

/// Everything below `prefixes`, as the first view of a Mirror.
async fn read(store: Arc<dyn Backend>, prefixes: Vec<Prefix>) -> Update {
    if prefixes.is_empty() {
        return nothing();
    }
    let snapshot: Result<_> = store.snapshot(&prefixes).await;
    match snapshot {
        Ok(snapshot) => {
            let view = View::from(snapshot);
            let changed: Vec<Key> = view.starting_with("", "").map(|(key, _)| key.clone()).collect();
            Update::Changed { view, changed, continuity: Continuity::First }
        }
        Err(error) => Update::Unreachable(error),
    }
}

/// Tells that nothing is tried again.
struct Single(Arc<dyn Observer>);

impl Observer for Single {
    fn report(&self, report: &Report) {
        let mut report = report.clone();
        if let Report::Failed { retry, .. } | Report::ReloadFailed { retry, .. } = &mut report {
            *retry = None;
        }
        self.0.report(&report);
    }
}
