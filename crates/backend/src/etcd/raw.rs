//! Keys as etcd has them, for copying from one etcd to another: any bytes, with their leases; and writes that
//! undo nobody else's.
//!
//! Templates and announcers need none of this; their side is in `read.rs` and `registry.rs`.

use std::collections::BTreeMap;

use etcd_client::{Compare, CompareOp, GetOptions, GetResponse, KeyValue, Txn, TxnOp, TxnOpResponse};
use waypost_model::{Position, Prefix, Value};

use super::wire::{position_of, signed, unsigned};
use super::{Etcd, Range, STORE, invalid, ranges};
use crate::{Error, ErrorKind, Result};

/// How many keys the first page has. A page cannot be limited by its bytes, and a value may have 1.5 MiB.
const FIRST_PAGE: usize = 64;

/// How many keys a page has at most, however small they are: the more, the larger it is if large values follow; but
/// etcd walks to the end of the range for each page, to count, so many small pages cost seconds.
const LARGEST_PAGE: usize = 4_000;

/// How many bytes a page is meant to have.
const PAGE_BYTES: usize = 1024 * 1024;

/// What etcd holds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// The value.
    pub value: Value,
    /// The revision of the write that set it (`mod_revision`).
    pub revision: u64,
    /// The lease that the key lives under; 0 for none.
    pub lease: i64,
}

/// All that was below some prefixes, at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSnapshot {
    /// Which etcd, and the revision.
    pub position: Position,
    /// The entries, by key.
    pub entries: BTreeMap<Vec<u8>, RawEntry>,
}

/// A write that counts only if the key is as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedPut {
    /// The key.
    pub key: Vec<u8>,
    /// What it is to hold, under no lease.
    pub value: Value,
    /// The revision that the key was last written at; 0 if it was not there.
    pub seen: u64,
}

/// What became of some [`GuardedPut`]s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guarded {
    /// All were written, in one transaction.
    Written,
    /// None was, as a key was not as it had been seen: what the keys hold instead, in the order of the puts.
    Refused(Vec<Option<RawEntry>>),
}

impl Etcd {
    /// Where the etcd is that answers now. It is asked for a key below `prefixes`, which the user may read.
    ///
    /// # Errors
    ///
    /// Any that reading has.
    pub async fn position(&self, prefixes: &[Prefix]) -> Result<Position> {
        let range = ranges(prefixes).into_iter().next();
        let range = range.ok_or_else(|| invalid("read", "nothing", "no prefix is given"))?;
        let options = GetOptions::new().with_limit(1).with_keys_only();
        position_of(self.get(&range, options).await?.header())
    }

    /// Reads all that is below `prefixes` at one revision, in pages; `progress` is told how many keys were read, and
    /// how many there are in what was begun.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Lost`] if the revision was compacted meanwhile.
    /// - [`ErrorKind::Unavailable`] also if the pages came from different etcds.
    pub async fn read_raw(
        &self,
        prefixes: &[Prefix],
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<RawSnapshot> {
        let mut reading = Reading { etcd: self, position: None, entries: BTreeMap::new(), page: FIRST_PAGE };
        for range in ranges(prefixes) {
            match reading.range(&range, progress).await {
                // A user may have rights to all below a path, and none to the path as a key.
                Err(error) if range.is_one_key() && error.kind() == ErrorKind::Denied => {}
                result => result?,
            }
        }
        let position = reading.position.ok_or_else(|| invalid("read", "nothing", "no prefix is given"))?;
        Ok(RawSnapshot { position, entries: reading.entries })
    }

    /// Writes all of `puts` in one transaction if every key is as it was seen, or none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the transaction is larger than the server takes. After
    /// [`ErrorKind::Unavailable`] it may have been done or not; asking again tells.
    pub async fn put_guarded(&self, puts: &[GuardedPut]) -> Result<Guarded> {
        let compare = |put: &GuardedPut| Compare::mod_revision(&*put.key, CompareOp::Equal, signed(put.seen));
        let txn = Txn::new()
            .when(puts.iter().map(compare).collect::<Vec<_>>())
            .and_then(
                puts.iter().map(|put| TxnOp::put(&*put.key, put.value.as_bytes(), None)).collect::<Vec<_>>(),
            )
            .or_else(puts.iter().map(|put| TxnOp::get(&*put.key, None)).collect::<Vec<_>>());
        let write = |client: etcd_client::Client| async move {
            client.kv_client().max_decoding_message_size(usize::MAX).txn(txn).await
        };
        let answer = self.connector.request("write", shown(puts), write).await?;
        if answer.succeeded() {
            return Ok(Guarded::Written);
        }
        Ok(Guarded::Refused(answer.op_responses().into_iter().map(found).collect()))
    }
}

fn shown(puts: &[GuardedPut]) -> String {
    match puts {
        [] => "nothing".to_owned(),
        [one] => String::from_utf8_lossy(&one.key).into_owned(),
        [first, ..] => format!("{} keys from {}", puts.len(), String::from_utf8_lossy(&first.key)),
    }
}

fn found(answer: TxnOpResponse) -> Option<RawEntry> {
    match answer {
        TxnOpResponse::Get(mut answer) => answer.take_kvs().pop().map(|kv| entry(kv).1),
        _ => None,
    }
}

fn entry(kv: KeyValue) -> (Vec<u8>, RawEntry) {
    let (revision, lease) = (unsigned(kv.mod_revision()), kv.lease());
    let (key, value) = kv.into_key_value();
    (key, RawEntry { value: value.into(), revision, lease })
}

/// A snapshot that is being read. The first answer sets the position; all others are read at it.
struct Reading<'a> {
    etcd: &'a Etcd,
    position: Option<Position>,
    entries: BTreeMap<Vec<u8>, RawEntry>,
    /// How many keys to ask for next.
    page: usize,
}

impl Reading<'_> {
    async fn range(&mut self, range: &Range, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<()> {
        let mut range = range.clone();
        loop {
            let mut answer = self.next(&range).await?;
            let (has_more, left) = (answer.more(), usize::try_from(answer.count()).unwrap_or_default());
            let total = self.entries.len() + left;
            let kvs = answer.take_kvs();
            let bytes = kvs.iter().map(|kv| kv.key().len() + kv.value().len()).sum();
            self.page = next_page(self.page, kvs.len(), bytes);
            let last = kvs.last().map(|kv| kv.key().to_vec());
            self.entries.extend(kvs.into_iter().map(entry));
            progress(self.entries.len(), total);
            match last {
                Some(last) if has_more => range.start = [last, vec![0]].concat(),
                _ => return Ok(()),
            }
        }
    }

    async fn next(&mut self, range: &Range) -> Result<GetResponse> {
        let mut options = GetOptions::new().with_limit(i64::try_from(self.page).unwrap_or(i64::MAX));
        if let Some(position) = self.position {
            options = options.with_revision(signed(position.revision));
        }
        let answer = self.etcd.get(range, options).await?;
        let is_at = position_of(answer.header())?;
        let position = *self.position.get_or_insert(is_at);
        if is_at.store != position.store || is_at.is_before(&position) {
            let error = Error::new(ErrorKind::Unavailable, STORE, "read", range.shown());
            return Err(error.because("another store answered in the middle of it"));
        }
        Ok(answer)
    }
}

/// How many keys to ask for after a page of `keys` with `bytes`, when `asked` were asked for: the bytes that a
/// page is meant to have, if keys go on like that. It grows slowly, since they need not.
fn next_page(asked: usize, keys: usize, bytes: usize) -> usize {
    let average = bytes / keys.max(1);
    (PAGE_BYTES / average.max(1)).clamp(1, (2 * asked).min(LARGEST_PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_shrink_at_once_with_large_values_and_grow_slowly_with_small_ones() {
        assert_eq!(next_page(64, 64, 64 * 1024 * 1024), 1);
        assert_eq!(next_page(1, 1, 100), 2);
        assert_eq!(next_page(64, 64, 6_400), 128);
        assert_eq!(next_page(2_048, 2_048, 204_800), LARGEST_PAGE);
        assert_eq!(next_page(64, 64, 64 * 16 * 1024), 64);
        assert_eq!(next_page(64, 0, 0), 128, "an empty range says nothing");
    }
}
