//! The word that it is time to stop, for everything that would go on for ever.

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tonic::Status;

use crate::error::Refusal;

/// Gives the word.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

/// Waits for it.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stopper {
    pub(crate) fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(receiver))
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns when it is time; also if nobody is left to say so. May be cancelled.
    pub(crate) async fn called(&mut self) {
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// The answers, until it is time: then one error that makes clients come back later.
    pub(crate) fn ends<T: Send + 'static>(
        self,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        stream::unfold(Some((answers.boxed(), self)), |going| async move {
            let (mut answers, mut stop) = going?;
            tokio::select! {
                answer = answers.next() => Some((answer?, Some((answers, stop)))),
                () = stop.called() => Some((Err(Refusal::Stopped.into()), None)),
            }
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_end_with_an_error_when_it_is_time() {
        let (stopper, stop) = Stopper::new();
        let mut answers = stop.ends(stream::iter([Ok(1)]).chain(stream::pending()));
        assert_eq!(answers.next().await.unwrap().unwrap(), 1);
        stopper.stop();
        let last = answers.next().await.unwrap().unwrap_err();
        assert_eq!((last.code(), last.message()), (tonic::Code::Unavailable, "etcdserver: server stopped"));
        assert!(answers.next().await.is_none());
    }

    #[tokio::test]
    async fn answers_that_end_by_themselves_end_well() {
        let (_stopper, stop) = Stopper::new();
        let answers: Vec<_> = stop.ends(stream::iter([Ok(1)])).collect().await;
        assert!(matches!(answers[..], [Ok(1)]));
    }
}
