//! The local API: applications of this host ask it for services and keys, over a Unix socket or loopback TCP.
//!
//! It answers from a Mirror of its own, so that a registry that is away costs no answer: the last keys stay, and
//! every answer says how old they are. What it promises to its clients is in `openapi.json`, which a test holds
//! against the real answers. Values appear in answers only, never in logs or errors.
//!
//! `picture.rs` decides what is believed; `answer.rs` puts it in JSON; `routes.rs` and `events.rs` say who gets what,
//! and when; `door.rs` and `socket.rs` let clients in, and bound what they can cost.

mod answer;
mod door;
mod events;
mod patient;
mod picture;
mod refusal;
mod routes;
mod socket;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use waypost_backend::{Backend, Mirror, MirrorSettings, Update, Updates};
use waypost_model::Prefix;

pub use door::{Doors, Serving, loopback};
use picture::{Picture, Rules};
use refusal::Refusal;
pub use socket::SocketSettings;

/// What is served to whom, and how much of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The root of all services.
    pub services: Prefix,
    /// What is served besides, key by key.
    pub keys: Vec<Prefix>,
    /// Whether the registry holds secrets: then services and keys are refused.
    pub secret: bool,
    /// How long a registry that went back, or is another one, is given to be complete again.
    pub settle: Duration,
    /// How the registry is followed.
    pub mirror: MirrorSettings,
    /// What clients may cost.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            services: Prefix::new("/services"),
            keys: Vec::new(),
            secret: false,
            settle: Duration::from_secs(30),
            mirror: MirrorSettings::default(),
            limits: Limits::default(),
        }
    }
}

/// What clients may cost. What is above is refused with 503.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections that are open at once.
    pub connections: usize,
    /// Requests that wait at once.
    pub polls: usize,
    /// Event streams that are open at once.
    pub streams: usize,
    /// How long a client may take nothing of what is sent to it, or send nothing of a request.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 512, polls: 256, streams: 256, patience: Duration::from_secs(30) }
    }
}

/// The local API over one registry. Dropping it ends its Mirror.
#[derive(Debug)]
pub struct Api {
    shared: Arc<Shared>,
    follower: JoinHandle<()>,
}

impl Api {
    /// Follows `backend` from now on, in tasks of its own.
    pub fn follow(backend: Arc<dyn Backend>, settings: Settings) -> Api {
        let Settings { services, keys, settle, mirror, .. } = settings.clone();
        let followed: Vec<Prefix> = keys.iter().chain([&services]).cloned().collect();
        let (_, updates) = Mirror::follow(backend, followed, mirror);
        let rules = Rules { services, keys, settle };
        let shared = Arc::new(Shared {
            pictures: watch::Sender::default(),
            is_stopping: watch::Sender::new(false),
            polls: Arc::new(Semaphore::new(settings.limits.polls)),
            streams: Arc::new(Semaphore::new(settings.limits.streams)),
            settings,
        });
        let follower = tokio::spawn(follow(updates, rules, Arc::clone(&shared)));
        Api { shared, follower }
    }

    /// Answers requests without a connection, however they come.
    pub fn router(&self) -> axum::Router {
        routes::router(Arc::clone(&self.shared))
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// What all requests share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    pictures: watch::Sender<Arc<Picture>>,
    is_stopping: watch::Sender<bool>,
    polls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Shared {
    fn picture(&self) -> Arc<Picture> {
        Arc::clone(&self.pictures.borrow())
    }

    /// Ends once the API is told to stop.
    async fn stopping(&self) {
        // The sender is in `self`, so that this cannot fail.
        let _ = self.is_stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    /// The picture once it is news, or the one at the end of the wait.
    async fn wait(
        &self,
        wait: Duration,
        mut is_news: impl FnMut(&Picture) -> bool,
    ) -> Result<Arc<Picture>, Refusal> {
        let known = |picture: Arc<Picture>| {
            if picture.view().is_some() { Ok(picture) } else { Err(Refusal::starting()) }
        };
        let mut pictures = self.pictures.subscribe();
        let first = Arc::clone(&pictures.borrow_and_update());
        if wait.is_zero() || (first.view().is_some() && is_news(&first)) {
            return known(first);
        }
        let _permit = self.polls.try_acquire().map_err(|_| Refusal::too_many("requests that wait"))?;
        let end = Instant::now() + wait;
        loop {
            tokio::select! {
                _ = pictures.changed() => {}
                () = sleep_until(end) => return known(self.picture()),
                () = self.stopping() => return Err(Refusal::stopping()),
            }
            let picture = Arc::clone(&pictures.borrow_and_update());
            if picture.view().is_some() && is_news(&picture) {
                return Ok(picture);
            }
        }
    }
}

/// Passes on what the Mirror tells, and the time when something is due.
async fn follow(mut updates: Updates, rules: Rules, shared: Arc<Shared>) {
    let mut picture = Picture::default();
    loop {
        let due = picture.due(&rules);
        let due = async {
            match due {
                Some(at) => sleep_until(Instant::from_std(at)).await,
                None => pending().await,
            }
        };
        let was_reachable = picture.is_reachable(&Prefix::all());
        let mut why = None;
        tokio::select! {
            update = updates.next() => {
                let Some(update) = update else { return };
                why = reason(&update);
                picture.take(update, &rules, now());
                // All services may register in one moment: what is told by then is one change.
                while let Some(update) = updates.try_next() {
                    why = reason(&update).or(why);
                    picture.take(update, &rules, now());
                }
            }
            () = due => {}
        }
        picture.reconsider(&rules, now());
        tell(was_reachable, picture.is_reachable(&Prefix::all()), why);
        shared.pictures.send_replace(Arc::new(picture.clone()));
    }
}

fn reason(update: &Update) -> Option<String> {
    match update {
        Update::Unreachable(error) => Some(error.chain()),
        Update::Changed { continuity, .. } if !continuity.is_continued() => {
            Some("it answers as another one, or from an earlier time".to_owned())
        }
        Update::Changed { .. } => None,
    }
}

fn tell(was_reachable: bool, is_reachable: bool, why: Option<String>) {
    match (was_reachable, is_reachable) {
        (true, false) => {
            let why = why.unwrap_or_default();
            tracing::warn!(why, "the local API goes on with what it knew of the registry");
        }
        (false, true) => tracing::info!("the local API answers with what the registry has now"),
        _ => {}
    }
}

/// The time, which stands still in a simulation.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
