//! `waypost check`: looks at the configuration and the templates, and at what a render would read, without
//! writing anything.
//!
//! `resources.rs` and `templates.rs` look at files alone; `cover.rs` knows which keys a template can see;
//! `values.rs` renders. Called as `confd`, the same is behind `--check-config` and `--validate`.

mod cover;
mod finding;
mod resources;
mod templates;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use waypost_agent::Resource;
use waypost_backend::Backend;

pub(crate) use cover::Sight;
pub(crate) use finding::{Finding, Findings, Grade};
pub(crate) use resources::Origin;
pub(crate) use templates::{File, engine, look as look_at_templates};
pub(crate) use values::{Values, render};

use crate::access::Access;
use crate::configuration::{self, Configuration, Invalid, Settings};
use crate::{Failed, confd, store};

/// Check the configuration and the templates.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory with conf.d/ and templates/ [default: /etc/waypost; with --confd: /etc/confd]
    #[arg(long, value_name = "DIR", env = "WAYPOST_CONFDIR")]
    confdir: Option<PathBuf>,
    /// Put before the prefix and the keys of every resource
    #[arg(long, env = "WAYPOST_PREFIX")]
    prefix: Option<String>,
    /// The files are confd's, and mean what they mean to this generation
    #[arg(long, value_name = "VERSION", value_parser = ["0.16", "0.41"])]
    confd: Option<String>,
    /// Render every template from the keys that there are, and compare what it reads with them
    #[arg(long, conflicts_with = "mock_data")]
    live: bool,
    /// Likewise, from the keys and values of this JSON file
    #[arg(long, value_name = "FILE")]
    mock_data: Option<PathBuf>,
    /// Check this file of conf.d alone
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
    /// A JSON object a line, for scripts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: store::Arguments,
    /// With --confd: more of confd's own flags, after `--`
    #[arg(last = true, value_name = "CONFD'S FLAGS", requires = "confd")]
    words: Vec<String>,
}

/// Does what is asked.
pub(crate) async fn check(arguments: Arguments) -> Result<ExitCode, Failed> {
    let (settings, access, oddities) = arguments.settings()?;
    let Looked { resources, backends, mut findings } = look(&settings, arguments.resource.as_deref())?;
    for oddity in oddities {
        findings.push(Finding::described(Grade::Oddity, &oddity));
    }
    if let (None, Err(Invalid(problems))) = (&arguments.confd, configuration::tables_in(&settings.directory))
    {
        problems.iter().for_each(|problem| findings.push(Finding::described(Grade::Fault, problem)));
    }
    let values = match &arguments.mock_data {
        Some(path) => Some(Values::mock(path).await?),
        None if arguments.live => {
            let stores = arguments.stores(access.as_ref(), &backends)?;
            Some(Values::read(&stores, &resources, &mut findings).await)
        }
        None => None,
    };
    for (resource, origin) in &resources {
        if let Some(values) = &values {
            // What is at fault without a value is told already.
            if templates_are_sound(resource) {
                render(resource, origin, values, &mut findings);
            }
            values::compare(resource, origin, values, &mut findings);
        }
    }
    arguments.end(&settings, findings)
}

fn templates_are_sound(resource: &Resource) -> bool {
    if resource.content.template().is_none() {
        return true;
    }
    let mut findings = Findings::default();
    !look_at_templates(resource, &mut findings).is_empty()
        && findings.0.iter().all(|finding| finding.grade != Grade::Fault)
}

impl Arguments {
    /// How the files are read, and with confd's: its main store, and what is odd about its own settings.
    fn settings(&self) -> Result<(Settings, Option<Access>, Vec<String>), Failed> {
        let Some(version) = &self.confd else {
            let directory = self.confdir.clone().unwrap_or_else(|| "/etc/waypost".into());
            let prefix = self.prefix.clone().unwrap_or_default();
            let may_be_empty = configuration::tables_in(&directory).is_ok_and(|tables| tables.api.is_some());
            return Ok((Settings { prefix, may_be_empty, ..Settings::new(directory) }, None, Vec::new()));
        };
        let mut words = vec!["--compat".to_owned(), version.clone()];
        if let Some(directory) = &self.confdir {
            let directory = directory.display();
            words.extend(["--confdir".to_owned(), directory.to_string()]);
            words.extend(["--config-file".to_owned(), format!("{directory}/confd.toml")]);
        }
        if let Some(prefix) = &self.prefix {
            words.extend(["--prefix".to_owned(), prefix.clone()]);
        }
        words.extend(self.store.as_confds());
        words.extend(self.words.iter().cloned());
        let mut tree = confd::tree(&words)?;
        if let Some(directory) = &self.confdir {
            // To 0.16 the file would count, which may name the directory that this one is a copy of.
            tree.configuration.directory.clone_from(directory);
        }
        Ok((tree.configuration, Some(tree.access), tree.oddities))
    }

    fn stores(&self, main: Option<&Access>, own: &[Access]) -> Result<Vec<Arc<dyn Backend>>, Failed> {
        let main = match main {
            Some(access) => access.open()?,
            None => self.store.open()?.backend,
        };
        std::iter::once(Ok(main)).chain(own.iter().map(Access::open)).collect()
    }

    fn end(&self, settings: &Settings, mut findings: Findings) -> Result<ExitCode, Failed> {
        findings.print(self.json)?;
        let (errors, warnings) = findings.count();
        if !self.json {
            let found = match errors + warnings {
                0 => "nothing to object to".to_owned(),
                _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
            };
            eprintln!("{found} in {}", settings.directory.join("conf.d").display());
        }
        let is_bad = errors > 0 || (self.strict && warnings > 0);
        Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What a look at the files gives.
pub(crate) struct Looked {
    pub(crate) resources: Vec<(Resource, Origin)>,
    /// The stores that resources have of their own.
    pub(crate) backends: Vec<Access>,
    pub(crate) findings: Findings,
}

/// Looks at all files, or at those of the resource that is named `only`.
///
/// # Errors
///
/// [`Invalid`] if the directory cannot be read.
pub(crate) fn look(settings: &Settings, only: Option<&str>) -> Result<Looked, Failed> {
    let Looked { resources, backends, mut findings } = load(settings, only)?;
    for (resource, origin) in &resources {
        look_at(resource, origin, &mut findings);
    }
    let pairs = || resources.iter().map(|(resource, origin)| (resource, origin));
    resources::same_destinations(pairs(), &mut findings);
    resources::same_varnishes(pairs(), &mut findings);
    Ok(Looked { resources, backends, findings })
}

/// Looks at one resource, its template and what that includes; gives the templates' files.
pub(crate) fn look_at(resource: &Resource, origin: &Origin, findings: &mut Findings) -> Vec<File> {
    resources::look(resource, origin, findings);
    look_at_templates(resource, findings)
}

/// Loads the files; what is wrong with them is told.
///
/// # Errors
///
/// As for [`look`].
pub(crate) fn load(settings: &Settings, only: Option<&str>) -> Result<Looked, Failed> {
    let is_meant = |name: &str| only.is_none_or(|only| confd::is_named(name, only));
    let looked = load_those(settings, is_meant)?;
    match only {
        Some(only) if looked.resources.is_empty() && looked.findings.0.is_empty() => {
            Err(format!("there is no resource `{only}`").into())
        }
        _ => Ok(looked),
    }
}

/// Loads the files whose names below `conf.d` are meant.
///
/// # Errors
///
/// As for [`look`].
pub(crate) fn load_those(settings: &Settings, is_meant: impl Fn(&str) -> bool) -> Result<Looked, Failed> {
    let configuration = Configuration::look(settings, is_meant)?;
    let mut findings = Findings::default();
    let graded = [
        (Grade::Fault, configuration.broken),
        (Grade::Fault, configuration.failing),
        (Grade::Oddity, Invalid(configuration.oddities)),
    ];
    for (grade, Invalid(problems)) in graded {
        for problem in problems {
            findings.push(Finding::described(grade, &problem));
        }
    }
    let origin = |resource: Resource| {
        let origin = Origin::of(&resource, &settings.directory);
        (resource, origin)
    };
    let resources = configuration.resources.into_iter().map(origin).collect();
    Ok(Looked { resources, backends: configuration.backends, findings })
}
