//! The store's handle: reads on the caller's thread, writes through the writer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend};
use tokio::sync::{oneshot, watch};

use crate::backup::Backup;
use crate::disk::{self, Check, Directory, Files, Trouble, io_error};
use crate::error::{Error, Refusal};
use crate::format::{CHANGES, KEYS, LEASED, META};
use crate::group::{Group, keys_of};
use crate::hub::Hub;
use crate::journal::Journal;
use crate::leases::Leases;
use crate::look::{Failure, Head, Look, Past, Span};
use crate::settings::{Limits, Settings};
use crate::start::{Identity, load_leases, opening, recover, state};
use crate::watch::Watch;
use crate::writer::{self, Job, Room, Space, Writer};
use crate::{apply, check, pb};

/// Requests that may wait for the writer: etcd refuses more than 5,000 that are not applied (`v3_server.go`).
const WAITING: usize = 5000;
/// etcd's `AlarmType` of a store without space.
const NO_SPACE_ALARM: i32 = 1;
/// etcd's `AlarmRequest.AlarmAction` that asks for the list; the others set and clear, and have nothing to do
/// here.
const ACTIVATE: i32 = 1;

/// An open store; clones are the same one.
///
/// Requests and answers are etcd's. A method that writes has its effect even if its future is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// `None` once the store was closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    database: Arc<Database>,
    directory: Option<Arc<Directory>>,
    hub: Arc<Hub>,
    leases: Arc<Mutex<Leases>>,
    settings: Settings,
    identity: Identity,
    watches: AtomicUsize,
    size: Arc<AtomicU64>,
    /// Why the writer has ended, once it has.
    ended: watch::Receiver<Option<String>>,
}

impl Store {
    /// Opens the store in `settings.dir`, or makes one there.
    ///
    /// # Errors
    ///
    /// - [`Error::InUse`] if another process has the directory.
    /// - [`Error::Unusable`] if a file is damaged, foreign or of a later version; it is left as it is.
    /// - [`Error::Io`] if a file cannot be read or written.
    pub fn open(settings: &Settings) -> Result<Store, Error> {
        let directory = Arc::new(Directory::take(&settings.dir)?);
        let files = directory.files(settings.journal)?;
        directory.examine()?;
        let path = directory.database();
        let database =
            disk::open(files.database, settings.cache, Check::Needed).map_err(|why| why.at(&path))?;
        Store::start(database, files.journal, settings, Some(directory))
    }

    /// Opens the store in `files`, or makes one if the database is empty. `settings.dir` is not looked at.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_on(files: Files, settings: &Settings) -> Result<Store, Error> {
        let Files { database, journal } = files;
        let open = || {
            if database.len()? > 0 {
                return disk::open(database, settings.cache, Check::Needed);
            }
            let cluster = disk::draw();
            Journal::create(&*journal, cluster, settings.journal)?;
            disk::initialise(database, cluster)
        };
        let database = open().map_err(|why: Trouble| why.at(Path::new(disk::DATABASE)))?;
        Store::start(database, journal, settings, None)
    }

    fn start(
        database: Database,
        journal: Box<dyn StorageBackend>,
        settings: &Settings,
        directory: Option<Arc<Directory>>,
    ) -> Result<Store, Error> {
        let in_directory = |name: &str| {
            directory.as_ref().map_or_else(|| name.into(), |directory| directory.path().join(name))
        };
        let (database_path, journal_path) = (in_directory(disk::DATABASE), in_directory(disk::JOURNAL));
        let database = Arc::new(database);
        let (identity, checkpoint) = opening(&database).map_err(|why| why.at(&database_path))?;
        let journal = recover(&database, journal, identity, checkpoint, &database_path, &journal_path)?;

        let state = state(&database).map_err(|why| why.at(&database_path))?;
        let hub = Arc::new(Hub::new(state.head.revision));
        let leases = Arc::default();
        let size = Arc::new(AtomicU64::new(state.size));
        let mut writer = Writer {
            database: Arc::clone(&database),
            journal,
            hub: Arc::clone(&hub),
            leases: Arc::clone(&leases),
            settings: settings.clone(),
            space: Space::new(directory.clone()),
            state,
            size: Arc::clone(&size),
            past: writer::Past::default(),
            unswept: state.head.compacted.is_some(),
        };
        writer.checkpoint().map_err(|why| why.at(&database_path))?;
        let granted = load_leases(&database).map_err(|why| why.at(&database_path))?;
        *leases.lock().unwrap_or_else(PoisonError::into_inner) = granted;

        let (jobs, waiting) = sync_channel(WAITING);
        let (ending, ended) = watch::channel(None);
        let work = move || {
            let why = match catch_unwind(AssertUnwindSafe(|| writer.run(&waiting))) {
                Ok(Ok(())) => "it was closed".to_owned(),
                Ok(Err(trouble)) => trouble.to_string(),
                Err(_) => "its writer has panicked".to_owned(),
            };
            drop(waiting);
            ending.send_replace(Some(why));
        };
        let spawned = thread::Builder::new().name("store-writer".to_owned()).spawn(work);
        spawned.map_err(|source| io_error("start the writer of", &database_path, source))?;
        let shared = Shared {
            jobs: Mutex::new(Some(jobs)),
            database,
            directory,
            hub,
            leases,
            settings: settings.clone(),
            identity,
            watches: AtomicUsize::new(0),
            size,
            ended,
        };
        Ok(Store { shared: Arc::new(shared) })
    }

    /// The header of an answer: who answers, and the latest revision.
    pub fn header(&self) -> pb::ResponseHeader {
        self.header_at(self.published())
    }

    pub(crate) fn header_at(&self, revision: u64) -> pb::ResponseHeader {
        let Identity { cluster, member, term } = self.shared.identity;
        pb::ResponseHeader {
            cluster_id: cluster,
            member_id: member,
            revision: revision.cast_signed(),
            raft_term: term,
        }
    }

    /// Completes the header that `apply` has put the revision into.
    fn fill(&self, header: &mut Option<pb::ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.header_at(revision.cast_unsigned()));
    }

    /// The bounds that the store was opened with.
    pub fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    pub(crate) fn published(&self) -> u64 {
        self.shared.hub.head()
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads keys: etcd's `Range`.
    ///
    /// # Errors
    ///
    /// What etcd refuses; [`Refusal::Stopped`] if the disk fails.
    pub fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Refusal> {
        check::range(request)?;
        self.look(|look| {
            let mut response = look.range(request)?;
            response.header = Some(self.header_at(look.head.revision));
            Ok(response)
        })
    }

    /// Looks at the store as it is now.
    fn look<T>(&self, then: impl FnOnce(ReadLook<'_>) -> Result<T, Failure>) -> Result<T, Refusal> {
        let look = || {
            let transaction = self.read()?;
            let (keys, changes) = (transaction.open_table(KEYS), transaction.open_table(CHANGES));
            let (keys, changes) = (keys.map_err(stopped)?, changes.map_err(stopped)?);
            let head = Head::of(&transaction.open_table(META).map_err(stopped)?, &changes)?;
            then(Look { keys: &keys, changes: &changes, head })
        };
        look().map_err(|failure| match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Storage(error) => stopped(error),
        })
    }

    fn read(&self) -> Result<ReadTransaction, Refusal> {
        self.shared.database.begin_read().map_err(stopped)
    }

    /// Hands a request to the writer and waits until it is durable.
    async fn write<T: Send + 'static>(
        &self,
        apply: impl FnOnce(&mut Group<'_>, Room) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |group, room| {
            let outcome = match apply(group, room) {
                Ok(response) => Ok(response),
                Err(Failure::Refused(refusal)) => Err(refusal),
                Err(Failure::Storage(error)) => return Err(error),
            };
            // A client that has gone does not hear of it.
            Ok(Box::new(move || drop(answer.send(outcome))))
        });
        self.submit(job)?;
        answered.await.unwrap_or(Err(Refusal::Stopped))
    }

    fn submit(&self, job: Job) -> Result<(), Refusal> {
        let jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = jobs.as_ref().ok_or(Refusal::Stopped)?.try_send(job);
        sent.map_err(|why| match why {
            TrySendError::Full(_) => Refusal::TooManyRequests,
            TrySendError::Disconnected(_) => Refusal::Stopped,
        })
    }

    /// Writes a key: etcd's `Put`.
    ///
    /// # Errors
    ///
    /// What etcd refuses; [`Refusal::Stopped`] if the outcome is not known.
    pub async fn put(&self, request: pb::PutRequest) -> Result<pb::PutResponse, Refusal> {
        check::put(&request)?;
        let apply = |group: &mut Group<'_>, room| {
            require(room)?;
            apply::put(group, request)
        };
        let mut response = self.write(apply).await?;
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Deletes keys: etcd's `DeleteRange`.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub async fn delete_range(
        &self,
        request: pb::DeleteRangeRequest,
    ) -> Result<pb::DeleteRangeResponse, Refusal> {
        check::delete_range(&request)?;
        let mut response = self.write(move |group, _| apply::delete_range(group, &request)).await?;
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Runs a transaction: etcd's `Txn`.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub async fn txn(&self, request: pb::TxnRequest) -> Result<pb::TxnResponse, Refusal> {
        check::txn(&request, self.limits().operations)?;
        let mut response = if apply::only_reads(&request) {
            self.look(|look| apply::reading_txn(&look, &request))?
        } else {
            let grows = apply::grows(&request);
            let apply = move |group: &mut Group<'_>, room| {
                if grows {
                    require(room)?;
                }
                apply::txn(group, request)
            };
            self.write(apply).await?
        };
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Ends history: etcd's `Compact`. With `physical` it is gone from the database when this returns.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub async fn compact(&self, request: pb::CompactionRequest) -> Result<pb::CompactionResponse, Refusal> {
        let apply = move |group: &mut Group<'_>, _| {
            let response = apply::compact(group, &request)?;
            if request.physical {
                group.sweep(usize::MAX)?;
            }
            Ok(response)
        };
        let mut response = self.write(apply).await?;
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Grants a lease: etcd's `LeaseGrant`.
    ///
    /// # Errors
    ///
    /// As [`Store::put`]; [`Refusal::TooManyRequests`] above the limit of leases.
    pub async fn lease_grant(
        &self,
        request: pb::LeaseGrantRequest,
    ) -> Result<pb::LeaseGrantResponse, Refusal> {
        if self.leases().len() >= self.limits().leases {
            return Err(Refusal::TooManyRequests);
        }
        let apply = move |group: &mut Group<'_>, room| {
            require(room)?;
            apply::grant(group, &request, || fastrand::i64(1..))
        };
        let mut response = self.write(apply).await?;
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Ends a lease and its keys: etcd's `LeaseRevoke`.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub async fn lease_revoke(
        &self,
        request: pb::LeaseRevokeRequest,
    ) -> Result<pb::LeaseRevokeResponse, Refusal> {
        let mut response = self.write(move |group, _| apply::revoke(group, request.id)).await?;
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Gives a lease its whole time again: etcd's `LeaseKeepAlive`. A `ttl` of 0 says that the lease has
    /// ended.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stopped`] if the store cannot go on: it ends no lease then, and must keep none alive.
    pub fn lease_keep_alive(&self, id: i64) -> Result<pb::LeaseKeepAliveResponse, Refusal> {
        if self.shared.ended.borrow().is_some() {
            return Err(Refusal::Stopped);
        }
        let header = Some(self.header());
        let ttl = self.leases().renew(id, Instant::now()).unwrap_or(0).cast_signed();
        Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
    }

    /// How long a lease has left: etcd's `LeaseTimeToLive`. A `ttl` of -1 says that there is none.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stopped`] if the disk fails.
    pub fn lease_time_to_live(
        &self,
        request: &pb::LeaseTimeToLiveRequest,
    ) -> Result<pb::LeaseTimeToLiveResponse, Refusal> {
        let times = self.leases().time_to_live(request.id, Instant::now());
        let mut response = pb::LeaseTimeToLiveResponse {
            header: Some(self.header()),
            id: request.id,
            ttl: -1,
            ..Default::default()
        };
        if let Some((granted, left)) = times {
            (response.granted_ttl, response.ttl) = (granted.cast_signed(), left.cast_signed());
            if request.keys {
                let leased = self.read()?.open_table(LEASED).map_err(stopped)?;
                let keys = keys_of(&leased, request.id).map_err(stopped)?;
                response.keys = keys.into_iter().map(Into::into).collect();
            }
        }
        Ok(response)
    }

    /// All leases, those that end first at the front: etcd's `LeaseLeases`.
    pub fn lease_leases(&self) -> pb::LeaseLeasesResponse {
        let leases = self.leases().ids().map(|id| pb::LeaseStatus { id }).collect();
        pb::LeaseLeasesResponse { header: Some(self.header()), leases }
    }

    /// How the store is: etcd's `Status`. It is its own leader; the applied index is the revision.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stopped`] if the disk fails.
    pub fn status(&self) -> Result<pb::StatusResponse, Refusal> {
        let revision = self.look(|look| Ok(look.head.revision))?;
        let size = self.size();
        let Identity { member, term, .. } = self.shared.identity;
        let errors = self.alarms().iter().map(|_| format!("memberID:{member} alarm:NOSPACE ")).collect();
        Ok(pb::StatusResponse {
            header: Some(self.header_at(revision)),
            version: crate::VERSION.to_owned(),
            db_size: self.file_size().unwrap_or(size).cast_signed(),
            db_size_in_use: size.cast_signed(),
            leader: member,
            raft_index: revision,
            raft_applied_index: revision,
            raft_term: term,
            errors,
            db_size_quota: self.limits().size.cast_signed(),
            ..Default::default()
        })
    }

    fn file_size(&self) -> Option<u64> {
        let directory = self.shared.directory.as_ref()?;
        Some(std::fs::metadata(directory.database()).ok()?.len())
    }

    /// A checksum over live keys and history: etcd's `Hash`. It says that two looks saw the same store, not
    /// that a store and an etcd have the same keys.
    ///
    /// # Errors
    ///
    /// [`Refusal::Stopped`] if the disk fails.
    pub fn hash(&self) -> Result<pb::HashResponse, Refusal> {
        let (hash, revision, _) = self.checksum(0)?;
        Ok(pb::HashResponse { header: Some(self.header_at(revision)), hash })
    }

    /// A checksum over the keys at a revision and the history up to it: etcd's `HashKV`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Compacted`] and [`Refusal::FutureRevision`]; [`Refusal::Stopped`] if the disk fails.
    pub fn hash_kv(&self, request: &pb::HashKvRequest) -> Result<pb::HashKvResponse, Refusal> {
        let (hash, revision, compact_revision) = self.checksum(request.revision)?;
        Ok(pb::HashKvResponse {
            header: Some(self.header_at(revision)),
            hash,
            compact_revision,
            ..Default::default()
        })
    }

    fn checksum(&self, revision: i64) -> Result<(u32, u64, i64), Refusal> {
        self.look(|look| {
            let at = look.head.resolve(revision)?;
            let mut sum = crc32c::crc32c(&at.to_le_bytes());
            look.each(&Span::new(&[0], &[0]), at, &mut |key, seen| {
                sum = crc32c::crc32c_append(sum, key);
                for number in [seen.created, seen.modified, seen.version, seen.lease.cast_unsigned()] {
                    sum = crc32c::crc32c_append(sum, &number.to_le_bytes());
                }
                sum = crc32c::crc32c_append(sum, seen.value);
                true
            })?;
            for entry in look.changes.range((look.head.floor(), 0)..(at + 1, 0))? {
                sum = crc32c::crc32c_append(sum, entry?.1.value());
            }
            Ok((sum, look.head.revision, look.head.mark()))
        })
    }

    /// The alarms: etcd's `Alarm`. That there is no space is the only one; it clears itself when there is, so
    /// setting and clearing one changes nothing.
    pub fn alarm(&self, request: &pb::AlarmRequest) -> pb::AlarmResponse {
        let alarms = if request.action == ACTIVATE { Vec::new() } else { self.alarms() };
        pb::AlarmResponse { header: Some(self.header()), alarms }
    }

    fn alarms(&self) -> Vec<pb::AlarmMember> {
        let member_id = self.shared.identity.member;
        let limits = self.limits();
        let is_full = self
            .shared
            .directory
            .as_ref()
            .is_some_and(|directory| directory.free().is_ok_and(|free| free < limits.free));
        let is_large = self.size() >= limits.size;
        let alarm = pb::AlarmMember { member_id, alarm: NO_SPACE_ALARM };
        if is_full || is_large { vec![alarm] } else { Vec::new() }
    }

    /// Bytes of keys, values and history.
    fn size(&self) -> u64 {
        self.shared.size.load(Ordering::Relaxed)
    }

    /// Copies the store as it is now into a file of its own, in the data directory; blocks while it does.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSpace`] if the disk has no room for it beside the store; [`Refusal::Stopped`] if it fails.
    pub fn backup(&self) -> Result<Backup, Refusal> {
        let needed = self.size().saturating_add(self.limits().free);
        if self
            .shared
            .directory
            .as_ref()
            .is_some_and(|directory| directory.free().is_ok_and(|free| free < needed))
        {
            tracing::error!(needed, "the disk has no room for a backup");
            return Err(Refusal::NoSpace);
        }
        let directory = self.shared.directory.as_ref().map(|directory| directory.path());
        let copied = self.read().and_then(|transaction| Backup::of(&transaction, directory).map_err(stopped));
        copied.inspect_err(|_| tracing::error!("the backup has failed"))
    }

    /// The watches of a new stream. Called where tokio's time is at hand.
    pub fn watch(&self) -> Watch {
        Watch::new(self.clone())
    }

    /// Counts a watch; `false` if there are too many.
    pub(crate) fn add_watch(&self) -> bool {
        let most = self.limits().watches;
        let add = |count: usize| (count < most).then_some(count + 1);
        self.shared.watches.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    pub(crate) fn remove_watches(&self, count: usize) {
        self.shared.watches.fetch_sub(count, Ordering::Relaxed);
    }

    /// What has changed from revision `next` on, about `most` bytes of it.
    pub(crate) fn history(&self, span: &Span, next: u64, most: usize) -> Result<Past, Refusal> {
        self.look(|look| {
            let floor = look.head.floor();
            if next < floor {
                return Ok(Past::Compacted(floor));
            }
            let (mut changes, next) = look.history(span, next, look.head.revision, most)?;
            // What was before the first revision that can be looked at is history, and told to nobody.
            let first = changes.iter_mut().take_while(|(revision, _)| *revision <= floor);
            first.for_each(|(_, change)| change.before = None);
            Ok(Past::Changes { changes, next })
        })
    }

    /// Ends when the store cannot go on, with the reason.
    pub async fn failed(&self) -> Error {
        let mut ended = self.shared.ended.clone();
        let what = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "its writer has ended".to_owned(),
        };
        Error::Failed { what }
    }

    /// Ends the writer after what was handed to it, and makes the next start short. Other handles can still
    /// read.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if the disk fails; what was acknowledged is on it all the same.
    pub async fn close(self) -> Result<(), Error> {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        match self.failed().await {
            Error::Failed { what } if what == "it was closed" => Ok(()),
            error => Err(error),
        }
    }
}

type ReadLook<'t> = Look<
    't,
    redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
    redb::ReadOnlyTable<(u64, u32), &'static [u8]>,
>;

/// Refuses what needs room when there is none.
fn require(room: Room) -> Result<(), Failure> {
    if room == Room::None { Err(Refusal::NoSpace.into()) } else { Ok(()) }
}

/// The answer to a request that the disk fails; the reason is for the log.
fn stopped(why: impl std::fmt::Display) -> Refusal {
    tracing::error!(%why, "the database cannot be read");
    Refusal::Stopped
}
