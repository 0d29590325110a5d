//! Asks an API without a connection, and holds each answer against the document.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use waypost_model::Prefix;
use waypost_status::api::{Api, Settings};
use waypost_testkit::Memory;

use crate::schema::Document;

/// An API over a store in memory.
pub struct Client {
    pub memory: Memory,
    pub api: Api,
    router: Router,
    pub document: Document,
}

/// `/services` and `/app` are served.
pub fn settings() -> Settings {
    Settings { keys: vec![Prefix::new("/app")], ..Settings::default() }
}

impl Client {
    /// One over an empty store, which was not read yet.
    pub fn new() -> Client {
        Client::with(Memory::new(1), settings())
    }

    pub fn with(memory: Memory, settings: Settings) -> Client {
        let api = Api::follow(Arc::new(memory.clone()), settings);
        let document = serde_json::from_str(include_str!("../../src/api/openapi.json")).unwrap();
        Client { memory, router: api.router(), api, document: Document(document) }
    }

    /// One over a store with these keys, which was read.
    pub async fn over(entries: &[(&str, &str)]) -> Client {
        let client = Client::new();
        for (key, value) in entries {
            client.memory.put(key, (*value).to_owned());
        }
        client.until_healthy().await;
        client
    }

    pub async fn until_healthy(&self) {
        self.until("/v1/health", |health| health["status"] == "ok").await;
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, is_wanted: impl Fn(&Json) -> bool) -> Json {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, answer) = self.get(path).await;
            if is_wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{path}: {answer}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The status and the body of an answer, which is one that the document knows.
    pub async fn get(&self, path: &str) -> (u16, Json) {
        let (status, body) = self.ask(Method::GET, path).await;
        let body: Json = serde_json::from_slice(&body).unwrap();
        if let Some(known) = self.documented(path) {
            self.document.check(&known, status, &body);
        } else {
            self.document.check_as("Error", &body);
        }
        (status, body)
    }

    /// The body of an answer that is none of an error.
    pub async fn good(&self, path: &str) -> Json {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn ask(&self, method: Method, path: &str) -> (u16, Vec<u8>) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    /// The body of an event stream.
    pub async fn stream(&self, path: &str) -> Stream {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { body: response.into_body() }
    }

    /// The path as the document has it.
    fn documented(&self, path: &str) -> Option<String> {
        let path = path.split('?').next().unwrap();
        let known = self.document.0["paths"].as_object().unwrap().keys();
        let fits = |known: &&String| match known.split_once('{') {
            Some((start, _)) => path.len() > start.len() && path.starts_with(start),
            None => path == known.as_str(),
        };
        known.filter(fits).max_by_key(|known| known.len()).cloned()
    }
}

/// An event stream that is read.
pub struct Stream {
    body: Body,
}

impl Stream {
    /// The next event or comment as it is sent; none at the end.
    pub async fn text(&mut self) -> Option<String> {
        let frame = self.body.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    /// The next event, without the comments before it.
    pub async fn event(&mut self) -> (String, Json) {
        loop {
            let text = self.text().await.expect("the stream goes on");
            if let Some(event) = text.strip_prefix("event: ") {
                let (name, data) = event.strip_suffix("\n\n").unwrap().split_once("\ndata: ").unwrap();
                return (name.to_owned(), serde_json::from_str(data).unwrap());
            }
            assert_eq!(text, ":\n\n");
        }
    }
}
