//! A model of etcd's API, written to be obvious: it keeps the keys of every revision and every event, for ever.
//!
//! It answers each request as etcd 3.4 does, refusals included, and in etcd's order of checks (`v3rpc/key.go`, `apply.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use waypost_store::{Refusal, pb};

/// The keys at one revision.
pub type Keys = BTreeMap<Vec<u8>, pb::KeyValue>;

/// A request of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    Range(pb::RangeResponse),
    Put(pb::PutResponse),
    Delete(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compact(pb::CompactionResponse),
    Grant(pb::LeaseGrantResponse),
    Revoke(pb::LeaseRevokeResponse),
}

pub type Answer = Result<Response, Refusal>;

/// The whole history of a store; a clone is cheap enough to be kept for every request.
#[derive(Clone)]
pub struct Model {
    /// The keys at revision `n` are number `n - 1`: an empty store is at revision 1.
    states: Vec<Arc<Keys>>,
    events: Vec<Arc<pb::Event>>,
    /// The compacted revision; etcd's -1 if there is none, so that 0 can be compacted once.
    compacted: i64,
    /// Times to live by id.
    leases: BTreeMap<i64, i64>,
    /// How many operations a transaction may have.
    operations: usize,
}

/// What a watch is asked for.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    pub key: Vec<u8>,
    pub range_end: Vec<u8>,
    pub no_puts: bool,
    pub no_deletes: bool,
}

impl Model {
    pub fn new(operations: usize) -> Model {
        let empty = Arc::new(Keys::new());
        Model { states: vec![empty], events: Vec::new(), compacted: -1, leases: BTreeMap::new(), operations }
    }

    pub fn revision(&self) -> i64 {
        self.states.len() as i64
    }

    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The leases' times to live by their ids.
    pub fn leases(&self) -> &BTreeMap<i64, i64> {
        &self.leases
    }

    /// The keys at `revision`, compacted or not.
    pub fn keys_at(&self, revision: i64) -> &Arc<Keys> {
        &self.states[usize::try_from(revision).expect("a revision") - 1]
    }

    pub fn keys(&self) -> &Arc<Keys> {
        self.keys_at(self.revision())
    }

    /// The keys of a lease, sorted.
    pub fn keys_of_lease(&self, lease: i64) -> Vec<Vec<u8>> {
        let attached = self.keys().values().filter(|kv| kv.lease == lease);
        attached.map(|kv| kv.key.clone()).collect()
    }

    /// What a watch from `start` on sees up to now, each event with what was there before its revision.
    pub fn events(&self, watched: &Watched, start: i64) -> Vec<pb::Event> {
        let is_wanted = |event: &&Arc<pb::Event>| {
            let kv = event.kv.as_ref().expect("every event has a key");
            let is_filtered = if event.r#type == PUT { watched.no_puts } else { watched.no_deletes };
            kv.mod_revision >= start && !is_filtered && is_within(&watched.key, &watched.range_end, &kv.key)
        };
        self.events.iter().filter(is_wanted).map(|event| pb::Event::clone(event)).collect()
    }

    /// Does what `request` says, and answers it; a header has a revision and nothing else.
    pub fn apply(&mut self, request: &Request) -> Answer {
        match request {
            Request::Range(request) => self.range(request).map(Response::Range),
            Request::Put(request) => self.put(request).map(Response::Put),
            Request::Delete(request) => self.delete(request).map(Response::Delete),
            Request::Txn(request) => self.txn(request).map(Response::Txn),
            Request::Compact(request) => self.compact(request.revision).map(Response::Compact),
            Request::Grant(request) => self.grant(request).map(Response::Grant),
            Request::Revoke(request) => self.revoke(request.id).map(Response::Revoke),
        }
    }

    fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Refusal> {
        check_key(&request.key)?;
        Work::on(self).range(request)
    }

    fn put(&mut self, request: &pb::PutRequest) -> Result<pb::PutResponse, Refusal> {
        check_put(request)?;
        self.check_lease(request)?;
        self.check_ignoring(request)?;
        Ok(self.perform(|work| work.put(request)))
    }

    fn delete(&mut self, request: &pb::DeleteRangeRequest) -> Result<pb::DeleteRangeResponse, Refusal> {
        check_key(&request.key)?;
        Ok(self.perform(|work| work.delete(request)))
    }

    fn txn(&mut self, request: &pb::TxnRequest) -> Result<pb::TxnResponse, Refusal> {
        check_txn(request, self.operations)?;
        check_overlaps(&request.success)?;
        check_overlaps(&request.failure)?;
        let before = Arc::clone(self.keys());
        // All puts are checked before the first range is, and all of them before anything is done.
        self.check_each(request, &before, &|model, op| match op {
            pb::RequestUnion::RequestPut(put) => {
                model.check_ignoring(put).and_then(|()| model.check_lease(put))
            }
            _ => Ok(()),
        })?;
        self.check_each(request, &before, &|model, op| match op {
            pb::RequestUnion::RequestRange(range) if range.revision != 0 => {
                model.check_revision(range.revision)
            }
            _ => Ok(()),
        })?;
        let response = self.perform(|work| work.txn(request, &before));
        Ok(pb::TxnResponse { header: header(self.revision()), ..response })
    }

    /// Checks the operations that a transaction will run.
    fn check_each(
        &self,
        request: &pb::TxnRequest,
        before: &Keys,
        check: &impl Fn(&Model, &pb::RequestUnion) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        branch(request, before).try_for_each(|op| match op {
            pb::RequestUnion::RequestTxn(nested) => self.check_each(nested, before, check),
            op => check(self, op),
        })
    }

    fn check_lease(&self, request: &pb::PutRequest) -> Result<(), Refusal> {
        let is_there = request.lease == 0 || self.leases.contains_key(&request.lease);
        if is_there { Ok(()) } else { Err(Refusal::LeaseNotFound) }
    }

    fn check_ignoring(&self, request: &pb::PutRequest) -> Result<(), Refusal> {
        let needs_old = request.ignore_value || request.ignore_lease;
        if needs_old && !self.keys().contains_key(&request.key) { Err(Refusal::KeyNotFound) } else { Ok(()) }
    }

    fn check_revision(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision() {
            Err(Refusal::FutureRevision)
        } else if revision < self.compacted {
            Err(Refusal::Compacted)
        } else {
            Ok(())
        }
    }

    fn compact(&mut self, revision: i64) -> Result<pb::CompactionResponse, Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision() {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        Ok(pb::CompactionResponse { header: header(self.revision()) })
    }

    fn grant(&mut self, request: &pb::LeaseGrantRequest) -> Result<pb::LeaseGrantResponse, Refusal> {
        assert_ne!(request.id, 0, "which id a server would choose cannot be foretold");
        if request.ttl > 9_000_000_000 {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&request.id) {
            return Err(Refusal::LeaseExists);
        }
        self.leases.insert(request.id, request.ttl);
        let header = header(self.revision());
        Ok(pb::LeaseGrantResponse { header, id: request.id, ttl: request.ttl, ..Default::default() })
    }

    fn revoke(&mut self, id: i64) -> Result<pb::LeaseRevokeResponse, Refusal> {
        let keys = self.keys_of_lease(id);
        self.leases.remove(&id).ok_or(Refusal::LeaseNotFound)?;
        self.perform(|work| {
            for key in keys {
                work.delete(&pb::DeleteRangeRequest { key, ..Default::default() });
            }
        });
        Ok(pb::LeaseRevokeResponse { header: header(self.revision()) })
    }

    /// A request that changes something is a revision.
    fn perform<T>(&mut self, request: impl FnOnce(&mut Work<'_>) -> T) -> T {
        let mut work = Work::on(self);
        let response = request(&mut work);
        let Work { keys, events, .. } = work;
        if !events.is_empty() {
            self.states.push(Arc::new(keys));
            self.events.extend(events.into_iter().map(Arc::new));
        }
        response
    }
}

/// A request under way: the keys as it leaves them, and its events so far.
struct Work<'m> {
    model: &'m Model,
    keys: Keys,
    events: Vec<pb::Event>,
}

impl<'m> Work<'m> {
    fn on(model: &'m Model) -> Work<'m> {
        Work { model, keys: Keys::clone(model.keys()), events: Vec::new() }
    }

    /// The revision that a reader within this request sees.
    fn revision(&self) -> i64 {
        self.model.revision() + i64::from(!self.events.is_empty())
    }

    fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Refusal> {
        let keys = match request.revision {
            0 => &self.keys,
            revision => {
                self.model.check_revision(revision)?;
                self.model.keys_at(revision)
            }
        };
        let mut kvs = within(keys, &request.key, &request.range_end);
        let count = kvs.len() as i64;
        let is_wanted =
            |number, least, most| (least == 0 || number >= least) && (most == 0 || number <= most);
        kvs.retain(|kv| {
            is_wanted(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
                && is_wanted(kv.create_revision, request.min_create_revision, request.max_create_revision)
        });
        sort(&mut kvs, request);
        if request.count_only {
            kvs.clear();
        }
        let limit = usize::try_from(request.limit).expect("a generated limit is not negative");
        let more = limit > 0 && kvs.len() > limit;
        if more {
            kvs.truncate(limit);
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(pb::RangeResponse { header: header(self.revision()), kvs, more, count })
    }

    fn put(&mut self, request: &pb::PutRequest) -> pb::PutResponse {
        let revision = self.model.revision() + 1;
        let old = self.keys.get(&request.key).cloned();
        let mut kv = pb::KeyValue {
            key: request.key.clone(),
            value: request.value.clone(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: request.lease,
        };
        if let Some(old) = &old {
            kv.create_revision = old.create_revision;
            kv.version = old.version + 1;
            if request.ignore_value {
                kv.value.clone_from(&old.value);
            }
            if request.ignore_lease {
                kv.lease = old.lease;
            }
        }
        self.keys.insert(request.key.clone(), kv.clone());
        self.event(PUT, kv);
        pb::PutResponse { header: header(revision), prev_kv: old.filter(|_| request.prev_kv) }
    }

    fn delete(&mut self, request: &pb::DeleteRangeRequest) -> pb::DeleteRangeResponse {
        let doomed = within(&self.keys, &request.key, &request.range_end);
        let mod_revision = self.model.revision() + 1;
        for old in &doomed {
            self.keys.remove(&old.key);
            self.event(DELETE, pb::KeyValue { key: old.key.clone(), mod_revision, ..Default::default() });
        }
        pb::DeleteRangeResponse {
            header: header(self.revision()),
            deleted: doomed.len() as i64,
            prev_kvs: if request.prev_kv { doomed } else { Vec::new() },
        }
    }

    /// What was there before is what the revision before had; a key made in this revision had nothing.
    fn event(&mut self, kind: i32, kv: pb::KeyValue) {
        let is_new = kind == PUT && kv.create_revision == kv.mod_revision;
        let prev_kv = self.model.keys().get(&kv.key).filter(|_| !is_new).cloned();
        self.events.push(pb::Event { r#type: kind, kv: Some(kv), prev_kv });
    }

    /// Runs what was checked before; all comparisons, nested ones too, look at the keys `before` the transaction.
    fn txn(&mut self, request: &pb::TxnRequest, before: &Keys) -> pb::TxnResponse {
        use pb::{RequestUnion as Op, ResponseUnion as Done};
        let run = |op: &Op| match op {
            Op::RequestRange(range) => {
                Done::ResponseRange(self.range(range).expect("its revision was checked"))
            }
            Op::RequestPut(put) => Done::ResponsePut(self.put(put)),
            Op::RequestDeleteRange(delete) => Done::ResponseDeleteRange(self.delete(delete)),
            Op::RequestTxn(nested) => Done::ResponseTxn(self.txn(nested, before)),
        };
        let responses =
            branch(request, before).map(run).map(|one| pb::ResponseOp { response: Some(one) }).collect();
        // The header of a nested transaction is an empty one: etcd's `newTxnResp`.
        pb::TxnResponse { header: header(0), succeeded: holds(request, before), responses }
    }
}

/// `Event.EventType` of etcd's `kv.proto`.
pub const PUT: i32 = 0;
pub const DELETE: i32 = 1;

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

/// True if `key` is in the range; a `range_end` of one zero byte is no end at all.
fn is_within(from: &[u8], range_end: &[u8], key: &[u8]) -> bool {
    match range_end {
        [] => key == from,
        [0] => key >= from,
        end => key >= from && key < end,
    }
}

fn within(keys: &Keys, from: &[u8], range_end: &[u8]) -> Vec<pb::KeyValue> {
    keys.values().filter(|kv| is_within(from, range_end, &kv.key)).cloned().collect()
}

/// `RangeRequest.SortOrder` and `SortTarget` of etcd's `rpc.proto`: no order is ascending.
fn sort(kvs: &mut [pb::KeyValue], request: &pb::RangeRequest) {
    const DESCENDING: i32 = 2;
    let by = |a: &pb::KeyValue, b: &pb::KeyValue| match request.sort_target {
        0 => a.key.cmp(&b.key),
        1 => a.version.cmp(&b.version),
        2 => a.create_revision.cmp(&b.create_revision),
        3 => a.mod_revision.cmp(&b.mod_revision),
        _ => a.value.cmp(&b.value),
    };
    kvs.sort_by(|a, b| if request.sort_order == DESCENDING { by(b, a) } else { by(a, b) });
}

/// The operations of the branch that a transaction takes.
fn branch<'r>(
    request: &'r pb::TxnRequest,
    before: &Keys,
) -> impl Iterator<Item = &'r pb::RequestUnion> + use<'r> {
    let branch = if holds(request, before) { &request.success } else { &request.failure };
    branch.iter().filter_map(|op| op.request.as_ref())
}

fn holds(request: &pb::TxnRequest, before: &Keys) -> bool {
    request.compare.iter().all(|compare| {
        let found = within(before, &compare.key, &compare.range_end);
        match (found.is_empty(), &compare.target_union) {
            // A value that is missing equals none, not even the empty one.
            (true, Some(pb::TargetUnion::Value(_))) => false,
            (true, _) => compares(compare, &pb::KeyValue::default()),
            (false, _) => found.iter().all(|kv| compares(compare, kv)),
        }
    })
}

fn compares(compare: &pb::Compare, kv: &pb::KeyValue) -> bool {
    let order = match compare.target_union.as_ref().expect("a generated comparison has an operand") {
        pb::TargetUnion::Version(number) => kv.version.cmp(number),
        pb::TargetUnion::CreateRevision(number) => kv.create_revision.cmp(number),
        pb::TargetUnion::ModRevision(number) => kv.mod_revision.cmp(number),
        pb::TargetUnion::Value(value) => kv.value.cmp(value),
        pb::TargetUnion::Lease(number) => kv.lease.cmp(number),
    };
    match compare.result {
        0 => order.is_eq(),
        1 => order.is_gt(),
        2 => order.is_lt(),
        _ => order.is_ne(),
    }
}

fn check_key(key: &[u8]) -> Result<(), Refusal> {
    if key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

fn check_put(request: &pb::PutRequest) -> Result<(), Refusal> {
    check_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// A nested transaction may have as many operations as its parent leaves over.
fn check_txn(request: &pb::TxnRequest, operations: usize) -> Result<(), Refusal> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let rest = operations.checked_sub(longest).ok_or(Refusal::TooManyOperations)?;
    request.compare.iter().try_for_each(|compare| check_key(&compare.key))?;
    request.success.iter().chain(&request.failure).try_for_each(|op| match &op.request {
        Some(pb::RequestUnion::RequestRange(range)) => check_key(&range.key),
        Some(pb::RequestUnion::RequestPut(put)) => check_put(put),
        Some(pb::RequestUnion::RequestDeleteRange(delete)) => check_key(&delete.key),
        Some(pb::RequestUnion::RequestTxn(nested)) => check_txn(nested, rest),
        None => Err(Refusal::KeyNotFound),
    })
}

/// What a list of operations puts, and the ranges it deletes, nested ones included.
#[derive(Default)]
struct Writes {
    puts: BTreeSet<Vec<u8>>,
    deletes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Refuses a list that writes a key twice, as far as etcd sees it: it holds puts against the deletes of this level and of the
/// nested transactions before, so that a nested delete after a nested put is let through.
fn check_overlaps(operations: &[pb::RequestOp]) -> Result<Writes, Refusal> {
    let operations = || operations.iter().filter_map(|op| op.request.as_ref());
    let mut writes = Writes::default();
    for op in operations() {
        if let pb::RequestUnion::RequestDeleteRange(delete) = op {
            writes.deletes.push((delete.key.clone(), delete.range_end.clone()));
        }
    }
    for op in operations() {
        if let pb::RequestUnion::RequestTxn(nested) = op {
            let (then, otherwise) = (check_overlaps(&nested.success)?, check_overlaps(&nested.failure)?);
            // Only one of the branches runs, so both may put the same key.
            then.puts.union(&otherwise.puts).try_for_each(|key| writes.put(key))?;
            writes.deletes.extend(then.deletes.into_iter().chain(otherwise.deletes));
        }
    }
    for op in operations() {
        if let pb::RequestUnion::RequestPut(put) = op {
            writes.put(&put.key)?;
        }
    }
    Ok(writes)
}

impl Writes {
    fn put(&mut self, key: &[u8]) -> Result<(), Refusal> {
        // The open end, one zero byte, is an end like any other here, so that no key is below it.
        let is_deleted = |(from, end): &(Vec<u8>, Vec<u8>)| match end.as_slice() {
            [] => key == from,
            end => key >= from.as_slice() && key < end,
        };
        let is_twice = self.deletes.iter().any(is_deleted) || !self.puts.insert(key.to_vec());
        if is_twice { Err(Refusal::DuplicateKey) } else { Ok(()) }
    }
}

mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> pb::PutRequest {
        pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() }
    }

    fn op(request: pb::RequestUnion) -> pb::RequestOp {
        pb::RequestOp { request: Some(request) }
    }

    fn op_put(key: &str) -> pb::RequestOp {
        op(pb::RequestUnion::RequestPut(put(key, "v")))
    }

    fn op_delete(key: &str, range_end: &str) -> pb::RequestOp {
        let request = pb::DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false };
        op(pb::RequestUnion::RequestDeleteRange(request))
    }

    fn op_txn(success: Vec<pb::RequestOp>) -> pb::RequestOp {
        op(pb::RequestUnion::RequestTxn(pb::TxnRequest { success, ..Default::default() }))
    }

    /// The model after a transaction without comparisons.
    fn txn(success: Vec<pb::RequestOp>) -> Result<Model, Refusal> {
        let mut model = Model::new(128);
        model.apply(&Request::Txn(pb::TxnRequest { success, ..Default::default() }))?;
        Ok(model)
    }

    #[test]
    fn a_key_has_a_version_and_two_revisions_and_begins_anew_after_a_delete() {
        let mut model = Model::new(128);
        let look = |model: &Model| {
            let kv = &model.keys()[b"a".as_slice()];
            (kv.create_revision, kv.mod_revision, kv.version)
        };
        for expected in [(2, 2, 1), (2, 3, 2)] {
            model.apply(&Request::Put(put("a", "v"))).unwrap();
            assert_eq!(look(&model), expected);
        }
        model
            .apply(&Request::Delete(pb::DeleteRangeRequest { key: b"a".into(), ..Default::default() }))
            .unwrap();
        assert!(model.keys().is_empty());
        model.apply(&Request::Put(put("a", "v"))).unwrap();
        assert_eq!(look(&model), (5, 5, 1));
        assert_eq!(model.keys_at(3)[b"a".as_slice()].version, 2, "the past stays");
    }

    // The next four were seen on etcd 3.4.23.
    #[test]
    fn a_nested_delete_after_a_nested_put_is_let_through() {
        let (put, delete) = (op_txn(vec![op_put("b")]), op_txn(vec![op_delete("b", "")]));
        assert_eq!(txn(vec![put.clone(), delete.clone()]).unwrap().revision(), 2);
        assert_eq!(txn(vec![delete, put]).err(), Some(Refusal::DuplicateKey));
    }

    #[test]
    fn a_delete_without_an_end_overlaps_nothing() {
        assert!(txn(vec![op_put("b"), op_delete("a", "\0")]).unwrap().keys().is_empty());
        assert_eq!(txn(vec![op_put("b"), op_delete("a", "c")]).err(), Some(Refusal::DuplicateKey));
    }

    #[test]
    fn a_put_that_is_deleted_in_its_own_revision_is_two_events_of_it() {
        let model = txn(vec![op_txn(vec![op_put("b")]), op_txn(vec![op_delete("b", "")])]).unwrap();
        let all = Watched { key: b"\0".into(), range_end: b"\0".into(), ..Default::default() };
        let kinds: Vec<_> = model.events(&all, 1).iter().map(|event| event.r#type).collect();
        assert_eq!((kinds, model.revision()), (vec![PUT, DELETE], 2));
    }

    #[test]
    fn revision_0_can_be_compacted_once() {
        let mut model = Model::new(128);
        let mut compact =
            |revision| model.apply(&Request::Compact(pb::CompactionRequest { revision, physical: false }));
        compact(0).unwrap();
        assert_eq!(compact(0), Err(Refusal::Compacted));
        assert_eq!(compact(2), Err(Refusal::FutureRevision));
    }

    #[test]
    fn a_revoked_lease_takes_its_keys_in_one_revision() {
        let mut model = Model::new(128);
        model.apply(&Request::Grant(pb::LeaseGrantRequest { id: 7, ttl: 60 })).unwrap();
        for key in ["a", "b", "c"] {
            model.apply(&Request::Put(pb::PutRequest { lease: 7, ..put(key, "v") })).unwrap();
        }
        model.apply(&Request::Put(put("c", "not any more"))).unwrap();
        assert_eq!(model.keys_of_lease(7), [b"a", b"b"]);
        model.apply(&Request::Revoke(pb::LeaseRevokeRequest { id: 7 })).unwrap();
        assert_eq!((model.revision(), model.keys().len()), (6, 1));
    }
}
