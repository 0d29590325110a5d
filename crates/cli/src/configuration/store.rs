//! `waypost.toml`: the `[store]` table, with its users.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use waypost_store::{Limits, User};

use super::table::Table;
use crate::duration::duration;

const DEFAULT_PORT: u16 = 2379;

/// What the table says; what it leaves out is none.
#[derive(Debug, Default)]
pub(crate) struct StoreTable {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) insecure: bool,
    pub(crate) history_revisions: Option<Bound<u64>>,
    pub(crate) history_age: Option<Bound<Duration>>,
    pub(crate) limits: Limits,
    pub(crate) users: Vec<User>,
}

/// A bound that can be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound<T> {
    At(T),
    /// Written `all`.
    None,
}

impl<T> Bound<T> {
    pub(crate) fn get(self) -> Option<T> {
        match self {
            Bound::At(value) => Some(value),
            Bound::None => None,
        }
    }
}

/// Where the file's words lead: its directory, the environment, and other files.
pub(super) struct Around<'a> {
    /// What paths in it are relative to.
    pub(super) directory: &'a Path,
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) file: &'a dyn Fn(&Path) -> Result<String, String>,
}

/// Reads the table in `root`; none if there is none.
pub(super) fn read(root: &mut Table<'_>, around: &Around<'_>) -> Option<StoreTable> {
    let mut table = root.table("store")?;
    let read = store(&mut table, around);
    root.end(table);
    Some(read)
}

fn store(table: &mut Table<'_>, around: &Around<'_>) -> StoreTable {
    let mut path = |key| table.string(key).map(|path| around.directory.join(path.into_inner()));
    let (data_dir, cert, key, client_ca) = (path("data_dir"), path("cert"), path("key"), path("client_ca"));
    let listen = table.one_or_more("listen");
    let listen = listen.iter().filter_map(|text| parsed(table, "listen", text, address)).collect();
    let insecure = table.boolean("insecure").unwrap_or_default();
    let (mut history_revisions, mut history_age) = (None, None);
    if let Some(mut history) = table.table("history") {
        history_revisions = value(&mut history, "revisions", revisions);
        history_age = value(&mut history, "age", age);
        table.end(history);
    }
    let limits = limits(table);
    let users = users(table, around, client_ca.is_some());
    StoreTable {
        data_dir,
        listen,
        cert,
        key,
        client_ca,
        insecure,
        history_revisions,
        history_age,
        limits,
        users,
    }
}

fn limits(table: &mut Table<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut given) = table.table("limits") else { return limits };
    let mut number = |key, of: &mut usize| *of = value(&mut given, key, count).unwrap_or(*of);
    number("request", &mut limits.request);
    number("operations", &mut limits.operations);
    number("watches", &mut limits.watches);
    number("leases", &mut limits.leases);
    limits.size = value(&mut given, "size", bytes).unwrap_or(limits.size);
    limits.free = value(&mut given, "free", bytes).unwrap_or(limits.free);
    table.end(given);
    limits
}

fn users(table: &mut Table<'_>, around: &Around<'_>, has_certificates: bool) -> Vec<User> {
    let mut names = HashSet::new();
    let mut users = Vec::new();
    for mut given in table.tables("user") {
        let name = given.required("name");
        if let Some(name) = name.as_ref().filter(|name| !names.insert(name.get_ref().clone())) {
            given.problem(name.span(), format!("there is another user `{}`", name.get_ref()));
        }
        let user = User {
            name: name.map(Spanned::into_inner).unwrap_or_default(),
            password: password(&mut given, around, has_certificates).map(Into::into),
            read: given.strings("read"),
            write: given.strings("write"),
            admin: given.boolean("admin").unwrap_or_default(),
        };
        users.push(user);
        table.end(given);
    }
    users
}

fn password(user: &mut Table<'_>, around: &Around<'_>, has_certificates: bool) -> Option<String> {
    let (file, variable) = (user.string("password_file"), user.string("password_env"));
    let (place, password) = match (file, variable) {
        (Some(_), Some(variable)) => {
            user.problem(variable.span(), "give either `password_file` or `password_env`");
            return None;
        }
        (Some(file), None) => (
            file.span(),
            (around.file)(&around.directory.join(file.get_ref()))
                .map_err(|why| format!("`password_file`: {why}")),
        ),
        (None, Some(variable)) => {
            let unset = || format!("`password_env`: the variable {} is not set", variable.get_ref());
            (variable.span(), (around.variable)(variable.get_ref()).ok_or_else(unset))
        }
        (None, None) => {
            if !has_certificates {
                let message = "the user cannot log in: give `password_file` or `password_env`, or `client_ca` for \
                               certificates";
                user.problem(user.span(), message);
            }
            return None;
        }
    };
    let password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let password = password
        .and_then(|text| if text.is_empty() { Err("the password is empty".to_owned()) } else { Ok(text) });
    password.map_err(|why| user.problem(place, why)).ok()
}

fn value<T>(
    table: &mut Table<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = table.text_or_number(key)?;
    parsed(table, key, &text, parse)
}

pub(super) fn parsed<T>(
    table: &mut Table<'_>,
    key: &str,
    text: &Spanned<String>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    parse(text.get_ref()).map_err(|why| table.problem(text.span(), format!("`{key}`: {why}"))).ok()
}

/// An address to listen on; without a port it is etcd's.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    let of_this_host = |port: &str| Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.parse().ok()?));
    let named = text.strip_prefix("localhost:").and_then(of_this_host);
    let found = named.or_else(|| text.parse().ok());
    found.ok_or_else(|| {
        format!("`{text}` is no address to listen on; write it as 127.0.0.1:2379 or [::1]:2379")
    })
}

/// How many revisions are kept.
pub(crate) fn revisions(text: &str) -> Result<Bound<u64>, String> {
    if text == "all" {
        return Ok(Bound::None);
    }
    text.parse().map(Bound::At).map_err(|_| format!("`{text}` must be a number, or all"))
}

/// How long the past is kept.
pub(crate) fn age(text: &str) -> Result<Bound<Duration>, String> {
    if text == "all" { Ok(Bound::None) } else { duration(text).map(Bound::At) }
}

/// A number of bytes, with or without a unit.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let unit = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("`{text}` must be a number of bytes, such as 1048576 or 64MiB or 2GiB"))
}

fn count(text: &str) -> Result<usize, String> {
    let number = bytes(text)?;
    usize::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| "it must be 1 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::read_tables;

    #[test]
    fn what_the_docs_show_is_read() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/store.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        let examples = docs.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
        let users = examples.map(|example| read_with(example, Some("secret")).unwrap().unwrap().users.len());
        assert_eq!(users.collect::<Vec<_>>(), [0, 2]);
    }

    fn read_with(source: &str, password: Option<&str>) -> Result<Option<StoreTable>, Vec<String>> {
        let missing = |path: &Path| Err(format!("cannot read {}", path.display()));
        let around = Around {
            directory: Path::new("/c"),
            variable: &|_| None,
            file: &|path| password.map_or_else(|| missing(path), |password| Ok(password.to_owned())),
        };
        let tables = read_tables(source, &around);
        tables.map(|tables| tables.store).map_err(|problems| {
            problems.iter().map(|problem| problem.describe("waypost.toml", source)).collect()
        })
    }

    fn table(source: &str) -> StoreTable {
        read_with(source, Some("secret\n")).unwrap().expect("there is a table")
    }

    #[track_caller]
    fn assert_problems(source: &str, wanted: &[&str]) {
        let problems = read_with(source, None).unwrap_err();
        assert_eq!(problems.len(), wanted.len(), "{problems:?}");
        for (problem, wanted) in problems.iter().zip(wanted) {
            assert!(problem.starts_with(&format!("waypost.toml:{wanted}")), "{wanted}: {problem}");
        }
    }

    #[test]
    fn everything_can_be_said() {
        let store = table(
            "[store]\ndata_dir = \"data\"\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]\ncert = \"/x/c.pem\"\n\
             key = \"k.pem\"\nclient_ca = \"ca.pem\"\ninsecure = true\nhistory = { revisions = 5, age = \"1m30s\" }\n\
             limits = { request = \"2MiB\", size = 1000, leases = 7 }\n\
             [[store.user]]\nname = \"web\"\npassword_file = \"p\"\nread = [\"/test/\"]\nwrite = [\"/test/web\"]\n\
             [[store.user]]\nname = \"root\"\nadmin = true\n",
        );
        assert_eq!(store.data_dir.as_deref(), Some(Path::new("/c/data")));
        assert_eq!(store.cert.as_deref(), Some(Path::new("/x/c.pem")));
        assert_eq!(store.listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert!(store.insecure);
        assert_eq!(store.history_revisions, Some(Bound::At(5)));
        assert_eq!(store.history_age, Some(Bound::At(Duration::from_secs(90))));
        assert_eq!((store.limits.request, store.limits.size, store.limits.leases), (2 << 20, 1000, 7));
        let users: Vec<_> =
            store.users.iter().map(|user| (&*user.name, user.password.is_some(), user.admin)).collect();
        assert_eq!(users, [("web", true, false), ("root", false, true)]);
        assert_eq!(
            (&store.users[0].read[..], &store.users[0].write[..]),
            (&["/test/".to_owned()][..], &["/test/web".to_owned()][..])
        );
    }

    #[test]
    fn nothing_must_be_said() {
        let store = table("[store]\n");
        assert_eq!((store.listen.len(), store.users.len(), store.insecure), (0, 0, false));
        assert!(read_with("", None).unwrap().is_none(), "without the table there is no store");
    }

    #[test]
    fn history_can_be_kept_for_ever() {
        let store = table("[store.history]\nrevisions = \"all\"\nage = \"all\"\n");
        assert_eq!((store.history_revisions, store.history_age), (Some(Bound::None), Some(Bound::None)));
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        assert_problems(
            "[store]\nlisten = [\"127.0.0.1:1\", \"nowhere\"]\ninsecure = \"yes\"\ndatadir = \"x\"\n\
             history = { revisions = -1, ages = \"1h\" }\nlimits = { size = \"2 GB\", leases = 0 }\n\
             [stor]\n",
            &[
                "2:26: `listen`: `nowhere` is no address",
                "3:12: `insecure` must be true or false, not string",
                "4:1: unknown key `datadir`; is `data_dir` meant?",
                "5:25: `revisions`: `-1` must be a number, or all",
                "5:29: unknown key `ages`; is `age` meant?",
                "6:19: `size`: `2 GB` must be a number of bytes",
                "6:36: `leases`: it must be 1 or more",
                "7:2: unknown key `stor`; is `store` meant?",
            ],
        );
    }

    #[test]
    fn everything_wrong_with_users_is_told() {
        assert_problems(
            "[[store.user]]\nname = \"a\"\npassword_file = \"p\"\n[[store.user]]\nname = \"a\"\npassword_env = \"P\"\n\
             [[store.user]]\npassword_env = \"P\"\npassword_file = \"p\"\n[[store.user]]\nname = \"b\"\nreads = [\"/\"]\n",
            &[
                "3:17: `password_file`: cannot read /c/p",
                "5:8: there is another user `a`",
                "6:16: `password_env`: the variable P is not set",
                "7:1: `name` is missing",
                "8:16: give either `password_file` or `password_env`",
                "10:1: the user cannot log in",
                "12:1: unknown key `reads`; is `read` meant?",
            ],
        );
        assert_problems("store = { user = 5 }\n", &["1:18: `user` must be tables"]);
    }

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for (text, wanted) in [
            ("127.0.0.1", "127.0.0.1:2379"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("localhost:7", "127.0.0.1:7"),
            ("[::1]", "[::1]:2379"),
            ("::", "[::]:2379"),
        ] {
            assert_eq!(address(text), Ok(wanted.parse().unwrap()), "{text}");
        }
        for text in ["", ":2379", "host:1", "http://127.0.0.1:1", "127.0.0.1:99999"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_have_units_or_none() {
        assert_eq!((bytes("12"), bytes("2GiB"), bytes("3 KiB")), (Ok(12), Ok(2 << 30), Ok(3 << 10)));
        assert!(bytes("2GB").is_err() && bytes("").is_err() && bytes("99999999999TiB").is_err());
    }
}
