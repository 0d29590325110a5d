//! docs/functions.md tells the truth: its examples render to what it shows, and it has every function.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use waypost_template::{Context, Limits, MemoryNames, Moment, NoFiles, Since, Template, World, functions};

const DOCUMENT: &str = include_str!("../../../docs/functions.md");

/// The surroundings that the document describes.
struct Surroundings;

impl World for Surroundings {
    fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        match name {
            b"REGION" => Some(b"eu-1".to_vec()),
            b"NONE" => Some(Vec::new()),
            _ => None,
        }
    }

    fn hostname(&self) -> io::Result<String> {
        Ok("host".to_owned())
    }

    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn interface(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn now(&self) -> Moment {
        Moment {
            unix_nanoseconds: 1_767_323_045 * 1_000_000_000,
            offset_seconds: 3_600,
            zone: "CET".to_owned(),
        }
    }

    fn file_exists(&self, _: &[u8]) -> bool {
        false
    }
}

/// A template and what it shall give: its output, or `Err` with a part of the message.
type Example = (String, Result<String, String>);

/// The content of the fenced blocks of that kind, in order.
fn blocks(kind: &str) -> Vec<String> {
    let fence = format!("\n```{kind}\n");
    let parts = DOCUMENT.split(&fence).skip(1);
    parts.map(|part| part.split("\n```\n").next().unwrap().to_owned()).collect()
}

/// The cells of a table's row, without escapes.
fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?.replace("\\|", "\0");
    Some(row.split('|').map(|cell| cell.trim().replace('\0', "|")).collect())
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// The names of the functions that a row is about.
fn subjects(cell: &str) -> impl Iterator<Item = &str> {
    cell.split("`, `").map(|part| part.trim_matches('`').split('(').next().unwrap())
}

fn examples() -> Vec<Example> {
    let fenced = blocks("template").into_iter().zip(blocks("output").into_iter().map(Ok));
    let rows = DOCUMENT.lines().filter_map(cells).filter_map(|row| {
        let [_, _, template, output] = &row[..] else { return None };
        let expected = match (code(output), output.strip_prefix("error: ")) {
            (Some(output), _) => Ok(output.to_owned()),
            (None, Some(message)) => Err(message.to_owned()),
            (None, None) if output == "see below" || output == "output" || output == "---" => return None,
            (None, None) => panic!("neither an output nor an error: {output}"),
        };
        Some((code(template).unwrap().to_owned(), expected))
    });
    fenced.chain(rows).collect()
}

#[test]
fn every_example_renders_to_what_is_shown() {
    let [keys] = &blocks("keys")[..] else { panic!("one block of keys") };
    let pair = |line: &str| {
        line.split_once(" =").map(|(key, value)| (key.to_owned(), value.trim_start().to_owned()))
    };
    let names: MemoryNames = keys.lines().map(|line| pair(line).unwrap()).collect();
    let context = Context { names: &names, files: &NoFiles, world: &Surroundings, limits: Limits::default() };
    let examples = examples();
    assert_eq!(blocks("template").len(), blocks("output").len());
    assert!(examples.len() > 60, "only {} were found", examples.len());
    for (source, expected) in examples {
        let result =
            Template::parse("example", source.as_bytes()).and_then(|template| template.render(&context));
        match (result, expected) {
            (Ok(rendered), Ok(output)) => {
                assert_eq!(String::from_utf8(rendered.bytes).unwrap(), output, "{source}");
            }
            (Err(error), Err(message)) => assert!(error.message().contains(&message), "{source}: {error}"),
            (Ok(_), Err(message)) => panic!("{source} does not fail: {message}"),
            (Err(error), Ok(_)) => panic!("{}", error.snippet()),
        }
    }
}

#[test]
fn every_function_is_there_and_no_other() {
    let rows: Vec<Vec<String>> = DOCUMENT.lines().filter_map(cells).collect();
    let headings = DOCUMENT.lines().filter_map(|line| line.strip_prefix("### `"));
    let rows_of =
        |wanted: usize| rows.iter().filter(move |row| row.len() == wanted && row[0].starts_with('`'));
    let ours = rows_of(4).flat_map(|row| subjects(&row[0])).chain(headings.flat_map(subjects));
    let ours = ours.map(|name| (name, Since::Waypost));
    let others = rows_of(3).flat_map(|row| {
        let since = match &row[1][..] {
            "Go" => Since::Go,
            "0.16" => Since::Confd016,
            "0.41" => Since::Confd041,
            other => panic!("since {other}?"),
        };
        subjects(&row[0]).map(move |name| (name, since))
    });
    let documented: BTreeSet<(&str, Since)> = ours.chain(others).collect();
    let known: BTreeSet<(&str, Since)> = functions().collect();
    let difference: Vec<_> = documented.symmetric_difference(&known).collect();
    assert!(difference.is_empty(), "in one of them only: {difference:?}");
}

#[test]
fn every_function_of_our_own_has_an_example() {
    let examples = examples();
    let separators = |c: char| !c.is_ascii_alphanumeric();
    let words: BTreeSet<&str> = examples.iter().flat_map(|(source, _)| source.split(separators)).collect();
    for (name, _) in functions().filter(|(_, since)| *since == Since::Waypost) {
        assert!(words.contains(name), "{name}");
    }
}
