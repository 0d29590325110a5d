//! Why a request is refused: a status, and one line.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

/// A request that is refused. The line may name keys, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Refusal {
        Refusal { status, why: why.into() }
    }

    /// The request makes no sense.
    pub(super) fn invalid(why: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, why)
    }

    /// It may not be asked for.
    pub(super) fn forbidden(why: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, why)
    }

    /// It is not there.
    pub(super) fn missing(why: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, why)
    }

    /// Nothing can be changed here.
    pub(super) fn only_get() -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "the local API is only read: ask with GET")
    }

    /// The registry was not read yet.
    pub(super) fn starting() -> Refusal {
        let why = "the registry was not read yet: ask again, or with ?wait=30s";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
    }

    /// The end is near.
    pub(super) fn stopping() -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "waypost is stopping: ask again when it is back")
    }

    /// A limit is reached.
    pub(super) fn too_many(what: &str) -> Refusal {
        let why = format!("there are too many {what} already: ask again later");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.why }))).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
            }
            _ => {}
        }
        response
    }
}
