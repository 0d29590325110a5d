//! What is said once for the whole directory: `confd.toml`, the backend, shared reloads, and how to call
//! waypost.

use std::collections::BTreeMap;
use std::path::Path;

use waypost_agent::{Reload, Resource};

use super::Generation;
use crate::Failed;
use crate::access::Kind;
use crate::check::{self, Grade};
use crate::confd::{self, Tree};
use crate::configuration::Settings;

/// Keys of `confd.toml` that 0.41 documents and does not read.
///
/// Source: its `docs/configuration-guide.md` beside `cmd/confd/config.go`.
const NOT_READ: [&str; 9] = [
    "backend-timeout",
    "check-cmd-timeout",
    "reload-cmd-timeout",
    "shutdown-timeout",
    "debounce",
    "batch-interval",
    "systemd-notify",
    "watchdog-interval",
    "imds-cache-ttl",
];

/// Keys of `confd.toml` that the defaults of 0.41's sub-commands come before.
const OVERRULED: [&str; 3] = ["node", "scheme", "filter"];

/// What becomes of the keys of `confd.toml`, where that is not what `generation` makes of them.
pub(super) fn of_the_file(path: &Path, generation: Generation) -> Result<Vec<String>, Failed> {
    let fate = |key: confd::Key| {
        let why = match generation {
            Generation::Old if !key.is_old => "is honoured; confd 0.16 does not know it",
            Generation::Old => return None,
            Generation::New if key.flag == "backend" => {
                "names the backend if the command line does not; confd 0.41 does not read it"
            }
            Generation::New if NOT_READ.contains(&key.flag) => {
                "is honoured; confd 0.41 documents it and does not read it"
            }
            Generation::New if OVERRULED.contains(&key.flag) => {
                "is honoured where the command line says nothing else; confd 0.41 takes its own default \
                 first with most backends"
            }
            Generation::New if !key.is_new => "is honoured; confd 0.41 does not know it",
            Generation::New => return None,
        };
        Some(format!("{} {why}", key.origin))
    };
    Ok(confd::keys(path)?.into_iter().filter_map(fate).collect())
}

/// Reload commands that several resources have.
pub(super) fn of_reloads<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Vec<String> {
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for resource in resources {
        if let Some(Reload::Command(command)) = &resource.reload
            && (!command.is_template || !command.line.contains("{{"))
        {
            *lines.entry(&command.line).or_default() += 1;
        }
    }
    let shared = lines.into_iter().filter(|(_, count)| *count > 1);
    let shown = |(line, count): (&str, usize)| {
        format!(
            "{count} resources have the reload_cmd `{line}`: it runs once for all that change together, not \
             once for each"
        )
    };
    shared.map(shown).collect()
}

/// The line that starts `waypost run` on the same directory, or why there is none.
pub(super) fn run_line(tree: &Tree) -> Result<String, &'static str> {
    let Tree { configuration: Settings { directory, prefix, .. }, access, .. } = tree;
    let said = |flag: &str| access.all(flag).iter().any(|value| !value.is_empty());
    if said("srv-domain") || said("srv-record") {
        return Err("takes no nodes from DNS");
    }
    if access.all("client-insecure").iter().any(|value| value == "true") {
        return Err("takes no certificate unseen");
    }
    let mut line = format!("waypost run --confdir {}", directory.display());
    let mut put = |flag: &str, value: &str| line.push_str(&format!(" --{flag} {value}"));
    if !prefix.is_empty() {
        put("prefix", prefix);
    }
    match access.kind() {
        Kind::Etcd3 => {}
        Kind::Env => put("backend", "env"),
        Kind::File => put("backend", "file"),
        Kind::Etcd2 => return Err("does not read etcd's v2 keys"),
        Kind::Unbuilt(_) => return Err("does not read that backend yet"),
    }
    let is_https = access.all("scheme").last().is_some_and(|scheme| scheme == "https");
    for node in access.all("node") {
        let scheme = if is_https && !node.contains("://") { "https://" } else { "" };
        put("node", &format!("{scheme}{node}"));
    }
    for flag in ["file", "filter", "username", "client-ca-keys", "client-cert", "client-key"] {
        access.all(flag).iter().filter(|value| !value.is_empty()).for_each(|value| put(flag, value));
    }
    if said("username") {
        line.insert_str(0, "WAYPOST_PASSWORD=... ");
    }
    Ok(line)
}

/// What `waypost run` would refuse in the same directory.
pub(super) fn refused_by_run(tree: &Tree) -> Result<Vec<String>, Failed> {
    let Settings { directory, prefix, .. } = &tree.configuration;
    let settings =
        Settings { prefix: prefix.clone(), kind: tree.access.kind(), ..Settings::new(directory.clone()) };
    let looked = check::look(&settings, None)?;
    let is_refused = |grade| grade == Grade::Fault || grade == Grade::Doubt;
    let found = looked.findings.0.iter().filter(|finding| is_refused(finding.grade));
    Ok(found.map(check::Finding::line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(words: &str) -> Tree {
        let words = format!("--config-file /no/such/file --confdir /c {words}");
        confd::tree(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_line_for_run_says_what_confds_words_say() {
        let line = |words: &str| run_line(&tree(words));
        let wanted = "waypost run --confdir /c --prefix /x --node https://h:1 --client-ca-keys /ca";
        let words = "--compat 0.41 --prefix /x --scheme https -node h:1 -client-ca-keys /ca";
        assert_eq!(line(words).as_deref(), Ok(wanted));
        assert_eq!(
            line("file --file /k.yml").as_deref(),
            Ok("waypost run --confdir /c --backend file --file /k.yml")
        );
        for (words, why) in [("-onetime", "v2 keys"), ("consul", "yet"), ("etcd --srv-domain d", "DNS")] {
            assert!(line(words).is_err_and(|told| told.contains(why)), "{words}");
        }
    }

    #[test]
    fn keys_of_the_file_that_confd_treats_otherwise_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("confd.toml");
        std::fs::write(&path, "backend = \"etcdv3\"\ninterval = 5\ndebounce = \"1s\"\nnodes = [\"h:1\"]\n")
            .unwrap();
        let told = of_the_file(&path, Generation::Old).unwrap();
        assert!(
            told.len() == 1 && told[0].ends_with("`debounce` is honoured; confd 0.16 does not know it"),
            "{told:?}"
        );
        let told = of_the_file(&path, Generation::New).unwrap().join("\n");
        for part in [
            "`backend` names",
            "`debounce` is honoured; confd 0.41 documents it",
            "`nodes` is honoured where",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("interval"), "{told}");
    }
}
