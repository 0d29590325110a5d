//! `waypost announce`: registers a service while its health check passes.

use std::ffi::OsString;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use waypost_announce::{AddressSource, CommandLine, HealthCheck, HttpCheck, Settings};
use waypost_model::{Endpoint, Key, clean_path};

use crate::duration::duration;
use crate::{Failed, store};

/// Register `PREFIX/NAME = HOST:PORT` while the health check passes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What the instance is called
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
    store: store::Arguments,
    /// The command that serves: it is started, told of signals, and its exit code is kept
    #[arg(last = true)]
    command: Vec<OsString>,
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
    use super::*;

    #[test]
    fn checks_are_read_as_they_are_written() {
        assert_eq!("tcp".parse(), Ok(Check::Tcp));
        assert_eq!("http:/health?full".parse(), Ok(Check::Http("/health?full".to_owned())));
        assert!("http:health".parse::<Check>().is_err() && "ping".parse::<Check>().is_err());
    }
}
