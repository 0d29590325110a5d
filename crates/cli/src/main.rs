//! The binary `waypost`: flags, configuration, wiring, exit codes. No logic of its own.
//!
//! Exit codes: 0, everything is as it was asked for; 1, it is not, and standard error says why; 2, the
//! command line makes no sense. `announce` around a command ends with the command's.

mod access;
mod announce;
mod configuration;
mod demo;
mod duration;
mod embedded;
mod gateway;
mod host;
mod keep;
mod kv;
mod log;
mod render;
mod run;
mod store;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

/// Keeps load balancers and applications in step with a service registry.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    log: log::Arguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep files up to date with the registry, until told to stop
    Run(run::Arguments),
    /// Bring files up to date once, or show what that would change
    Render(render::Arguments),
    /// Register a service while its health check passes
    Announce(announce::Arguments),
    /// Read, write and watch keys
    Kv(kv::Arguments),
    /// Serve etcd's API from a file on this machine
    Store(embedded::Arguments),
    /// Show the whole arrangement on this machine
    Demo(demo::Arguments),
    #[command(hide = true)]
    DemoService(demo::ServiceArguments),
}

/// Any error that ends the program, on one or more lines.
type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.log.start();
    rustls::crypto::ring::default_provider().install_default().expect("nothing installed one before");
    let ended = match runtime(&arguments.command) {
        Ok(runtime) => runtime.block_on(command(arguments.command)),
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("waypost: {}", chain(&*error));
        ExitCode::FAILURE
    })
}

/// One thread is enough for all but the store, which serves many clients at once.
fn runtime(command: &Command) -> io::Result<Runtime> {
    let mut builder = match command {
        Command::Store(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

async fn command(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Render(arguments) => render::render(arguments).await,
        Command::Announce(arguments) => announce::announce(arguments).await,
        Command::Kv(arguments) => kv::kv(arguments).await,
        Command::Store(arguments) => embedded::store(arguments).await,
        Command::Demo(arguments) => demo::demo(arguments).await,
        Command::DemoService(arguments) => demo::service(arguments).await,
    }
}

/// An error and its causes on one line; a cause that the line ends with already is not said twice.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| {
        let cause = cause.to_string();
        if line.ends_with(&cause) { line } else { format!("{line}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
