//! Signals: which ones are told apart, and where they come from.
//!
//! What they cause is in `machine.rs`; how they reach a wrapped command, in `command.rs`.

use std::{fmt, io};

use futures::stream::{self, BoxStream, StreamExt};
use tokio::signal::unix::{SignalKind, signal};

/// A signal that an announcer passes on or obeys.
///
/// SIGKILL and SIGSTOP cannot be caught, SIGTSTP is left to the terminal, and the others report faults or
/// children of the process itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM: what supervisors stop a process with.
    Term,
    /// SIGINT: Ctrl-C.
    Int,
    /// SIGHUP: the terminal is gone, or "read your files again".
    Hup,
    /// SIGQUIT: Ctrl-\, nginx's graceful stop, or a JVM's thread dump.
    Quit,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH: the terminal's size changed.
    Winch,
    /// SIGCONT: go on after a stop.
    Cont,
}

impl Signal {
    /// Every signal that is caught.
    pub const ALL: [Signal; 8] = [
        Signal::Term,
        Signal::Int,
        Signal::Hup,
        Signal::Quit,
        Signal::Usr1,
        Signal::Usr2,
        Signal::Winch,
        Signal::Cont,
    ];

    pub(crate) fn to_os(self) -> rustix::process::Signal {
        use rustix::process::Signal as Os;
        match self {
            Signal::Term => Os::TERM,
            Signal::Int => Os::INT,
            Signal::Hup => Os::HUP,
            Signal::Quit => Os::QUIT,
            Signal::Usr1 => Os::USR1,
            Signal::Usr2 => Os::USR2,
            Signal::Winch => Os::WINCH,
            Signal::Cont => Os::CONT,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Term => "SIGTERM",
            Signal::Int => "SIGINT",
            Signal::Hup => "SIGHUP",
            Signal::Quit => "SIGQUIT",
            Signal::Usr1 => "SIGUSR1",
            Signal::Usr2 => "SIGUSR2",
            Signal::Winch => "SIGWINCH",
            Signal::Cont => "SIGCONT",
        })
    }
}

/// The signals that this process gets from now on.
///
/// From the first call on none of [`Signal::ALL`] has its default effect on the process any more, even
/// when the stream is dropped: so it is for [`announce`](crate::announce()), which obeys them. Of several
/// equal signals in quick succession one may be all that is seen, as with signals in general.
///
/// What the process was started to ignore (SIGHUP by `nohup`, SIGINT by a script's `&`) stays ignored, by a
/// wrapped command as well.
///
/// # Errors
///
/// The system's, if a handler cannot be installed.
///
/// # Panics
///
/// Outside of a Tokio runtime with I/O enabled.
pub fn signals() -> io::Result<BoxStream<'static, Signal>> {
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    let wanted = Signal::ALL.into_iter().filter(|signal| !ignored.contains(signal));
    let each = wanted.map(arrivals).collect::<io::Result<Vec<_>>>()?;
    Ok(stream::select_all(each).boxed())
}

/// What a process ignores, by its `/proc/PID/status`: the line `SigIgn` is a mask in hexadecimal digits
/// whose lowest bit is signal 1 (proc_pid_status(5)). Nothing if it cannot be told.
pub(crate) fn ignored(status: &str) -> Vec<Signal> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    let is_ignored = |signal: &Signal| mask >> (signal.to_os().as_raw() - 1) & 1 == 1;
    Signal::ALL.into_iter().filter(is_ignored).collect()
}

fn arrivals(which: Signal) -> io::Result<BoxStream<'static, Signal>> {
    let caught = signal(SignalKind::from_raw(which.to_os().as_raw()))?;
    let next = move |mut caught: tokio::signal::unix::Signal| async move {
        caught.recv().await.map(|()| (which, caught))
    };
    Ok(stream::unfold(caught, next).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\tsh\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000007\n";
        assert_eq!(ignored(status), [Signal::Int, Signal::Hup, Signal::Quit]);
        assert_eq!(ignored(""), []);
    }
}
