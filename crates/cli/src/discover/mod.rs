//! `waypost discover`: where a service is, for shells and for programs that only read their environment.
//!
//! Exit codes: 0, it was answered; 1, nothing is registered or nobody could be asked, and standard error says which; 2,
//! the command line makes no sense. With a command they are the command's, 126 or 127 if it cannot be started.

mod answer;
mod keeper;
mod kept;

use std::ffi::OsString;
use std::future::pending;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use answer::{Answer, Choice, Format, scheme};
use tokio::time::{Instant, timeout_at};
use waypost_announce::{CommandLine, CommandNotStarted};
use waypost_discover::{AGENT_SOCKET, Changes, Discovery, Handle, List, Origin, Prefix, Settings};
use waypost_model::Key;

use crate::duration::duration;
use crate::{Failed, store};

/// How long the registry or the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Find out where a service is: from the local agent if it is there, else from the registry.
///
/// Of several instances one is taken at random by weight, one of the own zone if there is one. Exit code 1: nothing
/// is registered, or nobody answers; standard error says which.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The service, such as db or shop/cache
    #[arg(value_parser = service_name)]
    name: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::HostPort)]
    format: Format,
    /// The scheme of URLs [default: what the instance says as `scheme`, else tcp]
    #[arg(long, value_parser = scheme)]
    scheme: Option<String>,
    /// Only instances of this role, such as primary
    #[arg(long)]
    role: Option<String>,
    /// The own zone: its instances come first
    #[arg(long)]
    zone: Option<String>,
    /// All instances instead of one
    #[arg(long)]
    all: bool,
    /// Go on, with a line for each change; or keep the command running, and start it again at each change
    #[arg(long)]
    watch: bool,
    /// How long to wait for an instance if there is none
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    wait: Duration,
    /// Where the registry's services are; the agent has its own word for it [default: /services]
    #[arg(long, value_name = "PREFIX", conflicts_with = "socket")]
    root: Option<String>,
    /// The agent's socket [default: /run/waypost/api.sock, if an agent is there and no registry is named]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    store: store::Arguments,
    /// A command to run with NAME_HOST, NAME_PORT, NAME_ADDRESS, NAME_URL and what else is told in its environment
    #[arg(last = true)]
    command: Vec<OsString>,
}

pub(crate) async fn discover(mut arguments: Arguments) -> Result<ExitCode, Failed> {
    let mut words = std::mem::take(&mut arguments.command).into_iter();
    let command = words.next().map(|program| CommandLine { program, arguments: words.collect() });
    if arguments.watch && arguments.format == Format::Env && command.is_none() {
        eprintln!("waypost: variables cannot be watched: take --format json, or a command behind --");
        return Ok(ExitCode::from(2));
    }
    let discovery = arguments.open()?;
    let handle = discovery.service(&arguments.name);
    let handle = arguments.role.as_ref().map_or(handle.clone(), |role| handle.with_role(role));
    let mut answers = Answers::of(handle, &arguments);
    let first = answers.first(arguments.wait).await.map_err(|why| arguments.nothing(&discovery, why))?;
    match (command, arguments.watch) {
        (None, false) => print(&arguments.lines(&first)).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        (None, true) => arguments.tell(first, answers).await,
        (Some(command), false) => Ok(become_command(&command, &arguments.variables(&first))),
        (Some(command), true) => {
            let variables = |answer: &Answer| arguments.variables(answer);
            kept::keep(&command, &variables, first, answers).await
        }
    }
}

/// A name without the slashes around it: variables are called after it.
fn service_name(text: &str) -> Result<String, String> {
    let name = text.trim_matches('/');
    match Key::new(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(why) => Err(format!("it is no name of a service: {why}")),
    }
}

/// Why there is no answer.
enum Nothing {
    /// The registry has nobody for us.
    Registered,
    /// Nobody was there to tell.
    Known,
}

impl Arguments {
    fn open(&self) -> Result<Discovery, Failed> {
        let mut settings = Settings { zone: self.zone.clone(), ..Settings::default() };
        if let Some(root) = &self.root {
            settings.root = Prefix::new(root);
        }
        let agents = match &self.socket {
            Some(socket) => Some(std::path::absolute(socket)?),
            None if self.root.is_some() || self.store.is_said() => None,
            None => is_served(AGENT_SOCKET.as_ref()).then(|| AGENT_SOCKET.into()),
        };
        match agents {
            Some(socket) => Ok(Discovery::connect_as(&format!("unix:{}", socket.display()), settings)?),
            None => Ok(Discovery::over(self.store.open()?.backend, settings)),
        }
    }

    /// The line that says why there is no answer.
    fn nothing(&self, discovery: &Discovery, why: Nothing) -> Failed {
        let role = self.role.as_ref().map(|role| format!(" with the role `{role}`")).unwrap_or_default();
        let name = &self.name;
        match why {
            Nothing::Registered => format!("no instance of `{name}`{role} is registered").into(),
            Nothing::Known => {
                let why = discovery.trouble().unwrap_or_else(|| "nobody has answered yet".to_owned());
                format!("nothing is known of `{name}`: {why}").into()
            }
        }
    }

    fn lines(&self, answer: &Answer) -> Vec<String> {
        answer.lines(self.format, &self.name, self.scheme.as_deref())
    }

    fn variables(&self, answer: &Answer) -> Vec<(String, String)> {
        answer.variables(&self.name, self.scheme.as_deref())
    }

    /// Prints a line for each answer, for as long as somebody reads them.
    async fn tell(&self, first: Answer, mut answers: Answers) -> Result<ExitCode, Failed> {
        let mut answer = Some(first);
        loop {
            // Nobody being left is a line, too.
            let line = answer.map_or(String::new(), |answer| self.lines(&answer).join(" "));
            match print(&[line]) {
                Err(why) if why.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                printed => printed?,
            }
            answer = answers.next().await;
        }
    }
}

/// The answers of a service, one after the other.
struct Answers {
    handle: Handle,
    changes: Changes,
    choice: Choice,
    /// The last, which may be that there is nobody.
    last: Option<Answer>,
    /// The last that named somebody.
    named: Option<Answer>,
}

impl Answers {
    fn of(handle: Handle, arguments: &Arguments) -> Answers {
        let choice = Choice { is_all: arguments.all, zone: arguments.zone.clone() };
        Answers { changes: handle.watch(), handle, choice, last: None, named: None }
    }

    /// The first answer, if there is one within `wait`; the registry is given a while even so.
    async fn first(&mut self, wait: Duration) -> Result<Answer, Nothing> {
        let (wait, patience) = (Instant::now() + wait, Instant::now() + wait.max(PATIENCE));
        loop {
            let is_known = self.handle.list().origin() != Origin::Nowhere;
            let until = if is_known { wait } else { patience };
            let Ok(Some(list)) = timeout_at(until, self.changes.next()).await else {
                return Err(if is_known { Nothing::Registered } else { Nothing::Known });
            };
            if let Some(answer) = self.answer(&list) {
                tell_age(&list);
                return Ok(answer);
            }
        }
    }

    /// The next answer that differs from the one before; none if there is nobody any more.
    async fn next(&mut self) -> Option<Answer> {
        loop {
            let Some(list) = self.changes.next().await else { return pending().await };
            let before = self.last.clone();
            let answer = self.answer(&list);
            if answer != before {
                return answer;
            }
        }
    }

    fn answer(&mut self, list: &List) -> Option<Answer> {
        let handle = &self.handle;
        let answer = self.choice.answer(list.instances(), self.named.as_ref(), || handle.pick());
        self.last.clone_from(&answer);
        if answer.is_some() {
            self.named.clone_from(&answer);
        }
        answer
    }
}

/// An answer may be old; who asks a shell is told so.
fn tell_age(list: &List) {
    if let Some(age) = list.age().filter(|age| !age.is_zero()) {
        let age = Duration::from_secs(age.as_secs());
        tracing::warn!(?age, "the registry does not answer; this is what was known");
    }
}

/// Whether an agent is there, and lets us in.
fn is_served(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            let socket = socket.display();
            tracing::warn!(%socket, "the agent lets in its group only; the registry is asked");
            false
        }
        Err(_) => false,
    }
}

fn print(lines: &[String]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(output, "{line}"))?;
    output.flush()
}

/// Gives the process to the command, with these variables; returns only if that cannot be.
fn become_command(command: &CommandLine, variables: &[(String, String)]) -> ExitCode {
    let mut process = std::process::Command::new(&command.program);
    process.args(&command.arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    not_started(&CommandNotStarted::new(&command.program, process.exec()))
}

fn not_started(why: &CommandNotStarted) -> ExitCode {
    eprintln!("waypost: {}", crate::chain(why));
    why.exit_code().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_slashes_around_it_and_is_not_empty() {
        assert_eq!(service_name("/shop/db/"), Ok("shop/db".to_owned()));
        assert!(service_name("").is_err() && service_name("/").is_err());
    }
}
