//! The format that a resource's output must have: a syntax check before the operator's own.
//!
//! What is wrong is told by its place, and by no text of the output, which may be a secret.

use std::fmt;

use quick_xml::events::Event;
use serde::de::IgnoredAny;

/// A format that output can be checked for: confd's `output_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON value.
    Json,
    /// YAML, one document or more.
    Yaml,
    /// TOML.
    Toml,
    /// XML that is well-formed; encodings other than UTF-8 are not read.
    Xml,
}

impl Format {
    /// The format of that name: `json`, `yaml` or `yml`, `toml`, `xml`.
    pub fn parse(name: &str) -> Option<Format> {
        Some(match name {
            "json" => Format::Json,
            "yaml" | "yml" => Format::Yaml,
            "toml" => Format::Toml,
            "xml" => Format::Xml,
            _ => return None,
        })
    }

    /// What keeps `bytes` from being of this format, and where; none if they are.
    pub(crate) fn objection(self, bytes: &[u8]) -> Option<String> {
        let fault = match std::str::from_utf8(bytes) {
            Ok(text) => self.fault(text),
            Err(error) => Some(Fault::at(bytes, error.valid_up_to())),
        };
        fault.map(|Fault { line, column }| format!("the output is not {self}: line {line}, column {column}"))
    }

    fn fault(self, text: &str) -> Option<Fault> {
        match self {
            Format::Json => {
                let error = serde_json::from_str::<IgnoredAny>(text).err()?;
                Some(Fault { line: error.line(), column: error.column() })
            }
            Format::Yaml => {
                let error = serde_saphyr::from_multiple::<IgnoredAny>(text).err()?;
                let place = error.location();
                let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
                Some(place.map_or(Fault { line: 1, column: 1 }, |at| Fault {
                    line: number(at.line()),
                    column: number(at.column()),
                }))
            }
            Format::Toml => {
                let error = toml::from_str::<toml::Table>(text).err()?;
                Some(Fault::at(text.as_bytes(), error.span().unwrap_or_default().start))
            }
            Format::Xml => xml(text).map(|at| Fault::at(text.as_bytes(), at)),
        }
    }
}

/// Where XML stops being well-formed; a document without an element is none either.
fn xml(text: &str) -> Option<usize> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let (mut depth, mut elements) = (0_usize, 0_usize);
    loop {
        match reader.read_event() {
            Ok(Event::Eof) if depth == 0 && elements == 1 => return None,
            Ok(Event::Start(start)) if start.attributes().all(|attribute| attribute.is_ok()) => {
                elements += usize::from(depth == 0);
                depth += 1;
            }
            Ok(Event::Empty(start)) if start.attributes().all(|attribute| attribute.is_ok()) => {
                elements += usize::from(depth == 0);
            }
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Text(text)) if depth > 0 || text.trim_ascii().is_empty() => {}
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
            Ok(Event::CData(_) | Event::GeneralRef(_)) if depth > 0 => {}
            _ => {
                return Some(
                    usize::try_from(reader.error_position().max(reader.buffer_position()))
                        .unwrap_or(usize::MAX),
                );
            }
        }
    }
}

/// Where a text is not of its format; both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    line: usize,
    column: usize,
}

impl Fault {
    fn at(bytes: &[u8], at: usize) -> Fault {
        let before = &bytes[..at.min(bytes.len())];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Fault { line, column: 1 + String::from_utf8_lossy(&before[start..]).chars().count() }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Json => "JSON",
            Format::Yaml => "YAML",
            Format::Toml => "TOML",
            Format::Xml => "XML",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_its_format_is_let_through() {
        let good: [(Format, &str); 7] = [
            (Format::Json, "{\"a\": [1, null, \"x\"]}\n"),
            (Format::Json, "3"),
            (Format::Yaml, "a: 1\nb:\n  - x\n"),
            (Format::Yaml, "a: 1\n---\nb: 2\n"),
            (Format::Toml, "[a]\nb = 1\n"),
            (Format::Xml, "<?xml version=\"1.0\"?>\n<!-- c -->\n<a b=\"1\"><c/>text &amp; more</a>\n"),
            (Format::Xml, "<a/>"),
        ];
        for (format, text) in good {
            assert_eq!(format.objection(text.as_bytes()), None, "{format}: {text}");
        }
    }

    #[test]
    fn what_is_not_is_told_by_its_place_and_by_no_text() {
        let bad: [(Format, &str, &str); 9] = [
            (Format::Json, "{\"a\": 1,\n \"secret\" 2}", "the output is not JSON: line 2, column 11"),
            (Format::Json, "", "the output is not JSON: line 1, column 0"),
            (Format::Json, "{} {}", "the output is not JSON: line 1, column 4"),
            (Format::Toml, "a = 1\nb = \"secret\n", "the output is not TOML: line 2, column 12"),
            (Format::Yaml, "a: 1\nb: [secret\n", "the output is not YAML: line"),
            (Format::Xml, "<a>secret</b>", "the output is not XML: line 1, column"),
            (Format::Xml, "<a>", "the output is not XML: line 1, column"),
            (Format::Xml, "secret", "the output is not XML: line 1, column"),
            (Format::Xml, "<a/><b/>", "the output is not XML: line 1, column"),
        ];
        for (format, text, wanted) in bad {
            let objection = format.objection(text.as_bytes()).unwrap_or_default();
            assert!(objection.starts_with(wanted) && !objection.contains("secret"), "{text}: {objection}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_of_no_format() {
        let objection = Format::Json.objection(b"{\n\"\xff\"}").unwrap();
        assert_eq!(objection, "the output is not JSON: line 2, column 2");
    }
}
