//! A file made of services: every name that was asked for with its instances, as PHP or as JSON.
//!
//! Equal services are equal bytes. A key whose value is no instance is left out and told, and keeps no other one
//! out; a service without instances is there, and empty.

use std::path::Path;

use waypost_backend::View;
use waypost_model::{InvalidInstance, Key, Prefix, document};

use crate::php;

/// Keys whose values are no instances, each with the reason.
pub(crate) type Refused = Vec<(Key, InvalidInstance)>;

/// Which services a file is made of, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    root: Prefix,
    names: Vec<String>,
    form: Form,
}

/// What a file of services is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A script that returns an array.
    Php,
    /// One JSON object.
    Json,
}

impl Form {
    /// The form of that name: `php` or `json`.
    pub fn parse(name: &str) -> Option<Form> {
        match name {
            "php" => Some(Form::Php),
            "json" => Some(Form::Json),
            _ => None,
        }
    }

    /// The form that the end of a file's name tells: `.php` or `.json`.
    pub fn of_file(path: &Path) -> Option<Form> {
        Form::parse(path.extension()?.to_str()?)
    }
}

impl Services {
    /// The services called `names`, whose instances are below `root`; slashes around a name do not count.
    pub fn new(root: Prefix, names: impl IntoIterator<Item = String>, form: Form) -> Services {
        let mut names: Vec<String> =
            names.into_iter().map(|name| name.trim_matches('/').to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        Services { root, names, form }
    }

    /// What of a store has to be read for them: the keys at and below the path of each service.
    pub fn keys(&self) -> Vec<Prefix> {
        let path = |name: &String| Prefix::new(&format!("{}/{name}", self.root.as_str()));
        self.names.iter().map(path).collect()
    }

    /// The file's content, and what was left out of it.
    pub(crate) fn render(&self, view: &View) -> (Vec<u8>, Refused) {
        let (mut services, mut refused) = (Vec::new(), Refused::new());
        for name in &self.names {
            let found = view.service(&self.root, name);
            services.push(found.service);
            refused.extend(found.refused);
        }
        // Of two services one may be below the other, and their keys the same.
        refused.sort_by(|(one, _), (other, _)| one.cmp(other));
        refused.dedup_by(|(one, _), (other, _)| one == other);
        let document = document(&services);
        let text = match self.form {
            Form::Php => php::script(&document),
            Form::Json => format!("{document}\n"),
        };
        (text.into_bytes(), refused)
    }
}

#[cfg(test)]
mod tests {
    use waypost_model::{Entry, Exactness, Position, Snapshot, from_document};

    use super::*;

    fn view(entries: &[(&str, &str)]) -> View {
        let entry =
            |(key, value): &(&str, &str)| (key.parse().unwrap(), Entry::unnumbered((*value).to_owned()));
        let entries = entries.iter().map(entry).collect();
        Snapshot { position: Position::fixed(), exactness: Exactness::Exact, entries }.into()
    }

    fn services(names: &[&str], form: Form) -> Services {
        Services::new(Prefix::new("/services"), names.iter().map(|name| (*name).to_owned()), form)
    }

    #[test]
    fn every_name_is_there_and_nothing_else() {
        let view = view(&[("/services/db/1", "h:1"), ("/services/web/1", "h:2")]);
        let (bytes, refused) = services(&["db", "/cache/"], Form::Json).render(&view);
        let read = from_document(&serde_json::from_slice(&bytes).unwrap()).unwrap();
        let shown: Vec<_> = read.iter().map(|service| (&*service.name, service.instances.len())).collect();
        assert_eq!((shown, refused), (vec![("cache", 0), ("db", 1)], vec![]));
    }

    #[test]
    fn what_is_no_instance_is_told_once_and_keeps_no_other_out() {
        let view = view(&[("/services/db/eu/1", "secret"), ("/services/db/2", "h:2")]);
        let (bytes, refused) = services(&["db", "db/eu"], Form::Php).render(&view);
        assert!(String::from_utf8(bytes).unwrap().contains("'h:2'"));
        let keys: Vec<&str> = refused.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["/services/db/eu/1"]);
    }

    #[test]
    fn the_names_say_what_is_read() {
        assert_eq!(
            services(&["db", "a/b"], Form::Php).keys(),
            ["/services/a/b", "/services/db"].map(Prefix::new)
        );
    }
}
