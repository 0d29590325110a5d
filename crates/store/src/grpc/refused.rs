//! What is not served, and a message that is too long, in the words that clients know.

use axum::body::Body;
use axum::response::IntoResponse;
use tonic::codegen::http::{HeaderMap, Request, Response, StatusCode, header};
use tonic::{Code, Status};

/// Source: tonic's `codec/decode.rs`.
const TOO_LONG: &str = "Error, decoded message length too large: found ";

/// Answers for every path that is not served.
pub(super) async fn unknown(request: Request<Body>) -> Response<Body> {
    let is_grpc = request.headers().get(header::CONTENT_TYPE);
    if !is_grpc.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    Status::unimplemented(words(request.uri().path())).into_http()
}

fn words(path: &str) -> String {
    let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let what_to_do = match service {
        "etcdserverpb.Auth" => "users are set in waypost's configuration, as [[store.user]]",
        "v3lockpb.Lock" | "v3electionpb.Election" => {
            "clients build locks and elections from leases and transactions"
        }
        _ => "it serves etcd 3.4's KV, Watch, Lease, Maintenance, Cluster and Auth",
    };
    format!("waypost's store does not serve {path}: {what_to_do}")
}

/// A message that is too long, as grpc-go says it; other errors stay as they are.
pub(super) fn in_grpcs_words(status: Status) -> Status {
    match (status.code(), status.message().strip_prefix(TOO_LONG).and_then(sizes)) {
        (Code::OutOfRange, Some((found, limit))) => Status::resource_exhausted(format!(
            "grpc: received message larger than max ({found} vs. {limit})"
        )),
        _ => status,
    }
}

fn sizes(rest: &str) -> Option<(u64, u64)> {
    let (found, limit) = rest.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
    Some((found.parse().ok()?, limit.parse().ok()?))
}

/// The same for an answer that is only an error.
pub(crate) fn in_the_words_of_grpc(response: Response<Body>) -> Response<Body> {
    match too_long(response.headers()) {
        Some(status) => status.into_http(),
        None => response,
    }
}

fn too_long(headers: &HeaderMap) -> Option<Status> {
    // Looked at first, since nearly every answer has none here.
    headers.get(Status::GRPC_STATUS)?;
    let status = Status::from_header_map(headers)?;
    let said = in_grpcs_words(status);
    (said.code() == Code::ResourceExhausted && said.message().starts_with("grpc: ")).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_long_is_told_as_grpc_go_tells_it() {
        let status = Status::out_of_range(format!("{TOO_LONG}3000000 bytes, the limit is: 2097152 bytes"));
        let response = in_the_words_of_grpc(status.into_http());
        let said = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(said.code(), Code::ResourceExhausted);
        assert_eq!(said.message(), "grpc: received message larger than max (3000000 vs. 2097152)");
    }

    #[test]
    fn other_errors_stay_as_they_are() {
        let status = Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        let response = in_the_words_of_grpc(status.into_http());
        let said = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(said.code(), Code::OutOfRange);
        assert!(said.message().ends_with("compacted"));
    }

    #[test]
    fn what_is_not_served_says_what_to_do() {
        assert!(words("/etcdserverpb.Auth/UserAdd").contains("[[store.user]]"));
        assert!(words("/v3lockpb.Lock/Lock").contains("leases"));
    }
}
