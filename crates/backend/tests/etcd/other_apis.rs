//! Servers that speak another API than v3.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use waypost_backend::etcd::Settings;
use waypost_backend::{Backend, Error, ErrorKind};
use waypost_servers::{Etcd, Http, Ports, require};

use crate::{open, prefixes, settings, store};

/// A server that answers as an etcd 2 does; it ends with the test's process.
fn etcd_2() -> String {
    let listener = TcpListener::bind(("127.0.0.1", Ports::free())).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let (status, body) = match request.as_str() {
                "GET /version HTTP/1.1" => ("200 OK", r#"{"etcdserver":"2.3.8","etcdcluster":"2.3.0"}"#),
                _ => ("404 Not Found", "404 page not found\n"),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            // Whoever did not want an answer has gone.
            let _ = (&stream).write_all(head.as_bytes());
        }
    });
    url
}

async fn refusal(settings: Settings) -> Error {
    open(settings).snapshot(&prefixes(&["/app"])).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_has_the_v2_api_only_is_told_by_its_name() {
    let url = etcd_2();
    let with_user = Settings { user: Some(("app".into(), "secret".into())), ..settings([url.clone()]) };
    for settings in [settings([url.clone()]), with_user] {
        let error = refusal(settings).await;
        let chain = error.chain();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{chain}");
        let line = format!("etcd at {url}: answers HTTP/1 but no v3 API (2.3.8); use -backend etcd");
        assert!(chain.contains(&line), "{chain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_etcd_is_told() {
    let other = Http::start("other");
    let error = refusal(settings([other.url()])).await;
    let chain = error.chain();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{chain}");
    assert!(chain.contains(&format!("{}: answers HTTP/1 but no v3 API", other.url())), "{chain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_with_both_apis_is_read_through_v3() {
    require!("etcd");
    let etcd = Etcd::options().enable_v2().start();
    etcd.put("/app/a", "1");
    let snapshot = store(etcd.url()).snapshot(&prefixes(&["/app"])).await.unwrap();
    assert_eq!(snapshot.entries.len(), 1);
}
