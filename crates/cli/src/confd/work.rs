//! What confd does once it knows what is asked of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use waypost_agent::{Ledger, LedgerError, Outcome};
use waypost_backend::{Backend, Patient, srv};

use super::options::{Options, Task};
use super::{Generation, code, look};
use crate::Failed;
use crate::configuration::Configuration;
use crate::host::{default_state_dir, stopped};
use crate::keep::{Again, Keeping, keep};
use crate::outside::Outside;

/// Does what is asked.
pub(super) async fn work(mut options: Options) -> Result<ExitCode, Failed> {
    if let Some(record) = &options.srv {
        options.access = options.access.with_nodes(nodes(record).await?);
    }
    match options.task {
        Task::Once { waits } => once(&options, waits).await,
        Task::Interval(every) => {
            // As confd does, which reads conf.d at each interval: files that come or go are taken up.
            go_on(&options, Again::new(Some((every, options.configuration.directory.join("conf.d"))))?).await
        }
        Task::Watch(_) => go_on(&options, Again::new(None)?).await,
        Task::CheckConfig => look::check_config(&options),
        Task::Preflight(within) => look::preflight(&options, within).await,
        Task::Validate(ref mock) => look::validate(&options, mock.as_deref()).await,
    }
}

/// The nodes that a record of DNS names.
async fn nodes(record: &str) -> Result<Vec<String>, Failed> {
    let nodes: Vec<String> = srv::look_up(record).await?.iter().map(srv::Server::node).collect();
    if nodes.is_empty() {
        return Err(format!("DNS has no SRV record {record}: the backend cannot be found").into());
    }
    tracing::info!(record, ?nodes, "found the backend in DNS");
    Ok(nodes)
}

/// A configuration with its stores, and whether all of it can be worked on.
struct Loaded {
    keeping: Keeping,
    is_whole: bool,
}

/// Reads the configuration, and tells what is wrong with it. `is_strict` makes a file that cannot be loaded the
/// end, as it is to both generations in a single pass.
fn load(options: &Options, is_strict: bool) -> Result<Loaded, Failed> {
    let mut configuration = Configuration::load(&options.configuration)?;
    for oddity in &configuration.oddities {
        tracing::warn!("{oddity}");
    }
    if let Some(name) = &options.resource {
        configuration.resources.retain(|resource| is_named(&resource.name, name));
        if configuration.resources.is_empty() {
            return Err(format!("there is no resource `{name}` that can be worked on").into());
        }
    }
    let stores = stores(options, &mut configuration)?;
    let broken = &configuration.broken.0;
    if is_strict && !broken.is_empty() {
        return Err(std::mem::take(&mut configuration.broken).into());
    }
    let refused = [&**broken, &*configuration.failing.0].concat();
    for problem in &refused {
        tracing::error!("{problem}");
    }
    let is_whole = refused.is_empty();
    let settings = options.settings.clone();
    let keeping = Keeping { resources: configuration.resources, stores, settings, refused };
    Ok(Loaded { keeping, is_whole })
}

/// A resource is named by its file below `conf.d`, with or without `.toml`.
pub(crate) fn is_named(file: &str, name: &str) -> bool {
    file == name
        || file.strip_suffix(".toml") == Some(name)
        || Path::new(file).file_name() == Some(name.as_ref())
}

/// The main store, and those of resources. One that cannot be opened fails its resources only.
fn stores(options: &Options, configuration: &mut Configuration) -> Result<Vec<Arc<dyn Backend>>, Failed> {
    let mut stores = vec![options.access.open()?];
    let mut places = vec![Some(0)];
    for access in &configuration.backends {
        match access.clone().with_manner_of(&options.access).open() {
            Ok(store) => {
                places.push(Some(stores.len()));
                stores.push(store);
            }
            Err(error) => {
                places.push(None);
                configuration.failing.0.push(crate::chain(&*error));
            }
        }
    }
    let mut resources = std::mem::take(&mut configuration.resources);
    resources.retain_mut(|resource| {
        let place = places[resource.store];
        resource.store = place.unwrap_or_default();
        place.is_some()
    });
    configuration.resources = resources;
    Ok(stores)
}

async fn once(options: &Options, waits: bool) -> Result<ExitCode, Failed> {
    let Loaded { mut keeping, is_whole } = load(options, true)?;
    let (ledger, outside) = (ledger(options)?, Outside::open(&options.told).await?);
    outside.configured(&keeping.resources, &keeping.refused);
    let outcome = if waits {
        waypost_agent::settle(keeping.setup(ledger, outside), stopped()?).await
    } else {
        keeping.stores = patient(options, keeping.stores)?;
        waypost_agent::once(keeping.setup(ledger, outside)).await
    };
    code(outcome.map_err(|failure| failure.to_string())? == Outcome::InSync && is_whole)
}

pub(super) fn patient(
    options: &Options,
    stores: Vec<Arc<dyn Backend>>,
) -> Result<Vec<Arc<dyn Backend>>, Failed> {
    let (attempts, base, cap) = options.attempts;
    let timeout = options.access.timeout()?.unwrap_or(Duration::from_secs(30));
    let patient = |store| Arc::new(Patient::new(store, attempts, (base, cap), timeout)) as Arc<dyn Backend>;
    Ok(stores.into_iter().map(patient).collect())
}

async fn go_on(options: &Options, again: Again) -> Result<ExitCode, Failed> {
    // The new generation works on without a file that it cannot load; the old one ends.
    let is_strict = options.generation == Generation::Old;
    let stop = stopped()?;
    let first = load(options, is_strict)?.keeping;
    let load = || Ok(load(options, is_strict)?.keeping);
    let outside = Outside::open(&options.told).await?;
    keep(first, load, again, ledger(options)?, outside, stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Where confd keeps nothing, waypost remembers which reloads are owed: each configuration directory has a
/// place of its own. Where that cannot be written, or another confd works on the same directory, it is
/// remembered for as long as the process lives.
fn ledger(options: &Options) -> Result<Arc<Ledger>, Failed> {
    if options.settings.policy.noop {
        return Ok(Arc::new(Ledger::in_memory()));
    }
    if let Some(directory) = &options.state_dir {
        return Ok(Arc::new(Ledger::open(directory)?));
    }
    let opened = state_dir(&options.configuration.directory).map(|directory| Ledger::open(&directory));
    Ok(Arc::new(match opened {
        Ok(Ok(ledger)) => ledger,
        Ok(Err(error)) => {
            let is_shared = matches!(error, LedgerError::InUse { .. });
            let why = if is_shared {
                "another confd works on the same directory".into()
            } else {
                crate::chain(&error)
            };
            tracing::warn!(why, "a reload that is owed will not be remembered over a restart");
            Ledger::in_memory()
        }
        Err(error) => {
            tracing::warn!(why = %error, "a reload that is owed will not be remembered over a restart");
            Ledger::in_memory()
        }
    }))
}

fn state_dir(confdir: &Path) -> Result<PathBuf, Failed> {
    let absolute = std::path::absolute(confdir)?;
    let name = absolute.to_string_lossy().trim_matches('/').replace('/', "-");
    Ok(default_state_dir("--state-dir")?.join("confd").join(name))
}
