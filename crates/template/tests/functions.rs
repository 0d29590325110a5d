//! waypost's own functions at their edges; docs/functions.md has the ordinary uses.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use waypost_template::{Context, Error, ErrorKind, Limits, MemoryNames, Template};

fn render_with(names: &MemoryNames, source: &str) -> Result<Vec<u8>, Error> {
    Ok(Template::parse("t", source.as_bytes())?.render(&Context::new(names))?.bytes)
}

fn render(source: &str) -> String {
    String::from_utf8(render_with(&MemoryNames::new(), source).unwrap()).unwrap()
}

fn error(source: &str) -> String {
    render_with(&MemoryNames::new(), source).unwrap_err().message().to_owned()
}

/// What `source` makes of the key `/t`.
fn of_value(source: &str, value: impl Into<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let mut names = MemoryNames::new();
    names.insert("/t", value.into());
    render_with(&names, source)
}

fn pool(value: &str) -> Result<String, Error> {
    let source =
        "{{range endpoints `/t` `state=any`}}{{.Address}} {{.Host}} {{.Port}} {{.Weight}} {{.Tags}}{{end}}";
    of_value(source, value).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_server_is_read_from_all_its_forms() {
    for (value, expected) in [
        (" 10.0.0.5:8001\n", "10.0.0.5:8001 10.0.0.5 8001 1 []"),
        ("[FD00::0:1]:80", "[fd00::1]:80 fd00::1 80 1 []"),
        (r#"{"address": "web.internal:80", "weight": 0}"#, "web.internal:80 web.internal 80 0 []"),
        (r#"{"address": "fd00::1", "port": "80", "tags": ["a", "b"]}"#, "[fd00::1]:80 fd00::1 80 1 [a b]"),
        (
            r#"{"address": "[fd00::1]", "port": 80, "tags": null, "state": null}"#,
            "[fd00::1]:80 fd00::1 80 1 []",
        ),
    ] {
        assert_eq!(pool(value).unwrap(), expected, "{value}");
    }
}

#[test]
fn what_is_no_server_fails_with_the_key_and_without_the_value() {
    let values = [
        "",
        "hunter2",
        "hunter2:",
        "hunter2:0",
        "hunter2:65536",
        "hunter2:80;",
        "hunter2 x:80",
        "hunter2/x:80",
        "$hunter2:80",
        "fd00::1:80 hunter2",
        "{\"address\": \"hunter2",
        "{\"host\": \"hunter2\"}",
        "{\"address\": \"hunter2:80\", \"port\": 80}",
        "{\"address\": \"hunter2\", \"port\": 80.5}",
        "{\"address\": \"hunter2\", \"port\": true}",
        "{\"address\": [\"hunter2:80\"]}",
        "{\"address\": \"hunter2:80\", \"weight\": -1}",
        "{\"address\": \"hunter2:80\", \"weight\": 0.5}",
        "{\"address\": \"hunter2:80\", \"weight\": \"hunter2\"}",
        "{\"address\": \"hunter2:80\", \"tags\": \"hunter2\"}",
        "{\"address\": \"hunter2:80\", \"tags\": [1]}",
        "{\"address\": \"hunter2:80\", \"zone\": 1}",
        "{\"address\": \"hunter2:80\", \"meta\": \"hunter2\"}",
    ];
    for value in values {
        let error = pool(value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exec);
        assert!(error.message().contains("key /t is no server: "), "{value}: {error}");
        assert!(!error.snippet().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_filter_that_is_none_fails_even_without_servers() {
    for filter in ["", "tag", "colour=blue", "tag<blue", "!=x"] {
        assert!(error(&format!("{{{{endpoints `/none` `{filter}`}}}}")).contains("no filter"), "{filter}");
    }
}

#[test]
fn a_path_lists_a_key_and_what_is_directly_below_and_a_glob_what_matches() {
    let names: MemoryNames =
        ["/p", "/p/1", "/p/2", "/p/2/3", "/px"].into_iter().map(|name| (name, "a:1")).collect();
    for (pattern, expected) in [
        ("/p", "/p /p/1 /p/2 "),
        ("p/", "/p /p/1 /p/2 "),
        ("/p*", "/p /px "),
        ("/*/*/*", "/p/2/3 "),
        ("/", "/p /px "),
    ] {
        let source = format!("{{{{range endpoints `{pattern}`}}}}{{{{.Key}}}} {{{{end}}}}");
        assert_eq!(render_with(&names, &source).unwrap(), expected.as_bytes(), "{pattern}");
    }
    assert!(render_with(&names, "{{endpoints `/p[`}}").is_err());
}

#[test]
fn a_tree_has_everything_below_and_not_beside() {
    let names: MemoryNames =
        ["/p", "/p/1", "/p/2/3", "/p/2/4/5", "/p-x/1"].into_iter().map(|name| (name, "v")).collect();
    for (directory, expected) in
        [("/p", "[{1 v} {2/3 v} {2/4/5 v}]"), ("p/2/", "[{3 v} {4/5 v}]"), ("/none", "[]")]
    {
        let source = format!("{{{{tree `{directory}`}}}}");
        assert_eq!(render_with(&names, &source).unwrap(), expected.as_bytes(), "{directory}");
    }
    assert_eq!(render_with(&names, "{{len (tree `/`)}}").unwrap(), b"5");
}

/// The rules were tried on nginx 1.22, HAProxy 2.6, Varnish 7.1, dash, bash, PHP 8.2 and systemd 252: each read
/// 400 texts of special characters back as they were, or the function refused them.
#[test]
fn quoted_text_is_one_word() {
    let text = "it's \"a\" \\ #x; {y} % é\t";
    for (function, word) in [
        ("quoteNginx", "\"it's \\\"a\\\" \\\\ #x; {y} % é\\t\""),
        ("quoteHaproxy", "'it'\\''s \"a\" \\ #x; {y} % é\t'"),
        ("quoteVcl", "{\"it's \"a\" \\ #x; {y} % é\t\"}"),
        ("quoteShell", "'it'\\''s \"a\" \\ #x; {y} % é\t'"),
        ("quotePhp", "'it\\'s \"a\" \\\\ #x; {y} % é\t'"),
        ("quoteJson", "\"it's \\\"a\\\" \\\\ #x; {y} % é\\t\""),
        ("quoteSystemd", "\"it's \\\"a\\\" \\\\ #x; {y} %% é\\t\""),
        ("quoteSystemdExec", "\"it's \\\"a\\\" \\\\ #x; {y} %% é\\t\""),
        ("quoteSystemdEnv", "\"it's \\\"a\\\" \\\\ #x; {y} %% é\\t\""),
    ] {
        let quoted = of_value(&format!("{{{{{function} (getv `/t`)}}}}"), text).unwrap();
        assert_eq!(String::from_utf8(quoted).unwrap(), word, "{function}");
    }
}

#[test]
fn vcl_gets_the_quotes_that_its_text_allows() {
    for (text, word) in [
        ("", "\"\""),
        ("a\nb", "{\"a\nb\"}"),
        ("\"", "{\"\"\"}"),
        ("a\"}b", "\"\"\"a\"}b\"\"\""),
        ("\"}\"\"", ""),
        ("\"}\"", ""),
    ] {
        match of_value("{{quoteVcl (getv `/t`)}}", text) {
            Ok(quoted) => assert_eq!(String::from_utf8(quoted).unwrap(), word, "{text}"),
            Err(error) => assert_eq!(word, "", "{text}: {error}"),
        }
    }
}

#[test]
fn what_a_language_cannot_write_is_refused() {
    let refused: [(&str, &[&[u8]]); 8] = [
        ("quoteNginx", &[b"\0", b"$", b"a$b", &[b'x'; 4095]]),
        ("quoteHaproxy", &[b"", b"\0", b"\n", b"\r"]),
        ("quoteVcl", &[b"\0"]),
        ("quoteShell", &[b"\0"]),
        ("quoteJson", &[b"\xff"]),
        ("quoteSystemd", &[b"\0", b"\x07", b"\r", b"$", b"\xff"]),
        ("quoteSystemdExec", &[b"\0", b"\x1b", b"\xff"]),
        ("quoteSystemdEnv", &[b"\0", b"\x7f", b"\xff"]),
    ];
    for (function, texts) in refused {
        for text in texts {
            let error = of_value(&format!("{{{{{function} (getv `/t`)}}}}"), *text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exec, "{function} {text:?}");
        }
    }
    assert_eq!(of_value("{{quoteNginx (getv `/t`)}}", vec![b'x'; 4094]).unwrap().len(), 4096);
}

#[test]
fn groups_and_sorts_keep_what_has_no_field() {
    let people = r#"$all := jsonArray "[{\"n\":\"b\",\"t\":[1,2]},{\"n\":\"a\",\"t\":[2]},{\"m\":0}]""#;
    assert_eq!(
        render(&format!(
            "{{{{{people}}}}}{{{{range $k, $v := groupBy `t` $all}}}}{{{{$k}}}}:{{{{len $v}}}} {{{{end}}}}"
        )),
        ":1 1:1 2:2 "
    );
    assert_eq!(
        render(&format!("{{{{{people}}}}}{{{{range sortBy `n` $all}}}}{{{{.n}}}},{{{{end}}}}")),
        "<no value>,a,b,"
    );
    assert_eq!(
        render("{{sortBy 1 (split `a/2 b/1 c` ` `)}} {{sortBy -1 (split `z/1 y/0` ` `)}}"),
        "[c b/1 a/2] [y/0 z/1]"
    );
    assert_eq!(
        render("{{printf `%T %T` (sortBy 0 (split `b a` ` `)) (unique (seq 1 2))}}"),
        "[]string []int"
    );
}

#[test]
fn a_list_is_not_changed_by_sorting_it() {
    assert_eq!(render("{{$a := split `b a` ` `}}{{sortBy 0 $a}}{{unique $a}}{{$a}}"), "[a b][b a][b a]");
}

#[test]
fn a_text_is_not_equal_to_a_number_that_prints_alike() {
    assert_eq!(render("{{len (unique (list 1 `1` 1.0 1 nil nil true `true`))}}"), "6");
    assert_eq!(
        render("{{in (list 1 `2`) 2}} {{in (list 1 `2`) 1}} {{in (list 1.5) 1.5}}"),
        "false true true"
    );
}

#[test]
fn what_is_no_list_is_refused() {
    for source in [
        "{{first `abc`}}",
        "{{last 1}}",
        "{{unique (dict)}}",
        "{{groupBy `x` `abc`}}",
        "{{sortBy (list) (list)}}",
    ] {
        assert!(error(source).contains("wrong type for value"), "{source}");
    }
    assert_eq!(render("{{first (list)}} {{last nil}} {{unique nil}}"), "<no value> <no value> []");
}

#[test]
fn networks_are_checked_at_their_ends() {
    assert_eq!(
        render("{{cidrHost `0.0.0.0/0` -1}} {{cidrHost `::/0` -1}}"),
        "255.255.255.255 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    );
    assert_eq!(
        render("{{cidrSubnet `::/0` 128 1}} {{cidrSubnet `::/0` 0 0}} {{cidrSubnet `10.0.0.0/32` 0 0}}"),
        "::1/128 ::/0 10.0.0.0/32"
    );
    assert_eq!(
        render("{{cidrSubnet `fd00::/48` 16 162}} {{cidrHost `10.1.2.3/8` 0}}"),
        "fd00:0:0:a2::/64 10.0.0.0"
    );
    assert_eq!(
        render("{{cidrContains `10.0.0.0/8` `10.0.0.0/7`}} {{cidrContains `10.0.0.0/8` `10.9.0.0/16`}}"),
        "false true"
    );
    for source in [
        "{{cidrHost `10.0.0.0/24` 256}}",
        "{{cidrHost `10.0.0.0/24` -257}}",
        "{{cidrHost `::/0` -9223372036854775808 | cidrContains `10.0.0.0`}}",
        "{{cidrSubnet `10.0.0.0/24` 9 0}}",
        "{{cidrSubnet `10.0.0.0/24` -1 0}}",
        "{{cidrSubnet `10.0.0.0/24` 2 4}}",
        "{{cidrSubnet `10.0.0.0/24` 2 -1}}",
        "{{cidrSubnet `10.0.0.0/24` 9223372036854775807 1}}",
        "{{cidrNetmask `fd00::/8`}}",
        "{{cidrFirst `10.0.0.0`}}",
        "{{cidrFirst `10.0.0.0/33`}}",
        "{{cidrLast `x`}}",
    ] {
        assert!(!error(source).is_empty(), "{source}");
    }
}

#[test]
fn yaml_and_toml_that_cannot_be_are_refused_without_the_value() {
    for (source, value) in [
        ("{{fromYaml (getv `/t`)}}", "a: 1\n hunter2: ["),
        ("{{fromYaml (getv `/t`)}}", "hunter2: 1\nhunter2: 2"),
        ("{{fromYaml (getv `/t`)}}", "? [hunter2]\n: 1"),
        ("{{parseYAML (getv `/t`)}}", "--- hunter2\n--- 2"),
        ("{{toToml (getv `/t`)}}", "hunter2"),
        ("{{toToml (dict `a` (list nil))}}", ""),
        ("{{cidrFirst (getv `/t`)}}", "hunter2"),
        ("{{parseInt (getv `/t`)}}", "hunter2"),
        ("{{parseFloat (getv `/t`)}}", "hunter2"),
        ("{{parseFloat (getv `/t`)}}", "1e999"),
        ("{{parseJSON (getv `/t`)}}", "hunter2"),
        ("{{base64URLDecode (getv `/t`)}}", "hunter2!"),
        ("{{loop (getv `/t`)}}", "hunter2"),
    ] {
        let error = of_value(source, value).unwrap_err();
        assert!(!error.snippet().contains("hunter2"), "{error}");
    }
    let broken = of_value("{{toYaml (getv `/t`)}}", *b"\xff").unwrap_err();
    assert!(broken.message().contains("not UTF-8"));
    assert!(of_value("{{toToml (dict `a` (getv `/t`))}}", *b"\xff").is_err());
}

#[test]
fn what_explodes_is_refused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for number in 1..9 {
        let names = vec![format!("*a{}", number - 1); 10].join(", ");
        bomb.push_str(&format!("a{number}: &a{number} [{names}]\n"));
    }
    assert!(of_value("{{fromYaml (getv `/t`)}}", bomb).is_err());
    assert!(of_value("{{fromYaml (getv `/t`)}}", "[".repeat(100_000)).is_err());
    assert!(of_value("{{loop 9223372036854775807}}", "").is_err());
    assert!(of_value("{{loop -9223372036854775808 9223372036854775807}}", "").is_err());
    assert!(of_value("{{toYaml (jsonArray (getv `/t`))}}", "[".repeat(5_000) + &"]".repeat(5_000)).is_err());
    assert!(
        of_value("{{toToml (dict `a` (jsonArray (getv `/t`)))}}", "[".repeat(5_000) + &"]".repeat(5_000))
            .is_err()
    );
}

#[test]
fn a_value_that_shares_its_parts_is_bounded_by_what_it_would_write() {
    let names = MemoryNames::new();
    let limits = Limits { output: 1 << 16, ..Limits::default() };
    for last in ["toYaml $x", "toToml (dict `x` $x)", "unique (list $x)", "groupBy `x` (list (dict `x` $x))"]
    {
        let source =
            format!("{{{{$x := list 1}}}}{{{{range 60}}}}{{{{$x = list $x $x}}}}{{{{end}}}}{{{{{last}}}}}");
        let template = Template::parse("t", source.as_bytes()).unwrap();
        assert!(template.render(&Context { limits, ..Context::new(&names) }).is_err(), "{last}");
    }
}

#[test]
fn a_key_that_is_also_a_directory_does_not_explode() {
    let names: MemoryNames = [("/a/b", "1"), ("/a/b/c", "2")].into_iter().collect();
    let error = render_with(&names, "{{explode (tree `/a`)}}").unwrap_err();
    assert!(error.message().contains("explode: b is a key and a directory"), "{error}");
    let deep: MemoryNames = [("/a".repeat(5_000), "1")].into_iter().collect();
    assert!(render_with(&deep, "{{explode (tree `/`)}}").is_err());
}

#[test]
fn arithmetic_never_leaves_the_numbers() {
    assert_eq!(
        render("{{minimum 9007199254740993 9007199254740992}} {{maximum 1.5 1}}"),
        "9007199254740992 1.5"
    );
    for source in [
        "{{divide 0 1}}",
        "{{modulo 0 1}}",
        "{{divide 0 1.5}}",
        "{{multiply 1e308 10}}",
        "{{modulo 2 1.5}}",
        "{{subtract `1` 1}}",
    ] {
        assert!(!error(source).is_empty(), "{source}");
    }
    assert_eq!(
        render("{{divide -1 -9223372036854775808}} {{modulo -1 -9223372036854775808}}"),
        "-9223372036854775808 0"
    );
}

#[test]
fn names_of_consul_template_take_keys_without_a_slash() {
    let names: MemoryNames = [("/a/b", "v"), ("/e", "")].into_iter().collect();
    let source =
        "{{key `a/b`}} {{key `/a/b`}} {{keyExists `e`}} {{keyOrDefault `e` `d`}} {{keyOrDefault `a/b` `d`}}";
    assert_eq!(render_with(&names, source).unwrap(), b"v v true d v");
    assert!(error("{{key `a/none`}}").contains("key does not exist: /a/none"));
}
