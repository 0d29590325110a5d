//! Changes as a stream of server-sent events.
//!
//! Nothing is queued but names: an event is written when the client is ready to take it, and says what is so at that
//! time. A client that takes nothing costs the memory of those names, until it is cut off.
//!
//! Source of the format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::stream;
use serde_json::Value as Json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, interval};
use waypost_backend::View;
use waypost_model::{Key, Prefix};

use super::picture::Picture;
use super::refusal::Refusal;
use super::{Shared, answer, now};

/// From one comment line to the next: by them a client knows that the stream lives.
const PULSE: Duration = Duration::from_secs(5);

/// The stream of what happens to the services `names`; to all, if none is named.
pub(super) fn stream(shared: Arc<Shared>, names: Vec<String>) -> Result<Body, Refusal> {
    let mut pictures = shared.pictures.subscribe();
    let permit = Arc::clone(&shared.streams).try_acquire_owned();
    let permit = permit.map_err(|_| Refusal::too_many("event streams"))?;
    let picture = Arc::clone(&pictures.borrow_and_update());
    if picture.view().is_none() {
        return Err(Refusal::starting());
    }
    let mut news = News::new(shared.settings.services.clone(), names);
    news.look(&picture);
    let mut events = Events { shared, pictures, news, pulse: interval(PULSE), _permit: permit };
    events.pulse.reset();
    let events = stream::unfold(events, |mut events| async {
        let text = events.next().await?;
        Some((Ok::<_, Infallible>(text), events))
    });
    Ok(Body::from_stream(events))
}

/// One client's stream.
struct Events {
    shared: Arc<Shared>,
    pictures: watch::Receiver<Arc<Picture>>,
    news: News,
    pulse: Interval,
    _permit: OwnedSemaphorePermit,
}

impl Events {
    /// The next event or comment; none at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if *self.shared.is_stopping.borrow() {
                return None;
            }
            let picture = Arc::clone(&self.pictures.borrow());
            if let Some(event) = self.news.next(&picture) {
                return Some(event);
            }
            tokio::select! {
                changed = self.pictures.changed() => {
                    changed.ok()?;
                    let picture = Arc::clone(&self.pictures.borrow_and_update());
                    self.news.look(&picture);
                }
                _ = self.pulse.tick() => return Some(":\n\n".to_owned()),
                () = self.shared.stopping() => return None,
            }
        }
    }
}

/// What a client is to be told, in which order.
struct News {
    root: Prefix,
    /// The services that are asked for; none for all.
    names: Vec<String>,
    /// The keys when it was looked at them last.
    seen: Option<View>,
    /// The version of each service that was told.
    told: BTreeMap<String, String>,
    /// The services that may have changed since.
    due: BTreeSet<String>,
    /// Whether the registry was there when that was told last; at first it is taken to be.
    was_reachable: bool,
}

impl News {
    fn new(root: Prefix, names: Vec<String>) -> News {
        News { root, names, seen: None, told: BTreeMap::new(), due: BTreeSet::new(), was_reachable: true }
    }

    /// Takes note of which services may have changed.
    fn look(&mut self, picture: &Picture) {
        let Some(view) = picture.view() else { return };
        match self.seen.replace(view.clone()) {
            None if self.names.is_empty() => self.due.extend(view.service_names(&self.root)),
            None => self.due.extend(self.names.iter().cloned()),
            Some(seen) => {
                for key in seen.differences(view) {
                    self.touch(&key);
                }
            }
        }
    }

    /// A change at a key is one of the service that it is in, and of those around it.
    fn touch(&mut self, key: &Key) {
        if !self.root.contains(key) {
            return;
        }
        let below = key.as_str()[self.root.as_str().len()..].trim_start_matches('/');
        // What is listed as a service is what a key's last part is in, or a key of one part.
        let listed = below.rsplit_once('/').map_or(below, |(name, _)| name);
        let names = std::iter::successors(Some(below), |name| Some(name.rsplit_once('/')?.0));
        for name in names.filter(|name| !name.is_empty()) {
            let is_meant = match &*self.names {
                [] => name == listed || self.told.contains_key(name),
                names => names.iter().any(|asked| asked == name),
            };
            if is_meant {
                self.due.insert(name.to_owned());
            }
        }
    }

    /// The next event, if there is one.
    fn next(&mut self, picture: &Picture) -> Option<String> {
        while let Some(name) = self.due.pop_first() {
            let found = picture.view()?.service(&self.root, &name);
            let version = found.service.version();
            let told = self.told.insert(name.clone(), version.clone());
            // Of a service that nobody named, that it is not there is news only if it was.
            if self.names.is_empty() && found.service.instances.is_empty() && found.refused.is_empty() {
                self.told.remove(&name);
                if told.is_none() {
                    continue;
                }
            }
            if told.as_ref() != Some(&version) {
                return Some(event("service", &answer::service(picture, &self.root, &name, now())));
            }
        }
        let is_reachable = picture.is_reachable(&Prefix::all());
        let was_reachable = std::mem::replace(&mut self.was_reachable, is_reachable);
        (was_reachable != is_reachable).then(|| event("registry", &answer::registry(picture, now())))
    }
}

fn event(name: &str, data: &Json) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use waypost_backend::{Continuity, Error, ErrorKind, Update};
    use waypost_model::{Entry, Exactness, Position, Snapshot};

    use super::super::picture::Rules;
    use super::*;

    /// A client's news, and a registry that changes.
    struct Bench {
        picture: Picture,
        news: News,
    }

    impl Bench {
        fn asking(names: &[&str]) -> Bench {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Bench { picture: Picture::default(), news: News::new(Prefix::new("/services"), names) }
        }

        fn holds(&mut self, entries: &[(&str, &str)]) -> Vec<String> {
            let entry = |(key, value): &(&str, &str)| {
                (format!("/services/{key}").parse().unwrap(), Entry::unnumbered((*value).to_owned()))
            };
            let entries = entries.iter().map(entry).collect();
            let view = Snapshot { position: Position::fixed(), exactness: Exactness::Exact, entries }.into();
            self.take(Update::Changed { view, changed: Vec::new(), continuity: Continuity::Continued })
        }

        fn is_away(&mut self) -> Vec<String> {
            self.take(Update::Unreachable(Error::new(ErrorKind::Unavailable, "test", "read", "/")))
        }

        /// The names of the services that are told of, with how many instances; and of other events.
        fn take(&mut self, update: Update) -> Vec<String> {
            let rules =
                Rules { services: Prefix::new("/services"), keys: Vec::new(), settle: Duration::ZERO };
            self.picture.take(update, &rules, Instant::now());
            self.picture.reconsider(&rules, Instant::now());
            self.news.look(&self.picture);
            std::iter::from_fn(|| self.news.next(&self.picture)).map(|event| short(&event)).collect()
        }
    }

    fn short(event: &str) -> String {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Json = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        match name {
            "service" => {
                let count = data["instances"].as_array().unwrap().len();
                format!("{} {count}", data["name"].as_str().unwrap())
            }
            other => format!("{other} {}", data["reachable"]),
        }
    }

    #[test]
    fn each_named_service_is_told_first_and_then_at_each_change_of_its_own() {
        let mut bench = Bench::asking(&["db", "none"]);
        assert_eq!(bench.holds(&[("db/1", "h:1"), ("web/1", "h:1")]), ["db 1", "none 0"]);
        assert_eq!(bench.holds(&[("db/1", "h:1"), ("web/1", "h:2")]), [""; 0]);
        assert_eq!(bench.holds(&[("db/1", "h:1"), ("db/2", "h:1")]), ["db 2"]);
        assert_eq!(bench.holds(&[("none/1", "h:1")]), ["db 0", "none 1"]);
    }

    #[test]
    fn all_services_are_told_also_of_those_that_come_and_go() {
        let mut bench = Bench::asking(&[]);
        assert_eq!(bench.holds(&[("db/1", "h:1"), ("web", "h:1")]), ["db 1", "web 1"]);
        assert_eq!(bench.holds(&[("db/1", "h:1"), ("mail/eu/1", "h:1")]), ["mail/eu 1", "web 0"]);
    }

    #[test]
    fn a_change_below_is_one_of_what_is_around() {
        let mut bench = Bench::asking(&["db", "db/eu", "db/eu/1"]);
        assert_eq!(bench.holds(&[("db/eu/1", "h:1")]), ["db 1", "db/eu 1", "db/eu/1 1"]);
        assert_eq!(bench.holds(&[("db/eu/1", "h:2")]), ["db 1", "db/eu 1", "db/eu/1 1"]);
    }

    #[test]
    fn that_the_registry_goes_and_comes_is_told_once_each() {
        let mut bench = Bench::asking(&["db"]);
        bench.holds(&[]);
        assert_eq!(bench.is_away(), ["registry false"]);
        assert_eq!(bench.is_away(), [""; 0]);
        assert_eq!(bench.holds(&[("db/1", "h:1")]), ["db 1", "registry true"]);
    }

    #[test]
    fn who_comes_while_the_registry_is_away_is_told() {
        let mut bench = Bench::asking(&[]);
        bench.holds(&[("db/1", "h:1")]);
        bench.is_away();
        let mut late = Bench { picture: bench.picture, ..Bench::asking(&["db"]) };
        assert_eq!(late.is_away(), ["db 1", "registry false"]);
    }
}
