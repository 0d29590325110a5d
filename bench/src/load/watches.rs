//! Many watches of the same keys: how long until the last of them has a put, and how fast many puts reach all.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use etcd_client::{Client, Event, KeyValue, KvClient, WatchOptions, WatchStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet, spawn_local};
use tokio::time::Instant;

use crate::figures::{Figures, Times, cpu, float};
use crate::settings::Settings;
use crate::{Outcome, PREFIX, connect, key, value};

/// How many puts of a burst are under way at a time.
const UNDER_WAY: usize = 64;
/// Over so many streams, each on a connection of its own, go the watches that are to see nothing.
const IDLE_STREAMS: usize = 8;

/// Watches of as many prefixes, none of which is put; they live as long as what this returns.
pub(crate) async fn idle(endpoint: &str, count: usize) -> Outcome<Vec<WatchStream>> {
    let mut streams = Vec::new();
    for number in 0..IDLE_STREAMS {
        let client = Client::connect([endpoint], None).await?;
        let prefixes = (number..count).step_by(IDLE_STREAMS).map(|watch| format!("/idle/{watch:04}/"));
        streams.push(open(&client, prefixes.collect()).await?);
    }
    Ok(streams)
}

/// A stream with a watch of each of the prefixes, all of which the server has confirmed.
async fn open(client: &Client, prefixes: Vec<String>) -> Outcome<WatchStream> {
    let options = Some(WatchOptions::new().with_prefix());
    let count = prefixes.len();
    let mut prefixes = prefixes.into_iter();
    let first = prefixes.next().ok_or("a stream without a watch")?;
    let mut stream = client.watch_client().watch(first, options.clone()).await?;
    // One by one: a server need not take a hundred requests before it answers the first.
    for confirmed in 1..=count {
        let answer = stream.message().await?.ok_or("the watch ended")?;
        if !answer.created() || answer.canceled() {
            return Err(format!("watch {confirmed} is refused: {}", answer.cancel_reason()).into());
        }
        if let Some(prefix) = prefixes.next() {
            stream.watch(prefix, options.clone()).await?;
        }
    }
    Ok(stream)
}

pub(crate) async fn fan_out(endpoint: &str, settings: &Settings) -> Outcome<Figures> {
    let (watches, keys) = (settings.get("watches")?, settings.get("keys")?);
    let arrivals = Rc::new(Arrivals::default());
    let _readers = readers(endpoint, settings, &arrivals).await?;
    let client = connect(endpoint).await?;

    let mut times = Times::default();
    for number in 0..settings.get("singles")? {
        arrivals.expect(watches);
        let sent = Instant::now();
        client.clone().put(key(number % keys), value(number), None).await?;
        times.add(arrivals.last().await? - sent);
    }
    let puts = settings.get("burst")?;
    arrivals.expect(watches * puts);
    let (sent, cpu_before) = (Instant::now(), cpu()?);
    burst(&client, puts, keys).await?;
    let seconds = (arrivals.last().await? - sent).as_secs_f64();
    let share = (cpu()? - cpu_before) / seconds;
    Ok(times.figures().with("rate", float(watches * puts) / seconds).with("share", share))
}

/// A task a stream, each of which tells of what arrives.
async fn readers(
    endpoint: &str,
    settings: &Settings,
    arrivals: &Rc<Arrivals>,
) -> Outcome<Vec<JoinHandle<()>>> {
    let (watches, streams) = (settings.get("watches")?, settings.get("streams")?);
    let mut clients = Vec::new();
    for _ in 0..settings.get("connections")? {
        clients.push(Client::connect([endpoint], None).await?);
    }
    let mut readers = Vec::new();
    for (number, client) in clients.iter().cycle().take(streams).enumerate() {
        let prefixes = (number..watches).step_by(streams).map(|_| PREFIX.to_owned());
        let stream = open(client, prefixes.collect()).await?;
        readers.push(spawn_local(read(stream, arrivals.clone())));
    }
    Ok(readers)
}

async fn read(mut stream: WatchStream, arrivals: Rc<Arrivals>) {
    let mut seen = HashMap::new();
    loop {
        match stream.message().await {
            Ok(Some(answer)) if !answer.canceled() => {
                let last = seen.entry(answer.watch_id()).or_default();
                if !answer.events().iter().all(|event| is_next(last, event)) {
                    return arrivals.fail("an event came twice or too late".to_owned());
                }
                arrivals.came(answer.events().len());
            }
            Ok(ended) => return arrivals.fail(format!("a watch ended: {ended:?}")),
            Err(why) => return arrivals.fail(why.to_string()),
        }
    }
}

/// Each put has a revision of its own: if these only rise on each watch and all together are as many as are
/// due, then each watch had each event once.
fn is_next(last: &mut i64, event: &Event) -> bool {
    let revision = event.kv().map_or(0, KeyValue::mod_revision);
    let rises = revision > *last;
    *last = revision;
    rises
}

async fn burst(client: &KvClient, puts: usize, keys: usize) -> Outcome<()> {
    let mut running = JoinSet::new();
    for first in 0..UNDER_WAY.min(puts) {
        let mut client = client.clone();
        let entries: Vec<_> = (first..puts).step_by(UNDER_WAY).map(|n| (key(n % keys), value(n))).collect();
        running.spawn_local(async move {
            for (key, value) in entries {
                client.put(key, value, None).await?;
            }
            Ok::<_, etcd_client::Error>(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Counts the events that all watches together are to see.
#[derive(Debug, Default)]
struct Arrivals {
    missing: Cell<usize>,
    failed: RefCell<Option<String>>,
    complete: Cell<Option<Instant>>,
    woken: Notify,
}

impl Arrivals {
    fn expect(&self, events: usize) {
        self.missing.set(events);
        self.complete.set(None);
    }

    fn came(&self, events: usize) {
        match self.missing.get().checked_sub(events) {
            Some(0) if events > 0 => {
                self.missing.set(0);
                self.complete.set(Some(Instant::now()));
                self.woken.notify_one();
            }
            Some(missing) => self.missing.set(missing),
            None => self.fail("more events came than were due".to_owned()),
        }
    }

    fn fail(&self, why: String) {
        self.failed.replace(Some(why));
        self.woken.notify_one();
    }

    /// When the last of them came.
    async fn last(&self) -> Outcome<Instant> {
        loop {
            if let Some(why) = self.failed.take() {
                return Err(why.into());
            }
            if let Some(at) = self.complete.get() {
                return Ok(at);
            }
            self.woken.notified().await;
        }
    }
}
