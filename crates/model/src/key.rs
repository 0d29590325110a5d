//! Keys and prefixes, as the stores spell them.
//!
//! A key is kept exactly as its store has it, with or without a leading slash. Templates see the
//! cleaned name ([`Key::name`]); nearly every key is its own name, and then nothing is copied.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;

/// A key of a store: text, not empty, without NUL. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(ByteString);

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The text has no character.
    #[error("a key cannot be empty")]
    Empty,
    /// The text holds a NUL, which most stores refuse or use for themselves.
    #[error("a key cannot hold a NUL character")]
    Nul,
    /// The bytes are not UTF-8.
    #[error("a key must be UTF-8 text")]
    NotText,
}

impl Key {
    /// Takes `text` as a key, exactly as it is.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if it is empty or holds a NUL.
    pub fn new(text: impl Into<ByteString>) -> Result<Key, InvalidKey> {
        let text = text.into();
        match text.as_bytes().as_ref() {
            [] => Err(InvalidKey::Empty),
            bytes if bytes.contains(&0) => Err(InvalidKey::Nul),
            _ => Ok(Key(text)),
        }
    }

    /// The same from bytes, as stores hand them out.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`], also if the bytes are not UTF-8.
    pub fn from_bytes(bytes: impl Into<bytes::Bytes>) -> Result<Key, InvalidKey> {
        let text = ByteString::try_from(bytes.into()).map_err(|_| InvalidKey::NotText)?;
        Key::new(text)
    }

    /// The key that a variable of the environment stands for: `APP_DB_HOST` is `/app/db/host`, as
    /// confd's env backend reads it. A name that is empty or not a key gives none.
    pub fn from_env_name(name: &str) -> Option<Key> {
        (!name.is_empty()).then(|| format!("/{}", name.to_lowercase().replace('_', "/")))?.try_into().ok()
    }

    /// The key as its store spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same as bytes, to be shared without a copy.
    pub fn bytes(&self) -> &bytes::Bytes {
        self.0.as_bytes()
    }

    /// The name under which templates see the key: absolute and clean, as Go's `path.Join("/", key)`
    /// gives it.
    pub fn name(&self) -> Cow<'_, str> {
        clean_path(&self.0)
    }

    /// True if the key is its own [`name`](Key::name).
    pub fn is_clean(&self) -> bool {
        matches!(self.name(), Cow::Borrowed(_))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", &*self.0)
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Key, InvalidKey> {
        Key::new(text)
    }
}

impl std::str::FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Key, InvalidKey> {
        Key::new(text)
    }
}

/// A path and all below it: `/app` holds `/app` and `/app/db`, not `/apple`.
///
/// Trailing slashes do not count. The empty prefix, also written `/`, holds every key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Prefix(ByteString);

impl Prefix {
    /// The prefix that holds every key.
    pub fn all() -> Prefix {
        Prefix::default()
    }

    /// Takes a path; trailing slashes are dropped.
    pub fn new(path: &str) -> Prefix {
        Prefix(path.trim_end_matches('/').into())
    }

    /// The path, without a trailing slash; empty for the prefix of every key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `key` is the path itself or below it.
    pub fn contains(&self, key: &Key) -> bool {
        self.contains_str(key.as_str())
    }

    /// True if everything below `other` is below this prefix too.
    pub fn covers(&self, other: &Prefix) -> bool {
        self.contains_str(other.as_str())
    }

    /// True if every key that starts with `text` is the path or below it: `/app` covers `/app/`, not `/ap`
    /// and not `/app`, with which `/apple` starts too.
    pub fn covers_text(&self, text: &str) -> bool {
        text.strip_prefix(&*self.0).is_some_and(|rest| self.0.is_empty() || rest.starts_with('/'))
    }

    /// Drops the prefixes that others of the list cover, and sorts the rest: what a store has to be
    /// asked for, each key once.
    pub fn minimal(prefixes: impl IntoIterator<Item = Prefix>) -> Vec<Prefix> {
        let mut sorted: Vec<Prefix> = prefixes.into_iter().collect();
        sorted.sort();
        sorted.dedup();
        let is_covered = |one: &Prefix| sorted.iter().any(|other| other != one && other.covers(one));
        sorted.iter().filter(|one| !is_covered(one)).cloned().collect()
    }

    fn contains_str(&self, path: &str) -> bool {
        match path.strip_prefix(&*self.0) {
            Some(rest) => self.0.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({:?})", &*self.0)
    }
}

/// Makes `path` absolute and clean, as Go's `path.Join("/", path)` does: no empty, `.` or `..`
/// segments, no trailing slash.
///
/// Source: Go's documentation of `path.Clean`; `..` at the root is dropped.
pub fn clean_path(path: &str) -> Cow<'_, str> {
    let inner = path.strip_prefix('/');
    let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if inner.is_some_and(|inner| inner.is_empty() || inner.split('/').all(is_plain)) {
        return Cow::Borrowed(path);
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            plain => segments.push(plain),
        }
    }
    Cow::Owned(format!("/{}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn a_prefix_holds_itself_and_what_is_below_it() {
        let app = Prefix::new("/app/");
        assert!(app.contains(&key("/app")) && app.contains(&key("/app/db")) && app.contains(&key("/app/")));
        assert!(!app.contains(&key("/apple")) && !app.contains(&key("/ap")) && !app.contains(&key("app/db")));
        assert!(Prefix::new("/").contains(&key("no/slash")));
    }

    #[test]
    fn covered_prefixes_are_dropped() {
        let list = ["/b/c", "/a", "/b", "/b-x", "/a"].map(Prefix::new);
        assert_eq!(Prefix::minimal(list), ["/a", "/b", "/b-x"].map(Prefix::new));
        assert_eq!(Prefix::minimal([Prefix::new("/a"), Prefix::all()]), [Prefix::all()]);
    }

    #[test]
    fn names_are_clean_and_absolute() {
        let cases = [
            ("a", "/a"),
            ("/a//b/", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../a", "/a"),
            ("/", "/"),
            ("..", "/"),
        ];
        for (raw, clean) in cases {
            assert_eq!(clean_path(raw), clean, "{raw}");
        }
        assert!(key("/web/port").is_clean() && !key("web/port").is_clean() && !key("/web/").is_clean());
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        assert_eq!(Key::new(""), Err(InvalidKey::Empty));
        assert_eq!(Key::new("/a\0"), Err(InvalidKey::Nul));
        assert_eq!(Key::from_bytes(vec![0xff]), Err(InvalidKey::NotText));
    }

    #[test]
    fn environment_names_become_paths() {
        assert_eq!(Key::from_env_name("APP_DB_HOST"), Some(key("/app/db/host")));
        assert_eq!(Key::from_env_name(""), None);
    }

    proptest::proptest! {
        #[test]
        fn cleaning_twice_is_cleaning_once(path in "[a./]{0,12}") {
            let once = clean_path(&path).into_owned();
            proptest::prop_assert_eq!(clean_path(&once), once.as_str());
            proptest::prop_assert!(once.starts_with('/'));
        }
    }
}
