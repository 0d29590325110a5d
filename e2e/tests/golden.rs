//! Golden data: waypost called as confd makes of a whole tree what both generations of confd made of it, and
//! fails where and as they did. The data is in `e2e/golden`, whose README tells how it is used.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use waypost_e2e::{Confd, Generation, Output, Tree, finish, require};
use waypost_servers::Etcd;

/// Good resources before and after the one that fails.
const GOOD: [&str; 2] = ["00-good", "99-good"];

/// What the message of a case says, whatever generation is meant: the words for what `says` tells of confd's.
const SAYS: [(&str, &[&str]); 10] = [
    (
        "missing-key",
        &["app.conf.tmpl:3:8: ", "getv", "key does not exist: /app/user", "user {{getv \"/app/user\"}}"],
    ),
    ("bad-template", &["template failed: app.conf.tmpl:2:6: unexpected EOF", "{{if exists"]),
    ("check-cmd-fails", &["check failed: `grep -q '^user ' ", "exit status: 1", "app.toml"]),
    ("missing-src", &["/templates/app.conf.tmpl.old: No such file or directory", "app.toml"]),
    ("missing-dest-dir", &["/out/app/etc/.app.conf.waypost: No such file or directory", "app.toml"]),
    ("bad-toml", &["/conf.d/app.toml:3:", "invalid basic string", "3 | dest = "]),
    ("bad-mode", &["/conf.d/app.toml:5:8: `mode` must be permission bits", "5 | mode = \"rw-r-----\""]),
    ("same-dest", &["10-app.toml and 20-app-copy.toml both write ", "/out/app.conf"]),
    (
        "unreadable-template",
        &["template failed: cannot read ", "/templates/app.conf.tmpl: Permission denied"],
    ),
    ("unknown-function", &["app.conf.tmpl:2:30: function \"consulKey\" not defined", "{{if false}}"]),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

/// An etcd that holds the keys of the file `keys`.
fn etcd(keys: &str) -> Etcd {
    let (etcd, keys) = (Etcd::start(), json(keys));
    etcd.put_all(keys.as_object().unwrap().iter().map(|(key, value)| (key, value.as_str().unwrap())));
    etcd
}

/// All files below `directory`, by their paths from there.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fn add(root: &Path, directory: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    add(directory, directory, &mut found);
    found
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A tree like `source`, with those files of its `conf.d` that `wanted` is true for.
fn tree(source: &str, wanted: impl Fn(&str) -> bool) -> Tree {
    let tree = Tree::new();
    let out = tree.join("out").display().to_string();
    for (name, content) in files(&golden(source)) {
        match name.strip_prefix("conf.d/") {
            Some(resource) if !wanted(resource) => continue,
            Some(_) => {
                let content = String::from_utf8(content).unwrap().replace("@OUT@", &out);
                write(&tree.join(&name), content);
            }
            None => write(&tree.join(&name), content),
        }
    }
    tree
}

/// The whole tree, with the directories that its resources write to.
fn whole_tree(expected: &Value) -> Tree {
    let tree = tree("tree", |_| true);
    expected["resources"].as_object().unwrap().values().for_each(|resource| make_parent(&tree, resource));
    tree
}

fn destination(tree: &Tree, resource: &Value) -> PathBuf {
    tree.join("out").join(resource["dest"].as_str().unwrap())
}

fn make_parent(tree: &Tree, resource: &Value) {
    fs::create_dir_all(destination(tree, resource).parent().unwrap()).unwrap();
}

/// confd on `tree`, with the variables that the templates of the whole tree read.
fn confd(generation: Generation, tree: &Tree, expected: &Value) -> Confd {
    let variables = expected["env"].as_object().unwrap().iter();
    variables.fold(Confd::new(generation, tree), |confd, (name, value)| {
        confd.variable(name, value.as_str().unwrap())
    })
}

fn mode(path: &Path) -> String {
    format!("{:04o}", fs::metadata(path).unwrap().permissions().mode() & 0o7777)
}

fn sha256(path: &Path) -> String {
    let output = finish(Command::new("sha256sum").arg(path));
    output.stdout.split(' ').next().unwrap_or_default().to_owned()
}

fn code(value: &Value) -> Option<i32> {
    i32::try_from(value.as_i64()?).ok()
}

/// That all that is written is what `generation` wrote, with its modes.
#[track_caller]
fn assert_written(generation: Generation, tree: &Tree, expected: &Value, output: &Output) {
    let version = generation.version();
    assert_eq!(output.code, code(&expected["whole_tree"][version]["exit"]), "{version}: {}", output.stderr);
    let (written, wanted) = (files(&tree.join("out")), files(&golden(&format!("expected-{version}"))));
    assert_eq!(
        written.keys().collect::<Vec<_>>(),
        wanted.keys().collect::<Vec<_>>(),
        "{version}: {}",
        output.stderr
    );
    for (name, content) in &written {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(content), text(&wanted[name]), "{version}: {name}");
    }
    for resource in expected["resources"].as_object().unwrap().values() {
        if let Some(wanted) = resource[version]["mode"].as_str() {
            assert_eq!(mode(&destination(tree, resource)), wanted, "{version}: {}", resource["dest"]);
        }
    }
}

/// What is another one if a file was written: its inode and its times.
fn identity(path: &Path) -> Option<(u64, i64, i64, i64, i64)> {
    let it = fs::metadata(path).ok()?;
    Some((it.ino(), it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()))
}

#[test]
fn the_whole_tree_is_written_byte_for_byte_whatever_the_program_is_called() {
    require!("etcd");
    let (etcd, expected) = (etcd("keys.json"), json("expected.json"));
    for generation in Generation::BOTH {
        for through_a_link in [false, true] {
            let tree = whole_tree(&expected);
            let mut confd = confd(generation, &tree, &expected).etcd(&etcd);
            if through_a_link {
                confd = confd.through_a_link();
            }
            assert_written(generation, &tree, &expected, &confd.once());
        }
    }
}

#[test]
fn each_resource_alone_is_written_as_in_the_whole_tree() {
    require!("etcd");
    let (etcd, expected) = (etcd("keys.json"), json("expected.json"));
    for generation in Generation::BOTH {
        for (name, resource) in expected["resources"].as_object().unwrap() {
            let tree = tree("tree", |file| file == name);
            make_parent(&tree, resource);
            let output = confd(generation, &tree, &expected).etcd(&etcd).once();

            let (wanted, destination) = (&resource[generation.version()], destination(&tree, resource));
            assert_eq!(output.code, code(&wanted["exit"]), "{generation:?}: {name}: {}", output.stderr);
            if wanted["mode"].is_null() {
                assert!(!destination.exists(), "{generation:?}: {name}");
                continue;
            }
            let content = fs::read(&destination).unwrap();
            let sum = sha256(&destination);
            let (bytes, mode) = (content.len(), mode(&destination));
            let is = serde_json::json!({ "exit": 0, "mode": mode, "bytes": bytes, "sha256": sum });
            assert_eq!(&is, wanted, "{generation:?}: {name}: {}", String::from_utf8_lossy(&content));
        }
    }
}

#[test]
fn a_second_run_rewrites_nothing() {
    require!("etcd");
    let (etcd, expected) = (etcd("keys.json"), json("expected.json"));
    for generation in Generation::BOTH {
        let tree = whole_tree(&expected);
        let confd = confd(generation, &tree, &expected).etcd(&etcd);
        assert_written(generation, &tree, &expected, &confd.once());
        let out = tree.join("out");
        let identities = || files(&out).into_keys().map(|name| (identity(&out.join(&name)), name));
        let before: Vec<_> = identities().collect();

        assert_written(generation, &tree, &expected, &confd.once());
        assert_eq!(identities().collect::<Vec<_>>(), before, "{generation:?}");
    }
}

#[test]
fn another_umask_changes_nothing() {
    require!("etcd");
    let (etcd, expected) = (etcd("keys.json"), json("expected.json"));
    for generation in Generation::BOTH {
        let tree = whole_tree(&expected);
        let confd = confd(generation, &tree, &expected).etcd(&etcd).flags("-onetime").command();
        let output = finish(&mut wrapped(&["sh", "-c", "umask 0077; exec \"$0\" \"$@\""], &confd));
        assert_written(generation, &tree, &expected, &output);
    }
}

/// `command`, started by `wrapper`.
fn wrapped(wrapper: &[&str], command: &Command) -> Command {
    let mut whole = Command::new(wrapper[0]);
    whole.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    whole
}

/// confd's file backend would give the count in line 2 of the nginx file as 16: it also reads what only
/// begins like a key that is asked for.
#[test]
fn the_same_keys_in_a_file_make_the_same_tree() {
    require!();
    let expected = json("expected.json");
    for generation in Generation::BOTH {
        let tree = whole_tree(&expected);
        // JSON is YAML, too; a key whose name has slashes is the key below them.
        let keys = tree.join("keys.yml");
        fs::copy(golden("keys.json"), &keys).unwrap();
        let output = confd(generation, &tree, &expected).file(&keys).once();
        assert_written(generation, &tree, &expected, &output);
    }
}

/// A case of `errors`, in a tree of its own.
struct Case<'a> {
    name: &'a str,
    generation: Generation,
    wanted: &'a Value,
    tree: Tree,
    destination: PathBuf,
}

impl<'a> Case<'a> {
    fn new(generation: Generation, name: &'a str, case: &'a Value, before: &Value) -> Case<'a> {
        let tree = tree(&format!("errors/{name}"), |_| true);
        let destination = destination(&tree, case);
        if !case["no_mkdir"].as_bool().unwrap_or_default() {
            make_parent(&tree, case);
        }
        let before = case.get("dest_before").unwrap_or(before);
        if let Some(content) = before["content"].as_str() {
            write(&destination, content);
            let mode = u32::from_str_radix(before["mode"].as_str().unwrap(), 8).unwrap();
            fs::set_permissions(&destination, fs::Permissions::from_mode(mode)).unwrap();
        }
        for good in GOOD {
            let dest = tree.join("out").join(good);
            let resource =
                format!("[template]\nsrc = \"{good}\"\ndest = \"{}\"\nkeys = [\"/app\"]\n", dest.display());
            write(&tree.configuration(good), resource);
            write(&tree.join("templates").join(good), "{{getv \"/app/listen\"}}\n");
        }
        Case { name, generation, wanted: &case[generation.version()], tree, destination }
    }

    /// That a run ends as it did with confd; `again` is what a second one's expectations are called by.
    #[track_caller]
    fn run(&self, etcd: &Etcd, again: &str) -> Output {
        let Case { name, generation, wanted, tree, destination } = self;
        let before = (identity(destination), fs::read(destination).ok());
        let mut confd = Confd::new(*generation, tree).etcd(etcd).flags("-onetime").command();
        if *name == "unreadable-template" && fs::metadata("/proc/self").unwrap().uid() == 0 {
            // So that modes count for root as they do for anybody else.
            let limited = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"];
            confd = wrapped(&limited, &confd);
        }
        let output = finish(&mut confd);
        let case = format!("{name}{again} {generation:?}: {}", output.stderr);
        assert_eq!(output.code, code(&wanted[format!("exit{again}")]), "{case}");
        let is_changed = (identity(destination), fs::read(destination).ok()) != before;
        assert_eq!(Some(is_changed), wanted[format!("dest_changed{again}")].as_bool(), "{case}");
        output
    }

    #[track_caller]
    fn assert_aftermath(&self, output: &Output) {
        let Case { name, wanted, tree, destination, .. } = self;
        let case = format!("{name} {:?}: {}", self.generation, output.stderr);
        let written = files(&tree.join("out"));
        let good = GOOD.map(|good| written.get(good).is_some_and(|content| content == b"10.20.9.91:8000\n"));
        assert_eq!(good, [wanted["others_written"].as_bool().unwrap(); 2], "{case}");
        let known = |file: &&String| GOOD.contains(&&***file) || tree.join("out").join(file) == *destination;
        let others: Vec<&String> = written.keys().filter(|file| !known(file)).collect();
        assert!(others.is_empty(), "no stage file, and nothing was reloaded: {others:?}: {case}");
        if let Some(content) = wanted["dest_after"]["content"].as_str() {
            assert_eq!(fs::read_to_string(destination).unwrap(), content, "{case}");
            assert_eq!(Some(&*mode(destination)), wanted["dest_after"]["mode"].as_str(), "{case}");
        }
    }
}

#[test]
fn every_case_that_fails_ends_as_it_did_with_confd() {
    require!("etcd", "setpriv");
    let (etcd, expected) = (etcd("errors/keys.json"), json("errors/expected.json"));
    let cases = expected["cases"].as_object().unwrap();
    assert_eq!(cases.len(), SAYS.len());
    for (name, case) in cases {
        let (_, says) = SAYS.iter().find(|(known, _)| known == name).unwrap();
        for generation in Generation::BOTH {
            let case = Case::new(generation, name, case, &expected["dest_before"]);
            if name == "unreadable-template" {
                let template = case.tree.join("templates/app.conf.tmpl");
                fs::set_permissions(template, fs::Permissions::from_mode(0o000)).unwrap();
            }
            let output = case.run(&etcd, "");
            for words in *says {
                assert!(output.stderr.contains(words), "{name} {generation:?}: {words}: {}", output.stderr);
            }
            case.assert_aftermath(&output);
            case.assert_aftermath(&case.run(&etcd, "_again"));
        }
    }
}

#[test]
fn a_directory_in_the_place_of_a_template_fails_as_one_that_may_not_be_read() {
    require!("etcd");
    let (etcd, expected) = (etcd("errors/keys.json"), json("errors/expected.json"));
    let case = &expected["cases"]["unreadable-template"];
    for generation in Generation::BOTH {
        let case = Case::new(generation, "unreadable-template", case, &expected["dest_before"]);
        let template = case.tree.join("templates/app.conf.tmpl");
        fs::remove_file(&template).unwrap();
        fs::create_dir(&template).unwrap();
        let output = case.run(&etcd, "");
        assert!(output.stderr.contains("app.conf.tmpl: Is a directory"), "{}", output.stderr);
        case.assert_aftermath(&output);
    }
}
