//! Reading: snapshots at one revision, and audits.

use std::collections::BTreeMap;

use etcd_client::{GetOptions, GetResponse, KeyValue};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use waypost_model::{Batch, Entry, Exactness, Key, Position, Prefix, Snapshot};

use super::wire::{position_of, readable, signed, unsigned};
use super::{Etcd, Range, STORE, ranges, watch};
use crate::{Audit, Backend, Error, ErrorKind, Result};

/// How many keys are asked for at once; etcd builds an answer in memory before it sends it.
const PAGE: i64 = 10_000;

impl Backend for Etcd {
    fn snapshot<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>> {
        async move {
            let mut reading = Reading { etcd: self, position: None, entries: BTreeMap::new() };
            for range in ranges(prefixes) {
                match reading.range(&range).await {
                    Err(error) if range.is_one_key() && error.kind() == ErrorKind::Denied => {
                        tracing::debug!(
                            key = range.shown(),
                            "no permission for the key itself, only below it"
                        );
                    }
                    result => result?,
                }
            }
            let position = match reading.position {
                Some(position) => position,
                None => {
                    position_of(self.get(&Range { start: vec![0], end: Vec::new() }, one()).await?.header())?
                }
            };
            Ok(Snapshot { position, exactness: Exactness::Exact, entries: reading.entries })
        }
        .boxed()
    }

    fn watch(&self, prefixes: &[Prefix], after: Position) -> BoxStream<'static, Result<Batch>> {
        watch::watch(self.connector.clone(), ranges(prefixes), after)
    }

    fn audit<'a>(&'a self, prefixes: &'a [Prefix], since: Position) -> BoxFuture<'a, Result<Option<Audit>>> {
        async move {
            let mut audit = Audit { position: since, keys: 0, is_newer: false };
            for (number, range) in ranges(prefixes).iter().enumerate() {
                let options = one().with_keys_only().with_min_mod_revision(signed(since.revision) + 1);
                let answer = match self.get(range, options).await {
                    Err(error) if range.is_one_key() && error.kind() == ErrorKind::Denied => continue,
                    answer => answer?,
                };
                if number == 0 {
                    audit.position = position_of(answer.header())?;
                }
                audit.keys += usize::try_from(answer.count()).unwrap_or_default();
                audit.is_newer |= !answer.kvs().is_empty();
            }
            Ok(Some(audit))
        }
        .boxed()
    }
}

impl Etcd {
    pub(super) async fn get(&self, range: &Range, options: GetOptions) -> Result<GetResponse> {
        let options = if range.is_one_key() { options } else { options.with_range(range.end.clone()) };
        let start = range.start.clone();
        let shown = range.shown();
        self.connector
            .request("read", shown, |client| async move {
                let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
                kv.get(start, Some(options)).await
            })
            .await
    }
}

fn one() -> GetOptions {
    GetOptions::new().with_limit(1)
}

/// A snapshot that is being read. The first answer sets the position; all others are read at it.
struct Reading<'a> {
    etcd: &'a Etcd,
    position: Option<Position>,
    entries: BTreeMap<Key, Entry>,
}

impl Reading<'_> {
    async fn range(&mut self, range: &Range) -> Result<()> {
        let mut range = range.clone();
        loop {
            let mut options = GetOptions::new().with_limit(PAGE);
            if let Some(position) = self.position {
                options = options.with_revision(signed(position.revision));
            }
            let mut answer = self.etcd.get(&range, options).await?;
            let is_at = position_of(answer.header())?;
            let position = *self.position.get_or_insert(is_at);
            if is_at.store != position.store || is_at.is_before(&position) {
                let error = Error::new(ErrorKind::Unavailable, STORE, "read", range.shown());
                return Err(error.because("another store answered in the middle of it"));
            }
            let has_more = answer.more();
            let kvs = answer.take_kvs();
            let last = kvs.last().map(|kv| kv.key().to_vec());
            self.entries.extend(kvs.into_iter().filter_map(entry));
            match last {
                Some(last) if has_more => range.start = [last, vec![0]].concat(),
                _ => return Ok(()),
            }
        }
    }
}

fn entry(kv: KeyValue) -> Option<(Key, Entry)> {
    let revision = unsigned(kv.mod_revision());
    let (key, value) = kv.into_key_value();
    Some((readable(key)?, Entry { value: value.into(), revision }))
}
