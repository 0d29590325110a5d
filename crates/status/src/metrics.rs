//! What is counted, for Prometheus.

use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Event;

/// From a millisecond to half a minute: an apply takes a few of the former, a reload may take some of the latter.
const SECONDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfResource {
    resource: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStep {
    resource: String,
    step: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStore {
    store: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    ready: Gauge,
    resources: Gauge,
    keys: Family<OfStore, Gauge>,
    reachable: Family<OfStore, Gauge>,
    applied: Family<OfResource, Counter>,
    held: Family<OfResource, Counter>,
    failures: Family<OfStep, Counter>,
    reloads: Family<Ended, Counter>,
    apply_seconds: Histogram,
    reload_seconds: Histogram,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("waypost"),
            ready: Gauge::default(),
            resources: Gauge::default(),
            keys: Family::default(),
            reachable: Family::default(),
            applied: Family::default(),
            held: Family::default(),
            failures: Family::default(),
            reloads: Family::default(),
            apply_seconds: Histogram::new(SECONDS),
            reload_seconds: Histogram::new(SECONDS),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Metrics { registry, .. } = self;
        registry.register("ready", "1 if all stores answer and all is as wanted", self.ready.clone());
        registry.register("resources", "Resources that are kept up to date", self.resources.clone());
        registry.register("keys", "Keys of a store when it was last read", self.keys.clone());
        registry.register("store_reachable", "1 if the store answered last", self.reachable.clone());
        registry.register("applied", "Files that were replaced", self.applied.clone());
        registry.register("held", "Times that a file was held back", self.held.clone());
        registry.register("failures", "Resources that failed, by the step", self.failures.clone());
        registry.register("reloads", "Reloads that ended", self.reloads.clone());
        registry.register("apply_seconds", "From the view to the new file", self.apply_seconds.clone());
        registry.register("reload_seconds", "Reloads that ran", self.reload_seconds.clone());
    }

    pub(crate) fn count(&self, event: &Event<'_>) {
        let of = |resource: &str| OfResource { resource: resource.to_owned() };
        let of_store = |store: usize| OfStore { store: store as u64 };
        match *event {
            Event::Read { store, keys } => {
                self.keys.get_or_create(&of_store(store)).set(keys.try_into().unwrap_or(i64::MAX));
                self.reachable.get_or_create(&of_store(store)).set(1);
            }
            Event::Unreachable { store, .. } => {
                self.reachable.get_or_create(&of_store(store)).set(0);
            }
            Event::Applied { resource, took } => {
                self.applied.get_or_create(&of(resource)).inc();
                self.apply_seconds.observe(took.as_secs_f64());
            }
            Event::Held { resource, .. } => {
                self.held.get_or_create(&of(resource)).inc();
            }
            Event::Failed { resource, step, .. } => {
                let of = OfStep { resource: resource.to_owned(), step: step.to_owned() };
                self.failures.get_or_create(&of).inc();
            }
            Event::Reloaded { took } => {
                self.reloads.get_or_create(&Ended { result: "ok" }).inc();
                self.reload_seconds.observe(took.as_secs_f64());
            }
            Event::ReloadFailed { .. } => {
                self.reloads.get_or_create(&Ended { result: "failed" }).inc();
            }
            Event::Configured(_) | Event::Unchanged { .. } | Event::Rested { .. } => {}
        }
    }

    pub(crate) fn set(&self, is_ready: bool, resources: usize) {
        self.ready.set(i64::from(is_ready));
        self.resources.set(resources.try_into().unwrap_or(i64::MAX));
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}
