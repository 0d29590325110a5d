//! The log, on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// What to log: this and everything graver
    #[arg(long, global = true, value_enum, default_value_t = Detail::Info, env = "WAYPOST_LOG_LEVEL")]
    log_level: Detail,
    /// Lines for people or for machines
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, env = "WAYPOST_LOG_FORMAT")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Detail {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Arguments {
    /// Sends what the program tells from here on to standard error.
    pub(crate) fn start(&self) {
        start(self.log_level, self.log_format);
    }
}

/// Sends what the program tells from here on to standard error.
pub(crate) fn start(detail: Detail, format: Format) {
    let level = match detail {
        Detail::Error => Level::ERROR,
        Detail::Warn => Level::WARN,
        Detail::Info => Level::INFO,
        Detail::Debug => Level::DEBUG,
    };
    // What the libraries below tell at the finer levels would drown it, and their frames hold values.
    let ours = Targets::new().with_target("waypost", level).with_default(level.min(Level::WARN));
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let log = match format {
        Format::Text => log.boxed(),
        Format::Json => log.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(log.with_filter(ours)).init();
}
