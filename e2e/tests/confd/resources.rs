//! The keys of `[template]`: what is read, what is written, and in which order.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use waypost_e2e::{Resource, require};

use crate::{KEYS, New, Old, TEXT, assert_ended, both, is_root, mode, noted, one, set_mode};

#[test]
fn files_of_conf_d_are_those_whose_names_end_in_toml_at_any_depth() {
    require!();
    both(|_, tree, confd| {
        for (file, name) in [
            ("one.toml", "one"),
            ("sub/deeper/two.toml", "two"),
            ("threetoml", "three"),
            ("four.toml.off", "four"),
        ] {
            let path = tree.join("conf.d").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let dest = tree.destination(name);
            let text = format!("[template]\nsrc = \"t\"\ndest = \"{}\"\nkeys = [\"/web\"]\n", dest.display());
            fs::write(path, text).unwrap();
        }
        fs::write(tree.join("templates/t"), "x").unwrap();
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.files(), ["one.conf", "three.conf", "two.conf"]);
    });
}

#[test]
fn src_is_a_path_below_templates() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        let resource = fs::read_to_string(tree.configuration("web")).unwrap();
        fs::write(tree.configuration("web"), resource.replace("web.tmpl", "sites/web.tmpl")).unwrap();
        fs::create_dir(tree.join("templates/sites")).unwrap();
        fs::rename(tree.template("web"), tree.join("templates/sites/web.tmpl")).unwrap();
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn src_is_below_templates_even_if_it_begins_with_a_slash() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        let resource = fs::read_to_string(tree.configuration("web")).unwrap();
        fs::write(tree.configuration("web"), resource.replace("web.tmpl", "/web.tmpl")).unwrap();
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn keys_are_read_in_any_case_as_go_does() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        let resource = fs::read_to_string(tree.configuration("web")).unwrap();
        let resource =
            resource.replace("src", "Src").replace("dest =", "DEST =").replace("template]", "Template]");
        fs::write(tree.configuration("web"), resource).unwrap();
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn an_empty_src_and_a_missing_one_end_a_single_pass() {
    require!();
    for (lines, words) in [
        ("[template]\nsrc = \"\"", "`src` cannot be empty"),
        ("[template]", "`src` is missing"),
        ("[templates]", "there is no [template] table"),
    ] {
        both(|_, tree, confd| {
            Resource::new("good").write_to(tree);
            let dest = tree.destination("web");
            let text = format!("{lines}\ndest = \"{}\"\n", dest.display());
            fs::write(tree.configuration("web"), text).unwrap();
            assert_ended(&confd.once(), 1, &["web.toml", words]);
            assert!(tree.files().is_empty(), "confd loads all files before it works on one");
        });
    }
}

#[test]
fn a_resource_without_dest_fails_and_the_others_are_written() {
    require!();
    both(|_, tree, confd| {
        Resource::new("good").write_to(tree);
        fs::write(tree.configuration("web"), "[template]\nsrc = \"good.tmpl\"\nkeys = [\"/web\"]\n").unwrap();
        assert_ended(&confd.once(), 1, &["web.toml", "`dest` is missing"]);
        assert_eq!(tree.files(), ["good.conf"]);
    });
}

#[test]
fn the_directory_of_dest_must_exist() {
    require!();
    both(|_, tree, confd| {
        let dest = tree.join("out/no/such/web.conf");
        Resource::new("web").destination(&dest).write_to(tree);
        assert_ended(&confd.once(), 1, &["web.toml", "/no/such/", "No such file or directory"]);
        assert!(tree.files().is_empty());
    });
}

#[test]
fn the_stage_file_is_a_hidden_sibling_of_dest() {
    require!();
    both(|_, tree, confd| {
        let note = tree.join("note");
        let check = format!("echo {{{{.src}}}} > {0}; cat {{{{.src}}}} >> {0}", note.display());
        Resource::new("web").check(&check).write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        let noted = noted(&note).unwrap();
        let (stage, content) = noted.split_once('\n').unwrap();
        let before = format!("{}/.web.conf", tree.join("out").display());
        assert!(stage.starts_with(&before), "{stage}");
        assert_eq!(content, TEXT.trim_end());
        assert_eq!(tree.files(), ["web.conf"]);
    });
}

#[test]
fn keys_are_joined_to_the_prefix_and_seen_without_it() {
    require!();
    both(|_, tree, confd| {
        fs::write(tree.join("keys.yml"), "prod:\n  web: {a: 1}\n  db: {b: 2}\n  mail: {c: 3}\n").unwrap();
        let template = "{{range gets \"/*/*\"}}{{.Key}} {{end}}{{getv \"/web/a\"}}{{getv \"/db/b\"}}";
        for prefix in ["/prod", "prod", "/prod/"] {
            let resource = Resource::new("web").template(template).line(&format!("prefix = \"{prefix}\""));
            resource.write_to(tree);
            let text = fs::read_to_string(tree.configuration("web")).unwrap();
            let text = text.replace("keys = [\"/web\"]", "keys = [\"/web\", \"db\"]");
            fs::write(tree.configuration("web"), text).unwrap();
            let _ = fs::remove_file(tree.destination("web"));
            assert_ended(&confd.once(), 0, &[]);
            assert_eq!(tree.text("web").as_deref(), Some("/db/b /web/a 12"), "{prefix}");
        }
    });
}

#[test]
fn a_global_prefix_takes_the_place_of_the_resources_in_0_16_and_comes_before_it_in_0_41() {
    require!();
    let keys = "eu:\n  web: {a: replaced}\n  prod:\n    web: {a: joined}\n";
    both(|generation, tree, confd| {
        fs::write(tree.join("keys.yml"), keys).unwrap();
        Resource::new("web").template("{{getv \"/web/a\"}}").line("prefix = \"/prod\"").write_to(tree);
        assert_ended(&confd.flags("-prefix /eu").once(), 0, &[]);
        let wanted = if generation == Old { "replaced" } else { "joined" };
        assert_eq!(tree.text("web").as_deref(), Some(wanted), "{generation:?}");
    });
}

#[test]
fn mode_is_octal_with_a_zero_before_it_and_decimal_without() {
    require!();
    for (given, wanted) in [("0640", 0o640), ("0o600", 0o600), ("420", 0o644), ("644", 0o204)] {
        both(|_, tree, confd| {
            Resource::new("web").line(&format!("mode = \"{given}\"")).write_to(tree);
            assert_ended(&confd.once(), 0, &[]);
            assert_eq!(mode(&tree.destination("web")), wanted, "{given}");
        });
    }
}

#[test]
fn without_mode_a_file_keeps_its_own_and_a_new_one_has_0644() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        Resource::new("new").write_to(tree);
        fs::write(tree.destination("web"), "old").unwrap();
        set_mode(&tree.destination("web"), 0o600);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!((mode(&tree.destination("web")), mode(&tree.destination("new"))), (0o600, 0o644));
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn uid_and_gid_are_the_owner_and_minus_one_is_none() {
    require!();
    let own = fs::metadata("/proc/self").unwrap();
    let (uid, gid) = if is_root() { (65534, 12) } else { (own.uid(), own.gid()) };
    both(|_, tree, confd| {
        let resource = Resource::new("web").line(&format!("uid = {uid}")).line(&format!("gid = {gid}"));
        resource.write_to(tree);
        Resource::new("own").line("uid = -1").line("gid = -1").write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        let owner = |name| fs::metadata(tree.destination(name)).map(|it| (it.uid(), it.gid())).unwrap();
        assert_eq!((owner("web"), owner("own")), ((uid, gid), (own.uid(), own.gid())));
    });
}

#[test]
fn without_uid_and_gid_a_file_becomes_confds_own() {
    require!();
    if !is_root() {
        return; // Only root can give a file away.
    }
    both(|_, tree, confd| {
        Resource::new("web").counts_reloads().write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        chown(tree.destination("web"), Some(65534), Some(12)).unwrap();
        assert_ended(&confd.once(), 0, &[]);
        let owner = fs::metadata(tree.destination("web")).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (0, 0));
        assert_eq!(tree.reloads("web").len(), 2, "another owner is a change");
    });
}

#[test]
fn owner_and_group_are_names_that_0_16_ignores_and_ids_overrule() {
    require!();
    if !is_root() {
        return; // Only root can give a file away.
    }
    both(|generation, tree, confd| {
        Resource::new("names").line("owner = \"daemon\"").line("group = \"daemon\"").write_to(tree);
        let ids = Resource::new("ids").line("owner = \"daemon\"").line("uid = 2");
        ids.line("group = \"daemon\"").line("gid = 3").write_to(tree);
        let output = confd.once();
        assert_ended(&output, 0, &[]);
        let owner = |name| fs::metadata(tree.destination(name)).map(|it| (it.uid(), it.gid())).unwrap();
        let named = if generation == Old { (0, 0) } else { (1, 1) };
        assert_eq!((owner("names"), owner("ids")), (named, (2, 3)), "{generation:?}");
        assert_eq!(output.stderr.contains("unknown key `owner`"), generation == Old, "{}", output.stderr);
    });
}

#[test]
fn an_owner_that_does_not_exist_fails_its_resource_in_0_41() {
    require!();
    one(New, |tree, confd| {
        Resource::new("web").line("owner = \"no-such-user\"").write_to(tree);
        Resource::new("good").write_to(tree);
        assert_ended(&confd.once(), 1, &["web.toml", "there is no user `no-such-user`"]);
        assert_eq!(tree.files(), ["good.conf"]);
    });
}

#[test]
fn check_cmd_is_a_template_for_the_shell_and_its_failure_keeps_the_old_file() {
    require!();
    both(|_, tree, confd| {
        let check = "cat {{.src}} | grep -q a=1 && test -f {{ .src }}";
        Resource::new("web").check(check).counts_reloads().write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));

        fs::write(tree.join("keys.yml"), "web: {c: 3}\n").unwrap();
        assert_ended(&confd.once(), 1, &["check failed", "exit status: 1", "web.toml"]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
        assert_eq!((tree.files(), tree.reloads("web").len()), (vec!["web.conf".to_owned()], 1));
    });
}

#[test]
fn reload_cmd_is_literal_in_0_16_and_a_template_in_0_41() {
    require!();
    both(|generation, tree, confd| {
        let note = tree.join("note");
        let reload = format!("echo '{{{{.src}}}} {{{{.dest}}}}' > {}", note.display());
        Resource::new("web").reload(&reload).write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        let noted = noted(&note).unwrap();
        if generation == Old {
            assert_eq!(noted, "{{.src}} {{.dest}}");
            return;
        }
        let (stage, dest) = noted.split_once(' ').unwrap();
        assert_eq!(dest, tree.destination("web").display().to_string());
        assert!(stage.starts_with(&format!("{}/.web.conf", tree.join("out").display())), "{stage}");
        assert_eq!(tree.files(), ["web.conf"], "it is gone after the rename");
    });
}

#[test]
fn reload_cmd_runs_after_a_change_only_and_is_waited_for() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").counts_reloads_after("sleep 0.2").write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.reloads("web"), [TEXT.trim_end()], "it has run to its end");
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.reloads("web").len(), 1);
    });
}

#[test]
fn a_reload_cmd_that_fails_is_an_error_and_is_run_again_by_the_next_pass() {
    require!();
    both(|_, tree, confd| {
        let note = tree.join("note");
        let reload = format!("echo x >> {0}; test $(wc -l < {0}) = 2", note.display());
        Resource::new("web").reload(&reload).write_to(tree);
        assert_ended(&confd.once(), 1, &["reload failed"]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
        // confd would leave the old process beside the new file.
        assert_ended(&confd.once(), 0, &[]);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(noted(&note).as_deref(), Some("x\nx"));
    });
}

#[test]
fn output_format_is_looked_at_before_check_cmd() {
    require!();
    let cases = [
        ("json", "{\"a\": [1]}", "{\"a\": [1}"),
        ("yaml", "a: [1]\n", "a: [1\n"),
        ("yml", "a: [1]\n", "a: [1\n"),
        ("toml", "a = [1]\n", "a = [1\n"),
        ("xml", "<a><b/></a>", "<a><b></a>"),
    ];
    for (format, good, bad) in cases {
        one(New, |tree, confd| {
            let note = tree.join("note");
            let check = format!("echo checked >> {}", note.display());
            let resource = Resource::new("web").line(&format!("output_format = \"{format}\"")).check(&check);
            resource.clone().template(good).write_to(tree);
            assert_ended(&confd.once(), 0, &[]);
            resource.template(bad).write_to(tree);
            assert_ended(&confd.once(), 1, &["format failed", "web.toml"]);
            assert_eq!(tree.text("web").as_deref(), Some(good), "{format}");
            assert_eq!(noted(&note).as_deref(), Some("checked"), "{format}: the second one came not so far");
        });
    }
}

#[test]
fn a_mode_that_makes_no_sense_is_found_before_the_store_is_asked() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").line("mode = \"rw\"").write_to(tree);
        let output = confd.file(&tree.join("no-such-file.yml")).once();
        assert_ended(&output, 1, &["web.toml:5:8: `mode` must be permission bits"]);
    });
}

#[test]
fn noop_stops_before_check_cmd_and_leaves_nothing() {
    require!();
    both(|_, tree, confd| {
        let note = tree.join("note");
        let line = format!("echo ran >> {}", note.display());
        Resource::new("web").check(&line).reload(&line).write_to(tree);
        fs::write(tree.destination("web"), "old\n").unwrap();
        assert_ended(&confd.flags("-noop").once(), 0, &["would be changed"]);
        assert_eq!((tree.text("web").as_deref(), noted(&note)), (Some("old\n"), None));
        assert_eq!(tree.files(), ["web.conf"]);
    });
}

#[test]
fn sync_only_skips_check_cmd_and_reload_cmd() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").check("false").reload("false").write_to(tree);
        assert_ended(&confd.flags("-sync-only").once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn a_key_that_confd_does_not_know_is_told_and_ignored() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").line("description = \"x\"").line("[other]").line("a = 1").write_to(tree);
        assert_ended(&confd.once(), 0, &["WARN", "web.toml:5:1: unknown key `description`"]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
        assert_eq!(fs::read_to_string(tree.join("keys.yml")).unwrap(), KEYS);
    });
}

#[test]
fn a_reload_cmd_that_is_no_template_fails_its_resource_only_and_is_literal_in_0_16() {
    require!();
    both(|generation, tree, confd| {
        Resource::new("good").write_to(tree);
        Resource::new("web").reload("echo '{{' > /dev/null").write_to(tree);
        let output = confd.once();
        if generation == Old {
            assert_ended(&output, 0, &[]);
            return;
        }
        assert_ended(&output, 1, &["web.toml:5:14: `reload_cmd` is no template"]);
        assert_eq!(tree.files(), ["good.conf"]);
    });
}
