//! What is told: lines for people, or an object a line for scripts. Keys are shown, values never.

use std::fmt::Write;
use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use waypost_model::Position;

use crate::kv::print;

/// How many keys of a kind are named, unless all are asked for.
const NAMED: usize = 20;

/// How the copy is told about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    pub(super) json: bool,
    pub(super) all: bool,
}

/// What came of it, in numbers.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) dry_run: bool,
    pub(super) copied: usize,
    pub(super) overwritten: usize,
    pub(super) equal: usize,
    pub(super) leased: usize,
    pub(super) differing: usize,
    pub(super) changed: usize,
    pub(super) failed: usize,
    pub(super) only_at_target: usize,
    /// None if nothing was looked at again.
    pub(super) verified: Option<usize>,
}

impl Report {
    /// Says what was read of a side.
    pub(super) fn read(self, side: &str, shown: &str, position: Position, keys: usize) -> io::Result<()> {
        let revision = position.revision;
        if self.json {
            let cluster = position.store.to_string();
            return self
                .object(&json!({ "read": side, "cluster": cluster, "revision": revision, "keys": keys }));
        }
        print(&format!("read {} from {shown} at revision {revision}\n", count(keys, "key")))
    }

    /// Names keys that are left: `state` in a word, `why` for people.
    pub(super) fn left(self, state: &str, why: &str, keys: &[Vec<u8>]) -> io::Result<()> {
        if self.json {
            return keys.iter().try_for_each(|key| self.object(&left(key, state, None)));
        }
        if keys.is_empty() {
            return Ok(());
        }
        let named = if self.all { keys.len() } else { keys.len().min(NAMED) };
        let mut text = format!("{}, {why}:\n", count(keys.len(), "key"));
        keys[..named].iter().for_each(|key| text.push_str(&format!("  {}\n", shown(key))));
        if named < keys.len() {
            text.push_str(&format!("  and {} more; --verbose names them all\n", keys.len() - named));
        }
        print(&text)
    }

    /// Names keys that the target refused, and why.
    pub(super) fn failed(self, failed: &[(Vec<u8>, String)]) -> io::Result<()> {
        if self.json {
            return failed.iter().try_for_each(|(key, why)| self.object(&left(key, "failed", Some(why))));
        }
        let named = if self.all { failed.len() } else { failed.len().min(NAMED) };
        for (_, why) in &failed[..named] {
            print(&format!("not copied: {why}\n"))?;
        }
        match failed.len() - named {
            0 => Ok(()),
            more => print(&format!("and {more} more not copied; --verbose names them all\n")),
        }
    }

    /// Sums up.
    pub(super) fn totals(self, totals: &Totals) -> io::Result<()> {
        if self.json { self.object(&totals.object()) } else { print(&totals.line()) }
    }

    fn object(self, object: &Value) -> io::Result<()> {
        print(&format!("{object}\n"))
    }
}

impl Totals {
    /// How many keys are not at the target as they are at the source, though they should be.
    pub(super) fn wrong(&self) -> usize {
        self.differing + self.changed + self.failed
    }

    fn object(&self) -> Value {
        let mut object = json!({
            "copied": self.copied, "overwritten": self.overwritten, "equal": self.equal, "leased": self.leased,
            "differing": self.differing, "changed": self.changed, "failed": self.failed,
            "only_at_target": self.only_at_target, "dry_run": self.dry_run,
        });
        if let Some(verified) = self.verified {
            object["verified"] = verified.into();
        }
        object
    }

    fn line(&self) -> String {
        let mut line = if self.dry_run { "would copy " } else { "copied " }.to_owned();
        line.push_str(&count(self.copied, "key"));
        let others = [
            (self.overwritten, if self.dry_run { "would overwrite" } else { "overwrote" }, true),
            (self.equal, "equal", false),
            (self.leased, "left to announcers", false),
            (self.differing, "differing and left", false),
            (self.changed, "changed meanwhile and left", false),
            (self.failed, "not copied", false),
            (self.only_at_target, "only at the target", false),
        ];
        for (number, what, is_verb) in others.into_iter().filter(|(number, ..)| *number > 0) {
            let part = if is_verb { format!(", {what} {number}") } else { format!(", {number} {what}") };
            line.push_str(&part);
        }
        line.push('\n');
        if let Some(verified) = self.verified {
            line.push_str(&format!("verified {}\n", count(verified, "key")));
        }
        line
    }
}

fn left(key: &[u8], state: &str, why: Option<&str>) -> Value {
    let mut object = match std::str::from_utf8(key) {
        Ok(key) => json!({ "key": key }),
        Err(_) => json!({ "key_base64": BASE64_STANDARD.encode(key) }),
    };
    object["left"] = state.into();
    if let Some(why) = why {
        object["why"] = why.into();
    }
    object
}

/// `1 key`, `2 keys`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A key of any bytes as text that a terminal takes for nothing else.
fn shown(key: &[u8]) -> String {
    let mut text = String::new();
    for chunk in key.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() { text.extend(char.escape_default()) } else { text.push(char) }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_bytes_are_shown_as_text() {
        assert_eq!(shown(b"/web/\xc3\xbc/\xff\x00\x1b[31m"), "/web/ü/\\xff\\u{0}\\u{1b}[31m");
    }

    #[test]
    fn the_summary_leaves_out_what_there_is_none_of() {
        let totals = Totals { copied: 1, equal: 2, verified: Some(3), ..Totals::default() };
        assert_eq!(totals.line(), "copied 1 key, 2 equal\nverified 3 keys\n");
        let totals = Totals { dry_run: true, overwritten: 4, ..Totals::default() };
        assert_eq!(totals.line(), "would copy 0 keys, would overwrite 4\n");
    }

    #[test]
    fn a_key_that_is_no_text_is_told_in_base64() {
        assert_eq!(left(b"\xff\x00", "leased", None), json!({ "key_base64": "/wA=", "left": "leased" }));
        let why = left(b"/a", "failed", Some("too large"));
        assert_eq!(why, json!({ "key": "/a", "left": "failed", "why": "too large" }));
    }
}
