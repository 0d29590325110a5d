//! How long, as people write it.

use std::time::Duration;

/// Nanoseconds in Go's units; `µ` has two code points.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// As good as for ever, and far from what clocks cannot count.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reads `30s`, `1m30s` or `500ms`; also what Go's `time.ParseDuration` takes, such as `1.5h` and `0`, which is
/// what confd's files hold. Negative times are refused.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if let Some(duration) = go_duration(text) {
        return Ok(duration.min(LONGEST));
    }
    let read = humantime::parse_duration(text);
    let read = read.map_err(|error| format!("{error}; write it as 30s, 1m30s or 500ms"))?;
    Ok(read.min(LONGEST))
}

/// Whole seconds, or a time.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds).min(LONGEST)),
        Err(_) => duration(text),
    }
}

fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let end = rest[digits..].find(|letter: char| letter.is_ascii_digit() || letter == '.');
        let end = end.map_or(rest.len(), |length| digits + length);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[digits..end])?;
        nanoseconds += number * unit;
        rest = &rest[end..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(nanoseconds / 1e9).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_and_people_write_them() {
        let cases = [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            (".5s", 500),
            ("0", 0),
            ("+1s", 1_000),
            ("2 days", 172_800_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_longer_than_a_year_is_a_year() {
        assert_eq!((duration("9999999h"), seconds("9223372036854775807")), (Ok(LONGEST), Ok(LONGEST)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "5", "-1s", "s", "1.2.3s", "1x", "1e400s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
