//! Renders that go nowhere, from what the stores hold now or from a file of made-up keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost_agent::{Resource, trial};
use waypost_backend::{Backend, View, file};
use waypost_model::{Key, Prefix, Snapshot};

use super::cover::{Read, Sight};
use super::finding::{Finding, Findings, Grade};
use super::resources::Origin;
use super::templates::{self, uncovered};
use crate::Failed;

/// Where the values of keys are from.
pub(crate) enum Values {
    /// The stores' views, by number; none of one that cannot be read.
    Stores(Vec<Option<View>>),
    /// A file of keys, the same for all stores.
    Mock(Snapshot),
}

impl Values {
    /// Reads what `resources` may see from their stores; one that does not answer is told.
    pub(crate) async fn read(
        stores: &[Arc<dyn Backend>],
        resources: &[(Resource, Origin)],
        findings: &mut Findings,
    ) -> Values {
        let mut views = Vec::new();
        for (number, store) in stores.iter().enumerate() {
            let of = resources.iter().filter(|(resource, _)| resource.store == number).peekable();
            let prefixes = Prefix::minimal(of.flat_map(|(resource, _)| resource.keys.iter().cloned()));
            views.push(match store.snapshot(&prefixes).await {
                Ok(snapshot) => Some(View::from(snapshot)),
                Err(error) => {
                    findings.push(Finding::new(Grade::Fault, crate::chain(&error)));
                    None
                }
            });
        }
        Values::Stores(views)
    }

    /// Reads a JSON object of keys and values; objects and lists in it are flattened as in the file backend.
    ///
    /// # Errors
    ///
    /// One line, with the place of what makes no sense.
    pub(crate) async fn mock(path: &Path) -> Result<Values, Failed> {
        fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let store = file::open(file::Settings::new([PathBuf::from(path)]))?;
        Ok(Values::Mock(store.snapshot(&[Prefix::all()]).await?))
    }

    /// What the store of `resource` holds.
    fn view(&self, resource: &Resource) -> Option<View> {
        match self {
            Values::Stores(views) => views.get(resource.store)?.clone(),
            Values::Mock(snapshot) => Some(prefixed(snapshot, &resource.prefix).into()),
        }
    }
}

/// Made-up keys may be as in a store, or as the template sees them: then the prefix is put before them.
fn prefixed(snapshot: &Snapshot, prefix: &str) -> Snapshot {
    let below = Prefix::new(prefix);
    if prefix.is_empty() || snapshot.entries.keys().any(|key| below.contains(key)) {
        return snapshot.clone();
    }
    let entries = snapshot
        .entries
        .iter()
        .filter_map(|(key, entry)| Some((Key::new(format!("{prefix}{}", key.name())).ok()?, entry.clone())));
    Snapshot { entries: entries.collect(), ..snapshot.clone() }
}

/// Renders `resource`, and tells why that fails. False if there is nothing to render from.
pub(crate) fn render(resource: &Resource, origin: &Origin, values: &Values, findings: &mut Findings) -> bool {
    let Some(view) = values.view(resource) else { return false };
    let tried = trial(resource, &view);
    if let Some(failure) = &tried.failure {
        let mut finding = Finding::of_failure(failure, |name| path(resource, name));
        if finding.place.is_none() {
            finding = origin.finding(Grade::Fault, "src", finding.text);
        }
        findings.push(finding);
    }
    for (key, reason) in tried.refused {
        findings.push(origin.finding(Grade::Oddity, "services", format!("{key} is left out: {reason}")));
    }
    tried.failure.is_none()
}

/// Compares what the render of `resource` reads and what there is with its `keys`.
pub(crate) fn compare(resource: &Resource, origin: &Origin, values: &Values, findings: &mut Findings) {
    let Some(view) = values.view(resource) else { return };
    for key in &resource.keys {
        if view.below(key).next().is_none() {
            let text = format!("no key of the store is {key} or below it");
            let place = if resource.content.template().is_some() { "keys" } else { "services" };
            findings.push(origin.finding(Grade::Oddity, place, text));
        }
    }
    let told = templates::look(resource, &mut Findings::default());
    let calls = told.iter().flat_map(|file| &file.outline.calls);
    let told: Vec<String> = calls.filter_map(Read::of).map(|read| read.name()).collect();
    let sight = Sight::of(resource);
    for read in trial(resource, &view).reads.iter().flat_map(Read::all) {
        if !sight.covers(&read) && !told.contains(&read.name()) {
            findings.push(origin.finding(Grade::Oddity, "src", uncovered(&read, &sight)));
        }
    }
}

/// The path of a template file that an error calls by its last name.
fn path(resource: &Resource, name: &str) -> String {
    let is_it = |path: &Path| path.file_name().is_some_and(|last| *last == *name);
    if let Some(template) = resource.content.template().filter(|template| is_it(&template.file)) {
        return template.file.display().to_string();
    }
    let files = templates::look(resource, &mut Findings::default());
    let found = files.iter().map(|file| &file.path).find(|path| is_it(path));
    found.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}
