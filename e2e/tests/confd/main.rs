//! What a confd user expects, row by row: the resource files, `confd.toml`, the command lines and the traps,
//! each with both generations where they have it, or differ in it.
//!
//! A test is named after its row. What confd promises and does not do, waypost does; what is in confd's way
//! alone (a reload that is forgotten, a watch that never renders) is asserted as promised.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod command_line;
mod daemon;
mod etcd_v2;
mod file;
mod limits;
mod looking;
mod nodes;
mod outside;
mod resources;
mod signals;
mod stores;
mod traps;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use waypost_e2e::{Confd, Generation, Output, Tree};

use Generation::{New, Old};

/// What is in the keys' file unless a test says something else.
const KEYS: &str = "web:\n  a: \"1\"\n  b: \"2\"\n";

/// What the resource that a test has by default makes of it.
const TEXT: &str = "a=1\nb=2\n";

/// Runs `test` for both generations, each with a tree of its own and a file of keys.
#[track_caller]
fn both(test: impl Fn(Generation, &Tree, Confd)) {
    for generation in Generation::BOTH {
        one(generation, |tree, confd| test(generation, tree, confd));
    }
}

/// Runs `test` for `generation`, with a tree and a file of keys.
#[track_caller]
fn one(generation: Generation, test: impl FnOnce(&Tree, Confd)) {
    let tree = Tree::new();
    let keys = tree.join("keys.yml");
    fs::write(&keys, KEYS).unwrap();
    let confd = Confd::new(generation, &tree).file(&keys);
    test(&tree, confd);
}

/// That a run ended with `code`, and said `words`.
#[track_caller]
fn assert_ended(output: &Output, code: i32, words: &[&str]) {
    let Output { code: ended, stdout, stderr } = output;
    assert_eq!(*ended, Some(code), "{stdout}{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} in: {stderr}");
    }
}

/// Writes the `confd.toml` of `tree`.
fn confd_toml(tree: &Tree, text: &str) {
    fs::write(tree.join("confd.toml"), text).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The words of a file that a command wrote; none if it has not run.
fn noted(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}
