//! What an event changes for a reader of a prefix.

use std::collections::BTreeSet;
use std::ops::Bound;

use waypost_model::{Change, Entry, Key, Prefix};

use super::wire::{Event, Node};

/// The keys below a prefix, as a reader has them, to tell which of them went with a directory.
pub(super) struct Known {
    prefix: Prefix,
    /// None if the reader began somewhere else than at a snapshot that was kept.
    keys: Option<BTreeSet<Key>>,
}

/// An event whose directory held keys that nobody knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown;

impl Known {
    pub(super) fn new(prefix: Prefix, keys: Option<BTreeSet<Key>>) -> Known {
        Known { prefix, keys }
    }

    /// The changes that `event` means to the reader.
    ///
    /// A directory that goes is one event, also when it is above the prefix. A directory may be set over a key,
    /// which is gone then; a key never over a directory.
    pub(super) fn changes(&mut self, event: Event) -> Result<Vec<Change>, Unknown> {
        let is_gone = matches!(event.action.as_str(), "delete" | "expire" | "compareAndDelete");
        let was_directory = event.node.dir || event.prev_node.as_ref().is_some_and(|node| node.dir);
        match (is_gone, was_directory) {
            (true, true) => self.all_below(&event.node.key),
            (true, false) => Ok(self.gone(event.node)),
            (false, _) if event.node.dir => Ok(self.gone(event.node)),
            (false, _) => Ok(self.put(event.node).into_iter().collect()),
        }
    }

    fn put(&mut self, node: Node) -> Option<Change> {
        let (key, entry) = entry(&self.prefix, node)?;
        if let Some(keys) = &mut self.keys {
            keys.insert(key.clone());
        }
        Some(Change { key, entry: Some(entry) })
    }

    fn gone(&mut self, node: Node) -> Vec<Change> {
        let Some((key, _)) = entry(&self.prefix, node) else { return Vec::new() };
        if self.keys.as_mut().is_some_and(|keys| !keys.remove(&key)) {
            return Vec::new();
        }
        vec![Change { key, entry: None }]
    }

    fn all_below(&mut self, directory: &str) -> Result<Vec<Change>, Unknown> {
        let directory = Prefix::new(directory);
        let is_elsewhere = !directory.covers(&self.prefix)
            && (!self.prefix.covers(&directory) || is_hidden(&self.prefix, directory.as_str()));
        if is_elsewhere {
            return Ok(Vec::new());
        }
        let keys = self.keys.as_mut().ok_or(Unknown)?;
        let after = (Bound::Included(directory.as_str()), Bound::Unbounded);
        let starting =
            keys.range::<str, _>(after).take_while(|key| key.as_str().starts_with(directory.as_str()));
        let gone: Vec<Key> = starting.filter(|key| directory.contains(key)).cloned().collect();
        for key in &gone {
            keys.remove(key);
        }
        Ok(gone.into_iter().map(|key| Change { key, entry: None }).collect())
    }
}

/// What a key below `prefix` holds; none if it is elsewhere or hidden.
pub(super) fn entry(prefix: &Prefix, node: Node) -> Option<(Key, Entry)> {
    let key = match Key::new(node.key) {
        Ok(key) => key,
        Err(error) => {
            tracing::warn!(store = super::STORE, %error, "a key is left out");
            return None;
        }
    };
    let is_seen = prefix.contains(&key) && !is_hidden(prefix, key.as_str());
    is_seen.then(|| (key, Entry { value: node.value.into(), revision: node.modified_index }))
}

/// Whether etcd leaves `path` out of a listing of `prefix`: below it is a name that begins with `_`.
///
/// Its events are left out as well, but not those that a poll finds in the history.
///
/// Source: `isHidden` in etcd's `v2store/watcher_hub.go`.
pub(super) fn is_hidden(prefix: &Prefix, path: &str) -> bool {
    path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.contains("/_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    fn known(prefix: &str, keys: &[&str]) -> Known {
        Known::new(Prefix::new(prefix), Some(keys.iter().map(|text| key(text)).collect()))
    }

    fn event(action: &str, path: &str, dir: bool) -> Event {
        let node =
            Node { key: path.to_owned(), value: "v".into(), dir, modified_index: 7, ..Node::default() };
        Event { action: action.to_owned(), node, prev_node: None }
    }

    /// The changed keys, those that are gone with a minus before them.
    fn told(known: &mut Known, event: Event) -> Vec<String> {
        let sign = |change: &Change| if change.entry.is_some() { "" } else { "-" };
        let shown = |change: Change| format!("{}{}", sign(&change), change.key);
        known.changes(event).unwrap().into_iter().map(shown).collect()
    }

    #[test]
    fn a_directory_takes_the_keys_below_it_along() {
        let mut known = known("/app", &["/app/a/1", "/app/a/2/x", "/app/a-b", "/app/b"]);
        assert_eq!(told(&mut known, event("delete", "/app/a", true)), ["-/app/a/1", "-/app/a/2/x"]);
        assert_eq!(told(&mut known, event("delete", "/app/a", true)), [""; 0], "each once");
        assert_eq!(told(&mut known, event("set", "/app/a/3", false)), ["/app/a/3"]);
        assert_eq!(told(&mut known, event("expire", "/", true)), ["-/app/a-b", "-/app/a/3", "-/app/b"]);
    }

    #[test]
    fn a_directory_that_only_begins_like_the_prefix_takes_nothing_along() {
        let mut known = known("/apple", &["/apple/a"]);
        assert_eq!(told(&mut known, event("delete", "/app", true)), [""; 0]);
        assert_eq!(told(&mut known, event("delete", "/apple/_h", true)), [""; 0]);
    }

    #[test]
    fn a_directory_of_unknown_keys_is_told_apart() {
        let mut known = Known::new(Prefix::new("/app"), None);
        assert_eq!(known.changes(event("delete", "/app/a", true)), Err(Unknown));
        assert_eq!(told(&mut known, event("delete", "/app/a", false)), ["-/app/a"]);
        assert_eq!(told(&mut known, event("delete", "/b", true)), [""; 0], "it is elsewhere");
    }

    #[test]
    fn a_directory_set_over_a_key_ends_the_key() {
        let mut known = known("/app", &["/app/a"]);
        assert_eq!(told(&mut known, event("set", "/app/a", true)), ["-/app/a"]);
        assert_eq!(told(&mut known, event("create", "/app/b", true)), [""; 0]);
    }

    #[test]
    fn every_way_to_write_and_to_remove_is_told() {
        let mut known = known("/app", &[]);
        for action in ["set", "create", "update", "compareAndSwap"] {
            assert_eq!(told(&mut known, event(action, "/app/a", false)), ["/app/a"], "{action}");
        }
        for action in ["delete", "expire", "compareAndDelete"] {
            told(&mut known, event("set", "/app/a", false));
            assert_eq!(told(&mut known, event(action, "/app/a", false)), ["-/app/a"], "{action}");
        }
    }

    #[test]
    fn hidden_keys_are_left_out_unless_they_are_asked_for() {
        assert_eq!(told(&mut known("/app", &[]), event("set", "/app/_h/a", false)), [""; 0]);
        assert_eq!(told(&mut known("/app/_h", &[]), event("set", "/app/_h/a", false)), ["/app/_h/a"]);
        assert_eq!(told(&mut known("/app/_h", &[]), event("set", "/app/_h/_i", false)), [""; 0]);
    }
}
