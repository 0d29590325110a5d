//! `waypost migrate`: what becomes of a directory of confd's, resource by resource, and how to call waypost
//! instead.
//!
//! Everything it says is found by the loader and the parser that would run the resources, in the dialect of
//! each generation. `resource.rs` looks at one of them, `around.rs` at what is said once for all.

mod around;
mod remark;
mod resource;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use waypost_agent::Resource;

use crate::Failed;
use crate::access::Kind;
use crate::check::{self, Grade, Looked};
use crate::confd::{self, Tree};
use remark::{Class, Remarks};

/// Say what becomes of confd's files.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory with conf.d, templates and confd.toml
    #[arg(value_name = "DIR", default_value = "/etc/confd")]
    directory: PathBuf,
    /// The confd that is there [default: either, telling where they differ]
    #[arg(long, value_name = "VERSION")]
    compat: Option<Generation>,
    /// The words that confd is started with, after `--`: its backend and flags
    #[arg(last = true, value_name = "CONFD'S WORDS")]
    words: Vec<String>,
}

/// Which confd is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Generation {
    #[value(name = "0.16")]
    Old,
    #[value(name = "0.41")]
    New,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Generation::Old => "0.16",
            Generation::New => "0.41",
        })
    }
}

/// The directory as one generation has it.
struct Seen {
    generation: Generation,
    tree: Tree,
    looked: Looked,
}

/// Does what is asked.
pub(crate) fn migrate(arguments: &Arguments) -> Result<ExitCode, Failed> {
    let generations = match arguments.compat {
        Some(generation) => vec![generation],
        None => vec![Generation::Old, Generation::New],
    };
    let seen = generations.iter().map(|generation| see(arguments, *generation));
    let seen = seen.collect::<Result<Vec<_>, _>>()?;
    let resources = remarks(&seen);
    let mut told = String::new();
    tell_around(arguments, &seen, &mut told)?;
    tell_resources(&generations, &seen, &resources, &mut told)?;
    tell_call(arguments, &seen, &mut told)?;
    for generation in &generations {
        let works = resources.values().filter(|remarks| remarks.works(*generation)).count();
        writeln!(told, "confd {generation}: {works} of {} resources work", resources.len())?;
    }
    print!("{told}");
    // Whoever says nothing of the generation has one of the two.
    let all_work = |generation: &Generation| resources.values().all(|remarks| remarks.works(*generation));
    let is_well = generations.iter().any(all_work);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn see(arguments: &Arguments, generation: Generation) -> Result<Seen, Failed> {
    let directory = arguments.directory.display();
    let file = format!("{directory}/confd.toml");
    let words = ["--compat", &generation.to_string(), "--config-file", &file].map(str::to_owned);
    let words: Vec<String> = arguments.words.iter().cloned().chain(words).collect();
    let mut tree = confd::tree(&words)?;
    tree.configuration.directory.clone_from(&arguments.directory);
    let looked = check::load(&tree.configuration, None)?;
    Ok(Seen { generation, tree, looked })
}

/// The names of all files of `conf.d`, also of those that cannot be loaded.
fn names(tree: &Tree) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    let _ = check::load_those(&tree.configuration, |name| {
        names.borrow_mut().insert(name.to_owned());
        false
    });
    names.into_inner()
}

/// What there is to say of each resource.
fn remarks(seen: &[Seen]) -> BTreeMap<String, Remarks> {
    let mut all: BTreeMap<String, Remarks> = BTreeMap::new();
    for seen in seen {
        for name in names(&seen.tree) {
            seen.look(&name, all.entry(name.clone()).or_default());
        }
    }
    tell_prefixes(seen, &mut all);
    all
}

impl Seen {
    /// Adds what there is to say of the resource in the file `name`.
    fn look(&self, name: &str, remarks: &mut Remarks) {
        self.tell_load(name, remarks);
        let Seen { generation, tree, looked } = self;
        let found = looked.resources.iter().find(|(resource, _)| resource.name == name);
        let Some((resource, origin)) = found else { return };
        let own = resource.store.checked_sub(1).and_then(|number| looked.backends.get(number));
        let kind = own.unwrap_or(&tree.access).kind();
        resource::look((resource, origin), kind, *generation, remarks);
        let others = looked.resources.iter().map(|(other, _)| other).filter(|other| other.name != name);
        for other in others.filter(|other| other.destination == resource.destination) {
            let text = format!(
                "{} writes {} too: as in confd, each undoes the other at every pass; `waypost run` refuses \
                 that",
                other.name,
                other.destination.display()
            );
            remarks.add(Class::Note, *generation, text);
        }
    }

    /// What the loader has to say of the file.
    fn tell_load(&self, name: &str, remarks: &mut Remarks) {
        let file = self.tree.configuration.directory.join("conf.d").join(name).display().to_string();
        for finding in &self.looked.findings.0 {
            let is_here = match &finding.place {
                Some((path, ..)) => *path == file,
                None => finding.text.starts_with(&format!("{file}: ")),
            };
            match finding.grade {
                _ if !is_here => {}
                Grade::Fault => remarks.add(Class::Fault, self.generation, finding.line()),
                _ => {
                    let line = finding.clone().plain().line();
                    remarks.add(
                        Class::Note,
                        self.generation,
                        format!("{line}: as in confd, it means nothing"),
                    );
                }
            }
        }
    }
}

/// A resource's prefix beside a global one is where the generations part.
fn tell_prefixes(seen: &[Seen], all: &mut BTreeMap<String, Remarks>) {
    for Seen { generation, tree, looked } in seen {
        let global = &tree.configuration.prefix;
        for (resource, origin) in &looked.resources {
            let Some(own) = origin.text("prefix").filter(|own| !own.is_empty() && !global.is_empty()) else {
                continue;
            };
            let how = match generation {
                Generation::Old => format!("the global prefix {global} takes the place of `{own}`"),
                Generation::New => format!("the global prefix {global} is put before `{own}`"),
            };
            let keys = shown(resource);
            let text = format!("{how}, as in confd {generation}: the keys are {keys}");
            if let Some(remarks) = all.get_mut(&resource.name) {
                remarks.add(Class::Note, *generation, text);
            }
        }
    }
}

fn shown(resource: &Resource) -> String {
    resource.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn tell_around(arguments: &Arguments, seen: &[Seen], told: &mut String) -> Result<(), Failed> {
    let file = arguments.directory.join("confd.toml");
    for Seen { generation, tree, looked } in seen {
        writeln!(told, "{} as confd {generation} has it", arguments.directory.display())?;
        writeln!(told, "    - backend: {}{}", tree.access.label(), named(arguments, &file))?;
        let mut lines = Vec::new();
        if matches!(tree.access.kind(), Kind::File | Kind::Env) {
            lines.push("COMPATIBILITY.md lists what differs in how such a backend is read".to_owned());
        }
        if file.exists() {
            lines.push(match generation {
                Generation::Old => "confd.toml counts before the command line, as in 0.16".to_owned(),
                Generation::New => {
                    "the command line counts before the environment, and that before confd.toml".to_owned()
                }
            });
            lines.extend(around::of_the_file(&file, *generation)?);
        }
        lines.extend(tree.oddities.iter().map(|oddity| oddity.lines().next().unwrap_or_default().to_owned()));
        lines.extend(around::of_reloads(looked.resources.iter().map(|(resource, _)| resource)));
        if looked.resources.iter().any(|(resource, _)| resource.reload.is_some()) {
            lines.push("a reload that failed is tried again until it has run; confd forgets it".to_owned());
        }
        for line in lines {
            writeln!(told, "    - {line}")?;
        }
    }
    Ok(())
}

/// Where the backend is from, if nobody named it.
fn named(arguments: &Arguments, file: &Path) -> &'static str {
    let is_in_the_file = confd::keys(file).is_ok_and(|keys| keys.iter().any(|key| key.flag == "backend"));
    match arguments.words.is_empty() && !is_in_the_file {
        true => ", since nothing names another; the words that confd is started with can be given after --",
        false => "",
    }
}

fn tell_resources(
    generations: &[Generation],
    seen: &[Seen],
    all: &BTreeMap<String, Remarks>,
    told: &mut String,
) -> Result<(), Failed> {
    for (name, remarks) in all {
        let resources = seen.iter().flat_map(|seen| &seen.looked.resources);
        let found = resources.map(|(resource, _)| resource).find(|resource| resource.name == *name);
        let dest = found.map_or_else(String::new, |found| format!(" -> {}", found.destination.display()));
        writeln!(told, "\n{name}{dest}")?;
        remarks.show(generations, told)?;
    }
    Ok(())
}

/// How to call waypost instead.
fn tell_call(arguments: &Arguments, seen: &[Seen], told: &mut String) -> Result<(), Failed> {
    let Some(Seen { tree, .. }) = seen.last() else { return Ok(()) };
    writeln!(
        told,
        "\nWhat the keys hold, and what commands do, is not looked at here: in confd's place, `--validate` renders \
         from the keys, and `--noop --onetime --diff` shows what would be written."
    )?;
    writeln!(
        told,
        "In confd's place, with its flags, variables and files: `ln -s \"$(command -v waypost)\" \
                    /usr/local/bin/confd`, or `waypost confd` and the flags."
    )?;
    let line = match around::run_line(tree) {
        Ok(line) => line,
        Err(why) => {
            writeln!(
                told,
                "`waypost run` {why}: stay with confd's command line.
"
            )?;
            return Ok(());
        }
    };
    let refused = around::refused_by_run(tree)?;
    writeln!(told, "In waypost's own words: `{line}`; prefixes and functions are then as in 0.41.")?;
    if !refused.is_empty() {
        writeln!(
            told,
            "Before that, `waypost check --confdir {}` wants these put right:",
            arguments.directory.display()
        )?;
    }
    for line in refused {
        writeln!(told, "    - {line}")?;
    }
    writeln!(told)?;
    Ok(())
}
