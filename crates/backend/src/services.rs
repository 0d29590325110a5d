//! Finds services in a view: what is below `ROOT/NAME`, and at it, are the instances of NAME.

use waypost_model::{Instance, InvalidInstance, Key, Prefix, Service};

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
    /// `/services/db` is one that is called `db` like its service.
    pub fn service(&self, root: &Prefix, name: &str) -> Found {
        let name = name.trim_matches('/');
        let prefix = Prefix::new(&format!("{}/{name}", root.as_str()));
        let mut found =
            Found { service: Service { name: name.to_owned(), instances: Vec::new() }, ..Found::default() };
        for (key, entry) in self.below(&prefix) {
            let below = &key.as_str()[prefix.as_str().len()..];
            let id = if below.is_empty() { name } else { &below[1..] };
            match Instance::parse(id, &entry.value) {
                Ok(instance) => found.service.instances.push(instance),
                Err(reason) => found.refused.push((key.clone(), reason)),
            }
        }
        found
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
        assert_eq!(view.service_names(&Prefix::new("/services")), ["db", "db-old", "db/eu", "web"]);
    }

    #[test]
    fn a_value_that_is_no_instance_is_named_by_its_key_and_keeps_no_other_out() {
        let view = view(&[("/db/1", "h:1"), ("/db/2", "secret")]);
        let found = view.service(&Prefix::all(), "db");
        assert_eq!(found.service.instances.len(), 1);
        assert_eq!(found.refused[0].0.as_str(), "/db/2");
    }
}
