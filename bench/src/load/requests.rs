//! Puts and gets by clients that wait for each answer: how many a second, and how long each took.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use etcd_client::KvClient;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::figures::{Figures, Times, cpu, float};
use crate::settings::Settings;
use crate::{Outcome, connect, key, value, watches};

/// Room for the times of one client: more a second than any server answers.
const MOST_TIMES: usize = 1 << 20;
/// From one key of a client to its next: a prime, so that each client walks over all keys.
const STRIDE: usize = 7_919;

pub(crate) async fn puts(endpoint: &str, settings: &Settings) -> Outcome<Figures> {
    // Held until the end, and asleep as long as no event comes.
    let _idle = match settings.find("watches") {
        Some(count) => watches::idle(endpoint, count).await?,
        None => Vec::new(),
    };
    let before = revision(endpoint).await?;
    let (sent, figures) = closed_loop(endpoint, settings, Kind::Put).await?;
    let made = usize::try_from(revision(endpoint).await? - before)?;
    if made != sent {
        return Err(format!("{sent} puts were acknowledged, and made {made} revisions").into());
    }
    Ok(figures)
}

pub(crate) async fn gets(endpoint: &str, settings: &Settings) -> Outcome<Figures> {
    Ok(closed_loop(endpoint, settings, Kind::Get).await?.1)
}

async fn revision(endpoint: &str) -> Outcome<i64> {
    let answer = connect(endpoint).await?.get(key(0), None).await?;
    Ok(answer.header().ok_or("an answer without a header")?.revision())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Put,
    Get,
}

/// When the clients end: after a time, or when all that there was to do is done.
#[derive(Debug)]
struct End {
    at: Option<Instant>,
    left: Cell<usize>,
}

impl End {
    fn after(started: Instant, settings: &Settings) -> Outcome<End> {
        if let Some(count) = settings.find("count") {
            return Ok(End { at: None, left: Cell::new(count) });
        }
        let seconds = Duration::from_secs(settings.get("seconds")?.try_into()?);
        Ok(End { at: Some(started + seconds), left: Cell::new(usize::MAX) })
    }

    /// True if another request is due, which it then counts.
    fn goes_on(&self, now: Instant) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && self.at.is_none_or(|at| now < at)
    }
}

/// How many requests were answered, those before the clock ran included; and what is said of the others.
async fn closed_loop(endpoint: &str, settings: &Settings, kind: Kind) -> Outcome<(usize, Figures)> {
    let users = users(endpoint, settings, kind).await?;
    let opened = users.len();
    let (started, cpu_before) = (Instant::now(), cpu()?);
    let end = Rc::new(End::after(started, settings)?);
    let mut running = JoinSet::new();
    for user in users {
        running.spawn_local(user.run(end.clone()));
    }
    let mut times = Times::default();
    while let Some(done) = running.join_next().await {
        times.join(done??);
    }
    let (count, seconds) = (times.count(), started.elapsed().as_secs_f64());
    let share = (cpu()? - cpu_before) / seconds;
    let figures = times.figures().with("rate", float(count) / seconds).with("share", share);
    Ok((count + opened, figures))
}

/// The clients, each of which has sent a request: the first of a connection opens it.
async fn users(endpoint: &str, settings: &Settings, kind: Kind) -> Outcome<Vec<User>> {
    let (clients, keys) = (settings.get("clients")?, settings.get("keys")?);
    let keys: Rc<[Vec<u8>]> = (0..keys).map(key).collect();
    let connections = connections(endpoint, settings).await?;
    let mut users = Vec::new();
    for (number, client) in connections.iter().cycle().take(clients).enumerate() {
        let (client, keys, at) = (client.clone(), keys.clone(), number * keys.len() / clients);
        let mut user = User { client, kind, keys, at, value: value(number), room: MOST_TIMES / clients };
        user.request().await?;
        users.push(user);
    }
    Ok(users)
}

async fn connections(endpoint: &str, settings: &Settings) -> Outcome<Vec<KvClient>> {
    let mut connections = Vec::new();
    for _ in 0..settings.get("connections")? {
        connections.push(connect(endpoint).await?);
    }
    Ok(connections)
}

/// One client: it has one request under way at a time.
struct User {
    client: KvClient,
    kind: Kind,
    keys: Rc<[Vec<u8>]>,
    at: usize,
    value: Vec<u8>,
    room: usize,
}

impl User {
    async fn run(mut self, end: Rc<End>) -> Result<Times, etcd_client::Error> {
        let mut times = Times::with_room_for(self.room);
        let mut sent = Instant::now();
        while end.goes_on(sent) {
            self.request().await?;
            let answered = Instant::now();
            times.add(answered - sent);
            sent = answered;
        }
        Ok(times)
    }

    async fn request(&mut self) -> Result<(), etcd_client::Error> {
        self.at = (self.at + STRIDE) % self.keys.len();
        let key = self.keys[self.at].clone();
        match self.kind {
            Kind::Put => self.client.put(key, self.value.clone(), None).await.map(drop),
            Kind::Get => match self.client.get(key, None).await?.kvs() {
                [_one] => Ok(()),
                _ => Err(etcd_client::Error::InvalidArgs("a key is missing".to_owned())),
            },
        }
    }
}
