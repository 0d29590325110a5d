//! Characters as Go's `unicode` and `utf8` packages see them.
//!
//! Go classifies by general category and maps case one character to one; Rust's `char` methods go by
//! derived properties (`Alphabetic`, `Uppercase`) and map one to many, so both are bridged here.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// The character at the start of `bytes` and its width; an ill-formed byte is U+FFFD and one byte wide.
/// `None` at the end.
pub(crate) fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((char::from(first), 1));
    }
    let width = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Some((char::REPLACEMENT_CHARACTER, 1)),
    };
    let whole = bytes.get(..width).and_then(|part| std::str::from_utf8(part).ok());
    match whole.and_then(|part| part.chars().next()) {
        Some(c) => Some((c, width)),
        None => Some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

/// The characters of `bytes` with their offsets, ill-formed bytes as U+FFFD.
pub(crate) fn chars(bytes: &[u8]) -> impl Iterator<Item = (usize, char, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (c, width) = decode(&bytes[at..])?;
        let start = at;
        at += width;
        Some((start, c, width))
    })
}

/// How many characters `bytes` holds, each ill-formed byte counting as one (`utf8.RuneCount`).
pub(crate) fn count(bytes: &[u8]) -> usize {
    if bytes.is_ascii() { bytes.len() } else { chars(bytes).count() }
}

/// Appends `c` in UTF-8.
pub(crate) fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

pub(crate) fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    use Category::{LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter};
    matches!(
        get_general_category(c),
        UppercaseLetter | LowercaseLetter | TitlecaseLetter | ModifierLetter | OtherLetter
    )
}

pub(crate) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && get_general_category(c) == Category::DecimalNumber)
}

/// Whether `c` may stand in a name: a letter, a digit or `_`.
pub(crate) fn is_alphanumeric(c: char) -> bool {
    c == '_' || is_letter(c) || is_digit(c)
}

pub(crate) fn is_upper(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_uppercase() } else { get_general_category(c) == Category::UppercaseLetter }
}

pub(crate) fn is_lower(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_lowercase() } else { get_general_category(c) == Category::LowercaseLetter }
}

/// Whether Go prints `c` as it is (`strconv.IsPrint`): letters, marks, numbers, punctuation, symbols and
/// the ASCII space.
pub(crate) fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    use Category::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator};
    use Category::{Surrogate, Unassigned};
    !matches!(
        get_general_category(c),
        Control
            | Format
            | LineSeparator
            | ParagraphSeparator
            | PrivateUse
            | SpaceSeparator
            | Surrogate
            | Unassigned
    )
}

/// `unicode.ToUpper`: one character to one, so `ß` stays.
pub(crate) fn to_upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        // What is left has a mapping to several characters; only the Greek letters with a iota below
        // have one to a single character as well.
        _ => match c {
            '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => shifted(c, 8),
            '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => shifted(c, 9),
            _ => c,
        },
    }
}

/// `unicode.ToLower`: one character to one, so `İ` becomes `i`.
pub(crate) fn to_lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(lower), None) => lower,
        _ if c == '\u{130}' => 'i',
        _ => c,
    }
}

fn shifted(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

/// Maps every character of `text` (`strings.Map`); ill-formed bytes become U+FFFD.
pub(crate) fn map(text: &[u8], change: impl Fn(char) -> char) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (_, c, _) in chars(text) {
        push(&mut out, change(c));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_maps_one_character_to_one() {
        assert_eq!(to_upper('ß'), 'ß');
        assert_eq!(to_upper('ŉ'), 'ŉ');
        assert_eq!(to_upper('ᾳ'), 'ᾼ');
        assert_eq!(to_upper('ა'), 'Ა');
        assert_eq!(to_lower('İ'), 'i');
        assert_eq!(to_lower('ẞ'), 'ß');
    }

    #[test]
    fn an_ill_formed_byte_is_one_character() {
        assert_eq!(count(b"a\xE4\xB8b"), 4);
        assert_eq!(decode(b"\xC0\x80"), Some((char::REPLACEMENT_CHARACTER, 1)));
    }

    #[test]
    fn letters_and_digits_go_by_category() {
        assert!(is_letter('名') && is_letter('ª') && !is_letter('Ⅷ') && !is_letter('\u{345}'));
        assert!(is_digit('٣') && !is_digit('²'));
    }

    #[test]
    fn spaces_other_than_ascii_are_not_printable() {
        assert!(is_print(' ') && is_print('世') && is_print('\u{FFFD}'));
        assert!(!is_print('\u{A0}') && !is_print('\u{200B}') && !is_print('\u{7F}'));
    }
}
