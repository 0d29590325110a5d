//! Jinja templates: the same functions, reads, errors and bounds as Go's.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use waypost_template::{
    Context, Dialect, Engine, Error, ErrorKind, Files, Limits, MemoryNames, Os, Rendered, Since, Template,
    functions,
};

const KEYS: [(&str, &str); 6] = [
    ("/web/1", "10.0.0.1:80"),
    ("/web/2", "10.0.0.2:80"),
    ("/json", r#"{"port": 80, "ratio": 0.5, "tags": ["b", "a"], "none": null}"#),
    ("/name", "hunter2"),
    ("/number", "41414141"),
    ("/empty", ""),
];

const FILES: [(&str, &str); 8] = [
    ("part.j2", "part {{ getv('/name') }}\n"),
    ("sub/macros.j2", "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"),
    ("base.j2", "<{% block body %}base{% endblock %}>"),
    ("cycle.j2", "{% include 'cycle.j2' %}"),
    ("broken.j2", "one\n{% if %}"),
    ("failing.j2", "one\n  {{ getv('/missing') }}"),
    ("go.tmpl", "go {{.}} {{getv \"/name\"}}"),
    ("go-failing.tmpl", "{{getv \"/missing\"}}"),
];

/// Files that remember what was asked for.
struct Sources(BTreeMap<&'static str, &'static str>, RefCell<Vec<String>>);

impl Files for Sources {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.1.borrow_mut().push(path.to_owned());
        self.0.get(path).map(|source| source.as_bytes().to_vec()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn render_within(source: &str, limits: Limits) -> Result<Rendered, Error> {
    let mut names: MemoryNames = KEYS.into_iter().collect();
    names.insert("/binary", vec![0xFF, 0xFE]);
    let files = Sources(FILES.into_iter().collect(), RefCell::default());
    let context = Context { names: &names, files: &files, world: &Os, limits };
    let template = Template::parse_with(Engine::Jinja, Dialect::Waypost, "main.j2", source.as_bytes())?;
    let result = template.render(&context);
    assert!(files.1.borrow().iter().all(|path| !path.starts_with('/') && !path.contains("..")));
    result
}

fn render(source: &str) -> Result<Rendered, Error> {
    render_within(source, Limits::default())
}

fn output(source: &str) -> String {
    match render(source) {
        Ok(rendered) => String::from_utf8(rendered.bytes).unwrap(),
        Err(error) => panic!("{}", error.snippet()),
    }
}

fn failure(source: &str) -> Error {
    render(source).map(|rendered| String::from_utf8(rendered.bytes)).unwrap_err()
}

#[test]
fn every_function_but_gos_operators_is_a_function_and_a_filter() {
    const OPERATORS: [&str; 10] = ["and", "call", "eq", "ge", "gt", "le", "lt", "ne", "not", "or"];
    for (name, _) in functions().filter(|(name, _)| !OPERATORS.contains(name)) {
        for source in [format!("{{{{ {name} is defined }}}}"), format!("{{{{ '{name}' is filter }}}}")] {
            assert_eq!(output(&source), "True", "{source}");
        }
    }
    assert!(functions().any(|(_, since)| since == Since::Waypost));
}

#[test]
fn a_piped_value_goes_where_what_is_worked_on_belongs() {
    let cases = [
        ("{{ getv('/name') | toUpper }}", "HUNTER2"),
        ("{{ '/name' | getv }} {{ '/none' | getv('d') }}", "hunter2 d"),
        ("{{ 'a.b' | trimSuffix('.b') }}", "a"),
        ("{{ 'x' | nindent(2) }}", "\n  x"),
        ("{{ 'x' | repeat(3) }}", "xxx"),
        ("{{ 'abc' | regexMatch('b') }}", "True"),
        ("{{ 'abc' | regexReplaceAll('b', 'x') }}", "axc"),
        ("{{ 7 | sub(2) }} {{ 7 | div(2) }}", "5 3"),
        ("{{ true | ternary('y', 'n') }}", "y"),
        ("{{ 5 | printf('%03d') }}", "005"),
        ("{{ 6 | divide(2) }} {{ 6 | subtract(2) }}", "3 4"),
        ("{% for x in [{'n': 2}, {'n': 1}] | sortBy('n') %}{{ x.n }}{% endfor %}", "12"),
        ("{{ ('a=1,b=2' | splitToMap(',', '=')).b }}", "2"),
    ];
    for (source, expected) in cases {
        assert_eq!(output(source), expected, "{source}");
    }
}

#[test]
fn jinjas_own_names_stay_its_own() {
    assert_eq!(output("{{ 'a.b' | replace('.', '-') }} {{ replace('a.b', '.', '-', -1) }}"), "a-b a-b");
    assert_eq!(output("{{ [1, 2] | join('-') }} {{ join(['a', 'b'], '-') }}"), "1-2 a-b");
    assert_eq!(output("{{ nothing | default('d') }} {{ default('d', '') }}"), "d d");
    assert_eq!(output("{{ dict(a=1).a }} {{ map('a', 1).a }}"), "1 1");
}

#[test]
fn values_go_both_ways() {
    let cases = [
        (
            "{% for p in gets('/web/*') %}{{ p.Key }}={{ p.value }} {% endfor %}",
            "/web/1=10.0.0.1:80 /web/2=10.0.0.2:80 ",
        ),
        (
            "{{ get('/name').Value }} {{ get('/name')['key'] }} {{ get('/name') }}",
            "hunter2 /name {/name hunter2}",
        ),
        ("{% for p in reverse(gets('/web/*')) %}{{ p.key }} {% endfor %}", "/web/2 /web/1 "),
        ("{% for p in sortKVByLength(gets('/web/*')) %}{{ p.key }} {% endfor %}", "/web/1 /web/2 "),
        (
            "{% set j = fromJson(getv('/json')) %}{{ j.port }} {{ j.ratio }} {{ j.tags | sort | join }} {{ j.none is none }}",
            "80 0.5 ab True",
        ),
        ("{{ add(fromJson(getv('/json')).port, 1) }}", "81"),
        ("{{ toJson({'a': [1, 'x', none, true, 1.5]}) }}", r#"{"a":[1,"x",null,true,1.5]}"#),
        ("{{ join(split('a,b', ','), '-') }} {{ sortByLength(['ccc', 'bb']) | last }}", "a-b ccc"),
        ("{{ keys({'b': 1, 'a': 2}) | join }} {{ hasKey({'a': none}, 'a') }}", "ab True"),
        ("{{ seq(1, 3) | join('.') }} {{ seq(3, 1) | list }}", "1.2.3 [3, 2, 1]"),
        ("{{ datetime().Year() > 2000 }} {{ datetime().UTC().format('MST') }}", "True UTC"),
        ("{{ getv('/binary') | base64Encode }}", "//4="),
        ("{{ coalesce(none, '', 'x') }} {{ len(toJson([])) }}", "x 2"),
        ("{% if lookupIP('') %}y{% else %}n{% endif %}", "n"),
    ];
    for (source, expected) in cases {
        assert_eq!(output(source), expected, "{source}");
    }
}

#[test]
fn the_last_newline_stays_and_nothing_is_escaped() {
    assert_eq!(output("{{ '<&>' }}\n"), "<&>\n");
    let template = Template::parse_with(Engine::Jinja, Dialect::Waypost, "a.html.j2", b"{{ '<' }}").unwrap();
    assert_eq!(template.render(&Context::new(&MemoryNames::new())).unwrap().bytes, b"<");
    assert_eq!(template.name(), "a.html.j2");
}

#[test]
fn a_render_tells_what_it_read_whether_it_succeeds_or_fails() {
    let reads = render("{{ getv('/name') }}{% for x in gets('/web/*') %}{% endfor %}").unwrap().reads;
    assert!(reads.touched_by(b"/name") && reads.touched_by(b"/web/9") && !reads.touched_by(b"/x"));
    let failed = failure("{{ getv('/later') }}");
    assert!(failed.reads().touched_by(b"/later"));
    let files = render("{% include 'part.j2' %}{% include '/sub/../part.j2' %}").unwrap().reads;
    assert_eq!(files.files().map(|path| path.to_vec()).collect::<Vec<_>>(), [b"part.j2".to_vec()]);
    assert!(files.touched_by(b"/name"));
}

#[test]
fn files_are_included_imported_and_extended() {
    assert_eq!(output("{% include 'part.j2' %}"), "part hunter2\n");
    assert_eq!(output("{% from 'sub/macros.j2' import twice %}{{ twice('x') }}"), "xx");
    assert_eq!(output("{% import 'sub/macros.j2' as m %}{{ m.twice(1) }}"), "11");
    assert_eq!(output("{% extends 'base.j2' %}{% block body %}{{ super() }}!{% endblock %}"), "<base!>");
    assert_eq!(output("{% include 'none.j2' ignore missing %}x"), "x");
    assert_eq!(output("{{ include('go.tmpl', 5) }}"), "go 5 hunter2");
}

#[test]
fn no_file_outside_of_the_directory_is_read() {
    for path in ["../secret", "a/../../secret", ".."] {
        for tag in ["include", "extends"] {
            let error = failure(&format!("{{% {tag} '{path}' %}}"));
            assert!(error.message().contains("outside template directory"), "{}", error.message());
        }
    }
}

#[test]
fn errors_name_file_line_and_column_and_show_the_line() {
    let error = failure("one\ntwo {{ getv('/missing') }}");
    assert_eq!(error.kind(), ErrorKind::Exec);
    assert_eq!(
        error.snippet(),
        "main.j2:2:8: error calling getv: key does not exist: /missing\n  |\n2 | two {{ getv('/missing') }}\n  |        ^\n"
    );
    let error = failure("one\n{% if %}");
    assert_eq!((error.kind(), error.line(), error.column()), (ErrorKind::Parse, 2, 7));
    let error = failure("é {{ nothing }}");
    assert_eq!((error.line(), error.column(), error.message()), (1, 6, "undefined value"));
}

#[test]
fn errors_in_other_files_name_them() {
    let error = failure("a\n{% include 'failing.j2' %}");
    assert_eq!(
        error.to_string(),
        "failing.j2:2:6: error calling getv: key does not exist: /missing (included from main.j2:2:4)"
    );
    let error = failure("{% include 'broken.j2' %}");
    assert_eq!((error.kind(), error.file(), error.line()), (ErrorKind::Exec, "broken.j2", 2));
    let error = failure(" {{ include('go-failing.tmpl') }}");
    assert!(error.to_string().starts_with("go-failing.tmpl:1:3: "), "{error}");
    assert!(error.to_string().ends_with("(included from main.j2:1:5)"), "{error}");
    let error = failure("{% include 'none.j2' %}");
    assert_eq!((error.file(), error.line()), ("main.j2", 1));
}

#[test]
fn no_error_shows_a_keys_value() {
    let sources = [
        "{{ getv('/name') + 1 }}",
        "{{ getv('/name') | int }}",
        "{{ atoi(getv('/name')) }}",
        "{{ getv('/number') | int ** 999 }}",
        "{{ -(getv('/number') | int * 99999999999999999999999999999999) }}",
        "{{ getv('/name').foo.bar }}",
        "{{ getv('/name') is divisibleby(getv('/name')) }}",
        "{{ getv('/name')() }}",
        "{{ {'a': 1}[getv('/name')].b }}",
        "{{ json(getv('/name')) }}",
        "{{ regexMatch(getv('/name') ~ '(', 'x') }}",
        "{{ parseBool(getv('/name')) }}",
        "{{ base64Decode(getv('/name')) }}",
        "{{ getv('/name') | round }}",
        "{{ getv('/name') | format(1, 2) }}",
        "{{ '%d' | format(getv('/name')) }}",
        "{% set a, b = getv('/name') %}",
        "{{ range(0, 1, getv('/name')) }}",
        "{{ [1] | sort(attribute=getv('/name')) | map(getv('/name')) }}",
        "{{ getv('/name') | replace(1) }}",
    ];
    for source in sources {
        let Err(error) = render(source) else { continue };
        let shown = format!("{error} {error:?} {}", error.snippet());
        assert!(!shown.contains("hunter2") && !shown.contains("41414141"), "{source}: {shown}");
    }
}

#[test]
fn an_unknown_name_is_an_error_with_a_suggestion() {
    assert_eq!(
        failure("{{ getvv('/a') }}").message(),
        "function \"getvv\" not defined; did you mean \"getv\"?"
    );
    assert_eq!(
        failure("{{ 'a' | toUper }}").message(),
        "filter \"toUper\" not defined; did you mean \"toUpper\"?"
    );
    assert_eq!(failure("{{ 1 is foo }}").message(), "test \"foo\" not defined");
    let error = failure("{% if 0 %}{{ cgetv('/a') }}{% endif %}");
    assert_eq!((error.kind(), error.column()), (ErrorKind::Parse, 14));
    assert!(error.message().contains("does not decrypt secconf values"), "{}", error.message());
    assert!(failure("{{ '/a' | cget }}").message().contains("does not decrypt secconf values"));
}

#[test]
fn wrong_arguments_are_errors() {
    let cases = [
        ("{{ getv(1) }}", "error calling getv: wrong type for value; expected string; got int"),
        ("{{ getv() }}", "wrong number of args for getv: want at least 1 got 0"),
        ("{{ add(1, 2, 3) }}", "wrong number of args for add: want 2 got 3"),
        ("{{ getv(key='/a') }}", "too many arguments: unexpected keyword arguments"),
        ("{{ toJson({1: 2}) }}", "map keys must be strings"),
        ("{{ getv('/binary') }}", "value is not valid UTF-8, and Jinja writes only text"),
        ("{{ add(99999999999999999999, 1) }}", "integer has more than 64 bits"),
    ];
    for (source, message) in cases {
        assert_eq!(failure(source).message(), message, "{source}");
    }
    let template = Template::parse_with(Engine::Jinja, Dialect::Waypost, "a.j2", b"a\n\xFF");
    assert_eq!(template.unwrap_err().to_string(), "a.j2:2:1: template is not valid UTF-8");
}

#[test]
fn hostile_templates_end_in_an_error_in_time() {
    let nest = "{% set ns = namespace(l=0) %}{% for i in range(99999) %}{% for j in range(99999) %}{% set ns.l = {'a': ns.l} %}{% endfor %}{% endfor %}";
    let deep = |count: usize| {
        format!(
            "{{% set ns = namespace(l=0) %}}{{% for i in range({count}) %}}{{% set ns.l = {{'a': ns.l}} %}}{{% endfor %}}"
        )
    };
    let sources = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
        "{% include 'cycle.j2' %}".to_owned(),
        "{{ 'x' * 999999999999 }}".to_owned(),
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
            .to_owned(),
        "{{ seq(1, 1000000000000) }}".to_owned(),
        "{{ seq(1, 60000000) }}".to_owned(),
        "{{ repeat(999999999999, 'x') }}".to_owned(),
        "{% if false %}{{ 'x' * 4000000000 }}{% endif %}{{ nothing }}".to_owned(),
        "{{ indent(999999999999, 'x') }}".to_owned(),
        "{{ '%1000000000d' | format(1) }}".to_owned(),
        "{{ regexMatch('((a{1000}){1000}){1000}', 'a') }}".to_owned(),
        nest.to_owned(),
        format!("{}{{{{ toJson(ns.l) }}}}", deep(50_000)),
        format!("{{{{ {}1 }}}}", "(".repeat(100_000)),
        format!("{{% if 1 %}}{}", "{% elif 1 %}".repeat(20_000)),
        format!("{{{{ nothing.a{} }}}}", ".a".repeat(100_000)),
        format!("{{{{ {}'a' + 1 }}}}", "-".repeat(250_000)),
        format!("{{{{ {}nothing }}}}", "not ".repeat(60_000)),
        format!("{{{{ {}nothing }}}}", "'a' ~ ".repeat(40_000)),
        format!("{}{{{{ ns.l | pprint }}}}", deep(50_000)),
        format!("{{{{ {}1", "1+".repeat(130_000)),
        "x".repeat((256 << 10) + 1),
    ];
    for source in sources {
        let start = Instant::now();
        let error = render(&source).map(|rendered| rendered.bytes.len()).unwrap_err();
        let shown = &source[..source.len().min(80)];
        assert!(start.elapsed() < Duration::from_secs(60), "{shown}: {:?}", start.elapsed());
        assert!(!error.message().is_empty(), "{shown}");
    }
    assert!(output("{{ printf('%1000000000d', 1) }}").len() < 50, "Go tells of a bad width in the text");
    // What is nested deeply, and only held, compared or printed, is in order.
    let compared = format!("{}{{% set a = ns.l %}}{}{{{{ a == ns.l }}}}", deep(90_000), &deep(90_000)[29..]);
    render(&compared).unwrap();
    assert!(output(&format!("{}{{{{ ns.l }}}}", deep(90_000))).len() > 90_000);
}

#[test]
fn limits_are_those_of_the_context() {
    let limited = |source: &str, limits| render_within(source, limits).unwrap_err().message().to_owned();
    let small = Limits { output: 1_000, ..Limits::default() };
    assert_eq!(limited("{% for i in range(1001) %}x{% endfor %}", small), "output is too large");
    assert!(limited("{{ repeat(1001, 'x') }}", small).ends_with("output is too large"));
    let short = Limits { steps: 100, ..Limits::default() };
    assert!(limited("{% for i in range(101) %}{% endfor %}", short).starts_with("too many steps"));
    let shallow = Limits { depth: 20, ..Limits::default() };
    assert_eq!(limited("{% include 'cycle.j2' %}", shallow), "recursion limit exceeded");
}

#[test]
fn fifty_thousand_keys_take_half_of_the_budget() {
    let names: MemoryNames =
        (0..50_000).map(|n| (format!("/web/{n:05}"), format!("10.0.0.{}:80", n % 256))).collect();
    let source = "{% for p in gets('/web/*') %}server {\n  name {{ p.key }}; # {{ loop.index }}\n  \
                  address {{ p.value }};\n}\n{% endfor %}";
    let limits = Limits { steps: 1 << 21, ..Limits::default() };
    let context = Context { limits, ..Context::new(&names) };
    let template = Template::parse_with(Engine::Jinja, Dialect::Waypost, "a.j2", source.as_bytes()).unwrap();
    assert_eq!(template.render(&context).unwrap().bytes.iter().filter(|b| **b == b'\n').count(), 200_000);
}

#[test]
fn the_example_of_the_docs_gives_what_they_say() {
    let docs = include_str!("../../../docs/jinja.md");
    let blocks: Vec<&str> =
        docs.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1).collect();
    let [keys, template, expected] = blocks[..] else { panic!("the page has three blocks") };
    let pair = |line: &str| {
        let (key, value) = line.split_once('=').unwrap();
        (key.trim().to_owned(), value.trim().to_owned())
    };
    let names: MemoryNames = keys.lines().map(pair).collect();
    let template = Template::parse_with(
        Engine::of_file("web.conf.j2"),
        Dialect::Waypost,
        "web.conf.j2",
        template.as_bytes(),
    );
    let rendered = template.unwrap().render(&Context::new(&names)).unwrap();
    assert_eq!(String::from_utf8(rendered.bytes).unwrap(), expected);
}
