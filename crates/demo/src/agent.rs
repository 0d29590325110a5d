//! The agent: `waypost run`, and what its log says.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ChildStderr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc::UnboundedSender;
use waypost_model::Endpoint;

use crate::Error;
use crate::process::{Line, Process};
use crate::records::{Event, Stamped};

/// What a line of the agent's log says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A file was replaced; it shows the registry at this revision.
    Applied { revision: u64 },
    /// A reload has run.
    Reloaded,
    /// Something is not as it should be, and why.
    Trouble { what: String, why: Option<String> },
}

/// Starts the agent on the configuration in `place/conf`; what it says goes to `events`.
pub(crate) fn start(
    program: &Path,
    place: &Path,
    registry: &Endpoint,
    events: UnboundedSender<Stamped>,
) -> Result<Process, Error> {
    let registry = registry.to_string();
    let (confdir, state) = (place.join("conf"), place.join("state"));
    let arguments = ["run", "--log-format", "json", "--node", &registry, "--retry-max", "2s"]
        .map(Into::into)
        .into_iter()
        .chain(["--confdir".into(), confdir.into(), "--state-dir".into(), state.into()]);
    let line = Line::new::<std::ffi::OsString>(program, arguments);
    let (process, heard, log) = Process::start_heard("agent", &line, place)?;
    let heard = listener(heard).map_err(Error::system("listen to the agent"))?;
    tokio::spawn(listen(heard, log, events));
    Ok(process)
}

fn listener(heard: ChildStderr) -> std::io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(heard.into())
}

async fn listen(heard: pipe::Receiver, mut log: File, events: UnboundedSender<Stamped>) {
    let mut lines = BufReader::new(heard).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(said) = parse(&line) {
            // Nobody listens once it is over.
            let _ = events.send(Stamped::now(Event::Agent(said)));
        }
        // The log is for an error message; without it that is shorter.
        let _ = writeln!(log, "{line}");
    }
}

fn parse(line: &str) -> Option<Said> {
    let line: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| line[name].as_str();
    let message = field("message")?;
    match (message, field("level")?) {
        ("applied", "INFO") => {
            let (_, revision) = field("position")?.rsplit_once('@')?;
            Some(Said::Applied { revision: revision.parse().ok()? })
        }
        ("reloaded", "INFO") => Some(Said::Reloaded),
        (_, "WARN" | "ERROR") => {
            Some(Said::Trouble { what: message.to_owned(), why: field("reason").map(str::to_owned) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read_from_the_log() {
        let said = |fields: &str| parse(&format!(r#"{{"timestamp":"2026-01-01T00:00:00Z",{fields}}}"#));
        assert_eq!(
            said(
                r#""level":"INFO","message":"applied","resource":"nginx.toml","position":"cafe@12","took":"3ms""#
            ),
            Some(Said::Applied { revision: 12 })
        );
        assert_eq!(said(r#""level":"INFO","message":"reloaded","took":"3ms""#), Some(Said::Reloaded));
        assert_eq!(
            said(r#""level":"ERROR","message":"the registry cannot be read","reason":"refused""#),
            Some(Said::Trouble {
                what: "the registry cannot be read".to_owned(),
                why: Some("refused".to_owned())
            })
        );
        assert_eq!(said(r#""level":"INFO","message":"read the registry","keys":3"#), None);
        assert_eq!(parse("no JSON"), None);
    }
}
