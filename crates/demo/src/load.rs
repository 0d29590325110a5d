//! The load: requests through nginx, each on a connection of its own, and what came of each.
//!
//! A second task asks nginx what it runs with: often while a change is on its way, seldom otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinSet;
use waypost_model::Endpoint;

use crate::client::{Response, get};
use crate::nginx;
use crate::records::{Answer, Event, Stamped};

/// How long a request may take. Never reached but on a machine that stands still: speed is no concern here.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How often nginx is asked what it runs with: while a change is on its way, which is how exact the time of
/// its arrival is, and otherwise.
const PROBE_EVERY: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(100));

/// How many ask at once, and how long each waits between an answer and the next request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) workers: usize,
    pub(crate) pause: Duration,
}

impl Pace {
    /// About 200 requests a second.
    pub(crate) const SCRIPT: Pace = Pace { workers: 4, pause: Duration::from_millis(18) };
    /// About 20 requests a second.
    pub(crate) const GENTLE: Pace = Pace { workers: 1, pause: Duration::from_millis(48) };
}

/// A load that is under way. Dropping it breaks requests off.
#[derive(Debug)]
pub(crate) struct Load {
    workers: JoinSet<()>,
    is_over: watch::Sender<bool>,
}

impl Load {
    /// Starts to ask `nginx`; what comes of it goes to `events`.
    pub(crate) fn start(nginx: SocketAddr, pace: Pace, events: &UnboundedSender<Stamped>) -> Load {
        let (is_over, over) = watch::channel(false);
        let mut workers = JoinSet::new();
        for _ in 0..pace.workers {
            workers.spawn(work(nginx, pace.pause, events.clone(), over.clone()));
        }
        Load { workers, is_over }
    }

    /// Asks for nothing more, and waits for the answers that are due.
    pub(crate) async fn finish(mut self) {
        self.is_over.send_replace(true);
        while self.workers.join_next().await.is_some() {}
    }
}

async fn work(
    nginx: SocketAddr,
    pause: Duration,
    events: UnboundedSender<Stamped>,
    mut over: watch::Receiver<bool>,
) {
    while !*over.borrow() {
        let answer = get(nginx, "/", ANSWER_WITHIN).await.and_then(|response| judge(&response));
        let answer = answer.unwrap_or_else(|why| Answer::Lost { why });
        if events.send(Stamped::now(Event::Answer(answer))).is_err() {
            return;
        }
        // Not in step with each other.
        let pause = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        let _ = tokio::time::timeout(pause, over.wait_for(|is_over| *is_over)).await;
    }
}

fn judge(response: &Response) -> Result<Answer, String> {
    let Response { status, headers, .. } = response;
    if !status.is_success() {
        return Err(format!("nginx answers {status}"));
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let by: Option<Endpoint> = header(nginx::HANDLER).and_then(|by| by.parse().ok());
    let by = by.ok_or("the answer does not say whose it is")?;
    let asked = header(nginx::ASKED).map_or(1, |asked| asked.split(',').count());
    Ok(Answer::Served { by, passed_on: asked - 1 })
}

/// Tells `events` what nginx runs with, until nobody listens.
pub(crate) async fn probe(
    nginx: SocketAddr,
    events: UnboundedSender<Stamped>,
    mut is_change_under_way: watch::Receiver<bool>,
) {
    let (often, seldom) = PROBE_EVERY;
    loop {
        // An nginx that does not answer is seen by the load as well, and counts there.
        if let Ok(upstreams) = nginx::listed(nginx).await
            && events.send(Stamped::now(Event::Nginx(upstreams))).is_err()
        {
            return;
        }
        tokio::time::sleep(often).await;
        if !*is_change_under_way.borrow() {
            let _ = tokio::time::timeout(seldom, is_change_under_way.wait_for(|is_so| *is_so)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode};

    use super::*;

    fn response(status: u16, headers: &[(&'static str, &'static str)]) -> Response {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Response { status: StatusCode::from_u16(status).unwrap(), headers, body: "".into() }
    }

    #[test]
    fn an_answer_counts_for_the_service_that_it_names() {
        let asked = "127.0.0.1:1, 127.0.0.1:2";
        let answer = judge(&response(200, &[("x-handler", "127.0.0.1:2"), ("x-asked", asked)]));
        let by = Endpoint::new("127.0.0.1", 2);
        assert_eq!(answer, Ok(Answer::Served { by, passed_on: 1 }));
    }

    #[test]
    fn anything_but_a_services_answer_is_lost() {
        assert_eq!(judge(&response(502, &[])), Err("nginx answers 502 Bad Gateway".to_owned()));
        assert_eq!(judge(&response(200, &[])), Err("the answer does not say whose it is".to_owned()));
    }
}
