//! What load balancers and people ask: over plain HTTP, and gRPC's own health service.

use serde_json::Value;
use waypost_servers::get;

use crate::wire;

fn json(url: &str) -> Value {
    let answer = get(url).unwrap();
    assert_eq!(answer.status, 200, "{url}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn health_is_told_as_a_string() {
    let api = api!();
    assert_eq!(json(&format!("{}/health", api.url()))["health"], "true");
}

#[tokio::test]
async fn the_versions_are_those_of_the_status() {
    let mut api = api!();
    let version = json(&format!("{}/version", api.url()));
    let status = api.client.status().await.unwrap();
    assert_eq!(version["etcdserver"], status.version());
    let cluster = version["etcdcluster"].as_str().expect("the cluster's version");
    let minor = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(minor(cluster), minor(status.version()));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let api = api!();
    assert_eq!(get(&format!("{}/nothing/here", api.url())).unwrap().status, 404);
}

#[tokio::test]
async fn grpc_says_that_it_is_serving() {
    let api = api!();
    let status = wire::call(&api.url(), "/grpc.health.v1.Health/Check", b"");
    assert_eq!(status.as_deref(), Some(&[0x08, 1][..]), "a HealthCheckResponse with the status SERVING");
}

#[tokio::test]
async fn services_and_methods_that_are_not_there_are_refused() {
    let api = api!();
    for path in ["/etcdserverpb.KV/Nothing", "/nothing.Here/AtAll"] {
        assert_eq!(wire::call(&api.url(), path, b""), None, "{path}");
    }
}
