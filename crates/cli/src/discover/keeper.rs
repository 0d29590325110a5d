//! A command that is started again when the answer changes: what is done when. Events go in, actions come out.

use waypost_announce::Signal;

/// What happened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// There is another answer than the one that the command was started with.
    Changed,
    /// We got a signal.
    Told(Signal),
    /// The command ended, with this exit code.
    Ended(u8),
    /// The command takes too long to end.
    Late,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Pass a signal on to the command.
    Tell(Signal),
    Kill,
    /// Start the command with the newest answer.
    Start,
    /// End with this exit code.
    Exit(u8),
}

/// Decides; a command runs all the time between a start and its end.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// The command was told to end because of a change.
    is_restarting: bool,
    /// We were told to end.
    is_stopping: bool,
}

impl Keeper {
    /// Whether the command is waited for, to start it again.
    pub(super) fn is_restarting(&self) -> bool {
        self.is_restarting
    }

    pub(super) fn step(&mut self, event: Event) -> Option<Action> {
        match event {
            // The start to come takes the newest.
            Event::Changed if self.is_restarting || self.is_stopping => None,
            Event::Changed => {
                self.is_restarting = true;
                Some(Action::Tell(Signal::Term))
            }
            Event::Told(signal) => {
                self.is_stopping |= matches!(signal, Signal::Term | Signal::Int | Signal::Quit);
                Some(Action::Tell(signal))
            }
            Event::Ended(_) if self.is_restarting && !self.is_stopping => {
                self.is_restarting = false;
                Some(Action::Start)
            }
            Event::Ended(code) => Some(Action::Exit(code)),
            Event::Late => self.is_restarting.then_some(Action::Kill),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_ends_the_command_and_starts_it_once_more_however_many_there_were() {
        let mut keeper = Keeper::default();
        assert_eq!(keeper.step(Event::Changed), Some(Action::Tell(Signal::Term)));
        assert_eq!(keeper.step(Event::Changed), None);
        assert_eq!(keeper.step(Event::Late), Some(Action::Kill));
        assert_eq!(keeper.step(Event::Ended(143)), Some(Action::Start));
        assert_eq!(keeper.step(Event::Late), None);
        assert_eq!(keeper.step(Event::Changed), Some(Action::Tell(Signal::Term)));
    }

    #[test]
    fn a_command_that_ends_by_itself_is_the_end() {
        assert_eq!(Keeper::default().step(Event::Ended(7)), Some(Action::Exit(7)));
    }

    #[test]
    fn who_is_told_to_stop_does_not_start_again() {
        let mut keeper = Keeper::default();
        keeper.step(Event::Changed);
        assert_eq!(keeper.step(Event::Told(Signal::Int)), Some(Action::Tell(Signal::Int)));
        assert_eq!(keeper.step(Event::Ended(130)), Some(Action::Exit(130)));
        let mut keeper = Keeper::default();
        keeper.step(Event::Told(Signal::Term));
        assert_eq!(keeper.step(Event::Changed), None, "its end is near anyway");
    }

    #[test]
    fn a_signal_that_stops_nothing_is_only_passed_on() {
        let mut keeper = Keeper::default();
        assert_eq!(keeper.step(Event::Told(Signal::Hup)), Some(Action::Tell(Signal::Hup)));
        keeper.step(Event::Changed);
        assert_eq!(keeper.step(Event::Ended(143)), Some(Action::Start));
    }
}
