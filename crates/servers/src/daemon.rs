//! One process that serves on one loopback port: what small servers have in common.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::process::{Process, Signal};
use crate::wait::poll;
use crate::{Outcome, Ports, Scratch, Storage, must};

/// How long a server may take to listen, or to end.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long one attempt at connecting on the loopback may take.
const CONNECT: Duration = Duration::from_secs(1);

/// A server with a directory and a port of its own, running or not.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    port: u16,
    process: Mutex<Option<Process>>,
    scratch: Scratch,
}

impl Daemon {
    /// A server that has not been started yet.
    pub(crate) fn new(name: &'static str) -> Daemon {
        let scratch = Scratch::new(name, Storage::Memory);
        Daemon { name, port: Ports::free(), process: Mutex::new(None), scratch }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Starts `command` unless it runs already, and waits until `is_ready`.
    pub(crate) fn launch(&self, command: &Command, is_ready: impl Fn(&Process) -> bool) -> Outcome<()> {
        if self.is_running() {
            return Ok(());
        }
        let log = self.scratch.join("output.log");
        let process = Process::try_start(self.name, command, &log, Signal::KILL)?;
        let ready = poll(DEADLINE, || match (is_ready(&process), process.is_running()) {
            (_, false) => Some(Err("ended at once".to_owned())),
            (true, true) => Some(Ok(())),
            (false, true) => None,
        });
        let ready = ready.unwrap_or_else(|| Err(format!("is not ready after {DEADLINE:?}")));
        ready.map_err(|why| format!("{} {why}\n{}", self.name, process.log_tail()))?;
        *self.lock() = Some(process);
        Ok(())
    }

    /// True when somebody listens on the port: until then it is reserved, and nobody else can.
    pub(crate) fn listens(&self) -> bool {
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], self.port)), CONNECT).is_ok()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(Process::is_running)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Process::pid)
    }

    pub(crate) fn pause(&self) {
        self.with(Process::pause);
    }

    pub(crate) fn resume(&self) {
        self.with(Process::resume);
    }

    pub(crate) fn kill(&self) {
        drop(self.lock().take());
    }

    /// Asks it to end with `signal`, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(&self, signal: Signal) {
        if let Some(process) = self.lock().take() {
            process.signal(signal);
            process.wait(DEADLINE);
        }
    }

    fn with(&self, act: impl FnOnce(&Process)) {
        if let Some(process) = self.lock().as_ref() {
            act(process);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a server that is no more than a [`Daemon`] its public functions; it brings `fn command(&self)` and
/// `fn is_ready(&self, &Process) -> bool`.
macro_rules! daemon {
    ($server:ident) => {
        impl $server {
            /// The port it listens on.
            pub fn port(&self) -> u16 {
                self.daemon.port()
            }

            /// Its address, as `127.0.0.1:port`.
            pub fn endpoint(&self) -> String {
                format!("127.0.0.1:{}", self.port())
            }

            /// True while it runs.
            pub fn is_running(&self) -> bool {
                self.daemon.is_running()
            }

            /// Starts it again on the same port; one that runs is left alone.
            ///
            /// # Panics
            ///
            /// When it does not start; the message shows its log.
            #[track_caller]
            pub fn start_again(&self) {
                $crate::must(self.try_start());
            }

            /// Stops it in its tracks (SIGSTOP): it accepts connections and never speaks, until `resume`.
            pub fn pause(&self) {
                self.daemon.pause();
            }

            /// Continues what `pause` stopped.
            pub fn resume(&self) {
                self.daemon.resume();
            }

            fn try_start(&self) -> $crate::Outcome<()> {
                self.daemon.launch(&self.command()?, |process| self.is_ready(process))
            }
        }
    };
}
pub(crate) use daemon;

/// Starts what was prepared, blaming the caller's line.
#[track_caller]
pub(crate) fn started<T>(server: T, start: impl FnOnce(&T) -> Outcome<()>) -> T {
    must(start(&server));
    server
}
