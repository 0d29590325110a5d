//! Why the store does not open or cannot go on ([`Error`]), and why it refuses a request ([`Refusal`]).

use std::io;
use std::path::PathBuf;

use tonic::{Code, Status};

/// Why the store does not open, or cannot go on: one line of text, with the cause in `source` only.
///
/// A store that does not open is left as it was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error("{} is in use by another process{}", path.display(), holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process that has it open, if it says so.
        holder: Option<u32>,
    },
    /// The file is not what this version wrote, or is damaged.
    #[error("{} cannot be used: {why}; nothing was changed", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The database failed while it was in use.
    #[error("the store cannot go on: {what}")]
    Failed {
        /// What failed.
        what: String,
    },
    /// The listener, its certificates or its users make no sense.
    #[error("{0}")]
    Access(String),
}

/// Why a request was refused, in the codes and words that etcd's clients understand.
///
/// Both are those of etcd 3.4's `rpctypes/error.go`; clients compare the words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A request without a key.
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a key that is not there, or an operation of no kind in a
    /// transaction.
    KeyNotFound,
    /// `ignore_value` with a value.
    ValueProvided,
    /// `ignore_lease` with a lease.
    LeaseProvided,
    /// More operations or comparisons in a transaction than
    /// [`Limits::operations`](crate::Limits::operations).
    TooManyOperations,
    /// A transaction that writes one key twice.
    DuplicateKey,
    /// A revision before the compacted one.
    Compacted,
    /// A revision that is not there yet.
    FutureRevision,
    /// [`Limits::size`](crate::Limits::size) is reached, or the disk is nearly full.
    NoSpace,
    /// A lease that is not there.
    LeaseNotFound,
    /// A lease with an id that is taken.
    LeaseExists,
    /// A time to live above 9,000,000,000 s.
    LeaseTtlTooLarge,
    /// A request above [`Limits::request`](crate::Limits::request).
    RequestTooLarge,
    /// More requests, watches or leases than the limits allow.
    TooManyRequests,
    /// The user's name is missing.
    UserEmpty,
    /// Name and password do not belong together.
    AuthFailed,
    /// The user may not do this to this key.
    PermissionDenied,
    /// There are no users.
    AuthNotEnabled,
    /// The token is unknown or has expired; clients authenticate again.
    InvalidAuthToken,
    /// The store is stopping, or its disk failed.
    Stopped,
    /// Not a part of what a single node serves.
    NotServed(&'static str),
}

impl Refusal {
    fn code(&self) -> Code {
        use Refusal::*;
        match self {
            EmptyKey | KeyNotFound | ValueProvided | LeaseProvided | TooManyOperations | DuplicateKey
            | RequestTooLarge | UserEmpty | AuthFailed => Code::InvalidArgument,
            Compacted | FutureRevision | LeaseTtlTooLarge => Code::OutOfRange,
            NoSpace | TooManyRequests => Code::ResourceExhausted,
            LeaseNotFound => Code::NotFound,
            LeaseExists | AuthNotEnabled => Code::FailedPrecondition,
            PermissionDenied => Code::PermissionDenied,
            InvalidAuthToken => Code::Unauthenticated,
            Stopped => Code::Unavailable,
            NotServed(_) => Code::Unimplemented,
        }
    }

    /// The words that etcd's clients look for.
    pub fn words(&self) -> &'static str {
        use Refusal::*;
        match self {
            EmptyKey => "etcdserver: key is not provided",
            KeyNotFound => "etcdserver: key not found",
            ValueProvided => "etcdserver: value is provided",
            LeaseProvided => "etcdserver: lease is provided",
            TooManyOperations => "etcdserver: too many operations in txn request",
            DuplicateKey => "etcdserver: duplicate key given in txn request",
            Compacted => "etcdserver: mvcc: required revision has been compacted",
            FutureRevision => "etcdserver: mvcc: required revision is a future revision",
            NoSpace => "etcdserver: mvcc: database space exceeded",
            LeaseNotFound => "etcdserver: requested lease not found",
            LeaseExists => "etcdserver: lease already exists",
            LeaseTtlTooLarge => "etcdserver: too large lease TTL",
            RequestTooLarge => "etcdserver: request is too large",
            TooManyRequests => "etcdserver: too many requests",
            UserEmpty => "etcdserver: user name is empty",
            AuthFailed => "etcdserver: authentication failed, invalid user ID or password",
            PermissionDenied => "etcdserver: permission denied",
            AuthNotEnabled => "etcdserver: authentication is not enabled",
            InvalidAuthToken => "etcdserver: invalid auth token",
            Stopped => "etcdserver: server stopped",
            NotServed(what) => what,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        Status::new(refusal.code(), refusal.words())
    }
}
