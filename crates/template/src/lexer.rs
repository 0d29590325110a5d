//! Lexer: source to tokens, with trim markers applied and comments gone.
//!
//! It follows Go's `text/template/parse/lex.go` in what it accepts. The first fault ends the list of
//! tokens; the parser reports it when it gets there, so that an earlier fault of its own comes first.

use memchr::memmem;

use crate::unicode::{decode, is_alphanumeric, is_print};

/// A piece of the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Bool,
    Char, // a lone ASCII character such as a comma
    CharConstant,
    Complex,
    Number,
    Assign,
    Declare,
    Dot,
    Field,
    Identifier,
    Keyword(Keyword),
    LeftParen,
    Nil,
    Pipe,
    RawString,
    RightParen,
    String,
    Variable,
    End,
    Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// The tokens of a file. The last one is `End`, or `Fault` with its message beside.
pub(crate) struct Tokens {
    pub(crate) list: Vec<Token>,
    pub(crate) fault: String,
}

const LEFT: &[u8] = b"{{";
const RIGHT: &[u8] = b"}}";
const MARKER: usize = 2; // a dash and a space

/// Splits `source` into tokens.
pub(crate) fn tokens(source: &[u8]) -> Tokens {
    let mut lexer = Lexer { source, at: 0, start: 0, parens: 0, list: Vec::new() };
    let fault = match lexer.run() {
        Ok(()) => String::new(),
        Err(message) => {
            lexer.emit(Kind::Fault);
            message
        }
    };
    Tokens { list: lexer.list, fault }
}

struct Lexer<'a> {
    source: &'a [u8],
    at: usize,
    start: usize, // of the token being read
    parens: usize,
    list: Vec<Token>,
}

type Lexed = Result<(), String>;

impl Lexer<'_> {
    fn run(&mut self) -> Lexed {
        while let Some(offset) = memmem::find(&self.source[self.at..], LEFT) {
            self.text(self.at + offset);
            if self.left_delim()? {
                while !self.at_right_delim().0 || self.parens > 0 {
                    if self.inside_action()? {
                        break;
                    }
                }
                if self.at_right_delim().0 {
                    self.right_delim();
                }
            }
        }
        self.at = self.source.len();
        if self.at > self.start {
            self.emit(Kind::Text);
        }
        self.emit(Kind::End);
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        decode(self.rest()).map(|(c, _)| c)
    }

    fn next(&mut self) -> Option<char> {
        let (c, width) = decode(self.rest())?;
        self.at += width;
        Some(c)
    }

    fn emit(&mut self, kind: Kind) {
        self.list.push(Token { kind, start: self.start, end: self.at });
        self.start = self.at;
    }

    /// The text up to the delimiter at `end`, without what a trim marker after it takes off.
    fn text(&mut self, end: usize) {
        let text = &self.source[self.at..end];
        let kept =
            if has_left_marker(&self.source[end + LEFT.len()..]) { trimmed_end(text) } else { text.len() };
        if kept > 0 {
            self.start = self.at;
            self.at += kept;
            self.emit(Kind::Text);
        }
        self.at = end;
        self.start = end;
    }

    /// The left delimiter, and a comment if one follows; tells whether an action follows instead.
    fn left_delim(&mut self) -> Result<bool, String> {
        let marker = if has_left_marker(&self.source[self.at + LEFT.len()..]) { MARKER } else { 0 };
        if self.source[self.at + LEFT.len() + marker..].starts_with(b"/*") {
            self.at += LEFT.len() + marker;
            self.start = self.at;
            self.comment()?;
            return Ok(false);
        }
        self.at += LEFT.len();
        self.emit(Kind::LeftDelim);
        self.at += marker;
        self.start = self.at;
        self.parens = 0;
        Ok(true)
    }

    fn comment(&mut self) -> Lexed {
        let Some(length) = memmem::find(&self.rest()[2..], b"*/") else { return fail("unclosed comment") };
        self.at += length + 4;
        let (closed, trim) = self.at_right_delim();
        if !closed {
            return fail("comment ends before closing delimiter");
        }
        self.skip_right_delim(trim);
        Ok(())
    }

    fn right_delim(&mut self) {
        let (_, trim) = self.at_right_delim();
        if trim {
            self.at += MARKER;
            self.start = self.at;
        }
        self.at += RIGHT.len();
        self.emit(Kind::RightDelim);
        if trim {
            self.at += self.rest().iter().take_while(|b| is_space_byte(**b)).count();
            self.start = self.at;
        }
    }

    fn skip_right_delim(&mut self, trim: bool) {
        self.at += RIGHT.len();
        if trim {
            self.at += MARKER;
            self.at += self.rest().iter().take_while(|b| is_space_byte(**b)).count();
        }
        self.start = self.at;
    }

    /// Whether the action ends here, and whether it does so with a trim marker.
    fn at_right_delim(&self) -> (bool, bool) {
        let rest = self.rest();
        let marked = rest.len() > MARKER && is_space_byte(rest[0]) && rest[1] == b'-';
        if marked && rest[MARKER..].starts_with(RIGHT) {
            return (true, true);
        }
        (rest.starts_with(RIGHT), false)
    }

    /// One token inside an action. Tells whether it was the space before a marked right delimiter, which
    /// ends the action even within parentheses.
    fn inside_action(&mut self) -> Result<bool, String> {
        if self.at_right_delim().0 {
            return fail("unclosed left paren");
        }
        let Some(c) = self.next() else { return fail("unclosed action") };
        match c {
            ' ' | '\t' | '\r' | '\n' => return Ok(self.space()),
            '=' => self.emit(Kind::Assign),
            ':' if self.next() == Some('=') => self.emit(Kind::Declare),
            ':' => return fail("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', "unterminated quoted string", Kind::String)?,
            '\'' => self.quoted('\'', "unterminated character constant", Kind::CharConstant)?,
            '`' => self.raw_string()?,
            '$' => self.name(Kind::Variable)?,
            '.' if self.rest().first().is_some_and(|b| !b.is_ascii_digit()) => self.name(Kind::Field)?,
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' if self.parens == 0 => return fail("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.emit(Kind::RightParen);
            }
            c if is_alphanumeric(c) => self.identifier()?,
            c if c.is_ascii() && is_print(c) => self.emit(Kind::Char),
            c => return fail(format!("unrecognized character in action: {}", shown(c))),
        }
        Ok(false)
    }

    fn space(&mut self) -> bool {
        let more = self.rest().iter().take_while(|b| is_space_byte(**b)).count();
        self.at += more;
        self.at -= 1; // the last space may belong to a trim marker
        let marked = self.at_right_delim().1;
        if !marked {
            self.at += 1;
        }
        if !marked || more > 0 {
            self.emit(Kind::Space);
        }
        marked && more == 0
    }

    fn quoted(&mut self, quote: char, unterminated: &str, kind: Kind) -> Lexed {
        loop {
            match self.next() {
                Some('\\') if self.next().is_some_and(|escaped| escaped != '\n') => {}
                None | Some('\\' | '\n') => return fail(unterminated),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn raw_string(&mut self) -> Lexed {
        let Some(length) = memchr::memchr(b'`', self.rest()) else {
            return fail("unterminated raw quoted string");
        };
        self.at += length + 1;
        self.emit(Kind::RawString);
        Ok(())
    }

    /// A field or variable, whose first character is past; alone, it is the dot or `$`.
    fn name(&mut self, kind: Kind) -> Lexed {
        if self.at_terminator() {
            self.emit(if kind == Kind::Field { Kind::Dot } else { kind });
            return Ok(());
        }
        self.word()?;
        self.emit(kind);
        Ok(())
    }

    fn identifier(&mut self) -> Lexed {
        self.word()?;
        self.emit(match &self.source[self.start..self.at] {
            b"true" | b"false" => Kind::Bool,
            b"nil" => Kind::Nil,
            word => keyword(word).map_or(Kind::Identifier, Kind::Keyword),
        });
        Ok(())
    }

    fn word(&mut self) -> Lexed {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        match self.peek() {
            Some(c) if !self.at_terminator() => fail(format!("bad character {}", shown(c))),
            _ => Ok(()),
        }
    }

    /// Whether a name may end here.
    fn at_terminator(&self) -> bool {
        match self.rest().first() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'.' | b',' | b'|' | b':' | b')' | b'(') => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    /// A number whose first character is past. What is let through here and is no number all the same,
    /// such as `089`, the parser finds.
    fn number(&mut self) -> Lexed {
        self.at -= 1;
        let mut kind = Kind::Number;
        let mut good = self.scan_number();
        if good && matches!(self.rest().first(), Some(b'+' | b'-')) {
            kind = Kind::Complex;
            good = self.scan_number() && self.source[self.at - 1] == b'i';
        }
        if !good {
            let read = String::from_utf8_lossy(&self.source[self.start..self.at]).into_owned();
            return fail(format!("bad number syntax: {read:?}"));
        }
        self.emit(kind);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let mut digits: &[u8] = b"0123456789_";
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = b"0123456789abcdefABCDEF_";
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        let exponent: &[u8] = match digits.len() {
            11 => b"eE",
            23 => b"pP",
            _ => b"",
        };
        while self.accept(digits) {}
        if self.accept(b".") {
            while self.accept(digits) {}
        }
        if self.accept(exponent) {
            self.accept(b"+-");
            while self.accept(b"0123456789_") {}
        }
        self.accept(b"i");
        let glued = self.peek().is_some_and(is_alphanumeric);
        if glued {
            self.next();
        }
        !glued
    }

    fn accept(&mut self, valid: &[u8]) -> bool {
        let accepted = self.rest().first().is_some_and(|b| valid.contains(b));
        self.at += usize::from(accepted);
        accepted
    }
}

fn fail<T>(message: impl Into<String>) -> Result<T, String> {
    Err(message.into())
}

fn keyword(word: &[u8]) -> Option<Keyword> {
    Some(match word {
        b"block" => Keyword::Block,
        b"break" => Keyword::Break,
        b"continue" => Keyword::Continue,
        b"define" => Keyword::Define,
        b"else" => Keyword::Else,
        b"end" => Keyword::End,
        b"if" => Keyword::If,
        b"range" => Keyword::Range,
        b"template" => Keyword::Template,
        b"with" => Keyword::With,
        _ => return None,
    })
}

/// White space of the language and of trimming: no others.
fn is_space_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn has_left_marker(after_delim: &[u8]) -> bool {
    after_delim.len() >= MARKER && after_delim[0] == b'-' && is_space_byte(after_delim[1])
}

fn trimmed_end(text: &[u8]) -> usize {
    text.iter().rposition(|b| !is_space_byte(*b)).map_or(0, |last| last + 1)
}

fn shown(c: char) -> String {
    let code = u32::from(c);
    if is_print(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<Kind> {
        tokens(source.as_bytes()).list.iter().map(|token| token.kind).collect()
    }

    #[test]
    fn trim_markers_take_white_space_off_the_text() {
        let source = b"a \n{{- 1 -}}\t b";
        let texts: Vec<_> = tokens(source)
            .list
            .iter()
            .filter(|t| t.kind == Kind::Text)
            .map(|t| &source[t.start..t.end])
            .collect();
        assert_eq!(texts, [b"a", b"b"]);
    }

    #[test]
    fn a_dash_without_space_is_a_sign() {
        assert_eq!(kinds("{{-1}}"), [Kind::LeftDelim, Kind::Number, Kind::RightDelim, Kind::End]);
        assert_eq!(kinds("{{-}}")[..2], [Kind::LeftDelim, Kind::Number]);
    }

    #[test]
    fn a_comment_leaves_nothing() {
        assert_eq!(kinds("{{- /* }} */ -}}"), [Kind::End]);
        assert_eq!(kinds("{{/* c */ }}"), [Kind::Fault]);
    }

    #[test]
    fn names_end_where_go_ends_them() {
        use Kind::{Declare, End, Field, LeftDelim, Number, RightDelim, Variable};
        assert_eq!(kinds("{{$x:=1}}"), [LeftDelim, Variable, Declare, Number, RightDelim, End]);
        assert_eq!(kinds("{{$x.a.b}}"), [LeftDelim, Variable, Field, Field, RightDelim, End]);
        assert_eq!(kinds("{{$x=2}}"), [LeftDelim, Kind::Fault]);
    }
}
