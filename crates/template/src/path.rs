//! Paths: `path.Clean`, `path.Base` and `path.Dir` of Go, on bytes.

use crate::Text;

/// The shortest path that means the same: no empty, `.` or inner `..` parts; `.` for nothing.
pub(crate) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if rooted => {}
            part => parts.push(part),
        }
    }
    let mut clean = if rooted { vec![b'/'] } else { Vec::with_capacity(path.len()) };
    clean.extend_from_slice(&parts.join(&b'/'));
    if clean.is_empty() { vec![b'.'] } else { clean }
}

/// The last part.
pub(crate) fn base(path: &Text) -> Text {
    let Some(last) = path.iter().rposition(|b| *b != b'/') else {
        return Text::from(if path.is_empty() { "." } else { "/" });
    };
    let start = path[..=last].iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    path.slice(start..=last)
}

/// All but the last part, cleaned.
pub(crate) fn dir(path: &Text) -> Text {
    let end = path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    Text::from(clean(&path[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        let cases = [
            ("", "."),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("a/../..", ".."),
            ("/../a", "/a"),
            ("./a/.", "a"),
            ("../../a", "../../a"),
        ];
        for (path, expected) in cases {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn base_and_dir_take_a_path_apart() {
        let cases = [
            ("", ".", "."),
            ("/", "/", "/"),
            ("a/b/", "b", "a/b"),
            ("/a/../b//c", "c", "/b"),
            ("a", "a", "."),
        ];
        for (path, expected_base, expected_dir) in cases {
            let path = Text::from(path);
            assert_eq!((base(&path), dir(&path)), (Text::from(expected_base), Text::from(expected_dir)));
        }
    }
}
