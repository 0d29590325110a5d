//! The configuration directory: `conf.d/**/*.toml` and `templates/`, as confd has them, and `waypost.toml`.
//!
//! Loading reports everything that is wrong with all files, each with file, line and column.

mod resource;
mod store;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use store::{Bound, StoreTable, address, age, bytes, revisions};
use table::Problem;
use waypost_agent::Resource;

/// What the configuration directory says.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// In the order of their files' paths.
    pub(crate) resources: Vec<Resource>,
}

/// Everything that is wrong with the configuration.
#[derive(Debug)]
pub(crate) struct Invalid(Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} error{}", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for Invalid {}

/// Both, or everything that is wrong with either.
pub(crate) fn both<A, B>(one: Result<A, Invalid>, other: Result<B, Invalid>) -> Result<(A, B), Invalid> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => {
            let problems = [one.err(), other.err()].into_iter().flatten();
            Err(Invalid(problems.flat_map(|Invalid(problems)| problems).collect()))
        }
    }
}

/// The `[store]` table of the file; none if it has no such table.
///
/// # Errors
///
/// [`Invalid`], with everything that is wrong.
pub(crate) fn store(path: &Path) -> Result<Option<StoreTable>, Invalid> {
    let shown = path.display().to_string();
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let source = read(path).map_err(|why| Invalid(vec![why]))?;
    let around = store::Around {
        directory: path.parent().unwrap_or(Path::new("")),
        variable: &|name| std::env::var(name).ok(),
        file: &read,
    };
    let describe = |problem: &Problem| problem.describe(&shown, &source);
    store::read(&source, &around).map_err(|problems| Invalid(problems.iter().map(describe).collect()))
}

/// The `[store]` table of `waypost.toml` in the configuration directory, if there is one.
///
/// # Errors
///
/// As for [`store()`].
pub(crate) fn store_in(directory: &Path) -> Result<Option<StoreTable>, Invalid> {
    let path = directory.join("waypost.toml");
    if path.exists() { store(&path) } else { Ok(None) }
}

impl Configuration {
    /// Reads the directory. `prefix` is put before the prefix and the keys of every resource.
    ///
    /// # Errors
    ///
    /// [`Invalid`], with everything that is wrong.
    pub(crate) fn load(directory: &Path, prefix: &str) -> Result<Configuration, Invalid> {
        let conf_d = directory.join("conf.d");
        let unreadable = |error: io::Error| Invalid(vec![format!("{}: {error}", conf_d.display())]);
        let files = find(&conf_d).map_err(unreadable)?;
        if files.is_empty() {
            return Err(Invalid(vec![format!("{}: there is no *.toml file in it", conf_d.display())]));
        }
        let place = resource::Place { templates: directory.join("templates"), prefix: prefix.to_owned() };
        let mut problems = Vec::new();
        let mut resources = Vec::new();
        for path in files {
            match load_file(&path, &conf_d, &place) {
                Ok(resource) => resources.push(resource),
                Err(found) => problems.extend(found),
            }
        }
        problems.extend(same_destinations(&resources));
        if problems.is_empty() { Ok(Configuration { resources }) } else { Err(Invalid(problems)) }
    }
}

fn load_file(path: &Path, conf_d: &Path, place: &resource::Place) -> Result<Resource, Vec<String>> {
    let shown = path.display().to_string();
    let source = fs::read_to_string(path).map_err(|error| vec![format!("{shown}: {error}")])?;
    let name = path.strip_prefix(conf_d).unwrap_or(path).display().to_string();
    let describe = |problem: &Problem| problem.describe(&shown, &source);
    resource::read(&name, &source, place).map_err(|problems| problems.iter().map(describe).collect())
}

/// Two resources that write one file would undo each other for ever.
fn same_destinations(resources: &[Resource]) -> Vec<String> {
    let mut first: HashMap<&Path, &str> = HashMap::new();
    let mut problems = Vec::new();
    for Resource { name, destination, .. } in resources {
        if let Some(other) = first.insert(destination, name) {
            problems.push(format!("{other} and {name} both write {}", destination.display()));
        }
    }
    problems
}

/// All files below `directory` whose names end in `toml`, as confd picks them, by path.
fn find(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if path.as_os_str().as_encoded_bytes().ends_with(b"toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join("conf.d").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    #[test]
    fn files_are_found_in_subdirectories_and_by_their_end() {
        let resource = |dest: &str| format!("[template]\nsrc = \"a\"\ndest = \"{dest}\"\nkeys = [\"/a\"]\n");
        let (a, b) = (resource("/x/a"), resource("/x/b"));
        let directory = directory(&[("20.toml", &b), ("10/x.toml", &a), ("30.toml.off", "broken")]);
        let found = Configuration::load(directory.path(), "").unwrap();
        let names: Vec<&str> = found.resources.iter().map(|resource| &*resource.name).collect();
        assert_eq!(names, ["10/x.toml", "20.toml"]);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let directory = directory(&[
            ("a.toml", "[template]\nsrc = \"a\"\ndest = 5\nreload_cmnd = \"x\"\n"),
            ("b.toml", "[template\n"),
        ]);
        let error = Configuration::load(directory.path(), "").unwrap_err().to_string();
        assert!(error.starts_with("the configuration has 3 errors\n"), "{error}");
        assert!(error.contains("a.toml:3:8: `dest` must be a string"), "{error}");
        assert!(error.contains("a.toml:4:1: unknown key `reload_cmnd`; is `reload_cmd` meant?"), "{error}");
        assert!(error.contains("b.toml:1:10: "), "{error}");
    }

    #[test]
    fn two_resources_with_one_destination_are_refused() {
        let resource = "[template]\nsrc = \"a\"\ndest = \"/x\"\n";
        let directory = directory(&[("a.toml", resource), ("b.toml", resource)]);
        let error = Configuration::load(directory.path(), "").unwrap_err().to_string();
        assert!(error.ends_with("a.toml and b.toml both write /x"), "{error}");
    }
}
