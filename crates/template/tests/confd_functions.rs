//! confd's functions: a test for each row of the reference of what its users know, named after the row.
//!
//! K is confd 0.16, A the fork at 0.41. Where the two differ, or only A knows the function, the test says so.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::io;
use std::net::IpAddr;

use waypost_template::{
    Context, Dialect, Engine, Error, ErrorKind, Files, Limits, MemoryNames, Moment, Server, Template, World,
};

const K: Dialect = Dialect::Confd016;
const A: Dialect = Dialect::Confd041;

const KEYS: [(&str, &str); 10] = [
    ("/app/b", "1"),
    ("/app/a", "2"),
    ("/app/db/host", "h"),
    ("/app/db/port", "p"),
    ("/apple", "x"),
    ("/empty", ""),
    ("/json", r#"{"n": 1000000, "s": "x"}"#),
    ("/array", r#"[1, "a"]"#),
    ("/list", "ccc,a,bb"),
    ("/broken", "{"),
];

/// A host with one interface, one name and two services.
struct Host;

impl World for Host {
    fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        [(&b"SET"[..], "value"), (b"BLANK", "")]
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_bytes().to_vec())
    }

    fn hostname(&self) -> io::Result<String> {
        Ok("box".to_owned())
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let found = if host == "web" { &["10.0.0.9", "10.0.0.10", "fd00::1"][..] } else { &[] };
        found.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn servers(&self, service: &str, proto: &str, name: &str) -> Vec<Server> {
        let server = |target: &str, port| Server { target: target.to_owned(), port, priority: 1, weight: 2 };
        match (service, proto, name) {
            ("http", "tcp", "web") => vec![server("b.", 80), server("a.", 81)],
            _ => Vec::new(),
        }
    }

    fn interface(&self, name: &str) -> Vec<IpAddr> {
        let found = if name == "eth0" { &["fd00::2", "10.0.0.1", "10.0.0.2"][..] } else { &[] };
        found.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn now(&self) -> Moment {
        Moment { unix_nanoseconds: 86_400_000_000_000, offset_seconds: 3_600, zone: "CET".to_owned() }
    }

    fn file_exists(&self, path: &[u8]) -> bool {
        path == b"/etc/there"
    }
}

/// A directory with a template, a chain of them, and a cycle.
struct Directory;

impl Files for Directory {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let chained =
            |number: &str| number.parse::<usize>().map(|n| format!("{{{{include \"c{}\"}}}}", n + 1));
        match (path, path.strip_prefix('c').map(chained)) {
            ("part.tmpl", _) => Ok(b"[{{.}}]".to_vec()),
            ("cycle.tmpl", _) => Ok(b"{{include \"cycle.tmpl\"}}".to_vec()),
            (_, Some(Ok(source))) => Ok(source.into_bytes()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn render(dialect: Dialect, source: &str) -> Result<String, Error> {
    let names: MemoryNames = KEYS.into_iter().collect();
    let context = Context { names: &names, files: &Directory, world: &Host, limits: Limits::default() };
    let template = Template::parse_with(Engine::Go, dialect, "main.tmpl", source.as_bytes())?;
    Ok(String::from_utf8(template.render(&context)?.bytes).unwrap())
}

/// Both generations give `expected`.
fn both(source: &str, expected: &str) {
    for dialect in [K, A] {
        assert_eq!(render(dialect, source).unwrap(), expected, "{source} in {dialect:?}");
    }
}

/// 0.41 gives `expected`; 0.16 does not know the function, and the error says who does.
fn only_a(source: &str, expected: &str) {
    assert_eq!(render(A, source).unwrap(), expected, "{source}");
    not_in_k(source);
}

fn not_in_k(source: &str) {
    let error = render(K, source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parse, "{source}");
    assert!(error.message().ends_with("not defined in confd 0.16; --compat 0.41 has it"), "{error}");
}

/// Both generations fail when they execute.
fn both_fail(source: &str, message: &str) {
    for dialect in [K, A] {
        fails(dialect, source, message);
    }
}

fn fails(dialect: Dialect, source: &str, message: &str) {
    let error = render(dialect, source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exec, "{source}: {error}");
    assert!(error.message().contains(message), "{source}: {error}");
}

#[test]
fn row_exists_is_of_exact_leaves() {
    both(
        r#"{{exists "/app/a"}} {{exists "/app/db"}} {{exists "/none"}} {{exists "/empty"}}"#,
        "true false false true",
    );
}

#[test]
fn row_get_gives_a_pair_or_fails() {
    both(r#"{{(get "/app/a").Key}}={{(get "/app/a").Value}}"#, "/app/a=2");
    both_fail(r#"{{get "/none"}}"#, "key does not exist: /none");
}

#[test]
fn row_gets_matches_a_level_and_sorts_by_key() {
    both(r#"{{range gets "/app/*"}}{{.Key}} {{end}}"#, "/app/a /app/b ");
    both(r#"{{range gets "/app/[b]"}}{{.Value}}{{end}}{{range gets "/app/\\a"}}{{.Value}}{{end}}"#, "12");
    both(r#"{{range gets "/none/*"}}x{{else}}nothing{{end}}"#, "nothing");
    both_fail(r#"{{gets "/app/["}}"#, "syntax error in pattern");
    let shown = r#"{{printf "%#v" (gets "/none/*")}}"#;
    assert_eq!(render(K, shown).unwrap(), "memkv.KVPairs{}");
    assert_eq!(render(A, shown).unwrap(), "memkv.KVPairs(nil)");
}

#[test]
fn row_getv_takes_a_default_for_what_is_missing_not_for_what_is_empty() {
    both(r#"{{getv "/app/a"}} {{getv "/none" "d"}} [{{getv "/empty" "d"}}]"#, "2 d []");
    both_fail(r#"{{getv "/none"}}"#, "key does not exist: /none");
}

#[test]
fn row_getvs_sorts_by_value() {
    both(r#"{{getvs "/app/*"}}{{getvs "/none/*"}}"#, "[1 2][]");
    both_fail(r#"{{getvs "/app/["}}"#, "syntax error in pattern");
}

#[test]
fn row_ls_lists_leaves_and_directories() {
    both(r#"{{ls "/app"}} {{ls "/app/a"}} {{ls "/none"}}"#, "[a b db] [a] []");
}

#[test]
fn row_lsdir_lists_what_has_children() {
    both(r#"{{lsdir "/app"}} {{lsdir "/app/db"}} {{lsdir "/none"}}"#, "[db] [] []");
}

#[test]
fn row_cget_cgets_cgetv_cgetvs_are_refused_with_the_reason() {
    for name in ["cget", "cgets", "cgetv", "cgetvs"] {
        for dialect in [K, A, Dialect::Waypost] {
            let error =
                render(dialect, &format!("{{{{if false}}}}{{{{{name} \"/a\"}}}}{{{{end}}}}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Parse);
            assert!(error.message().contains("waypost does not decrypt secconf values"), "{error}");
        }
    }
}

#[test]
fn row_base_and_dir_take_paths_apart() {
    both(r#"{{base "/a/b"}} {{dir "/a/b"}} {{base ""}} {{dir "x"}}"#, "b /a . .");
}

#[test]
fn row_split_cuts_at_a_separator() {
    both(r#"{{split "a,b,,c" ","}} {{len (split "" ",")}}"#, "[a b  c] 1");
}

#[test]
fn row_join_takes_strings_only() {
    both(r#"{{join (split "a,b" ",") "-"}}"#, "a-b");
    both_fail(r#"{{join (jsonArray (getv "/array")) "-"}}"#, "expected []string; got []interface {}");
}

#[test]
fn row_map_takes_string_keys_and_values_in_turn() {
    both(r#"{{(map "a" 1 "b" 2).b}}"#, "2");
    both_fail(r#"{{map "a"}}"#, "invalid map call");
    both_fail(r#"{{map 1 "a"}}"#, "map keys must be strings");
}

#[test]
fn row_json_and_json_array_want_their_own_top_type() {
    both(r#"{{(json (getv "/json")).n}} {{index (jsonArray (getv "/array")) 1}}"#, "1e+06 a");
    both_fail(r#"{{json (getv "/array")}}"#, "error calling json");
    both_fail(r#"{{jsonArray (getv "/json")}}"#, "error calling jsonArray");
    both_fail(r#"{{json (getv "/broken")}}"#, "error calling json");
}

#[test]
fn row_getenv_takes_an_empty_variable_as_missing() {
    both(
        r#"{{getenv "SET"}} {{getenv "BLANK" "d"}} {{getenv "UNSET" "d"}} [{{getenv "UNSET"}}]"#,
        "value d d []",
    );
}

#[test]
fn row_datetime_has_the_methods_of_time() {
    both(r#"{{datetime.Format "2006-01-02 15:04 MST"}} {{datetime.Unix}}"#, "1970-01-02 01:00 CET 86400");
}

#[test]
fn row_to_upper_and_to_lower_take_one_string() {
    both(r#"{{toUpper "aé"}} {{toLower "AÉ"}}"#, "AÉ aé");
    both_fail("{{toUpper 1}}", "expected string");
}

#[test]
fn row_contains_takes_the_string_first() {
    both(r#"{{contains "seafood" "foo"}} {{contains "foo" "seafood"}}"#, "true false");
}

#[test]
fn row_replace_counts() {
    both(r#"{{replace "aaa" "a" "b" 2}} {{replace "aaa" "a" "b" -1}}"#, "bba bbb");
}

#[test]
fn row_trim_suffix_takes_the_string_first() {
    both(r#"{{trimSuffix "a.b" ".b"}} {{trimSuffix "a.b" ".c"}}"#, "a a.b");
}

#[test]
fn row_lookup_ip_ipv4_ipv6_sort_as_text_and_never_fail() {
    both(r#"{{lookupIP "web"}}{{lookupIP "none"}}"#, "[10.0.0.10 10.0.0.9 fd00::1][]");
    both(
        r#"{{lookupIPV4 "web"}}{{lookupIPV6 "web"}}{{lookupIPV6 "none"}}"#,
        "[10.0.0.10 10.0.0.9][fd00::1][]",
    );
}

#[test]
fn row_lookup_srv_sorts_as_text_and_keeps_the_dot() {
    both(
        r#"{{range lookupSRV "http" "tcp" "web"}}{{.Target}}:{{.Port}}/{{.Priority}}/{{.Weight}} {{end}}"#,
        "a.:81/1/2 b.:80/1/2 ",
    );
    both(r#"{{len (lookupSRV "http" "tcp" "none")}}"#, "0");
}

#[test]
fn row_file_exists_asks_for_the_path() {
    both(r#"{{fileExists "/etc/there"}} {{fileExists "/etc/not"}}"#, "true false");
}

#[test]
fn row_base64_encode_and_base64_decode() {
    both(r#"{{base64Encode "hi"}} {{base64Decode "aGk="}}"#, "aGk= hi");
    both_fail(r#"{{base64Decode "aGk"}}"#, "illegal base64 data");
}

#[test]
fn row_parse_bool_and_atoi_fail_on_other_input() {
    both(r#"{{parseBool "t"}} {{atoi "-7"}}"#, "true -7");
    both_fail(r#"{{parseBool "yes"}}"#, "invalid syntax");
    both_fail(r#"{{atoi "x"}}"#, "invalid syntax");
}

#[test]
fn row_reverse_works_in_place_in_k_and_copies_in_a() {
    let source = r#"{{$l := split "a,b,c" ","}}{{range reverse $l}}{{.}}{{end}} {{range $l}}{{.}}{{end}}"#;
    assert_eq!(render(K, source).unwrap(), "cba cba");
    assert_eq!(render(A, source).unwrap(), "cba abc");
    both(r#"{{range reverse (gets "/app/*")}}{{.Key}} {{end}}"#, "/app/a /app/b ");
    let pairs =
        r#"{{$p := sortKVByLength (gets "/app/db/*")}}{{$r := reverse $p}}{{range $p}}{{base .Key}} {{end}}"#;
    assert_eq!(render(K, pairs).unwrap(), "port host ");
    assert_eq!(render(A, pairs).unwrap(), "host port ");
    both("{{reverse 5}}", "5");
}

#[test]
fn row_sort_by_length_and_sort_kv_by_length() {
    both(r#"{{sortByLength (split (getv "/list") ",")}}"#, "[a bb ccc]");
    both(
        r#"{{range sortKVByLength (gets "/*")}}{{.Key}} {{end}}"#,
        "/json /list /apple /array /empty /broken ",
    );
}

#[test]
fn row_add_sub_mul_take_integers_only() {
    both("{{add 1 2}} {{sub 1 2}} {{mul 2 3}}", "3 -1 6");
    both_fail(r#"{{add 1 (json (getv "/json")).n}}"#, "expected int; got float64");
}

#[test]
fn row_div_and_mod_by_zero_fail() {
    both("{{div 7 2}} {{mod 7 2}}", "3 1");
    both_fail("{{div 1 0}}", "by zero");
    both_fail("{{mod 1 0}}", "by zero");
}

#[test]
fn row_seq_counts_down_in_a_only() {
    both("{{seq 1 3}} {{seq 2 2}}", "[1 2 3] [2]");
    assert_eq!(render(K, "{{seq 3 1}}{{len (seq 3 1)}}").unwrap(), "[]0");
    assert_eq!(render(A, "{{seq 3 1}}").unwrap(), "[3 2 1]");
}

#[test]
fn row_lookup_iface_ipv4_and_ipv6_give_the_first_address() {
    only_a(r#"{{lookupIfaceIPV4 "eth0"}} [{{lookupIfaceIPV4 "none"}}]"#, "10.0.0.1 []");
    only_a(r#"{{lookupIfaceIPV6 "eth0"}} [{{lookupIfaceIPV6 "none"}}]"#, "fd00::2 []");
}

#[test]
fn row_hostname_is_the_systems() {
    only_a("{{hostname}}", "box");
}

#[test]
fn row_include_is_bounded_and_stays_inside() {
    only_a(r#"{{include "part.tmpl" 5}}{{include "/sub/../part.tmpl"}}"#, "[5][<no value>]");
    fails(A, r#"{{include "c0"}}"#, "maximum include depth (10) exceeded");
    fails(A, r#"{{include "cycle.tmpl"}}"#, "include cycle detected");
    fails(A, r#"{{include "../part.tmpl"}}"#, "outside template directory");
    fails(A, r#"{{include "none.tmpl"}}"#, "include none.tmpl");
}

#[test]
fn row_default_ternary_coalesce_empty() {
    only_a(r#"{{default "d" ""}} {{default "d" "v"}}"#, "d v");
    only_a(r#"{{ternary "t" "f" true}} {{true | ternary "t" "f"}}"#, "t t");
    only_a(r#"{{coalesce "" 0 "x" "y"}}"#, "x");
    only_a(r#"{{empty 0}}{{empty ""}}{{empty nil}}{{empty false}}{{empty 1}}"#, "truetruetruetruefalse");
    fails(A, r#"{{"true" | ternary 1 2}}"#, "expected bool");
}

#[test]
fn row_to_json_to_pretty_json_from_json() {
    only_a(r#"{{toJson (dict "b" 1 "a" "<")}}"#, r#"{"a":"\u003c","b":1}"#);
    only_a(r#"{{toPrettyJson (dict "a" 1)}}"#, "{\n  \"a\": 1\n}");
    only_a(r#"{{len (fromJson (getv "/array"))}}"#, "2");
    fails(A, r#"{{fromJson (getv "/broken")}}"#, "error calling fromJson");
}

#[test]
fn row_indent_nindent_quote_squote() {
    only_a(r#"{{indent 2 "a\nb"}}"#, "  a\n  b");
    only_a(r#"{{nindent 2 "a"}}"#, "\n  a");
    only_a(r#"{{quote "a\"b"}}"#, r#""a\"b""#);
    only_a(r#"{{squote "it's"}}"#, "'it''s'");
}

#[test]
fn row_regex_match_regex_find_regex_replace_all() {
    only_a(r#"{{regexMatch "^a+$" "aa"}} {{regexMatch "^a+$" "ab"}}"#, "true false");
    only_a(r#"{{regexFind "b+" "abbc"}}"#, "bb");
    only_a(r#"{{regexReplaceAll "(b)" "abc" "<$1>"}}"#, "a<b>c");
    for call in [r#"regexMatch "(" "a""#, r#"regexFind "(" "a""#, r#"regexReplaceAll "(" "a" "b""#] {
        fails(A, &format!("{{{{{call}}}}}"), "error calling regex");
    }
}

#[test]
fn row_trim_prefix_repeat_nospace_snakecase_camelcase_kebabcase() {
    only_a(r#"{{trimPrefix "a.b" "a."}}"#, "b");
    only_a(r#"{{repeat 3 "x"}}"#, "xxx");
    only_a(r#"{{nospace " a b "}}"#, "ab");
    only_a(r#"{{snakecase "fooBar"}}"#, "foo_bar");
    only_a(r#"{{camelcase "foo_bar"}}"#, "fooBar");
    only_a(r#"{{kebabcase "fooBar"}}"#, "foo-bar");
}

#[test]
fn row_dict_list_has_key_keys_values_append_pluck() {
    only_a(r#"{{dict "a" 1}} {{list 1 "a"}}"#, "map[a:1] [1 a]");
    only_a(r#"{{list 1 "a"}}"#, "[1 a]");
    let keyed = r#"{{$d := map "b" 2 "a" 1}}"#;
    only_a(&format!(r#"{keyed}{{{{hasKey $d "a"}}}}"#), "true");
    only_a(&format!("{keyed}{{{{keys $d}}}}"), "[a b]");
    only_a(&format!("{keyed}{{{{values $d}}}}"), "[1 2]");
    only_a(r#"{{append (jsonArray (getv "/array")) 2}}"#, "[1 a 2]");
    only_a(&format!(r#"{keyed}{{{{pluck "a" $d $d}}}}"#), "[1 1]");
    fails(A, r#"{{keys (list 1)}}"#, "expected map[string]interface {}");
}

#[test]
fn row_sha256sum_is_hexadecimal() {
    only_a(r#"{{sha256sum ""}}"#, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn what_only_waypost_has_is_not_in_k() {
    only_a(r#"{{hasPrefix "ab" "a"}}"#, "true");
}

#[test]
fn a_name_that_nobody_knows_gets_a_suggestion() {
    let error = render(K, "a\n{{if false}}{{getvv \"/a\"}}{{end}}").unwrap_err();
    assert_eq!(error.to_string(), "main.tmpl:2:15: function \"getvv\" not defined; did you mean \"getv\"?");
    let hidden = render(K, "{{lists}}").unwrap_err();
    assert!(!hidden.message().contains("\"list\""), "0.16 does not have it: {hidden}");
}
