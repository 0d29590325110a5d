//! Why an operation on a store failed.

use std::fmt;

/// What the operations of this crate give.
pub type Result<T> = std::result::Result<T, Error>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on a store failed: one line of text, with the cause in `source` only.
#[derive(Debug, thiserror::Error)]
#[error("{store}: cannot {operation} {subject}: {kind}")]
pub struct Error {
    kind: ErrorKind,
    store: &'static str,
    operation: &'static str,
    subject: String,
    source: Option<Cause>,
}

/// What a caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing answered, or the store cannot serve just now.
    Unavailable,
    /// The store refuses the credentials, or these credentials for this key.
    Denied,
    /// The position is out of the store's reach: compacted, restored, or another store. A snapshot is due.
    Lost,
    /// What was asked for, or what the store holds, makes no sense.
    Invalid,
    /// The store has no such operation.
    Unsupported,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Unavailable => "it does not answer",
            ErrorKind::Denied => "access denied",
            ErrorKind::Lost => "the position is out of its reach",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Unsupported => "not supported",
        })
    }
}

impl Error {
    /// An error of `store` when it was to do `operation` on `subject`: a key, prefix, path or address,
    /// never a value.
    pub fn new(
        kind: ErrorKind,
        store: &'static str,
        operation: &'static str,
        subject: impl fmt::Display,
    ) -> Error {
        Error { kind, store, operation, subject: subject.to_string(), source: None }
    }

    /// The same with what caused it.
    pub fn because(mut self, cause: impl Into<Cause>) -> Error {
        self.source = Some(cause.into());
        self
    }

    /// The same of another kind, when more is known of it.
    #[cfg(feature = "etcd")]
    pub(crate) fn with_kind(self, kind: ErrorKind) -> Error {
        Error { kind, ..self }
    }

    /// What a caller decides by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True when the same call can succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable)
    }

    /// The error and its causes on one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = inner.source();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_store_the_operation_the_subject_and_the_cause() {
        let error = Error::new(ErrorKind::Unavailable, "etcd", "read", "/web").because("connection refused");
        assert_eq!(error.to_string(), "etcd: cannot read /web: it does not answer");
        assert_eq!(error.chain(), "etcd: cannot read /web: it does not answer: connection refused");
        assert!(error.is_transient());
    }
}
