//! `waypost check`: what it finds, where, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use waypost_e2e::{Confd, Generation, Output, Resource, Tree, command, finish, require, run_to_end};
use waypost_servers::Etcd;

/// A value that must not be told.
const SECRET: &str = "s3cr3t-77ac1";

fn check<'a>(tree: &Tree, flags: impl IntoIterator<Item = &'a str>) -> Output {
    finish(command().arg("check").arg("--confdir").arg(tree.path()).args(flags))
}

/// That a check ended with `code` and found `wanted`, each once and nothing else.
#[track_caller]
fn assert_found(output: &Output, code: i32, wanted: &[&str]) {
    let Output { code: ended, stdout, stderr } = output;
    assert_eq!(*ended, Some(code), "{stdout}{stderr}");
    for words in wanted {
        assert_eq!(stdout.matches(words).count(), 1, "{words:?} once in: {stdout}{stderr}");
    }
    // A finding is a line, which may be shown below: margin, source, caret.
    let findings = stdout
        .lines()
        .filter(|line| !line.contains(" | ") && !line.ends_with(" |") && !line.starts_with(' '));
    assert_eq!(findings.count(), wanted.len(), "{stdout}");
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{stdout}{stderr}");
}

fn write(tree: &Tree, template: &str, text: &str) {
    let path = tree.join("templates").join(template);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_sound_configuration_is_none_to_object_to() {
    require!();
    let tree = Tree::new();
    Resource::new("web").check("test -s {{.src}}").reload("true").write_to(&tree);
    let output = check(&tree, []);
    assert_found(&output, 0, &[]);
    assert!(output.stderr.contains("nothing to object to"), "{}", output.stderr);
}

#[test]
fn functions_that_do_not_exist_are_found_in_branches_never_taken_and_in_included_files() {
    require!();
    let tree = Tree::new();
    let template = "{{if false}}\n{{gtv \"/web/a\"}}{{end}}\n{{include \"parts/a\"}}";
    Resource::new("web").template(template).write_to(&tree);
    write(&tree, "parts/a", "{{if false}}{{include \"parts/b\"}}{{end}}");
    write(&tree, "parts/b", "{{define \"x\"}}{{nosuch}}{{end}}");
    let wanted = [
        "/templates/web.tmpl:2:3: function \"gtv\" not defined; did you mean \"",
        "/templates/parts/b:1:17: function \"nosuch\" not defined",
    ];
    assert_found(&check(&tree, []), 1, &wanted);
}

#[test]
fn keys_that_no_key_of_the_resource_covers_are_found() {
    require!();
    let tree = Tree::new();
    let template = "{{getv \"/web/a\"}}\n{{getv \"/db/host\"}}{{range gets \"/db/*\"}}{{end}}{{ls \"/db\"}}\n\
                    {{getv \"web/a\"}}{{exists \"/mail\"}}{{getv \"/mail/x\" \"none\"}}{{tree \"/db/x\"}}";
    Resource::new("web").line("prefix = \"/prod\"").template(template).write_to(&tree);
    let wanted = [
        "/templates/web.tmpl:2:3: `/db/host` is read, and `keys` does not cover it: the template sees /web",
        "/templates/web.tmpl:2:28: `/db/*` is read",
        "/templates/web.tmpl:2:51: `/db` is read",
        "/templates/web.tmpl:3:3: nothing is called `web/a`",
        "/templates/web.tmpl:3:19: warning: `/mail` is read",
        "/templates/web.tmpl:3:37: warning: `/mail/x` is read",
        "/templates/web.tmpl:3:62: `/db/x` is read",
    ];
    assert_found(&check(&tree, []), 1, &wanted);
}

#[test]
fn what_only_a_look_at_all_files_tells_is_found() {
    require!();
    let tree = Tree::new();
    let nowhere = tree.join("nowhere/web.conf");
    Resource::new("a").template("{{include \"none\"}}{{include \"../x\"}}").write_to(&tree);
    Resource::new("b").destination(&tree.destination("a")).line("modes = \"1\"").write_to(&tree);
    Resource::new("c").destination(&tree.destination("a")).write_to(&tree);
    Resource::new("d").destination(&nowhere).check("test {{.src").write_to(&tree);
    Resource::new("e").destination(&nowhere).write_to(&tree);
    fs::remove_file(tree.template("e")).unwrap();
    fs::write(tree.join("waypost.toml"), "[store]\ndatadir = \"x\"\n").unwrap();
    let wanted = [
        "/templates/a.tmpl:1:3: cannot include ",
        "/templates/a.tmpl:1:21: `../x` is outside of the directory of templates",
        "/conf.d/b.toml:5:1: unknown key `modes`; is `mode` meant?",
        "/conf.d/c.toml:3:8: a.toml writes ",
        "/conf.d/d.toml:5:",
        "/conf.d/e.toml:2:7: cannot read ",
        "/conf.d/e.toml:3:8: the directory ",
        "/waypost.toml:2:1: unknown key `datadir`",
    ];
    assert_found(&check(&tree, []), 1, &wanted);
    fs::remove_file(tree.join("waypost.toml")).unwrap();
    assert_found(&check(&tree, ["--resource", "c"]), 0, &[]);
    let unknown = check(&tree, ["--resource", "nosuch"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no resource `nosuch`"), "{unknown:?}");
}

#[test]
fn two_vcls_for_one_varnish_are_told() {
    require!();
    let tree = Tree::new();
    for (name, port) in [("a", 6082), ("b", 6083), ("c", 6082)] {
        let line = format!("reload = {{ varnish = \"127.0.0.1:{port}\", prefix = \"{name}\" }}");
        Resource::new(name).template("vcl 4.1; backend none none;").line(&line).write_to(&tree);
    }
    assert_found(&check(&tree, ["--strict"]), 1, &["/conf.d/c.toml:5:10: a.toml has a VCL for the varnishd"]);
}

#[test]
fn jinja_templates_are_looked_at_likewise() {
    require!();
    let tree = Tree::new();
    let template = "{% if false %}{{ nosuch(1) }}{% endif %}{{ getv('/web/a') | upper }}\n\
                    {{ getv('/db') }}{% include 'none.j2' %}{% for p in gets('/web/*') %}{{ p.Key | base }}{% endfor %}";
    Resource::new("web").line("engine = \"jinja\"").template(template).write_to(&tree);
    let wanted = [
        "/templates/web.tmpl:1:18: function \"nosuch\" not defined",
        "/templates/web.tmpl:2:4: `/db` is read",
        "/templates/web.tmpl:2:29: cannot include ",
    ];
    assert_found(&check(&tree, []), 1, &wanted);
}

#[test]
fn warnings_are_no_errors_unless_they_are_to_be() {
    require!();
    let tree = Tree::new();
    Resource::new("web").template("{{exists \"/db\"}}").write_to(&tree);
    assert_found(&check(&tree, []), 0, &[": warning: `/db` is read"]);
    assert_found(&check(&tree, ["--strict"]), 1, &[": warning: `/db` is read"]);
}

#[test]
fn scripts_get_an_object_a_line() {
    require!();
    let tree = Tree::new();
    Resource::new("web").template("\n {{getv \"/db\"}}").line("colour = \"x\"").write_to(&tree);
    Resource::new("good").template("{{exists \"/db\"}}").write_to(&tree);
    Resource::new("bad").template("\n {{getv \"/db\"}}").write_to(&tree);
    let output = check(&tree, ["--json"]);
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &Value| {
        let file =
            Path::new(line["file"].as_str().unwrap()).file_name().unwrap().to_string_lossy().into_owned();
        format!("{} {file} {} {}", line["severity"].as_str().unwrap(), line["line"], line["column"])
    };
    let wanted = ["error web.toml 5 1", "error bad.tmpl 2 4", "warning good.tmpl 1 3"];
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), wanted);
    assert_eq!((output.code, &*output.stderr), (Some(1), ""));
}

#[test]
fn live_keys_are_rendered_and_compared() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/a", SECRET);
    Resource::new("good").write_to(&tree);
    Resource::new("missing").template("x\n{{include \"part\"}}").write_to(&tree);
    write(&tree, "part", "{{getv \"/web/none\"}}");
    Resource::new("refused").template("{{atoi (getv \"/web/a\")}}").write_to(&tree);
    Resource::new("dynamic").template("{{exists (printf \"/%s\" \"db\")}}").write_to(&tree);
    Resource::new("nobody").keys("/nobody").template("").write_to(&tree);
    assert_found(&check(&tree, []), 0, &[]);
    let wanted = [
        "/templates/part:1:3: error calling getv: key does not exist: /web/none",
        "/templates/refused.tmpl:1:3: error calling atoi",
        "/conf.d/dynamic.toml:2:7: warning: `/db` is read, and `keys` does not cover it",
        "/conf.d/nobody.toml:4:8: warning: no key of the store is /nobody or below it",
    ];
    assert_found(&check(&tree, ["--live", "--node", &etcd.endpoint()]), 1, &wanted);
    assert!(tree.files().is_empty(), "nothing is written");

    etcd.kill();
    let output = check(&tree, ["--live", "--node", &etcd.endpoint()]);
    assert!(output.code == Some(1) && output.stdout.contains(&etcd.endpoint()), "{output:?}");
}

#[test]
fn made_up_keys_may_be_as_in_the_store_or_as_the_template_sees_them() {
    require!();
    let tree = Tree::new();
    let resource = Resource::new("web").line("prefix = \"/prod\"").line("output_format = \"json\"");
    resource.clone().template("[{{getv \"/web/a/b\"}}]").write_to(&tree);
    let mock = tree.join("mock.json").display().to_string();
    for text in ["{\"/prod/web/a/b\": \"1\"}", "{\"/web/a/b\": 1}", "{\"web\": {\"a\": {\"b\": 1}}}"] {
        fs::write(&mock, text).unwrap();
        assert_found(&check(&tree, ["--mock-data", &mock]), 0, &[]);
    }
    resource.template("[{{getv \"/web/a/b\"}}").write_to(&tree);
    assert_found(
        &check(&tree, ["--mock-data", &mock]),
        1,
        &["/conf.d/web.toml:2:7: format failed: the output is not JSON"],
    );
    let output = check(&tree, ["--mock-data", "/no/such/file"]);
    assert!(output.code == Some(1) && output.stderr.contains("/no/such/file"), "{output:?}");
}

#[test]
fn files_of_confd_are_looked_at_as_a_generation_has_them() {
    require!();
    let tree = Tree::new();
    let keys = tree.join("keys.yml");
    fs::write(&keys, "x:\n  web:\n    a: 1\n").unwrap();
    fs::write(
        tree.join("confd.toml"),
        format!("prefix = \"/x\"\nbackend = \"file\"\nfile = [\"{}\"]\n", keys.display()),
    )
    .unwrap();
    let resource = Resource::new("web").line("prefix = \"/prod\"").line("note = \"kept\"");
    resource.template("{{getv \"/web/a\"}}{{join (list) \",\"}}").write_to(&tree);
    let odd = "/conf.d/web.toml:6:1: warning: unknown key `note`";
    let unknown = "/templates/web.tmpl:1:26: function \"list\" not defined in confd 0.16";
    assert_found(&check(&tree, ["--confd", "0.16", "--live"]), 1, &[odd, unknown]);

    // In 0.16 the global prefix is in the place of the resource's, in 0.41 before it.
    Resource::new("web").line("prefix = \"/prod\"").template("{{getv \"/web/a\"}}").write_to(&tree);
    assert_found(&check(&tree, ["--confd", "0.16", "--live"]), 0, &[]);
    let wanted = ["/templates/web.tmpl:1:3: error calling getv", "no key of the store is /x/prod/web"];
    assert_found(&check(&tree, ["--confd", "0.41", "--live"]), 1, &wanted);
    let words = ["--confd", "0.41", "--live", "--", "--prefix", "/x", "env"];
    assert_eq!(check(&tree, words).code, Some(1), "confd's own words are heard");
}

#[test]
fn confds_looks_are_there_in_both_generations() {
    require!();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        let keys = tree.join("keys.yml");
        fs::write(&keys, "web:\n  a: 1\n").unwrap();
        let confd = Confd::new(generation, &tree).file(&keys);
        Resource::new("web").write_to(&tree);
        for flag in ["--check-config", "--validate", "--preflight"] {
            let output = confd.flags(flag).run();
            assert!(output.code == Some(0) && output.stdout.contains("ok"), "{flag}: {output:?}");
        }
        // Two with one destination are no error to confd; it is told.
        Resource::new("zzz").destination(&tree.destination("web")).write_to(&tree);
        let output = confd.flags("--check-config").run();
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("zzz.toml:3:8: warning: web.toml writes "), "{output:?}");

        Resource::new("zzz").template("{{getv \"/web/none\"}}{{end}}").write_to(&tree);
        for flag in ["--check-config", "--validate"] {
            let output = confd.flags(flag).run();
            assert!(
                output.code == Some(1) && output.stdout.contains("zzz.tmpl:1:23: "),
                "{flag}: {output:?}"
            );
        }
        assert!(tree.files().is_empty(), "nothing is written");
    }
}

#[test]
fn the_example_is_sound() {
    require!();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/nginx");
    let output = run_to_end(["check", "--confdir", &example.display().to_string()]);
    // The directory of the destination is the operator's, and nginx may be missing here.
    let findings = output.stdout.lines().filter(|line| line.starts_with('/'));
    let others: Vec<&str> = findings.filter(|line| !line.contains(": the directory ")).collect();
    assert!(others.is_empty() && matches!(output.code, Some(0 | 1)), "{output:?}");
}
