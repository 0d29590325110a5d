//! Which instance is taken: by zone, by weight, and not one that has just failed while there is another.

use waypost_model::{Endpoint, Instance};

/// Takes an instance at random, each by its weight.
///
/// An instance of weight 0 is never taken. Those of the own `zone` come first, then the others, then those in
/// `avoid`, of which the one that comes first there.
pub(crate) fn choose<'a>(
    instances: &'a [Instance],
    zone: Option<&str>,
    avoid: &[Endpoint],
    random: &mut fastrand::Rng,
) -> Option<&'a Instance> {
    let candidates = || instances.iter().filter(|instance| instance.weight > 0);
    let is_near = |instance: &&Instance| zone.is_none() || instance.zone.as_deref() == zone;
    let is_good = |instance: &&Instance| !avoid.contains(&instance.endpoint);

    by_weight(candidates().filter(is_near).filter(is_good), random)
        .or_else(|| by_weight(candidates().filter(is_good), random))
        .or_else(|| candidates().min_by_key(|instance| avoid.iter().position(|at| *at == instance.endpoint)))
}

fn by_weight<'a>(
    candidates: impl Iterator<Item = &'a Instance> + Clone,
    random: &mut fastrand::Rng,
) -> Option<&'a Instance> {
    let total: u64 = candidates.clone().map(|instance| u64::from(instance.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut at = random.u64(..total);
    for instance in candidates {
        match at.checked_sub(u64::from(instance.weight)) {
            Some(rest) => at = rest,
            None => return Some(instance),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn instance(port: u16, weight: u32, zone: &str) -> Instance {
        let zone = (!zone.is_empty()).then(|| zone.to_owned());
        Instance { weight, zone, ..Instance::new(port.to_string(), Endpoint::new("h", port)) }
    }

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(7)
    }

    /// How often each port is taken of 10,000 times.
    fn shares(instances: &[Instance], zone: Option<&str>, avoid: &[u16]) -> BTreeMap<u16, u32> {
        let avoid: Vec<_> = avoid.iter().map(|port| Endpoint::new("h", *port)).collect();
        let (mut random, mut shares) = (rng(), BTreeMap::new());
        for _ in 0..10_000 {
            if let Some(taken) = choose(instances, zone, &avoid, &mut random) {
                *shares.entry(taken.endpoint.port()).or_default() += 1;
            }
        }
        shares
    }

    #[test]
    fn each_gets_its_share_by_weight_and_weight_0_nothing() {
        let shares = shares(&[instance(1, 1, ""), instance(2, 3, ""), instance(3, 0, "")], None, &[]);
        assert_eq!(shares.keys().collect::<Vec<_>>(), [&1, &2]);
        assert!(shares[&2].abs_diff(7500) < 200, "{shares:?}");
    }

    #[test]
    fn other_zones_serve_only_while_the_own_one_has_none_that_works() {
        let instances = [instance(1, 1, "a"), instance(2, 1, "b"), instance(3, 1, "")];
        let ports =
            |zone, avoid: &[u16]| -> Vec<u16> { shares(&instances, zone, avoid).into_keys().collect() };
        assert_eq!(ports(Some("a"), &[]), [1]);
        assert_eq!(ports(Some("a"), &[1]), [2, 3]);
        assert_eq!(ports(Some("z"), &[]), [1, 2, 3]);
        assert_eq!(ports(None, &[]), [1, 2, 3]);
    }

    #[test]
    fn of_those_that_all_failed_the_one_that_failed_longest_ago_is_next() {
        let instances = [instance(1, 1, "a"), instance(2, 9, "b")];
        assert_eq!(shares(&instances, Some("a"), &[2, 1]), [(2, 10_000)].into());
        assert_eq!(shares(&instances, None, &[1, 2]), [(1, 10_000)].into());
    }

    #[test]
    fn the_same_seed_takes_the_same() {
        let instances: Vec<_> = (1..50).map(|port| instance(port, u32::from(port), "")).collect();
        let taken = |mut random: fastrand::Rng| -> Vec<_> {
            (0..50).map(|_| choose(&instances, None, &[], &mut random).cloned()).collect()
        };
        assert_eq!(taken(rng()), taken(rng()));
    }

    proptest! {
        #[test]
        fn something_is_taken_if_anything_may_be_and_what_is_avoided_only_last(
            weights in proptest::collection::vec((0..3_u32, 0..3_usize), 0..6),
            avoid in proptest::collection::vec(0..6_u16, 0..6),
            seed in 0..100_u64,
        ) {
            let zones = ["a", "b", ""];
            let instance = |(port, (weight, zone)): (usize, &(u32, usize))| {
                instance(u16::try_from(port).expect("few"), *weight, zones[*zone])
            };
            let instances: Vec<_> = weights.iter().enumerate().map(instance).collect();
            let avoid: Vec<_> = avoid.into_iter().map(|port| Endpoint::new("h", port)).collect();
            let mut random = fastrand::Rng::with_seed(seed);
            let taken = choose(&instances, Some("a"), &avoid, &mut random);
            let may: Vec<_> = instances.iter().filter(|instance| instance.weight > 0).collect();
            prop_assert_eq!(taken.is_some(), !may.is_empty());
            if let Some(taken) = taken && avoid.contains(&taken.endpoint) {
                prop_assert!(may.iter().all(|instance| avoid.contains(&instance.endpoint)));
            }
        }
    }
}
