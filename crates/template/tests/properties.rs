//! No template, however broken, makes the engine panic; no render goes beyond its limits.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use proptest::prelude::*;
use serde_json::Value;
use waypost_template::{Context, Glob, Limits, MemoryNames, NoFiles, Os, Template, Text};

const CASES: &str = include_str!("conformance/template.jsonl");

const LIMITS: Limits = Limits { output: 1 << 16, steps: 10_000, depth: 200 };

fn templates() -> Vec<String> {
    let template =
        |line| serde_json::from_str::<Value>(line).unwrap()["template"].as_str().unwrap().to_owned();
    CASES.lines().map(template).filter(|source| source.len() < 2_000).collect()
}

fn render(source: &[u8]) {
    let names: MemoryNames =
        [("/srv/a", "10.0.0.1:80"), ("/srv/b", "{\"a\":[1,null,\"x\"]}"), ("/k", "%d %s"), ("/re", "a(b*)+")]
            .into_iter()
            .collect();
    let context = Context { names: &names, files: &NoFiles, world: &Os, limits: LIMITS };
    let Ok(template) = Template::parse("main.tmpl", source) else { return };
    match template.render(&context) {
        Ok(rendered) => assert!(rendered.bytes.len() <= LIMITS.output),
        Err(error) => assert!(error.line() > 0 && error.column() > 0 && !error.snippet().is_empty()),
    }
}

/// Pieces that are likely to mean something where they do not belong.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{end}}",
    "{{else}}",
    "{{else if 1}}",
    "{{if ",
    "{{range ",
    "{{with ",
    "{{block \"b\" ",
    "{{define \"d\"}}",
    "{{template \"d\" ",
    "{{break}}",
    "{{continue}}",
    "(",
    ")",
    "|",
    ".",
    "$",
    "$x",
    "$x := ",
    "$x = ",
    "$i, $x := ",
    ", ",
    ":=",
    "\"a\"",
    "`b`",
    "'c'",
    "nil",
    "true",
    "1",
    "-1.5",
    "1i",
    "0x1p4",
    "9223372036854775807",
    " ",
    "\n",
    "/* c */",
    ".Key",
    ".Value",
    ".Len",
    ".Less 0 1",
    "and ",
    "or ",
    "not ",
    "index ",
    "slice ",
    "len ",
    "eq ",
    "lt ",
    "printf \"%v %[2]*.[1]*d %x\" ",
    "gets \"/srv/*\" ",
    "getv \"/k\" ",
    "ls \"/\" ",
    "json ",
    "toJson ",
    "fromJson ",
    "append ",
    "list 1 2 ",
    "dict \"a\" 1 ",
    "seq 1 3 ",
    "sortByLength ",
    "split \"a b\" \" \" ",
    "regexReplaceAll ",
    "include \"x\" ",
    "endpoints \"/srv\" ",
    "endpoints \"/srv/*\" \"tag=a\" ",
    "tree \"/\" ",
    "explode ",
    "groupBy 0 ",
    "sortBy \"-Key\" ",
    "unique ",
    "first ",
    "toYaml ",
    "toToml ",
    "fromYaml ",
    "cidrSubnet \"10.0.0.0/8\" ",
    "quoteNginx ",
    "loop ",
    "in ",
    "divide ",
    "splitToMap ",
    "datetime.Format ",
    "(or 1 ($x := 2)) ",
];

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..30).prop_map(|pieces| pieces.concat())
}

/// A known template with something cut out and something put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0usize..12, pieces());
    (prop::sample::select(templates()), prop::collection::vec(edit, 1..4)).prop_map(|(source, edits)| {
        let mut source = source.into_bytes();
        for (at, length, piece) in edits {
            let start = at.index(source.len() + 1);
            let end = (start + length).min(source.len());
            source.splice(start..end, piece.into_bytes().into_iter().take(24));
        }
        source
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_not_panic(source in prop::collection::vec(any::<u8>(), 0..200)) {
        render(&source);
        render(&[b"{{", &source[..]].concat());
    }

    #[test]
    fn likely_pieces_do_not_panic(source in pieces()) {
        render(source.as_bytes());
        render(format!("{{{{{source}}}}}").as_bytes());
    }

    #[test]
    fn mutated_templates_do_not_panic(source in mutated()) {
        render(&source);
    }

    #[test]
    fn arbitrary_formats_and_patterns_do_not_panic(text in "[%#+ 0-9*.\\[\\]vdsqxXUcTpw(a)b|?{},^$\\\\pdwQE-]{0,20}") {
        let names: MemoryNames = [("/t", text.clone())].into_iter().collect();
        let context = Context { names: &names, files: &NoFiles, world: &Os, limits: LIMITS };
        for source in ["{{printf (getv \"/t\") 1 \"x\" 2.5 (list 1 nil) nil}}", "{{regexReplaceAll (getv \"/t\") \"abab(\" \"[$1]\"}}", "{{regexReplaceAll \"(a)\" \"abab\" (getv \"/t\")}}", "{{gets (getv \"/t\")}}", "{{datetime.Format (getv \"/t\")}}", "{{fromJson (getv \"/t\")}}",
            "{{fromYaml (getv \"/t\")}}", "{{endpoints \"/\"}}", "{{endpoints (getv \"/t\")}}", "{{tree (getv \"/t\")}}", "{{cidrHost (getv \"/t\") 1}}",
            "{{parseFloat (getv \"/t\")}}", "{{toTitle (getv \"/t\")}}", "{{timestamp (getv \"/t\")}}", "{{trim (getv \"/t\") \"a(%\"}}"] {
            let _ = Template::parse("t", source.as_bytes()).unwrap().render(&context);
        }
    }

    #[test]
    fn a_literal_glob_matches_itself_and_a_star_one_level(name in "[a-c/]{0,8}") {
        let literal = Glob::new(Text::from(name.clone())).unwrap();
        prop_assert!(literal.matches(name.as_bytes()));
        let star = Glob::new(Text::from("*")).unwrap();
        prop_assert_eq!(star.matches(name.as_bytes()), !name.contains('/'));
    }

    #[test]
    fn a_change_that_changes_the_outcome_touches_what_was_read(
        keys in prop::collection::btree_map(NAME, VALUE, 0..8),
        name in NAME,
        value in prop::option::of(VALUE),
        source in prop::sample::select(READERS),
    ) {
        let template = Template::parse("t", source.as_bytes()).unwrap();
        let mut changed = keys.clone();
        match value {
            Some(value) => drop(changed.insert(name.clone(), value)),
            None => drop(changed.remove(&name)),
        }
        let [before, after] = [keys, changed].map(|keys| {
            let names: MemoryNames = keys.into_iter().collect();
            match template.render(&Context::new(&names)) {
                Ok(rendered) => (Ok(rendered.bytes), rendered.reads),
                Err(error) => (Err(error.to_string()), error.reads().clone()),
            }
        });
        if before.0 != after.0 {
            prop_assert!(before.1.touched_by(name.as_bytes()), "{} in {}", name, source);
        }
    }
}

const NAME: &str = "/[ab]{1,2}(/[ab]{1,2}){0,2}";
const VALUE: &str = "(a:1|b:2|x|\\{\"address\":\"c:3\",\"state\":\"down\"\\})";

/// Templates that read keys in every way there is.
const READERS: &[&str] = &[
    "{{endpoints \"/a\"}}",
    "{{endpoints \"a/b/\" \"state=any\"}}",
    "{{endpoints \"/a/*\"}}",
    "{{endpoints \"/[ab]/a?\"}}",
    "{{len (endpoints \"/\")}}",
    "{{tree \"/a\"}}",
    "{{tree \"b/\"}}",
    "{{tree \"/\"}}",
    "{{tree \"/a/../b/a\"}}",
    "{{toJson (explode (tree \"/b\"))}}",
    "{{gets \"/*/b\"}}",
    "{{getvs \"/a/*\"}}",
    "{{ls \"/a\"}}",
    "{{lsdir \"/b\"}}",
    "{{key \"a/b\"}}",
    "{{keyExists \"b\"}}",
    "{{keyOrDefault \"a\" \"x\"}}",
];
