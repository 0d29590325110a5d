//! Asks a store again that did not answer: for single reads, which have no Mirror to do it for them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use waypost_model::{Batch, Position, Prefix, Snapshot};

use crate::{Audit, Backend, Backoff, Error, ErrorKind, Result};

/// A store whose snapshots are asked for more than once.
#[derive(Debug)]
pub struct Patient {
    store: Arc<dyn Backend>,
    attempts: u32,
    pause: (Duration, Duration),
    timeout: Duration,
}

impl Patient {
    /// Asks `store` `attempts` times, with pauses from the first of `pause` to the second between, and waits
    /// for each answer no longer than `timeout`. Only what may succeed by itself is asked again.
    pub fn new(
        store: Arc<dyn Backend>,
        attempts: u32,
        pause: (Duration, Duration),
        timeout: Duration,
    ) -> Patient {
        Patient { store, attempts, pause, timeout }
    }

    async fn ask(&self, prefixes: &[Prefix]) -> Result<Snapshot> {
        let answer = tokio::time::timeout(self.timeout, self.store.snapshot(prefixes)).await;
        answer.unwrap_or_else(|_| {
            let why = format!("no answer within {:?}", self.timeout);
            Err(Error::new(ErrorKind::Unavailable, "store", "read", "its keys").because(why))
        })
    }
}

impl Backend for Patient {
    fn snapshot<'a>(&'a self, prefixes: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>> {
        async move {
            let (base, cap) = self.pause;
            let mut backoff = Backoff::new(base, cap, fastrand::Rng::new());
            for _ in 1..self.attempts {
                match self.ask(prefixes).await {
                    Err(error) if error.is_transient() => {
                        tracing::debug!(error = error.chain(), "asking again");
                        let now = tokio::time::Instant::now();
                        tokio::time::sleep(backoff.failed(now.into_std())).await;
                    }
                    answer => return answer,
                }
            }
            self.ask(prefixes).await
        }
        .boxed()
    }

    fn watch(&self, prefixes: &[Prefix], after: Position) -> BoxStream<'static, Result<Batch>> {
        self.store.watch(prefixes, after)
    }

    fn audit<'a>(&'a self, prefixes: &'a [Prefix], since: Position) -> BoxFuture<'a, Result<Option<Audit>>> {
        self.store.audit(prefixes, since)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future;
    use futures::stream::{self, StreamExt};
    use waypost_model::Exactness;

    use super::*;

    /// Fails so many times, with this kind of error; then is empty. `None` never answers.
    #[derive(Debug)]
    struct Failing(u32, Option<ErrorKind>, AtomicU32);

    impl Backend for Failing {
        fn snapshot<'a>(&'a self, _: &'a [Prefix]) -> BoxFuture<'a, Result<Snapshot>> {
            if self.2.fetch_add(1, Ordering::Relaxed) >= self.0 {
                let entries = BTreeMap::new();
                let snapshot = Snapshot { position: Position::fixed(), exactness: Exactness::Exact, entries };
                return future::ready(Ok(snapshot)).boxed();
            }
            match self.1 {
                Some(kind) => future::ready(Err(Error::new(kind, "test", "read", "/"))).boxed(),
                None => future::pending().boxed(),
            }
        }

        fn watch(&self, _: &[Prefix], _: Position) -> BoxStream<'static, Result<Batch>> {
            stream::pending().boxed()
        }
    }

    async fn asked(failures: u32, kind: Option<ErrorKind>) -> (bool, u32) {
        let store = Arc::new(Failing(failures, kind, AtomicU32::new(0)));
        let second = Duration::from_secs(1);
        let patient = Patient::new(Arc::clone(&store) as _, 3, (second, second * 4), second * 30);
        (patient.snapshot(&[]).await.is_ok(), store.2.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_succeed_by_itself_is_asked_again_so_many_times() {
        assert_eq!(asked(2, Some(ErrorKind::Unavailable)).await, (true, 3));
        assert_eq!(asked(9, Some(ErrorKind::Unavailable)).await, (false, 3));
        assert_eq!(asked(2, None).await, (true, 3), "silence is a failure too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not() {
        assert_eq!(asked(2, Some(ErrorKind::Denied)).await, (false, 1));
    }
}
