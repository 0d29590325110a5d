//! `waypost store`: who may reach it and do what, and what is refused before it starts.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, DeleteOptions, Error, GetOptions, Identity,
    LeaseTimeToLiveOptions, PutOptions, TlsOptions, Txn, TxnOp, WatchOptions,
};
use waypost_e2e::{DEADLINE, Output, Resource, Tree, Waypost, finish, require, run_to_end};
use waypost_servers::{Certificates, Ports, Scratch, Storage, find, get, wait_for};

/// A password that no message may show.
const SECRET: &str = "s3cr3t-77b1";

/// `web` may read and write its own, and read what is shared; `root` may do everything.
const USERS: &str = r#"
[[store.user]]
name = "web"
password_file = "password"
read = ["/web/", "/shared/"]
write = ["/web/", "/blind/"]
[[store.user]]
name = "root"
password_file = "password"
admin = true
"#;

/// A directory with a configuration, and a store that is served from it.
struct Store {
    scratch: Scratch,
    port: u16,
    waypost: Waypost,
}

impl Store {
    /// Starts one with `table` as its configuration's lines, and waits until it serves.
    #[track_caller]
    fn start(table: &str) -> Store {
        let scratch = Scratch::new("store-access", Storage::Memory);
        fs::write(scratch.join("password"), format!("{SECRET}\n")).unwrap();
        fs::write(scratch.join("waypost.toml"), format!("[store]\ndata_dir = \"data\"\n{table}")).unwrap();
        let port = Ports::free();
        let (listen, config) = (format!("127.0.0.1:{port}"), scratch.join("waypost.toml"));
        let waypost =
            Waypost::with(["store", "--listen", &listen, "--config", &config.display().to_string()]);
        waypost.wait_until("the store is served", || {
            assert!(waypost.is_running(), "waypost store has ended:\n{}", waypost.log());
            waypost.logged(&["serving the store", &listen]) > 0
        });
        Store { scratch, port, waypost }
    }

    /// With TLS that asks for certificates; there is one for the client `name`.
    #[track_caller]
    fn with_certificates(name: &str, users: &str) -> (Store, Authority) {
        let scratch = Scratch::new("store-certificates", Storage::Memory);
        let certificates = Certificates::generate(scratch.path(), name);
        let Certificates { ca, server, server_key, .. } = &certificates;
        let store =
            Store::start(&format!("cert = {server:?}\nkey = {server_key:?}\nclient_ca = {ca:?}\n{users}"));
        (store, Authority { certificates, _scratch: scratch })
    }

    fn etcdctl(&self, arguments: &[&str]) -> Output {
        // Without a scheme: the certificates among the arguments say whether it is TLS.
        let endpoint = format!("--endpoints=127.0.0.1:{}", self.port);
        let mut etcdctl = Command::new(find("etcdctl").unwrap());
        finish(etcdctl.env("ETCDCTL_API", "3").args([&endpoint, "--dial-timeout=5s"]).args(arguments))
    }

    async fn client(&self, user: &str) -> Client {
        let options = ConnectOptions::new().with_user(user, SECRET);
        Client::connect([format!("127.0.0.1:{}", self.port)], Some(options)).await.unwrap()
    }
}

/// Certificates, as long as they are needed.
struct Authority {
    certificates: Certificates,
    _scratch: Scratch,
}

impl Drop for Store {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.waypost.log().contains(SECRET), "{}", self.waypost.log());
        }
    }
}

#[track_caller]
fn assert_ok(output: &Output, stdout: &str) {
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), stdout), "{}", output.stderr);
}

#[track_caller]
fn assert_fails(output: &Output, words: &str) {
    assert_ne!(output.code, Some(0), "{}", output.stdout);
    assert!(output.stderr.contains(words), "{words:?} in: {}", output.stderr);
}

/// That a call was refused with etcd's words.
#[track_caller]
fn assert_refused<T>(answer: Result<T, Error>, words: &str) {
    match answer {
        Ok(_) => panic!("it was not refused: {words}"),
        Err(Error::GRpcStatus(status)) => assert_eq!(status.message(), format!("etcdserver: {words}")),
        Err(other) => panic!("{other}"),
    }
}

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(10);

const DENIED: &str = "permission denied";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a store says that does not start.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = run_to_end(["store"].iter().chain(arguments));
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{}", output.stderr);
    output.stderr
}

#[test]
fn an_address_beyond_loopback_is_not_opened_unless_it_is_safe_or_that_is_said() {
    require!();
    let scratch = Scratch::new("store-access", Storage::Memory);
    let certificates = Certificates::generate(scratch.path(), "web");
    let (cert, key) =
        (certificates.server.display().to_string(), certificates.server_key.display().to_string());
    let data = scratch.join("data").display().to_string();
    let listen = format!("0.0.0.0:{}", Ports::free());
    let base = ["--data-dir", &data, "--listen", &listen];
    for more in [&[][..], &["--cert", &cert, "--key", &key]] {
        let said = refused(&[&base[..], more].concat());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&format!("will not listen on {listen}")), "{said}");
        assert!(!scratch.join("data").exists(), "nothing was made");
    }

    fs::write(scratch.join("password"), SECRET).unwrap();
    let config = scratch.join("waypost.toml").display().to_string();
    fs::write(&config, format!("[store]\n{USERS}")).unwrap();
    let said = refused(&[&base[..], &["--config", &config]].concat());
    assert!(said.contains("passwords would travel in clear"), "{said}");

    let ca = certificates.ca.display().to_string();
    for more in [
        &["--insecure"][..],
        &["--cert", &cert, "--key", &key, "--config", &config],
        &["--cert", &cert, "--key", &key, "--client-ca", &ca],
    ] {
        let store = Waypost::with(["store"].iter().chain(&base).chain(more));
        store.wait_logged(&["serving the store", &listen]);
        assert!(store.stop().success(), "{}", store.log());
    }
}

#[test]
fn what_is_wrong_with_certificates_and_addresses_is_told() {
    require!();
    let scratch = Scratch::new("store-access", Storage::Memory);
    let Certificates { ca, server, server_key, client_key, .. } =
        Certificates::generate(scratch.path(), "web");
    let text = |path: &PathBuf| path.display().to_string();
    let (ca, server, key, other_key) = (text(&ca), text(&server), text(&server_key), text(&client_key));
    let broken = text(&scratch.join("broken.pem"));
    fs::write(&broken, "no certificate\n").unwrap();
    let (data, listen) = (text(&scratch.join("data")), format!("127.0.0.1:{}", Ports::free()));
    let base = ["--data-dir", &data, "--listen", &listen];
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--cert", "/none.pem", "--key", &key], &["cannot read /none.pem", "--cert"]),
        (&["--cert", &server, "--key", "/none.pem"], &["cannot read /none.pem", "--key"]),
        (&["--cert", &broken, "--key", &key], &["there is no certificate in", &broken]),
        (&["--cert", &server, "--key", &ca], &["there is no private key in", &ca]),
        (
            &["--cert", &server, "--key", &other_key],
            &["does not belong to the certificate", &server, &other_key],
        ),
        (
            &["--cert", &server, "--key", &key, "--client-ca", &broken],
            &["there is no certificate in", &broken],
        ),
        (&["--cert", &server], &["private key is missing"]),
    ];
    for (more, wanted) in cases {
        let said = refused(&[&base[..], more].concat());
        for words in wanted {
            assert!(said.contains(words), "{words:?} in: {said}");
        }
    }

    let taken = std::net::TcpListener::bind(&listen).unwrap();
    let said = refused(&base);
    assert!(said.contains(&format!("cannot listen on {listen}: something else listens there")), "{said}");
    drop(taken);
    let said = refused(&["--data-dir", &data, "--listen", "192.0.2.1:2379", "--insecure"]);
    assert!(said.contains("192.0.2.1:2379: this machine has no such address"), "{said}");
}

#[test]
fn everything_wrong_with_the_table_is_told_with_its_place() {
    require!();
    let scratch = Scratch::new("store-access", Storage::Memory);
    let config = scratch.join("waypost.toml").display().to_string();
    fs::write(&config, "[store]\nlistn = \"x\"\n[[store.user]]\nname = \"a\"\npassword_file = \"none\"\n")
        .unwrap();
    let said = refused(&["--config", &config]);
    assert!(said.contains("the configuration has 2 errors"), "{said}");
    assert!(said.contains(&format!("{config}:2:1: unknown key `listn`; is `listen` meant?")), "{said}");
    assert!(said.contains(&format!("{config}:5:17: `password_file`: ")), "{said}");
}

#[test]
fn users_may_do_what_they_were_granted_over_etcdctl() {
    require!("etcdctl");
    let store = Store::start(USERS);
    let (web, root) = (format!("--user=web:{SECRET}"), format!("--user=root:{SECRET}"));
    assert_ok(&store.etcdctl(&[&web, "put", "/web/1", "v"]), "OK\n");
    assert_ok(&store.etcdctl(&[&web, "get", "/web/", "--prefix"]), "/web/1\nv\n");
    assert_ok(&store.etcdctl(&[&root, "put", "/shared/1", "s"]), "OK\n");
    assert_ok(&store.etcdctl(&[&web, "get", "/shared/1"]), "/shared/1\ns\n");
    assert_fails(&store.etcdctl(&[&web, "put", "/shared/1", "v"]), DENIED);
    assert_fails(&store.etcdctl(&[&web, "get", "", "--prefix"]), DENIED);
    assert_ok(&store.etcdctl(&[&root, "get", "", "--prefix", "--keys-only"]), "/shared/1\n\n/web/1\n\n");

    assert_fails(
        &store.etcdctl(&["--user=web:wrong", "get", "/web/1"]),
        "authentication failed, invalid user ID",
    );
    assert_fails(
        &store.etcdctl(&["--user=none:wrong", "get", "/web/1"]),
        "authentication failed, invalid user ID",
    );
    assert_fails(&store.etcdctl(&["get", "/web/1"]), "user name is empty");
    assert_fails(&store.etcdctl(&["lease", "grant", "60"]), "user name is empty");

    let snapshot = store.scratch.join("snapshot").display().to_string();
    assert_fails(&store.etcdctl(&[&web, "snapshot", "save", &snapshot]), DENIED);
    assert_eq!(store.etcdctl(&[&root, "snapshot", "save", &snapshot]).code, Some(0));
    assert_fails(&store.etcdctl(&[&web, "compaction", "2"]), DENIED);
    assert_ok(&store.etcdctl(&[&root, "compaction", "2"]), "compacted revision 2\n");
    for open in [&["endpoint", "status"][..], &["member", "list"], &["endpoint", "health", &web]] {
        let output = store.etcdctl(open);
        assert_eq!(output.code, Some(0), "{open:?}: {}", output.stderr);
    }
    assert_fails(&store.etcdctl(&[&root, "user", "add", "x:y"]), "[[store.user]]");
}

#[test]
fn what_tells_a_value_is_a_read_and_what_ends_a_key_is_a_write() {
    require!();
    let store = Store::start(USERS);
    block_on(async {
        let mut web = store.client("web").await;
        web.put("/blind/1", "v", None).await.unwrap();
        let with_previous = PutOptions::new().with_prev_key();
        assert_refused(web.put("/blind/1", "v", Some(with_previous)).await, DENIED);
        assert_refused(web.delete("/blind/1", Some(DeleteOptions::new().with_prev_key())).await, DENIED);
        assert_refused(web.delete("/", Some(DeleteOptions::new().with_prefix())).await, DENIED);
        assert_refused(web.get("/web/", Some(GetOptions::new().with_from_key())).await, DENIED);
        assert_refused(web.get("/web", Some(GetOptions::new().with_prefix())).await, DENIED);
        web.get("/web/", Some(GetOptions::new().with_prefix())).await.unwrap();

        let put = |key: &str| TxnOp::put(key, "v", None);
        let compare = |key: &str| Compare::version(key, CompareOp::Equal, 0);
        web.txn(Txn::new().when([compare("/web/2")]).and_then([put("/web/2")])).await.unwrap();
        assert_refused(web.txn(Txn::new().when([compare("/blind/1")])).await, DENIED);
        let other_branch =
            Txn::new().when([compare("/web/3")]).and_then([put("/web/3")]).or_else([put("/shared/1")]);
        assert_refused(web.txn(other_branch).await, DENIED);
        let nested = TxnOp::txn(Txn::new().and_then([put("/shared/1")]));
        assert_refused(web.txn(Txn::new().and_then([nested])).await, DENIED);
        assert!(web.get("/web/3", None).await.unwrap().kvs().is_empty(), "what is refused does nothing");
    });
}

#[test]
fn a_lease_belongs_to_those_who_may_write_its_keys() {
    require!();
    let store = Store::start(USERS);
    block_on(async {
        let (mut web, mut root) = (store.client("web").await, store.client("root").await);
        let lease = root.lease_grant(600, None).await.unwrap().id();
        root.put("/shared/leased", "v", Some(PutOptions::new().with_lease(lease))).await.unwrap();
        root.put("/blind/leased", "v", Some(PutOptions::new().with_lease(lease))).await.unwrap();

        assert_refused(web.lease_revoke(lease).await, DENIED);
        let on_it = PutOptions::new().with_lease(lease);
        assert_refused(web.put("/web/1", "v", Some(on_it.clone())).await, DENIED);
        assert_refused(web.txn(Txn::new().and_then([TxnOp::put("/web/1", "v", Some(on_it))])).await, DENIED);
        let keys = LeaseTimeToLiveOptions::new().with_keys();
        assert_refused(web.lease_time_to_live(lease, Some(keys)).await, DENIED);
        assert_eq!(web.lease_time_to_live(lease, None).await.unwrap().granted_ttl(), 600);

        let own = web.lease_grant(600, None).await.unwrap().id();
        web.put("/web/1", "v", Some(PutOptions::new().with_lease(own))).await.unwrap();
        web.lease_revoke(own).await.unwrap();
        assert_refused(web.lease_revoke(own).await, "requested lease not found");
    });
}

#[test]
fn a_watch_that_may_not_be_is_cancelled_and_others_on_its_stream_go_on() {
    require!();
    let store = Store::start(USERS);
    block_on(async {
        let mut web = store.client("web").await;
        let mut stream = web.watch("/web/", Some(WatchOptions::new().with_prefix())).await.unwrap();
        stream.watch("/", Some(WatchOptions::new().with_prefix())).await.unwrap();
        let answer = stream.message().await.unwrap().unwrap();
        assert!(answer.created() && !answer.canceled(), "{answer:?}");
        let answer = stream.message().await.unwrap().unwrap();
        assert!(answer.created() && answer.canceled(), "{answer:?}");
        let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(answer.cancel_reason(), denied);
        web.put("/web/1", "v", None).await.unwrap();
        let answer = stream.message().await.unwrap().unwrap();
        assert_eq!(answer.events().len(), 1);
    });
}

#[test]
fn a_token_is_not_good_after_a_restart() {
    require!();
    let mut store = Store::start(USERS);
    block_on(async {
        let mut web = store.client("web").await;
        web.get("/web/1", None).await.unwrap();
        assert!(store.waypost.stop().success(), "{}", store.waypost.log());
        store.waypost.start_again();
        let answer = async {
            loop {
                match web.get("/web/1", None).await {
                    // While it starts, and until the client notices.
                    Err(Error::GRpcStatus(status)) if !status.message().starts_with("etcdserver: ") => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    answer => return answer,
                }
            }
        };
        let answer = tokio::time::timeout(DEADLINE, answer).await.expect("it is served again");
        assert_refused(answer, "invalid auth token");
        store.client("web").await.get("/web/1", None).await.unwrap();
    });
}

#[test]
fn without_a_certificate_of_its_authority_nobody_gets_in() {
    require!("etcdctl");
    let (store, Authority { certificates, _scratch }) = Store::with_certificates("web", "");
    let flags = |certificates: &Certificates, ca: &Path| {
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        [flag("cacert", ca), flag("cert", &certificates.client), flag("key", &certificates.client_key)]
    };
    let own = flags(&certificates, &certificates.ca);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    assert_ok(&store.etcdctl(&[&own[..], &["put", "/a", "b"]].concat()), "OK\n");
    assert_ok(&store.etcdctl(&[&own[..], &["get", "/a"]].concat()), "/a\nb\n");
    assert!(store.etcdctl(&[&own[..], &["member", "list"]].concat()).stdout.contains("https://127.0.0.1:"));
    let status = store.etcdctl(&[&own[..], &["endpoint", "status"]].concat());
    assert_eq!(status.code, Some(0), "{}", status.stderr);

    let other = Scratch::new("store-other", Storage::Memory);
    let strange = Certificates::generate(other.path(), "web");
    let strange = flags(&strange, &certificates.ca);
    let none = &own[..1];
    for flags in [none, &strange.iter().map(String::as_str).collect::<Vec<_>>()] {
        let refused = store.etcdctl(&[flags, &["--command-timeout=2s", "get", "/a"]].concat());
        assert_ne!(refused.code, Some(0), "{}", refused.stdout);
        assert_eq!(refused.stdout, "");
    }
    // And in clear nothing is said at all.
    assert_ne!(store.etcdctl(&["--command-timeout=2s", "get", "/a"]).code, Some(0));
}

#[test]
fn the_name_in_a_certificate_stands_for_a_password() {
    require!();
    let users = "[[store.user]]\nname = \"web\"\nread = [\"/web/\"]\nwrite = [\"/web/\"]\n\
                 [[store.user]]\nname = \"root\"\nadmin = true\npassword_file = \"password\"\n";
    for (name, may) in [("web", true), ("nobody", false)] {
        let (store, Authority { certificates, _scratch }) = Store::with_certificates(name, users);
        let read = |path: &Path| fs::read(path).unwrap();
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(read(&certificates.ca)))
            .identity(Identity::from_pem(read(&certificates.client), read(&certificates.client_key)));
        block_on(async {
            let url = format!("https://localhost:{}", store.port);
            let options = ConnectOptions::new().with_tls(tls);
            let mut by_name = Client::connect([&url], Some(options.clone())).await.unwrap();
            let put = by_name.put("/web/1", "v", None).await;
            if may {
                drop(put.unwrap());
            } else {
                assert_refused(put, DENIED);
            }
            assert_refused(by_name.put("/shared/1", "v", None).await, DENIED);
            // A token wins over the name.
            let options = options.with_user("root", SECRET);
            let mut by_password = Client::connect([&url], Some(options)).await.unwrap();
            by_password.put("/shared/1", "v", None).await.unwrap();
        });
    }
}

#[test]
fn clients_do_not_hold_up_its_end() {
    require!();
    let store = Store::start("");
    block_on(async {
        let endpoint = format!("127.0.0.1:{}", store.port);
        let mut client = Client::connect([&endpoint], None).await.unwrap();
        let mut watch = client.watch("/", Some(WatchOptions::new().with_prefix())).await.unwrap();
        assert!(watch.message().await.unwrap().unwrap().created());
        let lease = client.lease_grant(600, None).await.unwrap().id();
        let (_keeper, mut kept) = client.lease_keep_alive(lease).await.unwrap();
        // One that never says anything, and one that stops in the middle of HTTP/1.
        let _silent = TcpStream::connect(&endpoint).unwrap();
        let mut slow = TcpStream::connect(&endpoint).unwrap();
        std::io::Write::write_all(&mut slow, b"GET /health HTTP/1.1\r\n").unwrap();

        let start = Instant::now();
        let stopped = store.waypost.stop();
        assert!(stopped.success(), "{}", store.waypost.log());
        assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
        assert_refused(watch.message().await, "server stopped");
        assert_refused(kept.message().await, "server stopped");
    });
}

#[test]
fn run_serves_a_store_beside_the_agent() {
    require!();
    let tree = Tree::new();
    Resource::new("web").counts_reloads().write_to(&tree);
    let port = Ports::free();
    let node = format!("127.0.0.1:{port}");
    let table =
        format!("[store]\ndata_dir = \"store\"\nlisten = \"{node}\"\nhistory = {{ revisions = 100 }}\n");
    fs::write(tree.join("waypost.toml"), table).unwrap();
    let agent = Waypost::agent(&tree, ["--node", &node]);
    wait_for("the store beside the agent", DEADLINE, || {
        get(&format!("http://{node}/health")).ok().filter(|answer| answer.status == 200)
    });
    assert_eq!(run_to_end(["kv", "put", "/web/1", "a", "--node", &node]).code, Some(0));
    agent.wait_for_reload(&tree, "web", "1=a\n");
    assert!(agent.stop().success(), "{}", agent.log());
    assert_eq!(agent.logged(&["ERROR"]), 0, "the agent goes before its registry: {}", agent.log());

    fs::write(tree.join("waypost.toml"), "[store]\nlistn = \"x\"\n").unwrap();
    fs::write(tree.configuration("web"), "[template]\n").unwrap();
    let agent = Waypost::agent(&tree, ["--node", &node]);
    assert_eq!(agent.wait().code(), Some(1));
    agent.wait_logged(&["the configuration has 3 errors"]);
    agent.wait_logged(&["waypost.toml:2:1: unknown key `listn`; is `listen` meant?"]);
}
