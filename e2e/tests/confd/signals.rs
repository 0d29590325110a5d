//! Signals, exit codes and what a file that cannot be loaded does.

use std::fs;

use waypost_e2e::{Confd, Generation, Resource, Tree, Waypost, require};
use waypost_servers::{Etcd, Signal};

use crate::{Old, TEXT, assert_ended, both, one};

/// confd at work, with one file written.
fn at_work(confd: &Confd, tree: &Tree) -> Waypost {
    Resource::new("web").write_to(tree);
    let agent = confd.start(tree);
    agent.wait_for_text(tree, "web", TEXT);
    agent
}

#[test]
fn int_and_term_end_it_with_0_in_either_mode() {
    require!();
    for flags in ["-watch", "-interval 600"] {
        for signal in [Signal::INT, Signal::TERM] {
            both(|_, tree, confd| {
                let agent = at_work(&confd.flags(flags), tree);
                agent.signal(signal);
                assert_eq!(agent.wait().code(), Some(0), "{flags} {signal:?}: {}", agent.log());
            });
        }
    }
}

#[test]
fn hup_reads_conf_d_and_templates_again_in_both_generations_and_modes() {
    require!();
    for flags in ["-watch", "-interval 600"] {
        both(|_, tree, confd| {
            let agent = at_work(&confd.flags(flags), tree);
            fs::write(tree.template("web"), "another\n").unwrap();
            Resource::new("more").write_to(tree);
            agent.signal(Signal::HUP);
            agent.wait_for_text(tree, "web", "another\n");
            agent.wait_for_text(tree, "more", TEXT);
            assert!(agent.stop().success(), "{}", agent.log());
        });
    }
}

#[test]
fn hup_with_a_broken_file_keeps_the_old_configuration_in_0_16() {
    require!();
    one(Old, |tree, confd| {
        let agent = at_work(&confd.flags("-interval 600"), tree);
        fs::write(tree.configuration("broken"), "[template\n").unwrap();
        agent.signal(Signal::HUP);
        agent.wait_logged(&["the configuration is not read again"]);
        assert!(agent.stop().success(), "{}", agent.log());
    });
}

#[test]
fn a_single_pass_ends_with_1_if_anything_failed() {
    require!();
    both(|_, tree, confd| {
        Resource::new("web").write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        Resource::new("bad").template("{{getv \"/no/such\"}}").write_to(tree);
        assert_ended(&confd.once(), 1, &["bad.toml"]);
        assert_eq!(tree.files(), ["web.conf"]);
    });
}

#[test]
fn a_single_pass_without_resources_is_told_and_no_error() {
    require!();
    both(|_, tree, confd| {
        assert_ended(&confd.once(), 0, &["WARN", "conf.d: there is no *.toml file in it"]);
        fs::remove_dir(tree.join("conf.d")).unwrap();
        assert_ended(&confd.once(), 0, &["WARN", "conf.d"]);
    });
}

#[test]
fn a_file_that_cannot_be_loaded_ends_0_16_and_is_left_out_by_0_41() {
    require!();
    for flags in ["-interval 600", "-watch"] {
        both(|generation, tree, confd| {
            Resource::new("web").write_to(tree);
            fs::write(tree.configuration("broken"), "[template\n").unwrap();
            assert_ended(&confd.once(), 1, &["broken.toml:1:"]);
            assert!(tree.files().is_empty(), "a single pass writes nothing");

            let agent = confd.flags(flags).start(tree);
            agent.wait_logged(&["broken.toml:1:"]);
            if generation == Old {
                assert_eq!(agent.wait().code(), Some(1), "{}", agent.log());
                assert!(tree.files().is_empty(), "{}", agent.log());
            } else {
                agent.wait_for_text(tree, "web", TEXT);
                assert!(agent.stop().success(), "{}", agent.log());
            }
        });
    }
}

#[test]
fn what_fails_while_it_keeps_running_is_tried_again() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/web/a", "1");
    for generation in Generation::BOTH {
        let tree = Tree::new();
        let check = format!("test -e {}", tree.join("ready").display());
        Resource::new("web").check(&check).write_to(&tree);
        let agent = Confd::new(generation, &tree).etcd(&etcd).flags("-watch -interval 1").start(&tree);
        agent.wait_logged(&["check failed"]);
        fs::write(tree.join("ready"), "").unwrap();
        // confd would wait for another change.
        agent.wait_for_text(&tree, "web", "a=1\n");
        assert!(agent.stop().success(), "{}", agent.log());
    }
}
