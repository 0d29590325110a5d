//! Two pages for probes and the curious, as etcd has them.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::FutureExt;
use serde_json::{Value, json};
use tonic::codegen::http::{StatusCode, header};

use super::Served;

pub(super) fn pages(served: &Arc<Served>) -> Router {
    let served = Arc::clone(served);
    let version = json!({ "etcdserver": crate::VERSION, "etcdcluster": cluster() });
    Router::new()
        .route("/health", get(move || async move { health(&served) }))
        .route("/version", get(move || async move { page(StatusCode::OK, &version) }))
}

/// The release of etcd whose API it is.
fn cluster() -> &'static str {
    crate::VERSION.split('+').next().unwrap_or_default()
}

/// Not healthy is a store that has failed, or that raises an alarm.
fn health(served: &Served) -> Response {
    let has_failed = served.store.failed().now_or_never().is_some();
    let is_healthy = !has_failed && served.store.status().is_ok_and(|status| status.errors.is_empty());
    let code = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    page(code, &json!({ "health": is_healthy.to_string() }))
}

fn page(code: StatusCode, content: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], content.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tonic::codegen::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::access::Gate;
    use crate::grpc::{Stopper, Urls};
    use crate::{Settings, Store};

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 10).await.unwrap();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_store_that_has_failed_is_not_healthy() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::new(dir.path().join("data"))).unwrap();
        let urls = Urls { listen: Vec::new(), is_tls: false };
        let (_stopper, stop) = Stopper::new();
        let router = pages(&Arc::new(Served::new(store.clone(), Gate::new(&[]), urls, stop)));
        assert_eq!(get(&router, "/health").await, (200, r#"{"health":"true"}"#.to_owned()));
        // A store that is closed can do no more than one whose disk has failed.
        store.close().await.unwrap();
        assert_eq!(get(&router, "/health").await, (503, r#"{"health":"false"}"#.to_owned()));
        assert!(get(&router, "/version").await.1.contains(r#""etcdcluster":"3.4.0""#));
    }
}
