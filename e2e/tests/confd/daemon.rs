//! confd that keeps running: at an interval, and watching.

use std::fs;

use waypost_e2e::{Confd, Generation, Resource, Tree, require};
use waypost_servers::Etcd;

use crate::{Old, TEXT, assert_ended, both, one};

#[test]
fn without_watch_the_store_is_read_at_every_interval() {
    require!("etcd");
    for generation in Generation::BOTH {
        let (etcd, tree) = (Etcd::start(), Tree::new());
        etcd.put("/web/a", "1");
        Resource::new("web").counts_reloads().write_to(&tree);
        let agent = Confd::new(generation, &tree).etcd(&etcd).flags("-interval 1").start(&tree);
        agent.wait_for_reload(&tree, "web", "a=1\n");
        etcd.put("/web/a", "2");
        agent.wait_for_reload(&tree, "web", "a=2\n");
        assert_eq!(etcd.metric("etcd_debugging_mvcc_watcher_total", ""), 0.0, "{generation:?}");
        assert!(agent.stop().success(), "{}", agent.log());
    }
}

#[test]
fn at_every_interval_conf_d_is_read_again() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        let agent = confd.flags("-interval 1").start(tree);
        agent.wait_for_text(tree, "web", TEXT);
        Resource::new("more").write_to(tree);
        agent.wait_for_text(tree, "more", TEXT);
        assert!(agent.stop().success(), "{}", agent.log());
    });
}

#[test]
fn a_template_that_changed_is_read_at_the_next_interval() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        let agent = confd.flags("-interval 1").start(tree);
        agent.wait_for_text(tree, "web", TEXT);
        fs::write(tree.template("web"), "another\n").unwrap();
        agent.wait_for_text(tree, "web", "another\n");
        assert!(agent.stop().success(), "{}", agent.log());
    });
}

#[test]
fn with_watch_a_change_is_applied_at_once() {
    require!("etcd");
    for generation in Generation::BOTH {
        let (etcd, tree) = (Etcd::start(), Tree::new());
        etcd.put("/web/a", "1");
        Resource::new("web").counts_reloads().write_to(&tree);
        let agent = Confd::new(generation, &tree).etcd(&etcd).flags("-watch -interval 600").start(&tree);
        agent.wait_for_reload(&tree, "web", "a=1\n");
        etcd.put("/web/b", "2");
        agent.wait_for_reload(&tree, "web", "a=1\nb=2\n");
        etcd.delete("/web/a");
        agent.wait_for_reload(&tree, "web", "b=2\n");
        assert!(agent.stop().success(), "{}", agent.log());
    }
}

#[test]
fn a_file_store_is_watched() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        let agent = confd.flags("-watch -interval 600").start(tree);
        agent.wait_for_text(tree, "web", TEXT);
        fs::write(tree.join("keys.yml"), "web: {a: new}\n").unwrap();
        agent.wait_for_text(tree, "web", "a=new\n");
        assert!(agent.stop().success(), "{}", agent.log());
    });
}

/// confd blocks for ever without one render.
#[test]
fn the_environment_with_watch_is_rendered_once_and_kept() {
    require!();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).backend("env").flags("-watch").variable("WEB_A", "1");
        let agent = confd.start(&tree);
        agent.wait_for_text(&tree, "web", "a=1\n");
        assert!(agent.is_running());
        assert!(agent.stop().success(), "{}", agent.log());
    }
}

#[test]
fn watch_survives_an_etcd_that_goes_and_comes_back() {
    require!("etcd");
    for generation in Generation::BOTH {
        let (etcd, tree) = (Etcd::start(), Tree::new());
        etcd.put("/web/a", "1");
        Resource::new("web").write_to(&tree);
        let flags = "-watch -interval 600 -watch-error-backoff 200ms";
        let agent = Confd::new(generation, &tree).etcd(&etcd).flags(flags).start(&tree);
        agent.wait_for_text(&tree, "web", "a=1\n");
        etcd.kill();
        agent.wait_logged(&["cannot be read"]);
        etcd.start_again();
        etcd.put("/web/a", "2");
        agent.wait_for_text(&tree, "web", "a=2\n");
        assert!(agent.stop().success(), "{}", agent.log());
    }
}

#[test]
fn onetime_wins_over_watch_and_interval() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        assert_ended(&confd.flags("-watch -interval 5").once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn two_confds_of_one_directory_work_side_by_side_as_they_did() {
    require!();
    one(Old, |tree, confd| {
        Resource::new("web").write_to(tree);
        let agent = confd.flags("-interval 600").start(tree);
        agent.wait_for_text(tree, "web", TEXT);
        assert_ended(&confd.once(), 0, &["another confd works on the same directory"]);
        assert!(agent.stop().success(), "{}", agent.log());
    });
}

#[test]
fn without_watch_resources_are_worked_on_in_the_order_of_their_files() {
    require!();
    for flags in ["-onetime", "-interval 600"] {
        both(|_, tree, confd| {
            let ready = tree.join("ready");
            let reload = format!("sleep 0.2; touch {}", ready.display());
            Resource::new("10").check("sleep 0.2").reload(&reload).write_to(tree);
            // As a site's check needs the certificates that were written before.
            let check =
                format!("test -e {} && test -e {}", tree.destination("10").display(), ready.display());
            Resource::new("20").check(&check).write_to(tree);
            let agent = confd.flags(flags).start(tree);
            agent.wait_for_text(tree, "20", TEXT);
            let ended = if flags == "-onetime" { agent.wait() } else { agent.stop() };
            assert!(ended.success() && agent.logged(&["check failed"]) == 0, "{}", agent.log());
        });
    }
}

#[test]
fn a_reload_that_several_share_runs_once_after_the_last_of_them() {
    require!();
    both(|_, tree, confd| {
        let note = tree.join("note");
        let reload = format!("ls {} | wc -l >> {}", tree.join("out").display(), note.display());
        for name in ["10", "20", "30"] {
            Resource::new(name).reload(&reload).write_to(tree);
        }
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(fs::read_to_string(note).unwrap().trim(), "3");
    });
}
