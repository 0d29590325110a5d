//! Server-sent events, taken out of bytes as they come.
//!
//! Source of the format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>; lines end in LF or
//! CRLF, as waypost and all servers known to us send them.

/// An event that is longer than this is none: 10,000 instances take 2 MiB.
const LONGEST: usize = 64 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// What came so far of the next one.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    event: Event,
    is_begun: bool,
}

impl Parser {
    /// Takes the next bytes, and gives the events that they complete. Comments are no events.
    ///
    /// # Errors
    ///
    /// One line when an event does not end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, String> {
        if self.line.len() + self.event.data.len() + bytes.len() > LONGEST {
            return Err(format!("an event is longer than {LONGEST} bytes"));
        }
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                events.extend(self.end_of_line(line.trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.is_begun).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.is_begun {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.is_begun = true;
            }
            // A comment, or a field of those who need one.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ":\n\nevent: service\ndata: {\"a\":\ndata: \"ü\"}\n\n: comment\r\n\r\n\
        event: registry\r\ndata:{}\r\nid: 7\r\n\r\nevent: nothing\n\ndata\n\n";

    fn expected() -> Vec<Event> {
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        vec![event("service", "{\"a\":\n\"ü\"}"), event("registry", "{}"), event("", "")]
    }

    #[test]
    fn an_event_that_does_not_end_is_an_error_and_not_all_memory() {
        let mut parser = Parser::default();
        let mebibyte = vec![b'x'; 1 << 20];
        assert!((0..100).any(|_| parser.take(&mebibyte).is_err()));
    }

    proptest! {
        #[test]
        fn the_events_are_the_same_however_the_bytes_are_cut(
            mut cuts in proptest::collection::vec(0..STREAM.len(), 0..20),
        ) {
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let parts = cuts.windows(2).map(|ends| &STREAM.as_bytes()[ends[0]..ends[1]]);
            let events: Vec<_> = parts.flat_map(|part| parser.take(part).expect("it is short")).collect();
            prop_assert_eq!(events, expected());
        }
    }
}
