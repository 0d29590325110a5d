//! The answers, over HTTP/1.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::Board;

/// As Prometheus asks for it: <https://github.com/OpenObservability/OpenMetrics>.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads an address as Go's `net.Listen` takes it: `:9100` is that port of all addresses.
///
/// # Errors
///
/// One line if it is none.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.replace("localhost:", "127.0.0.1:")
    };
    full.parse()
        .map_err(|_| format!("`{text}` is no address to listen at; write it as 127.0.0.1:9100 or :9100"))
}

/// Answers what `board` knows, until it is dropped.
///
/// # Errors
///
/// The listener's.
pub async fn serve(listener: TcpListener, board: Arc<Board>) -> io::Result<()> {
    axum::serve(listener, router(board)).await
}

fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .route("/ready/detailed", get(detailed))
        .with_state(board)
}

async fn metrics(State(board): State<Arc<Board>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], board.metrics())
}

async fn ready(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let is_ready = board.report().ready;
    (code(is_ready), if is_ready { "ready\n" } else { "not ready\n" })
}

async fn detailed(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let report = board.report();
    (code(report.ready), Json(report))
}

fn code(is_ready: bool) -> StatusCode {
    if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::Event;

    async fn ask(board: &Arc<Board>, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(Arc::clone(board)).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_is_another_question_than_alive() {
        let board = Arc::new(Board::new());
        assert_eq!(ask(&board, "/health").await.0, 200);
        assert_eq!(ask(&board, "/ready").await, (503, "not ready\n".to_owned()));
        board.note(&Event::Configured(&["web"]));
        board.note(&Event::Read { store: 0, keys: 1 });
        board.note(&Event::Unchanged { resource: "web" });
        board.note(&Event::Rested { in_sync: true });
        assert_eq!(ask(&board, "/ready").await, (200, "ready\n".to_owned()));
        let (status, report) = ask(&board, "/ready/detailed").await;
        assert_eq!(status, 200);
        assert_eq!(
            report,
            "{\"ready\":true,\"stores\":{\"0\":\"ok\"},\"resources\":{\"web\":\"ok\"},\"reload\":null}"
        );
    }

    #[tokio::test]
    async fn metrics_are_text_that_ends_as_openmetrics_asks() {
        let board = Arc::new(Board::new());
        let (status, text) = ask(&board, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("# TYPE waypost_ready gauge") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        assert_eq!(address(":9100").unwrap().to_string(), "0.0.0.0:9100");
        assert_eq!(address("127.0.0.1:1").unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(address("[::1]:9100").unwrap().to_string(), "[::1]:9100");
        assert!(address("9100").is_err() && address("host:x").is_err());
    }
}
