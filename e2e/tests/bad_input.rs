//! What bad input gets: one clear message that says where and why, the old file untouched, an exit code
//! with `render --once`, and with `run` another try, until the cause is gone.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;

use waypost_e2e::{DEADLINE, Namespace, Output, Resource, Tree, Waypost, command, finish, once, require};
use waypost_servers::{Etcd, Permission, Ports, Scratch, Storage, wait_until};

/// A value that no message may show.
const SECRET: &str = "s3cr3t-5f0c1";

/// What is in the destination before anything goes wrong.
const OLD: &str = "the old file\n";

/// How the tests' templates end: with a value that is a secret.
const VALUE: &str = "{{range gets \"/web/*\"}}{{base .Key}}={{.Value}}\n{{end}}";

/// A tree with `resource`, whose destination holds [`OLD`].
fn tree(resource: Resource) -> Tree {
    let tree = Tree::new();
    resource.write_to(&tree);
    fs::write(tree.destination("web"), OLD).unwrap();
    tree
}

fn etcd() -> Etcd {
    let etcd = Etcd::start();
    etcd.put("/web/1", SECRET);
    etcd
}

/// An agent that tries again soon.
fn agent(tree: &Tree, node: &str) -> Waypost {
    Waypost::agent(tree, ["--node", node, "--retry-max", "1s", "--log-level", "debug"])
}

/// That a single pass failed, said each of `wanted` once, changed nothing, and kept the secret.
#[track_caller]
fn assert_refused(tree: &Tree, output: &Output, wanted: &[&str]) {
    let Output { code, stdout, stderr } = output;
    assert_eq!(*code, Some(1), "{stderr}");
    for words in wanted {
        assert_eq!(stderr.matches(words).count(), 1, "{words:?} once in: {stderr}");
    }
    assert_eq!(tree.text("web").as_deref(), Some(OLD), "{stderr}");
    assert_eq!(tree.files(), ["web.conf"], "nothing is left beside it: {stderr}");
    assert!(!stderr.contains(SECRET) && !stdout.contains(SECRET), "{stderr}");
}

#[track_caller]
fn assert_keeps_secrets(agent: &Waypost) {
    assert!(!agent.log().contains(SECRET), "{}", agent.log());
}

#[test]
fn everything_wrong_with_the_configuration_is_told_with_its_place() {
    require!();
    let tree = tree(Resource::new("web").line("reload_cmnd = \"true\"").line("mode = \"rw\""));
    fs::write(tree.configuration("broken"), "[template]\nsrc = \"a\"\ndest = /x\n").unwrap();
    // Neither needs the registry: nobody listens there.
    let node = format!("127.0.0.1:{}", Ports::free());

    let web = tree.configuration("web");
    let wanted = [
        "the configuration has 3 errors".to_owned(),
        format!("{}:5:1: unknown key `reload_cmnd`; is `reload_cmd` meant?", web.display()),
        format!("{}:6:8: `mode` must be permission bits", web.display()),
        format!("{}:3:8: ", tree.configuration("broken").display()),
    ];
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    assert_refused(&tree, &once(&tree, ["--node", &node]), &wanted);

    let agent = agent(&tree, &node);
    assert_eq!(agent.wait().code(), Some(1), "a configuration that cannot be read is no reason to wait");
    for words in wanted {
        assert!(agent.log().contains(words), "{words}: {}", agent.log());
    }
}

#[test]
fn a_template_error_is_told_with_its_place_and_gone_once_the_file_is_mended() {
    require!("etcd");
    let etcd = etcd();
    let tree =
        tree(Resource::new("web").template("first\n{{range gets \"/web/*\"}\n{{end}}\n").counts_reloads());
    let wanted = ["template failed: web.tmpl:2:22: "];
    assert_refused(&tree, &once(&tree, ["--node", &etcd.endpoint()]), &wanted);

    let agent = agent(&tree, &etcd.endpoint());
    agent.wait_logged(&["ERROR", "template failed", "web.tmpl:2:22: ", "trying again in", "web.toml"]);
    fs::write(tree.template("web"), VALUE).unwrap();
    agent.wait_for_reload(&tree, "web", &format!("1={SECRET}\n"));
    assert_keeps_secrets(&agent);

    // And broken again while it runs: the good file stays.
    fs::write(tree.template("web"), "{{nosuchfunction}}\n").unwrap();
    etcd.put("/web/2", "b");
    agent.wait_logged(&["ERROR", "template failed", "web.tmpl:1", "nosuchfunction"]);
    fs::write(tree.template("web"), VALUE).unwrap();
    agent.wait_for_reload(&tree, "web", &format!("1={SECRET}\n2=b\n"));
    assert_keeps_secrets(&agent);
}

#[test]
fn a_missing_key_is_named_and_waited_for() {
    require!("etcd");
    let etcd = etcd();
    let tree = tree(
        Resource::new("web").template("one\n{{getv \"/web/1\"}}{{getv \"/web/port\"}}\n").counts_reloads(),
    );
    assert_refused(
        &tree,
        &once(&tree, ["--node", &etcd.endpoint()]),
        &["render failed: web.tmpl:2:20: ", "does not exist: /web/port"],
    );

    let agent = agent(&tree, &etcd.endpoint());
    agent.wait_logged(&["ERROR", "render failed", "web.tmpl:2", "/web/port", "trying again in"]);
    etcd.put("/web/port", "80");
    agent.wait_for_reload(&tree, "web", &format!("one\n{SECRET}80\n"));
    assert_keeps_secrets(&agent);
}

#[test]
fn a_value_that_a_function_refuses_is_not_shown() {
    require!("etcd");
    let etcd = etcd();
    for call in [
        "atoi (getv \"/web/1\")",
        "parseBool (getv \"/web/1\")",
        "json (getv \"/web/1\")",
        "jsonArray (getv \"/web/1\")",
        "base64Decode (getv \"/web/1\")",
        "index (getv \"/web/1\") 99",
        "add (getv \"/web/1\") 1",
        "lt (getv \"/web/1\") 3",
        "(getv \"/web/1\").Field",
        "gets (printf \"[%s\" (getv \"/web/1\"))",
        "template \"none\" (getv \"/web/1\")",
    ] {
        let tree = tree(Resource::new("web").template(&format!("line 1\n{{{{{call}}}}}\n")));
        assert_refused(&tree, &once(&tree, ["--node", &etcd.endpoint()]), &["render failed: web.tmpl:2:"]);
    }
}

#[test]
fn an_unreachable_etcd_is_named_and_waited_for() {
    require!("etcd");
    let etcd = etcd();
    let tree = tree(Resource::new("web").counts_reloads());
    etcd.kill();
    let node = etcd.endpoint();
    assert_refused(&tree, &once(&tree, ["--node", &node]), &["the registry cannot be read", "refused"]);
    assert!(once(&tree, ["--node", &node]).stderr.contains(&node));

    let agent = agent(&tree, &node);
    agent.wait_logged(&["ERROR", "the registry cannot be read", &node, "refused"]);
    etcd.start_again();
    agent.wait_for_reload(&tree, "web", &format!("1={SECRET}\n"));
    assert_eq!(
        agent.logged(&["the registry cannot be read"]),
        1,
        "told once, not at every try: {}",
        agent.log()
    );
    assert_keeps_secrets(&agent);
}

#[test]
fn a_wrong_password_is_told_and_tried_again() {
    require!("etcd");
    let etcd = Etcd::options().user("web", SECRET, &[("/web/", Permission::Read)]).start();
    etcd.put("/web/1", "a");
    let tree = tree(Resource::new("web").keys("/web/").counts_reloads());
    let password = tree.join("password");
    fs::write(&password, format!("{SECRET}-wrong\n")).unwrap();
    let password = password.display().to_string();
    let login = ["--node", &etcd.endpoint(), "--username", "web", "--password-file", &password];
    let output = once(&tree, login);
    assert_refused(&tree, &output, &["the registry cannot be read"]);
    assert!(output.stderr.contains("authentication failed"), "{}", output.stderr);

    let mut agent = Waypost::agent(&tree, login.iter().chain(&["--retry-max", "1s"]));
    agent.wait_logged(&["ERROR", "the registry cannot be read", "authentication failed"]);
    assert!(agent.is_running(), "a password can be set right in the registry too: it is tried again");
    fs::write(&password, SECRET).unwrap();
    agent.stop();
    agent.start_again();
    agent.wait_for_reload(&tree, "web", "1=a\n");
    assert_keeps_secrets(&agent);
}

#[test]
fn a_password_set_right_in_the_registry_needs_no_restart() {
    require!("etcd");
    let etcd = Etcd::options().user("web", "as-it-was", &[("/web/", Permission::Read)]).start();
    etcd.put("/web/1", "a");
    let tree = tree(Resource::new("web").keys("/web/").counts_reloads());
    let mut run = command();
    run.args(["run", "--node", &etcd.endpoint(), "--username", "web", "--retry-max", "1s"])
        .args(tree.arguments());
    run.env("WAYPOST_PASSWORD", SECRET);
    let agent = Waypost::start(run, &tree);
    agent.wait_logged(&["ERROR", "the registry cannot be read", "authentication failed"]);

    let change = serde_json::json!({ "name": "web", "password": SECRET });
    etcd.gateway("auth/user/changepw", &change);

    agent.wait_for_reload(&tree, "web", "1=a\n");
    assert_keeps_secrets(&agent);
}

#[test]
fn a_missing_directory_is_named_and_waited_for() {
    require!("etcd");
    let etcd = etcd();
    let directory = Scratch::new("gone", Storage::Disk);
    let destination = directory.join("sub/web.conf");
    let tree = tree(Resource::new("web").destination(&destination));
    let wanted = format!("{}/.web.conf.waypost: No such file or directory", directory.join("sub").display());
    assert_refused(&tree, &once(&tree, ["--node", &etcd.endpoint()]), &["stage failed", &wanted]);

    let agent = agent(&tree, &etcd.endpoint());
    agent.wait_logged(&["ERROR", "stage failed", &wanted, "trying again in"]);
    fs::create_dir(directory.join("sub")).unwrap();
    wait_until("the file", DEADLINE, || fs::read_to_string(&destination).is_ok());
    assert_keeps_secrets(&agent);
}

#[test]
fn a_disk_that_cannot_be_written_is_told_and_waited_for() {
    require!("etcd");
    let disk = Scratch::new("read-only", Storage::Disk);
    let destination = disk.join("web.conf");
    fs::write(&destination, OLD).unwrap();
    let etcd = etcd();
    let tree = tree(Resource::new("web").destination(&destination));
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\"";
    let Some(namespace) = Namespace::with(mount, disk.path()) else { return };
    let mut once = namespace.command();
    once.args(["render", "--once", "--node", &etcd.endpoint()]).args(tree.arguments());
    assert_refused(&tree, &finish(&mut once), &["stage failed", "Read-only file system"]);
    assert_eq!(fs::read_to_string(&destination).unwrap(), OLD);

    let mut run = namespace.command();
    run.args(["run", "--retry-max", "1s", "--node", &etcd.endpoint()]).args(tree.arguments());
    let agent = Waypost::start(run, &tree);
    agent.wait_logged(&["ERROR", "stage failed", "Read-only file system", "trying again in"]);
    let mended = namespace.enter(agent.pid(), "mount -o remount,rw,bind \"$0\"").status().unwrap();
    assert!(mended.success());
    let wanted = format!("1={SECRET}\n");
    wait_until("the file", DEADLINE, || fs::read_to_string(&destination).unwrap() == wanted);
    assert_keeps_secrets(&agent);
}

#[test]
fn a_check_that_fails_keeps_the_old_file_and_shows_what_it_printed() {
    require!("etcd");
    let etcd = etcd();
    let switch = Scratch::new("switch", Storage::Disk);
    let good = switch.join("good");
    let check = format!("test -e {} || {{ echo bad line 3 >&2; exit 7; }}", good.display());
    let tree = tree(Resource::new("web").check(&check).counts_reloads());
    let wanted = ["check failed: `test -e", "exit status: 7", "    bad line 3"];
    assert_refused(&tree, &once(&tree, ["--node", &etcd.endpoint()]), &wanted);
    assert_eq!(tree.reloads("web"), [""; 0]);

    let agent = agent(&tree, &etcd.endpoint());
    agent.wait_logged(&["ERROR", "check failed", "exit status: 7", "trying again in", "web.toml"]);
    assert_eq!(tree.text("web").as_deref(), Some(OLD));
    fs::write(&good, "").unwrap();
    agent.wait_for_reload(&tree, "web", &format!("1={SECRET}\n"));
    assert_keeps_secrets(&agent);
}

#[test]
fn a_reload_that_fails_is_told_and_tried_until_it_works() {
    require!("etcd");
    let etcd = etcd();
    let tree = Tree::new();
    let (good, ran) = (tree.join("good"), tree.join("ran"));
    let reload =
        format!("test -e {} || {{ echo not yet >&2; exit 9; }}; touch {}", good.display(), ran.display());
    Resource::new("web").reload(&reload).write_to(&tree);
    let output = once(&tree, ["--node", &etcd.endpoint()]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    for words in ["reload failed: `test -e", "exit status: 9", "    not yet"] {
        assert_eq!(output.stderr.matches(words).count(), 1, "{words:?}: {}", output.stderr);
    }
    let output = once(&tree, ["--node", &etcd.endpoint()]);
    assert_eq!(output.code, Some(1), "it is still owed, though the file is as wanted: {}", output.stderr);

    let agent = agent(&tree, &etcd.endpoint());
    agent.wait_logged(&["ERROR", "reload failed", "exit status: 9", "trying again in"]);
    fs::write(&good, "").unwrap();
    wait_until("the reload", DEADLINE, || ran.exists());
    agent.wait_logged(&["INFO", "reloaded"]);
    assert_keeps_secrets(&agent);
}

#[test]
fn a_reload_that_hangs_is_ended_with_all_it_started_and_tried_again() {
    require!("etcd");
    let etcd = etcd();
    let tree = Tree::new();
    let (good, pids) = (tree.join("good"), tree.join("pids"));
    let hang = format!("sleep 1000 & echo $! >> {}; wait", pids.display());
    let reload = format!("test -e {} || {{ {hang}; }}", good.display());
    Resource::new("web").reload(&reload).line("reload_cmd_timeout = \"1s\"").write_to(&tree);
    let output = once(&tree, ["--node", &etcd.endpoint()]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_eq!(output.stderr.matches("did not end within 1s and was killed").count(), 1, "{}", output.stderr);

    let agent = agent(&tree, &etcd.endpoint());
    agent.wait_logged(&["ERROR", "reload failed", "did not end within 1s", "trying again in"]);
    fs::write(&good, "").unwrap();
    agent.wait_logged(&["INFO", "reloaded"]);
    assert_keeps_secrets(&agent);
    for pid in fs::read_to_string(&pids).unwrap().lines() {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(!state.contains("(sleep)") || state.contains(") Z "), "left behind: {state}");
    }
}

#[test]
fn one_bad_resource_does_not_keep_the_others_from_being_updated() {
    require!("etcd");
    let etcd = etcd();
    let tree = tree(Resource::new("web").template("{{getv \"/web/none\"}}"));
    Resource::new("good").write_to(&tree);
    let output = once(&tree, ["--node", &etcd.endpoint()]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_eq!(tree.text("good"), Some(format!("1={SECRET}\n")));
    assert_eq!(tree.text("web").as_deref(), Some(OLD));
}
