//! `waypost render`: one pass, or a look at what one would change.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use waypost_agent::{Log, Outcome, Resource, Settings};
use waypost_backend::{Backend, View};
use waypost_model::Prefix;

use crate::keep::Keeping;
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

/// How many unchanged lines stand around a change.
const CONTEXT: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

pub(crate) async fn render(arguments: Arguments) -> Result<ExitCode, Failed> {
    let configuration = arguments.files.configuration()?;
    let stores = arguments.store.open()?.with(&configuration)?;
    let resources = configuration.resources;
    if arguments.dry_run {
        return preview(&resources, &stores, arguments.color).await;
    }
    let keeping = Keeping { resources, stores, settings: Settings::default(), refused: Vec::new() };
    let outcome = waypost_agent::once(keeping.setup(arguments.files.ledger()?, Arc::new(Log))).await;
    Ok(match outcome.map_err(|failure| failure.to_string())? {
        Outcome::InSync => ExitCode::SUCCESS,
        Outcome::NotInSync => ExitCode::FAILURE,
    })
}

async fn preview(
    resources: &[Resource],
    stores: &[Arc<dyn Backend>],
    colour: Colour,
) -> Result<ExitCode, Failed> {
    let mut views: Vec<View> = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let of = resources.iter().filter(|resource| resource.store == number);
        let prefixes = Prefix::minimal(of.flat_map(|resource| resource.keys.iter().cloned()));
        views.push(store.snapshot(&prefixes).await?.into());
    }
    let mut code = ExitCode::SUCCESS;
    for resource in resources {
        if resource.content.template().is_none() {
            for (key, reason) in waypost_agent::trial(resource, &views[resource.store]).refused {
                eprintln!("waypost: {}: {key} is left out: {reason}", resource.name);
            }
        }
        match waypost_agent::preview(resource, &views[resource.store]) {
            Ok(difference) if difference.is_empty() => {}
            Ok(difference) => write!(io::stdout(), "{}", difference.unified(CONTEXT, is_coloured(colour)))?,
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
