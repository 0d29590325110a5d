//! The signals of the process: alone in its binary, since what is caught is caught for all of it.

use std::time::Duration;

use futures::StreamExt;
use rustix::process::{Signal as Os, getpid, kill_process};
use tokio::time::timeout;
use waypost_announce::{Signal, signals};

#[tokio::test]
async fn the_signals_of_the_process_arrive() {
    let mut caught = signals().unwrap();
    for (sent, expected) in [
        (Os::TERM, Signal::Term),
        (Os::USR1, Signal::Usr1),
        (Os::WINCH, Signal::Winch),
        (Os::CONT, Signal::Cont),
    ] {
        kill_process(getpid(), sent).unwrap();
        let arrived = timeout(Duration::from_secs(20), caught.next()).await;
        assert_eq!(arrived.expect("it is bound to arrive"), Some(expected));
    }
}
