//! The services of etcd's `rpc.proto`, `grpc.health.v1`, and the two pages of HTTP beside them, over a
//! [`Store`].
//!
//! A service here asks who it is and whether that one may, hands the request to the store, and answers. What
//! a single node cannot do is refused with `Unimplemented` and words that say what to do instead.

mod auth;
mod cluster;
mod http;
mod kv;
mod lease;
mod maintenance;
mod refused;
mod stop;
mod watch;

use std::sync::Arc;

use axum::Router;
use etcd_client::proto::{PbClusterServer, PbKvServer, PbLeaseServer, PbMaintenanceServer, PbWatchServer};
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_prost::prost::Message;

use crate::Store;
use crate::access::{Caller, Credentials, Gate};
use crate::error::Refusal;
use crate::pb;

pub(crate) use cluster::Urls;
pub(crate) use refused::in_the_words_of_grpc;
pub(crate) use stop::{Stop, Stopper};

/// What gRPC may add to a request: etcd's `grpcOverheadBytes`.
const OVERHEAD: usize = 512 << 10;

/// Backups that are sent at a time; each is a copy of the store on the disk.
const BACKUPS: usize = 2;

/// What all services have in common.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) store: Store,
    pub(crate) gate: Gate,
    /// Where clients are told to go, in terms of the address that they came to.
    urls: Urls,
    stop: Stop,
    backups: Arc<Semaphore>,
}

impl Served {
    pub(crate) fn new(store: Store, gate: Gate, urls: Urls, stop: Stop) -> Served {
        Served { store, gate, urls, stop, backups: Arc::new(Semaphore::new(BACKUPS)) }
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Refusal> {
        self.gate.caller(&Credentials::of(request))
    }

    /// The request, unless it is longer than one may be that is to be written.
    fn sized<T: Message>(&self, request: Request<T>) -> Result<T, Refusal> {
        let request = request.into_inner();
        let most = self.store.limits().request;
        if request.encoded_len() > most { Err(Refusal::RequestTooLarge) } else { Ok(request) }
    }

    /// Whether the caller may write all keys of a lease: who may not could delete them by letting it go.
    fn may_end(&self, caller: &Caller, lease: i64) -> Result<(), Refusal> {
        if lease == 0 || caller.is_free() {
            return Ok(());
        }
        // One that is not there has no keys.
        let request = pb::LeaseTimeToLiveRequest { id: lease, keys: true };
        let keys = self.store.lease_time_to_live(&request)?.keys;
        keys.iter().try_for_each(|key| caller.write(key, b""))
    }
}

/// All services and pages.
pub(crate) fn router(served: &Arc<Served>, health: Router) -> Router {
    let most = served.store.limits().request + OVERHEAD;
    let routes = Routes::new(PbKvServer::new(kv::Kv(Arc::clone(served))).max_decoding_message_size(most))
        .add_service(PbWatchServer::new(watch::Watch(Arc::clone(served))).max_decoding_message_size(most))
        .add_service(PbLeaseServer::new(lease::Lease(Arc::clone(served))).max_decoding_message_size(most))
        .add_service(PbMaintenanceServer::new(maintenance::Maintenance(Arc::clone(served))))
        .add_service(PbClusterServer::new(cluster::Cluster(Arc::clone(served))));
    let authenticate = auth::Authenticate(Arc::clone(served));
    routes
        .into_axum_router()
        .merge(health)
        .route_service(auth::PATH, authenticate)
        .merge(http::pages(served))
        .fallback(refused::unknown)
}

fn not_served(what: &'static str) -> Status {
    Refusal::NotServed(what).into()
}
