//! Commands as a user with a password.

use waypost_servers::{Etcd, Permission};

use crate::etcdctl::{Background, run};
use crate::server::{Server, is_etcd};

/// The user's table for the store; it finds the password in the file beside the configuration.
const TABLE: &str = "[[store.user]]
name = \"web\"
password_file = \"password\"
read = [\"/web/\"]
write = [\"/web/\"]
";

/// A server with the user `web`, who may do everything below `/web/` and nothing else.
#[track_caller]
fn server_with_a_user() -> Option<Server> {
    let grants = [("/web/", Permission::ReadWrite)];
    let etcd = Etcd::options().user("web", "secret", &grants);
    Server::start_with(etcd, TABLE)
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
    // To etcd, compaction is not about keys; the store leaves it to an administrator.
    let compaction = run(&server, &[user, "compaction", "2"]);
    if is_etcd() {
        assert_eq!(compaction.ok(), "compacted revision 2\n");
    } else {
        compaction.fails("PermissionDenied", denied);
    }
    // A denied read is an answer.
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
