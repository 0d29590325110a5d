//! Random requests: few keys, so that they meet; all kinds of ranges; now and then what must be refused.

use waypost_store::pb;

use crate::model::{Model, Request, Watched};

/// Some are prefixes of others, one has a zero byte and one is the last in any order.
const KEYS: [&[u8]; 7] = [b"a", b"aa", b"ab", b"b", b"b\0", b"c", b"\xff"];
const LEASES: std::ops::Range<i64> = 1..5;
/// Long enough that none ends while a test runs.
const TTLS: std::ops::Range<i64> = 1000..100_000;

/// Requests out of one seed.
pub struct Generator {
    pub rng: fastrand::Rng,
    /// Transactions may delete to no end beside a put. etcd does not see that such a delete overlaps the put and takes both; the
    /// store refuses them.
    pub misses_open_overlaps: bool,
    /// Values have numbers, so that each is another one.
    values: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { rng: fastrand::Rng::with_seed(seed), misses_open_overlaps: false, values: 0 }
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }

    /// Any request.
    pub fn request(&mut self, model: &Model) -> Request {
        match self.rng.u32(..10) {
            0..3 => Request::Range(self.range(model)),
            _ => self.write(model),
        }
    }

    /// A request that goes through the writer, which applies those in the order they come.
    pub fn write(&mut self, model: &Model) -> Request {
        match self.rng.u32(..40) {
            0..18 => Request::Put(self.put()),
            18..23 => Request::Delete(self.delete()),
            23..32 => Request::Txn(self.writing_txn(model)),
            32 => Request::Compact(self.compaction(model)),
            33..37 => Request::Grant(self.grant()),
            _ => Request::Revoke(pb::LeaseRevokeRequest { id: self.lease() }),
        }
    }

    /// What a watch may ask for.
    pub fn watched(&mut self) -> Watched {
        let (key, mut range_end) = if self.once_in(3) { (vec![0], vec![0]) } else { self.span() };
        if range_end != [0] && range_end <= key {
            // A watch of a range without keys is refused.
            range_end.clear();
        }
        Watched { key, range_end, no_puts: self.once_in(6), no_deletes: self.once_in(6) }
    }

    fn key(&mut self) -> Vec<u8> {
        if self.once_in(100) { Vec::new() } else { KEYS[self.rng.usize(..KEYS.len())].to_vec() }
    }

    /// A key, and the end of a range from it on: none, that of its prefix, no end at all, or any, even before it.
    fn span(&mut self) -> (Vec<u8>, Vec<u8>) {
        let key = KEYS[self.rng.usize(..KEYS.len())].to_vec();
        let end = match self.rng.u32(..8) {
            0..4 => Vec::new(),
            4 => b"\0".to_vec(),
            5 if key != b"\xff" => {
                let mut end = key.clone();
                *end.last_mut().expect("keys are not empty") += 1;
                end
            }
            _ => KEYS[self.rng.usize(..KEYS.len())].to_vec(),
        };
        (key, end)
    }

    fn value(&mut self) -> Vec<u8> {
        self.values += 1;
        let length = match self.rng.u32(..20) {
            0 => return Vec::new(),
            1..16 => 8,
            16..19 => 300,
            _ => 3000,
        };
        format!("{:0length$}", self.values).into_bytes()
    }

    fn lease(&mut self) -> i64 {
        self.rng.i64(LEASES)
    }

    /// Any revision, or nearly: from before the compacted one to after the last one.
    fn revision(&mut self, model: &Model) -> i64 {
        self.rng.i64((model.compacted() - 1).max(1)..=model.revision() + 1)
    }

    /// Mostly none; else any revision.
    fn bound(&mut self, model: &Model) -> i64 {
        if self.once_in(8) { self.revision(model) } else { 0 }
    }

    fn range(&mut self, model: &Model) -> pb::RangeRequest {
        let (key, range_end) = self.span();
        pb::RangeRequest {
            key: if self.once_in(100) { Vec::new() } else { key },
            range_end,
            limit: if self.once_in(3) { self.rng.i64(1..4) } else { 0 },
            revision: if self.once_in(3) { self.revision(model) } else { 0 },
            sort_order: if self.once_in(3) { self.rng.i32(1..3) } else { 0 },
            sort_target: if self.once_in(3) { self.rng.i32(0..5) } else { 0 },
            serializable: self.once_in(4),
            keys_only: self.once_in(6),
            count_only: self.once_in(8),
            min_mod_revision: self.bound(model),
            max_mod_revision: self.bound(model),
            min_create_revision: self.bound(model),
            max_create_revision: self.bound(model),
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        let (ignore_value, ignore_lease) = (self.once_in(10), self.once_in(10));
        pb::PutRequest {
            key: self.key(),
            value: if ignore_value && !self.once_in(20) { Vec::new() } else { self.value() },
            lease: if self.once_in(4) && (!ignore_lease || self.once_in(10)) { self.lease() } else { 0 },
            prev_kv: self.once_in(3),
            ignore_value,
            ignore_lease,
        }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let (key, range_end) = self.span();
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.once_in(2) }
    }

    fn delete_in_txn(&mut self) -> pb::DeleteRangeRequest {
        let delete = self.delete();
        let is_open = delete.range_end == [0];
        if is_open && !self.misses_open_overlaps { self.delete_in_txn() } else { delete }
    }

    fn compaction(&mut self, model: &Model) -> pb::CompactionRequest {
        pb::CompactionRequest {
            revision: self.revision(model) - i64::from(self.once_in(8)),
            physical: self.once_in(2),
        }
    }

    fn grant(&mut self) -> pb::LeaseGrantRequest {
        let ttl = if self.once_in(20) { 9_000_000_001 } else { self.rng.i64(TTLS) };
        pb::LeaseGrantRequest { id: self.lease(), ttl }
    }

    /// A transaction that etcd does not take for a reading one: with an operation that is not a range.
    fn writing_txn(&mut self, model: &Model) -> pb::TxnRequest {
        let mut txn = self.txn(model, 2);
        let only_reads = |op: &pb::RequestOp| matches!(op.request, Some(pb::RequestUnion::RequestRange(_)));
        if txn.success.iter().chain(&txn.failure).all(only_reads) {
            let put = pb::RequestUnion::RequestPut(self.put());
            txn.success.push(pb::RequestOp { request: Some(put) });
        }
        txn
    }

    fn txn(&mut self, model: &Model, depth: u32) -> pb::TxnRequest {
        pb::TxnRequest {
            compare: (0..self.rng.u32(..3)).map(|_| self.compare(model)).collect(),
            success: (0..self.rng.u32(..4)).map(|_| self.operation(model, depth)).collect(),
            failure: (0..self.rng.u32(..3)).map(|_| self.operation(model, depth)).collect(),
        }
    }

    fn operation(&mut self, model: &Model, depth: u32) -> pb::RequestOp {
        let request = match self.rng.u32(..40) {
            0 if self.once_in(3) => return pb::RequestOp { request: None },
            0..8 => pb::RequestUnion::RequestRange(self.range(model)),
            8..16 if depth > 0 => pb::RequestUnion::RequestTxn(self.txn(model, depth - 1)),
            16..22 => pb::RequestUnion::RequestDeleteRange(self.delete_in_txn()),
            _ => pb::RequestUnion::RequestPut(self.put()),
        };
        pb::RequestOp { request: Some(request) }
    }

    /// A comparison that has a fair chance to hold: with what a key has, or nearly.
    fn compare(&mut self, model: &Model) -> pb::Compare {
        let (key, range_end) = self.span();
        let kv = model.keys().get(&key).cloned().unwrap_or_default();
        let near = self.rng.i64(-1..2);
        let target = self.rng.i32(0..5);
        let union = match target {
            0 => pb::TargetUnion::Version(kv.version + near),
            1 => pb::TargetUnion::CreateRevision(kv.create_revision + near),
            2 => pb::TargetUnion::ModRevision(kv.mod_revision + near),
            3 => pb::TargetUnion::Value(kv.value),
            _ => pb::TargetUnion::Lease(kv.lease + near),
        };
        let key = if self.once_in(100) { Vec::new() } else { key };
        pb::Compare { result: self.rng.i32(0..4), target, key, range_end, target_union: Some(union) }
    }
}
