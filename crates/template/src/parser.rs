//! Parser: tokens to code, accepting what Go's `text/template/parse` accepts.
//!
//! It is a loop with its own stacks, of blocks here and of parentheses in `pipeline.rs`, so nesting costs
//! no native stack. Go's checks that need a whole tree (an empty body, a pipeline's later stages) are made
//! on the way. All names of functions must exist, whether or not they are ever called.

use std::collections::HashMap;

use crate::Text;
use crate::builder::{Builder, OpenLoop, number};
use crate::code::{Body, Loop, Op, Program, TemplateCall};
use crate::dialect::{Dialect, not_defined};
use crate::error::{Error, ErrorKind};
use crate::functions::Since;
use crate::lexer::{self, Keyword, Kind, Token, Tokens};
use crate::literal::unquote;
use crate::pipeline::Head;

/// Which functions a template may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// Go's built-in ones.
    Builtin,
    /// confd's as well, of a generation.
    Confd(Dialect),
}

impl Library {
    /// Whether it holds a function of that age.
    pub(crate) fn holds(self, since: Since) -> bool {
        match self {
            Library::Builtin => since == Since::Go,
            Library::Confd(dialect) => dialect.knows(since),
        }
    }

    /// Why it does not hold a function.
    pub(crate) fn refusal(self, name: &str) -> String {
        match self {
            Library::Builtin => format!("function {name:?} not defined"),
            Library::Confd(dialect) => not_defined(name, dialect),
        }
    }
}

/// Parses a file; `name` is its base name and the name of its main template.
pub(crate) fn parse(name: &str, source: Text, library: Library) -> Result<Program, Error> {
    if u32::try_from(source.len()).is_err() {
        let message = "template is too large".to_owned();
        return Err(Error::new(ErrorKind::Parse, name, b"", 0, message));
    }
    let tokens = lexer::tokens(&source);
    let mut parser = Parser {
        source: &source,
        tokens,
        next: 0,
        library,
        builder: Builder::new(),
        blocks: Vec::new(),
        bodies: Vec::new(),
        templates: HashMap::new(),
    };
    match parser.file(name) {
        Ok(()) => {
            let Parser { bodies, templates, .. } = parser;
            let bodies = bodies.into_iter().map(|defined| defined.body).collect();
            Ok(link(Program { name: name.to_owned(), source, bodies, templates }))
        }
        Err(SyntaxError { at, message }) => Err(Error::new(ErrorKind::Parse, name, &source, at, message)),
    }
}

fn link(mut program: Program) -> Program {
    for body in &mut program.bodies {
        for call in &mut body.templates {
            call.body = program.templates.get(&call.name).copied();
        }
    }
    program
}

pub(crate) struct SyntaxError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

pub(crate) type Parsed<T> = Result<T, SyntaxError>;

pub(crate) struct Parser<'a> {
    pub(crate) source: &'a [u8],
    tokens: Tokens,
    next: usize,
    pub(crate) library: Library,
    pub(crate) builder: Builder,
    blocks: Vec<Block>,
    bodies: Vec<Defined>,
    templates: HashMap<Text, usize>,
}

struct Defined {
    body: Body,
    empty: bool,
}

/// A block that waits for its `end`.
struct Block {
    kind: BlockKind,
    at: usize,
    /// It is the `else if` or `else with` of the block below and shares its `end`.
    chained: bool,
    known: usize,
    scope: usize,
    inner_scope: usize, // with the variables of its head
}

enum BlockKind {
    If {
        otherwise: usize,
    },
    With {
        otherwise: usize,
    },
    Range {
        site: u32,
    },
    /// The `else` part of `if` and `with`, with the jump past it.
    Else {
        past: usize,
    },
    /// The `else` part of `range`.
    RangeElse {
        site: u32,
    },
    /// The body of a `define` or `block`, with the builder of what is around it.
    Define {
        name: Text,
        around: Box<Builder>,
    },
}

impl Parser<'_> {
    fn file(&mut self, name: &str) -> Parsed<()> {
        loop {
            let token = self.take();
            match (token.kind, self.blocks.last()) {
                (Kind::Text, _) => {
                    self.builder.empty &= is_blank(&self.source[token.start..token.end]);
                    self.builder.text(token.start, token.end);
                }
                (Kind::LeftDelim, _) => self.action()?,
                (Kind::End, None) => break,
                (Kind::End, Some(block)) => {
                    let message = "unexpected EOF: the block that begins here has no {{end}}".to_owned();
                    return Err(SyntaxError { at: block.at, message });
                }
                _ => return self.unexpected(token, "input"),
            }
        }
        let main = self.builder.replace(Builder::new());
        self.define(Text::from(name.to_owned()), main, self.source.len())
    }

    /// An action after its left delimiter.
    fn action(&mut self) -> Parsed<()> {
        let token = self.take_non_space();
        let Kind::Keyword(keyword) = token.kind else {
            self.put_back();
            return self.statement(token);
        };
        match keyword {
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                self.end(token)
            }
            Keyword::Else => self.otherwise(token),
            Keyword::Define if self.blocks.is_empty() => self.define_clause(),
            Keyword::Define => self.unexpected(token, "command"),
            _ => {
                self.builder.empty = false;
                match keyword {
                    Keyword::If => self.if_clause(false),
                    Keyword::With => self.with_clause(false),
                    Keyword::Range => self.range_clause(),
                    Keyword::Template => self.template_clause(),
                    Keyword::Block => self.block_clause(),
                    Keyword::Break => self.leave(token, "{{break}}"),
                    _ => self.leave(token, "{{continue}}"),
                }
            }
        }
    }

    /// A pipeline that is printed, or that declares or assigns.
    fn statement(&mut self, token: Token) -> Parsed<()> {
        self.builder.empty = false;
        let head = self.pipeline("command")?;
        if head.targets == 0 {
            self.builder.print(token.start);
        } else {
            self.builder.emit(Op::Pop, token.start);
        }
        Ok(())
    }

    fn open(&mut self, kind: BlockKind, at: usize, chained: bool, [known, scope]: [usize; 2]) {
        let inner_scope = self.builder.mark();
        self.blocks.push(Block { kind, at, chained, known, scope, inner_scope });
    }

    fn if_clause(&mut self, chained: bool) -> Parsed<()> {
        let outer = [self.builder.known.len(), self.builder.mark()];
        let head = self.pipeline("if")?;
        self.builder.drop_unbox();
        let otherwise = self.builder.emit(Op::JumpUnless(0), head.at);
        self.open(BlockKind::If { otherwise }, head.at, chained, outer);
        Ok(())
    }

    fn with_clause(&mut self, chained: bool) -> Parsed<()> {
        let outer = [self.builder.known.len(), self.builder.mark()];
        let head = self.pipeline("with")?;
        let otherwise = self.builder.emit(Op::With(0), head.at);
        self.open(BlockKind::With { otherwise }, head.at, chained, outer);
        Ok(())
    }

    fn range_clause(&mut self) -> Parsed<()> {
        let outer = [self.builder.known.len(), self.builder.mark()];
        let Head { at, first, second, .. } = self.pipeline("range")?;
        let (index, element) = if second.is_some() { (first, second) } else { (None, first) };
        let loops = &mut self.builder.body().loops;
        loops.push(Loop { index, element, ..Loop::default() });
        let site = number(loops.len() - 1);
        self.builder.emit(Op::Range(site), at);
        let body = self.builder.label();
        self.builder.body().loops[site as usize].body = body;
        self.builder.loops.push(OpenLoop { site, otherwise: false });
        self.open(BlockKind::Range { site }, at, false, outer);
        Ok(())
    }

    /// `break` or `continue`.
    fn leave(&mut self, token: Token, what: &str) -> Parsed<()> {
        self.expect(Kind::RightDelim, what)?;
        let loops = &self.builder.loops;
        let Some(body) = loops.iter().rposition(|open| !open.otherwise) else {
            return self.fail(token, format!("{what} outside {{{{range}}}}"));
        };
        let (innermost, site, inside) =
            (loops[loops.len() - 1].site, loops[body].site, loops.len() - 1 - body);
        if what == "{{break}}" {
            self.builder.emit(Op::Break(innermost), token.start);
        } else {
            for _ in 0..inside {
                self.builder.emit(Op::EndLoop, token.start);
            }
            self.builder.emit(Op::Next(site), token.start);
        }
        Ok(())
    }

    fn otherwise(&mut self, token: Token) -> Parsed<()> {
        let following = self.take_non_space();
        let keyword = match following.kind {
            Kind::Keyword(keyword @ (Keyword::If | Keyword::With)) => Some(keyword),
            Kind::RightDelim => None,
            _ => return self.unexpected(following, "else"),
        };
        let Some(mut block) = self.blocks.pop() else { return self.fail(token, "unexpected {{else}}") };
        self.builder.release(if let BlockKind::Define { .. } = block.kind { 0 } else { block.inner_scope });
        block.kind = match (block.kind, keyword) {
            (BlockKind::If { otherwise }, None | Some(Keyword::If)) => self.begin_else(otherwise, token),
            (BlockKind::With { otherwise }, None | Some(Keyword::With)) => {
                self.builder.emit(Op::EndWith, token.start);
                self.begin_else(otherwise, token)
            }
            (BlockKind::Range { site }, None) => {
                self.end_loop_body(site, token);
                self.builder.loops.push(OpenLoop { site, otherwise: true });
                BlockKind::RangeElse { site }
            }
            (BlockKind::If { .. } | BlockKind::With { .. } | BlockKind::Range { .. }, Some(_)) => {
                return self.unexpected(following, "input");
            }
            (BlockKind::Define { .. }, _) => return self.fail(token, "unexpected {{else}} in define clause"),
            _ => return self.fail(token, "expected end; found {{else}}"),
        };
        self.blocks.push(block);
        match keyword {
            Some(Keyword::If) => self.if_clause(true),
            Some(_) => self.with_clause(true),
            None => Ok(()),
        }
    }

    fn begin_else(&mut self, otherwise: usize, token: Token) -> BlockKind {
        let past = self.builder.emit(Op::Jump(0), token.start);
        self.builder.land(otherwise);
        BlockKind::Else { past }
    }

    fn end_loop_body(&mut self, site: u32, token: Token) {
        self.builder.end_loop_body(site, token.start);
        let otherwise = self.builder.label();
        self.builder.body().loops[site as usize].otherwise = otherwise;
        self.builder.loops.pop();
    }

    fn end(&mut self, token: Token) -> Parsed<()> {
        loop {
            let Some(block) = self.blocks.pop() else { return self.fail(token, "unexpected {{end}}") };
            match block.kind {
                BlockKind::If { otherwise } => self.builder.land(otherwise),
                BlockKind::With { otherwise } => {
                    self.builder.emit(Op::EndWith, token.start);
                    self.builder.land(otherwise);
                }
                BlockKind::Else { past } => self.builder.land(past),
                BlockKind::Range { site } => {
                    self.end_loop_body(site, token);
                    self.end_loop(site, token);
                }
                BlockKind::RangeElse { site } => {
                    self.builder.loops.pop();
                    self.end_loop(site, token);
                }
                BlockKind::Define { name, around } => {
                    let body = self.builder.replace(*around);
                    return self.define(name, body, token.start);
                }
            }
            self.builder.release(block.scope);
            self.builder.known.truncate(block.known);
            if !block.chained {
                return Ok(());
            }
        }
    }

    /// After the last element, or the `else` part.
    fn end_loop(&mut self, site: u32, token: Token) {
        self.builder.emit(Op::EndLoop, token.start);
        let end = self.builder.label();
        self.builder.body().loops[site as usize].end = end;
    }

    fn define_clause(&mut self) -> Parsed<()> {
        let token = self.take_non_space();
        let name = self.template_name(token, "define clause")?;
        self.expect(Kind::RightDelim, "define clause")?;
        self.begin_body(name, token.start);
        Ok(())
    }

    fn block_clause(&mut self) -> Parsed<()> {
        let token = self.take_non_space();
        let name = self.template_name(token, "block clause")?;
        self.pipeline("block clause")?;
        self.call_template(name.clone(), token);
        self.begin_body(name, token.start);
        Ok(())
    }

    fn begin_body(&mut self, name: Text, at: usize) {
        let around = Box::new(self.builder.replace(Builder::new()));
        let kind = BlockKind::Define { name, around };
        self.blocks.push(Block { kind, at, chained: false, known: 0, scope: 0, inner_scope: 0 });
    }

    fn template_clause(&mut self) -> Parsed<()> {
        let token = self.take_non_space();
        let name = self.template_name(token, "template clause")?;
        if self.take_non_space().kind == Kind::RightDelim {
            self.builder.constant(crate::code::Constant::Nil, token.start);
        } else {
            self.put_back();
            self.pipeline("template clause")?;
        }
        self.call_template(name, token);
        Ok(())
    }

    fn call_template(&mut self, name: Text, token: Token) {
        let templates = &mut self.builder.body().templates;
        templates.push(TemplateCall { name, body: None });
        let call = number(templates.len() - 1);
        self.builder.emit(Op::Template(call), token.start);
    }

    fn template_name(&mut self, token: Token, context: &str) -> Parsed<Text> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return self.unexpected(token, context);
        }
        self.unquoted(token)
    }

    pub(crate) fn unquoted(&mut self, token: Token) -> Parsed<Text> {
        match unquote(&self.source[token.start..token.end]) {
            Some(text) => Ok(Text::from(text)),
            None => self.fail(token, "invalid syntax"),
        }
    }

    /// Adds a template. A body of nothing but white space neither replaces another nor conflicts with it.
    fn define(&mut self, name: Text, builder: Builder, at: usize) -> Parsed<()> {
        let empty = builder.empty;
        let defined = Defined { body: builder.finish(at), empty };
        let known = self.templates.get(&name).copied();
        if known.is_some_and(|known| !self.bodies[known].empty) {
            if !empty {
                let name = String::from_utf8_lossy(&name);
                return Err(SyntaxError { at, message: format!("multiple definition of template {name:?}") });
            }
            return Ok(());
        }
        self.bodies.push(defined);
        self.templates.insert(name, self.bodies.len() - 1);
        Ok(())
    }

    pub(crate) fn take(&mut self) -> Token {
        let last = self.tokens.list.len() - 1;
        let token = self.tokens.list[self.next.min(last)];
        self.next += 1;
        token
    }

    pub(crate) fn peek(&self) -> Token {
        let last = self.tokens.list.len() - 1;
        self.tokens.list[self.next.min(last)]
    }

    pub(crate) fn put_back(&mut self) {
        self.next -= 1;
    }

    pub(crate) fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    pub(crate) fn take_non_space(&mut self) -> Token {
        self.skip_space();
        self.take()
    }

    /// Where the parser is, to come back to with `rewind`.
    pub(crate) fn place(&self) -> usize {
        self.next
    }

    pub(crate) fn rewind(&mut self, place: usize) {
        self.next = place;
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.take_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(token, context) }
    }

    pub(crate) fn unexpected<T>(&self, token: Token, context: &str) -> Parsed<T> {
        let shown = match token.kind {
            Kind::Fault => return self.fail(token, self.tokens.fault.clone()),
            Kind::End => "EOF".to_owned(),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{}>", self.text_of(token)),
            _ => format!("{:?}", self.text_of(token)),
        };
        self.fail(token, format!("unexpected {shown} in {context}"))
    }

    pub(crate) fn fail<T>(&self, token: Token, message: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError { at: token.start, message: message.into() })
    }

    pub(crate) fn text_of(&self, token: Token) -> String {
        String::from_utf8_lossy(&self.source[token.start..token.end]).into_owned()
    }
}

/// Only white space, by Unicode.
fn is_blank(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.chars().all(char::is_whitespace))
}
