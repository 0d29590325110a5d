//! A loop over `gets` whose body only writes is run while the keys are found; nobody may notice.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use proptest::prelude::*;
use waypost_template::{Context, ErrorKind, Limits, MemoryNames, Template};

fn names() -> MemoryNames {
    (0..4).map(|number| (format!("/a/{number}"), format!("v{}", 9 - number))).collect()
}

fn render(source: &str) -> String {
    let rendered = Template::parse("t", source.as_bytes()).unwrap().render(&Context::new(&names())).unwrap();
    String::from_utf8(rendered.bytes).unwrap()
}

#[test]
fn keys_values_and_text_are_written_in_order() {
    assert_eq!(
        render("{{range gets \"/a/*\"}}{{.Key}}={{.Value}};{{end}}|"),
        "/a/0=v9;/a/1=v8;/a/2=v7;/a/3=v6;|"
    );
}

#[test]
fn the_else_part_is_for_nothing_found() {
    assert_eq!(render("{{range gets \"/b/*\"}}{{.Key}}{{else}}none{{end}}|"), "none|");
    assert_eq!(render("{{range gets \"/a/*\"}}x{{else}}none{{end}}|"), "xxxx|");
    assert_eq!(render("{{range or (gets \"/b/*\") (gets \"/a/*\")}}x{{else}}none{{end}}"), "xxxx");
    assert_eq!(render("{{range and 0 (gets \"/a/*\")}}{{else}}none{{end}}"), "none");
}

#[test]
fn the_dot_and_the_loops_around_stay() {
    let source = "{{range 2}}{{.}}{{range gets \"/a/[01]\"}}{{.Value}}{{end}}{{.}} {{end}}";
    assert_eq!(render(source), "0v9v80 1v9v81 ");
    assert_eq!(render("{{range \"/a/3\" | gets}}{{.Value}}{{end}}"), "v6");
}

#[test]
fn what_was_looked_at_is_known() {
    let template = Template::parse("t", b"{{range gets \"/a/*\"}}{{.Key}}{{end}}").unwrap();
    let reads = template.render(&Context::new(&names())).unwrap().reads;
    assert!(reads.touched_by(b"/a/9") && !reads.touched_by(b"/a/9/b"));
}

#[test]
fn failures_are_those_of_gets() {
    let error = |source: &str| {
        Template::parse("t", source.as_bytes()).unwrap().render(&Context::new(&names())).unwrap_err()
    };
    let streamed = error("{{range gets \"[\"}}x{{end}}");
    assert_eq!(streamed.to_string(), error("{{range gets \"[\"}}{{1}}{{end}}").to_string());
    assert_eq!(error("{{range gets .x}}x{{end}}").kind(), ErrorKind::Exec);
}

#[test]
fn limits_hold() {
    let template = Template::parse("t", b"{{range gets \"/a/*\"}}0123456789{{end}}").unwrap();
    let names = names();
    let within = |limits| template.render(&Context { limits, ..Context::new(&names) }).is_ok();
    assert!(within(Limits { output: 40, ..Limits::default() }));
    assert!(!within(Limits { output: 39, ..Limits::default() }));
    assert!(!within(Limits { steps: 3, ..Limits::default() }));
}

proptest! {
    #[test]
    fn a_streamed_loop_writes_what_any_other_does(
        keys in prop::collection::btree_map("/[ab]/[a-c]{1,2}", "[xy]{0,3}", 0..20),
        pattern in "/[ab*]/[a-c*?]{1,3}", body in "([.;]|K|V){0,5}",
    ) {
        let body = body.replace('K', "{{.Key}}").replace('V', "{{.Value}}");
        let names: MemoryNames = keys.into_iter().collect();
        let render = |head: &str| {
            let source = format!("{{{{range {head}gets \"{pattern}\"}}}}{body}{{{{else}}}}none{{{{end}}}}");
            Template::parse("t", source.as_bytes()).unwrap().render(&Context::new(&names)).unwrap().bytes
        };
        prop_assert_eq!(render(""), render("$x := "));
    }
}
