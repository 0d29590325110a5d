//! `waypost announce`: registers a service while its health check passes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use waypost_announce::{AddressSource, CommandLine, HealthCheck, HttpCheck, Settings};
use waypost_model::{Endpoint, Instance, Key, clean_path};

use crate::duration::duration;
use crate::{Failed, store};

/// Register `PREFIX/NAME = HOST:PORT` while the health check passes; with more to tell, a JSON object.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What the instance is called: with slashes, such as db/1, the service and its instance
    name: String,
    /// The port that the service listens on
    #[arg(long, short)]
    port: u16,
    /// Where the service's instances are registered
    #[arg(long, default_value = "/services", env = "WAYPOST_PREFIX")]
    prefix: String,
    /// The address that others connect to [default: the one that leads to the registry]
    #[arg(long, conflicts_with = "interface")]
    address: Option<String>,
    /// The interface whose address others connect to
    #[arg(long)]
    interface: Option<String>,
    /// `tcp`, `http:/PATH`, or `none`
    #[arg(long, value_name = "CHECK", default_value = "tcp")]
    check: Check,
    /// From one check to the next
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    interval: Duration,
    /// How long a check may take
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    timeout: Duration,
    /// How many passed checks in a row make it healthy
    #[arg(long, value_name = "N", default_value_t = 2)]
    rise: u32,
    /// How many failed checks in a row make it unhealthy
    #[arg(long, value_name = "N", default_value_t = 3)]
    fall: u32,
    /// How long the key outlives a crash
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    ttl: Duration,
    /// How long an unreachable registry may hold up the end
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    stop_timeout: Duration,
    #[command(flatten)]
    description: Description,
    #[command(flatten)]
    store: store::Arguments,
    /// The command that serves: it is started, told of signals, and its exit code is kept
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// What is told beside the address.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Description")]
struct Description {
    /// What it is among its kind, such as primary or replica
    #[arg(long)]
    role: Option<String>,
    /// Where it stands, such as a data centre
    #[arg(long)]
    zone: Option<String>,
    /// Its share of the work beside the others; with 0 it gets no new work
    #[arg(long, value_name = "N", default_value_t = 1)]
    weight: u32,
    /// A word that describes it; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Anything else, such as user=app; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// The same with the content of a file, for what is not to stand on a command line; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    meta_file: Vec<(String, String)>,
}

/// Fields of a record that are not anybody's own.
const RESERVED: [&str; 9] = ["id", "address", "host", "port", "weight", "role", "zone", "tags", "meta"];

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is missing: write it as NAME=VALUE".to_owned());
    }
    if RESERVED.contains(&name) {
        return Err(format!("`{name}` has a meaning of its own: take another name, or the flag for it"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl Description {
    /// The instance at `endpoint`.
    fn of(self, endpoint: Endpoint) -> Result<Instance, Failed> {
        let Description { role, zone, weight, tag, meta, meta_file } = self;
        let mut all = BTreeMap::new();
        let mut tell = |name: String, value: String| match all.insert(name.clone(), value) {
            Some(_) => Err(format!("`{name}` is told twice by --meta or --meta-file")),
            None => Ok(()),
        };
        for (name, value) in meta {
            tell(name, value)?;
        }
        for (name, path) in meta_file {
            tell(name, content(Path::new(&path))?)?;
        }
        Ok(Instance { weight, role, zone, tags: tag, meta: all, ..Instance::new("", endpoint) })
    }
}

/// A file's text without the line end at its end.
fn content(path: &Path) -> Result<String, Failed> {
    let text = String::from_utf8(store::read(path)?);
    let text = text.map_err(|_| format!("{} is no UTF-8 text", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    None,
    Tcp,
    Http(String),
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Check, String> {
        match (text, text.strip_prefix("http:")) {
            ("none", _) => Ok(Check::None),
            ("tcp", _) => Ok(Check::Tcp),
            (_, Some(path)) if path.starts_with('/') => Ok(Check::Http(path.to_owned())),
            _ => Err("it must be tcp, http:/PATH or none".to_owned()),
        }
    }
}

pub(crate) async fn announce(arguments: Arguments) -> Result<ExitCode, Failed> {
    let store = arguments.store.open()?;
    let registry = store.registry()?;
    let source = match (arguments.address, arguments.interface) {
        (Some(address), _) => AddressSource::Given(address),
        (None, Some(interface)) => AddressSource::Interface(interface),
        (None, None) => AddressSource::Route,
    };
    let host = waypost_announce::announced_host(&source, &store.endpoints).await?;
    let endpoint = Endpoint::new(host, arguments.port);
    let key = Key::new(clean_path(&format!("{}/{}", arguments.prefix, arguments.name)).into_owned())?;
    let mut command = arguments.command.into_iter();
    let program = command.next();
    let settings = Settings {
        ttl: arguments.ttl,
        check: match arguments.check {
            Check::None => HealthCheck::None,
            Check::Tcp => HealthCheck::Tcp(endpoint.clone()),
            Check::Http(path) => HealthCheck::Http(HttpCheck::new(endpoint.clone(), path)),
        },
        interval: arguments.interval,
        timeout: arguments.timeout,
        rise: arguments.rise,
        fall: arguments.fall,
        command: program.map(|program| CommandLine { program, arguments: command.collect() }),
        stop_timeout: arguments.stop_timeout,
        instance: arguments.description.of(endpoint.clone())?,
        ..Settings::new(key, endpoint)
    };
    let signals = waypost_announce::signals()?;
    match waypost_announce::announce(registry, settings, signals, |_| ()).await {
        Ok(outcome) => Ok(outcome.exit_code.into()),
        Err(waypost_announce::Error::Command(error)) => {
            eprintln!("waypost: {}", crate::chain(&error));
            Ok(error.exit_code().into())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn checks_are_read_as_they_are_written() {
        assert_eq!("tcp".parse(), Ok(Check::Tcp));
        assert_eq!("http:/health?full".parse(), Ok(Check::Http("/health?full".to_owned())));
        assert!("http:health".parse::<Check>().is_err() && "ping".parse::<Check>().is_err());
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        description: Description,
    }

    fn value(words: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from([&["x"], words].concat()).map_err(|error| error.to_string())?;
        let instance = line.description.of(Endpoint::new("h", 1)).map_err(|error| error.to_string())?;
        Ok(instance.to_value().as_text().unwrap().to_owned())
    }

    #[test]
    fn an_instance_with_no_more_to_tell_is_its_address_and_another_an_object() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "p=1\n").unwrap();
        let file = format!("password={}", file.display());
        assert_eq!(value(&[]), Ok("h:1".to_owned()));
        let words = ["--role", "primary", "--zone", "a", "--weight", "0", "--tag", "ssd", "--tag", "new"];
        let meta = ["--meta", "user=app", "--meta", "options=a=b", "--meta-file", &file];
        assert_eq!(
            value(&[&words[..], &meta].concat()).unwrap(),
            "{\"address\":\"h:1\",\"options\":\"a=b\",\"password\":\"p=1\",\"role\":\"primary\",\
             \"tags\":[\"ssd\",\"new\"],\"user\":\"app\",\"weight\":0,\"zone\":\"a\"}"
        );
    }

    #[test]
    fn what_is_told_twice_or_under_a_name_with_a_meaning_is_refused() {
        assert!(value(&["--meta", "a=1", "--meta", "a=2"]).unwrap_err().contains("told twice"));
        assert!(value(&["--meta", "role=x"]).unwrap_err().contains("meaning of its own"));
        for wrong in ["user", "=x"] {
            assert!(value(&["--meta", wrong]).unwrap_err().contains("NAME=VALUE"), "{wrong}");
        }
        let missing = value(&["--meta-file", "a=/nowhere/at/all"]).unwrap_err();
        assert!(missing.starts_with("cannot read /nowhere/at/all"), "{missing}");
    }
}
