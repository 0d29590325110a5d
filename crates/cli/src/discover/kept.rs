//! A command that is kept running with the newest answer in its environment; what is done when is decided in
//! `keeper.rs`.

use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep_until};
use waypost_announce::{CommandLine, CommandNotStarted, Running, Signal};

use super::answer::Answer;
use super::keeper::{Action, Event, Keeper};
use super::{Answers, not_started};
use crate::Failed;

/// How long a command may take to end before it is killed, to start it again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The variables of an answer.
type Variables<'a> = &'a dyn Fn(&Answer) -> Vec<(String, String)>;

/// Keeps the command running until it ends by itself or is told to stop; then the exit code is its own. When there
/// is nobody any more, it keeps what it had.
pub(super) async fn keep(
    command: &CommandLine,
    variables: Variables<'_>,
    first: Answer,
    mut answers: Answers,
) -> Result<ExitCode, Failed> {
    let mut signals = waypost_announce::signals()?;
    let mut keeper = Keeper::default();
    let mut kept = match Kept::start(command, variables, first) {
        Ok(kept) => kept,
        Err(why) => return Ok(not_started(&why)),
    };
    loop {
        let event = kept.event(&mut answers, &mut signals).await;
        match keeper.step(event) {
            None => {}
            Some(Action::Exit(code)) => return Ok(code.into()),
            Some(action) => {
                if let Err(why) = kept.act(action) {
                    return Ok(not_started(&why));
                }
            }
        }
        kept.set_deadline(keeper.is_restarting());
    }
}

/// The command as it runs.
struct Kept<'a> {
    command: &'a CommandLine,
    variables: Variables<'a>,
    newest: Answer,
    running: Running,
    /// When it takes too long to end.
    deadline: Option<Instant>,
}

impl<'a> Kept<'a> {
    fn start(
        command: &'a CommandLine,
        variables: Variables<'a>,
        newest: Answer,
    ) -> Result<Kept<'a>, CommandNotStarted> {
        let running = Running::start_with(command, &variables(&newest))?;
        Ok(Kept { command, variables, newest, running, deadline: None })
    }

    async fn event(
        &mut self,
        answers: &mut Answers,
        signals: &mut (impl Stream<Item = Signal> + Unpin),
    ) -> Event {
        let Kept { newest, running, deadline, .. } = self;
        let late = async {
            match deadline {
                Some(deadline) => sleep_until(*deadline).await,
                None => pending().await,
            }
        };
        let another = async {
            loop {
                if let Some(answer) = answers.next().await.filter(|answer| answer != newest) {
                    return answer;
                }
            }
        };
        tokio::select! {
            end = running.ended() => Event::Ended(end.code),
            Some(signal) = signals.next() => Event::Told(signal),
            answer = another => {
                self.newest = answer;
                Event::Changed
            }
            () = late => Event::Late,
        }
    }

    fn act(&mut self, action: Action) -> Result<(), CommandNotStarted> {
        match action {
            Action::Tell(signal) => self.running.tell(signal),
            Action::Kill => self.running.kill(),
            Action::Start => {
                tracing::info!("the answer has changed: the command is started again");
                self.running = Running::start_with(self.command, &(self.variables)(&self.newest))?;
            }
            Action::Exit(_) => {}
        }
        Ok(())
    }

    /// From the moment on at which it is waited for; what was late once is late again after as long.
    fn set_deadline(&mut self, is_restarting: bool) {
        let now = Instant::now();
        let pending = self.deadline.filter(|deadline| *deadline > now);
        self.deadline = is_restarting.then(|| pending.unwrap_or(now + PATIENCE));
    }
}
