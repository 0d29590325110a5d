//! Floats as Go's `strconv.FormatFloat` writes them.
//!
//! The digits come from the standard library, which rounds exactly, halves to even, and knows the shortest
//! digits that read back the same; the layout around them is Go's.

use crate::format::write_int;

/// The significant digits of a number, without trailing zeros, and where the point is: 0.d1d2… × 10^point.
struct Decimal {
    digits: Vec<u8>,
    point: i32,
}

impl Decimal {
    /// From Rust's exponent form, `d.ddde-7`.
    fn parse(text: &str) -> Decimal {
        let (mantissa, exponent) = text.split_once('e').expect("the exponent form has an exponent");
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let exponent: i32 = exponent.parse().expect("the exponent is a number");
        let point = if digits.is_empty() { 0 } else { exponent + 1 };
        Decimal { digits, point }
    }

    fn shortest(value: f64) -> Decimal {
        Decimal::parse(&format!("{value:e}"))
    }

    /// Rounded to `digits` significant digits, one at least.
    fn rounded(value: f64, digits: usize) -> Decimal {
        let precision = digits.clamp(1, MOST_DIGITS) - 1;
        Decimal::parse(&format!("{value:.precision$e}"))
    }

    /// `d.dddde+dd`
    fn exponential(&self, out: &mut Vec<u8>, precision: usize, e: u8) {
        out.push(self.digits.first().copied().unwrap_or(b'0'));
        if precision > 0 {
            out.push(b'.');
            let tail = self.digits.get(1..).unwrap_or_default();
            out.extend_from_slice(&tail[..tail.len().min(precision)]);
            out.resize(out.len() + precision.saturating_sub(tail.len()), b'0');
        }
        let exponent = if self.digits.is_empty() { 0 } else { self.point - 1 };
        out.push(e);
        signed_exponent(out, exponent);
    }

    /// `ddd.dddd`
    fn fixed(&self, out: &mut Vec<u8>, precision: usize) {
        let at = |place: i32| usize::try_from(place).ok().and_then(|place| self.digits.get(place));
        if self.point > 0 {
            out.extend((0..self.point).map(|place| *at(place).unwrap_or(&b'0')));
        } else {
            out.push(b'0');
        }
        if precision > 0 {
            out.push(b'.');
            let places = i32::try_from(precision).unwrap_or(i32::MAX - 2048);
            out.extend((0..places).map(|place| *at(self.point + place).unwrap_or(&b'0')));
        }
    }

    /// `%g`: exponential if the exponent is below -4 or not below the precision.
    fn general(&self, out: &mut Vec<u8>, precision: Option<usize>, e: u8) {
        let count = self.digits.len();
        let digits = precision.unwrap_or(count);
        let wide = i32::try_from(count).unwrap_or(i32::MAX) >= self.point;
        let threshold = match precision {
            None => 6,
            Some(precision) if precision > count && wide => count,
            Some(precision) => precision,
        };
        let exponent = self.point - 1;
        if exponent < -4 || i64::from(exponent) >= threshold as i64 {
            return self.exponential(out, digits.min(count).saturating_sub(1), e);
        }
        let digits = if i64::from(self.point) < digits as i64 { count } else { digits };
        let after_point = digits as i64 - i64::from(self.point);
        self.fixed(out, usize::try_from(after_point).unwrap_or(0));
    }
}

/// A sign and two digits at least.
fn signed_exponent(out: &mut Vec<u8>, exponent: i32) {
    let sign = if exponent < 0 { '-' } else { '+' };
    out.extend_from_slice(format!("{sign}{:02}", exponent.abs()).as_bytes());
}

/// Appends `value` as the verb says: `e E f g G b x X`. Without a precision, as many digits as it takes to
/// read back the same number.
pub(crate) fn append(out: &mut Vec<u8>, value: f64, verb: u8, precision: Option<usize>) {
    if !value.is_finite() {
        let name = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return out.extend_from_slice(name.as_bytes());
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    match (verb, precision) {
        (b'b', _) => binary(out, value),
        (b'x' | b'X', _) => hexadecimal(out, value, precision, verb == b'X'),
        (b'f', None) => {
            let decimal = Decimal::shortest(value);
            let after_point = decimal.digits.len() as i64 - i64::from(decimal.point);
            decimal.fixed(out, usize::try_from(after_point).unwrap_or(0));
        }
        (b'f', Some(precision)) => plain(out, value, precision),
        (b'e' | b'E', None) => {
            let decimal = Decimal::shortest(value);
            decimal.exponential(out, decimal.digits.len().saturating_sub(1), verb);
        }
        (b'e' | b'E', Some(precision)) => {
            Decimal::rounded(value, precision + 1).exponential(out, precision, verb);
        }
        (_, None) => Decimal::shortest(value).general(out, None, verb - 2),
        (_, Some(precision)) => {
            let precision = precision.max(1);
            Decimal::rounded(value, precision).general(out, Some(precision), verb - 2);
        }
    }
}

/// `ddd.dddd`
fn plain(out: &mut Vec<u8>, value: f64, precision: usize) {
    let digits = if value.fract() == 0.0 && value < EXACT {
        write_int(out, value as i64);
        if precision > 0 {
            out.push(b'.');
        }
        0
    } else {
        let digits = precision.min(MOST_DIGITS);
        out.extend_from_slice(format!("{value:.digits$}").as_bytes());
        digits
    };
    out.resize(out.len() + precision - digits, b'0');
}

/// More digits than any float has, before the point or behind it: the rest are zeros. The standard library
/// takes no precision beyond 65,535, and Go takes a million.
const MOST_DIGITS: usize = 1_100;

/// Integers below are written as such: most weights and ports from JSON are, and the exact digits of a float
/// take the standard library ten times as long where there is nothing to round.
const EXACT: f64 = (1u64 << 53) as f64;

const MANTISSA_BITS: i32 = 52;

/// The mantissa with its leading bit, and the exponent of two of that bit.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let (mantissa, exponent) = (bits & ((1 << MANTISSA_BITS) - 1), (bits >> MANTISSA_BITS & 0x7FF) as i32);
    if exponent == 0 { (mantissa, -1022) } else { (mantissa | 1 << MANTISSA_BITS, exponent - 1023) }
}

/// `%b`: an integer and a power of two.
fn binary(out: &mut Vec<u8>, value: f64) {
    let (mantissa, exponent) = parts(value);
    out.extend_from_slice(format!("{mantissa}p{:+}", exponent - MANTISSA_BITS).as_bytes());
}

/// `%x`: `0x1.8p+01`.
fn hexadecimal(out: &mut Vec<u8>, value: f64, precision: Option<usize>, upper: bool) {
    const TOP: u32 = 60; // the leading bit goes there
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        let shift = mantissa.leading_zeros() - (63 - TOP);
        mantissa <<= shift;
        exponent -= shift as i32 - (TOP as i32 - MANTISSA_BITS);
    }
    if let Some(digits @ 0..15) = precision {
        let shift = digits as u32 * 4;
        let extra = mantissa << shift & ((1 << TOP) - 1);
        mantissa >>= TOP - shift;
        if extra | (mantissa & 1) > 1 << (TOP - 1) {
            mantissa += 1;
        }
        mantissa <<= TOP - shift;
        if mantissa & 1 << (TOP + 1) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut text = format!("0x{}", mantissa >> TOP & 1);
    let digits = format!("{:015x}", mantissa & ((1 << TOP) - 1));
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(precision) => format!("{digits:0<precision$}")[..precision].to_owned(),
    };
    if !digits.is_empty() {
        text.push('.');
        text.push_str(&digits);
    }
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    out.push(b'p');
    signed_exponent(out, exponent);
    if upper {
        out[start..].make_ascii_uppercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(value: f64, verb: u8, precision: impl Into<Option<usize>>) -> String {
        let mut out = Vec::new();
        append(&mut out, value, verb, precision.into());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shortest_floats_turn_exponential_at_six_digits() {
        let cases = [
            (100000.0, "100000"),
            (1e6, "1e+06"),
            (1234567.5, "1.2345675e+06"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-0.0, "-0"),
            (5e-324, "5e-324"),
            (123456.0, "123456"),
            (0.0, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(formatted(value, b'g', None), text);
        }
    }

    #[test]
    fn a_precision_rounds_halves_to_even() {
        assert_eq!(formatted(2.5, b'f', 0), "2");
        assert_eq!(formatted(0.25, b'f', 1), "0.2");
        assert_eq!(formatted(1.005, b'f', 2), "1.00");
        assert_eq!(formatted(1234.5, b'e', 3), "1.234e+03");
        assert_eq!(formatted(100.0, b'g', 3), "100");
        assert_eq!(formatted(1234567.0, b'g', 3), "1.23e+06");
        assert_eq!(formatted(0.0, b'e', 2), "0.00e+00");
    }

    #[test]
    fn integers_print_as_such_and_end_in_zeros() {
        assert_eq!(formatted(0.0, b'f', 0), "0");
        assert_eq!(formatted(-0.0, b'f', 1), "-0.0");
        assert_eq!(formatted(99.0, b'f', 0), "99");
        assert_eq!(formatted(-42.0, b'f', 3), "-42.000");
        assert_eq!(formatted(9007199254740993.0, b'f', 1), "9007199254740992.0");
        assert_eq!(formatted(1e22, b'f', 2), "10000000000000000000000.00");
    }

    #[test]
    fn a_precision_beyond_all_digits_ends_in_zeros() {
        let zeros = "0".repeat(99_999);
        assert_eq!(formatted(1.5, b'f', 100_000), format!("1.5{zeros}"));
        assert_eq!(formatted(1.5, b'e', 100_000), format!("1.5{zeros}e+00"));
        assert_eq!(formatted(1.5, b'g', 100_000), "1.5");
        assert_eq!(formatted(5e-324, b'f', 1_200).trim_end_matches('0').len(), 1_076);
    }

    #[test]
    fn powers_of_two_print_exactly() {
        assert_eq!(formatted(1.0, b'b', None), "4503599627370496p-52");
        assert_eq!(formatted(1.0, b'x', None), "0x1p+00");
        assert_eq!(formatted(1.5, b'X', None), "0X1.8P+00");
        assert_eq!(formatted(1.9999, b'x', 1), "0x1.0p+01");
        assert_eq!(formatted(5e-324, b'x', None), "0x1p-1074");
        assert_eq!(formatted(0.0, b'x', 3), "0x0.000p+00");
    }

    #[test]
    fn plain_notation_needs_no_exponent() {
        assert_eq!(formatted(1e20, b'f', None), "100000000000000000000");
        assert_eq!(formatted(1e-6, b'f', None), "0.000001");
    }
}
