//! etcd's service `Watch`.
//!
//! A stream's answers are made when the connection has room for one: a client that does not read costs no
//! more than what the store keeps for it.

use std::sync::Arc;

use etcd_client::proto::PbWatchService;
use futures::stream::{self, BoxStream};
use tonic::{Request, Response, Status, Streaming};

use super::{Served, refused};
use crate::access::Credentials;
use crate::error::Refusal;
use crate::pb;

pub(super) struct Watch(pub(super) Arc<Served>);

#[tonic::async_trait]
impl PbWatchService for Watch {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let session = Session {
            served: Arc::clone(&self.0),
            shown: Credentials::of(&request),
            requests: Some(request.into_inner()),
            watch: self.0.store.watch(),
        };
        let answers = stream::unfold(Some(session), |session| async move {
            let mut session = session?;
            match session.next().await {
                Ok(answer) => Some((Ok(answer), Some(session))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(self.0.stop.clone().ends(answers)))
    }
}

/// One stream.
struct Session {
    served: Arc<Served>,
    shown: Credentials,
    /// None once the client has said that no more will come; it may go on listening.
    requests: Option<Streaming<pb::WatchRequest>>,
    watch: crate::Watch,
}

impl Session {
    /// The next answer; an error ends the stream.
    async fn next(&mut self) -> Result<pb::WatchResponse, Status> {
        loop {
            let Some(requests) = &mut self.requests else { return Ok(self.watch.next().await) };
            tokio::select! {
                request = requests.message() => match request.map_err(refused::in_grpcs_words)? {
                    Some(request) => self.take(request),
                    None => self.requests = None,
                },
                answer = self.watch.next() => return Ok(answer),
            }
        }
    }

    fn take(&mut self, request: pb::WatchRequest) {
        match self.may(&request) {
            Ok(()) => self.watch.request(request),
            Err(why) => self.watch.refuse(&why),
        }
    }

    fn may(&self, request: &pb::WatchRequest) -> Result<(), Refusal> {
        let Some(pb::WatchRequestUnion::CreateRequest(create)) = &request.request_union else {
            return Ok(());
        };
        // An empty key is the lowest there is: etcd's `v3rpc/watch.go`.
        let key = if create.key.is_empty() { b"\0" } else { &create.key[..] };
        self.served.gate.caller(&self.shown)?.read(key, &create.range_end)
    }
}
