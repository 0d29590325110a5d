//! What the one who asks may do.
//!
//! Sources: etcd 3.4's `etcdserver/apply_auth.go` and `auth/range_perm_cache.go`. It does not look into
//! nested transactions, nor at a transaction's `prev_kv` and leases; here they are treated as the same
//! requests alone.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::User;
use super::ranges::Ranges;
use crate::error::Refusal;
use crate::pb;

/// A user, prepared for questions.
#[derive(Debug)]
pub(crate) struct Rights {
    pub(super) name: String,
    pub(super) password: Option<[u8; 32]>,
    read: Ranges,
    write: Ranges,
    admin: bool,
}

impl Rights {
    pub(super) fn of(user: &User) -> Rights {
        Rights {
            name: user.name.clone(),
            password: user.password.as_ref().map(|password| digest(&password.0)),
            read: Ranges::of(&user.read),
            write: Ranges::of(&user.write),
            admin: user.admin,
        }
    }
}

pub(super) fn digest(password: &str) -> [u8; 32] {
    Sha256::digest(password).into()
}

/// The one who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// There are no users: everybody may do everything.
    Anybody,
    /// There are users, and this is none of them.
    Nobody,
    /// The certificate's name is no user's.
    Stranger,
    /// One of them.
    User(Arc<Rights>),
}

impl Caller {
    /// True for one whom no permission bounds.
    pub(crate) fn is_free(&self) -> bool {
        match self {
            Caller::Anybody => true,
            Caller::User(user) => user.admin,
            Caller::Nobody | Caller::Stranger => false,
        }
    }

    /// Whether it is somebody at all.
    pub(crate) fn known(&self) -> Result<(), Refusal> {
        self.with(|_| true)
    }

    /// Whether it may look after the store: etcd's role `root`.
    pub(crate) fn admin(&self) -> Result<(), Refusal> {
        self.with(|user| user.admin)
    }

    pub(crate) fn read(&self, key: &[u8], range_end: &[u8]) -> Result<(), Refusal> {
        self.with(|user| user.admin || user.read.cover(key, range_end))
    }

    pub(crate) fn write(&self, key: &[u8], range_end: &[u8]) -> Result<(), Refusal> {
        self.with(|user| user.admin || user.write.cover(key, range_end))
    }

    pub(crate) fn put(&self, request: &pb::PutRequest) -> Result<(), Refusal> {
        self.write(&request.key, b"")?;
        if request.prev_kv { self.read(&request.key, b"") } else { Ok(()) }
    }

    pub(crate) fn delete_range(&self, request: &pb::DeleteRangeRequest) -> Result<(), Refusal> {
        self.write(&request.key, &request.range_end)?;
        if request.prev_kv { self.read(&request.key, &request.range_end) } else { Ok(()) }
    }

    /// All comparisons, and both branches: what is refused does not depend on what is stored.
    pub(crate) fn txn(&self, request: &pb::TxnRequest) -> Result<(), Refusal> {
        self.known()?;
        if self.is_free() {
            return Ok(());
        }
        request.compare.iter().try_for_each(|compare| self.read(&compare.key, &compare.range_end))?;
        request.success.iter().chain(&request.failure).try_for_each(|operation| match &operation.request {
            Some(pb::RequestUnion::RequestRange(range)) => self.read(&range.key, &range.range_end),
            Some(pb::RequestUnion::RequestPut(put)) => self.put(put),
            Some(pb::RequestUnion::RequestDeleteRange(delete)) => self.delete_range(delete),
            Some(pb::RequestUnion::RequestTxn(nested)) => self.txn(nested),
            None => Ok(()),
        })
    }

    fn with(&self, may: impl FnOnce(&Rights) -> bool) -> Result<(), Refusal> {
        match self {
            Caller::Anybody => Ok(()),
            Caller::Nobody => Err(Refusal::UserEmpty),
            Caller::User(user) if may(user) => Ok(()),
            Caller::User(_) | Caller::Stranger => Err(Refusal::PermissionDenied),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(read: &[&str], write: &[&str], admin: bool) -> Caller {
        let own = |prefixes: &[&str]| prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let user = User { name: "web".to_owned(), password: None, read: own(read), write: own(write), admin };
        Caller::User(Arc::new(Rights::of(&user)))
    }

    fn put(key: &str, prev_kv: bool) -> pb::PutRequest {
        pb::PutRequest { key: key.into(), prev_kv, ..pb::PutRequest::default() }
    }

    fn delete(key: &str, range_end: &str, prev_kv: bool) -> pb::DeleteRangeRequest {
        pb::DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv }
    }

    fn operation(request: pb::RequestUnion) -> pb::RequestOp {
        pb::RequestOp { request: Some(request) }
    }

    const DENIED: Result<(), Refusal> = Err(Refusal::PermissionDenied);

    #[test]
    fn the_value_before_is_a_read() {
        let writer = caller(&["/r"], &["/w", "/r"], false);
        assert_eq!(writer.put(&put("/w/1", false)), Ok(()));
        assert_eq!(writer.put(&put("/w/1", true)), DENIED);
        assert_eq!(writer.put(&put("/r/1", true)), Ok(()));
        assert_eq!(writer.delete_range(&delete("/w", "/x", false)), Ok(()));
        assert_eq!(writer.delete_range(&delete("/w", "/x", true)), DENIED);
        assert_eq!(writer.delete_range(&delete("/r", "/t", false)), DENIED);
    }

    #[test]
    fn a_transaction_needs_what_all_of_its_branches_need() {
        let user = caller(&["/r"], &["/w"], false);
        let good = operation(pb::RequestUnion::RequestPut(put("/w/1", false)));
        let bad = operation(pb::RequestUnion::RequestPut(put("/r/1", false)));
        let txn = |success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>| pb::TxnRequest {
            success,
            failure,
            ..pb::TxnRequest::default()
        };
        assert_eq!(user.txn(&txn(vec![good.clone()], vec![good.clone()])), Ok(()));
        assert_eq!(user.txn(&txn(vec![good.clone()], vec![bad.clone()])), DENIED);
        let nested = operation(pb::RequestUnion::RequestTxn(txn(vec![], vec![bad])));
        assert_eq!(user.txn(&txn(vec![nested], vec![good])), DENIED);
    }

    #[test]
    fn a_comparison_is_a_read() {
        let user = caller(&["/r"], &["/w"], false);
        let compare = |key: &str, range_end: &str| pb::TxnRequest {
            compare: vec![pb::Compare {
                key: key.into(),
                range_end: range_end.into(),
                ..pb::Compare::default()
            }],
            ..pb::TxnRequest::default()
        };
        assert_eq!(user.txn(&compare("/r/1", "")), Ok(()));
        assert_eq!(user.txn(&compare("/w/1", "")), DENIED);
        assert_eq!(user.txn(&compare("/r", "\0")), DENIED);
    }

    #[test]
    fn only_an_admin_looks_after_the_store() {
        let all = caller(&[""], &[""], false);
        assert_eq!((all.known(), all.admin()), (Ok(()), DENIED));
        let admin = caller(&[], &[], true);
        assert_eq!(
            (admin.admin(), admin.read(b"\0", b"\0"), admin.write(b"a", b"")),
            (Ok(()), Ok(()), Ok(()))
        );
    }

    #[test]
    fn who_is_no_user_is_refused_with_the_reason() {
        assert_eq!(Caller::Nobody.known(), Err(Refusal::UserEmpty));
        assert_eq!(Caller::Nobody.txn(&pb::TxnRequest::default()), Err(Refusal::UserEmpty));
        assert_eq!(Caller::Stranger.read(b"a", b""), DENIED);
        assert_eq!(Caller::Anybody.admin(), Ok(()));
    }
}
