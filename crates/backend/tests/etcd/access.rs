//! Endpoints, certificates, users and permissions.

use std::fs;
use std::time::{Duration, Instant};

use futures::StreamExt;
use waypost_backend::etcd::Tls;
use waypost_backend::{Backend, ErrorKind, Registry};
use waypost_model::Value;
use waypost_servers::{Certificates, Etcd, Permission, Ports, Proxy, Scratch, Storage, require};

use crate::{content, follow, key, open, prefixes, settings, store};

const PASSWORD: &str = "correct horse";

/// An etcd where `app` may do everything below `/app/`, but nothing to the key `/app` itself.
fn with_user(token_ttl: Option<Duration>) -> Etcd {
    let options = Etcd::options().user("app", PASSWORD, &[("/app/", Permission::ReadWrite)]);
    match token_ttl {
        Some(ttl) => options.auth_token_ttl(ttl).start(),
        None => options.start(),
    }
}

fn as_user(etcd: &Etcd, password: &str) -> std::sync::Arc<waypost_backend::etcd::Etcd> {
    let mut settings = settings([etcd.url()]);
    settings.user = Some(("app".to_owned(), password.to_owned()));
    open(settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_refuses_or_says_nothing_is_passed_over() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/a", "1");
    let dead = format!("http://127.0.0.1:{}", Ports::free());

    let store = open(settings([dead.clone(), etcd.url()]));
    assert_eq!(store.snapshot(&prefixes(&["/"])).await.unwrap().entries.len(), 1);

    let hole = Proxy::to(&etcd.endpoint());
    hole.black_hole();
    let store = open(settings([hole.url(), dead, etcd.url()]));
    let mut reader = follow(&store, &["/"]);
    reader.reach(&content(&[("/a", "1")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_endpoint_answers_each_is_named_with_its_reason() {
    let dead = [Ports::free(), Ports::free()].map(|port| format!("http://127.0.0.1:{port}"));
    let error = open(settings(dead.clone())).snapshot(&prefixes(&["/"])).await.unwrap_err();
    let chain = error.chain();
    assert!(error.is_transient(), "{chain}");
    assert!(dead.iter().all(|url| chain.contains(url.as_str())), "{chain}");
    assert_eq!(chain.matches("Connection refused").count(), 2, "{chain}");

    let error = open(settings([dead[0].clone()])).snapshot(&prefixes(&["/"])).await.unwrap_err();
    let chain = error.chain();
    assert!(
        chain.starts_with(&format!("etcd: cannot connect to {}: it does not answer: ", dead[0])),
        "{chain}"
    );
    assert_eq!(chain.matches("Connection refused").count(), 1, "{chain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_certificates_of_its_authority_a_client_is_served() {
    require!("etcd");
    let etcd = Etcd::options().tls().start();
    etcd.put("/a", "1");
    let files = etcd.certificates().unwrap();
    let scratch = Scratch::new("other-authority", Storage::Memory);
    let other = Certificates::generate(scratch.path(), "waypost");
    let pem = |path: &std::path::Path| fs::read(path).unwrap();
    let client = |files: &Certificates| Some((pem(&files.client), pem(&files.client_key)));
    let try_with = async |authority: &std::path::Path, identity: Option<(Vec<u8>, Vec<u8>)>, insecure| {
        let tls = Tls { authority: Some(pem(authority)), identity, insecure };
        let store = open(waypost_backend::etcd::Settings { tls, ..settings([etcd.url()]) });
        store.snapshot(&prefixes(&["/"])).await
    };

    let read = async |authority, identity| try_with(authority, identity, false).await;

    let served = read(&files.ca, client(files)).await.unwrap();
    assert_eq!(served.entries.len(), 1);

    let wrong = read(&other.ca, client(files)).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid, "{}", wrong.chain());
    let chain = wrong.chain();
    assert!(chain.contains(&etcd.url()) && chain.contains("invalid peer certificate"), "{chain}");
    let trusting = try_with(&other.ca, client(files), true).await.unwrap();
    assert_eq!(trusting.entries.len(), 1, "any certificate of the server is taken");
    for refused in [read(&files.ca, None).await, read(&files.ca, client(&other)).await] {
        let chain = refused.unwrap_err().chain();
        let is_clear =
            ["received fatal alert", "another client certificate"].iter().any(|why| chain.contains(why));
        assert!(is_clear, "{chain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_denied_and_not_shown() {
    require!("etcd");
    let etcd = with_user(None);
    let store = as_user(&etcd, "wrong battery");
    for error in [
        store.snapshot(&prefixes(&["/app"])).await.unwrap_err(),
        store.put(&key("/app/a"), Value::from("1")).await.unwrap_err(),
        store
            .watch(&prefixes(&["/app"]), waypost_model::Position::fixed())
            .next()
            .await
            .unwrap()
            .unwrap_err(),
    ] {
        let chain = error.chain();
        assert_eq!(error.kind(), ErrorKind::Denied, "{chain}");
        assert!(chain.contains("authentication failed, invalid user ID or password"), "{chain}");
        assert!(chain.contains(&etcd.url()) && !chain.contains("battery"), "{chain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_user_access_is_denied() {
    require!("etcd");
    let etcd = with_user(None);
    let store = store(etcd.url());
    let error = store.snapshot(&prefixes(&["/app"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
    let error = store.put(&key("/app/a"), Value::from("1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_below_a_prefix_is_enough_to_read_watch_and_register_there() {
    require!("etcd");
    let etcd = with_user(None);
    etcd.put("/app/a", "1");
    etcd.put("/app", "hidden");
    let store = as_user(&etcd, PASSWORD);

    let mut reader = follow(&store, &["/app"]);
    reader.reach(&content(&[("/app/a", "1")])).await;
    etcd.put("/app", "still hidden");
    etcd.put("/app/b", "1");
    reader.reach(&content(&[("/app/a", "1"), ("/app/b", "1")])).await;
    etcd.delete("/app/a");
    reader.reach(&content(&[("/app/b", "1")])).await;
    assert!(reader.drain().is_empty());

    let snapshot = store.snapshot(&prefixes(&["/app"])).await.unwrap();
    let audit = store.audit(&prefixes(&["/app"]), snapshot.position).await.unwrap().unwrap();
    assert_eq!((audit.keys, audit.is_newer), (1, false));
    let registered = store.register(&key("/app/c"), Value::from("1"), Duration::from_secs(5)).await.unwrap();
    reader.reach(&content(&[("/app/b", "1"), ("/app/c", "1")])).await;
    registered.revoke().await.unwrap();
    reader.reach(&content(&[("/app/b", "1")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_be_watched_does_not_keep_others_from_being_watched() {
    require!("etcd");
    let grants = ["/a/", "/b/", "/c/"].map(|prefix| (prefix, Permission::ReadWrite));
    let etcd = Etcd::options().user("app", PASSWORD, &grants).start();
    let store = as_user(&etcd, PASSWORD);
    let asked = prefixes(&["/a", "/b", "/c"]);
    let position = store.snapshot(&asked).await.unwrap().position;
    let mut watch = store.watch(&asked, position);
    for round in ["1", "2"] {
        for name in ["/a/x", "/b/x", "/c/x"] {
            etcd.put(name, round);
            let batch = tokio::time::timeout(Duration::from_secs(20), watch.next()).await;
            let batch = batch.unwrap_or_else(|_| panic!("{name} is not watched")).unwrap().unwrap();
            assert_eq!(batch.changes[0].key, key(name));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_everything_is_denied() {
    require!("etcd");
    let etcd = with_user(None);
    let store = as_user(&etcd, PASSWORD);
    let position = store.snapshot(&prefixes(&["/app"])).await.unwrap().position;
    let (other, value) = (key("/other/a"), || Value::from("1"));
    for error in [
        store.snapshot(&prefixes(&["/other"])).await.unwrap_err(),
        store.snapshot(&prefixes(&["/app", "/other"])).await.unwrap_err(),
        store.snapshot(&prefixes(&["/"])).await.unwrap_err(),
        store.audit(&prefixes(&["/other"]), position).await.unwrap_err(),
        store.watch(&prefixes(&["/other"]), position).next().await.unwrap().unwrap_err(),
        store.watch(&prefixes(&["/app", "/other"]), position).next().await.unwrap().unwrap_err(),
        store.put(&other, value()).await.unwrap_err(),
        store.deregister(&other).await.unwrap_err(),
        store.register(&other, value(), Duration::from_secs(5)).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
        assert!(error.chain().contains("permission denied"), "{}", error.chain());
    }
    let leases = etcd.gateway("lease/leases", &serde_json::json!({}));
    assert!(leases["leases"].as_array().is_none_or(Vec::is_empty), "none is left behind: {leases}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_ends_neither_watches_nor_writes() {
    require!("etcd");
    let ttl = Duration::from_secs(1);
    let etcd = with_user(Some(ttl));
    let (reading, writing) = (as_user(&etcd, PASSWORD), as_user(&etcd, PASSWORD));
    let mut reader = follow(&reading, &["/app"]);
    let registered =
        writing.register(&key("/app/kept"), Value::from("1"), Duration::from_secs(3)).await.unwrap();
    reader.reach(&content(&[("/app/kept", "1")])).await;
    let start = Instant::now();
    for round in 1_u32.. {
        // etcd throws expired tokens away once a second, so that the next one has gone after two of them.
        tokio::time::sleep_until((start + ttl * 5 / 2 * round).into()).await;
        let value = round.to_string();
        writing.put(&key("/app/a"), Value::from(value.clone())).await.unwrap();
        reader.reach(&content(&[("/app/a", &value), ("/app/kept", "1")])).await;
        if round == 3 {
            break;
        }
    }
    registered.revoke().await.unwrap();
    reader.reach(&content(&[("/app/a", "3")])).await;
}
