//! Eval: the machine that runs code.
//!
//! All its stacks are on the heap: operands, variables, loops, calls of templates. A render is bounded by
//! [`Limits`], not by the native stack. Functions see the render through [`Run`].

use std::collections::HashMap;
use std::rc::Rc;

use crate::code::{Body, Call, Constant, Loop, Op, Program, Target};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, Fault, Outcome, fault};
use crate::fields;
use crate::format;
use crate::functions::{Function, text};
use crate::list::Slice;
use crate::regex::Regexes;
use crate::store;
use crate::value::{Map, Operand, Pair, PairAt, Value};
use crate::world::Server;
use crate::{Context, Limits, Reads, Text};

/// A render: what functions read from, and what they leave.
pub(crate) struct Run<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) dialect: Dialect,
    pub(crate) reads: Reads,
    pub(crate) regexes: Regexes,
    /// The files being included, outermost first.
    pub(crate) including: Vec<String>,
    /// The included files parsed so far.
    pub(crate) included: HashMap<String, Rc<Program>>,
    steps: u64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(context: &'a Context<'a>, dialect: Dialect) -> Run<'a> {
        Run {
            context,
            dialect,
            reads: Reads::default(),
            regexes: Regexes::default(),
            including: Vec::new(),
            included: HashMap::new(),
            steps: 0,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.context.limits
    }

    /// Fails if a string of so many bytes is more than a render may make.
    pub(crate) fn room(&self, length: usize) -> Outcome<()> {
        if length > self.context.limits.output { fault("output is too large") } else { Ok(()) }
    }

    fn step(&mut self) -> Outcome<()> {
        self.steps(1)
    }

    fn steps(&mut self, count: u64) -> Outcome<()> {
        self.steps = self.steps.saturating_add(count);
        if self.steps > self.context.limits.steps { fault("too many steps") } else { Ok(()) }
    }
}

/// Runs a file's main template on `data`, which becomes its dot and `$`.
pub(crate) fn execute(run: &mut Run<'_>, program: &Program, data: Value) -> Result<Vec<u8>, Error> {
    let name = program.name.as_bytes();
    let entry = *program.templates.get(name).expect("a parsed file has its main template");
    let mut machine = Machine {
        program,
        body: &program.bodies[entry],
        pc: 0,
        base: 0,
        dot: data.clone().into(),
        slots: Vec::new(),
        stack: Vec::new(),
        dots: Vec::new(),
        loops: Vec::new(),
        frames: Vec::new(),
        out: Vec::new(),
    };
    machine.slots.resize(machine.body.slots, Operand::default());
    machine.slots[0] = data.into();
    match machine.run(run) {
        Ok(()) => Ok(machine.out),
        Err(stop) => Err(machine.error(stop)),
    }
}

struct Machine<'p> {
    program: &'p Program,
    body: &'p Body,
    pc: usize,
    /// Where the running template's variables begin.
    base: usize,
    dot: Operand,
    slots: Vec<Operand>,
    stack: Vec<Operand>,
    /// The dots outside of open `with`s.
    dots: Vec<Operand>,
    loops: Vec<Running>,
    frames: Vec<Frame<'p>>,
    out: Vec<u8>,
}

/// A template that waits for the one it called.
struct Frame<'p> {
    body: &'p Body,
    pc: usize,
    base: usize,
    dot: Operand,
}

/// A loop that is being run.
struct Running {
    items: Items,
    next: usize,
    dot: Operand,
    dots: usize,
}

/// What a loop goes over.
enum Items {
    List(Slice<Value>),
    Strings(Slice<Text>),
    Ints(Slice<i64>),
    Pairs(Slice<Pair>),
    Servers(Slice<Rc<Server>>),
    Map(Rc<Map>),
    Count(usize, fn(usize) -> Value),
}

/// Why the machine stopped, and at which place of the source if not at that of the operation.
struct Stop {
    fault: Fault,
    at: Option<u32>,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop { fault, at: None }
    }
}

impl<'p> Machine<'p> {
    fn run(&mut self, run: &mut Run<'_>) -> Result<(), Stop> {
        let limit = run.limits().output;
        loop {
            let op = self.body.ops[self.pc];
            self.pc += 1;
            match op {
                Op::Text { start, end } => {
                    self.out.extend_from_slice(&self.program.source[start as usize..end as usize]);
                    self.check_output(limit)?;
                }
                Op::Print => {
                    let operand = self.pop();
                    format::write(&mut self.out, &operand.value, limit);
                    self.check_output(limit)?;
                }
                Op::PrintField(name) => {
                    self.print_field(name, limit)?;
                    self.check_output(limit)?;
                }
                Op::PrintSlot(slot) => {
                    format::write(&mut self.out, &self.slots[self.base + slot as usize].value, limit);
                    self.check_output(limit)?;
                }
                Op::Pop => drop(self.pop()),
                Op::Constant(constant) => {
                    let value = Value::from(&self.body.constants[constant as usize]);
                    self.stack.push(value.into());
                }
                Op::Dot => self.stack.push(self.dot.clone()),
                Op::Slot(slot) => self.stack.push(self.slots[self.base + slot as usize].clone()),
                Op::Variable(variable) => {
                    let slot = self.declared(variable)?;
                    self.stack.push(self.slots[slot].clone());
                }
                Op::Unbox => self.top().boxed = false,
                Op::Field(name) => {
                    let receiver = self.pop();
                    let result = fields::field(receiver, &self.body.names[name as usize])?;
                    self.stack.push(result);
                }
                Op::Method { invocation, skip } => self.begin_invocation(invocation, skip)?,
                Op::Invoke(invocation) => self.invoke(invocation)?,
                Op::Call(call) => self.call(run, call)?,
                Op::Stream { call, site } => self.stream(run, call, site)?,
                Op::Short { or, piped, target } => self.short(or, piped, target),
                Op::Declare(slot) => self.slots[self.base + slot as usize] = self.unboxed_top(),
                Op::Assign(variable) => {
                    let slot = self.declared(variable)?;
                    self.slots[slot] = self.unboxed_top();
                }
                Op::Undeclare(slot) => self.slots[self.base + slot as usize] = Value::Undeclared.into(),
                Op::Jump(target) => self.pc = target as usize,
                Op::JumpUnless(target) => {
                    if !self.pop().value.truth() {
                        self.pc = target as usize;
                    }
                }
                Op::With(target) => {
                    let value = self.pop();
                    if value.value.truth() {
                        let outer = std::mem::replace(&mut self.dot, Operand { boxed: false, ..value });
                        self.dots.push(outer);
                    } else {
                        self.pc = target as usize;
                    }
                }
                Op::EndWith => self.dot = self.dots.pop().expect("with put one there"),
                Op::Range(site) => self.enter_loop(run, site)?,
                Op::Next(site) => self.next_iteration(run, site)?,
                Op::Break(site) => {
                    self.leave_loop();
                    self.pc = self.body.loops[site as usize].end as usize;
                }
                Op::EndLoop => self.leave_loop(),
                Op::Template(call) => self.call_template(run, call)?,
                Op::Return => match self.frames.pop() {
                    None => return Ok(()),
                    Some(Frame { body, pc, base, dot }) => {
                        self.slots.truncate(self.base);
                        (self.body, self.pc, self.base, self.dot) = (body, pc, base, dot);
                    }
                },
                Op::Fail(message) => {
                    return Err(Fault::Message(self.body.messages[message as usize].clone()).into());
                }
            }
        }
    }

    fn pop(&mut self) -> Operand {
        self.stack.pop().expect("every operation finds its operands")
    }

    fn top(&mut self) -> &mut Operand {
        self.stack.last_mut().expect("every operation finds its operands")
    }

    fn unboxed_top(&mut self) -> Operand {
        Operand { boxed: false, ..self.top().clone() }
    }

    fn check_output(&self, limit: usize) -> Outcome<()> {
        if self.out.len() > limit { fault("output is too large") } else { Ok(()) }
    }

    fn print_field(&mut self, name: u32, limit: usize) -> Outcome<()> {
        let name = &self.body.names[name as usize];
        if let Value::Pair(pair) = &self.dot.value {
            let written = pair.with(|pair| {
                let Some(text) = fields::pair_field(pair, &name.name) else { return false };
                self.out.extend_from_slice(text);
                true
            });
            if written {
                return Ok(());
            }
        }
        let result = fields::field(self.dot.clone(), name)?;
        format::write(&mut self.out, &result.value, limit);
        Ok(())
    }

    /// The slot of a variable: the first that was declared.
    fn declared(&self, variable: u32) -> Outcome<usize> {
        let variable = &self.body.variables[variable as usize];
        let mut slots = variable.slots.iter().map(|slot| self.base + *slot as usize);
        match slots.find(|slot| !matches!(self.slots[*slot].value, Value::Undeclared)) {
            Some(slot) => Ok(slot),
            None => fault(format!("undefined variable: {}", variable.name)),
        }
    }

    /// Puts the arguments of a call in order and checks them; gives where they begin.
    fn arguments(&mut self, call: &Call) -> Result<usize, Stop> {
        let given = call.arguments.len() + usize::from(call.piped);
        let start = self.stack.len() - given;
        let args = &mut self.stack[start..];
        if call.piped {
            args.rotate_left(1);
        }
        for (index, operand) in args.iter_mut().enumerate() {
            let param = call.function.parameter(index).expect("their number was checked by the parser");
            if let Err(message) = param.accept(operand) {
                return Err(Stop { fault: Fault::Message(message), at: call.arguments.get(index).copied() });
            }
        }
        Ok(start)
    }

    fn call(&mut self, run: &mut Run<'_>, call: u32) -> Result<(), Stop> {
        let call = &self.body.calls[call as usize];
        let function = call.function;
        let start = self.arguments(call)?;
        let value =
            (function.run)(run, &mut self.stack[start..]).map_err(|fault| of_call(function, fault))?;
        if let Value::Text(text) = &value {
            run.room(text.len())?;
        }
        self.stack.truncate(start);
        self.stack.push(Operand { value, boxed: function.boxed });
        Ok(())
    }

    /// Runs the loop over what `gets` finds while it is being found.
    fn stream(&mut self, run: &mut Run<'_>, call: u32, site: u32) -> Result<(), Stop> {
        let body = self.body;
        let (call, site) = (&body.calls[call as usize], &body.loops[site as usize]);
        let start = self.arguments(call)?;
        let pattern = text(&self.stack[start]).clone();
        // The body, without the `Next` that ends it.
        let ops = &body.ops[site.body as usize..site.otherwise as usize - 1];
        let (source, out, limits) = (&self.program.source, &mut self.out, run.limits());
        let mut pairs: u64 = 0;
        let found = store::each_of_gets(run, &pattern, |key, value| {
            pairs += 1;
            if out.len() > limits.output || pairs > limits.steps {
                return;
            }
            for op in ops {
                out.extend_from_slice(match op {
                    Op::Text { start, end } => &source[*start as usize..*end as usize],
                    Op::PrintField(name) if body.names[*name as usize].name[..] == b"Key"[..] => key,
                    _ => value,
                });
            }
        });
        found.map_err(|fault| of_call(call.function, fault))?;
        run.steps(pairs)?;
        self.check_output(limits.output)?;
        self.stack.truncate(start);
        match pairs {
            0 => self.stack.push(Value::pairs(Slice::nil()).into()),
            _ => self.pc = site.end as usize,
        }
        Ok(())
    }

    /// Leaves the stack with the result on top if it is decided.
    fn short(&mut self, or: bool, piped: bool, target: u32) {
        if self.top().value.truth() == or {
            if piped {
                let below = self.stack.len() - 2;
                self.stack.swap_remove(below);
            }
            self.pc = target as usize;
        } else {
            self.stack.pop();
        }
    }

    fn begin_invocation(&mut self, invocation: u32, skip: u32) -> Outcome<()> {
        let site = &self.body.invocations[invocation as usize];
        let name = &self.body.names[site.field as usize];
        let receiver = self.stack.last().expect("the receiver was pushed");
        if matches!(receiver.value, Value::Nil) && !receiver.boxed {
            if site.piped {
                self.stack.pop();
            }
            *self.top() = Operand::default();
            self.pc = skip as usize;
            return Ok(());
        }
        fields::method(receiver, name, site.arguments + usize::from(site.piped)).map(drop)
    }

    /// The stack holds the piped value if any, the receiver, the arguments.
    fn invoke(&mut self, invocation: u32) -> Outcome<()> {
        let site = &self.body.invocations[invocation as usize];
        let name = &self.body.names[site.field as usize];
        let start = self.stack.len() - site.arguments - 1 - usize::from(site.piped);
        let operands = &mut self.stack[start..];
        if site.piped {
            operands.rotate_left(1);
        }
        let (receiver, args) = operands.split_first_mut().expect("the receiver is there");
        let method = fields::method(receiver, name, args.len())?;
        let value = method.invoke(&receiver.value, args)?;
        self.stack.truncate(start);
        self.stack.push(value.into());
        Ok(())
    }

    fn enter_loop(&mut self, run: &mut Run<'_>, site: u32) -> Outcome<()> {
        let site = &self.body.loops[site as usize];
        let Operand { value, .. } = self.pop();
        let counts = matches!(
            value,
            Value::Int(_) | Value::Byte(_) | Value::Short(_) | Value::Month(_) | Value::Weekday(_)
        );
        if counts && site.index.is_some() {
            return fault(format!("can't use {} to iterate over more than one variable", value.type_name()));
        }
        let items = match value {
            Value::Nil | Value::Map(None) => Items::List(Slice::nil()),
            Value::List(list) => Items::List(list),
            Value::Strings(list) => Items::Strings(list),
            Value::Ints(list) => Items::Ints(list),
            Value::Pairs(pairs) => Items::Pairs(pairs.slice),
            Value::Servers(list) => Items::Servers(list),
            Value::Map(Some(map)) => Items::Map(map),
            Value::Int(n) => Items::Count(usize::try_from(n).unwrap_or(0), |n| Value::Int(n as i64)),
            Value::Byte(n) => Items::Count(usize::from(n), |n| Value::Byte(n as u8)),
            Value::Short(n) => Items::Count(usize::from(n), |n| Value::Short(n as u16)),
            Value::Month(n) => Items::Count(n as usize, |n| Value::Month(n as i64)),
            Value::Weekday(n) => Items::Count(n as usize, |n| Value::Weekday(n as i64)),
            other => return fault(format!("range can't iterate over a value of type {}", other.type_name())),
        };
        let dot = self.dot.clone();
        self.loops.push(Running { items, next: 0, dot, dots: self.dots.len() });
        let filled = self.advance(run, site)?;
        self.pc = if filled { site.body } else { site.otherwise } as usize;
        Ok(())
    }

    fn next_iteration(&mut self, run: &mut Run<'_>, site: u32) -> Outcome<()> {
        let site = &self.body.loops[site as usize];
        if self.advance(run, site)? {
            self.pc = site.body as usize;
        } else {
            self.leave_loop();
            self.pc = site.end as usize;
        }
        Ok(())
    }

    /// What a loop does to the dot ends with it.
    fn leave_loop(&mut self) {
        let Running { dot, dots, .. } = self.loops.pop().expect("the loop was entered");
        self.dots.truncate(dots);
        self.dot = dot;
    }

    /// Sets dot and variables to the next element; tells whether there is one.
    fn advance(&mut self, run: &mut Run<'_>, site: &Loop) -> Outcome<bool> {
        run.step()?;
        let running = self.loops.last_mut().expect("the loop was entered");
        self.dots.truncate(running.dots);
        let next = running.next;
        running.next += 1;
        // Most loops go over pairs, and leave the dot alone: it is moved on where it is.
        if let (Items::Pairs(list), Value::Pair(dot)) = (&running.items, &mut self.dot.value)
            && site.index.is_none()
            && site.element.is_none()
            && dot.step_to(list, next)
        {
            self.dot.boxed = false;
            return Ok(true);
        }
        let Some(element) = running.items.get(next) else { return Ok(false) };
        if let Some(index) = site.index {
            let key = running.items.key(next);
            let slot = self.slot(index)?;
            self.slots[slot] = key.into();
        }
        if let Some(target) = site.element {
            let slot = self.slot(target)?;
            self.slots[slot] = element.clone();
        }
        self.dot = element;
        Ok(true)
    }

    fn slot(&self, target: Target) -> Outcome<usize> {
        match target {
            Target::Slot(slot) => Ok(self.base + slot as usize),
            Target::Variable(variable) => self.declared(variable),
        }
    }

    fn call_template(&mut self, run: &mut Run<'_>, call: u32) -> Outcome<()> {
        let call = &self.body.templates[call as usize];
        let Some(body) = call.body else {
            return fault(format!("template {:?} not defined", String::from_utf8_lossy(&call.name)));
        };
        let depth = run.limits().depth;
        if self.frames.len() >= depth {
            return fault(format!("exceeded maximum template depth ({depth})"));
        }
        run.step()?;
        let dot = Operand { boxed: false, ..self.pop() };
        let base = self.slots.len();
        let body = &self.program.bodies[body];
        self.slots.resize(base + body.slots, Operand::default());
        self.slots[base] = dot.clone();
        let frame = Frame {
            body: std::mem::replace(&mut self.body, body),
            pc: std::mem::replace(&mut self.pc, 0),
            base: std::mem::replace(&mut self.base, base),
            dot: std::mem::replace(&mut self.dot, dot),
        };
        self.frames.push(frame);
        Ok(())
    }

    fn error(&self, stop: Stop) -> Error {
        let at = stop.at.unwrap_or(self.body.at[self.pc - 1]) as usize;
        let (name, source) = (&self.program.name, &self.program.source);
        match stop.fault {
            Fault::Message(message) => Error::new(ErrorKind::Exec, name, source, at, message),
            Fault::Included(error) => error.included_from(name, source, at),
        }
    }
}

/// A fault of a function, as its caller tells it.
fn of_call(function: &Function, fault: Fault) -> Fault {
    match fault {
        Fault::Message(message) => Fault::Message(format!("error calling {}: {message}", function.name)),
        other => other,
    }
}

impl Items {
    fn get(&self, index: usize) -> Option<Operand> {
        Some(match self {
            Items::List(list) => Operand::boxed(list.get(index)?),
            Items::Strings(list) => Value::Text(list.get(index)?).into(),
            Items::Ints(list) => Value::Int(list.get(index)?).into(),
            Items::Pairs(list) => Value::Pair(PairAt::element(list, index)?).into(),
            Items::Servers(list) => Value::Server(list.get(index)?).into(),
            Items::Map(map) => Operand::boxed(map.entry(index)?.1.clone()),
            Items::Count(end, _) if index >= *end => return None,
            Items::Count(_, make) => make(index).into(),
        })
    }

    fn key(&self, index: usize) -> Value {
        match self {
            Items::Map(map) => map.entry(index).map(|(key, _)| Value::Text(key.clone())).unwrap_or_default(),
            _ => Value::Int(index as i64),
        }
    }
}

impl From<&Constant> for Value {
    fn from(constant: &Constant) -> Value {
        match constant {
            Constant::Nil => Value::Nil,
            Constant::Bool(truth) => Value::Bool(*truth),
            Constant::Int(int) => Value::Int(*int),
            Constant::Float(float) => Value::Float(*float),
            Constant::Complex(re, im) => Value::Complex(*re, *im),
            Constant::Text(text) => Value::Text(text.clone()),
        }
    }
}
