//! A render tells what it looked at, whether it succeeds or fails.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use waypost_template::{
    Context, Error, Files, Limits, MemoryNames, Moment, Reads, Rendered, Template, Text, World,
};

/// A world that answers nothing.
struct Nowhere;

impl World for Nowhere {
    fn variable(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn hostname(&self) -> io::Result<String> {
        Ok("host".to_owned())
    }

    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn interface(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn now(&self) -> Moment {
        Moment { unix_nanoseconds: 0, offset_seconds: 0, zone: "UTC".to_owned() }
    }

    fn file_exists(&self, _: &[u8]) -> bool {
        false
    }
}

struct Sources(BTreeMap<&'static str, &'static str>);

impl Files for Sources {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).map(|source| source.as_bytes().to_vec()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn render(source: &str) -> Result<Rendered, Error> {
    let names: MemoryNames =
        [("/a/1", "x"), ("/a/2", "y"), ("/b", "z"), ("/d/s/k", "v"), ("/d/leaf", "w")].into_iter().collect();
    let files = Sources([("x.tmpl", "{{getv \"/b\"}}"), ("bad.tmpl", "{{if}}")].into_iter().collect());
    let context = Context { names: &names, files: &files, world: &Nowhere, limits: Limits::default() };
    Template::parse("main.tmpl", source.as_bytes())?.render(&context)
}

fn reads(source: &str) -> Reads {
    match render(source) {
        Ok(rendered) => rendered.reads,
        Err(error) => error.reads().clone(),
    }
}

#[test]
fn a_key_is_read_by_its_name_alone() {
    let reads = reads(r#"{{getv "/b"}}{{exists "/none"}}{{getv "/other" "default"}}"#);
    assert!(reads.touched_by(b"/b") && reads.touched_by(b"/none") && reads.touched_by(b"/other"));
    assert!(!reads.touched_by(b"/b/c") && !reads.touched_by(b"/a/1"));
    assert_eq!(reads.keys().count(), 3);
}

#[test]
fn a_glob_is_touched_by_names_that_are_not_there_yet() {
    let reads = reads(r#"{{range gets "/a/*"}}{{.Value}}{{end}}{{getvs "/a/*"}}"#);
    assert!(reads.touched_by(b"/a/1") && reads.touched_by(b"/a/new"));
    assert!(!reads.touched_by(b"/a/new/deep") && !reads.touched_by(b"/b"));
    let globs: Vec<_> = reads.globs().map(|glob| glob.pattern().clone()).collect();
    assert_eq!(globs, [Text::from("/a/*")], "read twice, listed once");
}

#[test]
fn a_directory_is_touched_at_any_depth() {
    let reads = reads(r#"{{ls "/d"}}{{lsdir "/a/"}}"#);
    assert!(reads.touched_by(b"/d/new") && reads.touched_by(b"/d/s/other") && reads.touched_by(b"/a/9/x"));
    assert!(!reads.touched_by(b"/b") && !reads.touched_by(b"/dx"));
}

#[test]
fn a_failed_render_tells_what_to_wait_for() {
    let error = render(r#"{{getv "/b"}}{{getv "/not/yet"}}{{getv "/never/read"}}"#).unwrap_err();
    assert_eq!(error.message(), "error calling getv: key does not exist: /not/yet");
    assert!(error.reads().touched_by(b"/not/yet") && error.reads().touched_by(b"/b"));
    assert!(!error.reads().touched_by(b"/never/read"));
}

#[test]
fn a_malformed_glob_waits_for_any_key() {
    assert!(reads(r#"{{gets "/zzz["}}"#).touched_by(b"/anything/at/all"));
}

#[test]
fn what_is_not_evaluated_is_not_read() {
    let reads = reads(r#"{{if false}}{{getv "/b"}}{{end}}{{or "x" (getv "/a/1")}}"#);
    assert_eq!(reads.keys().count(), 0);
}

#[test]
fn included_files_and_what_they_read_count() {
    let included = reads(r#"{{include "./x.tmpl"}}{{include "x.tmpl"}}"#);
    assert_eq!(included.files().collect::<Vec<_>>(), [&Text::from("x.tmpl")]);
    assert!(included.touched_by(b"/b"));
    for source in [r#"{{include "bad.tmpl"}}"#, r#"{{include "missing.tmpl"}}"#] {
        assert_eq!(reads(source).files().count(), 1, "{source}: a failed include is worth another try");
    }
}

#[test]
fn only_what_is_outside_of_keys_and_files_is_volatile() {
    let volatile = [
        "{{datetime}}",
        "{{hostname}}",
        r#"{{getenv "X"}}"#,
        r#"{{fileExists "/x"}}"#,
        r#"{{lookupIP "host"}}"#,
        r#"{{lookupIfaceIPV4 "lo"}}"#,
        r#"{{lookupSRV "a" "b" "c"}}"#,
    ];
    for source in volatile {
        assert!(reads(source).volatile, "{source}");
    }
    for source in
        [r#"{{getv "/b"}}{{gets "/*"}}{{ls "/"}}"#, r#"{{include "x.tmpl"}}"#, r#"{{lookupIP "10.0.0.1"}}"#]
    {
        assert!(!reads(source).volatile, "{source}");
    }
}

#[test]
fn an_error_in_an_included_file_points_into_it() {
    let error = render("a\n {{include \"bad.tmpl\"}}").unwrap_err();
    assert_eq!((error.file(), error.line(), error.column()), ("bad.tmpl", 1, 5));
    assert_eq!(error.to_string(), "bad.tmpl:1:5: missing value for if (included from main.tmpl:2:4)");
}
