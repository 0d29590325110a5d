//! What is known of a service at a moment: an immutable list.

use std::ops::Deref;
use std::sync::Arc;
#[cfg(feature = "ring")]
use std::sync::OnceLock;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;
use waypost_model::{Endpoint, Instance, Service};

use crate::freshness::Freshness;
#[cfg(feature = "ring")]
use crate::ring::Ring;

/// Where a list comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing is known of the service yet.
    Nowhere,
    /// The last-good file, since the registry has not answered yet.
    LastGood,
    /// The registry, though it may have gone away since.
    Registry,
}

/// The instances of a service, as they are known at a moment. It does not change; a newer one takes its
/// place.
#[derive(Debug)]
pub struct List {
    service: Service,
    endpoints: Vec<Endpoint>,
    version: String,
    origin: Origin,
    freshness: Arc<ArcSwap<Freshness>>,
    #[cfg(feature = "ring")]
    ring: OnceLock<Ring>,
}

impl List {
    pub(crate) fn new(service: Service, origin: Origin, freshness: &Arc<ArcSwap<Freshness>>) -> List {
        List {
            endpoints: service.instances.iter().map(|instance| instance.endpoint.clone()).collect(),
            version: service.version(),
            service,
            origin,
            freshness: Arc::clone(freshness),
            #[cfg(feature = "ring")]
            ring: OnceLock::new(),
        }
    }

    /// The instances, in the byte order of their ids, those of weight 0 included.
    pub fn instances(&self) -> &[Instance] {
        &self.service.instances
    }

    /// Where the instances answer, in the same order.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Tells this list from others: lists of the same version hold the same, on every host.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// How old what it says is: zero while the registry answers, else how long ago it last did, which may
    /// have been before this process began; none if nothing is known.
    pub fn age(&self) -> Option<Duration> {
        match self.origin {
            Origin::Nowhere => None,
            _ => self.freshness.load().age(Instant::now()),
        }
    }

    /// The consistent ring of its instances, made when it is first asked for.
    #[cfg(feature = "ring")]
    pub fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| Ring::of(self.instances()))
    }
}

/// The endpoints of a moment, read without a lock. Not to be kept for long: take
/// [`Handle::list`](crate::Handle::list) for that.
#[derive(Debug)]
pub struct Endpoints(pub(crate) Guard<Arc<List>>);

impl Deref for Endpoints {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        self.0.endpoints()
    }
}

/// The instances of a moment, read without a lock. Not to be kept for long, as [`Endpoints`].
#[derive(Debug)]
pub struct Instances(pub(crate) Guard<Arc<List>>);

impl Deref for Instances {
    type Target = [Instance];

    fn deref(&self) -> &[Instance] {
        self.0.instances()
    }
}
