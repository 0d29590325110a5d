//! What was seen: events and their times go in, news come out, and everything is kept for the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use waypost_model::Endpoint;

use crate::agent::Said;
use crate::changes::{Change, Changes, Kind};

/// So many answers in a row make what nginx runs certain: workers that are about to end answer too.
const AGREEING: usize = 3;

/// A lost request is told of once in this time: what one of them says, the next ones say too.
const LOST_ONCE_PER: Duration = Duration::from_secs(1);

/// Who is registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    /// Each with its name, and the revision that wrote it.
    pub(crate) services: BTreeMap<Endpoint, (String, u64)>,
    /// The registry's.
    pub(crate) revision: u64,
}

/// What somebody saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Who is registered now, or still.
    Registry(Picture),
    /// The registry does not answer.
    RegistryAway(String),
    /// A line of the agent's log.
    Agent(Said),
    /// What nginx runs with.
    Nginx(BTreeSet<Endpoint>),
    /// A request of the load, answered or not.
    Answer(Answer),
}

/// An event, and when it was seen.
#[derive(Debug)]
pub(crate) struct Stamped {
    pub(crate) at: Instant,
    pub(crate) event: Event,
}

impl Stamped {
    pub(crate) fn now(event: Event) -> Stamped {
        Stamped { at: Instant::now(), event }
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A service answered 200.
    Served {
        by: Endpoint,
        /// How many were asked before it.
        passed_on: usize,
    },
    /// Nobody did.
    Lost { why: String },
}

/// A request that nobody answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) at: Instant,
    pub(crate) why: String,
    /// True if a service was there that could have answered.
    pub(crate) could_be_kept: bool,
}

/// What is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Came(Change),
    Went(Change),
    Arrived(Change),
    RegistryAway(String),
    RegistryBack,
    Agent { what: String, why: Option<String> },
    Lost(Lost),
}

/// A service's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Share {
    /// The requests that it answered.
    pub(crate) served: u64,
    /// All requests that were answered while nginx had it.
    pub(crate) of: u64,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) changes: Changes,
    /// Everybody who was ever registered.
    names: BTreeMap<Endpoint, String>,
    /// The same in the order in which they came.
    order: Vec<Endpoint>,
    /// Who is registered.
    pub(crate) registered: BTreeSet<Endpoint>,
    is_registry_away: bool,
    /// What the agent complained of last: while it goes on it is not told again.
    trouble: Option<String>,
    in_nginx: BTreeSet<Endpoint>,
    agreeing: usize,
    pub(crate) shares: BTreeMap<Endpoint, Share>,
    /// The requests that each answered since nginx runs with what it does.
    pub(crate) lately: BTreeMap<Endpoint, u64>,
    pub(crate) passed_on: u64,
    pub(crate) lost: Vec<Lost>,
    told_lost: Option<Instant>,
}

impl Records {
    /// Takes in what was seen. `is_anybody_there`: a service was up that could answer.
    pub(crate) fn take(&mut self, seen: Stamped, is_anybody_there: bool) -> Vec<News> {
        let Stamped { at, event } = seen;
        match event {
            Event::Registry(picture) => self.registered(picture, at),
            Event::RegistryAway(why) => {
                let is_news = !std::mem::replace(&mut self.is_registry_away, true);
                if is_news { vec![News::RegistryAway(why)] } else { Vec::new() }
            }
            Event::Agent(said) => self.agent(said, at),
            Event::Nginx(upstreams) => {
                self.in_nginx(upstreams, at);
                Vec::new()
            }
            Event::Answer(Answer::Served { by, passed_on }) => {
                self.served(by, passed_on);
                Vec::new()
            }
            Event::Answer(Answer::Lost { why }) => {
                self.lost(Lost { at, why, could_be_kept: is_anybody_there }).into_iter().collect()
            }
        }
    }

    /// True while the registry does not answer us.
    pub(crate) fn is_registry_away(&self) -> bool {
        self.is_registry_away
    }

    /// What nginx runs with, if that is certain.
    pub(crate) fn certainly_in_nginx(&self) -> Option<&BTreeSet<Endpoint>> {
        (self.agreeing >= AGREEING).then_some(&self.in_nginx)
    }

    /// What nginx ran with when it was asked last.
    pub(crate) fn last_in_nginx(&self) -> &BTreeSet<Endpoint> {
        &self.in_nginx
    }

    /// How many requests were answered.
    pub(crate) fn served_in_all(&self) -> u64 {
        self.shares.values().map(|share| share.served).sum()
    }

    /// What somebody is called.
    pub(crate) fn name(&self, endpoint: &Endpoint) -> String {
        self.names.get(endpoint).cloned().unwrap_or_else(|| endpoint.to_string())
    }

    /// Everybody who was ever registered, in the order in which they came.
    pub(crate) fn order(&self) -> impl Iterator<Item = &Endpoint> {
        self.order.iter()
    }

    fn registered(&mut self, picture: Picture, at: Instant) -> Vec<News> {
        let mut news = Vec::new();
        if std::mem::take(&mut self.is_registry_away) {
            news.push(News::RegistryBack);
        }
        self.registered = picture.services.keys().cloned().collect();
        for change in self.changes.registered(picture, at) {
            if change.kind == Kind::Went {
                news.push(News::Went(change));
                continue;
            }
            if self.names.insert(change.endpoint.clone(), change.name.clone()).is_none() {
                self.order.push(change.endpoint.clone());
            }
            news.push(News::Came(change));
        }
        news
    }

    fn agent(&mut self, said: Said, at: Instant) -> Vec<News> {
        match said {
            Said::Applied { revision } => {
                self.trouble = None;
                self.changes.applied(revision, at);
            }
            Said::Reloaded => self.changes.reloaded(at),
            Said::Trouble { what, why } => {
                let is_news = self.trouble.replace(what.clone()).is_none_or(|before| before != what);
                return if is_news { vec![News::Agent { what, why }] } else { Vec::new() };
            }
        }
        Vec::new()
    }

    fn in_nginx(&mut self, upstreams: BTreeSet<Endpoint>, at: Instant) {
        if upstreams == self.in_nginx {
            self.agreeing += 1;
        } else {
            self.agreeing = 1;
            self.in_nginx.clone_from(&upstreams);
            self.lately.clear();
        }
        self.changes.in_nginx(upstreams, at);
    }

    fn lost(&mut self, lost: Lost) -> Option<News> {
        let is_news = self.told_lost.is_none_or(|told| lost.at >= told + LOST_ONCE_PER);
        self.lost.push(lost.clone());
        is_news.then(|| {
            self.told_lost = Some(lost.at);
            News::Lost(lost)
        })
    }

    fn served(&mut self, by: Endpoint, passed_on: usize) {
        self.passed_on += u64::from(passed_on > 0);
        for endpoint in &self.in_nginx {
            self.shares.entry(endpoint.clone()).or_default().of += 1;
        }
        self.shares.entry(by.clone()).or_default().served += 1;
        *self.lately.entry(by).or_default() += 1;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 127.0.0.1 and a port that is the number.
    pub(crate) fn endpoint(number: u16) -> Endpoint {
        Endpoint::new("127.0.0.1", number)
    }

    /// The registry at a revision: names, numbers of their endpoints, and revisions that wrote them.
    pub(crate) fn picture(revision: u64, services: &[(&str, u16, u64)]) -> Picture {
        let entry = |(name, number, revision): &(&str, u16, u64)| {
            (endpoint(*number), ((*name).to_owned(), *revision))
        };
        Picture { services: services.iter().map(entry).collect(), revision }
    }

    pub(crate) fn served(by: u16) -> Stamped {
        Stamped::now(Event::Answer(Answer::Served { by: endpoint(by), passed_on: 0 }))
    }

    pub(crate) fn in_nginx(numbers: &[u16]) -> Stamped {
        Stamped::now(Event::Nginx(numbers.iter().copied().map(endpoint).collect()))
    }

    #[test]
    fn what_nginx_runs_is_certain_once_it_said_so_several_times() {
        let mut records = Records::default();
        for _ in 0..AGREEING {
            assert_eq!(records.certainly_in_nginx(), None);
            records.take(in_nginx(&[1]), true);
        }
        assert_eq!(records.certainly_in_nginx(), Some(&[endpoint(1)].into()));
        records.take(in_nginx(&[1, 2]), true);
        assert_eq!(records.certainly_in_nginx(), None);
    }

    #[test]
    fn shares_are_of_the_requests_while_nginx_had_the_service() {
        let mut records = Records::default();
        records.take(in_nginx(&[1]), true);
        records.take(served(1), true);
        records.take(in_nginx(&[1, 2]), true);
        records.take(served(1), true);
        records.take(served(2), true);
        assert_eq!(records.shares[&endpoint(1)], Share { served: 2, of: 3 });
        assert_eq!(records.shares[&endpoint(2)], Share { served: 1, of: 2 });
        assert_eq!(records.lately, [(endpoint(1), 1), (endpoint(2), 1)].into());
    }

    #[test]
    fn the_agents_complaint_is_told_again_only_after_it_did_something() {
        let mut records = Records::default();
        let trouble = || Said::Trouble { what: "held".to_owned(), why: None };
        let mut take = |said| records.take(Stamped::now(Event::Agent(said)), true).len();
        assert_eq!([take(trouble()), take(trouble())], [1, 0]);
        assert_eq!([take(Said::Applied { revision: 1 }), take(trouble())], [0, 1]);
    }

    #[test]
    fn a_registry_that_is_away_is_news_once_and_so_is_its_return() {
        let mut records = Records::default();
        let away = || Stamped::now(Event::RegistryAway("refused".to_owned()));
        assert_eq!(records.take(away(), true), [News::RegistryAway("refused".to_owned())]);
        assert_eq!(records.take(away(), true), []);
        let back = Stamped::now(Event::Registry(picture(3, &[])));
        assert_eq!(records.take(back, true), [News::RegistryBack]);
        assert!(!records.is_registry_away());
    }
}
