//! A resource's file in `conf.d`, beyond what the loader looks at: whether destination and template are
//! there.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use waypost_agent::{Reload, Resource};

use super::finding::{Finding, Findings, Grade};

/// A file of `conf.d`, to find the places of its keys.
#[derive(Debug)]
pub(crate) struct Origin {
    path: PathBuf,
    source: String,
}

impl Origin {
    pub(crate) fn of(resource: &Resource, directory: &Path) -> Origin {
        let path = directory.join("conf.d").join(&resource.name);
        // It was there a moment ago; without it findings have the file's name and its first line.
        let source = fs::read_to_string(&path).unwrap_or_default();
        Origin { path, source }
    }

    /// A finding at the value of `key` in `[template]`.
    pub(crate) fn finding(&self, grade: Grade, key: &str, text: impl Into<String>) -> Finding {
        Finding::at(grade, &self.path, &self.source, self.at(key).unwrap_or_default(), text)
    }

    /// A key of `[template]` as it is written, if it is a string.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.look(key, |value| value.get_ref().as_str().map(str::to_owned))
    }

    /// Whether `[template]` has the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.at(key).is_some()
    }

    /// Where the value of `key` begins.
    fn at(&self, key: &str) -> Option<usize> {
        self.look(key, |value| Some(value.span().start))
    }

    /// What `look` sees in the value of `key`. To confd capitals do not count; to waypost they are an error
    /// that the loader tells.
    fn look<T>(&self, key: &str, look: impl FnOnce(&Spanned<DeValue<'_>>) -> Option<T>) -> Option<T> {
        let document = DeTable::parse(&self.source).ok()?.into_inner();
        look(found(found(&document, "template")?.get_ref().as_table()?, key)?)
    }
}

fn found<'a, 'b>(table: &'a DeTable<'b>, key: &str) -> Option<&'a Spanned<DeValue<'b>>> {
    let is_it = |name: &str| name.eq_ignore_ascii_case(key);
    table.iter().find(|(name, _)| is_it(name.get_ref())).map(|(_, value)| value)
}

/// Looks at one resource.
pub(crate) fn look(resource: &Resource, origin: &Origin, findings: &mut Findings) {
    if let Some(template) = resource.content.template()
        && let Err(error) = fs::read(&template.file)
    {
        let text = format!("cannot read {}: {}", template.file.display(), reason(&error));
        findings.push(origin.finding(Grade::Fault, "src", text));
    }
    if let Some(text) = no_place(&resource.destination) {
        findings.push(origin.finding(Grade::Fault, "dest", text));
    }
    if resource.keys.is_empty() {
        findings.push(origin.finding(Grade::Oddity, "src", "there are no `keys`: the template sees none"));
    }
    if let Some(text) = untold(resource) {
        findings.push(origin.finding(Grade::Oddity, "reload", text));
    }
}

/// Why its reload may not come about: a file that it needs cannot be read, as far as one can see from here.
fn untold(resource: &Resource) -> Option<String> {
    match resource.reload.as_ref()? {
        // PHP may run where other files are: in a container.
        Reload::FastCgi(notice) => fs::metadata(&notice.script).err().map(|error| {
            let script = notice.script.display();
            format!("the script {script}: {}; PHP must find it under that path", reason(&error))
        }),
        Reload::Varnish(door) => {
            let secret = door.secret()?;
            let why = fs::read(secret).err()?;
            Some(format!("cannot read the secret {}: {}", secret.display(), reason(&why)))
        }
        Reload::Command(_) | Reload::Docker(_) => None,
    }
}

/// Why a file cannot be put there; none if it can, as far as one can see.
fn no_place(destination: &Path) -> Option<String> {
    if destination.is_dir() {
        return Some(format!("{} is a directory", destination.display()));
    }
    let directory = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(format!("{} is no directory", directory.display())),
        Err(error) => Some(format!("the directory {}: {}", directory.display(), reason(&error))),
    }
}

/// The system's words, without the number that `Display` adds.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Tells of every resource that writes what one before it writes.
pub(crate) fn same_destinations<'a>(
    resources: impl IntoIterator<Item = (&'a Resource, &'a Origin)>,
    findings: &mut Findings,
) {
    let mut first: HashMap<&Path, &str> = HashMap::new();
    for (resource, origin) in resources {
        if let Some(other) = first.insert(&resource.destination, &resource.name) {
            let text =
                format!("{other} writes {} too: each undoes the other", resource.destination.display());
            findings.push(origin.finding(Grade::Doubt, "dest", text));
        }
    }
}

/// Tells of every resource with another VCL for a Varnish that has one from a resource before it.
pub(crate) fn same_varnishes<'a>(
    resources: impl IntoIterator<Item = (&'a Resource, &'a Origin)>,
    findings: &mut Findings,
) {
    let mut first: HashMap<String, &str> = HashMap::new();
    for (resource, origin) in resources {
        let Some(Reload::Varnish(door)) = &resource.reload else { continue };
        let address = door.address().to_string();
        if let Some(other) = first.insert(address.clone(), &resource.name) {
            let text = format!(
                "{other} has a VCL for the varnishd at {address} too, which uses one: each undoes the other"
            );
            findings.push(origin.finding(Grade::Doubt, "reload", text));
        }
    }
}
