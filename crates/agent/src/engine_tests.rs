//! The engine without a clock, a disk or a process: events in, actions out.

use std::collections::BTreeMap;
use std::path::Path;

use waypost_backend::{Error, ErrorKind};
use waypost_model::{Entry, Exactness, Position, Prefix, Snapshot, StoreId};
use waypost_template::{Context, Limits, MemoryNames, NoFiles, Os, Template};

use super::*;
use crate::Step;
use crate::target::Means;

const PACE: Pace = Pace {
    settle: Duration::from_secs(30),
    refresh_every: Duration::from_secs(600),
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    debounce: Duration::ZERO,
    batch: Duration::ZERO,
    fail_fast: false,
    in_order: false,
};

#[path = "engine_upkeep_tests.rs"]
mod upkeep;

type Listed = (Arc<Resource>, Option<Reload>, Option<Known>);

/// An engine, its clock, and what it did, in words.
struct Bench {
    engine: Engine,
    now: Instant,
}

/// A resource that reads `/NAME` and below, with a reload command or none.
fn resource(name: &str, reload: Option<&str>) -> Listed {
    let mut resource = crate::resource::tests::resource(Path::new("/etc"));
    resource.name = name.to_owned();
    resource.destination = format!("/etc/{name}.conf").into();
    resource.keys = vec![Prefix::new(&format!("/{name}"))];
    let reload = reload.map(|line| Reload {
        name: line.into(),
        means: Means::Command { timeout: Duration::from_secs(9) },
        min_interval: Duration::ZERO,
    });
    (Arc::new(resource), reload, None)
}

fn view(revision: u64, keys: &[(&str, &str)]) -> View {
    let entry = |(key, value): &(&str, &str)| {
        (Key::new(key.to_string()).unwrap(), Entry { value: value.to_string().into(), revision })
    };
    let entries: BTreeMap<_, _> = keys.iter().map(entry).collect();
    let position = Position::new(StoreId::Lasting(1), revision);
    View::from(Snapshot { position, exactness: Exactness::Exact, entries })
}

/// What a render of `/NAME/*` looks at.
fn reads(name: &str) -> Reads {
    let template = Template::parse("t", format!("{{{{gets \"/{name}/*\"}}}}").as_bytes()).unwrap();
    let names = MemoryNames::new();
    let context = Context { names: &names, files: &NoFiles, world: &Os, limits: Limits::default() };
    template.render(&context).unwrap().reads
}

fn done(name: &str, change: Change) -> Applied {
    let content = Hash::of(name.as_bytes());
    let (result, refused) = (Ok(Done { content, change }), Vec::new());
    Applied { result, reads: Some(reads(name)), refused, took: Duration::ZERO }
}

fn swapped(name: &str) -> Applied {
    done(name, Change::Swapped { in_place: false })
}

fn failed(step: Step) -> Applied {
    let result = Err(Failure { step, message: "no".into(), detail: String::new() });
    Applied { result, reads: Some(reads("web")), refused: Vec::new(), took: Duration::ZERO }
}

/// With a setting changed.
fn with<T>(mut of: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut of);
    of
}

impl Bench {
    fn paced(pace: Pace, resources: impl IntoIterator<Item = Listed>) -> Bench {
        let now = Instant::now();
        Bench { engine: Engine::new(pace, resources, now), now }
    }

    fn new(resources: impl IntoIterator<Item = Listed>) -> Bench {
        Bench::paced(PACE, resources)
    }

    /// One resource `web` with a reload, in sync with `keys` at revision 5.
    fn in_sync(keys: &[(&str, &str)]) -> Bench {
        let mut bench = Bench::new([resource("web", Some("reload"))]);
        bench.changed(view(5, keys), Continuity::First);
        bench.applied(0, swapped("web"));
        bench.reloaded(Ok(()));
        assert!(bench.engine.is_in_sync() && bench.engine.is_idle());
        bench
    }

    fn handle(&mut self, event: Event) -> Vec<String> {
        let mut actions = self.engine.handle(event, self.now);
        actions.extend(self.engine.schedule(self.now));
        actions.iter().filter_map(shown).collect()
    }

    fn changed(&mut self, new: View, continuity: Continuity) -> Vec<String> {
        let empty = View::empty(new.position());
        let changed = self.engine.stores[0].view.as_ref().unwrap_or(&empty).differences(&new);
        self.handle(Event::Store { store: 0, update: Update::Changed { view: new, changed, continuity } })
    }

    fn applied(&mut self, resource: usize, applied: Applied) -> Vec<String> {
        self.handle(Event::Applied { resource, applied })
    }

    fn reloaded(&mut self, result: Result<(), Failure>) -> Vec<String> {
        self.handle(Event::Reloaded { target: 0, took: Duration::ZERO, result })
    }

    /// Lets the time pass until something is due.
    fn wait(&mut self) -> Vec<String> {
        self.now = self.now.max(self.engine.deadline());
        self.engine.schedule(self.now).iter().filter_map(shown).collect()
    }
}

/// What is begun or held; reports of success and the ledger's notes are left out.
fn shown(action: &Action) -> Option<String> {
    match action {
        Action::Apply { resource, .. } => Some(format!("apply {resource}")),
        Action::Reload { target } => Some(format!("reload {target}")),
        Action::Verify { target } => Some(format!("verify {target}")),
        Action::Seen { resource } => Some(format!("seen {resource}")),
        Action::Report(Report::Refused { key, .. }) => Some(format!("left out {key}")),
        Action::Report(Report::Undone { .. }) => Some("undone".into()),
        Action::Report(Report::Held { reason, .. }) => Some(format!("held: {reason}")),
        Action::Report(Report::Failed { .. } | Report::ReloadFailed { .. }) => Some("failed".into()),
        _ => None,
    }
}

fn reload_failure() -> Failure {
    Failure { step: Step::Reload, message: "no".into(), detail: String::new() }
}

#[test]
fn a_change_is_applied_and_then_reloaded() {
    let mut bench = Bench::new([resource("web", Some("reload"))]);
    assert_eq!(bench.changed(view(5, &[("/web/1", "a")]), Continuity::First), ["apply 0"]);
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    assert!(bench.reloaded(Ok(())).is_empty());
    assert!(bench.engine.is_in_sync());
}

#[test]
fn a_file_that_is_as_wanted_is_not_reloaded_unless_that_is_owed() {
    let mut bench = Bench::new([resource("web", Some("reload"))]);
    bench.changed(view(5, &[]), Continuity::First);
    assert!(bench.applied(0, done("web", Change::None { reload_owed: false })).is_empty());

    let mut bench = Bench::new([resource("web", Some("reload"))]);
    bench.changed(view(5, &[]), Continuity::First);
    assert_eq!(bench.applied(0, done("web", Change::None { reload_owed: true })), ["reload 0"]);
}

#[test]
fn only_resources_that_looked_at_a_changed_key_are_applied() {
    let mut bench = Bench::new([resource("web", None), resource("db", None)]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0", "apply 1"]);
    bench.applied(0, swapped("web"));
    bench.applied(1, swapped("db"));
    assert_eq!(bench.changed(view(6, &[("/db/1", "x")]), Continuity::Continued), ["apply 1"]);
    bench.applied(1, swapped("db"));
    assert!(bench.changed(view(7, &[("/db/1", "x"), ("/db/1/deep", "x")]), Continuity::Continued).is_empty());
}

#[test]
fn changes_during_a_reload_cost_one_more_reload() {
    let mut bench = Bench::in_sync(&[]);
    let keys = [("/web/1", "a"), ("/web/2", "a"), ("/web/3", "a")];
    bench.changed(view(6, &keys[..1]), Continuity::Continued);
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    assert_eq!(bench.changed(view(7, &keys[..2]), Continuity::Continued), ["apply 0"]);
    assert!(bench.applied(0, swapped("web")).is_empty(), "one is in flight");
    assert_eq!(bench.changed(view(8, &keys), Continuity::Continued), ["apply 0"]);
    assert!(bench.applied(0, swapped("web")).is_empty(), "and one is owed already");
    assert_eq!(bench.reloaded(Ok(())), ["reload 0"]);
    assert!(bench.reloaded(Ok(())).is_empty());
}

#[test]
fn changes_during_an_apply_cost_one_more_apply() {
    let mut bench = Bench::in_sync(&[]);
    bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued);
    assert!(bench.changed(view(7, &[("/web/1", "b")]), Continuity::Continued).is_empty());
    assert!(bench.changed(view(8, &[("/web/1", "c")]), Continuity::Continued).is_empty());
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0", "apply 0"]);
}

#[test]
fn resources_that_share_a_reload_are_reloaded_once() {
    let mut bench = Bench::new([resource("web", Some("r")), resource("db", Some("r"))]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0", "apply 1"]);
    assert!(bench.applied(0, swapped("web")).is_empty(), "the other one is not in place yet");
    assert_eq!(bench.applied(1, swapped("db")), ["reload 0"]);
}

#[test]
fn what_failed_is_tried_again_after_a_pause_or_at_once_after_a_change() {
    let mut bench = Bench::in_sync(&[]);
    bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued);
    assert_eq!(bench.applied(0, failed(Step::Check)), ["failed"]);
    assert!(!bench.engine.is_in_sync());
    assert_eq!(bench.wait(), ["apply 0"]);
    assert_eq!(bench.applied(0, failed(Step::Check)), ["failed"]);
    assert_eq!(bench.changed(view(7, &[("/web/1", "b")]), Continuity::Continued), ["apply 0"]);
}

#[test]
fn a_failed_reload_stays_owed() {
    let mut bench = Bench::in_sync(&[]);
    bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued);
    bench.applied(0, swapped("web"));
    assert_eq!(bench.reloaded(Err(reload_failure())), ["failed"]);
    assert!(!bench.engine.is_in_sync());
    assert_eq!(bench.wait(), ["reload 0"]);
    bench.reloaded(Ok(()));
    assert!(bench.engine.is_in_sync());
}

#[test]
fn a_change_after_a_failed_reload_is_applied_and_reloaded_at_once() {
    let mut bench = Bench::in_sync(&[]);
    bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued);
    bench.applied(0, swapped("web"));
    bench.reloaded(Err(reload_failure()));
    assert_eq!(bench.changed(view(7, &[("/web/1", "b")]), Continuity::Continued), ["apply 0"]);
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
}

#[test]
fn a_store_that_does_not_answer_changes_nothing() {
    let mut bench = Bench::in_sync(&[("/web/1", "a")]);
    let away = Error::new(ErrorKind::Unavailable, "etcd", "watch", "/");
    assert!(bench.handle(Event::Store { store: 0, update: Update::Unreachable(away) }).is_empty());
    assert!(bench.engine.is_in_sync());
}

#[test]
fn a_store_that_no_resource_reads_changes_nothing() {
    for resources in [vec![], vec![resource("web", None)]] {
        let mut bench = Bench::new(resources);
        let store = bench.engine.stores.len();
        let away = Error::new(ErrorKind::Unavailable, "etcd", "read", "/");
        assert!(bench.handle(Event::Store { store, update: Update::Unreachable(away) }).is_empty());
    }
}

#[test]
fn a_store_that_went_back_is_given_time_to_be_complete() {
    let mut bench = Bench::in_sync(&[("/web/1", "a"), ("/web/2", "b")]);
    let went_back = Continuity::Rewritten;
    let held = bench.changed(view(3, &[("/web/1", "a")]), went_back);
    assert!(held.len() == 1 && held[0].contains("keys are missing (1)"), "{held:?}");
    assert!(bench.changed(view(4, &[("/web/1", "c")]), Continuity::Continued).is_empty());
    assert_eq!(bench.wait(), ["apply 0"], "the time is over");
}

#[test]
fn a_store_that_went_back_and_is_complete_again_is_believed() {
    let keys = [("/web/1", "a"), ("/web/2", "b")];
    let mut bench = Bench::in_sync(&keys);
    bench.changed(view(3, &keys[..1]), Continuity::Rewritten);
    assert_eq!(bench.changed(view(4, &keys), Continuity::Continued), ["apply 0"]);
}

#[test]
fn an_emptied_store_is_never_believed_by_itself() {
    let mut bench = Bench::in_sync(&[("/web/1", "a")]);
    let held = bench.changed(view(1, &[]), Continuity::Emptied);
    assert!(held.len() == 1 && held[0].contains("it has no key, and had 1"), "{held:?}");
    bench.wait();
    assert!(!bench.engine.is_in_sync());
    assert_eq!(bench.changed(view(2, &[("/web/1", "a")]), Continuity::Continued), ["apply 0"]);
}

#[test]
fn keys_deleted_in_the_store_that_was_followed_are_believed_to_the_last() {
    let mut bench = Bench::in_sync(&[("/web/1", "a")]);
    assert_eq!(bench.changed(view(6, &[]), Continuity::Continued), ["apply 0"]);
}

#[test]
fn what_an_earlier_life_wrote_is_held_against_a_store_that_went_back() {
    let (web, reload, _) = resource("web", None);
    let position = Position::new(StoreId::Lasting(1), 9);
    let known = Known { written: Hash::of(b""), running: None, position, keys: 2 };
    let mut bench = Bench::new([(web, reload, Some(known))]);
    let held = bench.changed(view(3, &[]), Continuity::First);
    assert!(held.len() == 1 && held[0].starts_with("held: the store went back"), "{held:?}");
}

#[test]
fn everything_is_looked_at_from_time_to_time() {
    let mut bench = Bench::in_sync(&[]);
    assert_eq!(bench.wait(), ["apply 0"]);
    assert!(bench.applied(0, done("web", Change::None { reload_owed: false })).is_empty());
}

#[test]
fn told_to_stop_it_finishes_what_is_under_way_and_begins_nothing() {
    let mut bench = Bench::in_sync(&[]);
    bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued);
    assert!(bench.handle(Event::Stop).is_empty());
    assert!(bench.changed(view(7, &[("/web/1", "b")]), Continuity::Continued).is_empty());
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    assert!(bench.reloaded(Ok(())).is_empty());
    assert!(bench.engine.is_idle());
}

#[test]
fn changes_are_applied_once_the_keys_are_quiet() {
    let pace = with(PACE, |pace| pace.debounce = Duration::from_secs(2));
    let mut bench = Bench::paced(pace, [resource("web", None)]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0"], "the first view is not put off");
    bench.applied(0, swapped("web"));
    let begun = bench.now;
    for second in 0..3 {
        bench.now = begun + Duration::from_secs(second);
        let value = second.to_string();
        let new = view(6 + second, &[("/web/1", &value)]);
        assert!(bench.changed(new, Continuity::Continued).is_empty());
    }
    assert_eq!(bench.wait(), ["apply 0"]);
    assert_eq!(bench.now - begun, Duration::from_secs(4), "two seconds after the last change");
}

#[test]
fn keys_that_are_never_quiet_are_applied_in_the_end() {
    let pace = with(PACE, |pace| pace.debounce = Duration::from_secs(2));
    let mut bench = Bench::paced(pace, [resource("web", None)]);
    bench.changed(view(5, &[]), Continuity::First);
    bench.applied(0, swapped("web"));
    let begun = bench.now;
    let applied = (1..100).find(|second| {
        bench.now = begun + Duration::from_secs(*second);
        let value = second.to_string();
        bench.changed(view(5 + second, &[("/web/1", &value)]), Continuity::Continued) == ["apply 0"]
    });
    assert_eq!(applied, Some(21), "ten times the debounce after the first change");
}

#[test]
fn a_resource_has_a_debounce_of_its_own() {
    let (web, reload, known) = resource("web", None);
    let web = Arc::new(with(Resource::clone(&web), |web| web.debounce = Some(Duration::from_secs(7))));
    let mut bench = Bench::new([(web, reload, known), resource("db", None)]);
    bench.changed(view(5, &[]), Continuity::First);
    bench.applied(0, swapped("web"));
    bench.applied(1, swapped("db"));
    let begun = bench.now;
    let both = [("/web/1", "a"), ("/db/1", "a")];
    assert_eq!(bench.changed(view(6, &both), Continuity::Continued), ["apply 1"]);
    assert_eq!(bench.wait(), ["apply 0"]);
    assert_eq!(bench.now - begun, Duration::from_secs(7));
}

#[test]
fn changes_are_collected_for_the_batch_interval() {
    let pace = with(PACE, |pace| pace.batch = Duration::from_secs(5));
    let mut bench = Bench::paced(pace, [resource("web", None), resource("db", None)]);
    bench.changed(view(5, &[]), Continuity::First);
    bench.applied(0, swapped("web"));
    bench.applied(1, swapped("db"));
    let begun = bench.now;
    assert!(bench.changed(view(6, &[("/web/1", "a")]), Continuity::Continued).is_empty());
    bench.now += Duration::from_secs(4);
    assert!(bench.changed(view(7, &[("/web/1", "a"), ("/db/1", "a")]), Continuity::Continued).is_empty());
    assert_eq!(bench.wait(), ["apply 0", "apply 1"]);
    assert_eq!(bench.now - begun, Duration::from_secs(5), "counted from the first change");
}

#[test]
fn a_reload_that_its_limit_puts_off_comes_and_files_are_written_meanwhile() {
    let (web, reload, known) = resource("web", Some("reload"));
    let reload = reload.map(|reload| with(reload, |it| it.min_interval = Duration::from_secs(30)));
    let mut bench = Bench::new([(web, reload, known)]);
    bench.changed(view(5, &[]), Continuity::First);
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    bench.reloaded(Ok(()));
    let begun = bench.now;
    for revision in 6..9 {
        let value = revision.to_string();
        let new = view(revision, &[("/web/1", &value)]);
        assert_eq!(bench.changed(new, Continuity::Continued), ["apply 0"], "the limit holds no file back");
        assert!(bench.applied(0, swapped("web")).is_empty(), "the limit holds the reload back");
        assert!(!bench.engine.is_in_sync());
    }
    assert_eq!(bench.wait(), ["reload 0"], "one for all");
    assert_eq!(bench.now - begun, Duration::from_secs(30));
    bench.reloaded(Ok(()));
    assert!(bench.engine.is_in_sync());
}

#[test]
fn nothing_is_begun_behind_one_that_failed_if_that_is_asked_for() {
    let pace = with(PACE, |pace| pace.fail_fast = true);
    let mut bench = Bench::paced(pace, [resource("web", None), resource("db", None)]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0"], "one after the other");
    assert_eq!(bench.applied(0, failed(Step::Render)), ["failed"]);
    assert_eq!(bench.wait(), ["apply 0"]);
    assert_eq!(bench.applied(0, swapped("web")), ["apply 1"]);
}

#[test]
fn in_order_each_is_applied_and_reloaded_before_the_next() {
    let pace = with(PACE, |pace| pace.in_order = true);
    let mut bench = Bench::paced(pace, [resource("web", Some("reload")), resource("db", None)]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0"]);
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    assert_eq!(bench.reloaded(Ok(())), ["apply 1"]);
    assert!(bench.applied(1, swapped("db")).is_empty() && bench.engine.is_in_sync());
}

#[test]
fn in_order_a_reload_that_several_share_runs_after_the_last_of_them() {
    let pace = with(PACE, |pace| pace.in_order = true);
    let listed = ["web", "db", "mail"].map(|name| resource(name, Some("reload")));
    let mut bench = Bench::paced(pace, listed);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0"]);
    assert_eq!(bench.applied(0, swapped("web")), ["apply 1"]);
    assert_eq!(bench.applied(1, failed(Step::Render)), ["failed", "apply 2"]);
    assert_eq!(bench.applied(2, swapped("mail")), ["reload 0"]);
}

#[test]
fn in_order_what_is_owed_is_reloaded_though_nothing_else_can_be_begun() {
    let pace = with(PACE, |pace| (pace.in_order, pace.fail_fast) = (true, true));
    let [web, db, mail] = ["web", "db", "mail"].map(|name| resource(name, Some("reload")));
    let mut bench = Bench::paced(pace, [web, (db.0, None, None), mail]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0"]);
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    assert_eq!(bench.reloaded(Ok(())), ["apply 1"]);
    assert_eq!(bench.applied(1, failed(Step::Render)), ["failed"]);
}

#[test]
fn two_resources_of_one_file_are_applied_one_after_the_other() {
    let (db, _, _) = resource("db", None);
    let db = Arc::new(with(Resource::clone(&db), |db| db.destination = "/etc/web.conf".into()));
    let mut bench = Bench::new([resource("web", None), (db, None, None)]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0"]);
    assert_eq!(bench.applied(0, swapped("web")), ["apply 1"]);
}

#[test]
fn a_store_that_does_not_answer_keeps_no_resource_of_another_one_waiting() {
    let (db, _, _) = resource("db", None);
    let db = Arc::new(with(Resource::clone(&db), |db| db.store = 1));
    let mut bench = Bench::new([resource("web", None), (db, None, None)]);
    assert_eq!(bench.changed(view(5, &[("/db/1", "not the one")]), Continuity::First), ["apply 0"]);
    assert!(bench.applied(0, swapped("web")).is_empty());
    assert!(!bench.engine.is_in_sync() && bench.engine.is_idle());
    let update = Update::Changed { view: view(9, &[]), changed: Vec::new(), continuity: Continuity::First };
    assert_eq!(bench.handle(Event::Store { store: 1, update }), ["apply 1"]);
}

#[test]
fn it_is_told_once_when_all_that_can_be_done_is_done() {
    let mut bench = Bench::new([resource("web", None)]);
    let update = Update::Changed { view: view(5, &[]), changed: Vec::new(), continuity: Continuity::First };
    bench.engine.handle(Event::Store { store: 0, update }, bench.now);
    let rested = |actions: Vec<Action>| {
        actions.iter().any(|action| matches!(action, Action::Report(Report::Rested { in_sync: false })))
    };
    assert!(!rested(bench.engine.schedule(bench.now)), "it is being applied");
    let applied = Event::Applied { resource: 0, applied: failed(Step::Render) };
    bench.engine.handle(applied, bench.now);
    assert!(rested(bench.engine.schedule(bench.now)));
    assert!(!rested(bench.engine.schedule(bench.now)));
}

#[test]
fn one_that_is_slow_and_looked_at_again_meanwhile_holds_up_no_other_and_no_reload() {
    let pace = with(PACE, |pace| pace.in_order = true);
    let mut bench = Bench::paced(pace, [resource("web", Some("reload")), resource("db", None)]);
    assert_eq!(bench.changed(view(5, &[]), Continuity::First), ["apply 0"]);
    bench.now += PACE.refresh_every;
    assert!(bench.engine.schedule(bench.now).iter().filter_map(shown).next().is_none(), "one at a time");
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"], "what is dirty since is not waited for");
    assert_eq!(bench.reloaded(Ok(())), ["apply 1"], "it has waited longest");
    assert_eq!(bench.applied(1, swapped("db")), ["apply 0"]);
}

#[test]
fn a_change_to_more_files_than_are_applied_at_once_ends_in_one_reload() {
    let names: Vec<String> = (0..9).map(|number| format!("r{number}")).collect();
    let mut bench = Bench::new(names.iter().map(|name| resource(name, Some("reload"))));
    let mut begun = bench.changed(view(5, &[]), Continuity::First);
    let mut reloads = 0;
    while let Some(action) = begun.pop() {
        match action.strip_prefix("apply ") {
            Some(number) => {
                let number: usize = number.parse().unwrap();
                let next = bench.applied(number, swapped(&names[number]));
                begun.extend(next);
            }
            None => reloads += 1,
        }
    }
    assert_eq!(reloads, 1);
}

#[test]
fn a_look_during_a_reload_owes_no_other_one() {
    let mut bench = Bench::new([resource("web", Some("reload"))]);
    bench.changed(view(5, &[]), Continuity::First);
    assert_eq!(bench.applied(0, swapped("web")), ["reload 0"]);
    bench.now += PACE.refresh_every;
    let begun: Vec<String> = bench.engine.schedule(bench.now).iter().filter_map(shown).collect();
    assert_eq!(begun, ["apply 0"]);
    assert!(bench.applied(0, done("web", Change::None { reload_owed: true })).is_empty());
    assert!(bench.reloaded(Ok(())).is_empty(), "the one in flight read that content");
    assert!(bench.engine.is_in_sync());
}

#[test]
fn an_outage_is_told_again_after_it_was_over() {
    let mut bench = Bench::new([resource("web", None)]);
    let told = |bench: &mut Bench| {
        let update = Update::Unreachable(Error::new(ErrorKind::Unavailable, "etcd", "read", "/"));
        let actions = bench.engine.handle(Event::Store { store: 0, update }, bench.now);
        actions.iter().any(|action| matches!(action, Action::Report(Report::Unreachable { .. })))
    };
    assert!(told(&mut bench));
    assert!(!told(&mut bench), "it is the same one");
    bench.changed(view(5, &[]), Continuity::First);
    assert!(told(&mut bench), "it is another one");
}
