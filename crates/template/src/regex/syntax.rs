//! RE2's syntax as Go's `regexp/syntax` reads it with the flags of `regexp.Compile`, to the regex crates'
//! intermediate form.
//!
//! The differences from those crates' own syntax are many and small: ASCII classes, literal braces and
//! class operators, octal, `\Q…\E`, refused stacked repetitions, bounds on repetition.

use regex_syntax::hir::{
    Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, HirKind, Look, Repetition,
};

/// A parsed expression.
pub(super) struct Parsed {
    pub(super) hir: Hir,
    /// The names of all groups; the first stands for the whole match.
    pub(super) names: Vec<String>,
    pub(super) depth: usize,
}

/// Go's bounds.
const MAX_REPEAT: u32 = 1_000;
const MAX_DEPTH: usize = 1_000;

type Result<T> = std::result::Result<T, &'static str>;

pub(super) fn parse(pattern: &str) -> Result<Parsed> {
    let parser = Parser {
        rest: pattern,
        flags: Flags::default(),
        groups: vec![Group::default()],
        names: vec![String::new()],
        depth: 0,
    };
    parser.run()
}

#[derive(Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    swap_greed: bool,
}

/// An open group: its finished alternatives and the one being read.
#[derive(Default)]
struct Group {
    alternatives: Vec<Hir>,
    sequence: Vec<Item>,
    capture: Option<usize>,
    outer_flags: Flags,
    weight: u32,
}

/// A piece of a sequence, and how often its innermost repetitions multiply.
struct Item {
    hir: Hir,
    weight: u32,
}

struct Parser<'a> {
    rest: &'a str,
    flags: Flags,
    groups: Vec<Group>,
    names: Vec<String>,
    depth: usize,
}

impl Parser<'_> {
    fn run(mut self) -> Result<Parsed> {
        let mut after_repeat = false;
        while let Some(c) = self.rest.chars().next() {
            let repeats = self.repetition(c)?;
            if let Some((min, max)) = repeats {
                self.repeat(min, max, after_repeat)?;
            } else {
                self.piece(c)?;
            }
            after_repeat = repeats.is_some();
        }
        let last = self.groups.pop().expect("the outermost group stays open");
        if !self.groups.is_empty() {
            return Err("missing closing )");
        }
        Ok(Parsed { hir: last.finish().hir, names: self.names, depth: self.depth })
    }

    fn piece(&mut self, c: char) -> Result<()> {
        match c {
            '(' if self.rest.starts_with("(?") => self.perl_group()?,
            '(' => {
                self.skip(1);
                self.names.push(String::new());
                self.open(Some(self.names.len() - 1))?;
            }
            ')' => self.close()?,
            '|' => {
                self.skip(1);
                self.group().end_alternative();
            }
            '[' => {
                self.skip(1);
                let class = self.class()?;
                self.push(Hir::class(Class::Unicode(class)));
            }
            '^' | '$' | '.' => {
                self.skip(1);
                let hir = self.symbol(c);
                self.push(hir);
            }
            '\\' => self.escaped()?,
            c => {
                self.skip(c.len_utf8());
                self.literal(c);
            }
        }
        Ok(())
    }

    fn symbol(&self, c: char) -> Hir {
        match (c, self.flags) {
            ('^', Flags { multi_line: true, .. }) => Hir::look(Look::StartLF),
            ('^', _) => Hir::look(Look::Start),
            ('$', Flags { multi_line: true, .. }) => Hir::look(Look::EndLF),
            ('$', _) => Hir::look(Look::End),
            (_, Flags { dot_newline: true, .. }) => Hir::dot(Dot::AnyChar),
            _ => Hir::dot(Dot::AnyCharExceptLF),
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the outermost group stays open")
    }

    fn push(&mut self, hir: Hir) {
        self.group().sequence.push(Item { hir, weight: 1 });
    }

    fn literal(&mut self, c: char) {
        let mut class = single(c);
        if self.flags.fold_case {
            class.case_fold_simple();
        }
        self.push(Hir::class(Class::Unicode(class)));
    }

    fn open(&mut self, capture: Option<usize>) -> Result<()> {
        if self.groups.len() >= MAX_DEPTH {
            return Err("expression nests too deeply");
        }
        self.groups.push(Group { capture, outer_flags: self.flags, ..Group::default() });
        self.depth = self.depth.max(self.groups.len());
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if self.groups.len() == 1 {
            return Err("unexpected )");
        }
        self.skip(1);
        let group = self.groups.pop().expect("there are two at least");
        self.flags = group.outer_flags;
        let item = group.finish();
        self.group().sequence.push(item);
        Ok(())
    }

    /// `(?P<name>`, `(?<name>`, `(?flags:` or `(?flags)`.
    fn perl_group(&mut self) -> Result<()> {
        if self.eat("(?P<") || self.eat("(?<") {
            let Some((name, rest)) = self.rest.split_once('>') else { return Err("invalid named capture") };
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err("invalid named capture");
            }
            self.rest = rest;
            self.names.push(name.to_owned());
            return self.open(Some(self.names.len() - 1));
        }
        self.skip(2);
        let (mut flags, mut set, mut seen) = (self.flags, true, false);
        while let Some(c) = self.next() {
            match c {
                'i' => flags.fold_case = set,
                'm' => flags.multi_line = set,
                's' => flags.dot_newline = set,
                'U' => flags.swap_greed = set,
                '-' if set => {
                    (set, seen) = (false, false);
                    continue;
                }
                ':' | ')' if set || seen => {
                    if c == ':' {
                        self.open(None)?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            seen = true;
        }
        Err("invalid or unsupported Perl syntax")
    }

    /// The bounds of a repetition, if one comes here. Braces that hold none are literal.
    fn repetition(&mut self, c: char) -> Result<Option<(u32, Option<u32>)>> {
        let bounds = match c {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            '{' => {
                let Some((min, max, length)) = braces(self.rest) else { return Ok(None) };
                if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || min > max) {
                    return Err("invalid repeat count");
                }
                self.skip(length - 1);
                (min, max)
            }
            _ => return Ok(None),
        };
        self.skip(1);
        Ok(Some(bounds))
    }

    fn repeat(&mut self, min: u32, max: Option<u32>, after_repeat: bool) -> Result<()> {
        let greedy = self.eat("?") == self.flags.swap_greed;
        if after_repeat {
            return Err("invalid nested repetition operator");
        }
        let Some(Item { hir, weight }) = self.group().sequence.pop() else {
            return Err("missing argument to repetition operator");
        };
        let counted = min >= 2 || max.is_some_and(|max| max >= 2);
        let times = max.unwrap_or(min);
        let weight = if counted { times.saturating_mul(weight) } else { weight };
        if counted && weight > MAX_REPEAT {
            return Err("invalid repeat count");
        }
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(hir) });
        self.group().sequence.push(Item { hir, weight });
        Ok(())
    }

    /// What starts with a backslash, outside of a class.
    fn escaped(&mut self) -> Result<()> {
        if self.eat(r"\Q") {
            let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
            self.rest = rest;
            quoted.chars().for_each(|c| self.literal(c));
            return Ok(());
        }
        let looks = [
            (r"\A", Look::Start),
            (r"\z", Look::End),
            (r"\b", Look::WordAscii),
            (r"\B", Look::WordAsciiNegate),
        ];
        for (escape, look) in looks {
            if self.eat(escape) {
                self.push(Hir::look(look));
                return Ok(());
            }
        }
        if let Some(class) = self.class_escape()? {
            self.push(Hir::class(Class::Unicode(class)));
            return Ok(());
        }
        self.skip(1);
        let c = self.escape()?;
        self.literal(c);
        Ok(())
    }

    /// `\d` and the like, and `\p`, if one comes here.
    fn class_escape(&mut self) -> Result<Option<ClassUnicode>> {
        let Some(kind) = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        let mut class = match kind.to_ascii_lowercase() {
            'd' => ranges(&[('0', '9')]),
            's' => ranges(&[('\t', '\n'), ('\u{C}', '\r'), (' ', ' ')]),
            'w' => ranges(WORD),
            'p' => return self.unicode_class().map(Some),
            _ => return Ok(None),
        };
        self.skip(2);
        if self.flags.fold_case {
            class.case_fold_simple();
        }
        if kind.is_ascii_uppercase() {
            class.negate();
        }
        Ok(Some(class))
    }

    /// `\pN`, `\p{Greek}`, `\P{^Lu}`: general categories and scripts.
    fn unicode_class(&mut self) -> Result<ClassUnicode> {
        const INVALID: &str = "invalid character class range";
        let mut negated = self.rest.starts_with(r"\P");
        self.skip(2);
        let mut name = match self.next().ok_or(INVALID)? {
            '{' => {
                let (name, rest) = self.rest.split_once('}').ok_or(INVALID)?;
                self.rest = rest;
                name.to_owned()
            }
            c => c.to_string(),
        };
        if let Some(bare) = name.strip_prefix('^') {
            (negated, name) = (!negated, bare.to_owned());
        }
        let mut class = category_or_script(&name).ok_or(INVALID)?;
        if self.flags.fold_case {
            class.case_fold_simple();
        }
        if negated {
            class.negate();
        }
        Ok(class)
    }

    /// A character after its backslash.
    fn escape(&mut self) -> Result<char> {
        const INVALID: &str = "invalid escape sequence";
        let c = self.next().ok_or("trailing backslash at end of expression")?;
        Ok(match c {
            '1'..='7' if !self.rest.starts_with(|c| ('0'..='7').contains(&c)) => return Err(INVALID),
            '0'..='7' => {
                let mut code = u32::from(c) - u32::from('0');
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    self.skip(1);
                }
                char::from_u32(code).ok_or(INVALID)?
            }
            'x' => self.hex_escape().ok_or(INVALID)?,
            'a' => '\u{7}',
            'f' => '\u{C}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{B}',
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(INVALID),
        })
    }

    fn hex_escape(&mut self) -> Option<char> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let digits = self.rest.get(..2)?;
            self.skip(2);
            digits
        };
        let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        // A half surrogate is a character to Go that no text contains; U+FFFD is near enough.
        let code = if good { u32::from_str_radix(digits, 16).ok()? } else { return None };
        (code <= 0x10_FFFF).then(|| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// A class after its bracket.
    fn class(&mut self) -> Result<ClassUnicode> {
        let negated = self.eat("^");
        let mut class = ClassUnicode::empty();
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if let Some(named) = self.posix_class()? {
                class.union(&named);
            } else if let Some(escaped) = self.class_escape()? {
                class.union(&escaped);
            } else {
                class.union(&self.class_range()?);
            }
        }
        self.skip(1);
        if negated {
            class.negate();
        }
        Ok(class)
    }

    /// A character, or two with a dash between.
    fn class_range(&mut self) -> Result<ClassUnicode> {
        let low = self.class_char()?;
        let mut high = low;
        if self.rest.starts_with('-') && self.rest.len() >= 2 && !self.rest.starts_with("-]") {
            self.skip(1);
            high = self.class_char()?;
            if high < low {
                return Err("invalid character class range");
            }
        }
        let mut class = ranges(&[(low, high)]);
        if self.flags.fold_case {
            class.case_fold_simple();
        }
        Ok(class)
    }

    fn class_char(&mut self) -> Result<char> {
        match self.next() {
            None => Err("missing closing ]"),
            Some('\\') => self.escape(),
            Some(c) => Ok(c),
        }
    }

    /// `[:alpha:]` or `[:^alpha:]`, if one comes here.
    fn posix_class(&mut self) -> Result<Option<ClassUnicode>> {
        let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else {
            return Ok(None);
        };
        let (negated, bare) = match name.strip_prefix('^') {
            Some(bare) => (true, bare),
            None => (false, name),
        };
        let (_, of_name) =
            POSIX.iter().find(|(known, _)| *known == bare).ok_or("invalid character class range")?;
        let mut class = ranges(of_name);
        if self.flags.fold_case {
            class.case_fold_simple();
        }
        if negated {
            class.negate();
        }
        self.rest = rest;
        Ok(Some(class))
    }
}

impl Group {
    fn end_alternative(&mut self) {
        let items = std::mem::take(&mut self.sequence);
        self.weight = items.iter().map(|item| item.weight).fold(self.weight, u32::max);
        self.alternatives.push(Hir::concat(items.into_iter().map(|item| item.hir).collect()));
    }

    fn finish(mut self) -> Item {
        self.end_alternative();
        let hir = Hir::alternation(self.alternatives);
        let hir = match self.capture {
            Some(index) => {
                let index = u32::try_from(index).expect("a pattern has fewer groups than bytes");
                Hir::capture(Capture { index, name: None, sub: Box::new(hir) })
            }
            None => hir,
        };
        Item { hir, weight: self.weight.max(1) }
    }
}

/// `{2}`, `{2,}` or `{2,3}`: the bounds and the length. A number too large for Go counts as beyond them.
fn braces(rest: &str) -> Option<(u32, Option<u32>, usize)> {
    let (body, _) = rest.strip_prefix('{')?.split_once('}')?;
    let length = body.len() + 2;
    match body.split_once(',') {
        None => {
            let times = count(body)?;
            Some((times, Some(times), length))
        }
        Some((min, "")) => Some((count(min)?, None, length)),
        Some((min, max)) => Some((count(min)?, Some(count(max)?), length)),
    }
}

fn count(digits: &str) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (plain && (digits.len() == 1 || !digits.starts_with('0'))).then(|| digits.parse().unwrap_or(u32::MAX))
}

fn ranges(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)))
}

fn single(c: char) -> ClassUnicode {
    ranges(&[(c, c)])
}

/// The class of a general category or script, by Go's name for it.
fn category_or_script(name: &str) -> Option<ClassUnicode> {
    if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
        return None;
    }
    let class = |pattern: String| match regex_syntax::parse(&pattern).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        _ => None,
    };
    if name == "Any" {
        return Some(ranges(&[('\0', char::MAX)]));
    }
    class(format!(r"[\p{{gc={name}}}]")).or_else(|| class(format!(r"[\p{{sc={name}}}]")))
}

const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

const POSIX: &[(&str, &[(char, char)])] = &[
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7F')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1F'), ('\x7F', '\x7F')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];
