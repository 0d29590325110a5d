//! Time: what `datetime` returns, and the methods of Go's `time.Time` that templates use.
//!
//! A time is an instant and the offset and abbreviation of its zone. Layouts are Go's reference time,
//! `Mon Jan 2 15:04:05 MST 2006` (<https://pkg.go.dev/time#pkg-constants>). Unlike in Go, a time prints
//! without the reading of the monotonic clock, which means nothing outside of its process.

use std::cmp::Ordering;
use std::rc::Rc;

use jiff::civil;

use crate::Text;
use crate::error::Outcome;
use crate::eval::Run;
use crate::functions::{int, text};
use crate::value::{Operand, Value};

/// An instant as seen in a zone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Time {
    nanoseconds: i128, // since 1970
    offset: i32,       // seconds east of UTC
    zone: String,
    /// The zone to go back to with `Local`.
    local: (i32, String),
}

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400;

/// The time now, in the local zone.
pub(crate) fn datetime(run: &mut Run<'_>, _: &mut [Operand]) -> Outcome<Value> {
    run.reads.volatile = true;
    let now = run.context.world.now();
    let local = (now.offset_seconds, now.zone.clone());
    let time = Time { nanoseconds: now.unix_nanoseconds, offset: now.offset_seconds, zone: now.zone, local };
    Ok(Value::Time(Rc::new(time)))
}

impl Time {
    /// Date and time of day in the zone; the ends of jiff's calendar (years -9999 to 9999) for what is
    /// beyond.
    fn civil(&self) -> civil::DateTime {
        let local = self.nanoseconds.div_euclid(SECOND) + i128::from(self.offset);
        let days = i64::try_from(local.div_euclid(DAY)).unwrap_or(i64::MAX);
        let date =
            civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(days.clamp(-4_371_000, 2_932_000)));
        let of_day = local.rem_euclid(DAY) as i32;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let nanosecond = self.nanoseconds.rem_euclid(SECOND) as i32;
        date.at(hour as i8, minute as i8, second as i8, nanosecond)
    }

    /// By a layout.
    fn format(&self, layout: &[u8]) -> Vec<u8> {
        let civil = self.civil();
        let mut out = Vec::new();
        let mut rest = layout;
        while !rest.is_empty() {
            match element(rest) {
                Some((element, length)) => {
                    self.append(&mut out, &civil, element);
                    rest = &rest[length..];
                }
                None => {
                    out.push(rest[0]);
                    rest = &rest[1..];
                }
            }
        }
        out
    }

    /// RFC 3339 with as many decimals as it takes, as JSON has it.
    pub(crate) fn rfc3339(&self) -> Vec<u8> {
        self.format(b"2006-01-02T15:04:05.999999999Z07:00")
    }

    fn append(&self, out: &mut Vec<u8>, civil: &civil::DateTime, element: Element) {
        let hour12 = (civil.hour() + 11) % 12 + 1;
        let pm = civil.hour() >= 12;
        let month = month_name(i64::from(civil.month()));
        let weekday = weekday_name(day_of_week(civil));
        let text = match element {
            Element::Year => format!("{:04}", civil.year()),
            Element::Year2 => format!("{:02}", civil.year().rem_euclid(100)),
            Element::Month => month,
            Element::Mon => month[..3].to_owned(),
            Element::Number(n, width) => {
                let value = match n {
                    Field::Month => i32::from(civil.month()),
                    Field::Day => i32::from(civil.day()),
                    Field::Hour => i32::from(civil.hour()),
                    Field::Hour12 => i32::from(hour12),
                    Field::Minute => i32::from(civil.minute()),
                    Field::Second => i32::from(civil.second()),
                    Field::YearDay => i32::from(civil.day_of_year()),
                };
                match width {
                    Width::Plain => value.to_string(),
                    Width::Zeros(width) => format!("{value:0width$}"),
                    Width::Spaces(width) => format!("{value:width$}"),
                }
            }
            Element::Weekday => weekday,
            Element::Wkd => weekday[..3].to_owned(),
            Element::Pm => (if pm { "PM" } else { "AM" }).to_owned(),
            Element::LowerPm => (if pm { "pm" } else { "am" }).to_owned(),
            Element::Zone if self.zone.is_empty() => offset_text(self.offset, false, 2),
            Element::Zone => self.zone.clone(),
            Element::Offset { z: true, .. } if self.offset == 0 => "Z".to_owned(),
            Element::Offset { colons, parts, .. } => offset_text(self.offset, colons, parts),
            Element::Fraction { separator, digits, trim } => {
                let all = format!("{:09}", civil.subsec_nanosecond());
                let kept = &all[..digits.min(9)];
                let kept = if trim { kept.trim_end_matches('0') } else { kept };
                if kept.is_empty() { String::new() } else { format!("{separator}{kept}") }
            }
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn at(&self, nanoseconds: i128) -> Value {
        Value::Time(Rc::new(Time { nanoseconds, ..self.clone() }))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.format(b"2006-01-02 15:04:05.999999999 -0700 MST")))
    }
}

/// `+0100`, `+01:00`, `+01`, or with seconds.
fn offset_text(offset: i32, colons: bool, parts: usize) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.abs();
    let all = [size / 3600, size / 60 % 60, size % 60];
    let shown: Vec<String> = all[..parts].iter().map(|part| format!("{part:02}")).collect();
    format!("{sign}{}", shown.join(if colons { ":" } else { "" }))
}

/// An element of a layout.
#[derive(Clone, Copy)]
enum Element {
    Year,
    Year2,
    Month,
    Mon,
    Weekday,
    Wkd,
    Number(Field, Width),
    Pm,
    LowerPm,
    Zone,
    Offset { z: bool, colons: bool, parts: usize },
    Fraction { separator: char, digits: usize, trim: bool },
}

#[derive(Clone, Copy)]
enum Field {
    Month,
    Day,
    Hour,
    Hour12,
    Minute,
    Second,
    YearDay,
}

#[derive(Clone, Copy)]
enum Width {
    Plain,
    Zeros(usize),
    Spaces(usize),
}

/// Elements by what stands for them, the longer of two that begin alike first.
const ELEMENTS: &[(&str, Element)] = &[
    ("January", Element::Month),
    ("Jan", Element::Mon),
    ("Monday", Element::Weekday),
    ("Mon", Element::Wkd),
    ("MST", Element::Zone),
    ("002", Element::Number(Field::YearDay, Width::Zeros(3))),
    ("01", Element::Number(Field::Month, Width::Zeros(2))),
    ("02", Element::Number(Field::Day, Width::Zeros(2))),
    ("03", Element::Number(Field::Hour12, Width::Zeros(2))),
    ("04", Element::Number(Field::Minute, Width::Zeros(2))),
    ("05", Element::Number(Field::Second, Width::Zeros(2))),
    ("06", Element::Year2),
    ("15", Element::Number(Field::Hour, Width::Zeros(2))),
    ("1", Element::Number(Field::Month, Width::Plain)),
    ("2006", Element::Year),
    ("2", Element::Number(Field::Day, Width::Plain)),
    ("__2", Element::Number(Field::YearDay, Width::Spaces(3))),
    ("_2", Element::Number(Field::Day, Width::Spaces(2))),
    ("3", Element::Number(Field::Hour12, Width::Plain)),
    ("4", Element::Number(Field::Minute, Width::Plain)),
    ("5", Element::Number(Field::Second, Width::Plain)),
    ("PM", Element::Pm),
    ("pm", Element::LowerPm),
    ("-07:00:00", Element::Offset { z: false, colons: true, parts: 3 }),
    ("-070000", Element::Offset { z: false, colons: false, parts: 3 }),
    ("-07:00", Element::Offset { z: false, colons: true, parts: 2 }),
    ("-0700", Element::Offset { z: false, colons: false, parts: 2 }),
    ("-07", Element::Offset { z: false, colons: false, parts: 1 }),
    ("Z07:00:00", Element::Offset { z: true, colons: true, parts: 3 }),
    ("Z070000", Element::Offset { z: true, colons: false, parts: 3 }),
    ("Z07:00", Element::Offset { z: true, colons: true, parts: 2 }),
    ("Z0700", Element::Offset { z: true, colons: false, parts: 2 }),
    ("Z07", Element::Offset { z: true, colons: false, parts: 1 }),
];

/// The element that the layout begins with, and its length.
fn element(layout: &[u8]) -> Option<(Element, usize)> {
    if let Some(fraction) = fraction(layout) {
        return Some(fraction);
    }
    let (name, element) = ELEMENTS.iter().find(|(name, _)| layout.starts_with(name.as_bytes()))?;
    match *name {
        // `Jane` and `Mont` are no months or days.
        "Jan" | "Mon" if layout.get(3).is_some_and(u8::is_ascii_lowercase) => None,
        // A plain underscore before a year.
        "_2" if layout.starts_with(b"_2006") => None,
        name => Some((*element, name.len())),
    }
}

/// A point or comma and zeros or nines, with no digit after them.
fn fraction(layout: &[u8]) -> Option<(Element, usize)> {
    let [separator @ (b'.' | b','), digit @ (b'0' | b'9'), ..] = *layout else { return None };
    let digits = layout[1..].iter().take_while(|b| **b == digit).count();
    if layout.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let separator = char::from(separator);
    Some((Element::Fraction { separator, digits, trim: digit == b'9' }, 1 + digits))
}

fn day_of_week(civil: &civil::DateTime) -> i64 {
    i64::from(civil.weekday().to_sunday_zero_offset())
}

/// English, as Go has it; what is no month says so.
pub(crate) fn month_name(month: i64) -> String {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let known = usize::try_from(month - 1).ok().and_then(|index| NAMES.get(index));
    known.map_or_else(|| format!("%!Month({month})"), |name| (*name).to_owned())
}

/// English, as Go has it, from Sunday as 0.
pub(crate) fn weekday_name(weekday: i64) -> String {
    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let known = usize::try_from(weekday).ok().and_then(|index| NAMES.get(index));
    known.map_or_else(|| format!("%!Weekday({weekday})"), |name| (*name).to_owned())
}

fn time(value: &Value) -> &Time {
    match value {
        Value::Time(time) => time,
        _ => unreachable!("methods are looked up by the receiver's type"),
    }
}

fn other(args: &[Operand]) -> &Time {
    time(&args[0].value)
}

fn number(value: impl Into<i64>) -> Outcome<Value> {
    Ok(Value::Int(value.into()))
}

/// Go's seconds and the like wrap at 64 bits.
fn wrapped(value: i128) -> Outcome<Value> {
    Ok(Value::Int(value as i64))
}

pub(crate) fn add(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    let time = time(receiver);
    Ok(time.at(time.nanoseconds + i128::from(int(&args[0]))))
}

/// Years, months, days: a date that does not exist goes over into the next month, as in Go.
pub(crate) fn add_date(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    let time = time(receiver);
    let [years, months, days] = [0, 1, 2].map(|index| i128::from(int(&args[index])));
    let before = time.civil();
    let months = i128::from(before.year()) * 12 + i128::from(before.month()) - 1 + years * 12 + months;
    let year = i16::try_from(months.div_euclid(12).clamp(-9998, 9998)).unwrap_or(9998);
    let first = civil::date(year, months.rem_euclid(12) as i8 + 1, 1);
    let moved = days_since_1970(first) + i128::from(before.day()) - 1 + days - days_since_1970(before.date());
    Ok(time.at(time.nanoseconds + moved * DAY * SECOND))
}

fn days_since_1970(date: civil::Date) -> i128 {
    let span = civil::date(1970, 1, 1).until(date).expect("two dates of one calendar have a distance");
    i128::from(span.get_days())
}

pub(crate) fn after(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    Ok(Value::Bool(time(receiver).nanoseconds > other(args).nanoseconds))
}

pub(crate) fn before(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    Ok(Value::Bool(time(receiver).nanoseconds < other(args).nanoseconds))
}

pub(crate) fn equal(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    Ok(Value::Bool(time(receiver).nanoseconds == other(args).nanoseconds))
}

pub(crate) fn compare(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    number(match time(receiver).nanoseconds.cmp(&other(args).nanoseconds) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })
}

pub(crate) fn format(receiver: &Value, args: &[Operand]) -> Outcome<Value> {
    Ok(Value::Text(Text::from(time(receiver).format(text(&args[0])))))
}

pub(crate) fn string(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    Ok(Value::Text(Text::from(match receiver {
        Value::Month(month) => month_name(*month),
        Value::Weekday(weekday) => weekday_name(*weekday),
        receiver => time(receiver).to_string(),
    })))
}

pub(crate) fn utc(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    Ok(Value::Time(Rc::new(Time { offset: 0, zone: "UTC".to_owned(), ..time(receiver).clone() })))
}

pub(crate) fn local(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    let time = time(receiver).clone();
    let (offset, zone) = time.local.clone();
    Ok(Value::Time(Rc::new(Time { offset, zone, ..time })))
}

pub(crate) fn unix(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    wrapped(time(receiver).nanoseconds.div_euclid(SECOND))
}

pub(crate) fn unix_milli(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    wrapped(time(receiver).nanoseconds.div_euclid(1_000_000))
}

pub(crate) fn unix_micro(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    wrapped(time(receiver).nanoseconds.div_euclid(1_000))
}

pub(crate) fn unix_nano(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    wrapped(time(receiver).nanoseconds)
}

pub(crate) fn year(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    number(time(receiver).civil().year())
}

pub(crate) fn month(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    Ok(Value::Month(i64::from(time(receiver).civil().month())))
}

pub(crate) fn day(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    number(time(receiver).civil().day())
}

pub(crate) fn hour(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    number(time(receiver).civil().hour())
}

pub(crate) fn minute(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    number(time(receiver).civil().minute())
}

pub(crate) fn second(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    number(time(receiver).civil().second())
}

pub(crate) fn nanosecond(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    number(time(receiver).civil().subsec_nanosecond())
}

pub(crate) fn weekday(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    Ok(Value::Weekday(day_of_week(&time(receiver).civil())))
}

pub(crate) fn year_day(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    number(time(receiver).civil().day_of_year())
}

/// Go's zero time is the first second of year 1.
pub(crate) fn is_zero(receiver: &Value, _: &[Operand]) -> Outcome<Value> {
    Ok(Value::Bool(time(receiver).nanoseconds == -62_135_596_800 * SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(nanoseconds: i128, offset: i32, zone: &str, layout: &str) -> String {
        let local = (offset, zone.to_owned());
        let time = Time { nanoseconds, offset, zone: zone.to_owned(), local };
        String::from_utf8(time.format(layout.as_bytes())).unwrap()
    }

    #[test]
    fn layouts_are_gos_reference_time() {
        let at = 1_700_000_000 * SECOND + 120_000_000; // 2023-11-14T22:13:20.12Z
        assert_eq!(
            formatted(at, 3600, "CET", "Mon Jan _2 15:04:05 MST 2006"),
            "Tue Nov 14 23:13:20 CET 2023"
        );
        assert_eq!(
            formatted(at, 3600, "CET", "2006-01-02T15:04:05.000Z07:00"),
            "2023-11-14T23:13:20.120+01:00"
        );
        assert_eq!(
            formatted(at, 0, "UTC", "Monday, 2 January 06 3:04PM .99 002"),
            "Tuesday, 14 November 23 10:13PM .12 318"
        );
        assert_eq!(formatted(at, 0, "UTC", "_2006 January1 Jane 0 Z0700"), "_2023 November11 Jane 0 Z");
        assert_eq!(formatted(at, -12600, "", "MST -07:00:00"), "-0330 -03:30:00");
    }

    #[test]
    fn a_time_before_1970_has_a_date() {
        assert_eq!(formatted(-SECOND, 0, "UTC", "2006-01-02 15:04:05"), "1969-12-31 23:59:59");
    }
}
