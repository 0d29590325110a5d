//! watch: from now and from the past, with what was there before, several on one stream.

use crate::etcdctl::{Background, run, strip_headers};
use crate::new_server;
use crate::server::Server;

use serde_json::{Value, json};

/// Revisions 2 to 5: two puts of one key, one of another, both deleted at once.
fn change_some(server: &Server) {
    run(server, &["put", "w1", "a"]).ok();
    run(server, &["put", "w2", "b"]).ok();
    run(server, &["put", "w2", "c"]).ok();
    assert_eq!(run(server, &["del", "w", "--prefix"]).ok(), "2\n");
}

#[test]
fn the_past_is_watched_from_a_revision() {
    let server = new_server!();
    change_some(&server);
    let watch = Background::start(&server, &["watch", "w", "--prefix", "--rev=3"]);
    watch.prints("PUT\nw2\nb\nPUT\nw2\nc\nDELETE\nw1\n\nDELETE\nw2\n\n");
    run(&server, &["put", "elsewhere", "x"]).ok();
    run(&server, &["put", "w3", "now"]).ok();
    watch.prints("PUT\nw2\nb\nPUT\nw2\nc\nDELETE\nw1\n\nDELETE\nw2\n\nPUT\nw3\nnow\n");
}

#[test]
fn a_watch_shows_what_was_there_before() {
    let server = new_server!();
    change_some(&server);
    let watch = Background::start(&server, &["watch", "w", "--prefix", "--prev-kv", "--rev=2"]);
    watch.prints("PUT\nw1\na\nPUT\nw2\nb\nPUT\nw2\nb\nw2\nc\nDELETE\nw1\na\nw1\n\nDELETE\nw2\nc\nw2\n\n");
}

#[test]
fn a_watch_of_a_range_leaves_its_end_out() {
    let server = new_server!();
    change_some(&server);
    run(&server, &["put", "w0", "x"]).ok();
    let watch = Background::start(&server, &["watch", "w0", "w2", "--rev=1"]);
    watch.prints("PUT\nw1\na\nDELETE\nw1\n\nPUT\nw0\nx\n");
}

#[test]
fn json_tells_the_events_of_a_revision() {
    let server = new_server!();
    change_some(&server);
    let watch = Background::start(&server, &["watch", "w", "--prefix", "--rev=4", "-w", "json"]);
    let printed = watch.wait_printed("both deletions", |printed| {
        printed.ends_with('\n') && printed.contains("\"mod_revision\":5")
    });
    let mut events = Vec::new();
    for line in printed.lines() {
        let mut response: Value = serde_json::from_str(line).unwrap();
        strip_headers(&mut response, line);
        assert_eq!(response["Header"], json!({ "revision": 5 }), "{line}");
        events.extend(response["Events"].as_array().unwrap().clone());
    }
    let put =
        json!({ "key": "dzI=", "create_revision": 3, "mod_revision": 4, "version": 2, "value": "Yw==" });
    let expected = json!([
        { "kv": put },
        { "type": 1, "kv": { "key": "dzE=", "mod_revision": 5 } },
        { "type": 1, "kv": { "key": "dzI=", "mod_revision": 5 } },
    ]);
    assert_eq!(json!(events), expected);
}

#[test]
fn several_watches_on_one_stream_answer_each_for_itself() {
    let server = new_server!();
    let typed = "watch w1\nwatch w2 --prev-kv\nprogress\n";
    let watch = Background::start_with_input(&server, &["watch", "--interactive"], typed);
    // From here on both are there.
    let progress = "progress notify: 1\n".repeat(2);
    watch.prints(&progress);
    change_some(&server);
    // Between watches there is no order.
    let of_first = ["PUT\nw1\na\n", "DELETE\nw1\n\n"];
    let of_second = ["PUT\nw2\nb\n", "PUT\nw2\nb\nw2\nc\n", "DELETE\nw2\nc\nw2\n\n"];
    let all: usize = progress.len() + of_first.concat().len() + of_second.concat().len();
    let printed = watch.wait_printed("all events", |printed| printed.len() >= all);
    let places = |events: &[&str]| {
        let at: Vec<_> = events.iter().map(|event| printed.find(event)).collect();
        assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{events:?} in {printed}");
    };
    places(&of_first);
    places(&of_second);
    assert_eq!(printed.len(), all, "{printed}");
}

#[test]
fn a_watch_runs_a_command_for_each_event() {
    let server = new_server!();
    change_some(&server);
    let script = "echo ran $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE $ETCD_WATCH_REVISION";
    let watch = Background::start(&server, &["watch", "w1", "--rev=2", "--", "sh", "-c", script]);
    let printed = watch.wait_printed("the deletion's run", |printed| printed.contains("ran \"DELETE\""));
    assert!(printed.contains("ran \"PUT\" \"w1\" \"a\""), "{printed}");
}

#[test]
fn a_watch_of_what_was_compacted_is_cancelled() {
    let server = new_server!();
    change_some(&server);
    run(&server, &["compaction", "4"]).ok();
    let refused = run(&server, &["watch", "w1", "--rev=3"]);
    let why = "watch was canceled (etcdserver: mvcc: required revision has been compacted)\n\
               Error: watch is canceled by the server\n";
    assert_eq!((refused.stderr.as_str(), refused.stdout.as_str()), (why, ""));
    let from_there = Background::start(&server, &["watch", "w2", "--rev=4"]);
    from_there.prints("PUT\nw2\nc\nDELETE\nw2\n\n");
}
