//! Commands as a user with a password.

use waypost_servers::{Etcd, Permission};

use crate::etcdctl::{Background, run};
use crate::server::{Server, is_etcd};

/// A server with the user `web`, who may do everything below `/web/` and nothing else.
fn server_with_a_user() -> Option<Server> {
    if !is_etcd() {
        return None;
    }
    if !waypost_servers::available(&["etcd", "etcdctl"]) {
        return None;
    }
    let grants = [("/web/", Permission::ReadWrite)];
    Some(Server::etcd(Etcd::options().user("web", "secret", &grants).start()))
}

#[test]
fn a_user_may_do_what_was_granted_and_nothing_else() {
    let Some(server) = server_with_a_user() else { return };
    let user = "--user=web:secret";
    assert_eq!(run(&server, &[user, "put", "/web/1", "v"]).ok(), "OK\n");
    assert_eq!(run(&server, &[user, "get", "/web/", "--prefix"]).ok(), "/web/1\nv\n");
    let watch = Background::start(&server, &[user, "watch", "/web/", "--prefix", "--rev=1"]);
    watch.prints("PUT\n/web/1\nv\n");
    assert_eq!(run(&server, &["--user=web", "--password=secret", "del", "/web/1"]).ok(), "1\n");

    let denied = "etcdserver: permission denied";
    run(&server, &[user, "put", "/elsewhere", "v"]).fails("PermissionDenied", denied);
    run(&server, &[user, "get", "", "--prefix"]).fails("PermissionDenied", denied);
    // Compaction is not about keys; health counts a denied read as an answer.
    assert_eq!(run(&server, &[user, "compaction", "2"]).ok(), "compacted revision 2\n");
    let health = run(&server, &[user, "endpoint", "health"]);
    assert!(health.code == Some(0) && health.stderr.contains(" is healthy"), "{}", health.stderr);
}

#[test]
fn a_wrong_password_and_none_are_refused_with_etcds_words() {
    let Some(server) = server_with_a_user() else { return };
    let failed = "etcdserver: authentication failed, invalid user ID or password";
    for wrong in ["--user=web:wrong", "--user=nobody:secret"] {
        let refused = run(&server, &[wrong, "get", "/web/1"]);
        assert_ne!(refused.code, Some(0), "{}", refused.stdout);
        assert!(refused.stderr.trim_end().ends_with(&format!("Error: {failed}")), "{}", refused.stderr);
    }
    run(&server, &["get", "/web/1"]).fails("InvalidArgument", "etcdserver: user name is empty");
    run(&server, &["put", "/web/1", "v"]).fails("InvalidArgument", "etcdserver: user name is empty");
}
