//! However deep a template or a value is nested, the native stack stays shallow.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::thread;

use waypost_template::{Context, Error, ErrorKind, Limits, MemoryNames, NoFiles, Os, Rendered, Template};

/// Renders on a thread with a small stack.
fn render(source: String) -> Result<Rendered, Error> {
    render_within(source, Limits::default())
}

fn render_within(source: String, limits: Limits) -> Result<Rendered, Error> {
    let run = move || {
        let names: MemoryNames =
            [("/json", format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)))].into_iter().collect();
        let context = Context { names: &names, files: &NoFiles, world: &Os, limits };
        Template::parse("main.tmpl", source.as_bytes())?.render(&context)
    };
    thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().expect("no overflow and no panic")
}

fn output(source: String) -> String {
    String::from_utf8(render(source).expect("it renders").bytes).unwrap()
}

#[test]
fn blocks_nest_as_deep_as_memory_lasts() {
    let depth = 100_000;
    for open in ["{{if true}}", "{{with 1}}", "{{range 1}}", "{{if false}}{{else}}"] {
        assert_eq!(output(format!("{}y{}", open.repeat(depth), "{{end}}".repeat(depth))), "y", "{open}");
    }
    assert_eq!(
        output(format!("{{{{if false}}}}{}{{{{else}}}}y{{{{end}}}}", "{{else if false}}".repeat(depth))),
        "y"
    );
}

#[test]
fn parentheses_end_at_ten_thousand() {
    let nested = |depth: usize| format!("{{{{print {}1{}}}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(output(nested(10_000)), "1");
    assert_eq!(render(nested(10_001)).unwrap_err().kind(), ErrorKind::Parse);
}

#[test]
fn templates_end_at_a_hundred_thousand() {
    let counting = |from: usize| {
        format!(
            "{{{{define \"r\"}}}}{{{{if gt . 1}}}}{{{{template \"r\" (sub . 1)}}}}{{{{else}}}}end{{{{end}}}}{{{{end}}}}{{{{template \"r\" {from}}}}}"
        )
    };
    assert_eq!(output(counting(100_000)), "end");
    let error = render(counting(100_001)).unwrap_err();
    assert_eq!(error.message(), "exceeded maximum template depth (100000)");
}

#[test]
fn nested_values_print_convert_and_drop() {
    let nest = "{{$l := list}}{{range 50000}}{{$l = list (dict \"k\" $l)}}{{end}}";
    assert_eq!(output(format!("{nest}{{{{len (print $l)}}}}")), format!("{}", 2 + 50_000 * 9));
    assert_eq!(
        render(format!("{nest}{{{{toJson $l}}}}")).unwrap_err().kind(),
        ErrorKind::Exec,
        "JSON has a bound"
    );
    assert_eq!(
        output("{{$j := fromJson (getv \"/json\")}}{{len (toJson $j)}} {{len $j}}".to_owned()),
        "20001 1"
    );
}

#[test]
fn long_chains_and_pipelines_are_flat() {
    assert_eq!(output(format!("{{{{1{}}}}}", " | add 1".repeat(50_000))), "50001");
    assert_eq!(output(format!("{{{{(dict){}}}}}", ".a".repeat(50_000))), "<no value>");
}

#[test]
fn limits_end_what_would_not_end() {
    let limited =
        |source: &str, limits| render_within(source.to_owned(), limits).unwrap_err().message().to_owned();
    let steps = Limits { steps: 1_000, ..Limits::default() };
    assert_eq!(limited("{{range 9223372036854775807}}{{end}}", steps), "too many steps");
    let small = Limits { output: 1_000, ..Limits::default() };
    for source in [
        "{{range 9999}}x{{end}}",
        "{{repeat 1001 \"x\"}}",
        "{{$s := \"x\"}}{{range 99}}{{$s = print $s $s}}{{end}}",
        "{{printf \"%1001d\" 1}}",
        "{{replace (repeat 900 \"x\") \"x\" \"yy\" -1}}",
        "{{indent 2000 \"x\"}}",
        "{{join (split (repeat 900 \" \") \" \") \"xx\"}}",
        "{{regexReplaceAll \"x\" (repeat 900 \"x\") \"yy\"}}",
        "{{toJson (repeat 900 \"<\")}}",
    ] {
        assert!(limited(source, small).ends_with("output is too large"), "{source}");
    }
    let shallow = Limits { depth: 3, ..Limits::default() };
    assert_eq!(limited("{{template \"main.tmpl\"}}", shallow), "exceeded maximum template depth (3)");
}
