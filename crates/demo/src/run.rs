//! A demonstration from its start to its summary.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;

use crate::arrangement::Arrangement;
use crate::play::Play;
use crate::registry::RegistryKind;
use crate::summary::Expected;
use crate::tell::{Mark, Tell};
use crate::{Error, Summary, script};

/// How long a script takes if nothing is said of it.
const SCRIPT: Duration = Duration::from_secs(30);

/// What to show.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The waypost binary, which announcers, services and agent are started from. It must know the command
    /// `demo-service NAME ADDRESS [--with-input]`, which calls [`serve`](crate::serve), and with the flag stops
    /// when [`input_ended`](crate::input_ended) as well.
    pub program: PathBuf,
    /// Where the services register.
    pub registry: RegistryKind,
    /// How long it goes on, from the start of the first process; without a time, until it is stopped. A
    /// script takes 30 s then, and 15 s at the least. On a machine so busy that a change is not in nginx when
    /// the time is over, it is waited for up to 45 s more.
    pub time: Option<Duration>,
    /// Whether services are added, stopped and killed, the agent killed, and the registry too if it is our own.
    pub script: bool,
    /// Whether what is printed is coloured.
    pub is_coloured: bool,
}

impl Settings {
    /// How long a script takes.
    pub(crate) fn duration(&self) -> Duration {
        self.time.unwrap_or(SCRIPT)
    }
}

/// Starts everything, tells on `out` what happens, and ends it when its time is over, or `stop`.
///
/// It must run on the main thread, in a runtime without others: processes end with the thread that started
/// them.
///
/// # Errors
///
/// Whatever keeps it from coming up or going on; all that was started has ended then too. That requests
/// were lost is no error: the [`Summary`] tells.
pub async fn run(
    settings: &Settings,
    out: &mut dyn Write,
    stop: impl Future<Output = ()>,
) -> Result<Summary, Error> {
    if settings.script {
        script::check(settings.duration())?;
    }
    let mut tell = Tell { out, is_coloured: settings.is_coloured, started: Instant::now() };
    let started = tell.started;
    let (sender, events) = unbounded_channel();
    tokio::pin!(stop);
    let start =
        Arrangement::start(settings, sender.clone(), |name, text| tell.line(Mark::Plain, name, &text));
    let arrangement = tokio::select! {
        arrangement = start => arrangement?,
        () = &mut stop => return Err(Error::Interrupted),
    };
    let mut play = Play::new(arrangement, tell, (sender, events));
    let outcome = tokio::select! {
        outcome = play.run(settings) => outcome,
        () = &mut stop => Ok(Some("it was interrupted".to_owned())),
    };
    let wanted = play.arrangement.wanted();
    let summary = |cut_short| {
        let expected = Expected { wanted, is_scripted: settings.script, cut_short };
        Summary::of(&play.records, &play.told, &expected, started)
    };
    let summary = outcome.map(summary);
    let (mut tell, ended) = play.end().await;
    let summary = summary?;
    conclude(&summary, &mut tell)?;
    ended.map(|()| summary)
}

fn conclude(summary: &Summary, tell: &mut Tell<'_>) -> Result<(), Error> {
    tell.print(&format!("\n{summary}\n"))?;
    if summary.is_good() {
        let verdict = tell.painted(Mark::Good, "Good: nothing was lost that could be kept.");
        return tell.print(&format!("{verdict}\n"));
    }
    let faults: String = summary.faults().iter().map(|fault| format!("  {fault}\n")).collect();
    let verdict = tell.painted(Mark::Bad, "Not good:");
    tell.print(&format!("{verdict}\n{faults}"))
}
