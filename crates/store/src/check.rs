//! What etcd refuses before it looks at a key: the checks of its `v3rpc/key.go`.

use std::collections::HashSet;

use crate::error::Refusal;
use crate::look::Span;
use crate::pb;

/// How many times the operations of one list a transaction may have in all: looking for keys that are written twice costs
/// the square of them, and etcd has no bound.
const NESTED: usize = 16;

pub(crate) fn range(request: &pb::RangeRequest) -> Result<(), Refusal> {
    key(&request.key)
}

pub(crate) fn put(request: &pb::PutRequest) -> Result<(), Refusal> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

pub(crate) fn delete_range(request: &pb::DeleteRangeRequest) -> Result<(), Refusal> {
    key(&request.key)
}

/// Checks a transaction with at most `operations` operations; nested ones have what their parent leaves them.
pub(crate) fn txn(request: &pb::TxnRequest, operations: usize) -> Result<(), Refusal> {
    sizes(request, operations)?;
    if all_operations(request) > operations.saturating_mul(NESTED) {
        return Err(Refusal::TooManyOperations);
    }
    Writes::of(&request.success)?;
    Writes::of(&request.failure)?;
    Ok(())
}

/// The operations of both branches, nested ones included.
fn all_operations(request: &pb::TxnRequest) -> usize {
    let count = |op: &pb::RequestOp| match &op.request {
        Some(pb::RequestUnion::RequestTxn(nested)) => 1 + all_operations(nested),
        _ => 1,
    };
    request.success.iter().chain(&request.failure).map(count).sum()
}

fn key(key: &[u8]) -> Result<(), Refusal> {
    if key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

fn sizes(request: &pb::TxnRequest, operations: usize) -> Result<(), Refusal> {
    let largest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(left) = operations.checked_sub(largest) else {
        return Err(Refusal::TooManyOperations);
    };
    request.compare.iter().try_for_each(|compare| key(&compare.key))?;
    request.success.iter().chain(&request.failure).try_for_each(|op| operation(op, left))
}

fn operation(op: &pb::RequestOp, operations: usize) -> Result<(), Refusal> {
    match &op.request {
        Some(pb::RequestUnion::RequestRange(request)) => range(request),
        Some(pb::RequestUnion::RequestPut(request)) => put(request),
        Some(pb::RequestUnion::RequestDeleteRange(request)) => delete_range(request),
        Some(pb::RequestUnion::RequestTxn(request)) => sizes(request, operations),
        None => Err(Refusal::KeyNotFound),
    }
}

/// What a list of operations can write, nested transactions included.
#[derive(Default)]
struct Writes {
    puts: HashSet<Vec<u8>>,
    deletes: Vec<Span>,
}

impl Writes {
    /// Refuses a list in which a key could be written twice. The two branches of one nested transaction may
    /// write the same key, since only one of them runs.
    fn of(operations: &[pb::RequestOp]) -> Result<Writes, Refusal> {
        let mut writes = Writes::default();
        for op in operations {
            if let Some(pb::RequestUnion::RequestDeleteRange(delete)) = &op.request
                // etcd's check takes this end as the key "\0" and finds that nothing is before it.
                && delete.range_end != [0]
            {
                writes.deletes.push(Span::new(&delete.key, &delete.range_end));
            }
        }
        for op in operations {
            if let Some(pb::RequestUnion::RequestTxn(nested)) = &op.request {
                writes.add_branches(Writes::of(&nested.success)?, Writes::of(&nested.failure)?)?;
            }
        }
        for op in operations {
            if let Some(pb::RequestUnion::RequestPut(put)) = &op.request {
                writes.add(put.key.clone())?;
            }
        }
        Ok(writes)
    }

    fn add_branches(&mut self, then: Writes, otherwise: Writes) -> Result<(), Refusal> {
        let only_otherwise: Vec<_> = otherwise.puts.difference(&then.puts).cloned().collect();
        for key in then.puts.into_iter().chain(only_otherwise) {
            self.add(key)?;
        }
        self.deletes.extend(then.deletes);
        self.deletes.extend(otherwise.deletes);
        Ok(())
    }

    fn add(&mut self, key: Vec<u8>) -> Result<(), Refusal> {
        let twice = self.deletes.iter().any(|span| span.contains(&key)) || !self.puts.insert(key);
        if twice { Err(Refusal::DuplicateKey) } else { Ok(()) }
    }
}
