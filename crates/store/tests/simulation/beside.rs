//! A store beside the model: asks it, follows it, compares everything that can be seen of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use waypost_store::{Error, History, Limits, Refusal, Settings, Store, Watch, pb};

use crate::disk::Disk;
use crate::model::{Answer, Model, PUT, Request, Response, Watched};

/// How long anything may take: far more than it does on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Few enough operations for nested transactions to have too many of them.
pub const OPERATIONS: usize = 6;

/// All keys there are.
pub fn everything() -> Watched {
    Watched { key: vec![0], range_end: vec![0], ..Watched::default() }
}

/// A small journal, so that checkpoints are frequent and some groups do not fit; no compaction but by request.
pub fn settings() -> Settings {
    Settings {
        limits: Limits { operations: OPERATIONS, free: 0, ..Limits::default() },
        history: History { revisions: None, age: None },
        cache: 1 << 20,
        journal: 12 << 10,
        ..Settings::new("/nowhere")
    }
}

pub fn open(disk: &Disk) -> Result<Store, Error> {
    Store::open_on(disk.files(), &settings())
}

/// The seeds that a test tries: `usual` of them unless the environment says otherwise.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let from_environment = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let first = from_environment("WAYPOST_STORE_SEED").unwrap_or(0);
    first..first + from_environment("WAYPOST_STORE_SEEDS").unwrap_or(usual)
}

/// Runs a test's steps on this thread; the store's writer has its own.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// `future`'s outcome, or a panic that names `what` was waited for.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what} took more than {DEADLINE:?}"),
    }
}

/// Asks the store; the answer's header has only the revision left, as the model's.
pub async fn ask(store: &Store, request: Request) -> Answer {
    let asked = async {
        Ok(match request {
            Request::Range(request) => Response::Range(store.range(&request)?),
            Request::Put(request) => Response::Put(store.put(request).await?),
            Request::Delete(request) => Response::Delete(store.delete_range(request).await?),
            Request::Txn(request) => Response::Txn(store.txn(request).await?),
            Request::Compact(request) => Response::Compact(store.compact(request).await?),
            Request::Grant(request) => Response::Grant(store.lease_grant(request).await?),
            Request::Revoke(request) => Response::Revoke(store.lease_revoke(request).await?),
        })
    };
    let mut response: Response = in_time("a request", asked).await?;
    let header = response.header().take().expect("every answer has a header");
    let own = store.header();
    let identity = |header: &pb::ResponseHeader| (header.cluster_id, header.member_id, header.raft_term);
    assert_eq!(identity(&header), identity(&own), "who answers");
    assert!(own.cluster_id != 0 && own.member_id != 0 && own.raft_term != 0, "{own:?}");
    *response.header() = Some(pb::ResponseHeader { revision: header.revision, ..Default::default() });
    Ok(response)
}

/// A message in one line, with bytes as text and without what is not set.
pub fn shown(message: &impl std::fmt::Debug) -> String {
    let text = format!("{message:?}");
    let mut shown = String::new();
    for (number, part) in text.split('[').enumerate() {
        let bytes = part.split_once(']').and_then(|(list, rest)| {
            let bytes: Result<Vec<u8>, _> = list.split(", ").map(str::parse).collect();
            Some((bytes.ok()?, rest))
        });
        match bytes {
            Some((bytes, rest)) => {
                let start = bytes.iter().position(|byte| *byte != b'0').unwrap_or(0);
                shown.push_str(&format!("'{}'{rest}", bytes[start..].escape_ascii()));
            }
            None => {
                shown.push_str(if number == 0 { "" } else { "[" });
                shown.push_str(part);
            }
        }
    }
    let is_set =
        |field: &&str| ![": 0", ": false", ": None", ": []"].iter().any(|unset| field.ends_with(unset));
    shown.split(", ").filter(is_set).collect::<Vec<_>>().join(", ")
}

impl Response {
    pub fn header(&mut self) -> &mut Option<pb::ResponseHeader> {
        match self {
            Response::Range(response) => &mut response.header,
            Response::Put(response) => &mut response.header,
            Response::Delete(response) => &mut response.header,
            Response::Txn(response) => &mut response.header,
            Response::Compact(response) => &mut response.header,
            Response::Grant(response) => &mut response.header,
            Response::Revoke(response) => &mut response.header,
        }
    }
}

/// Compares everything that can be read: all revisions, the borders of history, the leases.
pub fn compare(store: &Store, model: &Model) -> Result<(), String> {
    let same = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
        if found == expected { Ok(()) } else { Err(format!("{what} is {found}, not {expected}")) }
    };
    same("the revision", &store.header().revision, &model.revision())?;
    for revision in (model.compacted() - 1).max(1)..=model.revision() + 1 {
        let range = pb::RangeRequest { key: vec![0], range_end: vec![0], revision, ..Default::default() };
        let found = store.range(&range).map(|response| response.kvs);
        let expected = if revision < model.compacted() {
            Err(Refusal::Compacted)
        } else if revision > model.revision() {
            Err(Refusal::FutureRevision)
        } else {
            Ok(model.keys_at(revision).values().cloned().collect::<Vec<_>>())
        };
        same(&format!("revision {revision}"), &found, &expected)?;
    }
    let mut leases: Vec<i64> = store.lease_leases().leases.iter().map(|lease| lease.id).collect();
    leases.sort_unstable();
    same("the list of leases", &leases, &model.leases().keys().copied().collect::<Vec<_>>())?;
    for (id, ttl) in model.leases() {
        let found = store.lease_time_to_live(&pb::LeaseTimeToLiveRequest { id: *id, keys: true });
        let mut found = found.map_err(|why| format!("lease {id}: {why:?}"))?;
        found.keys.sort();
        same(&format!("lease {id}"), &(found.granted_ttl, found.keys), &(*ttl, model.keys_of_lease(*id)))?;
        same(&format!("lease {id} has its time"), &(ttl - 60..=*ttl).contains(&found.ttl), &true)?;
    }
    Ok(())
}

/// The watches of one stream, and all that they were told.
pub struct Stream {
    watch: Watch,
    followed: BTreeMap<i64, Followed>,
}

/// One watch.
pub struct Followed {
    watched: Watched,
    start: i64,
    /// It asks for what was compacted before.
    is_too_early: bool,
    seen: Vec<pb::Event>,
    is_created: bool,
    /// The revision before which history was gone when it was cancelled for that.
    compacted: Option<i64>,
}

impl Stream {
    pub fn new(store: &Store) -> Stream {
        Stream { watch: store.watch(), followed: BTreeMap::new() }
    }

    /// Adds a watch from revision `start` on; 0 is from now on, when the store is as `model`.
    pub fn follow(&mut self, watched: &Watched, start: i64, model: &Model) {
        let id = self.followed.len() as i64 + 1;
        let mut union = pb::WatchRequestUnion::CreateRequest(Default::default());
        if let pb::WatchRequestUnion::CreateRequest(create) = &mut union {
            create.key.clone_from(&watched.key);
            create.range_end.clone_from(&watched.range_end);
            create.start_revision = start;
            create.watch_id = id;
            create.prev_kv = true;
            create.filters =
                [watched.no_puts, watched.no_deletes].iter().zip(0..).filter(|f| *f.0).map(|f| f.1).collect();
        }
        self.watch.request(pb::WatchRequest { request_union: Some(union) });
        let followed = Followed {
            watched: watched.clone(),
            start: if start == 0 { model.revision() + 1 } else { start },
            is_too_early: start != 0 && start < model.compacted(),
            seen: Vec::new(),
            is_created: false,
            compacted: None,
        };
        self.followed.insert(id, followed);
    }

    /// Takes up to `responses` of those that are there already.
    pub fn take(&mut self, responses: usize) {
        for _ in 0..responses {
            let Some(response) = self.watch.next().now_or_never() else { return };
            self.take_in(response);
        }
    }

    /// Waits for all that `model` says there is, and checks that nothing else comes.
    pub async fn expect(&mut self, model: &Model) {
        while self.followed.values().any(|followed| followed.is_owed(model)) {
            let next = in_time("a watch's response", self.watch.next()).await;
            self.take_in(next);
        }
        // The answer to this comes after everything that was to be told.
        let progress = pb::WatchRequestUnion::ProgressRequest(Default::default());
        self.watch.request(pb::WatchRequest { request_union: Some(progress) });
        loop {
            let response = in_time("a progress response", self.watch.next()).await;
            if response.watch_id == -1 {
                let header = response.header.expect("every response has a header");
                assert_eq!(header.revision, model.revision(), "the progress that was told");
                break;
            }
            self.take_in(response);
        }
        for followed in self.followed.values() {
            followed.check(model);
        }
    }

    /// What was followed, with the revision to go on with: the one after the last that was seen.
    pub fn into_resumable(self) -> Vec<(Followed, i64)> {
        let resumable = |followed: Followed| {
            let next = followed.seen.last().map_or(followed.start, |event| revision_of(event) + 1);
            (followed, next)
        };
        self.followed.into_values().map(resumable).collect()
    }

    fn take_in(&mut self, response: pb::WatchResponse) {
        let followed = self.followed.get_mut(&response.watch_id);
        let followed = followed.unwrap_or_else(|| panic!("about no watch of this stream: {response:?}"));
        followed.take_in(response);
    }
}

impl Followed {
    fn take_in(&mut self, response: pb::WatchResponse) {
        assert!(self.compacted.is_none(), "nothing comes after the cancellation: {response:?}");
        assert_ne!(self.is_created, response.created, "created comes first, and once: {response:?}");
        self.is_created = true;
        if response.canceled {
            assert!(response.compact_revision > 0, "cancelled for no reason: {response:?}");
            self.compacted = Some(response.compact_revision);
        }
        let revisions = response.events.iter().map(revision_of);
        assert!(revisions.clone().is_sorted(), "the events are in order: {response:?}");
        if let (Some(last), Some(first)) = (self.seen.last(), revisions.clone().next()) {
            assert!(
                revision_of(last) < first,
                "a revision comes as a whole, and once: {response:?} after {last:?}"
            );
        }
        let head = response.header.expect("every response has a header").revision;
        assert!(
            revisions.clone().all(|revision| revision <= head),
            "an event after its response: {:?}",
            response.events
        );
        self.seen.extend(response.events);
    }

    /// True while there is more to come.
    fn is_owed(&self, model: &Model) -> bool {
        let is_at_end = match self.compacted {
            Some(_) => true,
            None if self.is_too_early => false,
            None => self.last_revision() >= self.expected(model).last().map_or(0, revision_of),
        };
        !self.is_created || !is_at_end
    }

    fn last_revision(&self) -> i64 {
        self.seen.last().map_or(0, revision_of)
    }

    fn expected(&self, model: &Model) -> Vec<pb::Event> {
        model.events(&self.watched, self.start)
    }

    /// All that it was told is true, and it was told all.
    pub fn check(&self, model: &Model) {
        let expected = self.expected(model);
        if let Some(compacted) = self.compacted {
            assert!((1..=model.compacted()).contains(&compacted), "compacted at {compacted}");
            let next = self.last_revision().max(self.start - 1) + 1;
            let is_missed = |event: &pb::Event| (next..compacted).contains(&revision_of(event));
            assert!(
                self.start < compacted || expected.iter().any(is_missed),
                "nothing of {next} was compacted"
            );
        } else {
            assert_eq!(
                self.seen.len(),
                expected.len(),
                "{:?} from {}: {}",
                self.watched,
                self.start,
                self.list()
            );
        }
        self.check_prefix(model);
    }

    /// What it was told is what there was first.
    pub fn check_prefix(&self, model: &Model) {
        let expected = self.expected(model);
        assert!(self.seen.len() <= expected.len(), "more than there was: {}", self.list());
        for (seen, expected) in self.seen.iter().zip(&expected) {
            let mut expected = expected.clone();
            // What was before a revision is not there any more if that was compacted.
            if seen.prev_kv.is_none() && revision_of(seen) - 1 < model.compacted() {
                expected.prev_kv = None;
            }
            assert_eq!(seen, &expected, "{:?} from {}", self.watched, self.start);
        }
    }

    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    fn list(&self) -> String {
        let name = |event: &pb::Event| {
            let kv = event.kv.as_ref().expect("every event has a key");
            let sign = if event.r#type == PUT { '+' } else { '-' };
            format!("{sign}{}@{}", kv.key.escape_ascii(), kv.mod_revision)
        };
        self.seen.iter().map(name).collect::<Vec<_>>().join(" ")
    }
}

fn revision_of(event: &pb::Event) -> i64 {
    event.kv.as_ref().expect("every event has a key").mod_revision
}

/// Compares everything, watches included: from the first revision that is left, from some others, and from too early.
pub async fn compare_all(store: &Store, model: &Model, rng: &mut fastrand::Rng) -> Result<(), String> {
    compare(store, model)?;
    let mut stream = Stream::new(store);
    // At the compacted revision itself etcd may have forgotten a deletion, so that nothing is promised from there.
    let first = model.compacted().max(0) + 1;
    for start in [first, rng.i64(first..=model.revision() + 1), model.revision() + 1] {
        stream.follow(&everything(), start, model);
    }
    if model.compacted() > 1 {
        stream.follow(&everything(), model.compacted() - 1, model);
    }
    stream.expect(model).await;
    Ok(())
}
