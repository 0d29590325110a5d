//! Flags, variables, defaults and who counts.

use std::fs;

use waypost_e2e::{Confd, Output, Resource, Tree, command, finish, require};
use waypost_servers::Etcd;

use crate::{New, Old, TEXT, assert_ended, both, confd_toml, one};

/// The old generation's flags, each with something that makes no difference to a file store.
const OLD_FLAGS: &str = "\
    -app-id=i -auth-token=t -auth-type=token -basic-auth=false -client-ca-keys= -client-cert= \
    -client-key= -client-insecure=false -filter=* -interval=600 -keep-stage-file=false \
    -log-level=info -noop=false -onetime -password=p -path=p -prefix=/ -role-id=r -scheme=http \
    -secret-id=s -separator=/ -srv-domain= -srv-record= -sync-only=false -table=t -user-id=u \
    -username= -watch=false -node=h:1";

/// The new generation's.
const NEW_FLAGS: &str = "\
    --interval 600 --log-level info --log-format text --noop=false --onetime --prefix / \
    --sync-only=false --watch=false --failure-mode best-effort --keep-stage-file=false \
    --srv-domain= --srv-record= --diff --diff-context 3 --color --debounce 0s --batch-interval \
    0s --template-cache --no-template-cache --stat-cache-ttl 1s --backend-timeout 30s \
    --check-cmd-timeout 30s --reload-cmd-timeout 60s --dial-timeout 5s --read-timeout 1s \
    --write-timeout 1s --retry-max-attempts 3 --retry-base-delay 100ms --retry-max-delay 5s \
    --watch-error-backoff 2s --preflight-timeout 10s --shutdown-timeout 30s \
    --systemd-notify=false --watchdog-interval 0s --metrics-addr= --check-config=false \
    --preflight=false --validate=false --mock-data=";

/// What follows the names of the new generation's backends that are not read yet.
const BACKENDS: [(&str, &str); 9] = [
    (
        "consul",
        "-n h:1 --scheme https --client-cert c --client-key k --client-ca-keys a --basic-auth --username u \
         --password p --auth-token t",
    ),
    (
        "vault",
        "--node h:1 --auth-type app-role --app-id i --user-id u --role-id r --secret-id s --path p \
         --auth-token t --username u --password p --client-cert c --client-key k --client-ca-keys a",
    ),
    ("redis", "-n h:1 --separator : --password p"),
    ("zookeeper", "-n h:1 -n i:1"),
    ("dynamodb", "--table t"),
    ("ssm", ""),
    ("acm", "--acm-export-private-key"),
    ("secretsmanager", "--secretsmanager-version-stage AWSPENDING --secretsmanager-no-flatten"),
    ("imds", "--imds-cache-ttl 1m"),
];

/// waypost called as confd, with nothing but `words`.
fn said(words: &str) -> Output {
    finish(command().arg("confd").args(words.split_whitespace()))
}

#[test]
fn every_flag_of_0_16_is_known_with_one_dash_or_two() {
    require!();
    for flags in [OLD_FLAGS.to_owned(), OLD_FLAGS.replace(" -", " --")] {
        one(Old, |tree, confd| {
            Resource::new("web").write_to(tree);
            assert_ended(&confd.flags(&flags).run(), 0, &[]);
            assert_eq!(tree.text("web").as_deref(), Some(TEXT));
        });
    }
}

#[test]
fn every_flag_of_0_41_is_known_before_the_backend_and_after_it() {
    require!();
    one(New, |tree, confd| {
        Resource::new("web").write_to(tree);
        assert_ended(&confd.flags(NEW_FLAGS).run(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
        fs::remove_file(tree.destination("web")).unwrap();

        let keys = tree.join("keys.yml").display().to_string();
        let words = format!("file --file {keys} --filter * {NEW_FLAGS}");
        let words: Vec<&str> = words.split_whitespace().collect();
        assert_ended(&confd.store(&words).run(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn the_command_line_of_a_container_is_understood() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/a", "1");
    Resource::new("web").write_to(&tree);
    let confd = Confd::new(Old, &tree).store(&["-backend=etcdv3"]);
    let agent = confd.flags(&format!("-interval=60 -node={}", etcd.url())).start(&tree);
    agent.wait_for_text(&tree, "web", "a=1\n");
    assert!(agent.stop().success(), "{}", agent.log());
}

#[test]
fn stores_that_are_not_read_yet_are_named_in_one_clear_error() {
    require!();
    for (name, flags) in BACKENDS {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let words = format!("{name} {flags}");
        let words: Vec<&str> = words.split_whitespace().collect();
        let new = Confd::new(New, &tree).store(&words);
        let old_flags = flags.replace("-n ", "-node ").replace("--", "-");
        let old = Confd::new(Old, &tree).backend(name).flags(&old_flags);
        for confd in [new, old] {
            let output = confd.once();
            assert_ended(&output, 1, &[&format!("waypost does not read {name} yet")]);
            assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        }
    }
}

#[test]
fn a_backend_that_nobody_knows_is_an_error() {
    require!();
    let output = said("-backend etcdd -onetime");
    assert_ended(&output, 1, &["there is no backend `etcdd`"]);
    assert_ended(&said("etcdd --onetime"), 2, &["`etcdd` is neither a flag nor a backend"]);
}

#[test]
fn a_flag_that_nobody_knows_ends_0_16_with_2_and_0_41_with_1() {
    require!();
    assert_ended(&said("-onetme"), 2, &["there is no flag --onetme; is --onetime meant?"]);
    assert_ended(&said("-backend etcd -onetme"), 2, &["there is no flag --onetme"]);
    for name in ["etcd", "file", "env", "consul", "redis"] {
        assert_ended(&said(&format!("--onetme {name}")), 1, &["there is no flag --onetme"]);
    }
}

#[test]
fn version_and_help_are_told_on_standard_output() {
    require!();
    for (words, version) in
        [("-version", "confd 0.16.0"), ("--version", "confd 0.16.0"), ("--version etcd", "confd 0.41.1")]
    {
        let output = said(words);
        assert_ended(&output, 0, &[]);
        assert!(output.stdout.starts_with(version), "{words}: {}", output.stdout);
    }
    for words in ["-h", "-help", "--help", "etcd --help"] {
        let output = said(words);
        assert_ended(&output, 0, &[]);
        assert!(output.stdout.contains("--confdir DIR"), "{words}: {}", output.stdout);
    }
}

#[test]
fn confd_toml_counts_before_flags_in_0_16_and_after_them_in_0_41() {
    require!();
    let keys = "file: {web: {a: file}}\nflag: {web: {a: flag}}\n";
    both(|generation, tree, confd| {
        fs::write(tree.join("keys.yml"), keys).unwrap();
        confd_toml(tree, "prefix = \"/file\"\n");
        Resource::new("web").template("{{getv \"/web/a\"}}").write_to(tree);
        let told = if generation == Old { "confd.toml:1:10: `prefix` counts" } else { "--prefix counts" };
        assert_ended(&confd.flags("-prefix /flag").once(), 0, &[told]);
        let wanted = if generation == Old { "file" } else { "flag" };
        assert_eq!(tree.text("web").as_deref(), Some(wanted));
    });
}

#[test]
fn variables_count_after_flags_and_before_confd_toml_in_0_41_and_not_at_all_in_0_16() {
    require!();
    let keys = "file: {web: {a: file}}\nflag: {web: {a: flag}}\nvariable: {web: {a: variable}}\n";
    both(|generation, tree, confd| {
        fs::write(tree.join("keys.yml"), keys).unwrap();
        confd_toml(tree, "prefix = \"/file\"\n");
        Resource::new("web").template("{{getv \"/web/a\"}}").write_to(tree);
        let confd = confd.variable("CONFD_PREFIX", "/variable");
        assert_ended(&confd.once(), 0, &[]);
        let wanted = if generation == Old { "file" } else { "variable" };
        assert_eq!(tree.text("web").as_deref(), Some(wanted));
        if generation == New {
            assert_ended(&confd.flags("--prefix /flag").once(), 0, &[]);
            assert_eq!(tree.text("web").as_deref(), Some("flag"));
        }
    });
}

#[test]
fn variables_of_0_41_stand_for_its_flags() {
    require!();
    one(New, |tree, confd| {
        Resource::new("web").check("false").write_to(tree);
        let keys = tree.join("keys.yml");
        let confd = confd.backend("file").without_confdir();
        let confd = confd.variable("CONFD_CONFDIR", tree.path()).variable("CONFD_FILE", keys);
        let confd = confd.variable("CONFD_ONETIME", "true").variable("CONFD_SYNC_ONLY", "true");
        let output = confd.variable("CONFD_LOG_LEVEL", "debug").variable("CONFD_LOG_FORMAT", "json").run();
        assert_ended(&output, 0, &["\"level\":\"DEBUG\""]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn every_variable_of_0_41_is_read_and_one_that_makes_no_sense_is_named() {
    require!();
    let names = [
        "INTERVAL",
        "WATCH",
        "NOOP",
        "DEBOUNCE",
        "BATCH_INTERVAL",
        "BACKEND_TIMEOUT",
        "CHECK_CMD_TIMEOUT",
        "RELOAD_CMD_TIMEOUT",
        "DIAL_TIMEOUT",
        "READ_TIMEOUT",
        "WRITE_TIMEOUT",
        "RETRY_MAX_ATTEMPTS",
        "RETRY_BASE_DELAY",
        "RETRY_MAX_DELAY",
        "WATCH_ERROR_BACKOFF",
        "PREFLIGHT_TIMEOUT",
        "SHUTDOWN_TIMEOUT",
        "SYSTEMD_NOTIFY",
        "WATCHDOG_INTERVAL",
        "KEEP_STAGE_FILE",
        "SYNC_ONLY",
        "DIFF",
        "COLOR",
        "DIFF_CONTEXT",
        "TEMPLATE_CACHE",
        "STAT_CACHE_TTL",
        "CHECK_CONFIG",
        "PREFLIGHT",
        "VALIDATE",
        "IMDS_CACHE_TTL",
        "CLIENT_INSECURE",
        "BASIC_AUTH",
    ];
    one(New, |tree, confd| {
        Resource::new("web").write_to(tree);
        for name in names.map(|name| format!("CONFD_{name}")) {
            let told = format!("{name}: ");
            assert_ended(&confd.variable(&name, "no such thing").once(), 1, &[&told]);
        }
        for (name, told) in [
            ("FAILURE_MODE", "failure-mode must be"),
            ("LOG_LEVEL", "log-level must be"),
            ("LOG_FORMAT", "log-format must be"),
            ("METRICS_ADDR", "`bogus` is no address"),
            ("RESOURCE", "there is no resource `bogus`"),
        ] {
            assert_ended(&confd.variable(&format!("CONFD_{name}"), "bogus").once(), 1, &[told]);
        }
        assert!(tree.files().is_empty());
    });
}

#[test]
fn config_file_is_another_confd_toml() {
    require!();
    both(|_, tree, confd| {
        let other = tree.join("other.toml");
        fs::write(&other, "noop = true\n").unwrap();
        Resource::new("web").write_to(tree);
        let confd = confd.flags(&format!("-config-file {}", other.display()));
        assert_ended(&confd.once(), 0, &["would be changed"]);
        assert!(tree.files().is_empty());
    });
}

#[test]
fn a_store_that_cannot_be_watched_is_refused_with_watch() {
    require!();
    for (name, _) in BACKENDS.into_iter().filter(|(name, _)| ["dynamodb", "ssm", "acm"].contains(name)) {
        both(|_, tree, confd| {
            Resource::new("web").write_to(tree);
            assert_ended(&confd.backend(name).flags("-watch").run(), 1, &[name]);
        });
    }
}

#[test]
fn diff_shows_what_noop_would_change() {
    require!();
    one(New, |tree, confd| {
        Resource::new("web").write_to(tree);
        fs::write(tree.destination("web"), "one\ntwo\na=1\nb=0\n").unwrap();
        let plain = confd.flags("--noop --diff --diff-context 1").once();
        assert_ended(&plain, 0, &[]);
        for line in ["\n-b=0\n", "\n+b=2\n", "\n-two\n", "\n a=1\n"] {
            assert!(plain.stdout.contains(line), "{line:?} in: {}", plain.stdout);
        }
        let coloured = confd.flags("--noop --diff --color").once();
        assert!(coloured.stdout.contains("\u{1b}[") && !plain.stdout.contains("\u{1b}["), "{coloured:?}");
        assert_eq!(tree.text("web").as_deref(), Some("one\ntwo\na=1\nb=0\n"));
    });
}

#[test]
fn resource_works_on_one_file_of_conf_d() {
    require!();
    for name in ["web.toml", "web"] {
        one(New, |tree, confd| {
            Resource::new("web").write_to(tree);
            Resource::new("other").write_to(tree);
            assert_ended(&confd.flags(&format!("--resource {name}")).once(), 0, &[]);
            assert_eq!(tree.files(), ["web.conf"]);
            assert_ended(&confd.flags("--resource no-such").once(), 1, &["there is no resource `no-such`"]);
        });
    }
}

#[test]
fn compat_tells_the_generation_whatever_the_words_say() {
    require!();
    let keys = "g: {web: {a: \"0.16\"}, r: {web: {a: \"0.41\"}}}\n";
    both(|_, tree, confd| {
        fs::write(tree.join("keys.yml"), keys).unwrap();
        Resource::new("web").template("{{getv \"/web/a\"}}").line("prefix = \"r\"").write_to(tree);
        for version in ["0.16", "0.41"] {
            assert_ended(&confd.flags(&format!("-prefix g --compat {version}")).once(), 0, &[]);
            assert_eq!(tree.text("web").as_deref(), Some(version));
        }
    });
}

#[test]
fn state_dir_is_where_owed_reloads_are_remembered() {
    require!();
    both(|_, tree, confd| {
        let state = tree.join("elsewhere");
        Resource::new("web").write_to(tree);
        assert_ended(&confd.flags(&format!("--state-dir {}", state.display())).once(), 0, &[]);
        assert!(state.is_dir() && !tree.join("state").exists());
    });
}
