//! `waypost run` and `waypost render` at work: what is written and reloaded when, and what is left alone.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use waypost_e2e::{
    DEADLINE, Namespace, Output, Resource, Tree, Waypost, command, finish, once, require, run_to_end,
};
use waypost_servers::{Etcd, Signal, wait_until};

fn agent(tree: &Tree, etcd: &Etcd) -> Waypost {
    Waypost::agent(tree, ["--node", &etcd.endpoint(), "--retry-max", "1s"])
}

/// A resource `name` that lists what is below `/name`, and counts its reloads.
fn listing(name: &str) -> Resource {
    let template = format!("{{{{range gets \"/{name}/*\"}}}}{{{{base .Key}}}}={{{{.Value}}}}\n{{{{end}}}}");
    Resource::new(name).keys(&format!("/{name}")).template(&template).counts_reloads()
}

#[test]
fn a_change_costs_the_resources_that_look_at_it_one_reload_and_the_others_nothing() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put_all([("/web/1", "a"), ("/db/1", "a")]);
    listing("web").write_to(&tree);
    listing("db").write_to(&tree);
    let agent = agent(&tree, &etcd);
    agent.wait_for_reload(&tree, "web", "1=a\n");
    agent.wait_for_reload(&tree, "db", "1=a\n");

    etcd.put("/elsewhere/1", "a");
    etcd.put("/db/below/1", "no template looks there");
    etcd.put("/db/1", "a");
    etcd.put("/web/2", "b");

    // Changes come in order: when the last one is there, the others have been seen.
    agent.wait_for_reload(&tree, "web", "1=a\n2=b\n");
    assert_eq!((agent.reloads_with_a_cause(&tree, "web"), agent.reloads_with_a_cause(&tree, "db")), (2, 1));
    assert_eq!(agent.logged(&[" applied ", "db.toml"]), 1, "{}", agent.log());
}

#[test]
fn resources_with_one_reload_command_are_reloaded_once() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/shared/1", "a");
    let reloads = tree.join("reloads");
    let reload =
        format!("cat {}/*.conf >> {1}; echo . >> {1}", tree.join("out").display(), reloads.display());
    for name in ["web", "db", "mail"] {
        let template = format!("{name}={{{{getv \"/shared/1\"}}}}\n");
        Resource::new(name).keys("/shared").template(&template).reload(&reload).write_to(&tree);
    }
    let agent = agent(&tree, &etcd);
    agent.wait_logged(&["reloaded"]);
    etcd.put("/shared/1", "b");
    agent.wait_until("the second reload", || agent.logged(&["reloaded"]) == 2);

    let seen = |value| format!("db={value}\nmail={value}\nweb={value}\n.\n");
    assert_eq!(fs::read_to_string(reloads).unwrap(), seen("a") + &seen("b"), "each saw all three");
}

#[test]
fn a_burst_of_changes_ends_in_the_right_file_with_far_fewer_reloads() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/000", "0");
    Resource::new("web").counts_reloads_after("sleep 0.1").write_to(&tree);
    let agent = agent(&tree, &etcd);
    agent.wait_for_reload(&tree, "web", "000=0\n");

    let mut text = "000=0\n".to_owned();
    for number in 1..=500 {
        etcd.put(&format!("/web/{number:03}"), number.to_string());
        let _ = writeln!(text, "{number:03}={number}");
    }

    agent.wait_for_reload(&tree, "web", &text);
    let reloads = agent.reloads_with_a_cause(&tree, "web");
    assert!(reloads < 250, "{reloads} reloads for 500 puts");
}

#[test]
fn a_reload_under_way_is_finished_when_the_agent_is_told_to_stop() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/1", "a");
    let (began, go) = (tree.join("began"), tree.join("go"));
    // It ends with the tree, too, should the test fail.
    let until = format!("test -e {} && ! test -e {}", began.display(), go.display());
    let slow = format!("touch {}; while {until}; do sleep 0.05; done", began.display());
    Resource::new("web").counts_reloads_after(&slow).write_to(&tree);
    let agent = agent(&tree, &etcd);
    agent.wait_until("the reload", || began.exists());

    agent.signal(Signal::TERM);
    agent.wait_logged(&["told to stop; finishing what is under way"]);
    etcd.put("/web/1", "b");
    fs::write(&go, "").unwrap();

    assert!(agent.wait().success(), "{}", agent.log());
    assert_eq!(tree.reloads("web"), ["1=a"], "the reload has run to its end, and nothing new was begun");
    assert_eq!(once(&tree, ["--node", &etcd.endpoint()]).code, Some(0));
    assert_eq!(tree.reloads("web"), ["1=a", "1=b"]);
}

#[test]
fn a_reload_that_takes_too_long_is_cut_off_when_the_agent_is_told_to_stop_and_stays_owed() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/1", "a");
    let began = tree.join("began");
    Resource::new("web").reload(&format!("echo $$ > {}; exec sleep 60", began.display())).write_to(&tree);
    let limit = ["--shutdown-timeout", "1s"];
    let agent = Waypost::agent(&tree, ["--node", &etcd.endpoint()].iter().chain(&limit));
    let pid = || fs::read_to_string(&began).unwrap_or_default().trim().to_owned();
    agent.wait_until("the reload", || !pid().is_empty());
    assert!(agent.stop().success(), "{}", agent.log());
    // It is left to itself, as a process that it may have to start would be.
    Command::new("kill").arg(pid()).status().unwrap();

    Resource::new("web").counts_reloads().write_to(&tree);
    assert_eq!(once(&tree, ["--node", &etcd.endpoint()]).code, Some(0));
    assert_eq!(tree.reloads("web"), ["1=a"]);
}

#[test]
fn a_file_that_somebody_else_wrote_is_made_right_at_the_next_look() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/1", "a");
    Resource::new("web").counts_reloads().write_to(&tree);
    let agent = Waypost::agent(&tree, ["--node", &etcd.endpoint(), "--interval", "1s"]);
    agent.wait_for_reload(&tree, "web", "1=a\n");

    fs::write(tree.destination("web"), "mine\n").unwrap();
    agent.wait_for_text(&tree, "web", "1=a\n");
    agent.wait_until("its reload", || tree.reloads("web").len() == 2);
    fs::remove_file(tree.destination("web")).unwrap();
    agent.wait_for_text(&tree, "web", "1=a\n");
    agent.wait_until("its reload", || tree.reloads("web").len() == 3);
    assert_eq!(agent.reloads_with_a_cause(&tree, "web"), 3);
}

#[test]
fn a_template_that_changes_is_rendered_at_the_next_look() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/1", "a");
    Resource::new("web").counts_reloads().write_to(&tree);
    let agent = Waypost::agent(&tree, ["--node", &etcd.endpoint(), "--interval", "1s"]);
    agent.wait_for_reload(&tree, "web", "1=a\n");
    fs::write(tree.template("web"), "new: {{getv \"/web/1\"}}\n").unwrap();
    agent.wait_for_reload(&tree, "web", "new: a\n");
}

#[test]
fn permissions_and_owner_are_as_configured_or_as_the_file_had_them() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/1", "a");
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    Resource::new("new").write_to(&tree);
    Resource::new("kept").write_to(&tree);
    let given = Resource::new("given").line("mode = \"0600\"");
    // Only root gives files away.
    let given =
        if is_root { given.line("uid = 65534").line("gid = 12").line("owner = \"root\"") } else { given };
    given.write_to(&tree);
    for name in ["kept", "given"] {
        fs::write(tree.destination(name), "before\n").unwrap();
        fs::set_permissions(tree.destination(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    if is_root {
        std::os::unix::fs::chown(tree.destination("kept"), Some(65534), Some(12)).unwrap();
    }

    let output = once(&tree, ["--node", &etcd.endpoint()]);

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let attributes = |name: &str| {
        let metadata = fs::metadata(tree.destination(name)).unwrap();
        assert_eq!(tree.text(name).as_deref(), Some("1=a\n"));
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    let own = fs::metadata(tree.join("state")).unwrap();
    let (kept, own) = ((65534, 12), (own.uid(), own.gid()));
    let (uid, gid) = if is_root { kept } else { own };
    assert_eq!(attributes("new"), (0o644, own.0, own.1));
    assert_eq!(attributes("kept"), (0o640, uid, gid));
    assert_eq!(attributes("given"), (0o600, uid, gid));
    assert_eq!(once(&tree, ["--node", &etcd.endpoint()]).stderr.matches(" applied ").count(), 0);
}

#[test]
fn a_file_that_is_mounted_is_written_in_place_and_the_log_says_so() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/1", "a");
    Resource::new("web").counts_reloads().write_to(&tree);
    let (source, destination) = (tree.join("source"), tree.destination("web"));
    fs::write(&source, "a file of the host's, longer than what comes\n").unwrap();
    fs::write(&destination, "hidden under the mount\n").unwrap();
    let mount = format!("mount --bind {} \"$0\"", source.display());
    let Some(namespace) = Namespace::with(&mount, &destination) else { return };
    let before = fs::metadata(&source).unwrap().ino();
    let mut run = namespace.command();
    run.args(["run", "--node", &etcd.endpoint()]).args(tree.arguments());

    let agent = Waypost::start(run, &tree);

    let holds = |text: &str| fs::read_to_string(&source).unwrap() == text;
    agent.wait_until("the file", || holds("1=a\n"));
    agent.wait_logged(&["WARN", "web.toml", "written in place", "cannot be renamed over"]);
    etcd.put("/web/2", "b");
    agent.wait_until("the second file", || holds("1=a\n2=b\n"));
    agent.wait_until("its reload", || tree.reloads("web").len() == 2);
    assert_eq!(tree.reloads("web"), ["1=a", "1=a\n2=b"]);
    assert_eq!(fs::metadata(&source).unwrap().ino(), before, "still the file that is mounted");
    assert_eq!(tree.files(), ["web.conf"], "nothing is left beside it");
}

#[test]
fn a_second_agent_on_one_state_directory_is_refused() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/1", "a");
    Resource::new("web").counts_reloads().write_to(&tree);
    let first = agent(&tree, &etcd);
    first.wait_for_reload(&tree, "web", "1=a\n");

    let second = agent(&tree, &etcd);
    assert_eq!(second.wait().code(), Some(1));
    let state = tree.join("state").display().to_string();
    assert_eq!(second.logged(&[&state, "another waypost uses this state directory", "--state-dir"]), 1);
    assert_eq!(once(&tree, ["--node", &etcd.endpoint()]).code, Some(1), "a single pass is refused, too");

    etcd.put("/web/1", "b");
    first.wait_for_reload(&tree, "web", "1=b\n");
    first.kill();
    assert_eq!(
        once(&tree, ["--node", &etcd.endpoint()]).code,
        Some(0),
        "the first is gone, however it ended"
    );
}

#[test]
fn a_dry_run_shows_what_would_change_and_changes_nothing() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put_all([("/web/1", "a"), ("/web/2", "b")]);
    Resource::new("web").counts_reloads().write_to(&tree);
    fs::write(tree.destination("web"), "1=a\n2=old\n").unwrap();
    let mut render = command();
    render.args(["render", "--dry-run", "--node", &etcd.endpoint()]).args(tree.arguments());

    let Output { code, stdout, stderr } = finish(&mut render);

    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("\n 1=a\n-2=old\n+2=b\n"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours where there is no terminal: {stdout:?}");
    assert_eq!(tree.text("web").as_deref(), Some("1=a\n2=old\n"));
    assert!(!tree.join("state").exists() && tree.reloads("web").is_empty());

    render.args(["--color", "always"]);
    assert!(finish(&mut render).stdout.contains("\u{1b}["), "colours if they are asked for");
}

#[test]
fn a_pass_needs_to_be_told_whether_it_may_write() {
    require!();
    let output = run_to_end(["render"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("--once"), "{}", output.stderr);
}

#[test]
fn files_and_the_environment_are_followed_like_a_registry() {
    require!();
    let tree = Tree::new();
    Resource::new("web").counts_reloads().write_to(&tree);
    let keys = tree.join("keys.yaml");
    fs::write(&keys, "web:\n  \"1\": a\n").unwrap();
    let agent = Waypost::agent(&tree, ["--backend", "file", "--file", &keys.display().to_string()]);
    agent.wait_for_reload(&tree, "web", "1=a\n");
    fs::write(&keys, "web:\n  \"1\": a\n  \"2\": b\n").unwrap();
    agent.wait_for_reload(&tree, "web", "1=a\n2=b\n");
    assert!(agent.stop().success());

    let mut render = command();
    render.args(["render", "--once", "--backend", "env"]).args(tree.arguments()).env("WEB_3", "c");
    assert_eq!(finish(&mut render).code, Some(0));
    wait_until("the value of the variable", DEADLINE, || tree.text("web").as_deref() == Some("3=c\n"));
}
