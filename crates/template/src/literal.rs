//! Literals: quoted strings, characters and numbers as Go reads and writes them (`strconv`).

use crate::unicode::{chars, count, decode, is_print, push};

/// A number literal can be several things at once: `1e3` fits an int as well, `'a'` a float.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Number {
    pub(crate) int: Option<i64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
    /// Written as a float: with a point or an exponent.
    pub(crate) looks_float: bool,
}

/// Reads a number literal (not a character).
pub(crate) fn number(text: &[u8]) -> Result<Number, String> {
    let text = std::str::from_utf8(text).map_err(|_| "illegal number syntax".to_owned())?;
    if let Some(imaginary) = text.strip_suffix('i')
        && let Some(value) = parse_float(imaginary)
    {
        return Ok(from_complex(0.0, value));
    }
    let looks_float = text.contains(['.', 'e', 'E', 'p', 'P']);
    // Go's test for hexadecimal looks at the first character only, so that `-0x1e` is a float.
    let hex =
        text.len() > 2 && (text.starts_with("0x") || text.starts_with("0X")) && !text.contains(['p', 'P']);
    let mut number = Number { looks_float: looks_float && !hex, ..Number::default() };
    number.int = parse_int(text);
    let unsigned = parse_unsigned(text);
    if let Some(int) = number.int {
        number.float = Some(int as f64);
    } else if let Some(unsigned) = unsigned {
        number.float = Some(unsigned as f64);
    } else if let Some(float) = parse_float(text) {
        if !looks_float {
            return Err(format!("integer overflow: {text:?}"));
        }
        number.float = Some(float);
        number.int = whole(float);
    } else {
        return Err(format!("illegal number syntax: {text:?}"));
    }
    Ok(number)
}

/// Reads a complex literal such as `1+2i`.
pub(crate) fn complex(text: &[u8]) -> Result<Number, String> {
    let bad = || "illegal complex number syntax".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let body = text.strip_suffix('i').ok_or_else(bad)?;
    let mut parts = (1..body.len())
        .filter(|at| matches!(body.as_bytes()[*at], b'+' | b'-'))
        .filter_map(|at| Some((scanned_float(&body[..at])?, scanned_float(&body[at..])?)));
    let (re, im) = parts.next_back().ok_or_else(bad)?;
    Ok(from_complex(re, im))
}

/// Reads a character literal with its quotes: an int, and a float too.
pub(crate) fn character(text: &[u8]) -> Result<Number, String> {
    let mut rest = &text[1..];
    let unit = unquote_unit(&mut rest, b'\'').ok_or("invalid syntax")?;
    if rest != b"'" {
        return Err(format!("malformed character constant: {}", String::from_utf8_lossy(text)));
    }
    let value = match unit {
        Unit::Byte(byte) => i64::from(byte),
        Unit::Char(c) => i64::from(u32::from(c)),
    };
    Ok(Number { int: Some(value), float: Some(value as f64), ..Number::default() })
}

fn from_complex(re: f64, im: f64) -> Number {
    let real = (im == 0.0).then_some(re);
    Number { int: real.and_then(whole), float: real, complex: Some((re, im)), looks_float: false }
}

/// The int that `float` stands for exactly.
fn whole(float: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2^63
    ((-LIMIT..LIMIT).contains(&float) && float.trunc() == float).then_some(float as i64)
}

/// `strconv.ParseInt(text, 0, 64)`.
fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_unsigned(digits)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// `strconv.ParseUint(text, 0, 64)`.
fn parse_unsigned(text: &str) -> Option<u64> {
    if !underscores_fit(text) || !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let lower = text.to_ascii_lowercase().replace('_', "");
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, base).ok() }
}

/// Underscores may stand between digits and after a base prefix only.
fn underscores_fit(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let text = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let prefixed = ["0x", "0o", "0b"].iter().any(|prefix| text.starts_with(prefix));
    let hex = text.starts_with("0x");
    let mut previous = if prefixed { '0' } else { '^' };
    for c in text.chars().skip(if prefixed { 2 } else { 0 }) {
        let digit = c.is_ascii_digit() || (hex && c.is_ascii_hexdigit());
        match (previous, c) {
            (_, _) if digit => previous = '0',
            ('0', '_') => previous = '_',
            (_, '_') | ('_', _) => return false,
            _ => previous = '!',
        }
    }
    previous != '_'
}

/// `strconv.ParseFloat` of a decimal or hexadecimal number; none if it is no number or too large.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    if !underscores_fit(text) {
        return None;
    }
    let clean = text.replace('_', "");
    let unsigned = clean.trim_start_matches(['+', '-']);
    if clean.len() - unsigned.len() > 1 || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value = match unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        Some(hex) => parse_hex_float(hex)?,
        None => unsigned.parse().ok()?,
    };
    let value = if clean.starts_with('-') { -value } else { value };
    value.is_finite().then_some(value)
}

/// What follows `0x`: hexadecimal digits with a point, and a binary exponent that may not be missing.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !exponent.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let exponent: i64 = exponent.parse::<i64>().ok()?.clamp(-100_000, 100_000);
    let (mut mantissa, mut shift, mut sticky) = (0u128, 0i64, false);
    for c in whole.chars().chain(fraction.chars()) {
        let digit = c.to_digit(16)?;
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | u128::from(digit);
        } else {
            shift += 4;
            sticky |= digit != 0;
        }
    }
    Some(scale(mantissa, exponent + shift - 4 * fraction.len() as i64, sticky))
}

/// `mantissa * 2^exponent`, rounded once, halves to even; `sticky` says that a bit more was cut off.
fn scale(mantissa: u128, exponent: i64, sticky: bool) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let bits = i64::from(128 - mantissa.leading_zeros());
    let top = bits + exponent; // the value is in [2^(top-1), 2^top)
    if top > 1024 {
        return f64::INFINITY;
    }
    let precision = (top + 1074).clamp(0, 53); // fewer bits for subnormal numbers
    let cut = bits - precision;
    let mut kept = if cut <= 0 { mantissa << -cut } else { mantissa.checked_shr(cut as u32).unwrap_or(0) };
    if cut > 0 {
        let dropped = if cut >= 128 { mantissa } else { mantissa & ((1 << cut) - 1) };
        let half = if cut > 128 { u128::MAX } else { 1u128 << (cut - 1) };
        if dropped > half || (dropped == half && (sticky || kept & 1 == 1)) {
            kept += 1;
        }
    }
    let power = exponent + cut;
    let (first, second) = (power / 2, power - power / 2); // neither overflows nor rounds on the way
    kept as f64 * 2f64.powi(first as i32) * 2f64.powi(second as i32)
}

/// A part of a complex number as `fmt.Sscan` reads it.
fn scanned_float(text: &str) -> Option<f64> {
    let prefixed = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if prefixed.starts_with("0o") || prefixed.starts_with("0b") { None } else { parse_float(text) }
}

/// One character of a string or character literal: `\xff` and `\377` are bytes.
enum Unit {
    Byte(u8),
    Char(char),
}

/// The content of a string literal given with its quotes, double or back (`strconv.Unquote`).
pub(crate) fn unquote(literal: &[u8]) -> Option<Vec<u8>> {
    let body = &literal[1..literal.len() - 1];
    if literal[0] == b'`' {
        return Some(body.iter().copied().filter(|b| *b != b'\r').collect());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        match unquote_unit(&mut rest, b'"')? {
            Unit::Byte(byte) => out.push(byte),
            Unit::Char(c) => push(&mut out, c),
        }
    }
    Some(out)
}

fn unquote_unit(rest: &mut &[u8], quote: u8) -> Option<Unit> {
    let (c, width) = decode(rest)?;
    *rest = &rest[width..];
    match c {
        '\\' => escape(rest, quote),
        '\n' => None,
        c if c == char::from(quote) => None,
        c => Some(Unit::Char(c)),
    }
}

/// What follows a backslash.
fn escape(rest: &mut &[u8], quote: u8) -> Option<Unit> {
    let (&kind, after) = rest.split_first()?;
    *rest = after;
    let c = match kind {
        b'a' => '\u{7}',
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'v' => '\u{B}',
        b'\\' => '\\',
        b'\'' | b'"' if kind == quote => char::from(kind),
        b'x' => return Some(Unit::Byte(u8::try_from(digits(rest, 2, 16)?).ok()?)),
        b'u' => char::from_u32(digits(rest, 4, 16)?)?,
        b'U' => char::from_u32(digits(rest, 8, 16)?)?,
        b'0'..=b'7' => {
            let value = u32::from(kind - b'0') * 64 + digits(rest, 2, 8)?;
            return Some(Unit::Byte(u8::try_from(value).ok()?));
        }
        _ => return None,
    };
    Some(Unit::Char(c))
}

fn digits(rest: &mut &[u8], many: usize, base: u32) -> Option<u32> {
    let mut value = 0u32;
    for &byte in rest.get(..many)? {
        value = value.checked_mul(base)?.checked_add(char::from(byte).to_digit(base)?)?;
    }
    *rest = &rest[many..];
    Some(value)
}

/// Appends `text` between double quotes with Go's escapes; `ascii` escapes all that is not ASCII.
pub(crate) fn quote(out: &mut Vec<u8>, text: &[u8], ascii: bool) {
    out.push(b'"');
    for (at, c, width) in chars(text) {
        if c == char::REPLACEMENT_CHARACTER && width == 1 {
            out.extend_from_slice(format!("\\x{:02x}", text[at]).as_bytes());
        } else {
            quote_char(out, c, '"', ascii);
        }
    }
    out.push(b'"');
}

/// Appends `c` between single quotes with Go's escapes.
pub(crate) fn quote_rune(out: &mut Vec<u8>, c: char, ascii: bool) {
    out.push(b'\'');
    quote_char(out, c, '\'', ascii);
    out.push(b'\'');
}

fn quote_char(out: &mut Vec<u8>, c: char, quote: char, ascii: bool) {
    let short = match c {
        '\u{7}' => b'a',
        '\u{8}' => b'b',
        '\u{C}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{B}' => b'v',
        '\\' => b'\\',
        c if c == quote => quote as u8,
        c if is_print(c) && (!ascii || c.is_ascii()) => return push(out, c),
        c => {
            let code = u32::from(c);
            let escaped = match code {
                0..0x20 | 0x7F => format!("\\x{code:02x}"),
                ..0x1_0000 => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            };
            return out.extend_from_slice(escaped.as_bytes());
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Whether `text` could stand between back quotes as it is (`strconv.CanBackquote`).
pub(crate) fn fits_back_quotes(text: &[u8]) -> bool {
    let plain = |c: char| (c >= ' ' || c == '\t') && c != '`' && c != '\u{7F}' && c != '\u{FEFF}';
    std::str::from_utf8(text).is_ok_and(|text| text.chars().all(plain))
}

/// The first `limit` characters of `text`.
pub(crate) fn truncated(text: &[u8], limit: usize) -> &[u8] {
    if text.len() <= limit || count(text) <= limit {
        return text;
    }
    let end = chars(text).nth(limit).map_or(text.len(), |(at, _, _)| at);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_in_all_of_gos_notations() {
        let cases: [(&str, i64); 9] = [
            ("1_000", 1000),
            ("0x1F", 31),
            ("0o17", 15),
            ("017", 15),
            ("0b11", 3),
            ("0x_1", 1),
            ("-0", 0),
            ("+7", 7),
            ("-9223372036854775808", i64::MIN),
        ];
        for (text, value) in cases {
            assert_eq!(number(text.as_bytes()).unwrap().int, Some(value), "{text}");
        }
        for text in
            ["089", "1_", "_1", "0x", "18446744073709551616", "1e400", "+", "-", ".", "1__0", "0b2", "0x1.8"]
        {
            assert!(number(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_float_that_is_whole_is_an_int_too() {
        assert_eq!(
            number(b"1e3").unwrap(),
            Number { int: Some(1000), float: Some(1e3), complex: None, looks_float: true }
        );
        assert_eq!(number(b"1.5").unwrap().int, None);
        assert!(!number(b"0x1e").unwrap().looks_float);
        assert!(number(b"-0x1e").unwrap().looks_float, "as Go has it");
        assert_eq!(number(b"9223372036854775808").unwrap().int, None);
    }

    #[test]
    fn hexadecimal_floats_round_once() {
        let cases = [
            ("0x1p-2", 0.25),
            ("0x1.8p1", 3.0),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000081p0", 1.0 + f64::EPSILON),
            ("0x.8p0", 0.5),
        ];
        for (text, value) in cases {
            assert_eq!(parse_float(text), Some(value), "{text}");
        }
        assert_eq!(parse_float("0x1p1024"), None);
    }

    #[test]
    fn complex_numbers_have_two_parts() {
        assert_eq!(complex(b"1.5-2.5i").unwrap().complex, Some((1.5, -2.5)));
        assert_eq!(complex(b"1e-3+2e+4i").unwrap().complex, Some((1e-3, 2e4)));
        assert_eq!(number(b"0i").unwrap().int, Some(0));
        assert!(complex(b"1i+2i").is_err());
    }

    #[test]
    fn strings_unquote_as_in_go() {
        assert_eq!(unquote(br#""a\n\x41\101\u00e9\"""#).unwrap(), "a\nAAé\"".as_bytes());
        assert_eq!(unquote(b"`a\r\n\\n`").unwrap(), b"a\n\\n");
        for bad in [r#""\q""#, r#""\'""#, r#""\400""#, r#""\ud800""#, r#""\x4""#] {
            assert_eq!(unquote(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn quoting_escapes_what_does_not_print() {
        let mut out = Vec::new();
        quote(&mut out, "é\u{200b}\u{7f}\"\n😀".as_bytes(), false);
        assert_eq!(String::from_utf8(out).unwrap(), r#""é\u200b\x7f\"\n😀""#);
        let mut out = Vec::new();
        quote(&mut out, b"\xff\xe9", true);
        assert_eq!(out, br#""\xff\xe9""#);
    }
}
