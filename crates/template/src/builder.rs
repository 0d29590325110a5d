//! Builder: puts a template's operations together while the parser reads it.
//!
//! Go looks variables up by name on a stack while it executes. Here they become slots: the builder's
//! scope mirrors that stack. The parser's knowledge is wider than the scope, as in Go: a name declared in
//! one branch is known to the parser in the other, and fails there when executed.
//!
//! Declarations in arguments that may be skipped (`or 1 ($x := 2)`) are *uncertain*: a reference then
//! tries the slots of that name, innermost first, until one is declared.

use std::mem;

use crate::Text;
use crate::code::{Body, Constant, FieldName, Loop, Op, Target, Variable};
use crate::methods;

/// A body under construction, with its variables.
pub(crate) struct Builder {
    body: Body,
    /// Names that the parser accepts.
    pub(crate) known: Vec<String>,
    scope: Vec<Declared>,
    /// How many skippable argument lists the current position is in.
    pub(crate) uncertain: usize,
    /// The loops that the current position is in, innermost last.
    pub(crate) loops: Vec<OpenLoop>,
    /// Whether there is nothing but white space so far.
    pub(crate) empty: bool,
    /// No jump leads to an operation from here on.
    barrier: usize,
}

/// A loop that is being read.
pub(crate) struct OpenLoop {
    pub(crate) site: u32,
    /// In its `else` part. Go ends the loop there by `break` as well, but `continue` and the question
    /// whether `break` is allowed are about the loop around it.
    pub(crate) otherwise: bool,
}

struct Declared {
    name: String,
    certain: bool,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            body: Body { slots: 1, ..Body::default() },
            known: vec!["$".to_owned()],
            scope: vec![Declared { name: "$".to_owned(), certain: true }],
            uncertain: 0,
            loops: Vec::new(),
            empty: true,
            barrier: 0,
        }
    }

    pub(crate) fn finish(mut self, at: usize) -> Body {
        self.emit(Op::Return, at);
        self.body
    }

    pub(crate) fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    pub(crate) fn emit(&mut self, op: Op, at: usize) -> usize {
        self.body.ops.push(op);
        self.body.at.push(number(at));
        self.body.ops.len() - 1
    }

    pub(crate) fn text(&mut self, start: usize, end: usize) {
        self.emit(Op::Text { start: number(start), end: number(end) }, start);
    }

    pub(crate) fn constant(&mut self, constant: Constant, at: usize) {
        self.body.constants.push(constant);
        self.emit(Op::Constant(number(self.body.constants.len() - 1)), at);
    }

    pub(crate) fn fail(&mut self, message: String, at: usize) {
        self.body.messages.push(message);
        self.emit(Op::Fail(number(self.body.messages.len() - 1)), at);
    }

    pub(crate) fn field_name(&mut self, name: &str) -> u32 {
        let method = methods::find(name);
        self.body.names.push(FieldName { name: Text::from(name.to_owned()), method });
        number(self.body.names.len() - 1)
    }

    /// The place where the next operation will be, to jump to.
    pub(crate) fn label(&mut self) -> u32 {
        self.barrier = self.body.ops.len();
        number(self.barrier)
    }

    /// Makes the jump at `place` lead to the next operation.
    pub(crate) fn land(&mut self, place: usize) {
        let here = self.label();
        match &mut self.body.ops[place] {
            Op::Jump(target)
            | Op::JumpUnless(target)
            | Op::With(target)
            | Op::Short { target, .. }
            | Op::Method { skip: target, .. } => *target = here,
            other => unreachable!("{other:?} is not a jump"),
        }
    }

    /// Writes the value of the pipeline just built.
    pub(crate) fn print(&mut self, at: usize) {
        self.drop_unbox();
        let ops = &mut self.body.ops;
        let first = ops.len().saturating_sub(2);
        let fused = match ops[first..] {
            [Op::Dot, Op::Field(field)] if first >= self.barrier => Some((2, Op::PrintField(field))),
            [.., Op::Slot(slot)] if ops.len() > self.barrier => Some((1, Op::PrintSlot(slot))),
            _ => None,
        };
        match fused {
            Some((length, op)) => {
                let place = self.body.at[ops.len() - 1] as usize;
                ops.truncate(ops.len() - length);
                self.body.at.truncate(ops.len());
                self.emit(op, place);
            }
            None => {
                self.emit(Op::Print, at);
            }
        }
    }

    /// Ends the body of a loop; makes one operation of it and the `gets` before it where it can be streamed.
    pub(crate) fn end_loop_body(&mut self, site: u32, at: usize) {
        let Loop { index, element, body, .. } = self.body.loops[site as usize];
        let (range, names) = (body as usize - 1, &self.body.names);
        let writes_only = |op: &Op| match op {
            Op::Text { .. } => true,
            Op::PrintField(name) => matches!(&names[*name as usize].name[..], b"Key" | b"Value"),
            _ => false,
        };
        let is_simple =
            index.is_none() && element.is_none() && self.body.ops[range + 1..].iter().all(writes_only);
        if let (true, Some(Op::Call(call))) =
            (is_simple, range.checked_sub(1).map(|call| self.body.ops[call]))
        {
            let function = self.body.calls[call as usize].function;
            if function.name == "gets" {
                self.body.ops[range - 1] = Op::Stream { call, site };
            }
        }
        self.emit(Op::Next(site), at);
    }

    /// Takes back an `Unbox` that nobody will notice.
    pub(crate) fn drop_unbox(&mut self) {
        if matches!(self.body.ops.last(), Some(Op::Unbox)) && self.body.ops.len() > self.barrier {
            self.body.ops.pop();
            self.body.at.pop();
        }
    }

    /// Takes back the test after the last argument of `and` or `or`, if nothing came after it.
    pub(crate) fn remove_last(&mut self, place: usize) {
        if place + 1 == self.body.ops.len() {
            self.body.ops.pop();
            self.body.at.pop();
        }
    }

    /// How many variables are in scope, to go back to.
    pub(crate) fn mark(&self) -> usize {
        self.scope.len()
    }

    pub(crate) fn release(&mut self, mark: usize) {
        self.scope.truncate(mark);
    }

    /// Declares a variable with the top value.
    pub(crate) fn declare(&mut self, name: &str, at: usize) -> u32 {
        let slot = number(self.scope.len());
        self.scope.push(Declared { name: name.to_owned(), certain: self.uncertain == 0 });
        self.body.slots = self.body.slots.max(self.scope.len());
        self.emit(Op::Declare(slot), at);
        slot
    }

    /// The slots declared since `mark`, all uncertain, become undeclared on the way from `place` to here.
    pub(crate) fn undeclare_since(&mut self, mark: usize, at: usize) {
        for slot in mark..self.scope.len() {
            self.emit(Op::Undeclare(number(slot)), at);
        }
    }

    /// Assigns the top value to a variable; none if it does not exist, in which case executing it fails.
    pub(crate) fn assign(&mut self, name: &str, at: usize) -> Option<Target> {
        let target = self.lookup(name, at)?;
        let variable = match target {
            Target::Variable(variable) => variable,
            Target::Slot(slot) => self.variable(name, vec![slot]),
        };
        self.emit(Op::Assign(variable), at);
        Some(target)
    }

    /// Pushes a variable.
    pub(crate) fn push_variable(&mut self, name: &str, at: usize) {
        match self.lookup(name, at) {
            Some(Target::Slot(slot)) => {
                self.emit(Op::Slot(slot), at);
            }
            Some(Target::Variable(variable)) => {
                self.emit(Op::Variable(variable), at);
            }
            None => {}
        }
    }

    fn lookup(&mut self, name: &str, at: usize) -> Option<Target> {
        let mut slots = Vec::new();
        for (slot, declared) in
            self.scope.iter().enumerate().rev().filter(|(_, declared)| declared.name == name)
        {
            slots.push(number(slot));
            if declared.certain {
                break;
            }
        }
        match slots[..] {
            [] => {
                self.fail(format!("undefined variable: {name}"), at);
                None
            }
            [slot] if self.scope[slot as usize].certain => Some(Target::Slot(slot)),
            _ => Some(Target::Variable(self.variable(name, slots))),
        }
    }

    fn variable(&mut self, name: &str, slots: Vec<u32>) -> u32 {
        self.body.variables.push(Variable { name: name.to_owned(), slots });
        number(self.body.variables.len() - 1)
    }

    /// Starts over with another body, giving back this one.
    pub(crate) fn replace(&mut self, other: Builder) -> Builder {
        mem::replace(self, other)
    }
}

/// An index or offset as code holds it. Sources of 4 GiB and more are refused before.
pub(crate) fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a source below 4 GiB has no more places than that")
}
