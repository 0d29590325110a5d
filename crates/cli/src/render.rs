//! `waypost render`: one pass, or a look at what one would change.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use waypost_agent::{Log, Outcome, Resource, Settings};
use waypost_backend::View;
use waypost_model::Prefix;

use crate::run::Files;
use crate::{Failed, store};

/// One pass over all files.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: store::Arguments,
    /// Bring the files up to date once; exit code 1 if anything could not be done
    #[arg(long, conflicts_with = "dry_run", required_unless_present = "dry_run")]
    once: bool,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Colours in the output of --dry-run
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

pub(crate) async fn render(arguments: Arguments) -> Result<ExitCode, Failed> {
    let resources = arguments.files.configuration()?.resources;
    let store = arguments.store.open()?;
    if arguments.dry_run {
        return preview(&resources, &store, arguments.color).await;
    }
    let ledger = arguments.files.ledger()?;
    let outcome =
        waypost_agent::once(resources, store.backend, ledger, Settings::default(), Arc::new(Log)).await;
    Ok(match outcome.map_err(|failure| failure.to_string())? {
        Outcome::InSync => ExitCode::SUCCESS,
        Outcome::NotInSync => ExitCode::FAILURE,
    })
}

async fn preview(resources: &[Resource], store: &store::Store, colour: Colour) -> Result<ExitCode, Failed> {
    let prefixes = Prefix::minimal(resources.iter().flat_map(|resource| resource.keys.iter().cloned()));
    let view: View = store.backend.snapshot(&prefixes).await?.into();
    let mut code = ExitCode::SUCCESS;
    for resource in resources {
        match waypost_agent::preview(resource, &view) {
            Ok(difference) if difference.is_empty() => {}
            Ok(difference) => write!(io::stdout(), "{}", difference.unified(is_coloured(colour)))?,
            Err(failure) => {
                eprintln!("waypost: {}: {failure}", resource.name);
                eprintln!("{}", failure.detail);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Source for NO_COLOR: no-color.org, "when present and not an empty string".
fn is_coloured(colour: Colour) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}
