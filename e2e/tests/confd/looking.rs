//! The modes that only look: `--check-config`, `--validate`, `--preflight`. They write nothing.

use std::fs;

use waypost_e2e::{Confd, Output, Resource, Tree, require};
use waypost_servers::{Etcd, Ports};

use crate::{New, one};

/// That a look ended with `code`, said `words` anywhere, and wrote nothing.
#[track_caller]
fn assert_looked(tree: &Tree, output: &Output, code: i32, words: &[&str]) {
    let Output { code: ended, stdout, stderr } = output;
    assert_eq!(*ended, Some(code), "{stdout}{stderr}");
    for word in words {
        assert!(stdout.contains(word) || stderr.contains(word), "{word:?} in: {stdout}{stderr}");
    }
    assert!(tree.files().is_empty(), "{:?}", tree.files());
}

#[test]
fn check_config_looks_at_files_and_templates_without_a_store() {
    require!();
    one(New, |tree, _| {
        let confd =
            Confd::new(New, tree).node(&format!("127.0.0.1:{}", Ports::free())).flags("--check-config");
        Resource::new("web").check("false").reload("false").write_to(tree);
        assert_looked(tree, &confd.run(), 0, &["ok"]);

        Resource::new("template").template("{{if true}}").write_to(tree);
        Resource::new("function").template("{{if false}}{{nope}}{{end}}").write_to(tree);
        fs::write(tree.configuration("broken"), "[template\n").unwrap();
        Resource::new("mode").line("mode = \"rw\"").write_to(tree);
        let words = ["template.tmpl:1:", "function.tmpl:1:", "broken.toml:1:", "mode.toml:5:8:"];
        assert_looked(tree, &confd.run(), 1, &words);
        assert_looked(tree, &confd.flags("--resource web.toml").run(), 0, &[]);
    });
}

#[test]
fn a_template_that_is_not_there_is_found_by_check_config() {
    require!();
    one(New, |tree, confd| {
        Resource::new("web").write_to(tree);
        fs::remove_file(tree.template("web")).unwrap();
        assert_looked(tree, &confd.flags("--check-config").run(), 1, &["web.tmpl"]);
    });
}

#[test]
fn validate_renders_from_the_store() {
    require!();
    one(New, |tree, confd| {
        let confd = confd.flags("--validate");
        Resource::new("web").check("false").write_to(tree);
        assert_looked(tree, &confd.run(), 0, &["web.toml"]);
        Resource::new("bad").template("{{getv \"/no/such\"}}").write_to(tree);
        assert_looked(tree, &confd.run(), 1, &["bad.tmpl:1:", "/no/such"]);
        assert_looked(tree, &confd.flags("--resource web").run(), 0, &["web.toml"]);
    });
}

#[test]
fn validate_renders_from_mock_data_without_a_store() {
    require!();
    one(New, |tree, _| {
        let mock = tree.join("mock.json");
        fs::write(&mock, "{\"/web/a\": \"1\", \"/web/b\": \"2\"}").unwrap();
        let confd = Confd::new(New, tree).node(&format!("127.0.0.1:{}", Ports::free()));
        let confd = confd.flags(&format!("--validate --mock-data {}", mock.display()));
        Resource::new("web").template("{{getv \"/web/a\"}}{{getv \"/web/b\"}}").write_to(tree);
        assert_looked(tree, &confd.run(), 0, &["web.toml"]);
        fs::write(&mock, "{\"/web/a\": \"1\"}").unwrap();
        assert_looked(tree, &confd.run(), 1, &["/web/b"]);
        fs::write(&mock, "{\"/web/a\": ").unwrap();
        assert_looked(tree, &confd.run(), 1, &["mock.json"]);
    });
}

#[test]
fn validate_looks_at_the_output_format() {
    require!();
    one(New, |tree, confd| {
        let resource =
            Resource::new("web").line("output_format = \"json\"").template("{\"a\": {{getv \"/web/a\"}}");
        resource.write_to(tree);
        assert_looked(tree, &confd.flags("--validate").run(), 1, &["web"]);
    });
}

#[test]
fn preflight_asks_every_store_that_is_used() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/web/a", "1");
    one(New, |tree, _| {
        let confd = Confd::new(New, tree).etcd(&etcd).flags("--preflight");
        Resource::new("web").write_to(tree);
        assert_looked(tree, &confd.run(), 0, &["ok"]);

        let nobody = Ports::free();
        let node = format!("nodes = [\"127.0.0.1:{nobody}\"]");
        Resource::new("own").line("[backend]").line("backend = \"etcd\"").line(&node).write_to(tree);
        assert_looked(tree, &confd.run(), 1, &[&nobody.to_string()]);
    });
}

#[test]
fn preflight_timeout_is_how_long_an_answer_may_take() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.pause();
    one(New, |tree, _| {
        Resource::new("web").write_to(tree);
        let started = std::time::Instant::now();
        let confd = Confd::new(New, tree).etcd(&etcd).flags("--preflight --preflight-timeout 300ms");
        assert_looked(tree, &confd.run(), 1, &["300ms"]);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    });
    etcd.resume();
}
