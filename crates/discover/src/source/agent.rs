//! The local agent as the source: its stream of events, over its Unix socket.
//!
//! The agent keeps its answers while the registry is away, and says how old they are; while the agent itself
//! is away, what was known here stays, and ages.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep, timeout};
use waypost_backend::Backoff;
use waypost_model::{Instance, Service};

use super::client::{self, Answer, encoded};
use super::events::{Event, Parser};
use crate::freshness::Freshness;
use crate::shared::{Ask, Shared};

/// The agent says something every 5 s; one that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(15);

/// The shortest and the longest wait before the agent is asked again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why what the agent says is old.
const AWAY: &str = "the agent's registry does not answer, or is not believed";

/// The agent of this host.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
}

impl Ask for Agent {
    fn ask<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, String>> {
        async move {
            let mut answer = client::get(&self.socket, &format!("/v1/services/{}", encoded(name))).await?;
            let json = serde_json::from_slice(&answer.body().await?).map_err(|error| error.to_string())?;
            service(&json)
        }
        .boxed()
    }
}

impl Agent {
    /// Follows the services that are asked for, as long as it is polled.
    pub(crate) async fn follow(self, shared: Arc<Shared>) {
        let mut wanted = shared.wanted.subscribe();
        let mut backoff = Backoff::new(RETRY.0, RETRY.1, shared.random());
        loop {
            let names = wanted.borrow_and_update().clone();
            let why = tokio::select! {
                why = self.listen(&names, &shared, &mut backoff) => why,
                // Another connection for all of them begins with what they are now, so that nothing is
                // missed.
                _ = wanted.changed() => continue,
            };
            shared.lose(why);
            let pause = backoff.failed(Instant::now().into_std());
            tokio::select! {
                () = sleep(pause) => {}
                _ = wanted.changed() => {}
            }
        }
    }

    /// Takes in events until they end; gives the reason.
    async fn listen(&self, names: &BTreeSet<String>, shared: &Shared, backoff: &mut Backoff) -> String {
        if names.is_empty() {
            return std::future::pending().await;
        }
        let names: Vec<String> = names.iter().map(|name| format!("service={}", encoded(name))).collect();
        let path = format!("/v1/events?{}", names.join("&"));
        let mut answer = match timeout(SILENCE, client::get(&self.socket, &path)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return why,
            Err(_) => return self.silent(),
        };
        let (mut parser, mut teller) = (Parser::default(), Teller { shared, is_away: false });
        loop {
            match self.next(&mut answer, &mut parser).await {
                Ok(events) => {
                    backoff.succeeded();
                    for event in events {
                        teller.take(&event);
                    }
                }
                Err(why) => return why,
            }
        }
    }

    async fn next(&self, answer: &mut Answer, parser: &mut Parser) -> Result<Vec<Event>, String> {
        match timeout(SILENCE, answer.next()).await {
            Err(_) => Err(self.silent()),
            Ok(Err(why)) => Err(format!("the agent at {} has gone: {why}", self.socket.display())),
            Ok(Ok(None)) => Err(format!("the agent at {} has gone", self.socket.display())),
            Ok(Ok(Some(bytes))) => parser.take(&bytes),
        }
    }

    fn silent(&self) -> String {
        format!("the agent at {} says nothing any more", self.socket.display())
    }
}

/// Passes on what the agent says on one connection.
struct Teller<'a> {
    shared: &'a Shared,
    /// The agent has said that its registry is away, and not yet that it is back.
    is_away: bool,
}

impl Teller<'_> {
    fn take(&mut self, event: &Event) {
        let json: Json = match serde_json::from_str(&event.data) {
            Ok(json) => json,
            Err(why) => return tracing::warn!(event = event.name, %why, "the agent says what is no JSON"),
        };
        match &*event.name {
            "service" => match service(&json) {
                Ok(service) => {
                    self.hear(&json);
                    self.shared.learn([(service.name.clone(), service)].into());
                }
                Err(why) => tracing::warn!(%why, "the agent says what is no service"),
            },
            "registry" => {
                self.is_away = !is_reachable(&json);
                self.hear(&json);
            }
            // A later agent may say more.
            _ => {}
        }
    }

    /// Takes how old the agent says its answers are. That one service is believed says nothing of the others, as
    /// long as the registry as a whole is not.
    fn hear(&self, json: &Json) {
        if !is_reachable(json) {
            let age = json.get("age_seconds").and_then(Json::as_f64).unwrap_or(0.0);
            let age = Duration::try_from_secs_f64(age).unwrap_or_default();
            self.shared.set_trouble(AWAY.to_owned());
            self.shared.set_freshness(Freshness::Aging { age, then: Instant::now() });
        } else if !self.is_away {
            self.shared.set_freshness(Freshness::Fresh);
        }
    }
}

fn is_reachable(json: &Json) -> bool {
    json.get("reachable").and_then(Json::as_bool).unwrap_or(false)
}

/// The document of one service.
fn service(json: &Json) -> Result<Service, String> {
    let name = json.get("name").and_then(Json::as_str).ok_or("`name` is missing")?;
    let instances = json.get("instances").and_then(Json::as_array).ok_or("`instances` is missing")?;
    let instances = instances.iter().map(Instance::from_json).collect::<Result<_, _>>();
    let instances = instances.map_err(|error| error.to_string())?;
    Ok(Service { name: name.to_owned(), instances })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Settings;

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_believed_makes_no_other_young() {
        let shared = Shared::new(Settings::default(), Arc::new(Agent { socket: PathBuf::new() }));
        let mut teller = Teller { shared: &shared, is_away: false };
        let mut age_after = |name: &str, data: Json| {
            teller.take(&Event { name: name.to_owned(), data: data.to_string() });
            shared.freshness.load().age(Instant::now()).map(|age| age.as_secs())
        };
        let service = |name: &str, is_reachable: bool| {
            let age = if is_reachable { 0.0 } else { 3600.0 };
            json!({ "name": name, "reachable": is_reachable, "age_seconds": age, "instances": [] })
        };
        assert_eq!(age_after("service", service("web", true)), Some(0));
        assert_eq!(age_after("service", service("db", false)), Some(3600));
        let away = json!({ "reachable": false, "age_seconds": 3600.0 });
        assert_eq!(age_after("registry", away), Some(3600));
        assert_eq!(age_after("service", service("web", true)), Some(3600), "the database is still that old");
        assert_eq!(age_after("registry", json!({ "reachable": true, "age_seconds": 0.0 })), Some(0));
        assert_eq!(shared.trouble(), None);
    }
}
