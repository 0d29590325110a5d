//! Templates: any bytes as one, and any keys beside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::{Arbitrary, Unstructured};
use waypost_template::{
    Context, Dialect, Engine, Error, ErrorKind, Files, Limits, MemoryNames, Moment, Names, Template, World,
};

use crate::bounded::bounded;
use crate::input::Input;

/// Few enough that a render at its limits takes no second.
const LIMITS: Limits = Limits { output: 1 << 14, steps: 1_000, depth: 50 };

/// A byte of a template becomes a few instructions and the text that they print.
const MEMORY_OF_A_BYTE: usize = 2_000;

/// What an empty template takes.
const MEMORY_OF_NONE: usize = 1 << 16;

/// Any bytes are a template or are refused with a place and a line, in memory in proportion to their number.
///
/// # Panics
///
/// If that does not hold.
pub fn parse(source: &[u8]) {
    let most = MEMORY_OF_NONE + MEMORY_OF_A_BYTE * source.len();
    if let Err(error) = bounded(most, || Template::parse("main.tmpl", source)) {
        assert_eq!(error.kind(), ErrorKind::Parse);
        has_a_place(&error);
    }
}

/// A template with any keys renders within its limits, twice the same, or fails with a place and a line.
///
/// # Panics
///
/// If that does not hold.
pub fn render(input: &[u8]) {
    render_with(Engine::Go, input);
}

/// The same of a Jinja template.
///
/// # Panics
///
/// If that does not hold.
pub fn jinja(input: &[u8]) {
    render_with(Engine::Jinja, input);
}

fn render_with(engine: Engine, input: &[u8]) {
    let Ok(Input { names, template }) = Input::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let parsed = Template::parse_with(engine, Dialect::default(), "main.tmpl", template);
    let Ok(template) = parsed else { return };
    let files = Included(&names);
    let context = Context { names: &names, files: &files, world: &Still, limits: LIMITS };
    match (template.render(&context), template.render(&context)) {
        (Ok(first), Ok(second)) => {
            assert!(first.bytes.len() <= LIMITS.output, "{} bytes of output", first.bytes.len());
            assert!(first.bytes == second.bytes, "it rendered to two things");
        }
        (Err(first), Err(second)) => {
            assert_eq!(first.kind(), ErrorKind::Exec);
            assert_eq!(first.to_string(), second.to_string());
            has_a_place(&first);
        }
        (first, second) => panic!("it rendered once: {:?}, {:?}", first.is_ok(), second.is_ok()),
    }
}

fn has_a_place(error: &Error) {
    assert!(error.line() > 0 && error.column() > 0, "{error}: no place");
    assert!(!error.snippet().is_empty(), "{error}: no line");
}

/// Files are the values of keys.
struct Included<'a>(&'a MemoryNames);

impl Files for Included<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let source = self.0.get(format!("/{path}").as_bytes()).ok_or(io::ErrorKind::NotFound)?;
        Ok(source.to_vec())
    }
}

/// A world where nothing happens, so that what was found is found again.
struct Still;

impl World for Still {
    fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        name.starts_with(b"V").then(|| name.to_vec())
    }

    fn hostname(&self) -> io::Result<String> {
        Ok("host".to_owned())
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let all = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        all[..host.len() % 3].to_vec()
    }

    fn interface(&self, name: &str) -> Vec<IpAddr> {
        self.addresses(name)
    }

    fn now(&self) -> Moment {
        Moment { unix_nanoseconds: 1_700_000_000_123_456_789, offset_seconds: 3_600, zone: "CET".to_owned() }
    }

    fn file_exists(&self, path: &[u8]) -> bool {
        path.len().is_multiple_of(2)
    }
}
