//! What is believed of a registry that answers: all of it, unless it is another one or an earlier state of
//! itself.
//!
//! A registry that was emptied or restored does not know the instances that are about to register again.
//! While it is doubted, what it has is taken, and what it lacks is kept beside; after `settle`, only a
//! service of which it has nothing at all keeps what it had.
//!
//! The time is an argument here; the task that passes it in is in `source/store.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use waypost_model::Service;

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
}

impl Belief {
    pub(crate) fn new(settle: Duration) -> Belief {
        Belief { settle, doubt: None }
    }

    /// From now on it is doubted, unless it is already.
    pub(crate) fn doubt(&mut self, now: Instant) {
        self.doubt.get_or_insert(Doubt { since: now, is_interrupted: false });
    }

    /// It does not answer: what could not register while it was away needs time again.
    pub(crate) fn away(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.is_interrupted = true;
        }
    }

    /// What is to be known, when `held` was and the registry tells `told`.
    pub(crate) fn judge(&mut self, held: &Services, told: Services, now: Instant) -> Services {
        let Some(doubt) = &mut self.doubt else { return told };
        if doubt.is_interrupted {
            *doubt = Doubt { since: now, is_interrupted: false };
        }
        let has_settled = now >= doubt.since + self.settle;
        let mut lacks = false;
        let merge = |(name, told): (String, Service)| {
            let missing = missing(held.get(&name), &told);
            if missing == 0 || (has_settled && !told.instances.is_empty()) {
                return (name, told);
            }
            lacks = true;
            let merged = held.get(&name).map(|held| merged(held, told)).unwrap_or_default();
            (name, merged)
        };
        let known = told.into_iter().map(merge).collect();
        if !lacks {
            self.doubt = None;
        }
        known
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

/// How many of the held instances are not told.
fn missing(held: Option<&Service>, told: &Service) -> usize {
    let is_told = |id: &str| told.instances.iter().any(|instance| instance.id == id);
    held.map_or(0, |held| held.instances.iter().filter(|instance| !is_told(&instance.id)).count())
}

/// What is told, and what is only held, in the order of their ids.
fn merged(held: &Service, told: Service) -> Service {
    let mut by_id: BTreeMap<_, _> =
        held.instances.iter().map(|instance| (instance.id.clone(), instance.clone())).collect();
    by_id.extend(told.instances.into_iter().map(|instance| (instance.id.clone(), instance)));
    Service { name: told.name, instances: by_id.into_values().collect() }
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

    #[test]
    fn a_registry_that_is_not_doubted_is_believed_whatever_it_tells() {
        let mut belief = Belief::new(SETTLE);
        let told = services(&[("db", &[])]);
        assert_eq!(belief.judge(&services(&[("db", &[1])]), told.clone(), Instant::now()), told);
        assert!(belief.is_whole());
    }

    #[test]
    fn what_a_doubted_registry_lacks_is_kept_beside_what_it_has_until_it_has_settled() {
        let (mut belief, start) = (Belief::new(SETTLE), Instant::now());
        belief.doubt(start);
        let (held, told) = (services(&[("db", &[1, 2])]), services(&[("db", &[2, 3])]));
        assert_eq!(belief.judge(&held, told.clone(), start), services(&[("db", &[1, 2, 3])]));
        assert_eq!((belief.is_whole(), belief.deadline(start)), (false, Some(start + SETTLE)));

        assert_eq!(belief.judge(&held, told.clone(), start + SETTLE), told);
        assert!(belief.is_whole());
    }

    #[test]
    fn a_service_of_which_nothing_is_left_stays_as_it_was_without_end() {
        let (mut belief, start) = (Belief::new(SETTLE), Instant::now());
        belief.doubt(start);
        let held = services(&[("db", &[1]), ("web", &[2])]);
        let known = belief.judge(&held, services(&[("db", &[]), ("web", &[])]), start + SETTLE * 100);
        assert_eq!((known, belief.is_whole()), (held.clone(), false));

        let told = services(&[("db", &[7]), ("web", &[2])]);
        assert_eq!(belief.judge(&held, told.clone(), start + SETTLE * 101), told);
        assert!(belief.is_whole());
    }

    #[test]
    fn a_registry_that_was_away_meanwhile_settles_from_its_return() {
        let (mut belief, start) = (Belief::new(SETTLE), Instant::now());
        belief.doubt(start);
        belief.away();
        assert_eq!(belief.deadline(start), None);
        let (held, told) = (services(&[("db", &[1, 2])]), services(&[("db", &[2])]));
        assert_eq!(belief.judge(&held, told.clone(), start + SETTLE * 2), held);
        assert_eq!(belief.judge(&held, told.clone(), start + SETTLE * 3), told);
    }
}
