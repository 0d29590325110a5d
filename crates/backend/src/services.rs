//! Finds services in a view: what is below `ROOT/NAME`, and at it, are the instances of NAME.

use waypost_model::{Batch, Change, Entry, Instance, InvalidInstance, Key, Prefix, Service};

use crate::View;

/// A service as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The service with those instances that can be read; none if nothing is registered.
    pub service: Service,
    /// The keys whose values are no instances, each with the reason.
    pub refused: Vec<(Key, InvalidInstance)>,
}

impl View {
    /// The service `name` below `root`, the prefix of all services.
    ///
    /// With the root `/services`, the key `/services/db/1` is the instance `1` of the service `db`, and the key
    /// `/services/db` is one that is called `db` like its service. Slashes around a name do not count; without a
    /// name there is no service.
    pub fn service(&self, root: &Prefix, name: &str) -> Found {
        let name = name.trim_matches('/');
        let prefix = Prefix::new(&format!("{}/{name}", root.as_str()));
        let mut found =
            Found { service: Service { name: name.to_owned(), instances: Vec::new() }, ..Found::default() };
        if name.is_empty() {
            return found;
        }
        for (key, entry) in self.below(&prefix) {
            let below = &key.as_str()[prefix.as_str().len()..];
            let id = if below.is_empty() { name } else { &below[1..] };
            match Instance::parse(id, &entry.value) {
                Ok(instance) => found.service.instances.push(instance),
                Err(reason) => found.refused.push((key.clone(), reason)),
            }
        }
        // They come in the order of their keys: it is another only where one is called like its service.
        found.service.instances.sort_by(|one, other| one.id.cmp(&other.id));
        found
    }

    /// This view with these entries as well. It costs what they are: the rest is shared.
    #[must_use]
    pub fn with(&self, entries: impl IntoIterator<Item = (Key, Entry)>) -> View {
        let change = |(key, entry): (Key, Entry)| Change { key, entry: Some(entry) };
        let mut view = self.clone();
        view.apply(Batch { position: self.position(), changes: entries.into_iter().map(change).collect() });
        view
    }

    /// The names of the services below `root`, each once and in byte order: what a key has between the root and
    /// its last part, or all of it if it has one part only.
    pub fn service_names(&self, root: &Prefix) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (key, _) in self.below(root) {
            let below = key.as_str()[root.as_str().len()..].trim_start_matches('/');
            let name = below.rsplit_once('/').map_or(below, |(name, _)| name);
            if !name.is_empty() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use waypost_model::{Entry, Exactness, Position, Snapshot};

    use super::*;

    fn view(entries: &[(&str, &str)]) -> View {
        let entry =
            |(key, value): &(&str, &str)| (key.parse().unwrap(), Entry::unnumbered((*value).to_owned()));
        let entries = entries.iter().map(entry).collect();
        Snapshot { position: Position::fixed(), exactness: Exactness::Exact, entries }.into()
    }

    #[test]
    fn instances_are_the_keys_at_and_below_the_path_of_the_service() {
        let view = view(&[
            ("/services/db/2", "h:2"),
            ("/services/db/eu/1", "h:1"),
            ("/services/db-old/1", "h:3"),
            ("/services/web", "h:4"),
        ]);
        let ids = |name: &str| -> Vec<String> {
            let found = view.service(&Prefix::new("/services"), name);
            found.service.instances.into_iter().map(|instance| instance.id).collect()
        };
        assert_eq!(ids("db"), ["2", "eu/1"]);
        assert_eq!(ids("db/eu"), ["1"]);
        assert_eq!(ids("web"), ["web"]);
        assert_eq!(ids("none"), [""; 0]);
        assert_eq!(ids("/db/eu/"), ["1"]);
        assert_eq!((ids(""), ids("/")), (vec![], vec![]), "not the instances of all services");
        assert_eq!(view.service_names(&Prefix::new("/services")), ["db", "db-old", "db/eu", "web"]);
    }

    #[test]
    fn instances_are_in_the_order_of_their_ids() {
        let view = view(&[("/db", "h:1"), ("/db/a", "h:2"), ("/db/z", "h:3")]);
        let found = view.service(&Prefix::all(), "db").service.instances;
        assert_eq!(found.iter().map(|instance| &*instance.id).collect::<Vec<_>>(), ["a", "db", "z"]);
    }

    #[test]
    fn a_view_with_more_has_both_and_the_other_is_as_it_was() {
        let (one, other) = (view(&[("/a", "1"), ("/b", "1")]), view(&[("/b", "2"), ("/c", "2")]));
        let both = one.with(other.starting_with("", "").map(|(key, entry)| (key.clone(), entry.clone())));
        let values = |view: &View| -> Vec<String> {
            view.starting_with("", "").map(|(_, entry)| entry.value.as_text().unwrap().to_owned()).collect()
        };
        assert_eq!(
            (values(&both), values(&one)),
            (vec!["1".into(), "2".into(), "2".into()], vec!["1".into(); 2])
        );
    }

    #[test]
    fn a_value_that_is_no_instance_is_named_by_its_key_and_keeps_no_other_out() {
        let view = view(&[("/db/1", "h:1"), ("/db/2", "secret")]);
        let found = view.service(&Prefix::all(), "db");
        assert_eq!(found.service.instances.len(), 1);
        assert_eq!(found.refused[0].0.as_str(), "/db/2");
    }
}
