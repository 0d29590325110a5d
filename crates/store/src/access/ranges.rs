//! Sets of keys that a user may touch, and whether a request stays within one.

/// Every key under some prefixes, as ranges that neither touch nor overlap, in order.
#[derive(Debug)]
pub(super) struct Ranges(Vec<Range>);

#[derive(Debug)]
struct Range {
    first: Vec<u8>,
    /// Past the last; none is the end of all keys.
    end: Option<Vec<u8>>,
}

impl Ranges {
    pub(super) fn of(prefixes: &[String]) -> Ranges {
        let range =
            |prefix: &String| Range { first: prefix.clone().into_bytes(), end: end_of(prefix.as_bytes()) };
        let mut sorted: Vec<Range> = prefixes.iter().map(range).collect();
        sorted.sort_by(|one, other| one.first.cmp(&other.first));
        let mut merged: Vec<Range> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if last.end.as_ref().is_none_or(|end| *end >= range.first) => {
                    last.end = match (last.end.take(), range.end) {
                        (Some(one), Some(other)) => Some(one.max(other)),
                        _ => None,
                    };
                }
                _ => merged.push(range),
            }
        }
        Ranges(merged)
    }

    /// True when every key that a request for `key` and `range_end` can mean is in here.
    ///
    /// As `rpc.proto` has it, an empty `range_end` is the one key, and `"\0"` all from `key` on. A range that
    /// ends where it begins, or before, is in no set.
    pub(super) fn cover(&self, key: &[u8], range_end: &[u8]) -> bool {
        match range_end {
            [] => self.0.iter().any(|range| range.has(key)),
            [0] => self.0.iter().any(|range| range.has(key) && range.end.is_none()),
            end if end <= key => false,
            end => self
                .0
                .iter()
                .any(|range| range.has(key) && range.end.as_deref().is_none_or(|last| end <= last)),
        }
    }
}

impl Range {
    fn has(&self, key: &[u8]) -> bool {
        *self.first <= *key && self.end.as_deref().is_none_or(|end| key < end)
    }
}

/// The first key after all with the prefix; none when nothing comes after them.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(prefixes: &[&str]) -> Ranges {
        Ranges::of(&prefixes.iter().map(|prefix| (*prefix).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_key_is_in_a_prefix_that_it_begins_with() {
        let test = ranges(&["/test/"]);
        for (key, is_in) in
            [("/test/", true), ("/test/a", true), ("/test", false), ("/test0", false), ("/other", false)]
        {
            assert_eq!(test.cover(key.as_bytes(), b""), is_in, "{key}");
        }
    }

    #[test]
    fn a_range_is_in_a_prefix_when_all_of_it_is() {
        let test = ranges(&["/test/"]);
        for (key, end, is_in) in [
            ("/test/", "/test0", true),
            ("/test/a", "/test/b", true),
            ("/test/", "/test1", false),
            ("/test", "/test0", false),
            ("/test/a", "\0", false),
            ("\0", "\0", false),
            ("/a", "/z", false),
        ] {
            assert_eq!(test.cover(key.as_bytes(), end.as_bytes()), is_in, "{key:?} to {end:?}");
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_in_no_set() {
        let all = ranges(&[""]);
        assert!(!all.cover(b"b", b"b") && !all.cover(b"b", b"a"));
    }

    #[test]
    fn the_empty_prefix_is_everything() {
        let all = ranges(&["", "/test/"]);
        for (key, end) in [("\0", "\0"), ("a", ""), ("a", "b"), ("/test/", "\0")] {
            assert!(all.cover(key.as_bytes(), end.as_bytes()), "{key:?} to {end:?}");
        }
        assert!(all.cover(&[0xff, 0xff], b"\0"));
    }

    #[test]
    fn nothing_is_in_no_prefixes() {
        let none = ranges(&[]);
        assert!(!none.cover(b"a", b"") && !none.cover(b"a", b"b") && !none.cover(b"\0", b"\0"));
    }

    #[test]
    fn neighbours_are_one_range_and_gaps_are_not() {
        let neighbours = ranges(&["/b", "/a", "/a/x"]);
        assert!(neighbours.cover(b"/a", b"/c"), "{neighbours:?}");
        let apart = ranges(&["/a", "/c"]);
        assert!(!apart.cover(b"/a", b"/d") && apart.cover(b"/c", b"/d"), "{apart:?}");
    }

    #[test]
    fn a_prefix_of_the_highest_bytes_has_no_end() {
        assert_eq!(end_of(&[0xff, 0xff]), None);
        assert_eq!(end_of(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(end_of(b""), None);
    }
}
