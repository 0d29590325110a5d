//! Findings: what a look at the configuration and the templates has to tell, each with its place.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use waypost_agent::Failure;

use crate::configuration::Problem;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// It works, and is odd.
    Oddity,
    /// It works, and cannot be meant.
    Doubt,
    /// It does not work.
    Fault,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) grade: Grade,
    /// File, line and column, both from 1; none of it if it is about no file.
    pub(crate) place: Option<(String, usize, usize)>,
    pub(crate) text: String,
    /// The line with a caret below; empty if there is none.
    pub(crate) shown: String,
}

impl Finding {
    /// Of no place.
    pub(crate) fn new(grade: Grade, text: impl Into<String>) -> Finding {
        Finding { grade, place: None, text: text.into(), shown: String::new() }
    }

    /// At the byte `at` of `source`, which is in `file`.
    pub(crate) fn at(grade: Grade, file: &Path, source: &str, at: usize, text: impl Into<String>) -> Finding {
        let described = Problem::new(at..at, text).describe(&file.display().to_string(), source);
        Finding::described(grade, &described)
    }

    /// Takes apart what the loader and errors of templates say: `file:line:column: text`, then the line.
    pub(crate) fn described(grade: Grade, described: &str) -> Finding {
        let (first, shown) = described.split_once('\n').unwrap_or((described, ""));
        let (place, text) = placed(first).map_or((None, first), |(place, text)| (Some(place), text));
        Finding { grade, place, text: text.to_owned(), shown: shown.trim_end().to_owned() }
    }

    /// Of a template or what it includes; `path` finds the file that the failure calls by its last name.
    pub(crate) fn of_failure(failure: &Failure, path: impl Fn(&str) -> String) -> Finding {
        let described = format!("{}\n{}", failure.message, failure.detail);
        let mut finding = Finding::described(Grade::Fault, &described);
        match &mut finding.place {
            Some((file, ..)) => *file = path(file),
            None => finding.text = failure.to_string(),
        }
        finding
    }

    /// Without a word on how grave it is.
    pub(crate) fn plain(self) -> Finding {
        Finding { grade: Grade::Doubt, ..self }
    }

    /// `file:line:column: text`.
    pub(crate) fn line(&self) -> String {
        let word = match self.grade {
            Grade::Fault | Grade::Doubt => "",
            Grade::Oddity => "warning: ",
        };
        match &self.place {
            Some((file, line, column)) => format!("{file}:{line}:{column}: {word}{}", self.text),
            None => format!("{word}{}", self.text),
        }
    }

    fn json(&self) -> String {
        let severity = if self.grade == Grade::Oddity { "warning" } else { "error" };
        let (file, line, column) = match &self.place {
            Some((file, line, column)) => (Some(file), Some(line), Some(column)),
            None => (None, None, None),
        };
        json!({ "severity": severity, "file": file, "line": line, "column": column, "text": self.text })
            .to_string()
    }
}

/// `file:line:column: text`, taken apart.
fn placed(line: &str) -> Option<((String, usize, usize), &str)> {
    line.match_indices(':').find_map(|(at, _)| {
        let (row, rest) = line[at + 1..].split_once(':')?;
        let (column, text) = rest.split_once(": ")?;
        Some(((line[..at].to_owned(), row.parse().ok()?, column.parse().ok()?), text))
    })
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        // A file that several resources include is at fault once.
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// The configuration works whatever is in doubt: it is only told.
    pub(crate) fn lenient(mut self) -> Findings {
        for finding in &mut self.0 {
            if finding.grade == Grade::Doubt {
                finding.grade = Grade::Oddity;
            }
        }
        self
    }

    /// Errors and warnings.
    pub(crate) fn count(&self) -> (usize, usize) {
        let warnings = self.0.iter().filter(|finding| finding.grade == Grade::Oddity).count();
        (self.0.len() - warnings, warnings)
    }

    /// Prints all, in the order of their places.
    pub(crate) fn print(&mut self, as_json: bool) -> io::Result<()> {
        self.0.sort_by(|one, other| one.place.cmp(&other.place));
        let mut out = io::stdout().lock();
        for finding in &self.0 {
            match (as_json, finding.shown.is_empty()) {
                (true, _) => writeln!(out, "{}", finding.json())?,
                (false, true) => writeln!(out, "{}", finding.line())?,
                (false, false) => writeln!(out, "{}\n{}", finding.line(), finding.shown)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_says_is_taken_apart() {
        let finding = Finding::described(Grade::Fault, "/a b/c:d.toml:3:8: `dest`: no\n  |\n3 | x\n");
        assert_eq!(finding.place, Some(("/a b/c:d.toml".to_owned(), 3, 8)));
        assert_eq!((&*finding.text, &*finding.shown), ("`dest`: no", "  |\n3 | x"));
        assert_eq!(finding.line(), "/a b/c:d.toml:3:8: `dest`: no");
        let without = Finding::described(Grade::Oddity, "/x: Permission denied");
        assert_eq!((without.place.is_none(), &*without.line()), (true, "warning: /x: Permission denied"));
    }

    #[test]
    fn scripts_get_the_parts() {
        let finding = Finding::at(Grade::Doubt, Path::new("a.toml"), "x\nyz", 3, "text");
        let wanted = r#"{"column":2,"file":"a.toml","line":2,"severity":"error","text":"text"}"#;
        assert_eq!(finding.json(), wanted);
    }

    #[test]
    fn doubts_are_errors_unless_the_configuration_works_whatever_is_in_doubt() {
        let mut findings = Findings::default();
        findings.push(Finding::new(Grade::Doubt, "x"));
        findings.push(Finding::new(Grade::Doubt, "x"));
        findings.push(Finding::new(Grade::Fault, "y"));
        assert_eq!(findings.count(), (2, 0), "the same is told once");
        assert_eq!(findings.lenient().count(), (1, 1));
    }
}
