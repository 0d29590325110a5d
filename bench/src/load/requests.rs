//! Puts and gets by clients that wait for each answer: how many a second, and how long each took.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use etcd_client::{Client, KvClient};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::figures::{Figures, Times, cpu, float};
use crate::settings::Settings;
use crate::{LARGEST_ANSWER, Outcome, connect, key, value, watches};

/// Room for the times of one client: more a second than any server answers.
const MOST_TIMES: usize = 1 << 20;
/// From one key of a client to its next: it has no divisor in common with a number of keys such as 50,000.
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
    at: Cell<Option<Instant>>,
    left: Cell<usize>,
}

impl End {
    /// True if another request is due, which it then counts.
    fn goes_on(&self, now: Instant) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && self.at.get().is_none_or(|at| now < at)
    }
}

/// How many requests were answered, those before the clock ran included; and what is said of the others.
async fn closed_loop(endpoint: &str, settings: &Settings, kind: Kind) -> Outcome<(usize, Figures)> {
    let (clients, keys) = (settings.get("clients")?, settings.get("keys")?);
    let keys: Rc<[Vec<u8>]> = (0..keys).map(key).collect();
    let mut users = Vec::new();
    for (number, client) in connections(endpoint, settings).await?.iter().cycle().take(clients).enumerate() {
        let first = number * keys.len() / clients;
        let room = MOST_TIMES / clients;
        let mut user =
            User { client: client.clone(), kind, keys: keys.clone(), at: first, value: value(number), room };
        // The first request of a connection opens it.
        user.request().await?;
        users.push(user);
    }
    let end =
        Rc::new(End { at: Cell::new(None), left: Cell::new(settings.find("count").unwrap_or(usize::MAX)) });
    let (started, cpu_before) = (Instant::now(), cpu()?);
    if settings.find("count").is_none() {
        end.at.set(Some(started + Duration::from_secs(settings.get("seconds")?.try_into()?)));
    }
    let mut running = JoinSet::new();
    for user in users {
        running.spawn_local(user.run(end.clone()));
    }
    let mut times = Times::default();
    while let Some(done) = running.join_next().await {
        times.join(done?.map_err(|why| why.to_string())?);
    }
    let (count, seconds) = (times.count(), started.elapsed().as_secs_f64());
    let figures = times.figures().with("rate", float(count) / seconds);
    let figures = figures.with("share", (cpu()? - cpu_before) / seconds);
    Ok((count + clients, figures))
}

async fn connections(endpoint: &str, settings: &Settings) -> Outcome<Vec<KvClient>> {
    let mut connections = Vec::new();
    for _ in 0..settings.get("connections")? {
        let client = Client::connect([endpoint], None).await?;
        connections.push(client.kv_client().max_decoding_message_size(LARGEST_ANSWER));
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
