//! Outline: which functions a source calls and which files it includes, in whatever branch, and with which
//! literals.
//!
//! It goes over the tokens alone. So it tells all calls of a file that does not parse, or that calls what its
//! dialect does not have, and none that stands in text or in a comment.

use crate::dialect::{Dialect, not_defined};
use crate::functions;
use crate::include::inside;
use crate::jinja;
use crate::lexer::{self, Keyword, Kind, Token};
use crate::literal::unquote;
use crate::{Engine, Text};

/// A call of a function, or what would be one if the function existed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name that is called.
    pub function: String,
    /// Where in the source the name begins, in bytes.
    pub at: usize,
    /// What it is handed; a piped value is the last, as it is to the function.
    pub arguments: Vec<Argument>,
}

/// What is known of an argument without rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A string.
    Text(Text),
    /// A number, as it is written.
    Number(String),
    /// What a call of this function gives.
    Result(String),
    /// Anything else.
    Other,
}

impl Call {
    /// Why a template of `dialect` cannot make the call; none if it can, as far as its name goes.
    pub fn objection(&self, dialect: Dialect) -> Option<String> {
        let known = functions::find(&self.function).filter(|function| dialect.knows(function.since));
        known.is_none().then(|| not_defined(&self.function, dialect))
    }

    /// The argument at `index`, if it is a string that stands in the source.
    pub fn literal(&self, index: usize) -> Option<&Text> {
        match self.arguments.get(index)? {
            Argument::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A file that a source includes by a name that stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// The name, as it is written.
    pub name: Text,
    /// Where in the source that is said, in bytes.
    pub at: usize,
    /// The language that the file is read in.
    pub engine: Engine,
    /// It does not matter if there is no such file.
    pub may_be_missing: bool,
}

/// What a source calls and includes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// In the order in which they begin.
    pub calls: Vec<Call>,
    /// In that order, too.
    pub includes: Vec<Include>,
}

/// What `source` calls and includes.
///
/// Of a Jinja source, filters are calls; what it defines itself and what minijinja has are none, and neither
/// are tests.
pub fn outline(engine: Engine, source: &[u8]) -> Outline {
    let mut outline = match engine {
        Engine::Go => Outline { calls: Reader::read(source), includes: Vec::new() },
        Engine::Jinja => jinja::outline(source),
    };
    let function = outline.calls.iter().filter(|call| call.function == "include");
    let include = |call: &Call| {
        let name = call.literal(0)?.clone();
        Some(Include { name, at: call.at, engine: Engine::Go, may_be_missing: false })
    };
    let called: Vec<Include> = function.filter_map(include).collect();
    outline.includes.extend(called);
    outline.includes.sort_by_key(|include| include.at);
    outline
}

/// The path below the directory of templates that an include of `name` reads; none if that is outside.
pub fn included_path(name: &Text) -> Option<String> {
    inside(name).ok()
}

/// A command that is being read.
#[derive(Default)]
struct Command {
    /// The call that it is, by its number.
    call: Option<usize>,
    /// Its first operand, if that is no function.
    first: Option<Argument>,
    piped: Option<Argument>,
}

struct Reader<'a> {
    source: &'a [u8],
    calls: Vec<Call>,
    /// The commands that the current token is in, outermost first.
    open: Vec<Command>,
    /// The next string is the name of a template.
    name_is_next: bool,
}

impl Reader<'_> {
    fn read(source: &[u8]) -> Vec<Call> {
        let mut reader = Reader { source, calls: Vec::new(), open: Vec::new(), name_is_next: false };
        let mut before = Kind::Text;
        for token in lexer::tokens(source).list {
            reader.token(token, before);
            before = token.kind;
        }
        reader.calls
    }

    fn token(&mut self, token: Token, before: Kind) {
        match token.kind {
            Kind::LeftDelim => self.open = vec![Command::default()],
            Kind::Keyword(keyword) => {
                self.name_is_next = matches!(keyword, Keyword::Template | Keyword::Block | Keyword::Define);
            }
            Kind::String | Kind::RawString if self.name_is_next => self.name_is_next = false,
            // What stands before is a variable, and no command.
            Kind::Assign | Kind::Declare => self.replace(Command::default()),
            Kind::Pipe => {
                let piped = self.end();
                self.replace(Command { piped: Some(piped), ..Command::default() });
            }
            Kind::LeftParen => self.open.push(Command::default()),
            Kind::RightParen => {
                let value = self.end();
                self.open.pop();
                self.operand(value);
            }
            Kind::RightDelim | Kind::End | Kind::Fault => {
                while !self.open.is_empty() {
                    self.end();
                    self.open.pop();
                }
            }
            Kind::Identifier => self.identifier(token),
            // A field of the operand that it follows.
            Kind::Field
                if !matches!(before, Kind::Space | Kind::LeftDelim | Kind::LeftParen | Kind::Pipe) =>
            {
                self.spoil();
            }
            Kind::Text | Kind::Space | Kind::Char => {}
            _ => self.operand(self.argument(token)),
        }
    }

    fn replace(&mut self, command: Command) {
        if let Some(current) = self.open.last_mut() {
            *current = command;
        }
    }

    fn argument(&self, token: Token) -> Argument {
        let text = &self.source[token.start..token.end];
        match token.kind {
            Kind::String | Kind::RawString => {
                unquote(text).map_or(Argument::Other, |text| Argument::Text(Text::from(text)))
            }
            Kind::Number => Argument::Number(String::from_utf8_lossy(text).into_owned()),
            _ => Argument::Other,
        }
    }

    fn identifier(&mut self, token: Token) {
        let function = String::from_utf8_lossy(&self.source[token.start..token.end]).into_owned();
        self.calls.push(Call { function: function.clone(), at: token.start, arguments: Vec::new() });
        let number = self.calls.len() - 1;
        match self.open.last_mut() {
            Some(command) if command.call.is_none() && command.first.is_none() => command.call = Some(number),
            // As an argument it is called without any.
            _ => self.operand(Argument::Result(function)),
        }
    }

    fn operand(&mut self, argument: Argument) {
        let Some(command) = self.open.last_mut() else { return };
        match command.call {
            Some(call) => self.calls[call].arguments.push(argument),
            None if command.first.is_none() => command.first = Some(argument),
            None => command.first = Some(Argument::Other),
        }
    }

    /// The last operand is not what it seemed: a field of it is meant.
    fn spoil(&mut self) {
        let Some(command) = self.open.last_mut() else { return };
        let last = match command.call {
            Some(call) => self.calls[call].arguments.last_mut(),
            None => command.first.as_mut(),
        };
        if let Some(last) = last {
            *last = Argument::Other;
        }
    }

    /// Ends the innermost command; gives what is known of its value.
    fn end(&mut self) -> Argument {
        let Some(command) = self.open.last_mut().map(std::mem::take) else { return Argument::Other };
        match (command.call, command.piped) {
            (Some(call), piped) => {
                self.calls[call].arguments.extend(piped);
                Argument::Result(self.calls[call].function.clone())
            }
            (None, None) => command.first.unwrap_or(Argument::Other),
            (None, Some(_)) => Argument::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> Vec<String> {
        let argument = |argument: &Argument| match argument {
            Argument::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
            Argument::Number(number) => number.clone(),
            Argument::Result(function) => format!("{function}()"),
            Argument::Other => "_".to_owned(),
        };
        let call = |call: Call| {
            let arguments: Vec<String> = call.arguments.iter().map(argument).collect();
            format!("{}({})", call.function, arguments.join(", "))
        };
        outline(Engine::Go, source.as_bytes()).calls.into_iter().map(call).collect()
    }

    #[test]
    fn calls_are_told_with_their_literals() {
        assert_eq!(shown("x {{getv \"/a\" `b`}} {{/* gets \"/c\" */}}"), ["getv(\"/a\", \"b\")"]);
        assert_eq!(shown("{{range $i, $x := seq 4 1}}{{end}}"), ["seq(4, 1)"]);
        assert_eq!(shown("{{\"/a\" | getv}}{{$x := \"/b\"}}{{get $x}}"), ["getv(\"/a\")", "get(_)"]);
        assert_eq!(shown("{{(get \"/a\").Value | getv .b.c \"d\"}}"), ["get(\"/a\")", "getv(_, \"d\", _)"]);
    }

    #[test]
    fn a_result_that_is_handed_on_is_told_by_its_function() {
        assert_eq!(shown("{{reverse (gets \"/a/*\")}}"), ["reverse(gets())", "gets(\"/a/*\")"]);
        assert_eq!(shown("{{gets \"/a/*\" | reverse}}"), ["gets(\"/a/*\")", "reverse(gets())"]);
        assert_eq!(shown("{{printf hostname \"/a\"}}"), ["printf(hostname(), \"/a\")", "hostname()"]);
        assert_eq!(shown("{{len (index (list 1) 0).Name}}"), ["len(_)", "index(list(), 0)", "list(1)"]);
    }

    #[test]
    fn names_of_templates_are_no_arguments() {
        let source = "{{define \"/x\"}}{{getv \"/a\"}}{{end}}{{template \"/x\" getv \"/b\"}}";
        assert_eq!(shown(source), ["getv(\"/a\")", "getv(\"/b\")"]);
    }

    #[test]
    fn calls_in_branches_never_taken_and_before_a_fault_are_told() {
        assert_eq!(shown("{{if false}}{{nosuch 1}}{{end}}{{end}}"), ["nosuch(1)"]);
        assert_eq!(shown("{{getv \"/a\"}}{{if}"), ["getv(\"/a\")"]);
    }

    #[test]
    fn a_function_that_the_dialect_has_not_is_objected_to() {
        let Outline { calls, .. } = outline(Engine::Go, b"{{list 1}}{{tree \"/\"}}{{eq 1 1}}");
        let objects =
            |dialect| calls.iter().map(|call| call.objection(dialect).is_some()).collect::<Vec<_>>();
        assert_eq!(objects(Dialect::Confd016), [true, true, false]);
        assert_eq!(objects(Dialect::Waypost), [false, false, false]);
    }
}
