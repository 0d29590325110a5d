//! An immutable picture of a backend's keys.

use std::collections::BTreeMap;
use std::ops::Bound;

use imbl::OrdMap;
use waypost_model::{Batch, Entry, Key, Position, Prefix, Snapshot};

/// The keys of a backend at one position. Cloning is cheap: views share what they have in common.
#[derive(Debug, Clone)]
pub struct View {
    position: Position,
    entries: OrdMap<Key, Entry>,
    unclean: usize,
}

impl View {
    /// A view without keys.
    pub fn empty(position: Position) -> View {
        View { position, entries: OrdMap::new(), unclean: 0 }
    }

    /// Where in the store's history it was taken.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without any key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if every key is its own clean name ([`Key::is_clean`]), so that names can be looked up as keys.
    pub fn is_clean(&self) -> bool {
        self.unclean == 0
    }

    /// What `key` holds.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The entries whose keys start with the text `start` and are not before `from`, in byte order.
    pub fn starting_with<'a>(
        &'a self,
        start: &str,
        from: &str,
    ) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        let end = after_all_starting_with(start);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        // A start behind the end is no range at all.
        let from = match end {
            Bound::Excluded(end) => from.clamp(start, end),
            _ => from.max(start),
        };
        self.entries.range::<(Bound<&str>, Bound<&str>), str>((Bound::Included(from), end))
    }

    /// The entries below `prefix`, in byte order.
    pub fn below<'a>(&'a self, prefix: &'a Prefix) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        self.starting_with(prefix.as_str(), "").filter(move |(key, _)| prefix.contains(key))
    }

    /// The keys that differ in what they hold between this view and `other`, in byte order.
    pub fn differences(&self, other: &View) -> Vec<Key> {
        use imbl::ordmap::DiffItem;
        let differs = |item: DiffItem<'_, '_, Key, Entry>| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) => Some(key.clone()),
            DiffItem::Update { old, new } => (old.1.value != new.1.value).then(|| new.0.clone()),
        };
        self.entries.diff(&other.entries).filter_map(differs).collect()
    }

    /// Takes the view to the state after `batch`; gives the keys that hold something else now, each once and
    /// in byte order.
    pub(crate) fn apply(&mut self, batch: Batch) -> Vec<Key> {
        self.position = batch.position;
        // Of several changes of a key the last one counts: it may be back to what it was.
        let last: BTreeMap<_, _> =
            batch.changes.into_iter().map(|change| (change.key, change.entry)).collect();
        let mut changed = Vec::new();
        for (key, entry) in last {
            let replaced = self.set(&key, entry.clone());
            if replaced.map(|entry| entry.value) != entry.map(|entry| entry.value) {
                changed.push(key);
            }
        }
        changed
    }

    /// Moves on to a later position at which the keys are the same.
    pub(crate) fn advance(&mut self, position: Position) {
        self.position = position;
    }

    fn set(&mut self, key: &Key, entry: Option<Entry>) -> Option<Entry> {
        let stays = entry.is_some();
        let replaced = match entry {
            Some(entry) => self.entries.insert(key.clone(), entry),
            None => self.entries.remove(key),
        };
        if !key.is_clean() {
            self.unclean = self.unclean + usize::from(stays) - usize::from(replaced.is_some());
        }
        replaced
    }
}

/// The least text behind all that start with `start`; none if there is no such text.
fn after_all_starting_with(start: &str) -> Option<String> {
    let mut end = start.to_owned();
    while let Some(last) = end.pop() {
        // The next character has the next greater bytes; UTF-8 keeps the order of code points.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

impl From<Snapshot> for View {
    fn from(snapshot: Snapshot) -> View {
        let unclean = snapshot.entries.keys().filter(|key| !key.is_clean()).count();
        View { position: snapshot.position, entries: snapshot.entries.into_iter().collect(), unclean }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use waypost_model::{Change, StoreId};

    use super::*;

    pub(crate) fn key(text: &str) -> Key {
        Key::new(text.to_owned()).unwrap()
    }

    pub(crate) fn put(name: &str, value: &str, revision: u64) -> Change {
        Change { key: key(name), entry: Some(Entry { value: value.to_owned().into(), revision }) }
    }

    pub(crate) fn gone(name: &str) -> Change {
        Change { key: key(name), entry: None }
    }

    pub(crate) fn at(revision: u64) -> Position {
        Position::new(StoreId::Lasting(1), revision)
    }

    fn batch(revision: u64, changes: impl Into<Vec<Change>>) -> Batch {
        Batch { position: at(revision), changes: changes.into() }
    }

    #[test]
    fn only_keys_that_hold_something_else_are_reported() {
        let mut view = View::empty(at(0));
        assert_eq!(view.apply(batch(1, [put("/a", "1", 1), put("/b", "1", 1)])), [key("/a"), key("/b")]);
        assert_eq!(view.apply(batch(2, [put("/a", "1", 2), gone("/b"), gone("/c")])), [key("/b")]);
        assert_eq!((view.len(), view.position()), (1, at(2)));
        assert_eq!(view.apply(batch(2, [gone("/a"), put("/a", "1", 2)])), [], "there and back in one batch");
        assert_eq!(view.get("/a").map(|entry| entry.revision), Some(2));
    }

    #[test]
    fn an_older_view_stays_as_it_was() {
        let mut view = View::empty(at(0));
        view.apply(batch(1, [put("/a", "1", 1)]));
        let older = view.clone();
        view.apply(batch(2, [put("/a", "2", 2)]));
        assert_eq!(older.get("/a").unwrap().value, "1".into());
        assert_eq!(older.differences(&view), [key("/a")]);
    }

    #[test]
    fn neighbours_with_the_same_beginning_are_not_below_a_prefix() {
        let mut view = View::empty(at(0));
        view.apply(batch(1, ["/app", "/app-x/a", "/app/a", "/apple", "/app/b"].map(|name| put(name, "", 1))));
        let below: Vec<_> = view.below(&Prefix::new("/app")).map(|(key, _)| key.to_string()).collect();
        assert_eq!(below, ["/app", "/app/a", "/app/b"]);
    }

    #[test]
    fn keys_that_are_not_clean_are_noticed_and_forgotten() {
        let mut view = View::empty(at(0));
        view.apply(batch(1, [put("a", "1", 1), put("/b", "1", 1)]));
        assert!(!view.is_clean());
        view.apply(batch(2, [gone("a")]));
        assert!(view.is_clean());
    }

    #[test]
    fn a_beginning_ends_before_the_next_text() {
        assert_eq!(after_all_starting_with("/a/").as_deref(), Some("/a0"));
        assert_eq!(after_all_starting_with("/\u{d7ff}").as_deref(), Some("/\u{e000}"));
        assert_eq!(after_all_starting_with("/\u{10ffff}").as_deref(), Some("0"));
        assert_eq!(after_all_starting_with("\u{10ffff}"), None);
    }

    proptest! {
        #[test]
        fn what_starts_with_a_text_is_found(
            names in prop::collection::btree_set("[ab/\u{7f}\u{10ffff}]{1,4}", 0..30),
            start in "[ab/\u{7f}\u{10ffff}]{0,3}", from in "[ab/]{0,3}",
        ) {
            let mut view = View::empty(at(0));
            view.apply(batch(1, names.iter().map(|name| put(name, "", 1)).collect::<Vec<_>>()));
            let found: Vec<_> = view.starting_with(&start, &from).map(|(key, _)| key.to_string()).collect();
            let wanted: Vec<_> =
                names.into_iter().filter(|name| name.starts_with(&start) && *name >= from).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn a_view_is_what_its_changes_say(
            steps in prop::collection::vec(("/[ab]/[a-c]", prop::option::of("[xy]")), 0..40)
        ) {
            let mut view = View::empty(at(0));
            let mut model = BTreeMap::new();
            for (number, (name, value)) in (1..).zip(steps) {
                let before = model.clone();
                match &value {
                    Some(value) => drop(model.insert(name.clone(), value.clone())),
                    None => drop(model.remove(&name)),
                }
                let change = value.map_or_else(|| gone(&name), |value| put(&name, &value, number));
                let changed = view.apply(batch(number, [change]));
                prop_assert_eq!(!changed.is_empty(), before != model);
            }
            let shown: BTreeMap<_, _> = view.starting_with("", "").map(|(key, entry)| {
                (key.to_string(), entry.value.as_text().unwrap().to_owned())
            }).collect();
            prop_assert_eq!(shown, model);
        }
    }
}
