//! Code: what a template is compiled to, a list of operations for a machine with a stack.
//!
//! Nesting is gone here: blocks are jumps, variables are slots, functions are static references. So
//! running or dropping a template costs no native stack, however deep its source is nested.

use std::collections::HashMap;

use crate::Text;
use crate::functions::Function;
use crate::methods::Method;

/// A file: its main template and all that it defines.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) source: Text,
    pub(crate) bodies: Vec<Body>,
    /// Which body each template name means.
    pub(crate) templates: HashMap<Text, usize>,
}

/// One template.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) ops: Vec<Op>,
    /// Where in the source each operation comes from.
    pub(crate) at: Vec<u32>,
    /// How many variables live at most at a time, `$` among them.
    pub(crate) slots: usize,
    pub(crate) constants: Vec<Constant>,
    pub(crate) names: Vec<FieldName>,
    pub(crate) messages: Vec<String>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) calls: Vec<Call>,
    pub(crate) invocations: Vec<Invocation>,
    pub(crate) loops: Vec<Loop>,
    pub(crate) templates: Vec<TemplateCall>,
}

/// An operation; numbers are indexes into the body's tables, or targets within its operations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Writes a piece of the source.
    Text {
        start: u32,
        end: u32,
    },
    /// Pops a value and writes it.
    Print,
    /// Writes a field of the dot: `Dot`, `Field` and `Print` in one, the commonest of all actions.
    PrintField(u32),
    /// Writes a variable whose slot is certain.
    PrintSlot(u32),
    Pop,
    Constant(u32),
    Dot,
    /// Pushes a variable whose slot is certain.
    Slot(u32),
    /// Pushes a variable that is in one of several slots.
    Variable(u32),
    /// Takes the value out of its interface.
    Unbox,
    /// Replaces a value by its field.
    Field(u32),
    /// Begins a field with arguments: goes on to them if it is a method, to `skip` with no value if there
    /// is no receiver.
    Method {
        invocation: u32,
        skip: u32,
    },
    /// Ends it: replaces receiver and arguments by the result.
    Invoke(u32),
    /// Replaces arguments by a function's result.
    Call(u32),
    /// `gets` and the loop over its result in one, where the loop's body only writes text and the fields of
    /// its pairs: no list is made. If there is no pair, the empty list is left for the loop that follows.
    Stream {
        call: u32,
        site: u32,
    },
    /// Ends `and` or `or` early with the top value, or drops it.
    Short {
        or: bool,
        piped: bool,
        target: u32,
    },
    /// Copies the top value to a slot.
    Declare(u32),
    /// Copies the top value to a variable that exists.
    Assign(u32),
    /// Marks a slot as never declared.
    Undeclare(u32),
    Jump(u32),
    /// Pops a value.
    JumpUnless(u32),
    /// Pops a value; makes it the dot if it is true.
    With(u32),
    EndWith,
    /// Pops a value and enters the loop over it: its body, or its `else` part if there is nothing.
    Range(u32),
    /// Goes on to the next element, or to the end.
    Next(u32),
    /// Leaves the loop, its `else` part too, and goes to its end.
    Break(u32),
    /// Leaves the loop.
    EndLoop,
    /// Pops the dot for a template and calls it.
    Template(u32),
    Return,
    /// Fails with a message.
    Fail(u32),
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Complex(f64, f64),
    Text(Text),
}

/// The name of a field or method.
#[derive(Clone, Debug)]
pub(crate) struct FieldName {
    pub(crate) name: Text,
    pub(crate) method: Option<&'static Method>,
}

/// A variable whose declaration may not have been evaluated: the first declared slot counts.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) slots: Vec<u32>,
}

/// A call of a function. A piped value lies below the other arguments and is the last one.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static Function,
    pub(crate) piped: bool,
    /// Where each argument begins, the piped one excepted.
    pub(crate) arguments: Vec<u32>,
}

/// A field with arguments: if it is no method, a failure.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) field: u32,
    pub(crate) piped: bool,
    pub(crate) arguments: usize,
}

/// A loop, with where its parts are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loop {
    pub(crate) index: Option<Target>,
    pub(crate) element: Option<Target>,
    pub(crate) body: u32,
    pub(crate) otherwise: u32,
    pub(crate) end: u32,
}

/// Where a loop puts its index or element.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Slot(u32),
    Variable(u32),
}

#[derive(Debug)]
pub(crate) struct TemplateCall {
    pub(crate) name: Text,
    /// Known once the whole file is parsed; none if nothing defines it.
    pub(crate) body: Option<usize>,
}
