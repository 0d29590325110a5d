//! A resource's keys as its template sees them: without the prefix, absolute and clean.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use waypost_backend::View;
use waypost_model::{Key, Prefix, Value, clean_path};
use waypost_template::{Name, Names, Text};

use crate::Resource;

/// The keys of `view` that `resource` may see.
pub(crate) enum Keyspace<'a> {
    /// Every key is the prefix and its name, so that names are looked up where they lie.
    Direct { view: &'a View, resource: &'a Resource },
    /// Some key is not: the names are worked out beforehand.
    Renamed(BTreeMap<String, Value>),
}

impl<'a> Keyspace<'a> {
    pub(crate) fn new(view: &'a View, resource: &'a Resource) -> Keyspace<'a> {
        if view.is_clean() && view.get(&resource.prefix).is_none() {
            return Keyspace::Direct { view, resource };
        }
        let visible = view.starting_with("", "").filter(|(key, _)| sees(resource, key));
        Keyspace::Renamed(visible.map(|(key, entry)| (name(resource, key), entry.value.clone())).collect())
    }
}

/// How many keys `resource` sees in `view`.
pub(crate) fn count(view: &View, resource: &Resource) -> usize {
    if resource.keys.contains(&Prefix::all()) {
        return view.len();
    }
    Prefix::minimal(resource.keys.iter().cloned()).iter().map(|prefix| view.below(prefix).count()).sum()
}

/// True if `resource` may see `key`.
pub(crate) fn sees(resource: &Resource, key: &Key) -> bool {
    resource.keys.iter().any(|prefix| prefix.contains(key))
}

/// The name of `key` in the template: `path.Join("/", TrimPrefix(key, prefix))`, as confd has it.
pub(crate) fn name(resource: &Resource, key: &Key) -> String {
    let key = key.as_str();
    clean_path(key.strip_prefix(&*resource.prefix).unwrap_or(key)).into_owned()
}

impl Names for Keyspace<'_> {
    fn get(&self, name: &[u8]) -> Option<Text> {
        let name = std::str::from_utf8(name).ok()?;
        match self {
            Keyspace::Renamed(names) => names.get(name).map(|value| value.bytes().clone().into()),
            Keyspace::Direct { view, resource } => {
                let key = Key::new(format!("{}{name}", resource.prefix)).ok()?;
                let entry = view.get(key.as_str()).filter(|_| sees(resource, &key))?;
                Some(entry.value.bytes().clone().into())
            }
        }
    }

    fn scan(&self, start: &[u8], from: &[u8], each: &mut dyn FnMut(Name<'_>, &Bytes) -> ControlFlow<()>) {
        let (Ok(start), Ok(from)) = (std::str::from_utf8(start), std::str::from_utf8(from)) else { return };
        match self {
            Keyspace::Renamed(names) => {
                let names = names.range(start.max(from).to_owned()..);
                for (name, value) in names.take_while(|(name, _)| name.starts_with(start)) {
                    let name = Bytes::from(name.clone());
                    if each(Name::new(&name, 0), value.bytes()).is_break() {
                        return;
                    }
                }
            }
            Keyspace::Direct { view, resource } => scan_direct(view, resource, start, from, each),
        }
    }
}

fn scan_direct(
    view: &View,
    resource: &Resource,
    start: &str,
    from: &str,
    each: &mut dyn FnMut(Name<'_>, &Bytes) -> ControlFlow<()>,
) {
    let (start, from) = (format!("{}{start}", resource.prefix), format!("{}{from}", resource.prefix));
    let is_all_visible = resource.keys.iter().any(|prefix| prefix.covers_text(&start));
    for (key, entry) in view.starting_with(&start, &from) {
        if !is_all_visible && !sees(resource, key) {
            continue;
        }
        if each(Name::new(key.bytes(), resource.prefix.len()), entry.value.bytes()).is_break() {
            return;
        }
    }
}
