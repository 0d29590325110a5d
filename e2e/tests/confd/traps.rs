//! The traps: what catches those who replace confd, a test each.

use std::fs;

use waypost_e2e::{Confd, Generation, Namespace, Resource, Tree, Waypost, require};
use waypost_servers::{Etcd, Ports};

use crate::{New, Old, TEXT, assert_ended, both, mode, one, set_mode};

/// That `template` gives `old` with 0.16 and `new` with 0.41, of a file of `keys`.
#[track_caller]
fn renders(keys: &str, template: &str, old: &str, new: &str) {
    both(|generation, tree, confd| {
        fs::write(tree.join("keys.yml"), keys).unwrap();
        Resource::new("web").template(template).write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        let wanted = if generation == Old { old } else { new };
        assert_eq!(tree.text("web").as_deref(), Some(wanted), "{generation:?}");
    });
}

#[test]
fn a_global_prefix_replaces_or_joins() {
    require!();
    both(|generation, tree, confd| {
        fs::write(tree.join("keys.yml"), "g: {web: {a: 0.16}, r: {web: {a: 0.41}}}\n").unwrap();
        Resource::new("web").template("{{getv \"/web/a\"}}").line("prefix = \"r\"").write_to(tree);
        assert_ended(&confd.flags("-prefix g").once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(generation.version()));
    });
}

#[test]
fn seq_counts_down_in_0_41_only() {
    require!();
    renders("a: 1\n", "{{range seq 3 1}}{{.}}{{end}}{{range seq 1 3}}{{.}}{{end}}", "123", "321123");
}

#[test]
fn reverse_of_gets_gives_it_back_as_it_is() {
    require!();
    let template = "{{range reverse (gets \"/web/*\")}}{{.Value}}{{end}}";
    renders("web: {a: 1, b: 2}\n", template, "12", "12");
}

#[test]
fn reverse_turns_the_list_itself_round_in_0_16() {
    require!();
    let template = "{{$v := getvs \"/web/*\"}}{{join (reverse $v) \"\"}} {{join $v \"\"}}";
    renders("web: {a: 1, b: 2}\n", template, "21 21", "21 12");
}

#[test]
fn getvs_sorts_by_value() {
    require!();
    renders("web: {a: 3, b: 1, c: 2}\n", "{{join (getvs \"/web/*\") \",\"}}", "1,2,3", "1,2,3");
}

#[test]
fn gets_of_nothing_is_no_error_and_getv_of_nothing_is_one() {
    require!();
    renders("web: {a: 1}\n", "[{{range gets \"/no/*\"}}x{{end}}{{len (getvs \"/no/*\")}}]", "[0]", "[0]");
    both(|_, tree, confd| {
        Resource::new("web").template("{{getv \"/no\"}}").write_to(tree);
        assert_ended(&confd.once(), 1, &["key does not exist: /no"]);
    });
}

#[test]
fn a_star_does_not_cross_a_slash() {
    require!();
    let template = "{{range gets \"/web/*\"}}{{.Key}} {{end}}";
    renders("web: {a: 1, b: {c: 2}}\n", template, "/web/a ", "/web/a ");
}

#[test]
fn numbers_of_json_are_floats() {
    require!();
    let keys = "web: {a: '{\"n\": 1000000, \"m\": 5}'}\n";
    let template = "{{$d := json (getv \"/web/a\")}}{{$d.n}} {{$d.m}}";
    renders(keys, template, "1e+06 5", "1e+06 5");
    both(|_, tree, confd| {
        fs::write(tree.join("keys.yml"), keys).unwrap();
        Resource::new("web").template("{{add (json (getv \"/web/a\")).m 1}}").write_to(tree);
        assert_ended(&confd.once(), 1, &["web.tmpl:1:"]);
    });
}

/// 644 is 0o1204, of which Go's chmod takes the permission bits.
#[test]
fn mode_644_is_decimal() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").line("mode = \"644\"").write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(mode(&tree.destination("web")), 0o204);
    });
}

/// confd wakes, since it watches what begins with `/app`; it then finds nothing changed.
#[test]
fn a_change_of_apple_does_not_concern_app() {
    require!("etcd");
    let etcd = Etcd::start();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        etcd.put("/app/x", "1");
        Resource::new("app").keys("/app").template("{{getv \"/app/x\"}}").counts_reloads().write_to(&tree);
        Resource::new("all").keys("/apple").template("{{getv \"/apple\" \"\"}}").write_to(&tree);
        let agent = Confd::new(generation, &tree).etcd(&etcd).flags("-watch -log-level debug").start(&tree);
        agent.wait_for_reload(&tree, "app", "1");
        etcd.put("/apple", "2");
        agent.wait_for_text(&tree, "all", "2");
        etcd.put("/app/x", "3");
        agent.wait_for_reload(&tree, "app", "3");
        assert_eq!(agent.logged(&[" applied ", "app.toml"]), 2, "{}", agent.log());
        assert_eq!(agent.logged(&[" unchanged ", "app.toml"]), 0, "{}", agent.log());
        assert!(agent.stop().success());
        etcd.delete("/apple");
    }
}

#[test]
fn a_chmod_by_hand_costs_a_rewrite_and_a_reload() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").line("mode = \"0640\"").counts_reloads().write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        set_mode(&tree.destination("web"), 0o600);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!((mode(&tree.destination("web")), tree.reloads("web").len()), (0o640, 2));
    });
}

#[test]
fn keep_stage_file_leaves_one_in_0_16_and_none_in_0_41_if_nothing_changed() {
    require!();
    both(|generation, tree, confd| {
        Resource::new("web").write_to(tree);
        let confd = confd.flags("-keep-stage-file");
        assert_ended(&confd.once(), 0, &[]);
        assert_ended(&confd.once(), 0, &[]);
        let left: Vec<_> = tree.files().into_iter().filter(|file| file.starts_with(".web.conf")).collect();
        assert_eq!(left.len(), usize::from(generation == Old), "{generation:?}: {left:?}");
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn a_check_that_globs_the_directory_does_not_meet_the_stage_file() {
    require!();
    both(|_, tree, confd| {
        let note = tree.join("note");
        let check = format!("cd {} && echo * > {}", tree.join("out").display(), note.display());
        fs::write(tree.join("out/other.conf"), "").unwrap();
        Resource::new("web").check(&check).write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(fs::read_to_string(note).unwrap(), "other.conf\n");
    });
}

#[test]
fn a_file_that_cannot_be_renamed_over_is_written_in_place() {
    require!("unshare");
    for generation in Generation::BOTH {
        let tree = Tree::new();
        fs::write(tree.join("keys.yml"), "web: {a: 1}\n").unwrap();
        let (mounted, destination) = (tree.join("mounted"), tree.destination("web"));
        fs::write(&mounted, "a file of the host's, longer than what comes\n").unwrap();
        fs::write(&destination, "hidden under the mount\n").unwrap();
        Resource::new("web").counts_reloads().write_to(&tree);
        let mount = format!("mount --bind {} \"$0\"", mounted.display());
        let Some(namespace) = Namespace::with(&mount, &destination) else { return };
        let mut run = namespace.command();
        let confd = Confd::new(generation, &tree).file(&tree.join("keys.yml")).flags("-onetime").command();
        run.args(confd.get_args()).env("XDG_STATE_HOME", tree.join("state"));

        assert_ended(&waypost_e2e::finish(&mut run), 0, &["written in place"]);
        assert_eq!(fs::read_to_string(&mounted).unwrap(), "a=1\n", "{generation:?}");
        assert_eq!(
            (tree.files(), tree.reloads("web")),
            (vec!["web.conf".to_owned()], vec!["a=1".to_owned()])
        );
    }
}

#[test]
fn datetime_makes_every_pass_a_change() {
    require!();
    both(|_, tree, confd| {
        let template = "{{datetime.UnixNano}}\n";
        Resource::new("web").template(template).counts_reloads().write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.reloads("web").len(), 2);
    });
}

#[test]
fn without_its_store_a_single_pass_fails_at_once_and_waits_if_told_to() {
    require!("etcd");
    for generation in Generation::BOTH {
        let (etcd, tree) = (Etcd::start(), Tree::new());
        etcd.put("/web/a", "1");
        Resource::new("web").counts_reloads().write_to(&tree);
        etcd.kill();
        let confd = Confd::new(generation, &tree).etcd(&etcd).flags("-onetime");
        assert_ended(&confd.run(), 1, &["cannot be read"]);

        let waiting = Waypost::start(confd.flags("-wait-initial").command(), &tree);
        waiting.wait_logged(&["cannot be read"]);
        assert!(waiting.is_running());
        etcd.start_again();
        assert_eq!(waiting.wait().code(), Some(0), "{}", waiting.log());
        assert_eq!((tree.text("web").as_deref(), tree.reloads("web").len()), (Some("a=1\n"), 1));
    }
}

#[test]
fn without_its_store_it_goes_on_and_writes_once_that_answers() {
    require!();
    one(New, |tree, _| {
        Resource::new("web").write_to(tree);
        let confd = Confd::new(New, tree).node(&format!("127.0.0.1:{}", Ports::free()));
        let agent = confd.flags("--watch").start(tree);
        agent.wait_logged(&["cannot be read"]);
        assert!(agent.is_running() && tree.files().is_empty());
        assert!(agent.stop().success(), "{}", agent.log());
    });
}
