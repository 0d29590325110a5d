//! Globs: the patterns of `gets` and `getvs`, which are Go's `path.Match`.
//!
//! `*` and `?` do not match `/`, a class does; `\` escapes; `[^a]` negates and `[!a]` does not. A malformed
//! pattern is an error whatever it is matched against (<https://pkg.go.dev/path#Match>).

use crate::Text;
use crate::unicode::decode;

/// A checked pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: Text,
    literal: usize, // so many bytes of the pattern stand for themselves
    rest: Rest,
}

#[derive(Clone, Debug)]
enum Rest {
    Nothing,
    Star, // a single `*` to the end
    Chunks(Vec<Chunk>),
}

/// What stands between two stars.
#[derive(Clone, Debug)]
struct Chunk {
    star: bool, // a star comes before
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    Byte(u8),
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// The pattern is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

impl Glob {
    /// Checks and prepares `pattern`.
    ///
    /// # Errors
    ///
    /// [`BadPattern`] for an unclosed, empty or reversed class and for a `\` at the end.
    pub fn new(pattern: Text) -> Result<Glob, BadPattern> {
        let literal =
            pattern.iter().position(|b| matches!(b, b'*' | b'?' | b'[' | b'\\')).unwrap_or(pattern.len());
        let rest = match &pattern[literal..] {
            b"" => Rest::Nothing,
            b"*" => Rest::Star,
            rest => Rest::Chunks(chunks(rest)?),
        };
        Ok(Glob { pattern, literal, rest })
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &Text {
        &self.pattern
    }

    /// What every matching name starts with.
    pub fn prefix(&self) -> &[u8] {
        &self.pattern[..self.literal]
    }

    /// Whether the pattern matches only the name that it spells.
    pub fn is_literal(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Whether all below the first `/` after the prefix is out of the pattern's reach.
    pub(crate) fn is_one_level(&self) -> bool {
        matches!(self.rest, Rest::Star)
    }

    /// Whether the pattern matches all of `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        let Some(name) = name.strip_prefix(self.prefix()) else { return false };
        match &self.rest {
            Rest::Nothing => name.is_empty(),
            Rest::Star => memchr::memchr(b'/', name).is_none(),
            Rest::Chunks(chunks) => match_chunks(chunks, name),
        }
    }
}

/// A chunk that matched is never reconsidered: with stars that stop at `/`, the leftmost match of each
/// chunk leaves the most to the next.
fn match_chunks(chunks: &[Chunk], mut name: &[u8]) -> bool {
    for (index, chunk) in chunks.iter().enumerate() {
        let last = index + 1 == chunks.len();
        if chunk.star && chunk.items.is_empty() {
            return memchr::memchr(b'/', name).is_none();
        }
        let fits = |rest: &&[u8]| !last || rest.is_empty();
        let mut matched = chunk.matches(name).filter(fits);
        if matched.is_none() && chunk.star {
            let reach = memchr::memchr(b'/', name).unwrap_or(name.len());
            matched = (1..=reach).find_map(|skip| chunk.matches(&name[skip..]).filter(fits));
        }
        match matched {
            Some(rest) => name = rest,
            None => return false,
        }
    }
    name.is_empty()
}

impl Chunk {
    /// What is left of `name` after the chunk.
    fn matches<'a>(&self, mut name: &'a [u8]) -> Option<&'a [u8]> {
        for item in &self.items {
            let (c, width) = decode(name)?;
            let width = match item {
                Item::Byte(byte) if *byte == name[0] => 1,
                Item::Any if name[0] != b'/' => width,
                Item::Class { negated, ranges }
                    if ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated =>
                {
                    width
                }
                _ => return None,
            };
            name = &name[width..];
        }
        Some(name)
    }
}

fn chunks(mut pattern: &[u8]) -> Result<Vec<Chunk>, BadPattern> {
    let mut chunks = Vec::new();
    while !pattern.is_empty() {
        let stars = pattern.iter().take_while(|b| **b == b'*').count();
        let length = chunk_length(&pattern[stars..]);
        let items = items(&pattern[stars..stars + length])?;
        chunks.push(Chunk { star: stars > 0, items });
        pattern = &pattern[stars + length..];
    }
    Ok(chunks)
}

/// Up to the next star that is not in a class. Inside a class only an escape protects a `]` here, as in
/// Go, whose scanner knows no more about classes.
fn chunk_length(pattern: &[u8]) -> usize {
    let (mut at, mut in_class) = (0, false);
    while at < pattern.len() {
        match pattern[at] {
            b'\\' if at + 1 < pattern.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    at
}

fn items(mut chunk: &[u8]) -> Result<Vec<Item>, BadPattern> {
    let mut items = Vec::new();
    while let Some((&first, after)) = chunk.split_first() {
        chunk = after;
        items.push(match first {
            b'[' => class(&mut chunk)?,
            b'?' => Item::Any,
            b'\\' => {
                let (&escaped, after) = chunk.split_first().ok_or(BadPattern)?;
                chunk = after;
                Item::Byte(escaped)
            }
            byte => Item::Byte(byte),
        });
    }
    Ok(items)
}

/// The class after its `[`; leaves `chunk` after the `]`.
fn class(chunk: &mut &[u8]) -> Result<Item, BadPattern> {
    let negated = chunk.first() == Some(&b'^');
    if negated {
        *chunk = &chunk[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if chunk.first() == Some(&b']') && !ranges.is_empty() {
            *chunk = &chunk[1..];
            return Ok(Item::Class { negated, ranges });
        }
        let low = class_char(chunk)?;
        let mut high = low;
        if chunk.first() == Some(&b'-') {
            *chunk = &chunk[1..];
            high = class_char(chunk)?;
        }
        ranges.push((low, high));
    }
}

/// One character of a class, which cannot be the last of the pattern.
fn class_char(chunk: &mut &[u8]) -> Result<char, BadPattern> {
    if matches!(chunk.first(), None | Some(b'-' | b']')) {
        return Err(BadPattern);
    }
    if chunk[0] == b'\\' {
        *chunk = &chunk[1..];
    }
    let (c, width) = decode(chunk).ok_or(BadPattern)?;
    if (c == char::REPLACEMENT_CHARACTER && width == 1) || width == chunk.len() {
        return Err(BadPattern);
    }
    *chunk = &chunk[width..];
    Ok(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &'static str, name: &str) -> bool {
        Glob::new(Text::from(pattern)).expect("a good pattern").matches(name.as_bytes())
    }

    #[test]
    fn stars_stay_within_a_level() {
        assert!(matches("/a/*", "/a/b") && matches("/a/*", "/a/") && !matches("/a/*", "/a/b/c"));
        assert!(matches("/*/x", "/a/x") && !matches("/*/x", "/a/b/x"));
        assert!(matches("/a*b*c", "/aXbbYc") && !matches("/a*b*c", "/a/bc"));
        assert!(matches("/**", "/ab") && !matches("*", "/ab"));
    }

    #[test]
    fn classes_take_ranges_and_negate_with_a_caret() {
        assert!(matches("/[a-c]", "/b") && matches("/[!a]", "/a") && matches("/[!a]", "/!"));
        assert!(matches("/[^a]", "/b") && !matches("/[^a]", "/a") && matches("/[é]", "/é"));
        assert!(matches("a[^b]c", "a/c"), "a class may match a slash");
    }

    #[test]
    fn escapes_stand_for_themselves() {
        assert!(matches("/a\\?", "/a?") && !matches("/a\\?", "/ab") && matches("/\\\\", "/\\"));
        assert!(matches("/[\\]]", "/]"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["[", "[]", "[]a]", "[-a]", "[a-]", "[a", "\\", "[^]", "a[\\", "x*["] {
            assert_eq!(Glob::new(Text::from(pattern)).err(), Some(BadPattern), "{pattern}");
        }
    }
}
