//! The etcd servers do what a test asks of them.

use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;
use waypost_servers::{
    Certificates, Etcd, EtcdCluster, EtcdGrpcProxy, Permission, Scratch, Storage, find, require, wait_until,
};

const SOON: Duration = Duration::from_secs(20);

/// `etcdctl` at an endpoint, as a user would call it.
fn etcdctl(endpoint: &str, args: &[&str]) -> Output {
    let mut command = Command::new(find("etcdctl").expect("required by the test"));
    command.env("ETCDCTL_API", "3").args([
        "--dial-timeout=2s",
        "--command-timeout=2s",
        "--endpoints",
        endpoint,
    ]);
    command.args(args).output().expect("etcdctl runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn what_is_put_is_read_and_deleted() {
    require!("etcd");
    let etcd = Etcd::start();

    let first = etcd.put("/web/1", "127.0.0.1:9001");
    assert_eq!(etcd.put("/web/2", "127.0.0.1:9002"), first + 1);
    assert_eq!(etcd.put_all((0..250).map(|i| (format!("/other/{i:03}"), "x"))), first + 4);
    assert_eq!(etcd.get("/web/1").as_deref(), Some("127.0.0.1:9001"));
    assert_eq!(etcd.get("/web/3"), None);
    assert_eq!(etcd.get_prefix("/web/").into_keys().collect::<Vec<_>>(), ["/web/1", "/web/2"]);
    assert_eq!(etcd.get_prefix("").len(), 252);

    etcd.delete("/web/1");
    assert_eq!(etcd.get("/web/1"), None);
    assert_eq!(etcd.delete_prefix(""), etcd.revision());
    assert_eq!(etcd.get_prefix("").len(), 0);
}

#[test]
fn etcdctl_sees_the_same_keys_at_the_endpoint() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    etcd.put("/a", "b");
    assert_eq!(text(&etcdctl(&etcd.endpoint(), &["get", "/a"])), "/a\nb");
    assert!(etcd.metric("etcd_debugging_mvcc_put_total", "") >= 1.0);
}

#[test]
fn a_killed_etcd_comes_back_on_its_port_with_its_keys() {
    require!("etcd");
    let etcd = Etcd::options().storage(Storage::Disk).start();
    etcd.put("/a", "1");
    let (url, revision) = (etcd.url(), etcd.revision());

    etcd.kill();
    assert!(!etcd.is_running());
    assert!(TcpStream::connect(etcd.endpoint()).is_err(), "nobody listens");
    etcd.start_again();
    assert_eq!((etcd.url(), etcd.revision()), (url, revision));

    etcd.stop();
    etcd.start_again();
    assert_eq!(etcd.get("/a").as_deref(), Some("1"));
}

#[test]
fn a_restored_etcd_has_the_old_keys_and_ids_and_a_lower_revision() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    let scratch = Scratch::new("snapshot", Storage::Memory);
    let ids = |etcd: &Etcd| {
        let header = etcd.gateway("kv/range", &json!({ "key": "YQ==" }))["header"].clone();
        (header["cluster_id"].clone(), header["member_id"].clone())
    };
    let before = ids(&etcd);
    etcd.put("/a", "old");
    let old = etcd.revision();
    etcd.snapshot_save(&scratch.join("snapshot.db"));
    etcd.put("/a", "new");
    etcd.put("/b", "new");

    etcd.restore_from(&scratch.join("snapshot.db"));

    assert_eq!(etcd.get_prefix("/").into_values().collect::<Vec<_>>(), ["old"]);
    assert_eq!(etcd.revision(), old);
    assert_eq!(ids(&etcd), before);
}

#[test]
fn a_wiped_etcd_is_empty_and_the_same() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/a", "1");
    let url = etcd.url();
    etcd.wipe();
    assert_eq!((etcd.get("/a"), etcd.revision(), etcd.url()), (None, 1, url));
}

#[test]
fn compacted_revisions_are_gone() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    let first = etcd.put("/a", "1");
    let second = etcd.put("/a", "2");
    etcd.compact(second);
    let old = etcdctl(&etcd.endpoint(), &["get", "/a", &format!("--rev={first}")]);
    let why = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(why.contains("compacted"), "{why}");
}

#[test]
fn a_paused_etcd_accepts_and_does_not_answer() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    etcd.put("/a", "1");

    etcd.pause();
    TcpStream::connect(etcd.endpoint()).unwrap();
    assert!(!etcdctl(&etcd.endpoint(), &["get", "/a"]).status.success());

    etcd.resume();
    etcd.wait_ready();
    assert_eq!(etcd.get("/a").as_deref(), Some("1"));
}

#[test]
fn with_tls_only_a_client_of_the_same_authority_is_served() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::options().tls().start();
    etcd.put("/a", "1");
    let other = Scratch::new("other-authority", Storage::Memory);
    let other = Certificates::generate(other.path(), "waypost");

    let get = |client: &Certificates| {
        let ca = etcd.certificates().unwrap().ca.to_str().unwrap();
        let (cert, key) = (client.client.to_str().unwrap(), client.client_key.to_str().unwrap());
        etcdctl(&etcd.url(), &["--cacert", ca, "--cert", cert, "--key", key, "get", "/a"])
    };
    assert_eq!(text(&get(etcd.certificates().unwrap())), "/a\n1");
    assert!(!get(&other).status.success(), "another authority's client");
    let plain = format!("http://{}", etcd.endpoint());
    assert!(!etcdctl(&plain, &["get", "/a"]).status.success(), "no TLS");

    etcd.kill();
    etcd.start_again();
    assert_eq!(etcd.get("/a").as_deref(), Some("1"));
}

#[test]
fn users_see_their_prefixes_only() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::options()
        .user("reader", "one", &[("/web/", Permission::Read)])
        .user("writer", "two", &[("/web/", Permission::ReadWrite), ("/db/", Permission::Write)])
        .auth_token_ttl(Duration::from_secs(2))
        .start();
    etcd.put("/web/1", "x");
    etcd.put("/secret", "y");

    let as_user = |user: &str, args: &[&str]| {
        let output = etcdctl(&etcd.endpoint(), &[&["--user", user], args].concat());
        (output.status.success(), text(&output))
    };
    assert_eq!(as_user("reader:one", &["get", "/web/1"]), (true, "/web/1\nx".to_owned()));
    assert!(!as_user("reader:one", &["put", "/web/1", "z"]).0);
    assert!(!as_user("reader:one", &["get", "/secret"]).0);
    assert!(!as_user("reader:wrong", &["get", "/web/1"]).0);
    assert!(as_user("writer:two", &["put", "/db/1", "z"]).0);

    etcd.wipe();
    assert_eq!(as_user("reader:one", &["get", "/web/1"]), (true, String::new()), "the users are there again");
}

#[test]
fn with_v2_the_old_api_answers() {
    require!("etcd");
    let etcd = Etcd::options().enable_v2().arg("--max-txn-ops=200").start();
    let answer = waypost_servers::get(&format!("{}/v2/keys/", etcd.url())).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.header("X-Etcd-Index").is_some());
}

#[test]
fn a_cluster_elects_another_leader_and_takes_the_old_one_back() {
    require!("etcd");
    let cluster = EtcdCluster::start();
    cluster.put("/a", "1");
    let first = cluster.leader();
    assert_ne!(cluster.follower(), first);

    cluster.kill(first);
    let second = cluster.leader();
    assert_ne!(second, first);
    cluster.put("/a", "2");

    cluster.start_again(first);
    cluster.pause(second);
    assert_eq!(cluster.get("/a").as_deref(), Some("2"), "the two others have elected one");
    cluster.resume(second);
    cluster.delete("/a");
    assert_eq!(cluster.get("/a"), None);
}

#[test]
fn a_client_of_the_grpc_proxy_keeps_its_connection_over_a_wipe() {
    require!("etcd", "etcdctl");
    let etcd = Etcd::start();
    let proxy = EtcdGrpcProxy::in_front_of(&etcd);
    etcd.put("/a", "1");
    assert_eq!(text(&etcdctl(&proxy.endpoint(), &["get", "/a"])), "/a\n1");

    let idle = TcpStream::connect(proxy.endpoint()).unwrap();
    etcd.wipe();
    idle.set_nonblocking(true).unwrap();
    let still_open = idle.peek(&mut [0]).map_err(|why| why.kind());
    assert_ne!(still_open, Ok(0), "the proxy has closed the connection");

    etcd.put("/a", "2");
    wait_until("the proxy to find etcd again", SOON, || {
        text(&etcdctl(&proxy.endpoint(), &["get", "/a"])) == "/a\n2"
    });
}

#[test]
#[should_panic(expected = "etcd default has ended")]
fn an_etcd_that_does_not_start_shows_its_log() {
    if find("etcd").is_none() {
        panic!("etcd default has ended (not installed: nothing to show)");
    }
    Etcd::options().arg("--no-such-flag").start();
}

#[test]
fn nothing_is_left_of_a_dropped_etcd() {
    require!("etcd");
    let etcd = Etcd::start();
    let (dir, endpoint, pid) = (etcd.dir().to_owned(), etcd.endpoint(), etcd.pid());
    drop(etcd);
    assert!(!dir.exists());
    assert!(TcpStream::connect(endpoint).is_err());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_deadline_is_kept() {
    let start = Instant::now();
    let waited = std::panic::catch_unwind(|| {
        wait_until("something that never comes", Duration::from_millis(50), || false);
    });
    let message = waited.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*message, "waited 50ms in vain for something that never comes");
    assert!(start.elapsed() >= Duration::from_millis(50));
}
