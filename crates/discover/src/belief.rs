//! What is believed of a registry that answers: all of it, unless it is another one or an earlier state of
//! itself.
//!
//! A registry that was emptied or restored does not know the instances that are about to register again.
//! While it is doubted, what it has is taken, and what it lacked when the doubt began is kept beside; after
//! `settle`, only a service of which it has nothing at all keeps what it had. What it had and deletes is gone
//! at once, as ever.
//!
//! The time is an argument here; the task that passes it in is in `source/store.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use waypost_model::{Instance, Service};

/// Services by their names.
pub(crate) type Services = BTreeMap<String, Service>;

/// Whether the registry is doubted.
#[derive(Debug)]
pub(crate) struct Belief {
    settle: Duration,
    doubt: Option<Doubt>,
}

#[derive(Debug)]
struct Doubt {
    /// Since when it answers without a gap.
    since: Instant,
    /// It has been away meanwhile, so that nothing could register.
    is_interrupted: bool,
    /// What it lacks, by service; none without an instance.
    kept: BTreeMap<String, Vec<Instance>>,
}

impl Belief {
    pub(crate) fn new(settle: Duration) -> Belief {
        Belief { settle, doubt: None }
    }

    /// From now on it is doubted in what it lacks of `held`, as it tells `told`.
    pub(crate) fn doubt(&mut self, held: Services, told: &Services, now: Instant) {
        let lacked = |(name, mut held): (String, Service)| {
            keep_missing(&mut held.instances, told.get(&name));
            (!held.instances.is_empty()).then_some((name, held.instances))
        };
        let kept = held.into_iter().filter_map(lacked).collect();
        self.doubt = Some(Doubt { since: now, is_interrupted: false, kept });
    }

    /// It does not answer: what could not register while it was away needs time again.
    pub(crate) fn away(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.is_interrupted = true;
        }
    }

    /// What is to be known when the registry tells `told`.
    pub(crate) fn judge(&mut self, mut told: Services, now: Instant) -> Services {
        let Some(doubt) = &mut self.doubt else { return told };
        if doubt.is_interrupted {
            (doubt.since, doubt.is_interrupted) = (now, false);
        }
        let has_settled = now >= doubt.since + self.settle;
        doubt.kept.retain(|name, kept| {
            let told = told.get(name);
            keep_missing(kept, told);
            let has_any = told.is_some_and(|told| !told.instances.is_empty());
            !(kept.is_empty() || has_settled && has_any)
        });
        for (name, kept) in &doubt.kept {
            if let Some(told) = told.get_mut(name) {
                told.instances.extend(kept.iter().cloned());
                told.instances.sort_by(|one, other| one.id.cmp(&other.id));
            }
        }
        if doubt.kept.is_empty() {
            self.doubt = None;
        }
        told
    }

    /// Whether what the registry tells is all believed.
    pub(crate) fn is_whole(&self) -> bool {
        self.doubt.is_none()
    }

    /// When to judge again, if nothing happens.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let doubt = self.doubt.as_ref().filter(|doubt| !doubt.is_interrupted)?;
        Some(doubt.since + self.settle).filter(|due| *due > now)
    }
}

/// Leaves those instances that are not told.
fn keep_missing(instances: &mut Vec<Instance>, told: Option<&Service>) {
    let told: BTreeSet<&str> =
        told.iter().flat_map(|told| &told.instances).map(|instance| &*instance.id).collect();
    instances.retain(|instance| !told.contains(&*instance.id));
}

#[cfg(test)]
mod tests {
    use waypost_model::{Endpoint, Instance};

    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    fn services(text: &[(&str, &[u16])]) -> Services {
        let service = |(name, ports): &(&str, &[u16])| {
            let instance = |port: &u16| Instance::new(port.to_string(), Endpoint::new("h", *port));
            let instances = ports.iter().map(instance).collect();
            ((*name).to_owned(), Service { name: (*name).to_owned(), instances })
        };
        text.iter().map(service).collect()
    }

    /// A registry that is doubted from `now` on in what it lacks of `held`.
    fn doubting(held: &[(&str, &[u16])], told: &[(&str, &[u16])], now: Instant) -> Belief {
        let mut belief = Belief::new(SETTLE);
        belief.doubt(services(held), &services(told), now);
        belief
    }

    #[test]
    fn a_registry_that_is_not_doubted_is_believed_whatever_it_tells() {
        let mut belief = Belief::new(SETTLE);
        let told = services(&[("db", &[])]);
        assert_eq!(belief.judge(told.clone(), Instant::now()), told);
        assert!(belief.is_whole());
    }

    #[test]
    fn what_a_doubted_registry_lacks_is_kept_beside_what_it_has_until_it_has_settled() {
        let (start, told) = (Instant::now(), services(&[("db", &[2, 3])]));
        let mut belief = doubting(&[("db", &[1, 2])], &[("db", &[2, 3])], start);
        assert_eq!(belief.judge(told.clone(), start), services(&[("db", &[1, 2, 3])]));
        assert_eq!((belief.is_whole(), belief.deadline(start)), (false, Some(start + SETTLE)));

        assert_eq!(belief.judge(told.clone(), start + SETTLE), told);
        assert!(belief.is_whole());
    }

    #[test]
    fn a_service_of_which_nothing_is_left_stays_as_it_was_without_end() {
        let start = Instant::now();
        let held: [(&str, &[u16]); 2] = [("db", &[1]), ("web", &[2])];
        let none: [(&str, &[u16]); 2] = [("db", &[]), ("web", &[])];
        let mut belief = doubting(&held, &none, start);
        let known = belief.judge(services(&none), start + SETTLE * 100);
        assert_eq!((known, belief.is_whole()), (services(&held), false));

        let told = services(&[("db", &[7]), ("web", &[2])]);
        assert_eq!(belief.judge(told.clone(), start + SETTLE * 101), told);
        assert!(belief.is_whole());
    }

    #[test]
    fn what_a_doubted_registry_had_and_deletes_is_gone_at_once() {
        let start = Instant::now();
        let mut belief = doubting(&[("db", &[1, 2]), ("old", &[9])], &[("db", &[2]), ("old", &[])], start);
        let told = services(&[("db", &[3]), ("old", &[])]);
        assert_eq!(
            belief.judge(told, start),
            services(&[("db", &[1, 3]), ("old", &[9])]),
            "2 was seen to go"
        );

        // An hour later nothing but a service that nobody will ever register again is missing.
        belief.judge(services(&[("db", &[3]), ("old", &[])]), start + SETTLE * 100);
        let drained = belief.judge(services(&[("db", &[]), ("old", &[])]), start + SETTLE * 120);
        assert_eq!(drained, services(&[("db", &[]), ("old", &[9])]));
    }

    #[test]
    fn a_registry_that_was_away_meanwhile_settles_from_its_return() {
        let (start, told) = (Instant::now(), services(&[("db", &[2])]));
        let mut belief = doubting(&[("db", &[1, 2])], &[("db", &[2])], start);
        belief.away();
        assert_eq!(belief.deadline(start), None);
        assert_eq!(belief.judge(told.clone(), start + SETTLE * 2), services(&[("db", &[1, 2])]));
        assert_eq!(belief.judge(told.clone(), start + SETTLE * 3), told);
    }
}
