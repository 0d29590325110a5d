//! The configuration directory: `conf.d/**/*.toml` and `templates/`, as confd has them, and `waypost.toml`.
//!
//! Loading reports everything that is wrong with all files, each with file, line and column. To waypost any of
//! it is the end; called as `confd`, it works on with what confd could work with.

mod api;
mod backend;
mod content;
mod reload;
mod resource;
mod store;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use api::ApiTable;
pub(crate) use store::{Bound, StoreTable, address, age, bytes, revisions};
pub(crate) use table::Problem;
use table::Table;
use waypost_agent::Resource;

use crate::access::{Access, Kind};

/// Whose files these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// waypost's: confd's keys and its own, and no others.
    Waypost,
    /// Those of confd up to 0.16.
    Confd016,
    /// Those of the fork at 0.41.
    Confd041,
}

impl Dialect {
    pub(crate) fn is_confd(self) -> bool {
        self != Dialect::Waypost
    }

    /// Whose functions its templates know.
    fn of_templates(self) -> waypost_template::Dialect {
        match self {
            Dialect::Waypost => waypost_template::Dialect::Waypost,
            Dialect::Confd016 => waypost_template::Dialect::Confd016,
            Dialect::Confd041 => waypost_template::Dialect::Confd041,
        }
    }
}

/// Where the configuration is, and how it is read.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// With `conf.d` and `templates`.
    pub(crate) directory: PathBuf,
    /// Put before the prefix and the keys of every resource; with confd 0.16, in the place of their prefix.
    pub(crate) prefix: String,
    pub(crate) dialect: Dialect,
    /// The main store's.
    pub(crate) kind: Kind,
    /// How long checks may run that do not say so; zero for no limit.
    pub(crate) check_timeout: Duration,
    /// Likewise for reloads.
    pub(crate) reload_timeout: Duration,
    /// Whether there may be no resource at all, since there is other work.
    pub(crate) may_be_empty: bool,
}

impl Settings {
    /// waypost's own, for `directory`.
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Settings {
        Settings {
            directory: directory.into(),
            prefix: String::new(),
            dialect: Dialect::Waypost,
            kind: Kind::Etcd3,
            check_timeout: Duration::from_secs(30),
            reload_timeout: Duration::from_secs(60),
            may_be_empty: false,
        }
    }
}

/// What the configuration directory says.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// In the order of their files' paths.
    pub(crate) resources: Vec<Resource>,
    /// The stores that resources have of their own. The first of them is the resources' store number 1; number
    /// 0 is the main one.
    pub(crate) backends: Vec<Access>,
    /// Files that confd cannot load; none but for confd.
    pub(crate) broken: Invalid,
    /// Files that confd can load, and whose resources fail; none but for confd.
    pub(crate) failing: Invalid,
    /// What is odd, and no obstacle.
    pub(crate) oddities: Vec<String>,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Default)]
pub(crate) struct Invalid(pub(crate) Vec<String>);

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

/// What `waypost.toml` says.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// The store that is to be served.
    pub(crate) store: Option<StoreTable>,
    /// The local API.
    pub(crate) api: Option<ApiTable>,
}

/// The tables of the file.
///
/// # Errors
///
/// [`Invalid`], with everything that is wrong.
pub(crate) fn tables(path: &Path) -> Result<Tables, Invalid> {
    let shown = path.display().to_string();
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let source = read(path).map_err(|why| Invalid(vec![why]))?;
    let around = store::Around {
        directory: path.parent().unwrap_or(Path::new("")),
        variable: &|name| std::env::var(name).ok(),
        file: &read,
    };
    let describe = |problem: &Problem| problem.describe(&shown, &source);
    read_tables(&source, &around).map_err(|problems| Invalid(problems.iter().map(describe).collect()))
}

fn read_tables(source: &str, around: &store::Around<'_>) -> Result<Tables, Vec<Problem>> {
    let mut root = Table::root(source)?;
    let store = store::read(&mut root, around);
    let api = api::read(&mut root, around.directory);
    root.finish();
    if root.problems.is_empty() { Ok(Tables { store, api }) } else { Err(root.problems) }
}

/// The tables of `waypost.toml` in the configuration directory; none without that file.
///
/// # Errors
///
/// As for [`tables`].
pub(crate) fn tables_in(directory: &Path) -> Result<Tables, Invalid> {
    let path = directory.join("waypost.toml");
    if path.exists() { tables(&path) } else { Ok(Tables::default()) }
}

impl Configuration {
    /// Reads the directory.
    ///
    /// # Errors
    ///
    /// [`Invalid`], with everything that is wrong. To confd only a directory that cannot be read is.
    pub(crate) fn load(settings: &Settings) -> Result<Configuration, Invalid> {
        let mut read = Configuration::look(settings, |_| true)?;
        read.oddities.extend(same_destinations(&read.resources));
        if settings.dialect.is_confd() { Ok(read) } else { read.flawless() }
    }

    /// Reads the files whose names below `conf.d` are meant, and goes on with what can be worked with,
    /// whoever's they are.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if the directory cannot be read.
    pub(crate) fn look(
        settings: &Settings,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Configuration, Invalid> {
        let conf_d = settings.directory.join("conf.d");
        let mut read = Configuration::default();
        let may_lack = settings.dialect.is_confd() || settings.may_be_empty;
        let files = match find(&conf_d) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_lack => Vec::new(),
            Err(error) => return Err(Invalid(vec![format!("{}: {error}", conf_d.display())])),
        };
        if files.is_empty() && !settings.may_be_empty {
            read.oddities.push(format!("{}: there is no *.toml file in it", conf_d.display()));
        }
        for path in files {
            let name = path.strip_prefix(&conf_d).unwrap_or(&path).display().to_string();
            if is_meant(&name) {
                read.add(&path, &name, settings);
            }
        }
        Ok(read)
    }

    /// Itself, if nothing is wrong or odd.
    fn flawless(mut self) -> Result<Configuration, Invalid> {
        let mut problems = std::mem::take(&mut self.broken.0);
        problems.append(&mut self.failing.0);
        problems.append(&mut self.oddities);
        if problems.is_empty() { Ok(self) } else { Err(Invalid(problems)) }
    }

    fn add(&mut self, path: &Path, name: &str, settings: &Settings) {
        let shown = path.display().to_string();
        let source = match fs::read_to_string(path) {
            Ok(source) => source,
            Err(error) => return self.broken.0.push(format!("{shown}: {error}")),
        };
        let describe = |problem: &Problem| problem.describe(&shown, &source);
        match resource::read(name, &source, settings) {
            Ok(read) => {
                self.oddities.extend(read.oddities.iter().map(describe));
                let store = read.backend.map_or(0, |backend| self.store(backend));
                self.resources.push(Resource { store, ..read.resource });
            }
            Err(problems) if problems.iter().any(Problem::is_load_error) => {
                self.broken.0.extend(problems.iter().map(describe));
            }
            Err(problems) => self.failing.0.extend(problems.iter().map(describe)),
        }
    }

    /// The number of the store; equal ones share it.
    fn store(&mut self, backend: Access) -> usize {
        let known = self.backends.iter().position(|known| *known == backend);
        1 + known.unwrap_or_else(|| {
            self.backends.push(backend);
            self.backends.len() - 1
        })
    }
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

/// All files below `directory` whose names end in `toml`, as confd picks them, by path. A link to a directory is
/// none: it may lead back.
fn find(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            found.extend(find(&path)?);
        } else if path.as_os_str().as_encoded_bytes().ends_with(b"toml") && !path.is_dir() {
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
        let found = Configuration::load(&Settings::new(directory.path())).unwrap();
        let names: Vec<&str> = found.resources.iter().map(|resource| &*resource.name).collect();
        assert_eq!(names, ["10/x.toml", "20.toml"]);
    }

    #[test]
    fn a_link_to_a_file_counts_and_one_to_a_directory_does_not() {
        let resource = "[template]\nsrc = \"a\"\ndest = \"/x\"\nkeys = [\"/a\"]\n";
        let directory = directory(&[("real/a.toml", resource)]);
        let conf_d = directory.path().join("conf.d");
        std::os::unix::fs::symlink(".", conf_d.join("back")).unwrap();
        std::os::unix::fs::symlink("real", conf_d.join("dir.toml")).unwrap();
        assert_eq!(find(&conf_d).unwrap(), [conf_d.join("real/a.toml")]);
        std::os::unix::fs::symlink("real/a.toml", conf_d.join("b.toml")).unwrap();
        assert_eq!(find(&conf_d).unwrap(), ["b.toml", "real/a.toml"].map(|name| conf_d.join(name)));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let directory = directory(&[
            ("a.toml", "[template]\nsrc = \"a\"\ndest = 5\nreload_cmnd = \"x\"\n"),
            ("b.toml", "[template\n"),
        ]);
        let error = Configuration::load(&Settings::new(directory.path())).unwrap_err().to_string();
        assert!(error.starts_with("the configuration has 3 errors\n"), "{error}");
        assert!(error.contains("a.toml:3:8: `dest` must be a string"), "{error}");
        assert!(error.contains("a.toml:4:1: unknown key `reload_cmnd`; is `reload_cmd` meant?"), "{error}");
        assert!(error.contains("b.toml:1:10: "), "{error}");
    }

    #[test]
    fn confd_works_on_with_what_it_can() {
        let good = "[template]\nsrc = \"a\"\ndest = \"/x\"\n";
        let directory = directory(&[
            ("a.toml", good),
            ("b.toml", "[template\n"),
            ("c.toml", &format!("{good}mode = \"rw\"\n")),
            ("d.toml", &format!("{good}unheard_of = 1\n")),
        ]);
        let settings = Settings { dialect: Dialect::Confd041, ..Settings::new(directory.path()) };
        let read = Configuration::load(&settings).unwrap();
        let names: Vec<&str> = read.resources.iter().map(|resource| &*resource.name).collect();
        assert_eq!(names, ["a.toml", "d.toml"]);
        assert!(read.broken.0.len() == 1 && read.broken.0[0].contains("b.toml:1"), "{:?}", read.broken);
        assert!(read.failing.0.len() == 1 && read.failing.0[0].contains("c.toml:4"), "{:?}", read.failing);
        assert!(read.oddities[0].contains("d.toml:4") && read.oddities[1].contains("both write /x"));
    }

    #[test]
    fn equal_backends_are_one_store() {
        let resource = |name: &str, node: &str| {
            let backend = format!("[backend]\nbackend = \"etcd\"\nnodes = [\"{node}\"]\n");
            format!("[template]\nsrc = \"a\"\ndest = \"/{name}\"\n{backend}")
        };
        let directory = directory(&[
            ("a.toml", &resource("a", "x:1")),
            ("b.toml", &resource("b", "y:1")),
            ("c.toml", &resource("c", "x:1")),
            ("d.toml", "[template]\nsrc = \"a\"\ndest = \"/d\"\n"),
        ]);
        let read = Configuration::load(&Settings::new(directory.path())).unwrap();
        let stores: Vec<usize> = read.resources.iter().map(|resource| resource.store).collect();
        assert_eq!((stores, read.backends.len()), (vec![1, 2, 1, 0], 2));
    }

    #[test]
    fn two_resources_with_one_destination_are_refused() {
        let resource = "[template]\nsrc = \"a\"\ndest = \"/x\"\n";
        let directory = directory(&[("a.toml", resource), ("b.toml", resource)]);
        let error = Configuration::load(&Settings::new(directory.path())).unwrap_err().to_string();
        assert!(error.ends_with("a.toml and b.toml both write /x"), "{error}");
    }
}
