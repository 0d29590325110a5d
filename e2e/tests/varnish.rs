//! A VCL that is kept in step with etcd, in a Varnish that serves meanwhile: the built binary, real etcd and varnishd.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;

use waypost_e2e::{DEADLINE, Load, Resource, Tree, Waypost, require};
use waypost_servers::{Etcd, Http, Varnish, wait_for, wait_until};

/// A backend for each key below `/web`, in turn; nothing is cached, so that each request needs one.
const VCL: &str = r#"vcl 4.1;
import directors;
{{range gets "/web/*"}}backend {{base .Key}} { .host = "127.0.0.1"; .port = "{{.Value}}"; }
{{end}}sub vcl_init {
  new web = directors.round_robin();
{{range gets "/web/*"}}  web.add_backend({{base .Key}});
{{end}}}
sub vcl_recv { set req.backend_hint = web.backend(); return (pass); }
"#;

/// Three web servers, of which etcd names the first two, and a Varnish before those that etcd names.
struct Site {
    etcd: Etcd,
    webs: [Http; 3],
    varnish: Varnish,
    tree: Tree,
}

impl Site {
    fn new() -> Site {
        let (etcd, tree, varnish) = (Etcd::start(), Tree::new(), Varnish::start());
        let webs = ["one", "two", "three"].map(Http::start);
        let reload = format!(
            "reload = {{ varnish = \"{}\", secret = \"{}\", prefix = \"site\" }}",
            varnish.admin_address(),
            varnish.secret_file().display()
        );
        Resource::new("web").template(VCL).line(&reload).write_to(&tree);
        let site = Site { etcd, webs, varnish, tree };
        site.put("one", 0);
        site.put("two", 1);
        site
    }

    fn put(&self, name: &str, web: usize) {
        self.etcd.put(&format!("/web/{name}"), self.webs[web].port().to_string());
    }

    fn agent(&self) -> Waypost {
        Waypost::agent(&self.tree, ["--node", &self.etcd.endpoint(), "--retry-max", "1s"])
    }

    /// Waits until a VCL of ours is in use that is not `before`, and returns its name.
    #[track_caller]
    fn next(&self, agent: &Waypost, before: &str) -> String {
        let active = || self.varnish.active_vcl().filter(|name| name.starts_with("site_") && name != before);
        wait_for(format!("another VCL than {before:?}; {}", agent.log()), DEADLINE, active)
    }

    /// The names of all VCLs that are not discarded, without `boot`.
    fn vcls(&self) -> Vec<String> {
        let list = self.varnish.adm(["vcl.list"]);
        let kept = list.lines().filter(|line| line.starts_with("active") || line.starts_with("available"));
        let names = kept.filter_map(|line| line.split_whitespace().nth(4));
        names.filter(|name| *name != "boot").map(str::to_owned).collect()
    }

    /// True if somebody has set the backend sick.
    fn is_sick(&self, backend: &str) -> bool {
        let list = self.varnish.adm(["backend.list", backend]);
        let line = list.lines().find(|line| line.starts_with(backend)).unwrap();
        line.split_whitespace().nth(1) == Some("sick")
    }
}

#[test]
fn s6_a_vcl_that_does_not_compile_is_told_and_the_active_one_goes_on_without_a_loss() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let agent = site.agent();
    let good = site.next(&agent, "");
    let load = Load::on(&site.varnish.url());
    load.wait_for_exactly(&["one", "two"]);

    site.etcd.put("/web/three", "1\"; .hots = \"x");
    agent.wait_logged(&["ERROR", "does not use", "vcl.load is refused (106): Unknown field: 'hots'"]);
    assert_eq!(site.varnish.active_vcl(), Some(good.clone()));
    load.wait_for_exactly(&["one", "two"]);

    site.put("three", 2);
    site.next(&agent, &good);
    load.wait_for_exactly(&["one", "two", "three"]);
    assert_eq!(load.failures(), [""; 0]);
}

#[test]
fn a_backend_that_leaves_gets_no_request_even_before_the_next_vcl_is_compiled() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let agent = site.agent();
    let first = site.next(&agent, "");
    let load = Load::on(&site.varnish.url());
    load.wait_for_exactly(&["one", "two"]);
    // Nothing compiles from now on, as if the compiler took for ever.
    site.varnish.adm(["param.set", "cc_command", "\"exit 1\""]);
    site.etcd.delete("/web/two");
    agent.wait_logged(&["ERROR", "does not use"]);
    assert_eq!(site.varnish.active_vcl().as_ref(), Some(&first));
    let [one, two] = ["one", "two"].map(|name| format!("{first}.{name}"));
    assert!(site.is_sick(&two) && !site.is_sick(&one));
    load.wait_for_exactly(&["one"]);

    // It comes back before that VCL was ever left.
    site.put("two", 1);
    wait_until("two to be left to itself", DEADLINE, || !site.is_sick(&two));
    load.wait_for_exactly(&["one", "two"]);
    assert_eq!(load.failures(), [""; 0]);
}

#[test]
fn backends_that_leave_and_come_back_while_nothing_compiles_are_asked_again() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let agent = site.agent();
    let first = site.next(&agent, "");
    let load = Load::on(&site.varnish.url());
    load.wait_for_exactly(&["one", "two"]);
    site.etcd.put("/web/three", "1\"; .hots = \"x");
    agent.wait_logged(&["ERROR", "does not use"]);
    let [one, two] = ["one", "two"].map(|name| format!("{first}.{name}"));

    // Each is started again, one after the other: never are both sick.
    for (name, web, leaves) in [("two", 1, &two), ("one", 0, &one)] {
        site.etcd.delete(&format!("/web/{name}"));
        wait_until("it to be set sick", DEADLINE, || site.is_sick(leaves));
        site.put(name, web);
        wait_until("it to be left to itself", DEADLINE, || !site.is_sick(leaves));
    }
    load.wait_for_exactly(&["one", "two"]);
    assert_eq!((site.varnish.active_vcl(), load.failures()), (Some(first), vec![]));
}

#[test]
fn a_backend_that_an_agent_before_has_set_sick_is_asked_again_when_it_is_back() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let mut agent = site.agent();
    let first = site.next(&agent, "");
    agent.wait_logged(&[" reloaded "]);
    site.varnish.adm(["param.set", "cc_command", "\"exit 1\""]);
    site.etcd.delete("/web/two");
    let two = format!("{first}.two");
    agent.wait_logged(&["ERROR", "does not use"]);
    assert!(site.is_sick(&two));
    agent.stop();
    site.put("two", 1);
    agent.start_again();
    wait_until("two to be left to itself", DEADLINE, || !site.is_sick(&two));
    assert_eq!(site.varnish.active_vcl(), Some(first));
}

#[test]
fn a_vcl_that_is_still_loaded_is_used_again_without_a_compiler() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let agent = site.agent();
    let both = site.next(&agent, "");
    let load = Load::on(&site.varnish.url());
    site.etcd.delete("/web/two");
    let alone = site.next(&agent, &both);
    load.wait_for_exactly(&["one"]);
    site.varnish.adm(["param.set", "cc_command", "\"exit 1\""]);

    site.put("two", 1);
    assert_eq!(site.next(&agent, &alone), both);
    load.wait_for_exactly(&["one", "two"]);
    site.etcd.delete("/web/two");
    assert_eq!(site.next(&agent, &both), alone);
    load.wait_for_exactly(&["one"]);
    assert_eq!((load.failures(), agent.logged(&["ERROR"])), (vec![], 0));
}

#[test]
fn of_our_own_vcls_the_one_before_is_kept_and_those_of_others_are_not_touched() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let theirs = site.tree.join("theirs.vcl");
    fs::write(&theirs, "vcl 4.1; backend none none;").unwrap();
    // Names like ours, and no hash.
    for name in ["theirs", "site_v1", "site"] {
        site.varnish.adm(["vcl.load", name, &theirs.display().to_string()]);
    }
    let agent = site.agent();
    let mut used = vec![site.next(&agent, "")];
    for web in [0, 1, 2, 0] {
        site.put("two", web);
        used.push(site.next(&agent, used.last().unwrap()));
    }
    let reloads = used.len();
    agent.wait_until("the last reload", || agent.logged(&[" reloaded "]) == reloads);
    let mut wanted = vec!["theirs", "site_v1", "site", &used[reloads - 2], &used[reloads - 1]];
    wanted.sort_unstable();
    let mut kept = site.vcls();
    kept.sort_unstable();
    assert_eq!(kept, wanted, "{used:?}");
}

#[test]
fn a_varnish_that_was_killed_gets_the_vcl_when_it_is_back() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let agent = site.agent();
    let first = site.next(&agent, "");
    site.varnish.kill();
    site.etcd.delete("/web/two");
    agent.wait_logged(&["ERROR", "does not use", "cannot connect", "trying again"]);
    site.varnish.start_again();
    let second = site.next(&agent, &first);
    let load = Load::on(&site.varnish.url());
    load.wait_for_exactly(&["one"]);

    // Nothing changes in etcd: it is seen by a look at Varnish alone.
    site.varnish.kill();
    site.varnish.start_again();
    assert_eq!(site.varnish.active_vcl().as_deref(), Some("boot"));
    assert_eq!(site.next(&agent, "boot"), second);
    agent.wait_logged(&["WARN", "holds no more"]);
}

#[test]
fn an_agent_that_starts_finds_out_that_varnish_was_restarted_meanwhile() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let mut agent = site.agent();
    let first = site.next(&agent, "");
    agent.wait_logged(&[" reloaded "]);
    agent.stop();
    site.varnish.kill();
    site.varnish.start_again();
    agent.start_again();
    assert_eq!(site.next(&agent, "boot"), first);
}

#[test]
fn a_varnish_that_does_not_answer_or_is_not_told_the_secret_is_an_error_that_names_it() {
    require!("etcd", "varnishd");
    let site = Site::new();
    let reload = |rest: &str| {
        let line =
            format!("reload = {{ varnish = \"{}\", prefix = \"site\"{rest} }}", site.varnish.admin_address());
        Resource::new("web").template(VCL).line(&line).write_to(&site.tree);
    };
    let wrong = site.tree.join("wrong");
    fs::write(&wrong, "no secret\n").unwrap();
    for (rest, wanted) in [
        (String::new(), "it asks for a secret"),
        (format!(", secret = \"{}\"", wrong.display()), "it refuses the secret in"),
        (", secret = \"/none\"".to_owned(), "cannot read the secret /none"),
    ] {
        reload(&rest);
        let agent = site.agent();
        agent.wait_logged(&["ERROR", &site.varnish.admin_address(), wanted]);
        assert!(!agent.log().contains("no secret"));
    }
    reload(&format!(", secret = \"{}\", timeout = \"1s\"", site.varnish.secret_file().display()));
    site.varnish.pause();
    let agent = site.agent();
    agent.wait_logged(&["ERROR", "it is not done within 1s", "trying again"]);
    site.varnish.resume();
    reload(&format!(", secret = \"{}\"", site.varnish.secret_file().display()));
    drop(agent);
    let agent = site.agent();
    agent.wait_logged(&[" reloaded "]);
    site.next(&agent, "");
}
