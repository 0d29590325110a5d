//! confd's modes that only look: `--check-config`, `--validate`, `--preflight`.
//!
//! What is wrong goes to standard output, each with its place; the exit code is 1 if anything is. What works
//! and cannot be meant, such as two resources with one destination, is a warning here, since confd works on.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use waypost_agent::Resource;
use waypost_backend::Backend;
use waypost_model::Prefix;

use super::options::Options;
use super::{code, work};
use crate::Failed;
use crate::access::Access;
use crate::check::{self, Findings, Looked, Origin, Values, counted, render};

/// `--check-config`: the files alone, without a backend.
pub(super) fn check_config(options: &Options) -> Result<ExitCode, Failed> {
    let Looked { resources, findings, .. } =
        check::look(&options.configuration, options.resource.as_deref())?;
    let mut findings = findings.lenient();
    findings.print(false)?;
    let (errors, _) = findings.count();
    if errors == 0 {
        println!("{}: ok", counted(resources.len(), "resource"));
    }
    code(errors == 0)
}

/// `--validate`: every template is rendered, from the backends or from the keys in `mock`.
pub(super) async fn validate(options: &Options, mock: Option<&Path>) -> Result<ExitCode, Failed> {
    let Looked { resources, backends, mut findings } =
        check::load(&options.configuration, options.resource.as_deref())?;
    let values = match mock {
        Some(path) => Values::mock(path).await?,
        None => {
            let stores = stores(options, &resources, &backends)?;
            Values::read(&stores, &resources, &mut findings).await
        }
    };
    for (resource, origin) in &resources {
        if render(resource, origin, &values, &mut findings) {
            println!("{}: ok", resource.name);
        }
    }
    findings.print(false)?;
    let (errors, _) = findings.count();
    code(errors == 0)
}

fn stores(
    options: &Options,
    resources: &[(Resource, Origin)],
    own: &[Access],
) -> Result<Vec<Arc<dyn Backend>>, Failed> {
    let own = own.iter().map(|access| access.clone().with_manner_of(&options.access).open());
    let stores = std::iter::once(options.access.open()).chain(own).collect::<Result<_, _>>();
    match stores {
        Ok(stores) => work::patient(options, stores),
        // Without a resource nothing is asked of them.
        Err(_) if resources.is_empty() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// `--preflight`: every backend that is used is asked for what its resources read; a line each.
pub(super) async fn preflight(options: &Options, within: Duration) -> Result<ExitCode, Failed> {
    let Looked { resources, backends, findings } =
        check::load(&options.configuration, options.resource.as_deref())?;
    let mut findings: Findings = findings.lenient();
    findings.print(false)?;
    let mut is_well = findings.count().0 == 0;
    let own = backends.into_iter().map(|access| access.with_manner_of(&options.access));
    for (number, access) in std::iter::once(options.access.clone()).chain(own).enumerate() {
        let of = resources.iter().filter(|(resource, _)| resource.store == number);
        let keys: Vec<Prefix> = of.clone().flat_map(|(resource, _)| resource.keys.iter().cloned()).collect();
        if of.count() == 0 {
            continue;
        }
        match ask(&access, &Prefix::minimal(keys), within).await {
            Ok(found) => println!("{}: ok, {}", access.label(), counted(found, "key")),
            Err(why) => {
                println!("{}: {why}", access.label());
                is_well = false;
            }
        }
    }
    code(is_well)
}

/// How many keys there are.
async fn ask(access: &Access, prefixes: &[Prefix], within: Duration) -> Result<usize, String> {
    let store = access.open().map_err(|error| crate::chain(&*error))?;
    match tokio::time::timeout(within, store.snapshot(prefixes)).await {
        Ok(Ok(snapshot)) => Ok(snapshot.entries.len()),
        Ok(Err(error)) => Err(crate::chain(&error)),
        Err(_) => Err(format!("no answer within {within:?}")),
    }
}
