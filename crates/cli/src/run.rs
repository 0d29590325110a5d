//! `waypost run`: keeps files up to date until told to stop; HUP reads the configuration again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use waypost_agent::{Ledger, Settings};

use crate::configuration::{self, ApiTable, Configuration, Invalid, Tables};
use crate::duration::duration;
use crate::embedded::Plan;
use crate::host::{default_state_dir, stopped};
use crate::keep::{Again, Keeping, keep};
use crate::outside::{Outside, Told};
use crate::{Failed, local, store};

/// What to keep up to date, and where the agent keeps its own state.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Files {
    /// The directory with conf.d/ and templates/, and waypost.toml if there is one
    #[arg(long, value_name = "DIR", default_value = "/etc/waypost", env = "WAYPOST_CONFDIR")]
    confdir: PathBuf,
    /// Put before the prefix and the keys of every resource
    #[arg(long, default_value = "", hide_default_value = true, env = "WAYPOST_PREFIX")]
    prefix: String,
    /// Where to remember what was written and what is running [default: /var/lib/waypost for root,
    /// else $XDG_STATE_HOME/waypost]
    #[arg(long, value_name = "DIR", env = "WAYPOST_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl Files {
    /// Reads all resources.
    pub(crate) fn configuration(&self) -> Result<Configuration, Failed> {
        Ok(self.load(false)?)
    }

    /// Reads all resources, and what is to be served beside the agent: with the local API there need be none.
    fn with_tables(&self) -> Result<(Configuration, Tables), Failed> {
        let tables = configuration::tables_in(&self.confdir);
        let has_api = tables.as_ref().is_ok_and(|tables| tables.api.is_some());
        Ok(configuration::both(self.load(has_api), tables)?)
    }

    fn load(&self, may_be_empty: bool) -> Result<Configuration, Invalid> {
        let settings = configuration::Settings {
            prefix: self.prefix.clone(),
            may_be_empty,
            ..configuration::Settings::new(&self.confdir)
        };
        Configuration::load(&settings)
    }

    pub(crate) fn ledger(&self) -> Result<Arc<Ledger>, Failed> {
        let directory = match &self.state_dir {
            Some(directory) => directory.clone(),
            None => default_state_dir("--state-dir")?,
        };
        Ok(Arc::new(Ledger::open(&directory)?))
    }
}

/// Keep files up to date.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: store::Arguments,
    #[command(flatten)]
    pace: Pace,
    /// Serve /metrics, /health, /ready and /ready/detailed at this address, such as 127.0.0.1:9100
    #[arg(long, value_name = "ADDRESS", env = "WAYPOST_METRICS_ADDR")]
    metrics_addr: Option<String>,
}

/// How the agent waits.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Pace")]
pub(crate) struct Pace {
    /// How often everything is read and every file looked at, whatever the watch says
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    interval: Duration,
    /// How often the registry is asked whether the watch missed something
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    audit_interval: Duration,
    /// How long a registry that went back, or is another one, is given to be complete again
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    settle: Duration,
    /// The longest pause before something that failed is tried again
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    retry_max: Duration,
    /// How long the keys of a resource must be quiet before a change is applied, if it does not say so itself
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    debounce: Duration,
    /// How long changes are collected before they are applied
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    batch_interval: Duration,
    /// How long what is under way may take on SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    shutdown_timeout: Duration,
}

impl Pace {
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings {
            settle: self.settle,
            refresh_every: self.interval,
            stop_within: self.shutdown_timeout,
            debounce: self.debounce,
            batch: self.batch_interval,
            ..Settings::default()
        };
        settings.retry = (settings.retry.0.min(self.retry_max), self.retry_max);
        settings.mirror.retry.1 = settings.mirror.retry.1.min(self.retry_max);
        settings.mirror.reread_every = self.interval;
        settings.mirror.audit_every = self.audit_interval;
        settings
    }
}

impl Arguments {
    /// systemd is told if it wants to be: with `Type=notify` it says where.
    fn told(&self) -> Told {
        let systemd = std::env::var_os("NOTIFY_SOCKET").is_some();
        Told { systemd, metrics: self.metrics_addr.clone(), ..Told::default() }
    }

    fn keeping(&self, configuration: Configuration) -> Result<Keeping, Failed> {
        let stores = self.store.open()?.with(&configuration)?;
        Ok(Keeping {
            resources: configuration.resources,
            stores,
            settings: self.pace.settings(),
            refused: Vec::new(),
        })
    }

    /// What takes the place of what is kept; what is served beside it stays, `api` among it.
    fn keeping_again(&self, api: Option<&ApiTable>) -> Result<Keeping, Failed> {
        let (configuration, tables) = self.files.with_tables()?;
        local::compare(api, tables.api.as_ref());
        self.keeping(configuration)
    }

    async fn serve(&self, api: Option<&ApiTable>) -> Result<Option<waypost_status::api::Serving>, Failed> {
        let Some(table) = api else { return Ok(None) };
        let backend = self.store.open()?.backend;
        Ok(Some(local::serve(table, backend, &self.pace.settings()).await?))
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failed> {
    let (configuration, tables) = arguments.files.with_tables()?;
    let keeping = arguments.keeping(configuration)?;
    let ledger = arguments.files.ledger()?;
    let (stop, again) = (stopped()?, Again::new(None)?);
    let serving = match tables.store {
        Some(table) => Some(Plan::of(table)?.serve().await?),
        None => None,
    };
    let mut failure = None;
    let stop = async {
        match &serving {
            Some(serving) => failure = serving.until(stop).await,
            None => stop.await,
        }
    };
    let ran = async {
        let outside = Outside::open(&arguments.told()).await?;
        let api = arguments.serve(tables.api.as_ref()).await?;
        let load = || arguments.keeping_again(tables.api.as_ref());
        let kept = keep(keeping, load, again, ledger, outside, stop).await;
        if let Some(api) = api {
            api.stop().await;
        }
        kept
    };
    let ran = ran.await;
    // The agent is first to go: until then it has its registry.
    let closed = match serving {
        Some(serving) => serving.stop().await,
        None => Ok(()),
    };
    ran?;
    match failure {
        Some(why) => Err(why.into()),
        None => closed.map(|()| ExitCode::SUCCESS),
    }
}
