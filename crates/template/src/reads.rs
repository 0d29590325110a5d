//! Reads: which keys, globs, directories and files a render looked at.
//!
//! The promise is one-sided: if a render's outcome can change because a name appeared, changed or went,
//! [`Reads::touched_by`] says so for that name. It may also say so when the outcome stays.

use std::collections::HashSet;
use std::mem;

use crate::{Glob, Text};

/// What a render, finished or failed, looked at.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    keys: Names,
    globs: Vec<Glob>,
    patterns: HashSet<Text>, // of `globs`
    directories: Names,
    files: Names,
    /// The render asked for something outside of keys and files: the time, the host, its name, addresses
    /// or variables, or whether a file exists.
    pub volatile: bool,
}

impl Reads {
    /// Whether a change of the key `name` (its value, or that it is there) can change the outcome.
    pub fn touched_by(&self, name: &[u8]) -> bool {
        self.keys.contain(name)
            || self.globs.iter().any(|glob| glob.matches(name))
            || self.directories.iter().any(|directory| is_in(name, directory))
    }

    /// The keys asked for by name, each once, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Text> {
        self.keys.iter()
    }

    /// The patterns asked for, each once.
    pub fn globs(&self) -> impl Iterator<Item = &Glob> {
        self.globs.iter()
    }

    /// The directories listed, as clean paths, each once, in order.
    pub fn directories(&self) -> impl Iterator<Item = &Text> {
        self.directories.iter()
    }

    /// The files included, as clean paths below the directory of templates, each once, in order.
    pub fn files(&self) -> impl Iterator<Item = &Text> {
        self.files.iter()
    }

    pub(crate) fn add_key(&mut self, name: &Text) {
        self.keys.add(name);
    }

    pub(crate) fn add_glob(&mut self, glob: &Glob) {
        if self.patterns.insert(glob.pattern().clone()) {
            self.globs.push(glob.clone());
        }
    }

    pub(crate) fn add_directory(&mut self, path: &Text) {
        self.directories.add(path);
    }

    pub(crate) fn add_file(&mut self, path: &Text) {
        self.files.add(path);
    }

    /// Puts the lists in order, which `touched_by` relies on.
    pub(crate) fn finish(&mut self) {
        self.keys.settle();
        self.directories.settle();
        self.files.settle();
    }
}

fn is_in(name: &[u8], directory: &[u8]) -> bool {
    directory == b"/"
        || name.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// A set of names that is cheap to add to: duplicates go when it has doubled, and at the end.
#[derive(Clone, Debug, Default)]
struct Names {
    list: Vec<Text>,
    settled: usize,
}

/// Below this, sorting out duplicates is not worth a pass.
const UNSETTLED: usize = 256;

impl Names {
    fn add(&mut self, name: &Text) {
        if self.list.last() == Some(name) {
            return;
        }
        self.list.push(name.clone());
        if self.list.len() > UNSETTLED + 2 * self.settled {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let mut list = mem::take(&mut self.list);
        list.sort_unstable();
        list.dedup();
        self.settled = list.len();
        self.list = list;
    }

    fn contain(&self, name: &[u8]) -> bool {
        self.list.binary_search_by(|known| known.as_ref().cmp(name)).is_ok()
    }

    fn iter(&self) -> impl Iterator<Item = &Text> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_read_many_times_is_listed_once() {
        let mut reads = Reads::default();
        for round in 0..10_000 {
            reads.add_key(&Text::from(format!("/k{}", round % 3)));
        }
        reads.finish();
        assert_eq!(reads.keys().count(), 3);
        assert!(reads.touched_by(b"/k2") && !reads.touched_by(b"/k3"));
    }

    #[test]
    fn a_directory_is_touched_by_what_is_in_it_and_by_itself() {
        let mut reads = Reads::default();
        reads.add_directory(&Text::from("/app"));
        reads.finish();
        assert!(reads.touched_by(b"/app/x") && reads.touched_by(b"/app/x/y") && reads.touched_by(b"/app"));
        assert!(!reads.touched_by(b"/apple") && !reads.touched_by(b"/"));
    }
}
