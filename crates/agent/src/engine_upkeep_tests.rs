//! What the engine does besides following changes: it limits writes, notes that registries answer, tells what is no
//! instance, and looks whether reloads still hold.

use super::*;
use crate::varnish::{Door, Varnish};

/// A resource that writes services below `/NAME`, at most once in `interval`.
fn services(name: &str, interval: Duration) -> Listed {
    let mut listed = crate::resource::tests::services(Path::new("/etc"));
    listed.keys = vec![Prefix::new(&format!("/{name}"))];
    listed.min_write_interval = interval;
    (Arc::new(listed), None, None)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_thousand_changes_in_ten_seconds_are_at_most_eleven_writes_and_the_last_one_is_written() {
    let mut bench = Bench::new([services("web", SECOND)]);
    bench.changed(view(5, &[]), Continuity::First);
    bench.applied(0, swapped("web"));
    bench.now += 60 * SECOND;
    bench.engine.schedule(bench.now);
    let (begun, mut writes, mut last) = (bench.now, Vec::new(), None);
    for number in 0.. {
        let actions = match number {
            0..1000 => {
                bench.now = begun + SECOND * number / 100;
                let value = number.to_string();
                let new = view(6 + u64::from(number), &[("/web/1", &value)]);
                bench.changed(new, Continuity::Continued)
            }
            _ if last >= Some(999) => break,
            _ => bench.wait(),
        };
        if actions.contains(&"apply 0".to_owned()) {
            writes.push(bench.now - begun);
            last = Some(number);
            bench.applied(0, swapped("web"));
        }
    }
    assert_eq!(writes[0], Duration::ZERO, "the first change is written at once");
    assert!(writes.len() <= 11 && writes.windows(2).all(|pair| pair[1] - pair[0] >= SECOND), "{writes:?}");
    assert!(bench.engine.is_in_sync());
}

#[test]
fn only_what_was_written_puts_the_next_write_off() {
    let mut bench = Bench::new([services("web", SECOND)]);
    bench.changed(view(5, &[]), Continuity::First);
    bench.applied(0, done("web", Change::None { reload_owed: false }));
    assert!(
        bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued).contains(&"apply 0".to_owned())
    );
    bench.applied(0, swapped("web"));
    assert!(bench.changed(view(7, &[("/web/1", "b")]), Continuity::Continued).is_empty());
    let begun = bench.now;
    assert_eq!(bench.wait(), ["apply 0"]);
    assert_eq!(bench.now - begun, SECOND);
}

#[test]
fn services_are_touched_by_every_key_below_their_paths_and_by_no_other() {
    let mut bench = Bench::new([services("web", Duration::ZERO)]);
    bench.changed(view(5, &[]), Continuity::First);
    bench.applied(0, swapped("web"));
    assert!(bench.changed(view(6, &[("/website/1", "a")]), Continuity::Continued).is_empty());
    assert_eq!(bench.changed(view(7, &[("/web/eu/1", "a")]), Continuity::Continued), ["apply 0"]);
}

#[test]
fn that_the_registry_answers_is_noted_at_once_and_every_five_seconds_while_it_is_believed() {
    let mut bench = Bench::new([services("web", Duration::ZERO), resource("db", None)]);
    bench.changed(view(5, &[("/web/1", "a")]), Continuity::First);
    assert_eq!(bench.applied(0, swapped("web")), ["seen 0"], "not before the file is there");
    bench.applied(1, swapped("db"));
    let begun = bench.now;
    assert_eq!((bench.wait(), bench.now - begun), (vec!["seen 0".to_owned()], 5 * SECOND));

    let away = Error::new(ErrorKind::Unavailable, "etcd", "watch", "/");
    bench.handle(Event::Store { store: 0, update: Update::Unreachable(away) });
    bench.now += 100 * SECOND;
    assert!(bench.engine.schedule(bench.now).iter().filter_map(shown).next().is_none(), "it does not answer");
    assert!(bench.engine.deadline() > bench.now, "and nobody waits for that");
    assert_eq!(bench.changed(view(5, &[("/web/1", "a")]), Continuity::Continued), ["seen 0"]);

    let held = bench.changed(view(1, &[]), Continuity::Emptied);
    assert!(held.iter().any(|action| action.starts_with("held: ")), "{held:?}");
    bench.now += 100 * SECOND;
    assert!(
        !bench.engine.schedule(bench.now).iter().filter_map(shown).any(|it| it == "seen 0"),
        "it is doubted"
    );
}

#[test]
fn a_file_that_cannot_follow_its_registry_is_not_noted_as_fresh() {
    let mut bench = Bench::new([services("web", Duration::ZERO)]);
    bench.changed(view(5, &[]), Continuity::First);
    bench.applied(0, swapped("web"));
    bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued);
    bench.now += 100 * SECOND;
    assert_eq!(bench.applied(0, failed(Step::Stage)), ["failed"]);
}

#[test]
fn a_key_that_is_no_instance_is_told_once_until_it_is_one_again() {
    let mut bench = Bench::new([services("web", Duration::ZERO)]);
    let reason = waypost_model::Instance::parse("1", &"x".into()).unwrap_err();
    let refusing = |keys: &[&str]| {
        let refused = keys.iter().map(|key| (Key::new((*key).to_owned()).unwrap(), reason.clone())).collect();
        Applied { refused, ..done("web", Change::None { reload_owed: false }) }
    };
    let told = |bench: &mut Bench, revision: u64, keys: &[&str]| {
        let revision_text = revision.to_string();
        bench.changed(view(revision, &[("/web/1", &revision_text)]), Continuity::Continued);
        let mut actions = bench.applied(0, refusing(keys));
        actions.retain(|action| action.starts_with("left out"));
        actions
    };
    assert_eq!(told(&mut bench, 5, &["/web/1"]), ["left out /web/1"]);
    assert_eq!(told(&mut bench, 6, &["/web/1", "/web/2"]), ["left out /web/2"]);
    assert_eq!(told(&mut bench, 7, &[]), [""; 0]);
    assert_eq!(told(&mut bench, 8, &["/web/2"]), ["left out /web/2"]);
}

/// A resource whose reload can be seen to hold.
fn verified() -> Listed {
    let (web, _, known) = resource("web", None);
    let door = Door::new("127.0.0.1:1", None, "waypost", SECOND).unwrap();
    let varnish = Arc::new(Varnish::new(door, Path::new("/etc/web.vcl")));
    let reload =
        Reload { name: "varnish".into(), means: Means::Varnish(varnish), min_interval: Duration::ZERO };
    (web, Some(reload), known)
}

#[test]
fn what_a_reload_brought_about_is_looked_at_and_brought_about_again() {
    let mut bench = Bench::new([verified()]);
    bench.changed(view(5, &[]), Continuity::First);
    assert_eq!(
        bench.applied(0, done("web", Change::None { reload_owed: false })),
        ["verify 0"],
        "at the start"
    );
    assert!(!bench.engine.is_idle());
    assert!(bench.handle(Event::Verified { target: 0, holds: true }).is_empty());
    let begun = bench.now;
    assert_eq!((bench.wait(), bench.now - begun), (vec!["verify 0".to_owned()], 30 * SECOND));
    assert_eq!(bench.handle(Event::Verified { target: 0, holds: false }), ["undone", "reload 0"]);
    assert_eq!(bench.reloaded(Err(reload_failure())), ["failed"]);
    assert_eq!(bench.wait(), ["reload 0"], "it is not looked at what is known not to hold");
    bench.reloaded(Ok(()));
    assert!(bench.engine.is_in_sync());
    let begun = bench.now;
    assert_eq!((bench.wait(), bench.now - begun), (vec!["verify 0".to_owned()], 30 * SECOND));
}

#[test]
fn a_look_that_is_overtaken_by_a_change_owes_nothing() {
    let mut bench = Bench::new([verified()]);
    bench.changed(view(5, &[]), Continuity::First);
    assert_eq!(bench.applied(0, done("web", Change::None { reload_owed: false })), ["verify 0"]);
    bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued);
    assert!(
        bench.handle(Event::Verified { target: 0, holds: false }).is_empty(),
        "it may have seen the new file"
    );
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    assert!(bench.reloaded(Ok(())).is_empty());
}
