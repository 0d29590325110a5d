//! Endpoints, certificates, users, and servers that speak another API.

use std::fs;
use std::time::Duration;

use futures::StreamExt;
use waypost_backend::etcd_v2::{EtcdV2, Settings, Tls};
use waypost_backend::{Backend, Error, ErrorKind};
use waypost_servers::{Certificates, Etcd, Http, Ports, Proxy, Scratch, Storage, require};

use crate::{content, follow, open, prefixes, settings, start, store};

const PASSWORD: &str = "correct horse";

fn as_user(etcd: &Etcd, password: &str) -> std::sync::Arc<EtcdV2> {
    let user = Some(("app".to_owned(), password.to_owned()));
    open(Settings { user, ..settings([etcd.url()]) })
}

async fn refusal(store: &EtcdV2, prefix: &str) -> Error {
    store.snapshot(&prefixes(&[prefix])).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_refuses_or_says_nothing_is_passed_over() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put("/a", "1");
    let dead = format!("http://127.0.0.1:{}", Ports::free());
    let hole = Proxy::to(&etcd.endpoint());
    hole.black_hole();
    let store = open(settings([hole.url(), dead, etcd.url()]));
    let mut reader = follow(&store, &["/"]);
    reader.reach(&content(&[("/a", "1")])).await;
    etcd.v2_put("/a", "2");
    reader.reach(&content(&[("/a", "2")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_node_dies_the_next_one_is_followed() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put("/a", "1");
    let (first, second) = (Proxy::to(&etcd.endpoint()), Proxy::to(&etcd.endpoint()));
    let store = open(settings([first.url(), second.url()]));
    let mut reader = follow(&store, &["/"]);
    reader.reach(&content(&[("/a", "1")])).await;
    assert_eq!(second.accepted(), 0);
    first.cut();
    etcd.v2_put("/a", "2");
    reader.reach(&content(&[("/a", "2")])).await;
    assert!(second.accepted() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_endpoint_answers_each_is_named_with_its_reason() {
    let dead = [Ports::free(), Ports::free()].map(|port| format!("http://127.0.0.1:{port}"));
    let error = refusal(&open(settings(dead.clone())), "/").await;
    let chain = error.chain();
    assert!(error.is_transient() && dead.iter().all(|url| chain.contains(url.as_str())), "{chain}");
    assert_eq!(chain.matches("Connection refused").count(), 2, "{chain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_what_it_may_and_a_wrong_password_is_denied_and_not_shown() {
    require!("etcd");
    let etcd = start();
    etcd.v2_put_all([("/app/a", "1"), ("/other/a", "1")]);
    etcd.v2_user("app", PASSWORD);

    let mut reader = follow(&as_user(&etcd, PASSWORD), &["/app"]);
    reader.reach(&content(&[("/app/a", "1")])).await;
    etcd.v2_put("/app/a", "2");
    reader.reach(&content(&[("/app/a", "2")])).await;

    let asked = prefixes(&["/app"]);
    let position = as_user(&etcd, PASSWORD).snapshot(&asked).await.unwrap().position;
    let wrong = as_user(&etcd, "wrong battery");
    for error in [
        refusal(&wrong, "/app").await,
        wrong.watch(&asked, position).next().await.unwrap().unwrap_err(),
        refusal(&store(etcd.url()), "/app").await,
        refusal(&as_user(&etcd, PASSWORD), "/other").await,
        refusal(&as_user(&etcd, PASSWORD), "/").await,
    ] {
        let chain = error.chain();
        assert_eq!(error.kind(), ErrorKind::Denied, "{chain}");
        assert!(!chain.contains("battery"), "{chain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_certificates_of_its_authority_a_client_is_served() {
    require!("etcd");
    let etcd = Etcd::options().tls().enable_v2().start();
    etcd.v2_put("/a", "1");
    let files = etcd.certificates().unwrap();
    let scratch = Scratch::new("other-authority", Storage::Memory);
    let other = Certificates::generate(scratch.path(), "waypost");
    let pem = |path: &std::path::Path| fs::read(path).unwrap();
    let client = |files: &Certificates| Some((pem(&files.client), pem(&files.client_key)));
    let try_with = |authority: &std::path::Path, identity: Option<(Vec<u8>, Vec<u8>)>, insecure| {
        let tls = Tls { authority: Some(pem(authority)), identity, insecure };
        open(Settings { tls, longest_poll: Duration::from_millis(100), ..settings([etcd.url()]) })
    };

    let with = |authority, identity| try_with(authority, identity, false);

    let mut reader = follow(&with(&files.ca, client(files)), &["/"]);
    reader.reach(&content(&[("/a", "1")])).await;
    for round in ["2", "3", "4"] {
        etcd.v2_put("/a", round);
        reader.reach(&content(&[("/a", round)])).await;
    }

    let wrong = refusal(&with(&other.ca, client(files)), "/").await;
    let chain = wrong.chain();
    assert_eq!(wrong.kind(), ErrorKind::Invalid, "{chain}");
    assert!(chain.contains(&etcd.url()) && chain.contains("invalid peer certificate"), "{chain}");
    let trusting = try_with(&other.ca, client(files), true);
    follow(&trusting, &["/"]).reach(&content(&[("/a", "4")])).await;
    for identity in [None, client(&other)] {
        let chain = refusal(&with(&files.ca, identity), "/").await.chain();
        let is_clear = ["received fatal alert", "another client certificate"].map(|why| chain.contains(why));
        assert!(is_clear.contains(&true), "{chain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_without_the_v2_api_is_told_by_its_name() {
    require!("etcd");
    let etcd = Etcd::start();
    let error = refusal(&store(etcd.url()), "/app").await;
    let chain = error.chain();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{chain}");
    let line = format!("etcd at {}: speaks the v3 API but not v2 (3.", etcd.url());
    assert!(chain.contains(&line), "{chain}");
    assert!(chain.ends_with("; start it with --enable-v2, or use -backend etcdv3"), "{chain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_etcd_is_told() {
    let other = Http::start("other");
    let error = refusal(&store(other.url()), "/app").await;
    assert!(error.chain().contains("not what etcd's v2 API answers"), "{}", error.chain());
}
