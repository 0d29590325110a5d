//! `waypost migrate`: what it says of confd's files is so, and its page tells commands that work.
//!
//! What confd made of the golden tree is in `e2e/golden`.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use waypost_e2e::{Output, Resource, Tree, command, finish, require};
use waypost_servers::Etcd;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

/// Copies `source` to `target`, with `out` where its files say `@OUT@`.
fn copy(source: &Path, target: &Path, out: &str) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &target.join(name), out);
        } else {
            let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
            fs::write(target.join(name), text.replace("@OUT@", out)).unwrap();
        }
    }
}

/// A tree like the golden one at `source`.
fn tree(source: &str) -> Tree {
    let tree = Tree::new();
    copy(&golden(source), tree.path(), &tree.join("out").display().to_string());
    tree
}

/// The whole golden tree, with the directories that it writes to.
fn whole_tree() -> Tree {
    let tree = tree("tree");
    for resource in json("expected.json")["resources"].as_object().unwrap().values() {
        let path = tree.join("out").join(resource["dest"].as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    tree
}

fn migrate(tree: &Tree, words: &str) -> Output {
    finish(command().arg("migrate").arg(tree.path()).args(words.split_whitespace()))
}

/// What is said of each resource: the lines below its name.
fn said(output: &Output) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for part in output.stdout.split("\n\n") {
        let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
        let name = first.split(" -> ").next().unwrap();
        if name.ends_with(".toml") {
            said.insert(name.to_owned(), rest.to_owned());
        }
    }
    said
}

#[test]
fn of_each_resource_of_the_golden_tree_it_says_what_confd_showed() {
    require!();
    let (tree, expected) = (whole_tree(), json("expected.json"));
    for version in ["0.16", "0.41"] {
        let output = migrate(&tree, &format!("--compat {version}"));
        let said = said(&output);
        let resources = expected["resources"].as_object().unwrap();
        assert_eq!(said.keys().collect::<Vec<_>>(), resources.keys().collect::<Vec<_>>());
        for (name, resource) in resources {
            let (works, said) = (resource[version]["exit"] == 0, &said[name]);
            assert_eq!(said.starts_with("    works"), works, "{name} with {version}: {said}");
            assert_eq!(said.starts_with("    does not work"), !works, "{name} with {version}: {said}");
            if resource["same"] == false {
                assert!(said.contains(" with 0.16") && said.contains(" with 0.41"), "{name}: {said}");
            }
        }
        assert_eq!(output.code, expected["whole_tree"][version]["exit"].as_i64().map(|code| code as i32));
    }
}

#[test]
fn the_functions_that_0_16_has_not_are_named_with_their_places() {
    require!();
    let tree = whole_tree();
    let output = migrate(&tree, "");
    assert_eq!(output.code, Some(0), "with one of the generations all work: {}", output.stdout);
    let said = said(&output);
    let wanted = [
        (
            "50-gateway-json.toml",
            vec!["gateway.json.tmpl:1:16: function \"list\"", "\"toPrettyJson\"", "\"pluck\""],
        ),
        ("52-vhosts.toml", vec!["vhosts.conf.tmpl:2:5: function \"include\"", "\"dict\"", "\"nindent\""]),
    ];
    for (name, parts) in wanted {
        assert!(
            said[name].starts_with("    0.16: does not work\n    0.41: works unchanged\n"),
            "{}",
            said[name]
        );
        for part in parts {
            assert!(said[name].contains(part), "{part}: {}", said[name]);
        }
    }
    assert_eq!(said["12-varnish.toml"], "    works unchanged");
    assert!(said["22-shop-env.toml"].contains("unknown key `description`"), "{}", said["22-shop-env.toml"]);
    assert!(said["31-logrotate.toml"].contains("the mode is 0644"), "{}", said["31-logrotate.toml"]);
    assert!(
        output.stdout.ends_with("confd 0.16: 14 of 16 resources work\nconfd 0.41: 16 of 16 resources work\n")
    );
}

#[test]
fn of_trees_that_fail_for_what_is_in_their_files_it_says_so() {
    require!();
    for (case, wanted) in [
        ("bad-mode", "app.toml:5:8: `mode` must be permission bits"),
        ("bad-template", "app.conf.tmpl:2:6: unexpected EOF"),
        ("bad-toml", "app.toml:3:"),
        ("missing-dest-dir", "app.toml:3:8: the directory "),
        ("missing-src", "app.conf.tmpl.old: No such file or directory"),
        ("unknown-function", "app.conf.tmpl:2:30: function \"consulKey\" not defined"),
    ] {
        let tree = tree(&format!("errors/{case}"));
        let output = migrate(&tree, "");
        let said = &said(&output)["app.toml"];
        assert!(said.starts_with("    does not work\n") && said.contains(wanted), "{case}: {said}");
        assert_eq!(output.code, Some(1), "{case}");
    }
    let output = migrate(&tree("errors/same-dest"), "");
    assert_eq!(output.code, Some(0), "confd works on: {}", output.stdout);
    assert!(
        output.stdout.contains("20-app-copy.toml writes ") && output.stdout.contains("`waypost run` refuses")
    );
}

#[test]
fn prefixes_backends_and_settings_are_told_as_each_generation_has_them() {
    require!();
    let tree = Tree::new();
    Resource::new("web").line("prefix = \"/prod\"").line("owner = \"root\"").write_to(&tree);
    fs::write(tree.join("confd.toml"), "prefix = \"/x\"\ninterval = 5\ndebounce = \"1s\"\nbogus = 1\n")
        .unwrap();
    let output = migrate(&tree, "-- -backend etcdv3 -node h:1 -interval 7");
    for part in [
        "- 0.16: the global prefix /x takes the place of `/prod`, as in confd 0.16: the keys are /x/web",
        "- 0.41: the global prefix /x is put before `/prod`, as in confd 0.41: the keys are /x/prod/web",
        "unknown key `owner`",
        "backend: etcd h:1\n",
        "`debounce` is honoured; confd 0.16 does not know it",
        "`debounce` is honoured; confd 0.41 documents it and does not read it",
        "unknown key `bogus`",
        "`interval` counts, and --interval says something else",
        "--interval counts, and ",
        "`waypost run --confdir ",
        " --prefix /x --node h:1`",
    ] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }
    assert_eq!(output.code, Some(0), "{}", output.stdout);

    let output = migrate(&tree, "-- -backend consul");
    assert!(
        output.code == Some(1) && output.stdout.contains("waypost does not read consul yet"),
        "{output:?}"
    );
    let output = migrate(&tree, "-- -secret-keyring k");
    assert!(output.code == Some(1) && output.stderr.contains("decrypts no values"), "{output:?}");
    let nowhere = finish(command().args(["migrate", "/no/such/directory"]));
    assert!(nowhere.code == Some(1), "{nowhere:?}");
}

/// The commands of the page's `sh` blocks.
fn commands() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/moving-from-confd.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_commands_of_the_page_work() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/a", "1");
    Resource::new("web").write_to(&tree);
    let commands = commands();
    assert_eq!(commands.len(), 4, "{commands:?}");
    let (directory, waypost) = (tree.path().display().to_string(), command());
    for line in commands {
        let line = line.replace("/etc/confd", &directory).replace("http://127.0.0.1:2379", &etcd.url());
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], "waypost");
        let mut run = Command::new(waypost.get_program());
        run.args(&words[1..]).env("XDG_STATE_HOME", tree.join("state"));
        let output = finish(&mut run);
        assert_eq!(output.code, Some(0), "{line}: {output:?}");
        assert!(tree.files().is_empty(), "{line} writes nothing");
    }
}
