//! What an apply would change, without changing it.

use std::path::PathBuf;
use std::{fmt, fs, io};

use similar::{ChangeTag, TextDiff};
use waypost_backend::View;

use crate::source::Source;
use crate::{Failure, Resource, Step};

/// What would become of one destination.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The destination.
    pub destination: PathBuf,
    old: Option<String>,
    new: String,
}

impl Difference {
    /// True if the content is as it would be.
    pub fn is_empty(&self) -> bool {
        self.old.as_ref() == Some(&self.new)
    }

    /// What would become of the destination of `resource` if it got `bytes`.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if the destination cannot be read.
    pub(crate) fn of(resource: &Resource, bytes: &[u8]) -> Result<Difference, Failure> {
        let path = &resource.destination;
        let current = match fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::io(Step::Compare, "cannot read", path, error)),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Difference { destination: path.clone(), old: current.map(|bytes| text(&bytes)), new: text(bytes) })
    }

    /// The unified diff with `context` unchanged lines around each change; `coloured` with terminal colours.
    pub fn unified(&self, context: usize, coloured: bool) -> impl fmt::Display + use<'_> {
        Unified { difference: self, context, coloured }
    }
}

struct Unified<'a> {
    difference: &'a Difference,
    context: usize,
    coloured: bool,
}

impl fmt::Display for Unified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { destination, old, new } = self.difference;
        let old_name = if old.is_some() { destination.display().to_string() } else { "/dev/null".into() };
        let diff = TextDiff::from_lines(old.as_deref().unwrap_or_default(), new);
        self.line(f, "1", &format!("--- {old_name}\n"))?;
        self.line(f, "1", &format!("+++ {}\n", destination.display()))?;
        for hunk in diff.unified_diff().context_radius(self.context).iter_hunks() {
            self.line(f, "36", &format!("{}\n", hunk.header()))?;
            for change in hunk.iter_changes() {
                let (sign, colour) = match change.tag() {
                    ChangeTag::Equal => (' ', ""),
                    ChangeTag::Delete => ('-', "31"),
                    ChangeTag::Insert => ('+', "32"),
                };
                let end = if change.missing_newline() { "\n\\ No newline at end of file\n" } else { "" };
                self.line(f, colour, &format!("{sign}{}{end}", change.value()))?;
            }
        }
        Ok(())
    }
}

impl Unified<'_> {
    fn line(&self, f: &mut fmt::Formatter<'_>, colour: &str, line: &str) -> fmt::Result {
        match self.coloured && !colour.is_empty() {
            true => writeln!(f, "\x1b[{colour}m{}\x1b[0m", line.trim_end_matches('\n')),
            false => f.write_str(line),
        }
    }
}

/// Renders `resource` from `view` and compares the result with its destination; nothing is written.
///
/// # Errors
///
/// The [`Failure`] that an apply would have, up to the comparison.
pub fn preview(resource: &Resource, view: &View) -> Result<Difference, Failure> {
    let made = Source::default().render(resource, view).map_err(|unrendered| unrendered.failure)?;
    Difference::of(resource, &made.bytes)
}
