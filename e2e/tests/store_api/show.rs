//! Answers as text that an assertion can be read from: `a=1 c1 m2 v2 l7` is the key `a` with the value `1`,
//! created at revision 1, modified at 2, in its second version, on lease 7; no lease is not told.

use etcd_client::proto::{PbKeyValue, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Error, Event, EventType, KeyValue};

/// A status' code and message.
pub fn error(error: Error) -> String {
    match error {
        Error::GRpcStatus(status) => format!("{:?}: {}", status.code(), status.message()),
        other => other.to_string(),
    }
}

/// Bytes, with what is not printable as an escape; long ones by their length.
pub fn bytes(bytes: &[u8]) -> String {
    if bytes.len() > 64 { format!("{} bytes", bytes.len()) } else { bytes.escape_ascii().to_string() }
}

/// A key with its value, revisions after `base`.
pub fn kv(kv: &PbKeyValue, base: i64) -> String {
    let (key, value) = (bytes(&kv.key), bytes(&kv.value));
    let (created, modified) = (kv.create_revision - base, kv.mod_revision - base);
    let lease = if kv.lease == 0 { String::new() } else { format!(" l{}", kv.lease) };
    format!("{key}={value} c{created} m{modified} v{}{lease}", kv.version)
}

/// Keys with their values.
pub fn kvs(found: &[KeyValue], base: i64) -> Vec<String> {
    found.iter().map(|found| kv(&found.0, base)).collect()
}

/// `PUT a=1 c1 m1 v1` or `DELETE a m2`, and the key before that if it was told.
pub fn event(event: &Event, base: i64) -> String {
    let after = &event.kv().unwrap().0;
    let before = event.prev_kv().map(|before| format!(" was {}", kv(&before.0, base))).unwrap_or_default();
    match event.event_type() {
        EventType::Put => format!("PUT {}{before}", kv(after, base)),
        EventType::Delete => {
            let bare =
                PbKeyValue { key: after.key.clone(), mod_revision: after.mod_revision, ..Default::default() };
            assert_eq!(*after, bare, "a deletion tells the key and its revision only");
            format!("DELETE {} m{}{before}", bytes(&after.key), after.mod_revision - base)
        }
    }
}

/// What the operations of a transaction answered, one text each, with the revision that it told.
pub fn operations(answer: &PbTxnResponse, base: i64) -> Vec<String> {
    let shown = answer.responses.iter().map(|answer| answer.response.as_ref());
    shown.map(|answer| operation(answer.expect("an answer an operation"), base)).collect()
}

fn operation(answer: &PbTxnOpResponse, base: i64) -> String {
    let list = |kvs: &[PbKeyValue]| kvs.iter().map(|it| kv(it, base)).collect::<Vec<_>>().join(", ");
    let at = |header: &Option<etcd_client::proto::PbResponseHeader>| {
        format!("@{}", header.as_ref().expect("a header").revision - base)
    };
    match answer {
        PbTxnOpResponse::ResponsePut(put) => {
            let before = put.prev_kv.as_ref().map(|before| format!(" was {}", kv(before, base)));
            format!("put {}{}", at(&put.header), before.unwrap_or_default())
        }
        PbTxnOpResponse::ResponseRange(range) => {
            let more = if range.more { " and more" } else { "" };
            format!("range {} {}: {}{more}", at(&range.header), range.count, list(&range.kvs))
        }
        PbTxnOpResponse::ResponseDeleteRange(delete) => {
            let before = list(&delete.prev_kvs);
            let before = if before.is_empty() { before } else { format!(" were {before}") };
            format!("delete {} {}{before}", at(&delete.header), delete.deleted)
        }
        PbTxnOpResponse::ResponseTxn(txn) => {
            format!("txn {} [{}]", txn.succeeded, operations(txn, base).join("; "))
        }
    }
}
