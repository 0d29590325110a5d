//! `waypost.toml`: the `[api]` table.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::Spanned;
use waypost_status::api::loopback;

use super::Dialect;
use super::resource::parse_mode;
use super::store::parsed;
use super::table::Table;

/// Where the socket is if nobody says otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/waypost/api.sock";

/// What the table says, with what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiTable {
    pub(crate) socket: PathBuf,
    /// The group's name; none for `waypost`, if there is such a group.
    pub(crate) group: Option<String>,
    pub(crate) mode: u32,
    pub(crate) listen: Option<SocketAddr>,
    /// The root of all services.
    pub(crate) services: String,
    /// The prefixes that are served besides.
    pub(crate) keys: Vec<String>,
    /// Whether the main store holds secrets.
    pub(crate) secret: bool,
}

/// Reads the table in `root`; none if there is none. Paths are relative to `directory`.
pub(super) fn read(root: &mut Table<'_>, directory: &Path) -> Option<ApiTable> {
    let mut table = root.table("api")?;
    let read = api(&mut table, directory);
    root.end(table);
    Some(read)
}

fn api(table: &mut Table<'_>, directory: &Path) -> ApiTable {
    let socket = table.given("socket");
    let socket = directory.join(socket.map_or(DEFAULT_SOCKET.to_owned(), Spanned::into_inner));
    let group = table.given("group").map(Spanned::into_inner);
    let mode = table.given("mode").and_then(|text| parsed(table, "mode", &text, mode)).unwrap_or(0o660);
    let listen = table.given("listen").and_then(|text| parsed(table, "listen", &text, listen));
    let services = table.given("services").and_then(|text| parsed(table, "services", &text, prefix));
    let keys = table.one_or_more("keys");
    let keys = keys.iter().filter_map(|text| parsed(table, "keys", text, prefix)).collect();
    let secret = table.boolean("secret").unwrap_or_default();
    let services = services.unwrap_or_else(|| "/services".to_owned());
    ApiTable { socket, group, mode, listen, services, keys, secret }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = parse_mode(text, Dialect::Waypost).filter(|mode| mode & !0o777 == 0);
    mode.ok_or_else(|| "it must be permission bits such as \"0660\"".to_owned())
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let local = text.replacen("localhost:", "127.0.0.1:", 1);
    let address = local.parse();
    let address =
        address.map_err(|_| format!("`{text}` is no address with a port, such as 127.0.0.1:7979"))?;
    loopback(address).map(|()| address)
}

fn prefix(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("it must begin with a slash".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::super::read_tables;
    use super::super::store::Around;
    use super::*;

    fn read(source: &str) -> Result<Option<ApiTable>, Vec<String>> {
        let around =
            Around { directory: Path::new("/c"), variable: &|_| None, file: &|_| Err(String::new()) };
        let problem = |problem: &super::super::Problem| problem.describe("waypost.toml", source);
        let tables = read_tables(source, &around);
        tables.map(|tables| tables.api).map_err(|problems| problems.iter().map(problem).collect())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let wanted = ApiTable {
            socket: "/run/waypost/api.sock".into(),
            group: None,
            mode: 0o660,
            listen: None,
            services: "/services".to_owned(),
            keys: Vec::new(),
            secret: false,
        };
        assert_eq!(read("[api]\n"), Ok(Some(wanted)));
        assert_eq!(read("[store]\n"), Ok(None));
    }

    #[test]
    fn everything_can_be_said() {
        let source = "[api]\nsocket = \"run/a.sock\"\ngroup = \"www-data\"\nmode = \"0600\"\nsecret = true\n\
                      listen = \"localhost:7979\"\nservices = \"/test\"\nkeys = [\"/app\", \"/shop\"]\n[store]\n";
        let wanted = ApiTable {
            socket: "/c/run/a.sock".into(),
            group: Some("www-data".to_owned()),
            mode: 0o600,
            listen: Some("127.0.0.1:7979".parse().unwrap()),
            services: "/test".to_owned(),
            keys: vec!["/app".to_owned(), "/shop".to_owned()],
            secret: true,
        };
        assert_eq!(read(source), Ok(Some(wanted)));
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let source = "[api]\nsockt = \"x\"\nmode = \"rw\"\nlisten = \"0.0.0.0:79\"\nkeys = [\"/app\", \"shop\"]\n\
                      secret = \"yes\"\nservices = \"test\"\n[app]\n";
        let problems = read(source).unwrap_err();
        for (problem, wanted) in problems.iter().zip([
            "2:1: unknown key `sockt`; is `socket` meant?",
            "3:8: `mode`: it must be permission bits",
            "4:10: `listen`: the local API knows no users: it is served on loopback only",
            "5:17: `keys`: it must begin with a slash",
            "6:10: `secret` must be true or false, not string",
            "7:12: `services`: it must begin with a slash",
            "8:2: unknown key `app`; is `api` meant?",
        ]) {
            assert!(problem.starts_with(&format!("waypost.toml:{wanted}")), "{wanted}: {problem}");
        }
        assert_eq!(problems.len(), 7, "{problems:?}");
    }

    #[test]
    fn what_the_docs_show_is_read() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        let examples = docs.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
        let read = examples.map(|example| read(example).unwrap().is_some()).collect::<Vec<_>>();
        assert!(!read.is_empty() && read.iter().all(|is_there| *is_there), "{read:?}");
    }
}
