//! The varnishd does what a test asks of it.

use waypost_servers::{Http, Varnish, get, require};

fn vcl(port: u16) -> String {
    format!("vcl 4.1;\nbackend own {{ .host = \"127.0.0.1\"; .port = \"{port}\"; }}\n")
}

#[test]
fn it_serves_what_its_backend_says_and_obeys_its_administration() {
    require!("varnishd");
    let web = Http::start("web");
    let varnish = Varnish::start_with(&vcl(web.port()));
    assert_eq!(get(&varnish.url()).unwrap().text(), "web\n");
    assert_eq!(varnish.active_vcl().as_deref(), Some("boot"));
    assert!(varnish.adm(["backend.list"]).contains("boot.own"));
    let why = varnish.try_adm(&["vcl.use", "none"]).unwrap_err();
    assert!(why.contains("none"), "{why}");
}

#[test]
fn it_can_be_without_a_backend_or_before_one_and_comes_back_after_a_kill() {
    require!("varnishd");
    assert_eq!(get(&Varnish::start().url()).unwrap().status, 503);
    let web = Http::start("web");
    let varnish = Varnish::before(&format!("127.0.0.1:{}", web.port()));
    varnish.kill();
    assert!(get(&varnish.url()).is_err());
    varnish.start_again();
    assert_eq!(get(&varnish.url()).unwrap().text(), "web\n");
    varnish.stop();
    assert!(!varnish.is_running());
}

#[test]
fn it_can_begin_with_nothing() {
    require!("varnishd");
    let varnish = Varnish::start_empty();
    assert_eq!(varnish.active_vcl(), None);
}
