//! The binary `waypost`: flags, configuration, wiring, exit codes. No logic of its own.
//!
//! Exit codes: 0, everything is as it was asked for; 1, it is not, and standard error says why; 2, the
//! command line makes no sense. `announce` and `discover` with a command end with the command's.

mod access;
mod announce;
mod check;
mod confd;
mod configuration;
mod demo;
mod discover;
mod duration;
mod embedded;
mod gateway;
mod host;
mod keep;
mod kv;
mod local;
mod log;
mod migrate;
mod outside;
mod render;
mod run;
mod store;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

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
    /// Look for what is wrong with the configuration and the templates
    Check(check::Arguments),
    /// Say what becomes of confd's files, resource by resource
    Migrate(migrate::Arguments),
    /// Register a service while its health check passes
    Announce(announce::Arguments),
    /// Find out where a service is, for shells and for programs that read their environment
    Discover(discover::Arguments),
    /// Read, write and watch keys
    Kv(kv::Arguments),
    /// Do what confd does, with confd's flags; the same as calling the program `confd`
    #[command(disable_help_flag = true)]
    Confd {
        /// confd's flags: see `waypost confd --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
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
    if let Some(words) = confd::words(std::env::args_os()) {
        return confd::main(&words);
    }
    let arguments = Arguments::parse();
    arguments.log.start();
    match arguments.command {
        // It serves many clients at once; for all else one thread is enough.
        command @ Command::Store(_) => {
            ended("waypost", Builder::new_multi_thread(), || self::command(command))
        }
        command => block_on("waypost", || self::command(command)),
    }
}

/// Works on one thread, and ends as the work did; `called` is what the program is called.
fn block_on<W: Future<Output = Result<ExitCode, Failed>>>(
    called: &str,
    work: impl FnOnce() -> W,
) -> ExitCode {
    ended(called, Builder::new_current_thread(), work)
}

fn ended<W: Future<Output = Result<ExitCode, Failed>>>(
    called: &str,
    mut builder: Builder,
    work: impl FnOnce() -> W,
) -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nothing installed one before");
    let ended = match builder.enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(work());
            // A template on a file system that hangs would keep the process for as long.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("{called}: {}", chain(&*error));
        ExitCode::FAILURE
    })
}

async fn command(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Render(arguments) => render::render(arguments).await,
        Command::Check(arguments) => check::check(arguments).await,
        Command::Migrate(arguments) => migrate::migrate(&arguments),
        Command::Announce(arguments) => announce::announce(arguments).await,
        Command::Discover(arguments) => discover::discover(arguments).await,
        Command::Kv(arguments) => kv::kv(arguments).await,
        Command::Store(arguments) => embedded::store(arguments).await,
        Command::Demo(arguments) => demo::demo(arguments).await,
        Command::DemoService(arguments) => demo::service(arguments).await,
        Command::Confd { .. } => unreachable!("its words are taken before"),
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
