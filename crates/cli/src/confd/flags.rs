//! confd's flags, of both generations: one table that the command line, the environment, `confd.toml` and the
//! help are read from.
//!
//! Source: `confd -h` of 0.16 and of the fork at 0.41, and their `docs/command-line-flags.md` and
//! `docs/configuration-guide.md`.

/// A flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Without dashes.
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    pub(super) of: Of,
    /// Where in the help it stands.
    pub(super) about: About,
    pub(super) help: &'static str,
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, or `=true` or `=false`.
    Nothing,
    /// A text.
    One(&'static str),
    /// A text; the flag may be repeated.
    Many(&'static str),
}

/// Who has the flag. All of them are understood whoever is meant; what one of them has not, it has by waypost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Both,
    /// 0.16 or the master after it.
    Old,
    /// 0.41.
    New,
    /// waypost.
    Us,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Work,
    Look,
    Pace,
    Process,
    Store,
}

const fn flag(name: &'static str, takes: Takes, of: Of, about: About, help: &'static str) -> Flag {
    Flag { name, takes, of, about, help }
}

use About::{Look, Pace, Process, Store, Work};
use Of::{Both, New, Old, Us};
use Takes::{Many, Nothing, One};

/// All flags, in the order of the help.
pub(super) const FLAGS: &[Flag] = &[
    flag("backend", One("NAME"), Old, Store, "the backend: etcd (its v2 API), etcdv3, env, file, …"),
    flag("confdir", One("DIR"), Both, Work, "the directory with conf.d and templates"),
    flag("config-file", One("FILE"), Both, Work, "confd.toml"),
    flag("onetime", Nothing, Both, Work, "bring the files up to date once, and end"),
    flag("watch", Nothing, Both, Work, "watch the backend instead of reading it at every interval"),
    flag("interval", One("SECONDS"), Both, Work, "how often the backend is read without --watch"),
    flag("wait-initial", Nothing, Us, Work, "with --onetime: go on until everything could be done"),
    flag("noop", Nothing, Both, Work, "change nothing; tell what would be changed"),
    flag("sync-only", Nothing, Both, Work, "write files, and run neither check_cmd nor reload_cmd"),
    flag("keep-stage-file", Nothing, Both, Work, "leave stage files that were not swapped in"),
    flag(
        "prefix",
        One("PATH"),
        Both,
        Work,
        "the prefix of all keys; 0.16: in the place of the resources' own",
    ),
    flag("resource", One("NAME"), New, Work, "this file of conf.d alone"),
    flag("failure-mode", One("MODE"), New, Work, "best-effort, or fail-fast: nothing after one that failed"),
    flag("compat", One("VERSION"), Us, Work, "0.16 or 0.41: whom to behave like, whatever the words say"),
    flag("diff", Nothing, New, Look, "with --noop: print what would be changed"),
    flag("diff-context", One("LINES"), New, Look, "unchanged lines around a change"),
    flag("color", Nothing, New, Look, "colours in the difference"),
    flag("check-config", Nothing, New, Look, "check conf.d and the templates, and end"),
    flag("preflight", Nothing, New, Look, "ask every backend, and end"),
    flag("validate", Nothing, New, Look, "render all templates without writing, and end"),
    flag("mock-data", One("FILE"), New, Look, "with --validate: JSON, the keys and their values"),
    flag("debounce", One("TIME"), New, Pace, "how long keys must be quiet before a change is applied"),
    flag("batch-interval", One("TIME"), New, Pace, "how long changes are collected before they are applied"),
    flag("template-cache", Nothing, New, Pace, "keep parsed templates; a changed file is always read again"),
    flag(
        "stat-cache-ttl",
        One("TIME"),
        New,
        Pace,
        "taken, and not needed: a template's file is looked at each time",
    ),
    flag("backend-timeout", One("TIME"), New, Pace, "how long an answer of the backend may take"),
    flag("check-cmd-timeout", One("TIME"), New, Pace, "how long a check_cmd may run; 0 for no limit"),
    flag("reload-cmd-timeout", One("TIME"), New, Pace, "how long a reload_cmd may run; 0 for no limit"),
    flag("dial-timeout", One("TIME"), New, Pace, "how long a connection may take to come about"),
    flag("read-timeout", One("TIME"), New, Pace, "how long a read may take (redis)"),
    flag("write-timeout", One("TIME"), New, Pace, "how long a write may take (redis)"),
    flag("retry-max-attempts", One("COUNT"), New, Pace, "with --onetime: how often a backend is asked"),
    flag("retry-base-delay", One("TIME"), New, Pace, "the shortest pause before it is asked again"),
    flag("retry-max-delay", One("TIME"), New, Pace, "the longest"),
    flag("watch-error-backoff", One("TIME"), New, Pace, "the longest pause before a watch is begun again"),
    flag("preflight-timeout", One("TIME"), New, Pace, "how long --preflight waits for an answer"),
    flag("shutdown-timeout", One("TIME"), New, Pace, "how long what is under way may take on SIGTERM"),
    flag("log-level", One("LEVEL"), Both, Process, "debug, info, warn or error"),
    flag("log-format", One("FORMAT"), New, Process, "text or json"),
    flag("systemd-notify", Nothing, New, Process, "tell systemd when it is ready, reloads and stops"),
    flag("watchdog-interval", One("TIME"), New, Process, "how often systemd's watchdog is told; 0 for never"),
    flag("metrics-addr", One("ADDRESS"), New, Process, "serve metrics and health at this address"),
    flag("state-dir", One("DIR"), Us, Process, "where to remember what was written and what is running"),
    flag("version", Nothing, Both, Process, "print the version, and end"),
    flag("node", Many("NODE"), Both, Store, "a node of the backend; may be repeated"),
    flag("scheme", One("SCHEME"), Both, Store, "http or https, for nodes without"),
    flag("srv-domain", One("DOMAIN"), Both, Store, "take the nodes from _BACKEND._tcp.DOMAIN"),
    flag("srv-record", One("NAME"), Both, Store, "take the nodes from this SRV record"),
    flag("client-ca-keys", One("FILE"), Both, Store, "who may have signed the server's certificate"),
    flag("client-cert", One("FILE"), Both, Store, "the certificate to show"),
    flag("client-key", One("FILE"), Both, Store, "its private key"),
    flag("client-insecure", Nothing, Both, Store, "take any certificate of the server"),
    flag("basic-auth", Nothing, Both, Store, "log in with --username and --password"),
    flag("username", One("NAME"), Both, Store, "the user to log in as"),
    flag("password", One("TEXT"), Both, Store, "the user's password"),
    flag("auth-token", One("TEXT"), Both, Store, "a token (consul, vault)"),
    flag("auth-type", One("TYPE"), Both, Store, "how to log in (vault)"),
    flag("app-id", One("ID"), Both, Store, "vault's app-id"),
    flag("user-id", One("ID"), Both, Store, "vault's user-id"),
    flag("role-id", One("ID"), Both, Store, "vault's role-id"),
    flag("secret-id", One("ID"), Both, Store, "vault's secret-id"),
    flag("path", One("PATH"), Both, Store, "vault's mount path"),
    flag("separator", One("TEXT"), Both, Store, "what stands for / in keys (redis)"),
    flag("table", One("NAME"), Both, Store, "the table (dynamodb)"),
    flag("file", Many("PATH"), Both, Store, "a YAML, JSON or TOML file or a directory; may be repeated"),
    flag("filter", One("GLOB"), Both, Store, "which files of a directory count"),
    flag("secret-keyring", One("FILE"), Old, Store, "refused: waypost decrypts no values"),
    flag("acm-export-private-key", Nothing, New, Store, "acm"),
    flag("secretsmanager-version-stage", One("STAGE"), New, Store, "secretsmanager"),
    flag("secretsmanager-no-flatten", Nothing, New, Store, "secretsmanager"),
    flag("imds-cache-ttl", One("TIME"), New, Store, "imds"),
];

/// The flag of that name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// The flag that a key of `confd.toml` sets; names are compared as Go's TOML decoder and confd's own aliases do,
/// without regard to case.
pub(super) fn of_key(key: &str) -> Option<&'static Flag> {
    let name = key.to_lowercase().replace('_', "-");
    find(match &*name {
        "nodes" => "node",
        "client-cakeys" => "client-ca-keys",
        "keepstagefile" => "keep-stage-file",
        other => other,
    })
}

impl Flag {
    /// The variable that sets it with 0.41: `CONFD_LOG_LEVEL`.
    pub(super) fn variable(&self) -> String {
        format!("CONFD_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_file_find_their_flags_in_all_spellings() {
        for (key, name) in [
            ("log-level", "log-level"),
            ("log_level", "log-level"),
            ("nodes", "node"),
            ("keepstagefile", "keep-stage-file"),
            ("KeepStageFile", "keep-stage-file"),
            ("keep_stage_file", "keep-stage-file"),
            ("client_cakeys", "client-ca-keys"),
            ("sync-only", "sync-only"),
            ("sync_only", "sync-only"),
        ] {
            assert_eq!(of_key(key).map(|flag| flag.name), Some(name), "{key}");
        }
        assert!(of_key("unheard_of").is_none());
    }

    #[test]
    fn names_are_given_once() {
        let mut names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FLAGS.len());
    }
}
