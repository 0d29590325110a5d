//! Go's text/template with confd's functions, and Jinja with the same ones.
//!
//! A [`Template`] is parsed once and rendered often, from any thread. A render is a function of what it is
//! given: keys ([`Names`]), files to include ([`Files`]) and everything else ([`World`]). Besides its bytes
//! it gives what it looked at ([`Reads`]), so that the next change knows whether it matters; a failed
//! render gives that too, with its [`Error`].
//!
//! What renders here renders as Go 1.27 and confd 0.41 would, byte for byte; `tests/conformance` holds what
//! they printed. Templates are untrusted as far as resources go: nesting costs no native stack, and
//! [`Limits`] bound output, steps and depth.
//!
//! Jinja templates are minijinja's, in `jinja`; what follows is about Go's language.
//!
//! The way of a template: `lexer` → `parser` and `pipeline`, which drive `builder` → `code` → `eval`. Values
//! are in `value`, functions in `functions` and the modules it names.
//!
//! ```
//! use waypost_template::{Context, MemoryNames, Template};
//!
//! let template = Template::parse("web.conf", b"{{range gets \"/web/*\"}}server {{.Value}};\n{{end}}")?;
//! let names: MemoryNames = [("/web/1", "10.0.0.1:80"), ("/web/2", "10.0.0.2:80")].into_iter().collect();
//! let rendered = template.render(&Context::new(&names))?;
//! assert_eq!(rendered.bytes, b"server 10.0.0.1:80;\nserver 10.0.0.2:80;\n");
//! assert!(rendered.reads.touched_by(b"/web/3"));
//! # Ok::<(), waypost_template::Error>(())
//! ```

mod builder;
mod code;
mod dialect;
mod error;
mod eval;
mod fields;
mod float;
mod format;
mod functions;
mod glob;
mod include;
mod jinja;
mod json;
mod lexer;
mod list;
mod literal;
mod methods;
mod names;
mod outline;
mod parser;
mod path;
mod pipeline;
mod reads;
mod regex;
mod sort;
mod store;
mod surroundings;
mod text;
mod time;
mod unicode;
mod value;
mod walk;
mod world;

use std::sync::Arc;

use crate::code::Program;
use crate::eval::{Run, execute};
use crate::parser::Library;
use crate::value::Value;

pub use dialect::{Dialect, Engine};
pub use error::{Error, ErrorKind};
pub use functions::{Since, functions};
pub use glob::{BadPattern, Glob};
pub use names::{MemoryNames, Name, Names};
pub use outline::{Argument, Call, Include, Outline, included_path, outline};
pub use reads::Reads;
pub use text::Text;
pub use world::{Files, Moment, NoFiles, Os, Server, World};

/// A parsed template file. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Template(Parsed);

#[derive(Clone, Debug)]
enum Parsed {
    Go(Arc<Program>, Dialect),
    Jinja(Arc<jinja::Program>),
}

/// What a render may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of output, and of any one string on the way: 1 GiB unless set.
    pub output: usize,
    /// Iterations of loops and calls of templates: unlimited unless set.
    pub steps: u64,
    /// Templates within templates: 100,000 unless set, as in Go.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { output: 1 << 30, steps: u64::MAX, depth: 100_000 }
    }
}

/// What a render is given.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The keys.
    pub names: &'a dyn Names,
    /// The files that `include` reads.
    pub files: &'a dyn Files,
    /// Everything else.
    pub world: &'a dyn World,
    /// What it may use up.
    pub limits: Limits,
}

impl<'a> Context<'a> {
    /// These keys, no files, the operating system, the default limits.
    pub fn new(names: &'a dyn Names) -> Context<'a> {
        Context { names, files: &NoFiles, world: &Os, limits: Limits::default() }
    }
}

/// A finished render.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The output.
    pub bytes: Vec<u8>,
    /// What the render looked at.
    pub reads: Reads,
}

impl Template {
    /// Parses `source` as Go's text/template with all functions; `name` is the file's base name, which is
    /// also the template's own name, as in Go.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] if the source is no template, or calls a function that does not exist.
    pub fn parse(name: &str, source: &[u8]) -> Result<Template, Error> {
        Template::parse_with(Engine::Go, Dialect::default(), name, source)
    }

    /// Parses `source` in the language of `engine`. A dialect is confd's and means nothing to Jinja, which
    /// confd does not have.
    ///
    /// # Errors
    ///
    /// As [`Template::parse`]; of a function that the dialect does not have the error says who has it. Jinja
    /// looks for its functions only when they are called.
    pub fn parse_with(
        engine: Engine,
        dialect: Dialect,
        name: &str,
        source: &[u8],
    ) -> Result<Template, Error> {
        Ok(Template(match engine {
            Engine::Go => {
                let library = Library::Confd(dialect);
                Parsed::Go(Arc::new(parser::parse(name, Text::from(source.to_vec()), library)?), dialect)
            }
            Engine::Jinja => Parsed::Jinja(Arc::new(jinja::Program::parse(name, source)?)),
        }))
    }

    /// The name it was parsed with.
    pub fn name(&self) -> &str {
        match &self.0 {
            Parsed::Go(program, _) => &program.name,
            Parsed::Jinja(program) => program.name(),
        }
    }

    /// Renders the template.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exec`] if anything in it fails: a missing key, a wrong type, a limit. There is no output
    /// then, and [`Error::reads`] tells what had been looked at.
    pub fn render(&self, context: &Context<'_>) -> Result<Rendered, Error> {
        let (result, mut reads) = match &self.0 {
            Parsed::Go(program, dialect) => {
                let mut run = Run::new(context, *dialect);
                (execute(&mut run, program, Value::Nil), run.reads)
            }
            Parsed::Jinja(program) => {
                let mut run = Run::new(context, Dialect::default());
                (program.render(&mut run), run.reads)
            }
        };
        reads.finish();
        match result {
            Ok(bytes) => Ok(Rendered { bytes, reads }),
            Err(error) => Err(error.with_reads(reads)),
        }
    }
}

/// Renders a small template over flat data, such as confd's `check_cmd` with `{{.src}}`. It has Go's own
/// functions only, as in confd.
///
/// # Errors
///
/// As [`Template::parse`] and [`Template::render`].
pub fn expand(name: &str, source: &[u8], data: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
    let program = parser::parse(name, Text::from(source.to_vec()), Library::Builtin)?;
    let field = |(key, value): &(&str, &str)| {
        (Text::from((*key).to_owned()), Value::Text(Text::from((*value).to_owned())))
    };
    let names = MemoryNames::new();
    let context = Context::new(&names);
    execute(
        &mut Run::new(&context, Dialect::default()),
        &program,
        Value::map(data.iter().map(field).collect()),
    )
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Template>();
};
