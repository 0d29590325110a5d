//! Pipelines: commands, their operands, and parentheses, as a loop over a stack of open parentheses.
//!
//! Values are pushed in the order in which Go evaluates them. A piped value is therefore below the other
//! arguments of its command, though it is the last of them. What Go finds out only when it executes, such
//! as a wrong number of arguments, becomes an operation that fails.

use crate::builder::number;
use crate::code::{Call, Constant, Invocation, Op, Target};
use crate::functions::{self, Function, Param};
use crate::lexer::{Kind, Token};
use crate::literal::{self, Number};
use crate::parser::{Parsed, Parser};

/// Go's `maxStackDepth`.
const MAX_PARENS: usize = 10_000;

/// A finished pipeline, whose value is on the stack.
pub(crate) struct Head {
    pub(crate) at: usize,
    /// How many variables it declares or assigns.
    pub(crate) targets: usize,
    pub(crate) first: Option<Target>,
    pub(crate) second: Option<Target>,
}

/// A pipeline being read.
struct Pipe {
    context: &'static str,
    closing: Kind,
    at: usize,
    names: Vec<Token>,
    assigns: bool,
    commands: usize,
}

/// A command being read.
struct Command {
    first: First,
    piped: bool,
    /// Where each argument after the first operand begins.
    arguments: Vec<u32>,
}

/// What a command starts with.
enum First {
    Nothing,
    /// A value that takes no arguments; it is on the stack.
    Value(Token),
    Function {
        function: &'static Function,
        at: usize,
    },
    Logic {
        or: bool,
        at: usize,
        shorts: Vec<Skip>,
    },
    /// The last field of a chain whose receiver is on the stack.
    Field {
        name: u32,
        at: usize,
        begun: Option<Skip>,
    },
}

/// A jump over arguments, and which variables were in scope there.
struct Skip {
    place: usize,
    scope: usize,
}

/// An operand other than a parenthesis.
enum Term {
    Dot,
    Nil,
    Constant(Constant),
    Number(Number),
    Variable(String),
    Function(&'static Function),
    /// Anything that is on the stack already.
    Pushed,
}

impl Parser<'_> {
    /// A pipeline up to the right delimiter, which is taken.
    pub(crate) fn pipeline(&mut self, context: &'static str) -> Parsed<Head> {
        let mut outside: Vec<(Pipe, Command, Token)> = Vec::new();
        let mut pipe = self.begin_pipe(context, Kind::RightDelim)?;
        let mut command: Option<Command> = None;
        loop {
            let Some(mut current) = command.take() else {
                let token = self.take_non_space();
                if token.kind == pipe.closing {
                    let head = self.end_pipe(&pipe, token)?;
                    let Some((outer, mut suspended, paren)) = outside.pop() else { return Ok(head) };
                    pipe = outer;
                    self.operand(&pipe, &mut suspended, paren, Term::Pushed)?;
                    command = self.after_operand(&mut pipe, suspended)?;
                } else if starts_operand(token.kind) {
                    self.put_back();
                    let piped = pipe.commands > 0;
                    command = Some(Command { first: First::Nothing, piped, arguments: Vec::new() });
                } else {
                    return self.unexpected(token, pipe.context);
                }
                continue;
            };
            self.skip_space();
            let token = self.take();
            if token.kind == Kind::LeftParen {
                if outside.len() >= MAX_PARENS {
                    return self.fail(token, "max expression depth exceeded");
                }
                self.before_argument(&mut current, token);
                outside.push((pipe, current, token));
                pipe = self.begin_pipe("parenthesized pipeline", Kind::RightParen)?;
            } else {
                match self.term(token)? {
                    Some(term) => {
                        self.before_argument(&mut current, token);
                        self.operand(&pipe, &mut current, token, term)?;
                    }
                    None => self.put_back(),
                }
                command = self.after_operand(&mut pipe, current)?;
            }
        }
    }

    /// The start of a pipeline, with the variables that it declares or assigns.
    fn begin_pipe(&mut self, context: &'static str, closing: Kind) -> Parsed<Pipe> {
        self.skip_space();
        let at = self.peek().start;
        let mut pipe = Pipe { context, closing, at, names: Vec::new(), assigns: false, commands: 0 };
        while self.peek().kind == Kind::Variable {
            let place = self.place();
            let variable = self.take();
            let token = self.take_non_space();
            match token.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = token.kind == Kind::Assign;
                    self.name_target(&mut pipe, variable);
                    break;
                }
                Kind::Char if self.text_of(token) == "," => {
                    self.name_target(&mut pipe, variable);
                    if context != "range" || pipe.names.len() > 1 {
                        return self.fail(token, format!("too many declarations in {context}"));
                    }
                    self.skip_space();
                    if !matches!(self.peek().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.fail(token, "range can only initialize variables");
                    }
                }
                _ => {
                    self.rewind(place);
                    break;
                }
            }
        }
        Ok(pipe)
    }

    /// The parser knows the name from here on; the value comes only after the pipeline.
    fn name_target(&mut self, pipe: &mut Pipe, variable: Token) {
        pipe.names.push(variable);
        let name = self.text_of(variable);
        self.builder.known.push(name);
    }

    fn end_pipe(&mut self, pipe: &Pipe, token: Token) -> Parsed<Head> {
        if pipe.commands == 0 {
            return self.fail(token, format!("missing value for {}", pipe.context));
        }
        let mut targets = Vec::new();
        for variable in &pipe.names {
            let name = self.text_of(*variable);
            targets.push(if pipe.assigns {
                self.builder.assign(&name, variable.start)
            } else {
                Some(Target::Slot(self.builder.declare(&name, variable.start)))
            });
        }
        let target = |index: usize| targets.get(index).copied().flatten();
        Ok(Head { at: pipe.at, targets: targets.len(), first: target(0), second: target(1) })
    }

    /// What an operand's first token means; none if it starts no operand.
    fn term(&mut self, token: Token) -> Parsed<Option<Term>> {
        let text = &self.source[token.start..token.end];
        let number = |parsed: Result<Number, String>| match parsed {
            Ok(number) => Ok(Some(Term::Number(number))),
            Err(message) => self.fail(token, message),
        };
        Ok(Some(match token.kind {
            Kind::Identifier => {
                let name = self.text_of(token);
                match functions::find(&name).filter(|function| self.library.holds(function.since)) {
                    Some(function) => Term::Function(function),
                    None => return self.fail(token, self.library.refusal(&name)),
                }
            }
            Kind::Variable => {
                let name = self.text_of(token);
                if !self.builder.known.contains(&name) {
                    return self.fail(token, format!("undefined variable {name:?}"));
                }
                Term::Variable(name)
            }
            Kind::Dot => Term::Dot,
            Kind::Field => {
                self.put_back();
                Term::Dot
            }
            Kind::Nil => Term::Nil,
            Kind::Bool => Term::Constant(Constant::Bool(text == b"true")),
            Kind::Number => return number(literal::number(text)),
            Kind::Complex => return number(literal::complex(text)),
            Kind::CharConstant => return number(literal::character(text)),
            Kind::String | Kind::RawString => Term::Constant(Constant::Text(self.unquoted(token)?)),
            _ => return Ok(None),
        }))
    }

    /// Takes the fields that follow an operand, `.a.b`.
    fn fields(&mut self, token: Token, term: &Term) -> Parsed<Vec<Token>> {
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.take());
        }
        let lone = token.kind != Kind::Field && matches!(term, Term::Dot);
        if !fields.is_empty() && (lone || matches!(term, Term::Nil | Term::Constant(_) | Term::Number(_))) {
            return self.fail(fields[0], format!("unexpected . after term {:?}", self.text_of(token)));
        }
        Ok(fields)
    }

    /// Pushes an operand with its fields: the first of its command, or an argument.
    fn operand(&mut self, pipe: &Pipe, command: &mut Command, token: Token, term: Term) -> Parsed<()> {
        let fields = self.fields(token, &term)?;
        if matches!(command.first, First::Nothing) {
            command.first = self.first_operand(pipe, token, term, &fields)?;
            return Ok(());
        }
        let parameter = self.parameter(command);
        self.argument(token, term, parameter);
        for field in fields {
            let name = self.field(field);
            self.builder.emit(Op::Field(name), field.start);
        }
        self.after_argument(command, token);
        Ok(())
    }

    fn first_operand(&mut self, pipe: &Pipe, token: Token, term: Term, fields: &[Token]) -> Parsed<First> {
        let literal = matches!(term, Term::Nil | Term::Constant(_) | Term::Number(_));
        if pipe.commands > 0 && (literal || token.kind == Kind::Dot) {
            let stage = pipe.commands + 1;
            return self.fail(token, format!("non executable command in pipeline stage {stage}"));
        }
        if let (Term::Function(function), []) = (&term, fields) {
            let at = token.start;
            return Ok(match function.name {
                "and" | "or" => First::Logic { or: function.name == "or", at, shorts: Vec::new() },
                _ => First::Function { function, at },
            });
        }
        if let Term::Nil = term {
            self.builder.fail("nil is not a command".to_owned(), token.start);
        } else {
            self.argument(token, term, Param::Raw);
        }
        let Some((last, others)) = fields.split_last() else { return Ok(First::Value(token)) };
        for field in others {
            let name = self.field(*field);
            self.builder.emit(Op::Field(name), field.start);
        }
        let name = self.field(*last);
        Ok(First::Field { name, at: last.start, begun: None })
    }

    fn field(&mut self, field: Token) -> u32 {
        let name = self.text_of(Token { start: field.start + 1, ..field });
        self.builder.field_name(&name)
    }

    /// What the next argument of a command must be.
    fn parameter(&mut self, command: &Command) -> Param {
        let index = command.arguments.len() - 1;
        match &command.first {
            First::Function { function, .. } => function.parameter(index),
            First::Field { name, .. } => {
                let method = self.builder.body().names[*name as usize].method;
                method.and_then(|method| method.params.get(index).copied())
            }
            _ => None,
        }
        .unwrap_or(Param::Raw)
    }

    /// Pushes a value, for a parameter of a given type where it is a literal.
    fn argument(&mut self, token: Token, term: Term, parameter: Param) {
        let at = token.start;
        let shown = || String::from_utf8_lossy(&self.source[token.start..token.end]).into_owned();
        let constant = match term {
            Term::Dot => {
                self.builder.emit(Op::Dot, at);
                return;
            }
            Term::Variable(name) => return self.builder.push_variable(&name, at),
            Term::Function(function) => return self.call(function, at, false, Vec::new()),
            Term::Pushed => return,
            Term::Nil => parameter.nil(),
            Term::Constant(constant) => parameter.constant(constant, shown),
            Term::Number(number) => parameter.number(number, shown),
        };
        match constant {
            Ok(constant) => self.builder.constant(constant, at),
            Err(message) => self.builder.fail(message, at),
        }
    }

    /// Before an argument after the first operand is pushed.
    fn before_argument(&mut self, command: &mut Command, token: Token) {
        if matches!(command.first, First::Nothing) {
            return;
        }
        command.arguments.push(number(token.start));
        if let First::Field { name, at, begun: begun @ None } = &mut command.first {
            *begun = Some(Self::begin_invocation(&mut self.builder, *name, *at));
        }
    }

    fn after_argument(&mut self, command: &mut Command, token: Token) {
        if let First::Logic { or, shorts, .. } = &mut command.first {
            if shorts.is_empty() {
                self.builder.uncertain += 1;
            }
            let op = Op::Short { or: *or, piped: command.piped, target: 0 };
            let place = self.builder.emit(op, token.start);
            shorts.push(Skip { place, scope: self.builder.mark() });
        }
    }

    fn begin_invocation(builder: &mut crate::builder::Builder, field: u32, at: usize) -> Skip {
        builder.body().invocations.push(Invocation { field, piped: false, arguments: 0 });
        let invocation = number(builder.body().invocations.len() - 1);
        let place = builder.emit(Op::Method { invocation, skip: 0 }, at);
        builder.uncertain += 1;
        Skip { place, scope: builder.mark() }
    }

    /// Goes on with the command, or ends it.
    fn after_operand(&mut self, pipe: &mut Pipe, command: Command) -> Parsed<Option<Command>> {
        let token = self.take();
        match token.kind {
            Kind::Space => return Ok(Some(command)),
            Kind::RightDelim | Kind::RightParen => self.put_back(),
            Kind::Pipe => {}
            _ => return self.unexpected(token, "operand"),
        }
        self.end_command(command);
        pipe.commands += 1;
        Ok(None)
    }

    fn end_command(&mut self, command: Command) {
        let Command { first, piped, arguments } = command;
        let mut boxed = true;
        match first {
            First::Nothing => {}
            First::Value(token) => {
                if piped || !arguments.is_empty() {
                    let shown = self.text_of(token);
                    let message = format!("can't give argument to non-function {shown}");
                    self.builder.fail(message, token.start);
                }
                boxed = matches!(token.kind, Kind::Dot | Kind::Variable);
            }
            First::Function { function, at } => {
                boxed = function.boxed;
                self.call(function, at, piped, arguments);
            }
            First::Logic { or, at, shorts } => self.end_logic(or, at, piped, shorts),
            First::Field { name, at, begun: None } if !piped => {
                self.builder.emit(Op::Field(name), at);
            }
            First::Field { name, at, begun } => {
                let begun = begun.unwrap_or_else(|| Self::begin_invocation(&mut self.builder, name, at));
                self.end_invocation(begun, at, piped, arguments.len());
            }
        }
        if boxed {
            let at = self.peek().start;
            self.builder.emit(Op::Unbox, at);
        }
    }

    fn call(&mut self, function: &'static Function, at: usize, piped: bool, arguments: Vec<u32>) {
        let given = arguments.len() + usize::from(piped);
        if let Some(wanted) = function.refuses(given) {
            let name = function.name;
            return self
                .builder
                .fail(format!("wrong number of args for {name}: want {wanted} got {given}"), at);
        }
        let calls = &mut self.builder.body().calls;
        calls.push(Call { function, piped, arguments });
        let call = number(calls.len() - 1);
        self.builder.emit(Op::Call(call), at);
    }

    /// Ends `and` or `or`: the last argument needs no test, or a piped value is what remains.
    fn end_logic(&mut self, or: bool, at: usize, piped: bool, mut shorts: Vec<Skip>) {
        if shorts.is_empty() {
            if !piped {
                let name = if or { "or" } else { "and" };
                self.builder.fail(format!("wrong number of args for {name}: want at least 1 got 0"), at);
            }
            return;
        }
        self.builder.uncertain -= 1;
        if !piped {
            let last = shorts.pop().expect("there is one");
            self.builder.remove_last(last.place);
        }
        self.land_skips(shorts, at);
    }

    fn end_invocation(&mut self, begun: Skip, at: usize, piped: bool, arguments: usize) {
        self.builder.uncertain -= 1;
        let body = self.builder.body();
        if let Op::Method { invocation, .. } = body.ops[begun.place] {
            let site = &mut body.invocations[invocation as usize];
            (site.piped, site.arguments) = (piped, arguments);
            self.builder.emit(Op::Invoke(invocation), at);
        }
        self.land_skips(vec![begun], at);
    }

    /// Makes jumps over arguments lead to here. Where they pass a declaration, its slot is marked on the
    /// way, for an earlier pass may have filled it.
    fn land_skips(&mut self, skips: Vec<Skip>, at: usize) {
        let (plain, passing): (Vec<_>, Vec<_>) =
            skips.into_iter().partition(|skip| skip.scope == self.builder.mark());
        let mut past = Vec::new();
        if !passing.is_empty() {
            past.push(self.builder.emit(Op::Jump(0), at));
        }
        for Skip { place, scope } in passing {
            self.builder.land(place);
            self.builder.undeclare_since(scope, at);
            past.push(self.builder.emit(Op::Jump(0), at));
        }
        past.extend(plain.into_iter().map(|skip| skip.place));
        for place in past {
            self.builder.land(place);
        }
    }
}

fn starts_operand(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Bool
            | Kind::CharConstant
            | Kind::Complex
            | Kind::Dot
            | Kind::Field
            | Kind::Identifier
            | Kind::Number
            | Kind::Nil
            | Kind::RawString
            | Kind::String
            | Kind::Variable
            | Kind::LeftParen
    )
}

impl Param {
    /// The literal `nil` for this parameter.
    fn nil(self) -> Result<Constant, String> {
        if self.takes_nil() {
            Ok(Constant::Nil)
        } else {
            Err(format!("cannot assign nil to {}", self.name()))
        }
    }

    /// A string or truth value.
    fn constant(self, constant: Constant, shown: impl Fn() -> String) -> Result<Constant, String> {
        match (self, &constant) {
            (Param::Any | Param::Raw, _)
            | (Param::Text, Constant::Text(_))
            | (Param::Bool, Constant::Bool(_)) => Ok(constant),
            _ => Err(self.refusal(shown())),
        }
    }

    /// A number: of the type that the parameter wants if it fits, else of the type it looks like.
    fn number(self, number: Number, shown: impl Fn() -> String) -> Result<Constant, String> {
        match self {
            Param::Any | Param::Raw => match number {
                Number { complex: Some((re, im)), .. } => Ok(Constant::Complex(re, im)),
                Number { float: Some(float), looks_float: true, .. } => Ok(Constant::Float(float)),
                Number { int: Some(int), .. } => Ok(Constant::Int(int)),
                _ => Err(format!("{} overflows int", shown())),
            },
            Param::Int | Param::Duration => {
                number.int.map(Constant::Int).ok_or_else(|| self.refusal(shown()))
            }
            _ => Err(self.refusal(shown())),
        }
    }

    fn refusal(self, shown: String) -> String {
        match self {
            Param::Text => format!("expected string; found {shown}"),
            Param::Int | Param::Duration => format!("expected integer; found {shown}"),
            Param::Bool => format!("expected bool; found {shown}"),
            _ => format!("can't handle {shown} for arg of type {}", self.name()),
        }
    }
}
