//! One pass over all resources: read, apply, reload, and say what did not work.

use std::sync::Arc;

use waypost_backend::{Backend, Continuity, Update, View};
use waypost_model::{Key, Prefix};

use crate::engine::Event;
use crate::run::Agent;
use crate::{Failure, Ledger, Observer, Report, Resource, Settings};

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every destination is as wanted, and every reload has run.
    InSync,
    /// Something failed or was held; the observer was told what.
    NotInSync,
}

/// Brings `resources` in step with what `backend` holds now. Nothing is tried twice.
///
/// # Errors
///
/// A [`Failure`] if a command of a resource is no template.
pub async fn once(
    resources: Vec<Resource>,
    backend: Arc<dyn Backend>,
    ledger: Arc<Ledger>,
    settings: Settings,
    observer: Arc<dyn Observer>,
) -> Result<Outcome, Failure> {
    let prefixes = Prefix::minimal(resources.iter().flat_map(|resource| resource.keys.iter().cloned()));
    let mut agent = Agent::new(resources, ledger, &settings, Arc::new(Single(observer)))?;
    match backend.snapshot(&prefixes).await {
        Ok(snapshot) => {
            let view = View::from(snapshot);
            let changed: Vec<Key> = view.starting_with("", "").map(|(key, _)| key.clone()).collect();
            let continuity = Continuity::First;
            agent.handle(Event::Store(Update::Changed { view, changed, continuity }));
        }
        Err(error) => {
            agent.handle(Event::Store(Update::Unreachable(error)));
            agent.start().await;
            return Ok(Outcome::NotInSync);
        }
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
