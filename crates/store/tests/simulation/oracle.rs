//! The model against a real etcd: what the store is compared with is right.

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request as Call, Status};
use tonic_prost::ProstCodec;
use waypost_servers::{Etcd, require};
use waypost_store::{Refusal, pb};

use crate::beside::{in_time, run, seeds, shown};
use crate::generator::Generator;
use crate::model::{Answer, Model, Request, Response};

const REQUESTS: usize = 500;
/// etcd's default for `--max-txn-ops`.
const OPERATIONS: usize = 128;

#[test]
fn the_model_answers_as_etcd_does() {
    require!("etcd");
    for seed in seeds(3) {
        println!("seed {seed}");
        let etcd = Etcd::start();
        run(beside_etcd(&etcd, seed));
    }
}

async fn beside_etcd(etcd: &Etcd, seed: u64) {
    let endpoint = Endpoint::from_shared(format!("http://{}", etcd.endpoint())).unwrap();
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    let (mut model, mut generator) = (Model::new(OPERATIONS), Generator::new(seed));
    generator.misses_open_overlaps = true;
    for _ in 0..REQUESTS {
        let request = generator.request(&model);
        let answer = in_time("etcd's answer", ask(&mut client, request.clone())).await;
        let before = (model.revision(), model.compacted());
        let expected = model.apply(&request);
        assert!(
            answer == expected,
            "{before:?}: {}\n is {}\nnot {}",
            shown(&request),
            shown(&answer),
            shown(&expected)
        );
    }
}

/// Asks etcd; the answer's header has only the revision left, as the model's.
async fn ask(client: &mut Grpc<Channel>, request: Request) -> Answer {
    macro_rules! call {
        ($path:literal, $request:expr, $response:ident) => {{
            client.ready().await.unwrap();
            let codec = ProstCodec::default();
            let answer = client.unary(Call::new($request), PathAndQuery::from_static($path), codec).await;
            answer.map(|response| Response::$response(response.into_inner()))
        }};
    }
    let answer = match request {
        Request::Range(request) => call!("/etcdserverpb.KV/Range", request, Range),
        Request::Put(request) => call!("/etcdserverpb.KV/Put", request, Put),
        Request::Delete(request) => call!("/etcdserverpb.KV/DeleteRange", request, Delete),
        Request::Txn(request) => call!("/etcdserverpb.KV/Txn", request, Txn),
        Request::Compact(request) => call!("/etcdserverpb.KV/Compact", request, Compact),
        Request::Grant(request) => call!("/etcdserverpb.Lease/LeaseGrant", request, Grant),
        Request::Revoke(request) => call!("/etcdserverpb.Lease/LeaseRevoke", request, Revoke),
    };
    let mut response = answer.map_err(|status| refusal(&status))?;
    let revision = response.header().take().expect("every answer has a header").revision;
    *response.header() = Some(pb::ResponseHeader { revision, ..Default::default() });
    Ok(response)
}

/// The refusal that the store would put into that code and those words.
fn refusal(status: &Status) -> Refusal {
    let known = [
        Refusal::EmptyKey,
        Refusal::KeyNotFound,
        Refusal::ValueProvided,
        Refusal::LeaseProvided,
        Refusal::DuplicateKey,
        Refusal::Compacted,
        Refusal::FutureRevision,
        Refusal::LeaseNotFound,
        Refusal::LeaseExists,
        Refusal::LeaseTtlTooLarge,
    ];
    let is_same = |refusal: &Refusal| {
        let ours = Status::from(refusal.clone());
        (ours.code(), ours.message()) == (status.code(), status.message())
    };
    known.into_iter().find(is_same).unwrap_or_else(|| panic!("the store would not say this: {status:?}"))
}
