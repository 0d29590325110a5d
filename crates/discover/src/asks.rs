//! Asks the registry once for all who want to know the same at the same time.
//!
//! When a server dies, all connections to it fail in one moment. One of those who lost them asks, the others wait
//! for the next answer: nobody gets one to a question that was put before their own, and there is never more than
//! one question under way.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use waypost_model::Service;

use crate::shared::Ask;

/// The questions for one service.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// How many were put.
    put: AtomicU64,
    /// The newest answer, with the number of its question. Who holds it, asks.
    newest: Mutex<Option<(u64, Answer)>>,
}

type Answer = Result<Service, String>;

impl Asks {
    /// What the registry answers to a question that is put from now on. May be dropped at any time.
    pub(crate) async fn ask(&self, asker: &dyn Ask, name: &str) -> Answer {
        let before = self.put.load(Ordering::SeqCst);
        let mut newest = self.newest.lock().await;
        if let Some((number, answer)) = &*newest
            && *number > before
        {
            return answer.clone();
        }
        let number = self.put.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = asker.ask(name).await;
        *newest = Some((number, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::future::{BoxFuture, FutureExt, join_all};
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A registry that takes a second to answer with how often it was asked.
    #[derive(Debug, Default)]
    struct Registry(AtomicU64);

    impl Ask for Registry {
        fn ask<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Answer> {
            async move {
                let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
                sleep(SECOND).await;
                Ok(Service { name: number.to_string(), instances: Vec::new() })
            }
            .boxed()
        }
    }

    async fn number(asks: &Asks, registry: &Registry) -> String {
        asks.ask(registry, "db").await.expect("it answers").name
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_lost_their_connections_put_two_questions() {
        let (asks, registry) = (Asks::default(), Registry::default());
        let first = number(&asks, &registry);
        let others = async {
            sleep(SECOND / 2).await;
            join_all((0..1000).map(|_| number(&asks, &registry))).await
        };
        let (first, others) = tokio::join!(first, others);
        assert_eq!(first, "1");
        assert!(others.iter().all(|number| number == "2"), "the answer before was to an older question");
        assert_eq!(number(&asks, &registry).await, "3");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_the_question_to_the_next() {
        let (asks, registry) = (Arc::new(Asks::default()), Arc::new(Registry::default()));
        let impatient = timeout(SECOND / 2, asks.ask(&*registry, "db"));
        let patient = async {
            sleep(SECOND / 4).await;
            number(&asks, &registry).await
        };
        let (impatient, patient) = tokio::join!(impatient, patient);
        assert!(impatient.is_err());
        assert_eq!(patient, "2");
    }
}
