//! etcd's v2 keys, as `-backend etcd` of 0.16 means them.

use waypost_e2e::{Confd, Resource, Tree, require};
use waypost_servers::Etcd;

use crate::{New, Old, assert_ended};

fn etcd() -> Etcd {
    Etcd::options().enable_v2().start()
}

fn confd(tree: &Tree, etcd: &Etcd) -> Confd {
    Confd::new(Old, tree).store(&["-node", &etcd.url()])
}

#[test]
fn the_default_backend_of_0_16_reads_v2_keys() {
    require!("etcd");
    let (etcd, tree) = (etcd(), Tree::new());
    etcd.v2_put_all([("/app/x", "1"), ("/app/sub/y", "2"), ("/apple/z", "3"), ("/app/größe-_.:", "4")]);
    etcd.put("/app/x", "of the v3 API");
    let template = "{{range gets \"/*/*\"}}{{.Key}}={{.Value}} {{end}}{{getv \"/app/sub/y\"}}";
    Resource::new("web").keys("/app").template(template).write_to(&tree);
    for words in [&["-node", &etcd.url()][..], &["-backend", "etcd", "-node", &etcd.endpoint()]] {
        assert_ended(&Confd::new(Old, &tree).store(words).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("/app/größe-_.:=4 /app/x=1 2"));
    }
}

#[test]
fn v2_keys_are_watched() {
    require!("etcd");
    let (etcd, tree) = (etcd(), Tree::new());
    etcd.v2_put("/web/a", "1");
    Resource::new("web").counts_reloads().write_to(&tree);
    let agent = confd(&tree, &etcd).flags("-watch -interval 600").start(&tree);
    agent.wait_for_reload(&tree, "web", "a=1\n");
    etcd.v2_put("/web/b", "2");
    agent.wait_for_reload(&tree, "web", "a=1\nb=2\n");
    etcd.v2_delete("/web/a");
    agent.wait_for_reload(&tree, "web", "b=2\n");
    assert!(agent.stop().success(), "{}", agent.log());
}

#[test]
fn v2_keys_are_read_at_an_interval() {
    require!("etcd");
    let (etcd, tree) = (etcd(), Tree::new());
    etcd.v2_put("/web/a", "1");
    Resource::new("web").write_to(&tree);
    let agent = confd(&tree, &etcd).flags("-interval=1").start(&tree);
    agent.wait_for_text(&tree, "web", "a=1\n");
    etcd.v2_put("/web/a", "2");
    agent.wait_for_text(&tree, "web", "a=2\n");
    assert!(agent.stop().success(), "{}", agent.log());
}

#[test]
fn an_etcd_that_serves_v3_only_gets_an_error_that_says_so() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    Resource::new("web").write_to(&tree);
    assert_ended(&confd(&tree, &etcd).once(), 1, &["v3", "etcdv3"]);
}

#[test]
fn etcd_of_0_41_and_etcdv3_of_0_16_are_the_v3_api() {
    require!("etcd");
    let etcd = etcd();
    etcd.v2_put("/web/a", "two");
    etcd.put("/web/a", "three");
    for generation in [Old, New] {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        assert_ended(&Confd::new(generation, &tree).etcd(&etcd).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=three\n"), "{generation:?}");
    }
}

#[test]
fn a_user_of_the_v2_api_logs_in() {
    require!("etcd");
    let (etcd, tree) = (etcd(), Tree::new());
    etcd.v2_put("/app/x", "1");
    etcd.v2_user("confd", "secret");
    Resource::new("web").keys("/app").template("{{getv \"/app/x\"}}").write_to(&tree);
    let confd = confd(&tree, &etcd).flags("-basic-auth -username confd");
    assert_ended(&confd.flags("-password secret").once(), 0, &[]);
    assert_eq!(tree.text("web").as_deref(), Some("1"));
    assert_ended(&confd.flags("-password wrong").once(), 1, &["cannot be read"]);
}
