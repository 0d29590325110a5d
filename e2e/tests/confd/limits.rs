//! Time limits and paces: of a resource, and of the whole.

use std::fs;
use std::time::Instant;

use waypost_e2e::{Confd, DEADLINE, Generation, Resource, Tree, require};
use waypost_servers::{Etcd, Ports};

use crate::{New, Old, TEXT, assert_ended, both, noted, one};

/// Longer than any test waits.
const FOR_EVER: &str = "exec sleep 600";

/// confd that watches `etcd`, and one key there.
fn watching(etcd: &Etcd, tree: &Tree) -> Confd {
    etcd.put("/web/a", "1");
    Confd::new(New, tree).etcd(etcd).flags("--watch")
}

#[test]
fn check_cmd_timeout_and_reload_cmd_timeout_end_a_command() {
    require!();
    one(New, |tree, confd| {
        Resource::new("web").check(FOR_EVER).line("check_cmd_timeout = \"100ms\"").write_to(tree);
        let started = Instant::now();
        assert_ended(&confd.once(), 1, &["check failed", "100ms"]);
        assert!(tree.files().is_empty());

        Resource::new("web").reload(FOR_EVER).line("reload_cmd_timeout = \"100ms\"").write_to(tree);
        assert_ended(&confd.once(), 1, &["reload failed", "100ms"]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
        assert!(started.elapsed() < DEADLINE);
    });
}

#[test]
fn the_limits_of_the_command_line_count_for_resources_without_their_own() {
    require!();
    one(New, |tree, confd| {
        Resource::new("check").check(FOR_EVER).write_to(tree);
        Resource::new("reload").reload(FOR_EVER).write_to(tree);
        let own = Resource::new("own").check("sleep 0.5").line("check_cmd_timeout = \"1m\"");
        own.write_to(tree);
        let none = Resource::new("none").check("sleep 0.5").line("check_cmd_timeout = \"0s\"");
        none.write_to(tree);
        let confd = confd.flags("--check-cmd-timeout 200ms --reload-cmd-timeout 200ms");
        assert_ended(&confd.once(), 1, &["check failed", "reload failed"]);
        assert_eq!(tree.files(), ["none.conf", "own.conf", "reload.conf"]);
    });
}

#[test]
fn no_limit_is_a_zero_for_all_commands() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").check("sleep 0.2").reload("sleep 0.2").write_to(tree);
        let confd = confd.flags("--check-cmd-timeout 0 --reload-cmd-timeout 0");
        assert_ended(&confd.once(), 0, &[]);
    });
}

#[test]
fn min_reload_interval_puts_a_reload_off_and_never_drops_it() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    Resource::new("web").counts_reloads().line("min_reload_interval = \"2s\"").write_to(&tree);
    let agent = watching(&etcd, &tree).start(&tree);
    agent.wait_for_reload(&tree, "web", "a=1\n");
    let reloaded = Instant::now();

    etcd.put("/web/a", "2");
    agent.wait_for_text(&tree, "web", "a=2\n");
    etcd.put("/web/a", "3");
    agent.wait_for_text(&tree, "web", "a=3\n");
    // confd keeps the file from being written, too, and forgets the change unless another one comes.
    agent.wait_logged(&["put off"]);
    agent.wait_for_reload(&tree, "web", "a=3\n");
    assert!(reloaded.elapsed().as_millis() > 1500, "{:?}", reloaded.elapsed());
    assert_eq!(tree.reloads("web"), ["a=1", "a=3"]);
}

#[test]
fn debounce_waits_until_the_keys_are_quiet_and_a_resources_own_counts() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    Resource::new("slow").write_to(&tree);
    Resource::new("own").line("debounce = \"50ms\"").write_to(&tree);
    let agent = watching(&etcd, &tree).flags("--debounce 1h").start(&tree);
    agent.wait_for_text(&tree, "own", "a=1\n");
    agent.wait_for_text(&tree, "slow", "a=1\n");
    etcd.put("/web/a", "2");
    agent.wait_for_text(&tree, "own", "a=2\n");
    assert_eq!(tree.text("slow").as_deref(), Some("a=1\n"), "for an hour");
}

#[test]
fn debounce_and_batch_interval_do_not_hold_up_a_single_pass() {
    require!();
    one(New, |tree, confd| {
        Resource::new("web").line("debounce = \"1h\"").write_to(tree);
        let confd = confd.flags("--debounce 1h --batch-interval 1h");
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn batch_interval_collects_changes() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    Resource::new("web").counts_reloads().write_to(&tree);
    let agent = watching(&etcd, &tree).flags("--batch-interval 1s").start(&tree);
    agent.wait_for_reload(&tree, "web", "a=1\n");
    for number in 2..10 {
        etcd.put("/web/a", number.to_string());
    }
    agent.wait_for_reload(&tree, "web", "a=9\n");
    let reloads = tree.reloads("web").len();
    assert!(reloads <= 3, "{reloads} reloads: {:#?}", tree.reloads("web"));
}

#[test]
fn backend_timeout_ends_a_pass_that_gets_no_answer() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.pause();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        fs::write(tree.destination("web"), "old\n").unwrap();
        let confd = Confd::new(generation, &tree).etcd(&etcd);
        let flags = "--backend-timeout 500ms --dial-timeout 500ms --retry-max-attempts 1";
        let started = Instant::now();
        assert_ended(&confd.flags(flags).once(), 1, &["cannot be read"]);
        assert!(started.elapsed().as_secs() < 25, "{:?}", started.elapsed());
        assert_eq!(tree.text("web").as_deref(), Some("old\n"), "no answer is not an empty one");
    }
    etcd.resume();
}

#[test]
fn a_pass_asks_once_in_0_16_and_as_often_as_is_said_in_0_41() {
    require!();
    for (generation, flags, wanted) in [
        (Old, "", 0),
        (New, "", 100 + 200),
        (New, "--retry-max-attempts 1", 0),
        (New, "--retry-base-delay 1s", 3000),
    ] {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).node(&format!("127.0.0.1:{}", Ports::free()));
        let started = Instant::now();
        assert_ended(&confd.flags(flags).once(), 1, &["cannot be read"]);
        // The pauses between the attempts; each may be shortened by chance.
        let took = started.elapsed().as_millis();
        assert!(took >= wanted / 2, "{generation:?} {flags}: {took} ms");
    }
}

#[test]
fn shutdown_timeout_ends_the_wait_for_a_reload() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    let note = tree.join("pid");
    Resource::new("web").reload(&format!("echo $$ > {}; {FOR_EVER}", note.display())).write_to(&tree);
    let agent = watching(&etcd, &tree).flags("--shutdown-timeout 300ms").start(&tree);
    agent.wait_until("the reload", || noted(&note).is_some_and(|pid| !pid.is_empty()));
    assert!(agent.stop().success(), "{}", agent.log());
    // It is left to itself, as a process that it may have to start would be.
    let pid = noted(&note).unwrap();
    std::process::Command::new("kill").arg(pid).status().unwrap();
}

#[test]
fn failure_mode_fail_fast_leaves_out_what_comes_after_a_failure() {
    require!();
    for (mode, wanted) in [("best-effort", vec!["10.conf", "30.conf"]), ("fail-fast", vec!["10.conf"])] {
        one(New, |tree, confd| {
            Resource::new("10").write_to(tree);
            Resource::new("20").template("{{getv \"/no/such\"}}").write_to(tree);
            Resource::new("30").write_to(tree);
            assert_ended(&confd.flags(&format!("--failure-mode {mode}")).once(), 1, &["20.toml"]);
            assert_eq!(tree.files(), wanted);
        });
    }
}
