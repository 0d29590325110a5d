//! Two pages for probes and the curious, as etcd has them.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
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
    let is_healthy = served.store.status().is_ok_and(|status| status.errors.is_empty());
    let code = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    page(code, &json!({ "health": is_healthy.to_string() }))
}

fn page(code: StatusCode, content: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], content.to_string()).into_response()
}
