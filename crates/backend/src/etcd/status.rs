//! What etcd's answers mean.

use std::fmt;

use tonic::{Code, Status};

use super::STORE;
use crate::tls::kind_of_failure;
use crate::{Error, ErrorKind};

/// The error for `failure` of `operation` on `subject`.
pub(super) fn error(
    failure: etcd_client::Error,
    operation: &'static str,
    subject: impl fmt::Display,
) -> Error {
    let kind = match &failure {
        etcd_client::Error::GRpcStatus(status) => kind_of(status),
        etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_) => ErrorKind::Invalid,
        etcd_client::Error::TransportError(transport) => kind_of_failure(transport),
        _ => ErrorKind::Unavailable,
    };
    let error = Error::new(kind, STORE, operation, subject);
    match failure {
        // A status shows its code and details too; the message says it, and the transport's cause below it.
        etcd_client::Error::GRpcStatus(status) => error.because(Refusal(status)),
        // Its own text hides the cause that the transport's has below it.
        etcd_client::Error::TransportError(transport) => error.because(transport),
        other => error.because(other),
    }
}

/// Sources: etcd's `api/v3rpc/rpctypes/error.go` for the texts and their codes.
fn kind_of(status: &Status) -> ErrorKind {
    let says = |text: &str| status.message().contains(text);
    if says("required revision has been compacted") || says("required revision is a future revision") {
        return ErrorKind::Lost;
    }
    // gRPC's own limit, which a request never passes; etcd's `ResourceExhausted` may pass.
    if says("message larger than max") || says("message length too large") {
        return ErrorKind::Invalid;
    }
    // InvalidArgument and FailedPrecondition are also how etcd says that credentials do not fit.
    if says("authentication failed") || says("permission denied") || says("user name is empty") {
        return ErrorKind::Denied;
    }
    if let Some(cause) = std::error::Error::source(status) {
        return kind_of_failure(cause);
    }
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound | Code::OutOfRange => {
            ErrorKind::Invalid
        }
        Code::Unimplemented => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    }
}

/// True if the server itself answered, be it a refusal: it is there.
pub(super) fn is_answer(failure: &etcd_client::Error) -> bool {
    match failure {
        // With a cause below it, a status was made up here, for want of an answer.
        etcd_client::Error::GRpcStatus(status) => {
            std::error::Error::source(status).is_none() && kind_of(status) != ErrorKind::Unavailable
        }
        _ => false,
    }
}

#[derive(Debug)]
struct Refusal(Status);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.message() {
            "" => write!(f, "{:?}", self.0.code()),
            message => f.write_str(message),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_refusals_are_told_apart() {
        let cases = [
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", ErrorKind::Lost),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                ErrorKind::Denied,
            ),
            (Code::PermissionDenied, "etcdserver: permission denied", ErrorKind::Denied),
            (Code::Unavailable, "etcdserver: no leader", ErrorKind::Unavailable),
            (Code::ResourceExhausted, "grpc: received message larger than max (2 vs. 1)", ErrorKind::Invalid),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", ErrorKind::Unavailable),
            (Code::InvalidArgument, "etcdserver: key is not provided", ErrorKind::Invalid),
        ];
        for (code, message, kind) in cases {
            assert_eq!(kind_of(&Status::new(code, message)), kind, "{message}");
        }
    }
}
