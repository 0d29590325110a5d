//! etcd's service `KV`.

use std::sync::Arc;

use etcd_client::proto::{PbKvService, PbRangeStreamResponse};
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::{Served, not_served};
use crate::access::Caller;
use crate::error::Refusal;
use crate::pb;

/// Above this many entries others get their turn before the answer is encoded.
const MANY: usize = 1_000;

pub(super) struct Kv(pub(super) Arc<Served>);

#[tonic::async_trait]
impl PbKvService for Kv {
    // A read is in memory nearly always, and a thread costs more than it: it runs here.
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let request = request.into_inner();
        caller.read(&request.key, &request.range_end)?;
        let response = self.0.store.range(&request)?;
        if response.kvs.len() > MANY {
            tokio::task::yield_now().await;
        }
        Ok(Response::new(response))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let request = self.0.sized(request)?;
        caller.put(&request)?;
        self.0.may_end(&caller, request.lease)?;
        Ok(Response::new(self.0.store.put(request).await?))
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let request = self.0.sized(request)?;
        caller.delete_range(&request)?;
        Ok(Response::new(self.0.store.delete_range(request).await?))
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let request = if writes(request.get_ref()) { self.0.sized(request)? } else { request.into_inner() };
        caller.txn(&request)?;
        leases(&self.0, &caller, &request)?;
        Ok(Response::new(self.0.store.txn(request).await?))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        self.0.caller(&request)?.admin()?;
        Ok(Response::new(self.0.store.compact(request.into_inner()).await?))
    }

    type RangeStreamStream = BoxStream<'static, Result<PbRangeStreamResponse, Status>>;

    async fn range_stream(
        &self,
        _: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(not_served(
            "waypost's store serves etcd 3.4's API, which has no RangeStream: use Range with a limit",
        ))
    }
}

/// Whether anything but reads is in it: only what is written has etcd's limit on its size.
fn writes(request: &pb::TxnRequest) -> bool {
    let is_read =
        |operation: &pb::RequestOp| matches!(operation.request, Some(pb::RequestUnion::RequestRange(_)));
    !request.success.iter().chain(&request.failure).all(is_read)
}

/// As for a put alone, for all puts of a transaction.
fn leases(served: &Served, caller: &Caller, request: &pb::TxnRequest) -> Result<(), Refusal> {
    if caller.is_free() {
        return Ok(());
    }
    request.success.iter().chain(&request.failure).try_for_each(|operation| match &operation.request {
        Some(pb::RequestUnion::RequestPut(put)) => served.may_end(caller, put.lease),
        Some(pb::RequestUnion::RequestTxn(nested)) => leases(served, caller, nested),
        _ => Ok(()),
    })
}
