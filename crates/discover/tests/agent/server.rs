//! A local agent as its API promises it, that breaks on command.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use waypost_model::{Instance, Service};
use waypost_servers::{Scratch, Storage};

/// From one comment line to the next.
const PULSE: Duration = Duration::from_secs(5);

/// The agent; dropping it ends its connections.
pub struct Agent {
    scratch: Scratch,
    state: Arc<State>,
    serving: Option<JoinHandle<()>>,
}

struct State {
    picture: watch::Sender<Picture>,
    /// The paths that were asked for.
    asked: Mutex<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Picture {
    services: BTreeMap<String, Service>,
    is_starting: bool,
    is_reachable: bool,
    age_seconds: f64,
    /// It accepts connections and says nothing on them any more.
    is_silent: bool,
}

impl Agent {
    /// Starts one that knows nothing yet, and answers 503 until [`Agent::set`].
    pub fn start() -> Agent {
        let picture = Picture {
            services: BTreeMap::new(),
            is_starting: true,
            is_reachable: true,
            age_seconds: 0.0,
            is_silent: false,
        };
        let state = State { picture: watch::Sender::new(picture), asked: Mutex::default() };
        let scratch = Scratch::new("agent", Storage::Memory);
        let mut agent = Agent { scratch, state: Arc::new(state), serving: None };
        agent.start_again();
        agent
    }

    pub fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// From now on the service has instances on these ports of the host `h`.
    pub fn set(&self, name: &str, ports: &[u16]) {
        let instance = |port: &u16| {
            Instance::parse(port.to_string(), &format!("h:{port}").into()).expect("it is an address")
        };
        let service = Service { name: name.to_owned(), instances: ports.iter().map(instance).collect() };
        self.state.picture.send_modify(|picture| {
            picture.services.insert(name.to_owned(), service);
            picture.is_starting = false;
        });
    }

    /// The registry behind it is away since so many seconds, or is there.
    pub fn set_away(&self, seconds: Option<f64>) {
        self.state.picture.send_modify(|picture| {
            picture.is_reachable = seconds.is_none();
            picture.age_seconds = seconds.unwrap_or_default();
        });
    }

    pub fn silence(&self, is_silent: bool) {
        self.state.picture.send_modify(|picture| picture.is_silent = is_silent);
    }

    /// What was asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends, with all connections.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It was told to end: that it did is no error.
            let _ = serving.await;
            std::fs::remove_file(self.socket()).expect("it was there");
        }
    }

    pub fn start_again(&mut self) {
        let listener = UnixListener::bind(self.socket()).expect("the path is free");
        self.serving = Some(tokio::spawn(accept(listener, Arc::clone(&self.state))));
    }

    fn socket(&self) -> PathBuf {
        self.scratch.join("api.sock")
    }
}

async fn accept(listener: UnixListener, state: Arc<State>) {
    // Ended with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move { drop(answer(stream, &state).await) });
    }
}

async fn answer(stream: UnixStream, state: &State) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    state.asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
    // Nothing else is encoded in these tests.
    let path = path.replace("%20", " ");

    let picture = state.picture.borrow().clone();
    if picture.is_silent {
        std::future::pending().await
    } else if picture.is_starting {
        send(&mut stream, "503 Service Unavailable", "application/json", r#"{"error":"not read yet"}"#).await
    } else if let Some(name) = path.strip_prefix("/v1/services/") {
        send(&mut stream, "200 OK", "application/json", &picture.service(name).to_string()).await
    } else if let Some(names) = path.strip_prefix("/v1/events?service=") {
        send(&mut stream, "200 OK", "text/event-stream", "").await?;
        tell(&mut stream, &names.split("&service=").collect::<Vec<_>>(), state).await
    } else {
        send(&mut stream, "404 Not Found", "application/json", r#"{"error":"no such path"}"#).await
    }
}

/// The body ends with the connection.
async fn send(
    stream: &mut BufReader<UnixStream>,
    status: &str,
    kind: &str,
    body: &str,
) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).await
}

async fn tell(stream: &mut BufReader<UnixStream>, names: &[&str], state: &State) -> std::io::Result<()> {
    let mut pictures = state.picture.subscribe();
    let mut told: Option<Picture> = None;
    loop {
        let picture = pictures.borrow_and_update().clone();
        let mut events = String::new();
        for name in names.iter().filter(|_| !picture.is_silent) {
            let is_news =
                told.as_ref().is_none_or(|told| told.services.get(*name) != picture.services.get(*name));
            if is_news {
                events.push_str(&format!("event: service\ndata: {}\n\n", picture.service(name)));
            }
        }
        if told.as_ref().is_some_and(|told| told.is_reachable != picture.is_reachable) {
            events.push_str(&format!("event: registry\ndata: {}\n\n", picture.registry()));
        }
        stream.write_all(events.as_bytes()).await?;
        told = Some(picture);
        while timeout(PULSE, pictures.changed()).await.is_err() {
            if !pictures.borrow().is_silent {
                stream.write_all(b":\n\n").await?;
            }
        }
        // As a real one, it does not answer before its client had time to ask.
        sleep(Duration::from_millis(1)).await;
    }
}

impl Picture {
    fn registry(&self) -> Json {
        json!({ "reachable": self.is_reachable, "age_seconds": self.age_seconds })
    }

    fn service(&self, name: &str) -> Json {
        let service = self.services.get(name).cloned().unwrap_or_default();
        json!({
            "name": name,
            "version": service.version(),
            "reachable": self.is_reachable,
            "age_seconds": self.age_seconds,
            "instances": service.instances_json(),
            "refused": [],
        })
    }
}
