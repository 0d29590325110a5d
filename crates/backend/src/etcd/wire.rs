//! What etcd's messages hold, as the rest of this crate has it.

use etcd_client::ResponseHeader;
use waypost_model::{Key, Position, StoreId};

use super::{STORE, invalid};
use crate::Result;

/// The key as text; etcd's keys may be any bytes, and those that are no text cannot be in a template.
pub(super) fn readable(key: Vec<u8>) -> Option<Key> {
    match Key::from_bytes(key) {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::warn!(store = STORE, %error, "a key is left out");
            None
        }
    }
}

pub(super) fn position_of(header: Option<&ResponseHeader>) -> Result<Position> {
    let header = header.ok_or_else(|| invalid("read", "an answer", "it has no header"))?;
    Ok(Position::new(StoreId::Lasting(header.cluster_id()), unsigned(header.revision())))
}

/// etcd's revisions are signed on the wire and never negative.
pub(super) fn unsigned(revision: i64) -> u64 {
    revision.try_into().unwrap_or_default()
}

pub(super) fn signed(revision: u64) -> i64 {
    revision.try_into().unwrap_or(i64::MAX)
}
