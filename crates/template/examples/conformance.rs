//! Renders conformance cases: one JSON object a line in, one result line each out, in order.
//!
//! `tests/conformance/README.md` tells what cases and results look like.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufWriter, Write};

use serde_json::{Value, json};
use waypost_template::{Context, Error, ErrorKind, Files, Limits, MemoryNames, Os, Template};

/// The included files of a case.
struct CaseFiles(BTreeMap<String, String>);

impl Files for CaseFiles {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let directory = format!("{path}/");
        match self.0.get(path) {
            Some(source) => Ok(source.clone().into_bytes()),
            None if self.0.keys().any(|name| name.starts_with(&directory)) => {
                Err(io::ErrorKind::IsADirectory.into())
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line?)?;
        let mut result = match render(&case) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(output) => json!({ "output": output }),
                Err(bytes) => json!({ "output_base64": base64(bytes.as_bytes()) }),
            },
            Err(error) => {
                let kind = if error.kind() == ErrorKind::Parse { "parse" } else { "exec" };
                json!({ "error": kind, "message": error.to_string() })
            }
        };
        result["name"] = case["name"].clone();
        writeln!(out, "{result}")?;
    }
    out.flush()
}

fn render(case: &Value) -> Result<Vec<u8>, Error> {
    let source = case["template"].as_str().unwrap_or_default();
    let mut files = CaseFiles(strings(&case["includes"]));
    files.0.insert("main.tmpl".to_owned(), source.to_owned());
    let names = keys(case);
    let context = Context { names: &names, files: &files, world: &Os, limits: Limits::default() };
    Ok(Template::parse("main.tmpl", source.as_bytes())?.render(&context)?.bytes)
}

fn strings(object: &Value) -> BTreeMap<String, String> {
    let entries = object.as_object().into_iter().flatten();
    entries.map(|(name, text)| (name.clone(), text.as_str().unwrap_or_default().to_owned())).collect()
}

/// The keys that a case lists, and those that it describes.
fn keys(case: &Value) -> MemoryNames {
    let mut names: MemoryNames = strings(&case["keys"]).into_iter().collect();
    if let Some(many) = case["gen"].as_object() {
        let text = |field: &str| many.get(field).and_then(Value::as_str).unwrap_or_default();
        let number = |field: &str| many.get(field).and_then(Value::as_u64).unwrap_or_default() as usize;
        let (prefix, value_prefix, width) = (text("prefix"), text("value_prefix"), number("width"));
        for index in 0..number("count") {
            names.insert(format!("{prefix}{index:0width$}"), format!("{value_prefix}{index}"));
        }
    }
    names
}

/// The standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
