//! The log, on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Level;

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
enum Detail {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Arguments {
    /// Sends what the program tells from here on to standard error.
    pub(crate) fn start(&self) {
        let level = match self.log_level {
            Detail::Error => Level::ERROR,
            Detail::Warn => Level::WARN,
            Detail::Info => Level::INFO,
            Detail::Debug => Level::DEBUG,
        };
        let log = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false);
        match self.log_format {
            Format::Text => log.init(),
            Format::Json => log.json().flatten_event(true).init(),
        }
    }
}
