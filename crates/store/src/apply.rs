//! Applying a request to a group: what etcd's `apply.go` does, in its order.
//!
//! A request is refused before it changes anything; once it has changed something it succeeds. Reading
//! transactions are evaluated here too, on a read view.

use redb::{ReadableTable, StorageError};

use crate::error::Refusal;
use crate::format::Record;
use crate::group::Group;
use crate::look::{Failure, Head, Look, Span};
use crate::pb;

/// The time to live that etcd 3.4 makes of a shorter one, with its default election timeout: `minTTL` in its
/// `server.go`.
const SHORTEST_TTL: i64 = 2;
/// etcd's `MaxLeaseTTL`.
const LONGEST_TTL: i64 = 9_000_000_000;

fn header(revision: u64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision: revision.cast_signed(), ..Default::default() })
}

pub(crate) fn put(group: &mut Group<'_>, request: pb::PutRequest) -> Result<pb::PutResponse, Failure> {
    require_lease(group, request.lease)?;
    let before = old_record(group, &request)?;
    if (request.ignore_value || request.ignore_lease) && before.is_none() {
        return Err(Refusal::KeyNotFound.into());
    }
    let response = put_unchecked(group, request, before)?;
    group.end_revision();
    Ok(response)
}

/// What was under the key, if the request asks for it.
fn old_record(group: &Group<'_>, request: &pb::PutRequest) -> Result<Option<Record>, StorageError> {
    let asked = request.ignore_value || request.ignore_lease || request.prev_kv;
    if asked { group.look().get(&request.key) } else { Ok(None) }
}

fn put_unchecked(
    group: &mut Group<'_>,
    request: pb::PutRequest,
    before: Option<Record>,
) -> Result<pb::PutResponse, StorageError> {
    let kept = before.as_ref();
    let value = match kept {
        Some(old) if request.ignore_value => old.value.clone(),
        _ => request.value.into(),
    };
    let lease = kept.filter(|_| request.ignore_lease).map_or(request.lease, |old| old.lease);
    let prev_kv = kept.filter(|_| request.prev_kv).map(|old| old.seen().key_value(&request.key));
    group.put(request.key.into(), value, lease)?;
    Ok(pb::PutResponse { header: header(group.revision()), prev_kv })
}

fn require_lease(group: &mut Group<'_>, lease: i64) -> Result<(), Failure> {
    if lease != 0 && !group.has_lease(lease)? {
        return Err(Refusal::LeaseNotFound.into());
    }
    Ok(())
}

pub(crate) fn delete_range(
    group: &mut Group<'_>,
    request: &pb::DeleteRangeRequest,
) -> Result<pb::DeleteRangeResponse, Failure> {
    let response = delete_unchecked(group, request)?;
    group.end_revision();
    Ok(response)
}

fn delete_unchecked(
    group: &mut Group<'_>,
    request: &pb::DeleteRangeRequest,
) -> Result<pb::DeleteRangeResponse, StorageError> {
    let span = Span::new(&request.key, &request.range_end);
    let mut response = pb::DeleteRangeResponse::default();
    if request.prev_kv {
        let look = group.look();
        look.each(&span, look.head.revision, &mut |key, seen| {
            response.prev_kvs.push(seen.key_value(key));
            true
        })?;
    }
    for key in group.look().keys_in(&span)? {
        response.deleted += i64::from(group.delete(key)?);
    }
    response.header = header(group.revision());
    Ok(response)
}

pub(crate) fn txn(group: &mut Group<'_>, request: pb::TxnRequest) -> Result<pb::TxnResponse, Failure> {
    let path = Path::of(&group.look(), &request)?;
    check_puts(group, &path, &request)?;
    check_ranges(group.look().head, &path, &request)?;
    let mut response = run(group, &path, request)?;
    group.end_revision();
    response.header = header(group.revision());
    Ok(response)
}

/// True if a transaction has nothing but range requests: etcd's `isTxnReadonly`.
pub(crate) fn only_reads(request: &pb::TxnRequest) -> bool {
    let reads = |op: &pb::RequestOp| matches!(op.request, Some(pb::RequestUnion::RequestRange(_)));
    request.success.iter().chain(&request.failure).all(reads)
}

/// Runs a transaction that [only reads](only_reads).
pub(crate) fn reading_txn<K, C>(
    look: &Look<'_, K, C>,
    request: &pb::TxnRequest,
) -> Result<pb::TxnResponse, Failure>
where
    K: ReadableTable<&'static [u8], &'static [u8]>,
    C: ReadableTable<(u64, u32), &'static [u8]>,
{
    let path = Path::of(look, request)?;
    check_ranges(look.head, &path, request)?;
    let mut response = pb::TxnResponse {
        succeeded: path.succeeded,
        header: header(look.head.revision),
        ..Default::default()
    };
    for op in path.branch(request) {
        if let Some(pb::RequestUnion::RequestRange(range)) = &op.request {
            response.responses.push(answer(pb::ResponseUnion::ResponseRange(range_in_txn(look, range)?)));
        }
    }
    Ok(response)
}

fn range_in_txn<K, C>(look: &Look<'_, K, C>, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Failure>
where
    K: ReadableTable<&'static [u8], &'static [u8]>,
    C: ReadableTable<(u64, u32), &'static [u8]>,
{
    let mut response = look.range(request)?;
    response.header = header(look.head.revision);
    Ok(response)
}

fn answer(response: pb::ResponseUnion) -> pb::ResponseOp {
    pb::ResponseOp { response: Some(response) }
}

/// Which branches a transaction and those nested in the chosen one take. All compares see the store before
/// the transaction.
struct Path {
    succeeded: bool,
    /// In the order of the chosen branch's nested transactions.
    nested: Vec<Path>,
}

impl Path {
    fn of<K, C>(look: &Look<'_, K, C>, request: &pb::TxnRequest) -> Result<Path, StorageError>
    where
        K: ReadableTable<&'static [u8], &'static [u8]>,
        C: ReadableTable<(u64, u32), &'static [u8]>,
    {
        let mut succeeded = true;
        for compare in &request.compare {
            succeeded = succeeded && holds(look, compare)?;
        }
        let mut path = Path { succeeded, nested: Vec::new() };
        for op in path.branch(request) {
            if let Some(pb::RequestUnion::RequestTxn(nested)) = &op.request {
                path.nested.push(Path::of(look, nested)?);
            }
        }
        Ok(path)
    }

    fn branch<'r>(&self, request: &'r pb::TxnRequest) -> &'r [pb::RequestOp] {
        if self.succeeded { &request.success } else { &request.failure }
    }
}

/// True if a comparison holds for every key of its range; for a key that is not there the numbers are 0, and
/// a value never matches.
fn holds<K, C>(look: &Look<'_, K, C>, compare: &pb::Compare) -> Result<bool, StorageError>
where
    K: ReadableTable<&'static [u8], &'static [u8]>,
    C: ReadableTable<(u64, u32), &'static [u8]>,
{
    let comparison = Comparison::of(compare);
    let mut found = false;
    let mut all = true;
    look.each(&Span::new(&compare.key, &compare.range_end), look.head.revision, &mut |_, seen| {
        found = true;
        all = comparison.holds(seen.created, seen.modified, seen.version, seen.lease, seen.value);
        all
    })?;
    if !found {
        return Ok(comparison.target != VALUE && comparison.holds(0, 0, 0, 0, &[]));
    }
    Ok(all)
}

/// `Compare.CompareTarget` of etcd's `rpc.proto`.
const VERSION: i32 = 0;
const CREATED: i32 = 1;
const MODIFIED: i32 = 2;
const VALUE: i32 = 3;
const LEASE: i32 = 4;

struct Comparison<'c> {
    target: i32,
    result: i32,
    union: Option<&'c pb::TargetUnion>,
}

impl<'c> Comparison<'c> {
    fn of(compare: &'c pb::Compare) -> Comparison<'c> {
        Comparison { target: compare.target, result: compare.result, union: compare.target_union.as_ref() }
    }

    /// A target without its operand is compared with 0, or with the empty value.
    fn holds(&self, created: u64, modified: u64, version: u64, lease: i64, value: &[u8]) -> bool {
        use pb::TargetUnion::{CreateRevision, Lease, ModRevision, Value, Version};
        let operand = |number: Option<i64>| number.unwrap_or(0);
        let order = match self.target {
            VERSION => version.cast_signed().cmp(&operand(self.union.and_then(|union| match union {
                Version(number) => Some(*number),
                _ => None,
            }))),
            CREATED => created.cast_signed().cmp(&operand(self.union.and_then(|union| match union {
                CreateRevision(number) => Some(*number),
                _ => None,
            }))),
            MODIFIED => modified.cast_signed().cmp(&operand(self.union.and_then(|union| match union {
                ModRevision(number) => Some(*number),
                _ => None,
            }))),
            LEASE => lease.cmp(&operand(self.union.and_then(|union| match union {
                Lease(number) => Some(*number),
                _ => None,
            }))),
            VALUE => value.cmp(match self.union {
                Some(Value(value)) => value,
                _ => &[],
            }),
            // etcd compares nothing for a target that it does not know.
            _ => std::cmp::Ordering::Equal,
        };
        match self.result {
            0 => order.is_eq(),
            1 => order.is_gt(),
            2 => order.is_lt(),
            3 => order.is_ne(),
            _ => true,
        }
    }
}

/// Refuses what a put of the chosen branches would be refused for, before any of them is done.
fn check_puts(group: &mut Group<'_>, path: &Path, request: &pb::TxnRequest) -> Result<(), Failure> {
    each_operation(path, request, &mut |op| {
        let pb::RequestUnion::RequestPut(put) = op else { return Ok(()) };
        if (put.ignore_value || put.ignore_lease) && group.look().get(&put.key)?.is_none() {
            return Err(Refusal::KeyNotFound.into());
        }
        require_lease(group, put.lease)
    })
}

fn check_ranges(head: Head, path: &Path, request: &pb::TxnRequest) -> Result<(), Failure> {
    each_operation(path, request, &mut |op| {
        if let pb::RequestUnion::RequestRange(range) = op {
            head.resolve(range.revision)?;
        }
        Ok(())
    })
}

/// The operations that will run, nested ones included, in order.
fn each_operation(
    path: &Path,
    request: &pb::TxnRequest,
    check: &mut impl FnMut(&pb::RequestUnion) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut nested = path.nested.iter();
    for op in path.branch(request).iter().filter_map(|op| op.request.as_ref()) {
        match (op, nested.as_slice()) {
            (pb::RequestUnion::RequestTxn(inner), [path, ..]) => {
                nested.next();
                each_operation(path, inner, check)?;
            }
            (op, _) => check(op)?,
        }
    }
    Ok(())
}

/// Runs the chosen branches; nothing in them can be refused any more.
fn run(group: &mut Group<'_>, path: &Path, request: pb::TxnRequest) -> Result<pb::TxnResponse, Failure> {
    let branch = if path.succeeded { request.success } else { request.failure };
    let mut response = pb::TxnResponse { succeeded: path.succeeded, header: header(0), ..Default::default() };
    let mut nested = path.nested.iter();
    for op in branch.into_iter().filter_map(|op| op.request) {
        let one = match op {
            pb::RequestUnion::RequestRange(range) => {
                pb::ResponseUnion::ResponseRange(range_in_txn(&group.look(), &range)?)
            }
            pb::RequestUnion::RequestPut(put) => {
                let before = old_record(group, &put)?;
                pb::ResponseUnion::ResponsePut(put_unchecked(group, put, before)?)
            }
            pb::RequestUnion::RequestDeleteRange(delete) => {
                pb::ResponseUnion::ResponseDeleteRange(delete_unchecked(group, &delete)?)
            }
            pb::RequestUnion::RequestTxn(inner) => {
                let path = nested.next().expect("a path was made for each nested transaction");
                pb::ResponseUnion::ResponseTxn(run(group, path, inner)?)
            }
        };
        response.responses.push(answer(one));
    }
    Ok(response)
}

pub(crate) fn compact(
    group: &mut Group<'_>,
    request: &pb::CompactionRequest,
) -> Result<pb::CompactionResponse, Failure> {
    let head = group.look().head;
    // So 0 can be compacted once, to no effect.
    if request.revision <= head.mark() {
        return Err(Refusal::Compacted.into());
    }
    if request.revision > head.revision.cast_signed() {
        return Err(Refusal::FutureRevision.into());
    }
    group.compact(request.revision.cast_unsigned());
    Ok(pb::CompactionResponse { header: header(head.revision) })
}

/// Grants a lease; an id of 0 is replaced by one that is free.
pub(crate) fn grant(
    group: &mut Group<'_>,
    request: &pb::LeaseGrantRequest,
    mut draw: impl FnMut() -> i64,
) -> Result<pb::LeaseGrantResponse, Failure> {
    let mut id = request.id;
    while id == 0 || (request.id == 0 && group.has_lease(id)?) {
        id = draw();
    }
    if request.ttl > LONGEST_TTL {
        return Err(Refusal::LeaseTtlTooLarge.into());
    }
    if group.has_lease(id)? {
        return Err(Refusal::LeaseExists.into());
    }
    let ttl = request.ttl.max(SHORTEST_TTL);
    group.grant(id, ttl.cast_unsigned())?;
    Ok(pb::LeaseGrantResponse { header: header(group.revision()), id, ttl, error: String::new() })
}

pub(crate) fn revoke(group: &mut Group<'_>, id: i64) -> Result<pb::LeaseRevokeResponse, Failure> {
    if !group.has_lease(id)? {
        return Err(Refusal::LeaseNotFound.into());
    }
    group.revoke(id)?;
    Ok(pb::LeaseRevokeResponse { header: header(group.revision()) })
}

/// What a put or a nested one weighs for the quota: only what can grow the store is refused when it is full.
pub(crate) fn grows(request: &pb::TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).any(|op| match &op.request {
        Some(pb::RequestUnion::RequestPut(_)) => true,
        Some(pb::RequestUnion::RequestTxn(nested)) => grows(nested),
        _ => false,
    })
}
