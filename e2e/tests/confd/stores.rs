//! `keys` and `[backend]`: what of which store a resource sees.

use std::fs;

use waypost_e2e::{Confd, Generation, Resource, Tree, require};
use waypost_servers::{Etcd, Ports};

use crate::{New, TEXT, assert_ended, both, one};

/// Lists what a resource sees, two levels deep.
const SEEN: &str = "{{range gets \"/*\"}}{{.Key}} {{end}}{{range gets \"/*/*\"}}{{.Key}} {{end}}";

#[test]
fn a_key_of_etcd_is_itself_and_what_is_below_it() {
    require!("etcd");
    let etcd = Etcd::start();
    for key in ["/app", "/app/x", "/app-old", "/apple", "/apple/y"] {
        etcd.put(key, "v");
    }
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").keys("/app").template(SEEN).write_to(&tree);
        assert_ended(&Confd::new(generation, &tree).etcd(&etcd).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("/app /app/x "), "{generation:?}");
    }
}

#[test]
fn keys_may_be_more_than_etcd_takes_in_one_transaction() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put_all((0..300).map(|number| (format!("/k{number:03}/x"), "v")));
    for generation in Generation::BOTH {
        let tree = Tree::new();
        let template = "{{len (gets \"/*/x\")}}";
        Resource::new("web").template(template).write_to(&tree);
        let keys: Vec<String> = (0..300).map(|number| format!("\"/k{number:03}\"")).collect();
        let text = fs::read_to_string(tree.configuration("web")).unwrap();
        fs::write(tree.configuration("web"), text.replace("\"/web\"", &keys.join(", "))).unwrap();
        assert_ended(&Confd::new(generation, &tree).etcd(&etcd).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("300"), "{generation:?}");
    }
}

#[test]
fn keys_of_any_spelling_are_found_in_etcd() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put_all([("/App/db-host_1", "a"), ("/App/größe", "b"), ("/App/x.y:z", "c")]);
    for generation in Generation::BOTH {
        let tree = Tree::new();
        let template = "{{range gets \"/App/*\"}}{{base .Key}}={{.Value}} {{end}}";
        Resource::new("web").keys("/App").template(template).write_to(&tree);
        assert_ended(&Confd::new(generation, &tree).etcd(&etcd).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("db-host_1=a größe=b x.y:z=c "), "{generation:?}");
    }
}

#[test]
fn keys_of_the_environment_are_names_in_lower_case_with_a_slash_for_each_underscore() {
    require!();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        let template = "{{getv \"/app/db/host\"}} {{getv \"/app/Name\" \"none\"}} {{getv \"/app/name\"}}";
        Resource::new("web").keys("/app").template(template).write_to(&tree);
        let confd = Confd::new(generation, &tree).backend("env");
        let confd = confd.variable("APP_DB_HOST", "h").variable("APP_NAME", "n");
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("h none n"), "{generation:?}");
    }
}

#[test]
fn a_resource_asks_the_environment_in_any_case_and_with_underscores() {
    require!();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").keys("/App_Db").template("{{getv \"/app/db/host\"}}").write_to(&tree);
        let confd = Confd::new(generation, &tree).backend("env").variable("APP_DB_HOST", "h");
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("h"), "{generation:?}");
    }
}

#[test]
fn keys_of_a_file_are_its_names_joined_and_the_places_in_its_lists() {
    require!();
    both(|_, tree, confd| {
        let yaml = "web:\n  - first\n  - host: second\nother: {x: 1}\nport: 80\n";
        fs::write(tree.join("keys.yml"), yaml).unwrap();
        let template =
            "{{getv \"/web/0\"}} {{getv \"/web/1/host\"}} {{exists \"/other/x\"}} {{exists \"/web\"}}";
        Resource::new("web").template(template).write_to(tree);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("first second false false"));
    });
}

#[test]
fn several_files_and_a_directory_with_a_filter_are_one_store() {
    require!();
    both(|_, tree, confd| {
        let more = tree.join("more");
        fs::create_dir(&more).unwrap();
        fs::write(more.join("a.yaml"), "web: {c: 3}\n").unwrap();
        fs::write(more.join("b.yml"), "web: {d: 4}\n").unwrap();
        Resource::new("web").write_to(tree);
        let flags = format!("-file {} -filter *.yaml", more.display());
        // Words of the old kind are understood after the new kind's backend, too.
        assert_ended(&confd.flags(&flags).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\nb=2\nc=3\n"));
    });
}

#[test]
fn a_resource_has_a_store_of_its_own() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/web/a", "of etcd");
    let tree = Tree::new();
    fs::write(tree.join("keys.yml"), "web: {a: of the file}\n").unwrap();
    let file = tree.join("keys.yml");
    let file = format!("file = [\"{}\"]", file.display());
    let node = format!("nodes = [\"{}\"]", etcd.url());
    Resource::new("main").template("{{getv \"/web/a\"}}").write_to(&tree);
    for (name, backend, line) in [("file", "file", &*file), ("etcd", "etcd", &*node), ("env", "env", "")] {
        let backend = format!("backend = \"{backend}\"");
        let resource = Resource::new(name).template("{{getv \"/web/a\"}}");
        resource.line("[backend]").line(&backend).line(line).write_to(&tree);
    }
    let confd = Confd::new(New, &tree).etcd(&etcd).variable("WEB_A", "of the environment");
    assert_ended(&confd.once(), 0, &[]);
    let texts = ["main", "file", "etcd", "env"].map(|name| tree.text(name).unwrap());
    assert_eq!(texts, ["of etcd", "of the file", "of etcd", "of the environment"]);
}

#[test]
fn equal_backend_tables_share_one_client() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/web/a", "1");
    let tree = Tree::new();
    for name in ["one", "two", "three"] {
        let node = format!("nodes = [\"{}\"]", etcd.url());
        let resource = Resource::new(name).line("[backend]").line("backend = \"etcd\"");
        resource.line(&node).write_to(&tree);
    }
    let output = Confd::new(New, &tree).backend("env").once();
    assert_ended(&output, 0, &[]);
    assert_eq!(tree.files().len(), 3);
    assert_eq!(output.stderr.matches("read the registry").count(), 1, "{}", output.stderr);
}

#[test]
fn the_main_store_need_not_answer_if_no_resource_reads_it() {
    require!();
    one(New, |tree, _| {
        let file = format!("file = \"{}\"", tree.join("keys.yml").display());
        let resource = Resource::new("web").line("[backend]").line("backend = \"file\"").line(&file);
        resource.write_to(tree);
        let confd = Confd::new(New, tree).node(&format!("127.0.0.1:{}", Ports::free()));
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn a_store_that_does_not_answer_fails_its_resources_only() {
    require!();
    one(New, |tree, confd| {
        let node = format!("nodes = [\"127.0.0.1:{}\"]", Ports::free());
        let resource = Resource::new("away").line("[backend]").line("backend = \"etcd\"").line(&node);
        resource.write_to(tree);
        Resource::new("web").write_to(tree);
        assert_ended(&confd.once(), 1, &["cannot be read"]);
        assert_eq!(tree.files(), ["web.conf"]);
    });
}

#[test]
fn every_key_of_a_backend_table_is_known() {
    require!();
    one(New, |tree, confd| {
        let file = format!("file = [\"{}\"]", tree.join("keys.yml").display());
        let lines = [
            "[backend]",
            "backend = \"file\"",
            "nodes = [\"a:1\"]",
            "scheme = \"http\"",
            "client_cert = \"c\"",
            "client_key = \"c\"",
            "client_cakeys = \"c\"",
            "client_insecure = true",
            "basic_auth = true",
            "username = \"u\"",
            "password = \"p\"",
            "auth_token = \"t\"",
            "auth_type = \"t\"",
            "app_id = \"i\"",
            "user_id = \"i\"",
            "role_id = \"i\"",
            "secret_id = \"i\"",
            "path = \"p\"",
            "table = \"t\"",
            "separator = \"/\"",
            &file,
            "filter = \"*\"",
            "acm_export_private_key = true",
            "secretsmanager_version_stage = \"AWSCURRENT\"",
            "secretsmanager_no_flatten = true",
            "imds_cache_ttl = \"60s\"",
            "dial_timeout = \"1s\"",
            "read_timeout = \"1s\"",
            "write_timeout = \"1s\"",
            "retry_max_attempts = 2",
            "retry_base_delay = \"10ms\"",
            "retry_max_delay = \"1s\"",
        ];
        lines.iter().fold(Resource::new("web"), |resource, line| resource.line(line)).write_to(tree);
        let output = confd.once();
        assert_ended(&output, 0, &[]);
        assert!(!output.stderr.contains("unknown key"), "{}", output.stderr);
        assert_eq!(tree.text("web").as_deref(), Some(TEXT));
    });
}

#[test]
fn a_backend_table_of_a_store_that_is_not_read_yet_fails_its_resource_only() {
    require!();
    for name in ["consul", "vault", "redis", "zookeeper", "dynamodb", "ssm", "acm", "secretsmanager", "imds"]
    {
        one(New, |tree, confd| {
            let backend = format!("backend = \"{name}\"");
            Resource::new("other").line("[backend]").line(&backend).write_to(tree);
            Resource::new("web").write_to(tree);
            assert_ended(&confd.once(), 1, &[&format!("waypost does not read {name} yet")]);
            assert_eq!(tree.files(), ["web.conf"]);
        });
    }
}

#[test]
fn a_store_of_a_resources_own_is_followed_while_watching() {
    require!("etcd");
    let etcd = Etcd::start();
    one(New, |tree, _| {
        // confd lets such resources hang without one render.
        for (name, line) in
            [("file", format!("file = \"{}\"", tree.join("keys.yml").display())), ("env", String::new())]
        {
            let backend = format!("backend = \"{name}\"");
            Resource::new(name).line("[backend]").line(&backend).line(&line).write_to(tree);
        }
        let confd = Confd::new(New, tree).etcd(&etcd).flags("--watch").variable("WEB_A", "x");
        let agent = confd.start(tree);
        agent.wait_for_text(tree, "env", "a=x\n");
        agent.wait_for_text(tree, "file", TEXT);
        fs::write(tree.join("keys.yml"), "web: {a: new}\n").unwrap();
        agent.wait_for_text(tree, "file", "a=new\n");
        assert!(agent.stop().success(), "{}", agent.log());
    });
}
