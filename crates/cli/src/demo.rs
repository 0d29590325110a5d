//! `waypost demo`: the whole arrangement on one machine; `waypost demo-service`: one of its services.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use futures::future;
use tokio::signal::unix::{SignalKind, signal};
use waypost_demo::{RegistryKind, Settings};
use waypost_model::{Endpoint, InvalidEndpoint};

use crate::Failed;
use crate::duration::duration;

/// Show the whole arrangement on this machine: a store, three services, announcers, agent and nginx.
///
/// Runs until Ctrl-C, and leaves no process and no file behind. nginx must be installed (Debian package nginx).
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Use etcd instead of waypost's own store: the one at this address, under a prefix of its own that is
    /// removed in the end, or without an address one that is started (Debian package etcd-server)
    #[arg(long, value_name = "ADDR", num_args = 0..=1, value_parser = etcd)]
    etcd: Option<Option<Endpoint>>,
    /// How long it takes from beginning to end [default: until Ctrl-C; with --script 30s]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Add, stop and kill services, kill agent and registry, and tell what was lost; exit code 0 only if
    /// nothing was lost that could be kept. Takes 15s or more
    #[arg(long)]
    script: bool,
}

/// One of the demo's services.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct ServiceArguments {
    /// What it calls itself
    name: String,
    /// Where it listens
    address: SocketAddr,
    /// End when standard input does, which is a pipe
    #[arg(long)]
    with_input: bool,
}

pub(crate) async fn demo(arguments: Arguments) -> Result<ExitCode, Failed> {
    let stop = stopped()?;
    let settings = Settings {
        program: std::env::current_exe()
            .map_err(|error| format!("cannot find the program that this is: {error}"))?,
        registry: match arguments.etcd {
            None => RegistryKind::Store,
            Some(None) => RegistryKind::Etcd,
            Some(Some(endpoint)) => RegistryKind::At(endpoint),
        },
        time: arguments.time,
        script: arguments.script,
        is_coloured: is_coloured(),
    };
    let summary = waypost_demo::run(&settings, &mut io::stdout(), stop).await?;
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) async fn service(arguments: ServiceArguments) -> Result<ExitCode, Failed> {
    let ServiceArguments { name, address, with_input } = arguments;
    let stopped = stopped()?;
    let stop = async {
        if with_input {
            future::select(Box::pin(stopped), Box::pin(waypost_demo::input_ended())).await;
        } else {
            stopped.await;
        }
    };
    waypost_demo::serve(&name, address, stop)
        .await
        .map_err(|error| format!("cannot serve on {address}: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// An etcd as it is given: `HOST:PORT`, or its URL. It has no users and no TLS.
fn etcd(text: &str) -> Result<Endpoint, InvalidEndpoint> {
    text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/').parse()
}

/// Ends on SIGTERM, SIGINT or SIGHUP, which a terminal sends when it is closed.
fn stopped() -> Result<impl Future<Output = ()>, Failed> {
    let mut signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
        .map(signal)
        .into_iter()
        .collect::<io::Result<Vec<_>>>()?;
    Ok(async move {
        future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    })
}

/// Source for NO_COLOR: no-color.org, "when present and not an empty string".
fn is_coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etcd_is_an_address_or_a_url_without_tls() {
        let endpoint = Endpoint::new("127.0.0.1", 2379);
        assert_eq!(etcd("127.0.0.1:2379"), Ok(endpoint.clone()));
        assert_eq!(etcd("http://127.0.0.1:2379/"), Ok(endpoint));
        assert!(etcd("https://127.0.0.1:2379").is_err());
    }
}
