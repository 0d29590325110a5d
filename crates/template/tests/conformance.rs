//! Every template that Go rendered renders the same here, and fails where Go failed.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;
use waypost_template::{Context, Error, ErrorKind, Files, Limits, MemoryNames, Os, Template};

const CASES: &str = include_str!("conformance/template.jsonl");

/// The files of a case.
struct CaseFiles(BTreeMap<String, String>);

impl Files for CaseFiles {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).map(|source| source.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn strings(object: &Value) -> BTreeMap<String, String> {
    let entries = object.as_object().into_iter().flatten();
    entries.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

fn keys(case: &Value) -> MemoryNames {
    let mut names: MemoryNames = strings(&case["keys"]).into_iter().collect();
    if let Some(many) = case["gen"].as_object() {
        let width = many["width"].as_u64().unwrap() as usize;
        for index in 0..many["count"].as_u64().unwrap() {
            let name = format!("{}{index:0width$}", many["prefix"].as_str().unwrap());
            names.insert(name, format!("{}{index}", many["value_prefix"].as_str().unwrap()));
        }
    }
    names
}

fn render(case: &Value) -> Result<Vec<u8>, Error> {
    let source = case["template"].as_str().unwrap();
    let mut files = CaseFiles(strings(&case["includes"]));
    files.0.insert("main.tmpl".to_owned(), source.to_owned());
    let names = keys(case);
    let context = Context { names: &names, files: &files, world: &Os, limits: Limits::default() };
    Ok(Template::parse("main.tmpl", source.as_bytes())?.render(&context)?.bytes)
}

/// What a case gives, next to what Go gave, if they differ.
fn disagreement(case: &Value) -> Option<String> {
    let result = render(case);
    let agrees = match (&result, case["output"].as_str(), case["error"].as_str()) {
        (Ok(bytes), Some(output), _) => bytes == output.as_bytes(),
        (Err(error), None, Some(kind)) => {
            kind == if error.kind() == ErrorKind::Parse { "parse" } else { "exec" }
        }
        _ => false,
    };
    let shown = match &result {
        Ok(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Err(error) => error.to_string(),
    };
    let wanted = if case["output"].is_null() { &case["error"] } else { &case["output"] };
    (!agrees).then(|| format!("{}\n    Go:   {wanted}\n    here: {shown}", case["name"]))
}

#[test]
fn all_cases_agree_with_go() {
    let cases: Vec<Value> = CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let differing: Vec<String> = cases.iter().filter_map(disagreement).collect();
    assert!(differing.is_empty(), "{} of {} differ:\n{}", differing.len(), cases.len(), differing.join("\n"));
}

#[test]
fn no_error_shows_a_keys_value() {
    const SECRET: &str = "hunter2hunter2";
    for line in CASES.lines() {
        let mut case: Value = serde_json::from_str(line).unwrap();
        for value in case["keys"].as_object_mut().unwrap().values_mut() {
            *value = Value::from(SECRET);
        }
        if let Err(error) = render(&case) {
            assert!(!error.snippet().contains("hunter2"), "{}", error.snippet());
        }
    }
}
