//! Format: how Go's `fmt` prints values, for actions, `print` and `printf`.
//!
//! Verbs, flags and the texts that report their misuse (`%!d(string=hi)`) follow `fmt/print.go` and
//! `fmt/format.go` of Go 1.23 and later. Addresses, which `%p` prints, differ between runs in Go; here all
//! are one made-up number.

use crate::Text;
use crate::float;
use crate::literal::{fits_back_quotes, quote, quote_rune, truncated};
use crate::unicode::{count, decode, is_print, push};
use crate::value::{Operand, Value};
use crate::walk::{Event, walk};

/// What an action prints for no value.
pub(crate) const NO_VALUE: &str = "<no value>";
const NIL: &[u8] = b"<nil>";
const ADDRESS: &[u8] = b"0xc000012345";

/// Writes a value as an action does. It gives up once `out` is longer than `limit`, for the caller to see: what
/// a value holds many times is kept once, and may take more room than there is.
pub(crate) fn write(out: &mut Vec<u8>, value: &Value, limit: usize) {
    match value {
        Value::Text(text) => out.extend_from_slice(text),
        Value::Int(int) => write_int(out, *int),
        Value::Nil => out.extend_from_slice(NO_VALUE.as_bytes()),
        Value::Server(_) => Printer::new(out, limit).server(value),
        value => Printer::new(out, limit).value(value, 'v'),
    }
}

/// Appends a decimal number.
pub(crate) fn write_int(out: &mut Vec<u8>, int: i64) {
    if int < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits_of(int.unsigned_abs(), 10, false, &mut [0; 64]));
}

/// The digits of a number, at the end of `buffer`.
fn digits_of(mut number: u64, base: u64, upper: bool, buffer: &mut [u8; 64]) -> &[u8] {
    let letters: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mut at = buffer.len();
    loop {
        at -= 1;
        let digit = if base == 10 { number % 10 } else { number % base };
        buffer[at] = letters[digit as usize];
        number = if base == 10 { number / 10 } else { number / base };
        if number == 0 {
            return &buffer[at..];
        }
    }
}

#[derive(Clone, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    plus_v: bool,  // %+v: field names
    sharp_v: bool, // %#v: Go syntax
}

/// Prints values to a buffer.
pub(crate) struct Printer<'a> {
    out: &'a mut Vec<u8>,
    /// Beyond this length of `out` nothing more is of use.
    limit: usize,
    flags: Flags,
    /// Reporting a misuse: types that know how to print themselves do not.
    plain: bool,
}

impl Printer<'_> {
    pub(crate) fn new(out: &mut Vec<u8>, limit: usize) -> Printer<'_> {
        Printer { out, limit, flags: Flags::default(), plain: false }
    }

    /// Go's `Sprint`: a space between operands neither of which is a string.
    pub(crate) fn print(&mut self, args: &[Operand]) {
        let mut after_string = true;
        for Operand { value, .. } in args {
            let string = matches!(value, Value::Text(_));
            if !string && !after_string {
                self.out.push(b' ');
            }
            after_string = string;
            self.argument(value, 'v');
        }
    }

    /// Go's `Sprintln`: a space between all operands, and a newline.
    pub(crate) fn println(&mut self, args: &[Operand]) {
        for (index, Operand { value, .. }) in args.iter().enumerate() {
            if index > 0 {
                self.out.push(b' ');
            }
            self.argument(value, 'v');
        }
        self.out.push(b'\n');
    }

    /// Go's `Sprintf`. Gives up when the output is longer than the limit.
    pub(crate) fn printf(&mut self, pattern: &[u8], args: &[Operand]) {
        let mut format = Format { pattern, args, at: 0, argument: 0, reordered: false, good: true };
        while format.at < pattern.len() {
            let rest = &pattern[format.at..];
            let text = memchr::memchr(b'%', rest).unwrap_or(rest.len());
            self.out.extend_from_slice(&rest[..text]);
            format.at += text + 1;
            if format.at > pattern.len() {
                break;
            }
            self.directive(&mut format);
            if self.out.len() > self.limit {
                return;
            }
        }
        if !format.reordered && format.argument < args.len() {
            self.extra(&args[format.argument..]);
        }
    }

    fn extra(&mut self, args: &[Operand]) {
        self.flags = Flags::default();
        self.out.extend_from_slice(b"%!(EXTRA ");
        for (index, Operand { value, .. }) in args.iter().enumerate() {
            if index > 0 {
                self.out.extend_from_slice(b", ");
            }
            if let Value::Nil = value {
                self.out.extend_from_slice(NIL);
            } else {
                self.out.extend_from_slice(value.type_name().as_bytes());
                self.out.push(b'=');
                self.argument(value, 'v');
            }
        }
        self.out.push(b')');
    }

    /// One verb with its flags, after its percent sign.
    fn directive(&mut self, format: &mut Format<'_>) {
        self.flags = format.flags();
        format.good = true;
        let mut indexed = format.index();
        if format.eat(b'*') {
            self.star_width(format);
            indexed = false;
        } else {
            self.flags.width = format.number();
            format.good &= !(indexed && self.flags.width.is_some());
        }
        if format.at + 1 < format.pattern.len() && format.eat(b'.') {
            format.good &= !indexed;
            indexed = format.index();
            if format.eat(b'*') {
                self.star_precision(format);
                indexed = false;
            } else {
                self.flags.precision = Some(format.number().unwrap_or(0));
            }
        }
        if !indexed {
            format.index();
        }
        let Some((verb, width)) = decode(format.pattern.get(format.at..).unwrap_or_default()) else {
            return self.out.extend_from_slice(b"%!(NOVERB)");
        };
        format.at += width;
        match format.args.get(format.argument) {
            _ if verb == '%' => self.out.push(b'%'),
            _ if !format.good => self.misuse(verb, b"(BADINDEX)"),
            None => self.misuse(verb, b"(MISSING)"),
            Some(Operand { value, .. }) => {
                if matches!(verb, 'v' | 'w') {
                    self.flags.sharp_v = std::mem::take(&mut self.flags.sharp);
                    self.flags.plus_v = std::mem::take(&mut self.flags.plus);
                }
                format.argument += 1;
                self.argument(value, verb);
            }
        }
    }

    fn star_width(&mut self, format: &mut Format<'_>) {
        let width = format.star();
        if width.is_none() {
            self.out.extend_from_slice(b"%!(BADWIDTH)");
        }
        if width.is_some_and(|width| width < 0) {
            self.flags.minus = true;
            self.flags.zero = false;
        }
        self.flags.width = width.map(|width| width.unsigned_abs() as usize);
    }

    fn star_precision(&mut self, format: &mut Format<'_>) {
        self.flags.precision = format.star().and_then(|precision| usize::try_from(precision).ok());
        if self.flags.precision.is_none() {
            self.out.extend_from_slice(b"%!(BADPREC)");
        }
    }

    fn misuse(&mut self, verb: char, what: &[u8]) {
        self.out.extend_from_slice(b"%!");
        push(self.out, verb);
        self.out.extend_from_slice(what);
    }

    /// A value that is an operand, not an element of one.
    fn argument(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Nil, 'v' | 'T') => self.pad(NIL),
            (_, 'T') => self.pad_truncated(value.type_name().as_bytes()),
            (Value::Map(_) | Value::Server(_), 'p') => self.out.extend_from_slice(ADDRESS),
            (value, 'p') if value.len().is_some() && !matches!(value, Value::Text(_)) => {
                self.out.extend_from_slice(ADDRESS);
            }
            (Value::Server(_), 'v' | 's') => {
                self.out.push(b'&');
                self.server(value);
            }
            _ => self.value(value, verb),
        }
    }

    fn value(&mut self, value: &Value, verb: char) {
        if verb == 'w' && !self.plain && has_methods_looked_up(value) {
            return self.bad_verb(value, verb);
        }
        // Ends early if there is no more room, which whoever asked for it finds out.
        let _ = walk(value, |event| {
            self.event(&event, verb);
            if self.out.len() > self.limit { Err(()) } else { Ok(()) }
        });
    }

    fn event(&mut self, event: &Event<'_>, verb: char) {
        let syntax = self.flags.sharp_v;
        match event {
            Event::Leaf(Value::Nil, true) => {
                self.out.extend_from_slice(if syntax { b"interface {}(nil)" } else { NIL });
            }
            Event::Leaf(Value::Nil, false) => self.bad_verb(&Value::Nil, verb),
            Event::Leaf(value, _) => self.leaf(value, verb),
            Event::Open(value) if syntax => {
                self.out.extend_from_slice(value.type_name().as_bytes());
                self.out.extend_from_slice(if value.is_nil() { b"(nil)" } else { b"{" });
            }
            Event::Open(Value::Map(_)) => self.out.extend_from_slice(b"map["),
            Event::Open(_) => self.out.push(b'['),
            Event::Item { first, key } => {
                if !first {
                    self.separator();
                }
                if let Some(key) = key {
                    self.text(key, verb);
                    self.out.push(b':');
                }
            }
            Event::Close(value, _) if syntax => {
                if !value.is_nil() {
                    self.out.push(b'}');
                }
            }
            Event::Close(..) => self.out.push(b']'),
        }
    }

    fn separator(&mut self) {
        self.out.extend_from_slice(if self.flags.sharp_v { b", " } else { b" " });
    }

    fn leaf(&mut self, value: &Value, verb: char) {
        match value {
            Value::Nil | Value::Undeclared => self.bad_verb(&Value::Nil, verb),
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(n) => self.integer(value, n.unsigned_abs(), *n < 0, verb),
            Value::Byte(n) => self.unsigned(value, u64::from(*n), verb),
            Value::Short(n) => self.unsigned(value, u64::from(*n), verb),
            Value::Float(float) => self.float(value, *float, verb),
            Value::Complex(re, im) => self.complex(value, *re, *im, verb),
            Value::Text(text) => self.text(text, verb),
            Value::Pair(pair) => pair.with(|pair| {
                self.fields("memkv.KVPair", &[("Key", &pair.key), ("Value", &pair.value)], verb);
            }),
            Value::Server(_) => self.out.extend_from_slice(ADDRESS),
            Value::Month(n) | Value::Weekday(n) if self.plain || !takes_text(verb) || self.flags.sharp_v => {
                self.integer(value, n.unsigned_abs(), false, verb);
            }
            Value::Month(n) => self.text(crate::time::month_name(*n).as_bytes(), verb),
            Value::Weekday(n) => self.text(crate::time::weekday_name(*n).as_bytes(), verb),
            Value::Time(time) => {
                self.text(time.to_string().as_bytes(), if takes_text(verb) { verb } else { 'v' });
            }
            _ => {}
        }
    }

    /// A struct whose fields are strings.
    fn fields(&mut self, name: &str, fields: &[(&str, &Text)], verb: char) {
        if self.flags.sharp_v {
            self.out.extend_from_slice(name.as_bytes());
        }
        self.out.push(b'{');
        for (index, (name, text)) in fields.iter().enumerate() {
            if index > 0 {
                self.separator();
            }
            if self.flags.plus_v || self.flags.sharp_v {
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b':');
            }
            self.text(text, verb);
        }
        self.out.push(b'}');
    }

    fn server(&mut self, value: &Value) {
        if let Value::Server(server) = value {
            let (target, port) = (&server.target, server.port);
            let text = format!("{{{target} {port} {} {}}}", server.priority, server.weight);
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    /// `%!d(string=hi)`: the value is printed with the flags that the verb had.
    fn bad_verb(&mut self, value: &Value, verb: char) {
        self.misuse(verb, b"(");
        if let Value::Nil = value {
            self.out.extend_from_slice(NIL);
        } else {
            self.out.extend_from_slice(value.type_name().as_bytes());
            self.out.push(b'=');
            let outer = std::mem::replace(&mut self.plain, true);
            self.value(value, 'v');
            self.plain = outer;
        }
        self.out.push(b')');
    }

    fn pad(&mut self, text: &[u8]) {
        let padding = self.flags.width.map_or(0, |width| width.saturating_sub(count(text)));
        if self.flags.minus {
            self.out.extend_from_slice(text);
            self.fill(padding);
        } else {
            self.fill(padding);
            self.out.extend_from_slice(text);
        }
    }

    /// Zeros go to the left only.
    fn fill(&mut self, padding: usize) {
        let byte = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.out.resize(self.out.len() + padding, byte);
    }

    fn pad_with_spaces(&mut self, text: &[u8]) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(text);
        self.flags.zero = zero;
    }

    fn pad_truncated(&mut self, text: &[u8]) {
        self.pad(self.flags.precision.map_or(text, |precision| truncated(text, precision)));
    }

    fn text(&mut self, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.pad_truncated(text),
            'q' => self.quoted(text),
            'x' => self.hex_text(text, b"0123456789abcdefx"),
            'X' => self.hex_text(text, b"0123456789ABCDEFX"),
            _ => {
                let value = Value::Text(Text::from(text.to_vec()));
                self.bad_verb(&value, verb);
            }
        }
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.flags.precision.map_or(text, |precision| truncated(text, precision));
        let mut quoted = Vec::with_capacity(text.len() + 2);
        if self.flags.sharp && fits_back_quotes(text) {
            quoted.push(b'`');
            quoted.extend_from_slice(text);
            quoted.push(b'`');
        } else {
            quote(&mut quoted, text, self.flags.plus);
        }
        self.pad(&quoted);
    }

    /// The bytes in hexadecimal; with a space flag, apart.
    fn hex_text(&mut self, text: &[u8], digits: &[u8; 17]) {
        let text = &text[..text.len().min(self.flags.precision.unwrap_or(usize::MAX))];
        let mut hex = Vec::with_capacity(2 * text.len());
        for (index, byte) in text.iter().enumerate() {
            if self.flags.space && index > 0 {
                hex.push(b' ');
            }
            if self.flags.sharp && (self.flags.space || index == 0) {
                hex.extend_from_slice(&[b'0', digits[16]]);
            }
            hex.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
        self.pad(&hex);
    }

    fn unsigned(&mut self, value: &Value, n: u64, verb: char) {
        if verb == 'v' && self.flags.sharp_v {
            let sharp = std::mem::replace(&mut self.flags.sharp, true);
            self.digits(n, false, 16, verb);
            self.flags.sharp = sharp;
        } else {
            self.integer(value, n, false, verb);
        }
    }

    fn integer(&mut self, value: &Value, magnitude: u64, negative: bool, verb: char) {
        let code = if negative { u64::MAX } else { magnitude };
        match verb {
            'v' | 'd' => self.digits(magnitude, negative, 10, verb),
            'b' => self.digits(magnitude, negative, 2, verb),
            'o' | 'O' => self.digits(magnitude, negative, 8, verb),
            'x' | 'X' => self.digits(magnitude, negative, 16, verb),
            'c' => self.pad(rune(code).encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => {
                let mut quoted = Vec::new();
                quote_rune(&mut quoted, rune(code), self.flags.plus);
                self.pad(&quoted);
            }
            'U' => self.code_point(if negative { magnitude.wrapping_neg() } else { magnitude }),
            _ => self.bad_verb(value, verb),
        }
    }

    fn digits(&mut self, magnitude: u64, negative: bool, base: u64, verb: char) {
        let Flags { width, precision, sharp, zero, minus, plus, space, .. } = self.flags;
        let signed = negative || plus || space;
        let least = match (precision, width) {
            (Some(0), _) if magnitude == 0 => return self.pad_with_spaces(b""),
            (Some(precision), _) => precision,
            (None, Some(width)) if zero && !minus => width.saturating_sub(usize::from(signed)),
            _ => 0,
        };
        let mut buffer = [0; 64];
        let digits = digits_of(magnitude, base, verb == 'X', &mut buffer);
        let zeros = least.saturating_sub(digits.len());
        let leading_zero = zeros > 0 || digits[0] == b'0';
        let prefix: &[u8] = match base {
            2 if sharp => b"0b",
            8 if verb == 'O' && sharp && !leading_zero => b"0o0",
            8 if verb == 'O' => b"0o",
            8 if sharp && !leading_zero => b"0",
            16 if sharp && verb == 'X' => b"0X",
            16 if sharp => b"0x",
            _ => b"",
        };
        let sign: &[u8] = match () {
            () if negative => b"-",
            () if plus => b"+",
            () if space => b" ",
            () => b"",
        };
        let length = sign.len() + prefix.len() + zeros + digits.len();
        let padding = width.map_or(0, |width| width.saturating_sub(length));
        let (before, after) = if minus { (0, padding) } else { (padding, 0) };
        self.out.resize(self.out.len() + before, b' ');
        self.out.extend_from_slice(sign);
        self.out.extend_from_slice(prefix);
        self.out.resize(self.out.len() + zeros, b'0');
        self.out.extend_from_slice(digits);
        self.out.resize(self.out.len() + after, b' ');
    }

    /// `U+0041`, with the sharp flag also the character.
    fn code_point(&mut self, code: u64) {
        let least = self.flags.precision.unwrap_or(0).max(4);
        let mut text = format!("U+{code:0>least$X}");
        let c = u32::try_from(code).ok().and_then(char::from_u32);
        if let Some(c) = c.filter(|c| self.flags.sharp && is_print(*c)) {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_with_spaces(text.as_bytes());
    }

    fn float(&mut self, value: &Value, float: f64, verb: char) {
        match verb {
            'v' => self.float_digits(float, b'g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => self.float_digits(float, verb as u8, None),
            'f' | 'e' | 'E' => self.float_digits(float, verb as u8, Some(6)),
            'F' => self.float_digits(float, b'f', Some(6)),
            _ => self.bad_verb(value, verb),
        }
    }

    fn complex(&mut self, value: &Value, re: f64, im: f64, verb: char) {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(value, verb);
        }
        self.out.push(b'(');
        self.float(value, re, verb);
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float(value, im, verb);
        self.out.extend_from_slice(b"i)");
        self.flags.plus = plus;
    }

    fn float_digits(&mut self, float: f64, verb: u8, precision: Option<usize>) {
        let Flags { width, precision: given, sharp, zero, minus, plus, space, .. } = self.flags;
        let precision = given.or(precision);
        let mut digits = Vec::new();
        float::append(&mut digits, float, verb, if verb == b'b' { None } else { precision });
        let negative = digits[0] == b'-';
        if matches!(digits[0], b'-' | b'+') {
            digits.remove(0);
        }
        if sharp && verb != b'b' {
            keep_point(&mut digits, verb, precision);
        }
        let sign: &[u8] = match () {
            () if negative => b"-",
            () if plus => b"+",
            () if space => b" ",
            () => b"",
        };
        if !sign.is_empty() && zero && !minus && width.is_some_and(|width| width > digits.len() + 1) {
            self.out.extend_from_slice(sign);
            self.fill(width.unwrap_or(0) - digits.len() - 1);
            return self.out.extend_from_slice(&digits);
        }
        self.pad(&[sign, &digits].concat());
    }
}

/// The sharp flag on a float: the point stays, and with `%g` so do zeros up to the precision.
fn keep_point(digits: &mut Vec<u8>, verb: u8, precision: Option<usize>) {
    let mut missing = if matches!(verb, b'g' | b'G' | b'x') { precision.unwrap_or(6) } else { 0 };
    let exponent: &[u8] = if matches!(verb, b'x' | b'X') { b"pP" } else { b"eEpP" };
    let end = digits.iter().position(|b| exponent.contains(b)).unwrap_or(digits.len());
    let tail = digits.split_off(end);
    let mut significant = false;
    for byte in digits.iter().filter(|b| **b != b'.') {
        significant |= *byte != b'0';
        missing = missing.saturating_sub(usize::from(significant));
    }
    if !digits.contains(&b'.') {
        if digits[..] == [b'0'] {
            missing = missing.saturating_sub(1);
        }
        digits.push(b'.');
    }
    digits.resize(digits.len() + missing, b'0');
    digits.extend_from_slice(&tail);
}

fn rune(code: u64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Verbs for which Go asks a value for its text.
fn takes_text(verb: char) -> bool {
    matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
}

/// Go knows the simple types without looking for methods; only behind that look is `%w` refused whole.
fn has_methods_looked_up(value: &Value) -> bool {
    match value {
        Value::Text(_) => false,
        Value::Pair(_) | Value::Time(_) | Value::Month(_) | Value::Weekday(_) | Value::Server(_) => true,
        value => value.len().is_some(),
    }
}

/// A format string being read.
struct Format<'a> {
    pattern: &'a [u8],
    args: &'a [Operand],
    at: usize,
    argument: usize,
    /// An explicit index was used, so unused arguments are not reported.
    reordered: bool,
    good: bool,
}

/// Go's bound on widths and precisions.
const MAX_WIDTH: usize = 1_000_000;

impl Format<'_> {
    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        while let Some(byte) = self.pattern.get(self.at) {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        flags
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.pattern.get(self.at) == Some(&byte);
        self.at += usize::from(eaten);
        eaten
    }

    /// A decimal number, if there is one. One that is too long swallows the rest of the format.
    fn number(&mut self) -> Option<usize> {
        let (number, next) = number(self.pattern, self.at, self.pattern.len());
        self.at = next;
        number
    }

    /// `[n]`, which chooses the next argument.
    fn index(&mut self) -> bool {
        if self.pattern.get(self.at) != Some(&b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.pattern[self.at..];
        let Some(close) = memchr::memchr(b']', rest).filter(|_| rest.len() >= 3) else {
            self.good = false;
            self.at += 1;
            return false;
        };
        let (number, next) = number(rest, 1, close);
        self.at += close + 1;
        match number.filter(|_| next == close) {
            Some(index @ 1..) if index <= self.args.len() => {
                self.argument = index - 1;
                true
            }
            parsed => {
                self.good = false;
                parsed.is_some()
            }
        }
    }

    /// The argument that a star takes for a number, if it is one.
    fn star(&mut self) -> Option<i64> {
        let operand = self.args.get(self.argument)?;
        self.argument += 1;
        let number = match &operand.value {
            Value::Int(n) | Value::Month(n) | Value::Weekday(n) => *n,
            Value::Byte(n) => i64::from(*n),
            Value::Short(n) => i64::from(*n),
            _ => return None,
        };
        (number.unsigned_abs() <= MAX_WIDTH as u64).then_some(number)
    }
}

fn number(text: &[u8], start: usize, end: usize) -> (Option<usize>, usize) {
    let (mut number, mut at) = (None, start);
    while at < end && text[at].is_ascii_digit() {
        let so_far = number.unwrap_or(0);
        if so_far > MAX_WIDTH {
            return (None, end);
        }
        number = Some(so_far * 10 + usize::from(text[at] - b'0'));
        at += 1;
    }
    (number, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printf(pattern: &str, args: &[Value]) -> String {
        let args: Vec<Operand> = args.iter().cloned().map(Operand::from).collect();
        let mut out = Vec::new();
        Printer::new(&mut out, usize::MAX).printf(pattern.as_bytes(), &args);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn misuse_is_reported_in_the_text() {
        let hi = Value::Text(Text::from("hi"));
        assert_eq!(printf("%d %z", &[hi.clone(), Value::Int(1)]), "%!d(string=hi) %!z(int=1)");
        assert_eq!(printf("%05d", &[hi]), "%!d(string=000hi)");
        assert_eq!(printf("%", &[Value::Int(1)]), "%!(NOVERB)%!(EXTRA int=1)");
        assert_eq!(printf("%[3]d %[x]d %[]d", &[Value::Int(1)]), "%!d(BADINDEX) %!d(BADINDEX) %!d(BADINDEX)");
        assert_eq!(printf("%s", &[Value::Nil]), "%!s(<nil>)");
    }

    #[test]
    fn integers_take_width_precision_and_flags() {
        let n = |n| [Value::Int(n)];
        assert_eq!(
            printf(
                "|%5d|%-5d|%05d|%+.3d|%x|%#o|%O|",
                &[n(42), n(42), n(-42), n(5), n(-255), n(8), n(8)].concat()
            ),
            "|   42|42   |-0042|+005|-ff|010|0o10|"
        );
        assert_eq!(
            printf("%U %#U %c %q", &[n(0x4E16), n(0x4E16), n(65), n(10)].concat()),
            "U+4E16 U+4E16 '世' A '\\n'"
        );
    }

    #[test]
    fn the_sharp_flag_keeps_zeros() {
        let f = Value::Float;
        assert_eq!(
            printf("%#g %#.3g %#.0f %#e", &[f(1.0), f(2.0), f(3.0), f(1.0)]),
            "1.00000 2.00 3. 1.000000e+00"
        );
    }
}
