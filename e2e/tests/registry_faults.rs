//! A registry that fails in every way that etcd has: no change is lost, nothing is reloaded without a
//! change of the file, and the file ends right, or is held with the reason in the log.

use std::fmt::Write;
use std::time::Duration;

use waypost_e2e::{Resource, Tree, Waypost, once, require};
use waypost_servers::{Etcd, EtcdCluster, EtcdGrpcProxy, Proxy, wait_until};

/// How soon after a connection works again a change is in the file; a second or two when it is quiet.
const AFTER_A_BLACK_HOLE: Duration = Duration::from_secs(15);

/// A tree with the resource `web` in it, which counts its reloads.
fn tree() -> Tree {
    let tree = Tree::new();
    Resource::new("web").counts_reloads().write_to(&tree);
    tree
}

/// An agent on `tree` that looks for itself every second and gives a doubtful registry `settle`.
fn agent(tree: &Tree, node: &str, settle: &str) -> Waypost {
    let pace = ["--audit-interval", "1s", "--retry-max", "1s", "--settle", settle];
    Waypost::agent(tree, ["--node", node].iter().chain(&pace))
}

fn put_all(etcd: &Etcd, entries: &[(&str, &str)]) {
    for (name, value) in entries {
        etcd.put(&format!("/web/{name}"), value);
    }
}

#[test]
fn changes_made_and_compacted_while_the_agent_is_cut_off_are_not_lost() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), tree());
    let proxy = Proxy::to(&etcd.endpoint());
    put_all(&etcd, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let agent = agent(&tree, &proxy.endpoint(), "60s");
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\nc=1\n");

    proxy.cut();
    agent.wait_logged(&["ERROR", "the registry cannot be read", &proxy.endpoint()]);
    put_all(&etcd, &[("a", "2"), ("d", "1"), ("d", "2")]);
    let last = etcd.delete("/web/b");
    etcd.compact(last);
    proxy.resume();

    agent.wait_for_reload(&tree, "web", "a=2\nc=1\nd=2\n");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 2, "one for all that was missed");
    assert_eq!(agent.logged(&["not believed"]), 0, "{}", agent.log());
}

#[test]
fn a_compaction_under_a_running_watch_is_not_noticed() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), tree());
    put_all(&etcd, &[("a", "1")]);
    let agent = agent(&tree, &etcd.endpoint(), "60s");
    agent.wait_for_reload(&tree, "web", "a=1\n");

    let last = etcd.put("/elsewhere", "1");
    etcd.compact(last);
    put_all(&etcd, &[("a", "2")]);

    agent.wait_for_reload(&tree, "web", "a=2\n");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 2);
    assert_eq!(agent.logged(&["ERROR"]) + agent.logged(&["WARN"]), 0, "{}", agent.log());
}

/// Where an agent connects to: etcd itself, or a proxy that keeps the connection whatever happens behind it.
enum Front {
    Direct(String),
    Kept(EtcdGrpcProxy),
}

impl Front {
    fn direct(etcd: &Etcd) -> Front {
        Front::Direct(etcd.endpoint())
    }

    fn kept(etcd: &Etcd) -> Front {
        Front::Kept(EtcdGrpcProxy::in_front_of(etcd))
    }

    fn node(&self) -> String {
        match self {
            Front::Direct(endpoint) => endpoint.clone(),
            Front::Kept(proxy) => proxy.endpoint(),
        }
    }
}

fn an_older_snapshot_is_held_until_its_services_are_back(front: fn(&Etcd) -> Front) {
    let (etcd, tree) = (Etcd::start(), tree());
    let front = front(&etcd);
    let snapshot = tree.join("snapshot");
    put_all(&etcd, &[("a", "1"), ("b", "1")]);
    etcd.snapshot_save(&snapshot);
    put_all(&etcd, &[("b", "2"), ("c", "1")]);
    let agent = agent(&tree, &front.node(), "600s");
    agent.wait_for_reload(&tree, "web", "a=1\nb=2\nc=1\n");

    etcd.restore_from(&snapshot);
    agent.wait_logged(&["WARN", "held", "keys are missing (1)"]);
    assert_eq!(
        tree.text("web").as_deref(),
        Some("a=1\nb=2\nc=1\n"),
        "as long as one is missing, nothing is believed"
    );

    put_all(&etcd, &[("c", "3")]);
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\nc=3\n");
    put_all(&etcd, &[("d", "1")]);
    etcd.delete("/web/a");
    agent.wait_for_reload(&tree, "web", "b=1\nc=3\nd=1\n");
    assert!(agent.reloads_with_a_cause(&tree, "web") <= 4);
}

#[test]
fn an_etcd_restored_from_an_older_snapshot_is_not_believed_at_once() {
    require!("etcd", "etcdctl");
    an_older_snapshot_is_held_until_its_services_are_back(Front::direct);
}

#[test]
fn an_etcd_restored_behind_a_connection_that_holds_is_not_believed_at_once() {
    require!("etcd", "etcdctl");
    an_older_snapshot_is_held_until_its_services_are_back(Front::kept);
}

#[test]
fn a_restored_etcd_whose_services_do_not_come_back_is_believed_after_the_time_set() {
    require!("etcd", "etcdctl");
    let (etcd, tree) = (Etcd::start(), tree());
    let snapshot = tree.join("snapshot");
    put_all(&etcd, &[("a", "1")]);
    etcd.snapshot_save(&snapshot);
    put_all(&etcd, &[("b", "1")]);
    let agent = agent(&tree, &etcd.endpoint(), "3s");
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\n");

    etcd.restore_from(&snapshot);

    agent.wait_logged(&["WARN", "held", "keys are missing (1)"]);
    agent.wait_for_reload(&tree, "web", "a=1\n");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 2);
}

fn an_emptied_registry_is_held_until_its_services_are_back(front: fn(&Etcd) -> Front) {
    let (etcd, tree) = (Etcd::start(), tree());
    let front = front(&etcd);
    put_all(&etcd, &[("a", "1"), ("b", "1")]);
    let agent = agent(&tree, &front.node(), "1s");
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\n");

    etcd.wipe();
    agent.wait_logged(&["WARN", "held", "it has no key, and had 2", "the last good file stays"]);
    assert_eq!(
        tree.text("web").as_deref(),
        Some("a=1\nb=1\n"),
        "an empty registry is never believed by itself"
    );

    etcd.put_all([("/web/a", "1"), ("/web/b", "1")]);
    put_all(&etcd, &[("c", "1")]);
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\nc=1\n");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 2);
}

#[test]
fn an_emptied_etcd_keeps_the_last_good_file() {
    require!("etcd");
    an_emptied_registry_is_held_until_its_services_are_back(Front::direct);
}

#[test]
fn an_etcd_emptied_behind_a_connection_that_holds_keeps_the_last_good_file() {
    require!("etcd");
    an_emptied_registry_is_held_until_its_services_are_back(Front::kept);
}

#[test]
fn an_etcd_emptied_while_the_agent_was_down_keeps_the_last_good_file() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), tree());
    put_all(&etcd, &[("a", "1"), ("b", "1")]);
    let mut agent = agent(&tree, &etcd.endpoint(), "1s");
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\n");
    agent.wait_logged(&["reloaded"]);
    assert!(agent.stop().success());

    etcd.wipe();
    agent.start_again();

    agent.wait_logged(&["WARN", "held", "it has no key, and had 2"]);
    assert_eq!(tree.text("web").as_deref(), Some("a=1\nb=1\n"));
    put_all(&etcd, &[("a", "2"), ("b", "1")]);
    agent.wait_for_reload(&tree, "web", "a=2\nb=1\n");
    agent.reloads_with_a_cause(&tree, "web");
}

#[test]
fn a_single_pass_on_an_emptied_etcd_keeps_the_file_and_says_so() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), tree());
    put_all(&etcd, &[("a", "1")]);
    let node = etcd.endpoint();
    assert_eq!(once(&tree, ["--node", &node]).code, Some(0));

    etcd.wipe();

    let output = once(&tree, ["--node", &node]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("it has no key, and had 1"), "{}", output.stderr);
    assert_eq!((tree.text("web").as_deref(), tree.reloads("web").len()), (Some("a=1\n"), 1));
}

#[test]
fn keys_that_are_deleted_are_believed_to_the_last() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), tree());
    put_all(&etcd, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let agent = agent(&tree, &etcd.endpoint(), "600s");
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\nc=1\n");

    etcd.delete("/web/a");
    agent.wait_for_reload(&tree, "web", "b=1\nc=1\n");
    etcd.delete_prefix("/web/");

    agent.wait_for_reload(&tree, "web", "");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 3);
    assert_eq!(agent.logged(&["WARN"]), 0, "{}", agent.log());
}

#[test]
fn a_black_holed_connection_is_noticed_and_what_changed_meanwhile_arrives() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), tree());
    let proxy = Proxy::to(&etcd.endpoint());
    put_all(&etcd, &[("a", "1"), ("b", "1")]);
    // A safety poll that comes too late to help: it is the watch that has to notice.
    let agent = Waypost::agent(&tree, ["--node", &proxy.endpoint(), "--audit-interval", "1h"]);
    agent.wait_for_reload(&tree, "web", "a=1\nb=1\n");

    proxy.black_hole();
    put_all(&etcd, &[("a", "2")]);
    etcd.delete("/web/b");
    let noticed = || agent.logged(&["the registry cannot be read", "did not answer within"]) > 0;
    wait_until("the silence to be noticed", AFTER_A_BLACK_HOLE, noticed);
    assert_eq!(tree.text("web").as_deref(), Some("a=1\nb=1\n"));
    proxy.resume();

    let arrived = || tree.text("web").as_deref() == Some("a=2\n");
    wait_until("the change made meanwhile", AFTER_A_BLACK_HOLE, arrived);
    agent.wait_for_reload(&tree, "web", "a=2\n");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 2);
}

#[test]
fn a_paused_etcd_is_noticed_and_followed_again() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), tree());
    put_all(&etcd, &[("a", "1")]);
    let agent = agent(&tree, &etcd.endpoint(), "60s");
    agent.wait_for_reload(&tree, "web", "a=1\n");

    etcd.pause();
    agent.wait_logged(&["the registry cannot be read", "did not answer within"]);
    etcd.resume();

    put_all(&etcd, &[("a", "2")]);
    agent.wait_for_reload(&tree, "web", "a=2\n");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 2);
}

/// Keeps the file in step with a cluster whose leader fails by `fail` while changes go on, and is back later.
fn a_lost_leader_loses_no_change(fail: fn(&EtcdCluster, usize), mend: fn(&EtcdCluster, usize)) {
    let (cluster, tree) = (EtcdCluster::start(), tree());
    cluster.put("/web/00", "first");
    let agent = agent(&tree, &cluster.endpoints().join(","), "60s");
    agent.wait_for_reload(&tree, "web", "00=first\n");

    let mut text = "00=first\n".to_owned();
    let leader = cluster.leader();
    for number in 1..=20 {
        if number == 5 {
            fail(&cluster, leader);
        }
        cluster.put(&format!("/web/{number:02}"), number.to_string());
        let _ = writeln!(text, "{number:02}={number}");
        if number == 12 {
            mend(&cluster, leader);
        }
    }
    cluster.delete("/web/00");
    let text = text.trim_start_matches("00=first\n");

    agent.wait_for_reload(&tree, "web", text);
    assert!(agent.reloads_with_a_cause(&tree, "web") <= 22, "at most one for each change");
    assert_eq!(agent.logged(&["not believed"]), 0, "it is the same store all the time: {}", agent.log());
}

#[test]
fn a_killed_leader_loses_no_change() {
    require!("etcd");
    a_lost_leader_loses_no_change(EtcdCluster::kill, EtcdCluster::start_again);
}

#[test]
fn a_leader_that_is_paused_and_wakes_up_outvoted_loses_no_change() {
    require!("etcd");
    a_lost_leader_loses_no_change(EtcdCluster::pause, EtcdCluster::resume);
}

#[test]
fn a_cluster_without_a_majority_keeps_the_file_until_it_has_one_again() {
    require!("etcd");
    let (cluster, tree) = (EtcdCluster::start(), tree());
    cluster.put("/web/a", "1");
    let agent = agent(&tree, &cluster.endpoints().join(","), "60s");
    agent.wait_for_reload(&tree, "web", "a=1\n");

    cluster.kill(0);
    cluster.kill(1);
    agent.wait_logged(&["the registry cannot be read"]);
    assert_eq!(tree.text("web").as_deref(), Some("a=1\n"));
    cluster.start_again(0);
    cluster.put("/web/a", "2");

    agent.wait_for_reload(&tree, "web", "a=2\n");
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 2);
    assert_eq!(agent.logged(&["not believed"]), 0, "{}", agent.log());
}
