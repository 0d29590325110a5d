//! Every error names its place and shows the line; whatever a template asks for, it ends.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use waypost_template::{Context, Error, ErrorKind, Files, Limits, MemoryNames, Os, Template};

const CASES: &str = include_str!("conformance/template.jsonl");

struct Sources(BTreeMap<String, String>);

impl Files for Sources {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).map(|source| source.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn strings(object: &Value) -> BTreeMap<String, String> {
    let entries = object.as_object().into_iter().flatten();
    entries.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

fn render(keys: BTreeMap<String, String>, files: &Sources, source: &str) -> Result<Vec<u8>, Error> {
    let names: MemoryNames = keys.into_iter().collect();
    let context = Context { names: &names, files, world: &Os, limits: Limits::default() };
    Ok(Template::parse("main.tmpl", source.as_bytes())?.render(&context)?.bytes)
}

fn failure(source: &str) -> Error {
    let files = [
        ("ok.tmpl", "{{.}}"),
        ("broken.tmpl", "one\n  {{if}}"),
        ("failing.tmpl", "one\n  {{getv \"/none\"}}"),
        ("cycle.tmpl", "\n{{include \"cycle.tmpl\"}}"),
        ("outer.tmpl", "{{include \"failing.tmpl\"}}"),
    ];
    let files = Sources(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    match render(BTreeMap::new(), &files, source) {
        Ok(bytes) => panic!("{} gives {} bytes", &source[..source.len().min(80)], bytes.len()),
        Err(error) => error,
    }
}

#[test]
fn every_error_that_go_has_too_points_into_its_file() {
    let mut seen = 0;
    for case in CASES.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let source = case["template"].as_str().unwrap();
        let mut files = Sources(strings(&case["includes"]));
        files.0.insert("main.tmpl".to_owned(), source.to_owned());
        let Err(error) = render(strings(&case["keys"]), &files, source) else { continue };
        let in_file = |(path, text): &(&String, &String)| {
            let line = text.split('\n').nth(error.line() - 1);
            path.ends_with(error.file())
                && line.is_some_and(|line| {
                    let shown = format!("{} | {}\n", error.line(), line.trim_end_matches('\r'));
                    error.column() <= line.chars().count() + 1 && error.snippet().contains(&shown)
                })
        };
        assert!(files.0.iter().any(|file| in_file(&file)), "{}: {}", case["name"], error.snippet());
        assert!(error.snippet().trim_end().lines().any(|line| line.ends_with('^')), "{}", error.snippet());
        seen += 1;
    }
    assert!(seen > 100, "{seen} errors");
}

#[test]
fn errors_point_at_what_is_wrong() {
    let cases = [
        ("a\n {{nope}}", "main.tmpl:2:4: function \"nope\" not defined"),
        ("{{if}}{{end}}", "main.tmpl:1:5: missing value for if"),
        ("a\n{{if 1}}b", "main.tmpl:2:6: unexpected EOF: the block that begins here has no {{end}}"),
        ("é {{getv \"/none\"}}", "main.tmpl:1:5: error calling getv: key does not exist: /none"),
        ("{{toUpper \"a\" | add 1}}", "main.tmpl:1:17: wrong type for value; expected int; got string"),
        ("{{add 1 \"a\"}}", "main.tmpl:1:9: expected integer; found \"a\""),
        ("{{(dict).a.b}}{{(1).x}}", "main.tmpl:1:20: can't evaluate field x in type int"),
        ("{{template \"none\"}}", "main.tmpl:1:12: template \"none\" not defined"),
        (
            "{{define \"t\"}}\n{{div 1 0}}{{end}}{{template \"t\"}}",
            "main.tmpl:2:3: error calling div: division by zero",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(failure(source).to_string(), expected, "{source}");
    }
}

#[test]
fn errors_in_included_files_name_both_places() {
    let cases = [
        (
            "{{include \"broken.tmpl\"}}",
            "broken.tmpl:2:7: missing value for if (included from main.tmpl:1:3)",
        ),
        (
            "\n{{include \"outer.tmpl\"}}",
            "failing.tmpl:2:5: error calling getv: key does not exist: /none (included from outer.tmpl:1:3) \
             (included from main.tmpl:2:3)",
        ),
        (
            "{{include \"cycle.tmpl\"}}",
            "cycle.tmpl:2:3: error calling include: include cycle detected: cycle.tmpl is already being \
             processed (included from main.tmpl:1:3)",
        ),
    ];
    for (source, expected) in cases {
        let error = failure(source);
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Exec, expected), "{source}");
        assert!(error.snippet().contains("^\n") && error.snippet().contains("= included from"));
    }
}

#[test]
fn what_asks_for_too_much_ends_in_an_error_at_once() {
    let sources = [
        "{{seq 1 1000000000000}}",
        "{{seq 9223372036854775807 -9223372036854775808}}",
        "{{repeat 1000000000000 \"x\"}}",
        "{{repeat 9223372036854775807 \"xx\"}}",
        "{{indent 1000000000000 \"x\"}}",
        "{{nindent 9223372036854775807 \"x\\nx\"}}",
        "{{$s := repeat 1000000 \"x\"}}{{replace $s \"\" $s -1}}",
        "{{$s := repeat 1000000 \"x\"}}{{replace $s \"x\" $s -1}}",
        "{{$s := repeat 1000000 \"x\"}}{{regexReplaceAll \"x\" $s $s}}",
        "{{$s := repeat 1000000 \"x\"}}{{join (split $s \"\") $s}}",
        "{{regexMatch \"((a{1000}){1000}){1000}\" \"a\"}}",
        "{{regexMatch (repeat 100000 \"a{1000}\") \"a\"}}",
        "{{regexMatch (repeat 100000000 \"a\") \"a\"}}",
        "{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}",
        "{{include \"cycle.tmpl\"}}",
    ];
    for source in sources {
        let start = Instant::now();
        let error = failure(source);
        assert_eq!(error.kind(), ErrorKind::Exec, "{source}: {error}");
        assert!(start.elapsed() < Duration::from_secs(60), "{source}: {:?}", start.elapsed());
    }
}

#[test]
fn a_width_that_printf_does_not_take_is_told_in_the_text() {
    // As in Go, where the faults of `printf` are text.
    let files = Sources(BTreeMap::new());
    for source in [
        "{{printf \"%1000000000d\" 1}}",
        "{{printf \"%.1000000000f\" 1.0}}",
        "{{printf \"%*d\" 1000000000 1}}",
    ] {
        let bytes = render(BTreeMap::new(), &files, source).unwrap();
        assert!(bytes.starts_with(b"%!") && bytes.len() < 50, "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_value_that_holds_one_thing_a_thousand_billion_times_prints_no_further_than_its_limit() {
    let limits = Limits { output: 1 << 20, ..Limits::default() };
    let grow = "{{$x := list \"a\"}}{{range seq 1 40}}{{$x = list $x $x}}{{end}}";
    for print in [
        "{{$x}}",
        "{{print $x 1}}",
        "{{println $x}}",
        "{{printf \"%v %q\" $x $x}}",
        "{{html $x}}",
        "{{toJson $x}}",
    ] {
        let template = Template::parse("t", format!("{grow}{print}").as_bytes()).unwrap();
        let names = MemoryNames::new();
        let context = Context { limits, ..Context::new(&names) };
        let error = template.render(&context).unwrap_err();
        assert!(error.to_string().contains("output is too large"), "{print}: {error}");
    }
}
