//! Which files there are, and where a change to them would show.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobMatcher};

use super::{STORE, unreadable};
use crate::{Error, ErrorKind, Result};

/// As many symbolic links as Linux follows in one path (`path_resolution(7)`).
const LINKS: usize = 40;

/// Directories to watch, and of each what matters in it.
pub(super) type Places = BTreeMap<PathBuf, Interest>;

/// What of a directory matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    /// Everything.
    All,
    /// Entries of these names.
    Names(BTreeSet<OsString>),
}

impl Interest {
    pub(super) fn includes(&self, name: &OsStr) -> bool {
        match self {
            Interest::All => true,
            Interest::Names(names) => names.contains(name),
        }
    }
}

/// Finds the files of the store.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) paths: Vec<PathBuf>,
    pub(super) filter: Filter,
}

/// Which files of a directory are read.
#[derive(Debug)]
pub(super) struct Filter(GlobMatcher);

impl Filter {
    pub(super) fn new(pattern: &str) -> Result<Filter> {
        let glob = Glob::new(pattern).map_err(|error| {
            Error::new(ErrorKind::Invalid, STORE, "use the filter", pattern).because(error.kind().to_string())
        })?;
        Ok(Filter(glob.compile_matcher()))
    }

    /// Hidden names and backup copies are left out, which confd reads: Kubernetes keeps each version of a
    /// volume below a name that begins with `..`, and editors keep copies beside the file.
    fn accepts(&self, name: &OsStr) -> bool {
        !is_hidden(name) && !name.as_encoded_bytes().ends_with(b"~") && self.0.is_match(name)
    }
}

impl Find {
    /// The files, in the order in which they count: as given, those of a directory by name.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                self.below(path, &mut |_| {}, &mut |file| files.push(file))?;
            } else {
                files.push(path.clone());
            }
        }
        Ok(files)
    }

    /// Where a change shows: the directories that hold the files, or symbolic links on the way to them.
    pub(super) fn places(&self) -> Places {
        let mut places = Places::new();
        for path in &self.paths {
            trail(path, &mut places);
            // The watched name must be the only one: the system knows a directory by its inode, not by name.
            let Some(root) = path.canonicalize().ok().filter(|root| root.is_dir()) else { continue };
            let (mut directories, mut files) = (vec![root.clone()], Vec::new());
            // What cannot be read here is an error when the files are looked for.
            let _ =
                self.below(&root, &mut |directory| directories.push(directory), &mut |file| files.push(file));
            for file in files {
                trail(&file, &mut places);
            }
            places.extend(directories.into_iter().map(|directory| (directory, Interest::All)));
        }
        places
    }

    /// Walks through `directory` by name. Symbolic links to directories are not followed, as with confd.
    fn below(
        &self,
        directory: &Path,
        on_directory: &mut dyn FnMut(PathBuf),
        on_file: &mut dyn FnMut(PathBuf),
    ) -> Result<()> {
        let failed = |error| unreadable(directory, error);
        let entries = fs::read_dir(directory).map_err(failed)?;
        let mut entries: Vec<_> = entries.collect::<std::io::Result<_>>().map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            if entry.file_type().map_err(failed)?.is_dir() {
                if !is_hidden(&name) {
                    on_directory(path.clone());
                    self.below(&path, on_directory, on_file)?;
                }
            } else if self.filter.accepts(&name) {
                // Through a symbolic link; one that leads nowhere is a file that is gone.
                let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
                if metadata.is_file() {
                    on_file(path);
                }
            }
        }
        Ok(())
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Adds the directory entries on which it depends what `path` leads to: the last one, and each symbolic
/// link on the way. Where the way ends early, the entry that is missing.
fn trail(path: &Path, places: &mut Places) {
    let mut at = std::env::current_dir().unwrap_or_default();
    let mut ahead: Vec<PathBuf> = vec![path.to_owned()];
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        let mut components = step.components();
        let Some(first) = components.next() else { continue };
        let rest = components.as_path();
        if !rest.as_os_str().is_empty() {
            ahead.push(rest.to_owned());
        }
        match first {
            Component::RootDir | Component::Prefix(_) => at = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => drop(at.pop()),
            Component::Normal(name) => {
                let entry = at.join(name);
                let target = fs::read_link(&entry).ok();
                if target.is_some() || ahead.is_empty() || !entry.exists() {
                    add(places, &at, name);
                }
                match target {
                    Some(target) if links < LINKS => {
                        links += 1;
                        ahead.push(target);
                    }
                    None if entry.exists() => at = entry,
                    _ => return,
                }
            }
        }
    }
}

fn add(places: &mut Places, directory: &Path, name: &OsStr) {
    let interest = places.entry(directory.to_owned()).or_insert_with(|| Interest::Names(BTreeSet::new()));
    if let Interest::Names(names) = interest {
        names.insert(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(list: &[&str]) -> Interest {
        Interest::Names(list.iter().map(OsString::from).collect())
    }

    /// A directory without symbolic links on the way to it.
    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().canonicalize().unwrap();
        (scratch, path)
    }

    #[test]
    fn a_file_of_a_kubernetes_volume_depends_on_both_links() {
        let (_scratch, root) = scratch();
        fs::create_dir(root.join("..v1")).unwrap();
        fs::write(root.join("..v1/app.yaml"), "a: 1").unwrap();
        symlink("..v1", root.join("..data")).unwrap();
        symlink("..data/app.yaml", root.join("app.yaml")).unwrap();

        let find = Find { paths: vec![root.join("app.yaml")], filter: Filter::new("*").unwrap() };

        let expected =
            [(root.clone(), names(&["..data", "app.yaml"])), (root.join("..v1"), names(&["app.yaml"]))];
        assert_eq!(find.places(), expected.into());
    }

    #[test]
    fn a_path_that_is_missing_depends_on_the_first_entry_that_is_not_there() {
        let (_scratch, root) = scratch();
        let find = Find { paths: vec![root.join("a/b.yaml")], filter: Filter::new("*").unwrap() };
        assert_eq!(find.places(), [(root, names(&["a"]))].into());
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let (_scratch, root) = scratch();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let find = Find { paths: vec![root.join("a")], filter: Filter::new("*").unwrap() };
        assert_eq!(find.places(), [(root, names(&["a", "b"]))].into());
    }

    #[test]
    fn a_directory_is_read_by_name_through_the_filter_and_without_hidden_files() {
        let (_scratch, root) = scratch();
        fs::create_dir_all(root.join("b/.git")).unwrap();
        for name in ["c.yaml", "a.yaml", "a.yaml~", ".a.yaml.swp", "b/d.yaml", "b/e.json", "b/.git/f.yaml"] {
            fs::write(root.join(name), "").unwrap();
        }
        let find = |filter| Find { paths: vec![root.clone()], filter: Filter::new(filter).unwrap() }.files();
        assert_eq!(find("*.yaml").unwrap(), ["a.yaml", "b/d.yaml", "c.yaml"].map(|name| root.join(name)));
        assert_eq!(find("[!ac]*").unwrap(), ["b/d.yaml", "b/e.json"].map(|name| root.join(name)));
        assert_eq!(find("[^d]*").unwrap().len(), 3, "Go's negation");
    }
}
