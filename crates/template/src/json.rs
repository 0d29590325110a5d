//! JSON as Go's `encoding/json` reads and writes it.
//!
//! Numbers are floats; of keys given twice the last one counts; half surrogates and ill-formed UTF-8 become
//! U+FFFD; nesting ends at 10,000. Written JSON escapes `<`, `>`, `&` and the line separators, and writes
//! floats as JavaScript does. Both directions work without recursion.

use crate::Text;
use crate::error::{Fault, Outcome, fault};
use crate::eval::Run;
use crate::float;
use crate::format::write_int;
use crate::functions::text;
use crate::list::Slice;
use crate::unicode::{chars, push};
use crate::value::{Operand, Value};
use crate::walk::{Event, walk};

const MAX_DEPTH: usize = 10_000;

pub(crate) fn from_json(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    decode(text(&args[0]))
}

/// An object; null is a map that is nil.
pub(crate) fn json(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match decode(text(&args[0]))? {
        Value::Nil => Ok(Value::Map(None)),
        map @ Value::Map(_) => Ok(map),
        other => fault(format!("json: cannot unmarshal {} into a map", kind(&other))),
    }
}

/// An array; null is a list that is nil.
pub(crate) fn json_array(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    match decode(text(&args[0]))? {
        Value::Nil => Ok(Value::List(Slice::nil())),
        list @ Value::List(_) => Ok(list),
        other => fault(format!("json: cannot unmarshal {} into a list", kind(&other))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Float(_) => "number",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        _ => "object",
    }
}

/// An array or object that is being read.
enum Open {
    Array(Vec<Value>),
    Object(Vec<(Text, Value)>, Text),
}

struct Decoder<'a> {
    source: &'a Text,
    at: usize,
}

pub(crate) fn decode(source: &Text) -> Outcome<Value> {
    let mut decoder = Decoder { source, at: 0 };
    let value = decoder.value()?;
    decoder.space();
    if decoder.at < source.len() {
        return decoder.bad("after top-level value");
    }
    Ok(value)
}

impl Decoder<'_> {
    /// The message gives the place, not what is there: a value may be a secret.
    fn bad<T>(&self, context: &str) -> Outcome<T> {
        if self.at >= self.source.len() {
            return fault("unexpected end of JSON input");
        }
        fault(format!("invalid character at byte {} {context}", self.at + 1))
    }

    fn space(&mut self) {
        let rest = &self.source[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn value(&mut self) -> Outcome<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.space();
            let mut done = match self.peek() {
                Some(b'[') => {
                    self.at += 1;
                    self.space();
                    if self.eat(b']') {
                        Value::List(Slice::exact(Vec::new()))
                    } else {
                        open.push(Open::Array(Vec::new()));
                        self.check_depth(&open)?;
                        continue;
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    self.space();
                    if self.eat(b'}') {
                        Value::map(Vec::new())
                    } else {
                        open.push(Open::Object(Vec::new(), self.key()?));
                        self.check_depth(&open)?;
                        continue;
                    }
                }
                _ => self.scalar()?,
            };
            // The value goes into what is open, and closes it if that was the last.
            loop {
                let Some(last) = open.last_mut() else { return Ok(done) };
                match self.add(last, done)? {
                    None => break,
                    Some(whole) => done = whole,
                }
                open.pop();
            }
        }
    }

    fn check_depth(&self, open: &[Open]) -> Outcome<()> {
        if open.len() > MAX_DEPTH { fault("exceeded max depth") } else { Ok(()) }
    }

    /// Adds an element; returns the whole if it ends there.
    fn add(&mut self, open: &mut Open, value: Value) -> Outcome<Option<Value>> {
        self.space();
        match open {
            Open::Array(elements) => {
                elements.push(value);
                if self.eat(b']') {
                    return Ok(Some(Value::List(Slice::appended_to_empty(std::mem::take(elements)))));
                }
                if !self.eat(b',') {
                    return self.bad("after array element");
                }
            }
            Open::Object(entries, key) => {
                entries.push((std::mem::take(key), value));
                if self.eat(b'}') {
                    return Ok(Some(Value::map(std::mem::take(entries))));
                }
                if !self.eat(b',') {
                    return self.bad("after object key:value pair");
                }
                self.space();
                *key = self.key()?;
            }
        }
        Ok(None)
    }

    fn key(&mut self) -> Outcome<Text> {
        if self.peek() != Some(b'"') {
            return self.bad("looking for beginning of object key string");
        }
        let key = self.string()?;
        self.space();
        if self.eat(b':') { Ok(key) } else { self.bad("after object key") }
    }

    fn scalar(&mut self) -> Outcome<Value> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Nil),
            _ => self.bad("looking for beginning of value"),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Outcome<Value> {
        for byte in word.bytes() {
            if !self.eat(byte) {
                return self.bad(&format!("in literal {word}"));
            }
        }
        Ok(value)
    }

    fn digits(&mut self) -> Outcome<()> {
        let digits = self.source[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { self.bad("in numeric literal") } else { Ok(()) }
    }

    fn number(&mut self) -> Outcome<Value> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let digits = std::str::from_utf8(&self.source[start..self.at]).unwrap_or_default();
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => fault("json: cannot unmarshal number into Go value of type float64"),
        }
    }

    /// A string, which shares the source's bytes if there is nothing to undo in it.
    fn string(&mut self) -> Outcome<Text> {
        self.at += 1;
        let start = self.at;
        let rest = &self.source[start..];
        let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20));
        if let Some(length) = plain
            && rest[length] == b'"'
            && std::str::from_utf8(&rest[..length]).is_ok()
        {
            self.at += length + 1;
            return Ok(self.source.slice(start..start + length));
        }
        self.escaped_string()
    }

    fn escaped_string(&mut self) -> Outcome<Text> {
        let mut out = Vec::new();
        loop {
            let rest = &self.source[self.at..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
            chars(&rest[..plain]).for_each(|(_, c, _)| push(&mut out, c));
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text::from(out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    push(&mut out, c);
                }
                _ => return self.bad("in string literal"),
            }
        }
    }

    fn escape(&mut self) -> Outcome<char> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return self.bad("in string escape code"),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode_escape(&mut self) -> Outcome<char> {
        let first = self.hex4()?;
        if (0xD800..0xDC00).contains(&first) && self.source[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back; // it is a character of its own
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Outcome<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return self.bad("in \\u hexadecimal character escape") };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

pub(crate) fn to_json(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    encode(run, &args[0].value, false)
}

/// With two spaces a level.
pub(crate) fn to_pretty_json(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    encode(run, &args[0].value, true)
}

fn encode(run: &Run<'_>, value: &Value, pretty: bool) -> Outcome<Value> {
    let mut out = Vec::new();
    let mut depth = 0;
    walk(value, |event| {
        match event {
            Event::Leaf(value, _) => leaf(&mut out, value, pretty, depth)?,
            Event::Open(value) if value.is_nil() => out.extend_from_slice(b"null"),
            Event::Open(value) => {
                out.push(if let Value::Map(_) = value { b'{' } else { b'[' });
                depth += 1;
                if depth > MAX_DEPTH {
                    return fault("json: exceeded max depth");
                }
            }
            Event::Item { first, key } => {
                if !first {
                    out.push(b',');
                }
                new_line(&mut out, pretty, depth);
                if let Some(key) = key {
                    name(&mut out, key, pretty);
                }
            }
            Event::Close(value, _) if value.is_nil() => {}
            Event::Close(value, count) => {
                depth -= 1;
                if count > 0 {
                    new_line(&mut out, pretty, depth);
                }
                out.push(if let Value::Map(_) = value { b'}' } else { b']' });
            }
        }
        run.room(out.len())
    })?;
    Ok(Value::Text(Text::from(out)))
}

fn new_line(out: &mut Vec<u8>, pretty: bool, depth: usize) {
    if pretty {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    }
}

fn name(out: &mut Vec<u8>, key: &[u8], pretty: bool) {
    string(out, key);
    out.extend_from_slice(if pretty { b": " } else { b":" });
}

fn leaf(out: &mut Vec<u8>, value: &Value, pretty: bool, depth: usize) -> Outcome<()> {
    match value {
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Int(n) | Value::Month(n) | Value::Weekday(n) => write_int(out, *n),
        Value::Byte(n) => write_int(out, i64::from(*n)),
        Value::Short(n) => write_int(out, i64::from(*n)),
        Value::Float(number) => javascript(out, *number),
        Value::Complex(..) => return Err(Fault::Message("json: unsupported type: complex128".to_owned())),
        Value::Text(text) => string(out, text),
        Value::Time(time) => string(out, &time.rfc3339()),
        Value::Pair(pair) => pair.with(|pair| {
            let mut object = Object { out, pretty, depth, empty: true };
            object.field("Key", |out| string(out, &pair.key));
            object.field("Value", |out| string(out, &pair.value));
            object.end();
        }),
        Value::Server(server) => {
            let mut object = Object { out, pretty, depth, empty: true };
            object.field("Target", |out| string(out, server.target.as_bytes()));
            object.field("Port", |out| write_int(out, i64::from(server.port)));
            object.field("Priority", |out| write_int(out, i64::from(server.priority)));
            object.field("Weight", |out| write_int(out, i64::from(server.weight)));
            object.end();
        }
        _ => out.extend_from_slice(b"null"),
    }
    Ok(())
}

/// A struct being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    pretty: bool,
    depth: usize,
    empty: bool,
}

impl Object<'_> {
    fn field(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(if self.empty { b'{' } else { b',' });
        self.empty = false;
        new_line(self.out, self.pretty, self.depth + 1);
        name(self.out, key.as_bytes(), self.pretty);
        value(self.out);
    }

    fn end(self) {
        new_line(self.out, self.pretty, self.depth);
        self.out.push(b'}');
    }
}

/// As JavaScript prints numbers (ECMA-262, Number::toString): exponents from 21 digits and below 1e-6.
pub(crate) fn javascript(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return float::append(out, number, b'f', None);
    }
    float::append(out, number, b'e', None);
    let end = out.len();
    if end >= 4 && out[end - 4] == b'e' && out[end - 2] == b'0' {
        out.remove(end - 2); // e-07 becomes e-7
    }
}

pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for (at, c, width) in chars(text) {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{C}' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..=' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if c != ' ' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            char::REPLACEMENT_CHARACTER if width == 1 => out.extend_from_slice(b"\\ufffd"),
            _ => out.extend_from_slice(&text[at..at + width]),
        }
    }
    out.push(b'"');
}
