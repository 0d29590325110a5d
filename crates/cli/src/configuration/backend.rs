//! A resource's `[backend]` table: a store of its own, in confd's words.
//!
//! Source: the keys of confd 0.41's `[backend]`; a key means what the flag of that name means.

use std::collections::BTreeMap;

use super::table::Table;
use crate::access::{Access, Kind};

/// The keys that hold one text, and what confd's flag of the same meaning is called.
const TEXTS: &[(&str, &str)] = &[
    ("scheme", "scheme"),
    ("client_cert", "client-cert"),
    ("client_key", "client-key"),
    ("client_cakeys", "client-ca-keys"),
    ("username", "username"),
    ("password", "password"),
    ("auth_token", "auth-token"),
    ("auth_type", "auth-type"),
    ("app_id", "app-id"),
    ("user_id", "user-id"),
    ("role_id", "role-id"),
    ("secret_id", "secret-id"),
    ("path", "path"),
    ("table", "table"),
    ("separator", "separator"),
    ("filter", "filter"),
    ("secretsmanager_version_stage", "secretsmanager-version-stage"),
    ("imds_cache_ttl", "imds-cache-ttl"),
    ("dial_timeout", "dial-timeout"),
    ("read_timeout", "read-timeout"),
    ("write_timeout", "write-timeout"),
    ("retry_base_delay", "retry-base-delay"),
    ("retry_max_delay", "retry-max-delay"),
];

const FLAGS: &[(&str, &str)] = &[
    ("client_insecure", "client-insecure"),
    ("basic_auth", "basic-auth"),
    ("acm_export_private_key", "acm-export-private-key"),
    ("secretsmanager_no_flatten", "secretsmanager-no-flatten"),
];

const LISTS: &[(&str, &str)] = &[("nodes", "node"), ("file", "file")];

/// Reads the table, which is in `root`.
pub(super) fn read<'a>(root: &mut Table<'a>, mut table: Table<'a>) -> Option<Access> {
    let mut values = BTreeMap::new();
    let mut put = |name: &str, given: Vec<String>| {
        if !given.is_empty() {
            values.insert(name.to_owned(), given);
        }
    };
    for (key, name) in TEXTS {
        put(name, table.string(key).into_iter().map(toml::Spanned::into_inner).collect());
    }
    for (key, name) in FLAGS {
        put(name, table.boolean(key).into_iter().map(|value| value.to_string()).collect());
    }
    for (key, name) in LISTS {
        put(name, table.one_or_more(key).into_iter().map(toml::Spanned::into_inner).collect());
    }
    put(
        "retry-max-attempts",
        table.integer("retry_max_attempts").into_iter().map(|n| n.get_ref().to_string()).collect(),
    );
    // Accepted and not looked at: the local API serves the main store only, so that this one is never served.
    let _ = table.boolean("secret");
    let name = table.required("backend");
    let kind = name.and_then(|name| {
        let kind = Kind::of(name.get_ref(), false);
        if kind.is_none() {
            table.problem(name.span(), format!("there is no backend `{}`", name.get_ref()));
        }
        kind
    });
    root.end(table);
    Some(Access::new(kind?, values))
}
