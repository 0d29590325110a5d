//! etcd's service `Auth`, of which only `Authenticate` is served: users are set in the configuration.
//!
//! The generated server wants all of the service's methods, one of them with a type that etcd-client does not
//! export; so the one that is served is routed by hand, and the others are refused with the unknown ones.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use etcd_client::proto::{PbAuthenticateRequest, PbAuthenticateResponse};
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use super::Served;

pub(super) const PATH: &str = "/etcdserverpb.Auth/Authenticate";

/// Enough for a name and a password.
const MOST: usize = 64 << 10;

#[derive(Clone)]
pub(super) struct Authenticate(pub(super) Arc<Served>);

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl UnaryService<PbAuthenticateRequest> for Authenticate {
    type Response = PbAuthenticateResponse;
    type Future = Later<Result<Response<PbAuthenticateResponse>, Status>>;

    fn call(&mut self, request: Request<PbAuthenticateRequest>) -> Self::Future {
        let served = Arc::clone(&self.0);
        Box::pin(async move {
            let PbAuthenticateRequest { name, password } = request.into_inner();
            let token = served.gate.log_in(&name, &password).await?;
            Ok(Response::new(PbAuthenticateResponse { header: Some(served.store.header()), token }))
        })
    }
}

impl Service<http::Request<Body>> for Authenticate {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Later<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<PbAuthenticateResponse, PbAuthenticateRequest>::default())
                .max_decoding_message_size(MOST);
            Ok(grpc.unary(method, request).await)
        })
    }
}
