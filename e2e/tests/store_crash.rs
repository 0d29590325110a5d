//! `waypost store` killed under load: what was acknowledged is there, revisions only go up, and a watch that resumes misses and
//! repeats nothing.
//!
//! `WAYPOST_STORE_SEEDS` says how often it is killed, and `WAYPOST_STORE_SEED` chooses other moments.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeMap;
use std::env;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};

use etcd_client::{
    Client, EventType, GetOptions, LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions, WatchOptions,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use waypost_e2e::{DEADLINE, Waypost, require, run_to_end};
use waypost_servers::{Ports, Scratch, Storage};

const WRITERS: u64 = 16;
/// Keys of one writer, each written over and over.
const KEYS: u64 = 20;
/// No lease ends during a test.
const TTL: i64 = 3600;

/// A put that was acknowledged: its key, its number, which is its value, and its revision.
type Acknowledged = (String, u64, i64);
/// An event as a watch tells it: revision, key and value.
type Seen = (i64, String, u64);

struct Store {
    scratch: Scratch,
    port: u16,
    waypost: Waypost,
    starts: usize,
}

impl Store {
    #[track_caller]
    fn start() -> Store {
        let scratch = Scratch::new("store-crash", Storage::Disk);
        let port = Ports::free();
        let (data, listen) = (scratch.join("data"), format!("127.0.0.1:{port}"));
        let waypost =
            Waypost::with(["store", "--data-dir", &data.display().to_string(), "--listen", &listen]);
        let store = Store { scratch, port, waypost, starts: 1 };
        store.wait_served();
        store
    }

    fn wait_served(&self) {
        self.waypost.wait_until("the store is served", || {
            assert!(self.waypost.is_running(), "waypost store has ended:\n{}", self.waypost.log());
            self.waypost.logged(&["serving the store"]) >= self.starts
        });
    }

    fn start_again(&mut self) {
        self.waypost.start_again();
        self.starts += 1;
        self.wait_served();
    }

    async fn client(&self) -> Client {
        Client::connect([format!("127.0.0.1:{}", self.port)], None).await.unwrap()
    }
}

/// What was promised so far.
#[derive(Default)]
struct Promises {
    /// The last acknowledged put of each key.
    puts: BTreeMap<String, (u64, i64)>,
    /// Leases with a key each.
    leases: BTreeMap<i64, String>,
    /// The highest revision that anybody was told.
    revision: i64,
    /// What one watch has seen, over all the times it was resumed.
    seen: Vec<Seen>,
}

#[test]
fn a_store_killed_under_load_keeps_what_it_promised() {
    require!();
    let number = |name: &str, usual| env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (seed, kills) = (number("WAYPOST_STORE_SEED", 0_u64), number("WAYPOST_STORE_SEEDS", 6_u64));
    println!("seed {seed}, {kills} kills");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut store = Store::start();
        let mut promises = Promises::default();
        for round in 0..kills {
            load_until_killed(&store, &mut promises, moment(seed, round), round).await;
            store.start_again();
            check(&store, &promises).await;
        }
        watch_the_rest(&store, &mut promises).await;
    });
}

/// After how many acknowledged puts it is killed: soon, or after some checkpoints.
fn moment(seed: u64, round: u64) -> usize {
    let mut hasher = DefaultHasher::new();
    (seed, round).hash(&mut hasher);
    1 + usize::try_from(hasher.finish() % 600).expect("a small number")
}

/// Sixteen writers and a watch, until so many puts are acknowledged; then the store is killed.
async fn load_until_killed(store: &Store, promises: &mut Promises, puts: usize, round: u64) {
    let mut client = store.client().await;
    let lease =
        client.lease_grant(TTL, Some(LeaseGrantOptions::new().with_id(1 + round as i64))).await.unwrap();
    let key = format!("/leased/{round}");
    let options = PutOptions::new().with_lease(lease.id());
    client.put(key.as_str(), round.to_string(), Some(options)).await.unwrap();
    promises.leases.insert(lease.id(), key);

    let watch = watching(store, promises).await;
    let (told, mut acknowledged) = unbounded_channel();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(store.client().await, writer, round, told.clone())));
    }
    drop(told);
    for _ in 0..puts {
        let put = in_time("an acknowledged put", acknowledged.recv()).await.expect("the writers go on");
        promises.keep(put);
    }
    store.waypost.kill();
    for writer in writers {
        in_time("a writer's end", writer).await.unwrap();
    }
    promises.keep_all(&mut acknowledged);
    promises.seen.extend(in_time("the watch's end", watch).await.unwrap());
}

/// Puts one number after the other until that fails.
async fn write(mut client: Client, writer: u64, round: u64, told: UnboundedSender<Acknowledged>) {
    for number in round * 1_000_000.. {
        let key = format!("/load/{writer}/{}", number % KEYS);
        match client.put(key.as_str(), number.to_string(), None).await {
            Ok(put) => {
                let revision = put.header().expect("every answer has a header").revision();
                told.send((key, number, revision)).expect("the test listens to the end");
            }
            Err(_) => return,
        }
    }
}

impl Promises {
    fn keep(&mut self, (key, number, revision): Acknowledged) {
        self.puts.insert(key, (number, revision));
        self.revision = self.revision.max(revision);
    }

    fn keep_all(&mut self, acknowledged: &mut UnboundedReceiver<Acknowledged>) {
        while let Ok(put) = acknowledged.try_recv() {
            self.keep(put);
        }
    }

    /// Where the watch goes on; an empty store is at revision 1.
    fn next(&self) -> i64 {
        self.seen.last().map_or(2, |(revision, ..)| revision + 1)
    }
}

/// Watches everything from where the last watch ended, until the connection breaks.
async fn watching(store: &Store, promises: &Promises) -> JoinHandle<Vec<Seen>> {
    let mut client = store.client().await;
    let options = WatchOptions::new().with_all_keys().with_start_revision(promises.next());
    let mut stream = client.watch("", Some(options)).await.unwrap();
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Ok(Some(response)) = stream.message().await {
            assert!(!response.canceled(), "{response:?}");
            seen.extend(response.events().iter().map(as_seen));
        }
        seen
    })
}

fn as_seen(event: &etcd_client::Event) -> Seen {
    assert_eq!(event.event_type(), EventType::Put, "nothing is deleted here");
    let kv = event.kv().expect("every event has a key");
    (kv.mod_revision(), kv.key_str().unwrap().to_owned(), kv.value_str().unwrap().parse().unwrap())
}

/// After a start: every promise is kept.
async fn check(store: &Store, promises: &Promises) {
    let mut client = store.client().await;
    let all = client.get("", Some(GetOptions::new().with_all_keys())).await.unwrap();
    let revision = all.header().expect("every answer has a header").revision();
    assert!(revision >= promises.revision, "revision {revision} after {}", promises.revision);
    let last_seen = promises.next() - 1;
    assert!(revision >= last_seen, "revision {revision}, but a watch has seen {last_seen}");
    let found: BTreeMap<&str, (u64, i64)> = all
        .kvs()
        .iter()
        .map(|kv| (kv.key_str().unwrap(), (kv.value_str().unwrap().parse().unwrap(), kv.mod_revision())))
        .collect();
    for (key, promised) in &promises.puts {
        let found = found.get(key.as_str());
        let is_kept =
            found.is_some_and(|(number, revision)| *number >= promised.0 && *revision >= promised.1);
        assert!(is_kept, "{key}: {found:?} after {promised:?} was acknowledged");
    }
    for (lease, key) in &promises.leases {
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let left = client.lease_time_to_live(*lease, Some(options)).await.unwrap();
        assert_eq!(left.granted_ttl(), TTL, "lease {lease}");
        assert!(left.ttl() > 0 && left.keys() == [key.as_bytes()], "lease {lease}: {left:?}");
    }
}

/// The watch sees what is left; then it has seen each revision once, and the same as one that begins now.
async fn watch_the_rest(store: &Store, promises: &mut Promises) {
    let mut client = store.client().await;
    let revision = client.get("", Some(GetOptions::new().with_all_keys().with_count_only())).await.unwrap();
    let revision = revision.header().expect("every answer has a header").revision();
    let rest = watch_to(&mut client, promises.next(), revision).await;
    promises.seen.extend(rest);
    let whole = watch_to(&mut client, 2, revision).await;
    let revisions: Vec<i64> = promises.seen.iter().map(|(revision, ..)| *revision).collect();
    assert!(revisions.iter().copied().eq(2..=revision), "each revision once up to {revision}: {revisions:?}");
    assert_eq!(promises.seen, whole, "the resumed watch and one from the beginning");
}

async fn watch_to(client: &mut Client, start: i64, end: i64) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    if start > end {
        return seen;
    }
    let options = WatchOptions::new().with_all_keys().with_start_revision(start);
    let mut stream = client.watch("", Some(options)).await.unwrap();
    while seen.last().is_none_or(|(revision, ..)| *revision < end) {
        let response =
            in_time("the rest of history", stream.message()).await.unwrap().expect("the store is up");
        seen.extend(response.events().iter().map(as_seen));
    }
    seen
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what} took more than {DEADLINE:?}"),
    }
}

#[test]
fn a_second_store_on_the_same_directory_names_the_first_and_harms_nothing() {
    require!();
    let store = Store::start();
    let data = store.scratch.join("data").display().to_string();
    let listen = format!("127.0.0.1:{}", Ports::free());
    let second = run_to_end(["store", "--data-dir", &data, "--listen", &listen]);
    let pid = store.waypost.pid().to_string();
    assert_ne!(second.code, Some(0), "{second:?}");
    for word in ["in use", &pid, &data] {
        assert!(second.stderr.contains(word), "{word} in: {}", second.stderr);
    }
    assert!(store.waypost.is_running());
}
