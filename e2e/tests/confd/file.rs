//! `confd.toml`: each key is honoured, whichever generation is meant, in all its spellings.

use std::fs;

use waypost_e2e::{Confd, Generation, Resource, Tree, require};
use waypost_servers::{Etcd, Permission, Ports};

use crate::{New, Old, TEXT, assert_ended, both, confd_toml, noted, one};

/// Keys that say nothing that a test could see, but must be understood.
const UNDERSTOOD: &str = r#"
srv_domain = ""
srv_record = ""
basic_auth = false
auth_token = "t"
auth_type = "token"
app_id = "i"
user_id = "i"
role_id = "i"
secret_id = "i"
path = "p"
table = "t"
separator = "/"
client_insecure = false
template_cache = true
stat_cache_ttl = "1s"
dial_timeout = "5s"
read_timeout = "1s"
write_timeout = "1s"
retry_max_attempts = 3
retry_base_delay = "100ms"
retry_max_delay = "5s"
watch_error_backoff = "2s"
preflight_timeout = "10s"
acm_export_private_key = false
secretsmanager_version_stage = "AWSCURRENT"
secretsmanager_no_flatten = false
backend_timeout = "30s"
shutdown_timeout = "30s"
batch_interval = "1s"
watchdog_interval = "0s"
imds_cache_ttl = "1m"
"#;

#[test]
fn keys_that_do_nothing_in_a_single_pass_are_understood() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, UNDERSTOOD);
        Resource::new("web").write_to(tree);
        let output = confd.once();
        assert_ended(&output, 0, &[]);
        assert!(!output.stderr.contains("unknown key"), "{}", output.stderr);
    });
}

#[test]
fn every_time_and_number_is_read_and_one_that_makes_no_sense_is_told_with_its_place() {
    require!();
    let times = UNDERSTOOD.lines().filter_map(|line| line.split_once(" = "));
    let times = times.filter(|(_, value)| value.ends_with("s\"") || value.ends_with("m\"") || *value == "3");
    let times: Vec<&str> =
        times.map(|(key, _)| key).chain(["debounce", "check_cmd_timeout", "interval"]).collect();
    assert_eq!(times.len(), 17, "{times:?}");
    for key in times {
        both(|_, tree, confd| {
            confd_toml(tree, &format!("{key} = \"soon\"\n"));
            Resource::new("web").write_to(tree);
            assert_ended(&confd.once(), 1, &[&format!("confd.toml:1:{}: `{key}`: ", key.len() + 4)]);
        });
    }
}

#[test]
fn a_key_that_nobody_knows_is_told_and_ignored() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "unheard_of = 1\n");
        Resource::new("web").write_to(tree);
        assert_ended(&confd.once(), 0, &["WARN", "confd.toml:1:1: unknown key `unheard_of`"]);
    });
}

#[test]
fn a_file_that_is_no_toml_is_the_end() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "prefix = \n");
        Resource::new("web").write_to(tree);
        assert_ended(&confd.once(), 1, &["confd.toml:1:"]);
        assert!(tree.files().is_empty());
    });
}

#[test]
fn backend_decides_unless_the_words_name_one() {
    require!();
    one(Old, |tree, _| {
        let keys = tree.join("keys.yml");
        confd_toml(tree, &format!("backend = \"file\"\nfile = [\"{}\"]\n", keys.display()));
        Resource::new("web").write_to(tree);
        assert_ended(&Confd::new(Old, tree).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
    one(New, |tree, confd| {
        confd_toml(tree, "backend = \"env\"\n");
        Resource::new("web").write_to(tree);
        assert_ended(&confd.once(), 0, &["the backend counts"]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn backend_may_be_named_by_the_file_alone_when_0_41_is_meant() {
    require!();
    one(New, |tree, _| {
        let keys = tree.join("keys.yml");
        confd_toml(tree, &format!("backend = \"file\"\nfile = [\"{}\"]\n", keys.display()));
        Resource::new("web").write_to(tree);
        assert_ended(&Confd::new(New, tree).flags("--compat 0.41").once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn confdir_and_prefix() {
    require!();
    both(|generation, tree, confd| {
        let other = Tree::new();
        fs::write(tree.join("keys.yml"), "eu: {web: {a: 1, b: 2}}\n").unwrap();
        Resource::new("web").write_to(&other);
        confd_toml(tree, &format!("confdir = \"{}\"\nprefix = \"/eu\"\n", other.path().display()));
        assert_ended(&confd.without_confdir().once(), 0, &[]);
        assert_eq!(other.text("web").as_deref(), Some(TEXT), "{generation:?}");
    });
}

#[test]
fn interval_is_a_number_of_seconds() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "interval = 1\n");
        Resource::new("web").write_to(tree);
        let agent = confd.start(tree);
        agent.wait_for_text(tree, "web", TEXT);
        fs::write(tree.join("keys.yml"), "web: {a: new}\n").unwrap();
        agent.wait_for_text(tree, "web", "a=new\n");
        assert!(agent.stop().success(), "{}", agent.log());
    });
}

#[test]
fn watch_follows_the_store() {
    require!("etcd");
    let etcd = Etcd::start();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        etcd.put("/web/a", "1");
        confd_toml(&tree, "watch = true\ninterval = 600\n");
        Resource::new("web").write_to(&tree);
        let agent = Confd::new(generation, &tree).etcd(&etcd).start(&tree);
        agent.wait_for_text(&tree, "web", "a=1\n");
        etcd.put("/web/a", "2");
        agent.wait_for_text(&tree, "web", "a=2\n");
        assert!(agent.stop().success(), "{}", agent.log());
    }
}

#[test]
fn noop_changes_nothing() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "noop = true\n");
        Resource::new("web").write_to(tree);
        assert_ended(&confd.once(), 0, &["would be changed"]);
        assert!(tree.files().is_empty());
    });
}

#[test]
fn onetime_in_every_spelling_ends_after_a_pass() {
    require!();
    for key in ["onetime", "OneTime"] {
        both(|_, tree, confd| {
            confd_toml(tree, &format!("{key} = true\n"));
            Resource::new("web").write_to(tree);
            assert_ended(&confd.run(), 0, &[]);
            assert_eq!(tree.text("web").as_deref(), Some(TEXT));
        });
    }
}

#[test]
fn log_level_and_log_format_with_a_dash_or_an_underscore() {
    require!();
    for (level, format) in [("log-level", "log-format"), ("log_level", "log_format")] {
        both(|_, tree, confd| {
            confd_toml(tree, &format!("{level} = \"debug\"\n{format} = \"json\"\n"));
            Resource::new("web").write_to(tree);
            let output = confd.once();
            assert_ended(&output, 0, &["\"level\":\"DEBUG\""]);
            for line in output.stderr.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        });
    }
}

#[test]
fn sync_only_with_a_dash_or_an_underscore() {
    require!();
    for key in ["sync-only", "sync_only", "Sync-Only"] {
        both(|_, tree, confd| {
            confd_toml(tree, &format!("{key} = true\n"));
            Resource::new("web").check("false").reload("false").write_to(tree);
            assert_ended(&confd.once(), 0, &[]);
            assert_eq!(tree.text("web").as_deref(), Some(TEXT), "{key}");
        });
    }
}

#[test]
fn keep_stage_file_in_every_spelling() {
    require!();
    for key in ["keepstagefile", "KeepStageFile", "keep_stage_file", "keep-stage-file"] {
        both(|_, tree, confd| {
            confd_toml(tree, &format!("{key} = true\n"));
            Resource::new("web").check("false").write_to(tree);
            assert_ended(&confd.once(), 1, &["check failed"]);
            let files = tree.files();
            assert!(files.len() == 1 && files[0].starts_with(".web.conf"), "{key}: {files:?}");
        });
    }
}

#[test]
fn nodes_are_those_of_the_file_if_the_words_name_none() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/web/a", "1");
    for generation in Generation::BOTH {
        let tree = Tree::new();
        // The first one is nobody; with 0.41's words confd would ask its default only.
        let nobody = Ports::free();
        confd_toml(&tree, &format!("nodes = [\"127.0.0.1:{nobody}\", \"{}\"]\n", etcd.url()));
        Resource::new("web").write_to(&tree);
        let name = if generation == Old { "etcdv3" } else { "etcd" };
        assert_ended(&Confd::new(generation, &tree).backend(name).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
    }
}

#[test]
fn scheme_and_the_tls_files_reach_an_etcd_that_wants_certificates() {
    require!("etcd", "openssl");
    let etcd = Etcd::options().tls().start();
    etcd.put("/web/a", "1");
    let files = etcd.certificates().unwrap();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        let tls = format!(
            "scheme = 'https'\nnodes = ['{}']\nclient_cakeys = '{}'\nclient_cert = '{}'\nclient_key = '{}'\n",
            etcd.endpoint(),
            files.ca.display(),
            files.client.display(),
            files.client_key.display()
        );
        confd_toml(&tree, &tls);
        Resource::new("web").write_to(&tree);
        let name = if generation == Old { "etcdv3" } else { "etcd" };
        assert_ended(&Confd::new(generation, &tree).backend(name).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
    }
}

#[test]
fn basic_auth_username_and_password_log_in() {
    require!("etcd");
    let etcd = Etcd::options().user("confd", "secret", &[("/web", Permission::Read)]).start();
    etcd.put("/web/a", "1");
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).etcd(&etcd);
        confd_toml(&tree, "basic_auth = true\nusername = \"confd\"\npassword = \"secret\"\n");
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");

        confd_toml(&tree, "basic_auth = true\nusername = \"confd\"\npassword = \"wrong\"\n");
        let output = confd.once();
        assert_ended(&output, 1, &["cannot be read"]);
        assert!(!output.stderr.contains("wrong"), "no password in: {}", output.stderr);
    }
}

#[test]
fn file_and_filter_name_the_files() {
    require!();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        let keys = tree.join("keys");
        fs::create_dir(&keys).unwrap();
        fs::write(keys.join("a.yml"), "web: {a: 1}\n").unwrap();
        fs::write(keys.join("b.txt"), "no: yaml: at: all\n").unwrap();
        confd_toml(&tree, &format!("file = [\"{}\"]\nfilter = \"*.yml\"\n", keys.display()));
        Resource::new("web").write_to(&tree);
        assert_ended(&Confd::new(generation, &tree).backend("file").once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
    }
}

#[test]
fn secret_keyring_is_refused_with_the_reason() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "secret_keyring = \"/k\"\n");
        Resource::new("web").write_to(tree);
        assert_ended(&confd.once(), 1, &["confd.toml:1:18: `secret_keyring`", "decrypts no values"]);
    });
}

#[test]
fn failure_mode() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "failure_mode = \"fail-fast\"\n");
        Resource::new("10").template("{{getv \"/no/such\"}}").write_to(tree);
        Resource::new("20").write_to(tree);
        assert_ended(&confd.once(), 1, &["10.toml"]);
        assert!(tree.files().is_empty());
    });
}

#[test]
fn check_cmd_timeout_and_reload_cmd_timeout_are_honoured() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "check_cmd_timeout = \"100ms\"\nreload_cmd_timeout = \"100ms\"\n");
        Resource::new("check").check("exec sleep 600").write_to(tree);
        Resource::new("reload").reload("exec sleep 600").write_to(tree);
        assert_ended(&confd.once(), 1, &["check failed", "reload failed", "100ms"]);
    });
}

#[test]
fn debounce_is_honoured() {
    require!("etcd");
    let etcd = Etcd::start();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        etcd.put("/web/a", "1");
        confd_toml(&tree, "debounce = \"1h\"\nwatch = true\n");
        Resource::new("slow").write_to(&tree);
        Resource::new("own").line("debounce = \"10ms\"").write_to(&tree);
        let agent = Confd::new(generation, &tree).etcd(&etcd).start(&tree);
        agent.wait_for_text(&tree, "slow", "a=1\n");
        etcd.put("/web/a", "2");
        agent.wait_for_text(&tree, "own", "a=2\n");
        assert_eq!(tree.text("slow").as_deref(), Some("a=1\n"), "{generation:?}");
        assert!(agent.stop().success(), "{}", agent.log());
    }
}

#[test]
fn backend_timeout_is_honoured() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.pause();
    both(|_, tree, confd| {
        confd_toml(tree, "backend_timeout = \"300ms\"\ndial_timeout = \"300ms\"\nretry_max_attempts = 1\n");
        Resource::new("web").write_to(tree);
        let started = std::time::Instant::now();
        assert_ended(&confd.etcd(&etcd).once(), 1, &["cannot be read"]);
        assert!(started.elapsed().as_secs() < 25, "{:?}", started.elapsed());
    });
    etcd.resume();
}

#[test]
fn shutdown_timeout_is_honoured() {
    require!();
    both(|_, tree, confd| {
        confd_toml(tree, "shutdown_timeout = \"300ms\"\n");
        let note = tree.join("pid");
        let reload = format!("echo $$ > {}; exec sleep 600", note.display());
        Resource::new("web").reload(&reload).write_to(tree);
        let agent = confd.start(tree);
        agent.wait_until("the reload", || noted(&note).is_some_and(|pid| !pid.is_empty()));
        assert!(agent.stop().success(), "{}", agent.log());
        std::process::Command::new("kill").arg(noted(&note).unwrap()).status().unwrap();
    });
}
