//! What is printed: a line a happening, with the time since the start before it.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::Error;
use crate::changes::{Change, Kind};
use crate::records::{Lost, News};
use crate::summary::brief;

/// How wide names are, so that what happens to them is below each other.
const NAME: usize = 9;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    /// Something was done on purpose.
    Done,
    Good,
    Bad,
    /// Worth a look, and no more.
    Aside,
}

impl Mark {
    /// Source: ECMA-48, "Select Graphic Rendition".
    fn colour(self) -> Option<&'static str> {
        match self {
            Mark::Plain => None,
            Mark::Done => Some("1"),
            Mark::Good => Some("32"),
            Mark::Bad => Some("31"),
            Mark::Aside => Some("2"),
        }
    }
}

/// Prints what happens.
pub(crate) struct Tell<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) is_coloured: bool,
    pub(crate) started: Instant,
}

impl Tell<'_> {
    /// Prints a line about `name`.
    pub(crate) fn line(&mut self, mark: Mark, name: &str, text: &str) -> Result<(), Error> {
        let seconds = self.started.elapsed().as_secs_f64();
        let text = self.painted(mark, &format!("{name:<NAME$} {text}"));
        self.print(&format!("{seconds:6.1} s  {text}\n"))
    }

    /// Prints what somebody saw.
    pub(crate) fn news(&mut self, news: &News) -> Result<(), Error> {
        let (mark, name, text) = words(news);
        self.line(mark, &name, &text)
    }

    /// Prints text as it is.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(Error::Output)
    }

    /// The text in the mark's colour, if there is colour.
    pub(crate) fn painted(&self, mark: Mark, text: &str) -> String {
        match mark.colour().filter(|_| self.is_coloured) {
            Some(colour) => format!("\x1b[{colour}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

fn words(news: &News) -> (Mark, String, String) {
    match news {
        News::Came(Change { name, endpoint, .. }) => {
            (Mark::Plain, name.clone(), format!("is registered: {endpoint}"))
        }
        News::Went(Change { name, .. }) => (Mark::Plain, name.clone(), "is no longer registered".to_owned()),
        News::Arrived(change) => (Mark::Good, change.name.clone(), arrived(change)),
        News::RegistryAway(why) => (Mark::Aside, "registry".to_owned(), format!("is away: {why}")),
        News::RegistryBack => (Mark::Plain, "registry".to_owned(), "answers again".to_owned()),
        News::Agent { what, why } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            (Mark::Aside, "agent".to_owned(), format!("says: {}", first_line(&format!("{what}{why}"))))
        }
        News::Lost(Lost { why, .. }) => (Mark::Bad, "load".to_owned(), format!("a request is lost: {why}")),
    }
}

fn arrived(change: &Change) -> String {
    let place = if change.kind == Kind::Came { "in nginx" } else { "out of nginx" };
    let part =
        |word: &str, after: Option<Duration>| after.map(|after| format!("{word} after {}", brief(after)));
    let parts = [
        part("file written", change.after(change.written)),
        part("reloaded", change.after(change.reloaded)),
        part("served", change.after(change.served)),
    ];
    format!("is {place}: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(is_coloured: bool) -> String {
        let mut out = Vec::new();
        let mut tell = Tell { out: &mut out, is_coloured, started: Instant::now() };
        tell.news(&News::Agent { what: "held".to_owned(), why: Some("why\nand more".to_owned()) }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_time_the_name_and_one_line_of_text() {
        assert_eq!(told(false), "   0.0 s  agent     says: held: why\n");
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        assert_eq!(told(true), "   0.0 s  \x1b[2magent     says: held: why\x1b[0m\n");
    }
}
