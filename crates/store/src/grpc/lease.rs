//! etcd's service `Lease`.

use std::sync::Arc;

use etcd_client::proto::{PbLeaseKeepAliveRequest, PbLeaseLeasesRequest, PbLeaseService};
use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Served, refused};
use crate::pb;

pub(super) struct Lease(pub(super) Arc<Served>);

#[tonic::async_trait]
impl PbLeaseService for Lease {
    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        self.0.caller(&request)?.known()?;
        Ok(Response::new(self.0.store.lease_grant(request.into_inner()).await?))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.known()?;
        let request = request.into_inner();
        self.0.may_end(&caller, request.id)?;
        Ok(Response::new(self.0.store.lease_revoke(request).await?))
    }

    type LeaseKeepAliveStream = BoxStream<'static, Result<pb::LeaseKeepAliveResponse, Status>>;

    // Who it is is asked once: a stream lasts for days, and its token is not used by what comes over it.
    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.0.caller(&request)?.known()?;
        let store = self.0.store.clone();
        let answers = request.into_inner().map(move |request| {
            let request = request.map_err(refused::in_grpcs_words)?;
            Ok(store.lease_keep_alive(request.id)?)
        });
        Ok(Response::new(self.0.stop.clone().ends(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.known()?;
        let response = self.0.store.lease_time_to_live(request.get_ref())?;
        response.keys.iter().try_for_each(|key| caller.read(key, b""))?;
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<PbLeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        self.0.caller(&request)?.known()?;
        Ok(Response::new(self.0.store.lease_leases()))
    }
}
