//! Files made of services, as PHP includes them: the built binary, real etcd and php-fpm, and the script that the PHP
//! package brings.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use waypost_e2e::{DEADLINE, Tree, Waypost, require, run_to_end};
use waypost_servers::{Etcd, PhpFpm, PhpFpmOptions, wait_for, wait_until};

/// Prints the port of the first `db` in the file that it is told.
const PORT: &str = "<?php echo (include $_SERVER['TEST_FILE'])['services']['db'][0]['port'] ?? 'none';";

/// Includes the file five hundred times, and counts what is not one whole version of it.
const TORN: &str = "<?php $broken = 0;
    for ($i = 0; $i < 500; $i++) {
        try { $db = (include $_SERVER['TEST_FILE'])['services']['db'][0]; } catch (\\Throwable) { $broken++; continue; }
        $all = array_unique([(string) $db['port'], ...array_values($db['meta'])]);
        if (count($all) !== 1 || count($db['meta']) !== 200) { $broken++; }
    }
    echo $broken;";

/// What opcache lost, in bytes.
const WASTED: &str = "<?php echo opcache_get_status(false)['memory_usage']['wasted_memory'];";

/// Whether opcache has the file: it takes none that is younger than two seconds, by default.
const CACHED: &str = "<?php echo opcache_is_script_cached($_SERVER['TEST_FILE']) ? 'cached' : 'not';";

/// Prints all that the file returns.
const ALL: &str = "<?php echo json_encode(include $_SERVER['TEST_FILE'], JSON_THROW_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION);";

/// An etcd, and a tree with one resource made of services.
struct Site {
    etcd: Etcd,
    tree: Tree,
}

impl Site {
    /// The service `db` in `out/services.php`, with more `lines` in its table.
    #[track_caller]
    fn new(lines: &str) -> Site {
        let tree = Tree::new();
        let site = Site { etcd: Etcd::start(), tree };
        let dest = site.file();
        let text = format!("[template]\nservices = [\"db\"]\ndest = \"{}\"\n{lines}\n", dest.display());
        fs::write(site.tree.configuration("services"), text).unwrap();
        site
    }

    fn file(&self) -> PathBuf {
        self.tree.join("out/services.php")
    }

    fn marker(&self) -> PathBuf {
        self.tree.join("out/.services.php.seen")
    }

    fn agent(&self) -> Waypost {
        Waypost::agent(&self.tree, ["--node", &self.etcd.endpoint(), "--retry-max", "1s"])
    }

    /// The database is at that port from now on.
    fn put(&self, port: u16) {
        self.etcd.put("/services/db/1", format!("127.0.0.1:{port}"));
    }

    fn holds(&self, port: u16) -> bool {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        text.contains(&format!("'port' => {port},"))
    }

    /// A script beside the file.
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.tree.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// What `script` prints when it is told the file.
    #[track_caller]
    fn asked(&self, fpm: &PhpFpm, script: &Path) -> String {
        let answer = fpm.request(script, &[("TEST_FILE", &self.file().display().to_string())]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }
}

fn php(settings: &[(&str, &str)]) -> PhpFpm {
    let options = PhpFpmOptions::new();
    PhpFpm::start_with(settings.iter().fold(options, |options, (name, value)| options.ini(name, value)))
}

/// The line that tells `fpm` with the script that the PHP package brings.
fn tells(fpm: &PhpFpm) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/symfony/resources/invalidate.php");
    let script = script.canonicalize().unwrap();
    format!("reload = {{ fastcgi = [\"{}\"], script = \"{}\" }}", fpm.address(), script.display())
}

/// The median and the longest of `times`, for those who read the test's output.
fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!(
        "{what}: median {:?}, longest {:?} of {}",
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    );
}

/// Waits until the file holds the port, then until PHP says so; gives how long the second took.
#[track_caller]
fn seen_after(site: &Site, port: u16, within: Duration, say: impl Fn() -> String) -> Duration {
    wait_until(format!("{port} in the file"), DEADLINE, || site.holds(port));
    let swapped = Instant::now();
    wait_until(format!("PHP to see {port}"), within, || say() == port.to_string());
    swapped.elapsed()
}

#[test]
fn t7_with_the_notice_every_swap_is_seen_though_php_never_looks_at_files() {
    require!("etcd", "php-fpm8.2");
    // It takes files that are younger than now, too, so that nothing but the notice makes it read one again.
    let settings = [("opcache.validate_timestamps", "0"), ("opcache.file_update_protection", "0")];
    let (told, untold) = (php(&settings), php(&settings));
    let site = Site::new(&format!("min_write_interval = \"0s\"\n{}", tells(&told)));
    let script = site.script("port.php", PORT);
    site.put(3000);
    let agent = site.agent();
    agent.wait_until("the first file", || site.holds(3000));
    assert_eq!(site.asked(&untold, &script), "3000");
    let mut times = Vec::new();
    for port in 3001..=3020 {
        let reloads = agent.logged(&[" reloaded "]);
        site.put(port);
        times.push(seen_after(&site, port, DEADLINE, || site.asked(&told, &script)));
        agent.wait_until("the notice", || agent.logged(&[" reloaded "]) > reloads);
        for _ in 0..5 {
            assert_eq!(site.asked(&told, &script), port.to_string(), "stale after the notice");
        }
    }
    show("from the file to PHP, with the notice", times);
    assert_eq!(site.asked(&untold, &script), "3000", "without the notice it is stale for ever");
    assert_eq!(agent.logged(&["ERROR"]), 0, "{}", agent.log());
}

#[test]
fn t7_without_the_notice_a_swap_is_seen_within_three_and_a_half_seconds_at_php_s_own_settings() {
    require!("etcd", "php-fpm8.2");
    let (fpm, site) = (php(&[]), Site::new(""));
    let (script, cached) = (site.script("port.php", PORT), site.script("cached.php", CACHED));
    site.put(3000);
    let agent = site.agent();
    agent.wait_until("the first file", || site.holds(3000));
    let mut times = Vec::new();
    for port in 3001..=3003 {
        wait_until("opcache to have the last one", DEADLINE, || {
            site.asked(&fpm, &script) == (port - 1).to_string() && site.asked(&fpm, &cached) == "cached"
        });
        site.put(port);
        times.push(seen_after(&site, port, Duration::from_millis(3500), || site.asked(&fpm, &script)));
    }
    show("from the file to PHP, without the notice", times);
}

#[test]
fn t7_two_files_within_one_second_are_both_seen_by_a_php_that_compares_seconds() {
    require!("etcd", "php-fpm8.2");
    // The worst case of the study: without the protection the second of two such files was never seen.
    let fpm = php(&[("opcache.revalidate_freq", "0"), ("opcache.file_update_protection", "0")]);
    let site = Site::new("min_write_interval = \"0s\"");
    let script = site.script("port.php", PORT);
    let agent = site.agent();
    agent.wait_until("the first file", || site.file().exists());
    let (mut pairs, mut last) = (0, fs::metadata(site.file()).unwrap().modified().unwrap());
    for port in (4000..4020).step_by(2) {
        let second = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let begun = second(SystemTime::now());
        for port in [port, port + 1] {
            site.put(port);
            seen_after(&site, port, DEADLINE, || site.asked(&fpm, &script));
            let now = fs::metadata(site.file()).unwrap().modified().unwrap();
            assert!(now >= last + Duration::from_secs(1), "its time has not risen by a second");
            last = now;
        }
        pairs += usize::from(second(SystemTime::now()) == begun);
    }
    println!("pairs within one second: {pairs} of 10");
}

#[test]
fn t8_of_ten_thousand_includes_during_swaps_none_is_torn() {
    require!("etcd", "php-fpm8.2");
    let fpm = php(&[("opcache.enable", "0")]);
    let site = Site::new("min_write_interval = \"0s\"");
    let script = site.script("torn.php", TORN);
    let whole = |port: usize| {
        let meta: serde_json::Map<String, Value> =
            (0..200).map(|name| (format!("m{name}"), json!(port.to_string()))).collect();
        site.etcd.put("/services/db/1", json!({"address": format!("h:{port}"), "meta": meta}).to_string());
    };
    whole(1);
    let agent = site.agent();
    agent.wait_until("the first file", || site.holds(1));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for port in (1..60_000).cycle().take_while(|_| !done.load(Ordering::SeqCst)) {
                whole(port);
            }
        });
        let mut broken = Vec::new();
        let mut swaps = 0;
        // Twenty requests, and more until the files have changed often enough meanwhile.
        while broken.len() < 20 || swaps < 100 {
            broken.push(site.asked(&fpm, &script));
            swaps = agent.logged(&[" applied "]);
            assert!(broken.len() < 2000, "{swaps} swaps only");
        }
        done.store(true, Ordering::SeqCst);
        println!("{} includes during {swaps} swaps", broken.len() * 500);
        assert!(broken.iter().all(|count| count == "0"), "{broken:?}");
    });
}

#[test]
fn t9_hostile_values_come_back_byte_for_byte() {
    require!("etcd", "php-fpm8.2");
    let fpm = php(&[]);
    let site = Site::new("");
    let hostile = [
        "'",
        "\"",
        "$x {$x} ${x}",
        "?>",
        "<?php echo 1;",
        "\\",
        "\\'",
        "a\\",
        "\n\r\t\0",
        "é 漢 \u{1f600}",
        "a'); system($x); //",
        "/* */ # //",
        "', 'port' => 1, '",
        "`id`",
        "%s %d",
        "\u{feff}\u{2028}",
    ];
    let meta: serde_json::Map<String, Value> =
        hostile.iter().enumerate().map(|(number, text)| (format!("m{number} {text}"), json!(text))).collect();
    let record =
        json!({"address": "h:5", "role": hostile[10], "zone": hostile[11], "tags": hostile, "meta": meta});
    site.etcd.put("/services/db/it's $a \\", record.to_string());
    let agent = site.agent();
    agent.wait_until("the file", || site.holds(5));

    let read: Value = serde_json::from_str(&site.asked(&fpm, &site.script("all.php", ALL))).unwrap();
    let instance = &read["services"]["db"][0];
    assert_eq!(instance["id"], "it's $a \\");
    assert_eq!((&instance["role"], &instance["zone"]), (&json!(hostile[10]), &json!(hostile[11])));
    assert_eq!(instance["tags"], json!(hostile));
    assert_eq!(instance["meta"], Value::Object(meta));
    assert_eq!((&read["waypost"], &instance["weight"]), (&json!(1), &json!(1)));
}

#[test]
fn t10_a_thousand_changes_in_ten_seconds_are_eleven_files_at_most() {
    require!("etcd", "php-fpm8.2");
    // It takes files that are younger than two seconds, too: each of them costs memory.
    let fpm = php(&[("opcache.revalidate_freq", "0"), ("opcache.file_update_protection", "0")]);
    let site = Site::new("");
    let (script, wasted) = (site.script("port.php", PORT), site.script("wasted.php", WASTED));
    site.put(1);
    let agent = site.agent();
    agent.wait_until("the first file", || site.holds(1));
    // What is counted begins with a change that is written at once.
    site.put(2);
    agent.wait_until("the limit on the first file to be over", || site.holds(2));
    let before: u64 = site.asked(&fpm, &wasted).parse().unwrap();
    let (begun, applied) = (Instant::now(), agent.logged(&[" applied "]));
    let mut changes: u16 = 0;
    while begun.elapsed() < Duration::from_secs(10) {
        changes += 1;
        site.put(2 + changes % 60_000);
        site.asked(&fpm, &script);
    }
    let written = agent.logged(&[" applied "]) - applied;
    println!("{changes} changes, {written} files in {:?}", begun.elapsed());
    assert!(changes >= 1000 && (2..=11).contains(&written), "{changes} changes, {written} files");
    agent.wait_until("the last one", || site.holds(2 + changes % 60_000));
    let after: u64 = site.asked(&fpm, &wasted).parse().unwrap();
    println!("opcache wasted {} bytes", after - before);
    assert!(after - before < 1 << 20, "opcache wasted {} bytes", after - before);
}

#[test]
fn t11_requests_are_served_from_the_file_while_etcd_and_the_agent_are_dead() {
    require!("etcd", "php-fpm8.2");
    let fpm = php(&[]);
    let site = Site::new("");
    let script = site.script("port.php", PORT);
    site.put(3306);
    let mut agent = site.agent();
    agent.wait_until("the first file", || site.holds(3306));
    let file = || fs::metadata(site.file()).unwrap().modified().unwrap();
    let written = file();
    let seen = || fs::metadata(site.marker()).unwrap().modified().unwrap();
    let first = wait_for("the marker", DEADLINE, || site.marker().exists().then(seen));
    wait_until("the marker to be touched again", DEADLINE, || seen() > first);

    site.etcd.kill();
    agent.wait_logged(&["ERROR", "the registry cannot be read"]);
    let last = seen();
    wait_until("the marker to be old", DEADLINE, || last.elapsed().unwrap() > Duration::from_secs(7));
    assert_eq!((seen(), file()), (last, written), "nobody answered");
    assert_eq!(site.asked(&fpm, &script), "3306");
    agent.kill();
    assert_eq!(site.asked(&fpm, &script), "3306");
    agent.start_again();
    agent.wait_until("another outage to be told", || agent.logged(&["the registry cannot be read"]) > 1);
    assert_eq!((site.asked(&fpm, &script), seen()), ("3306".to_owned(), last));

    site.etcd.start_again();
    wait_until("the marker to be new", DEADLINE, || seen() > last);
    assert_eq!(file(), written, "the same content is not written again");
}

#[test]
fn each_php_fpm_is_told_again_until_it_answers() {
    require!("etcd", "php-fpm8.2");
    let fpm = PhpFpm::start_with(PhpFpmOptions::new().ini("opcache.validate_timestamps", "0").on_port());
    let site = Site::new(&tells(&fpm));
    let script = site.script("port.php", PORT);
    site.put(1);
    let agent = site.agent();
    agent.wait_logged(&[" reloaded ", fpm.address()]);
    fpm.kill();
    site.put(2);
    agent.wait_logged(&["ERROR", "cannot tell PHP of", fpm.address(), "trying again"]);
    let reloads = agent.logged(&[" reloaded "]);
    fpm.start_again();
    agent.wait_until("the notice", || agent.logged(&[" reloaded "]) > reloads);
    assert_eq!(site.asked(&fpm, &script), "2");
}

#[test]
fn a_key_that_is_no_instance_is_told_once_by_its_name_and_keeps_no_other_out() {
    require!("etcd");
    let site = Site::new("");
    site.etcd.put_all([("/services/db/1", "127.0.0.1:1"), ("/services/db/2", "hunter2")]);
    let agent = site.agent();
    agent.wait_logged(&["WARN", "left out", "key=/services/db/2"]);
    for port in 2..5 {
        site.put(port);
        agent.wait_until("the change", || site.holds(port));
    }
    assert_eq!(agent.logged(&["left out"]), 1, "{}", agent.log());
    assert!(
        !agent.log().contains("hunter2") && !fs::read_to_string(site.file()).unwrap().contains("hunter2")
    );
    let arguments = site.tree.arguments();
    let [flag, directory, ..] = &arguments;
    let node = site.etcd.endpoint();
    let check = run_to_end([
        "check".as_ref(),
        &**flag,
        directory,
        "--live".as_ref(),
        "--node".as_ref(),
        node.as_ref(),
    ]);
    assert!(check.code == Some(0) && check.stdout.contains("/services/db/2 is left out"), "{check:?}");
    assert!(!check.stdout.contains("hunter2"));
}

#[test]
fn a_link_in_the_place_of_the_file_becomes_a_file_and_its_target_stays() {
    require!("etcd");
    let site = Site::new("");
    site.put(1);
    let target = site.script("target.php", "<?php return 1;");
    std::os::unix::fs::symlink(&target, site.file()).unwrap();
    let agent = site.agent();
    agent.wait_until("the file", || site.holds(1));
    assert!(fs::symlink_metadata(site.file()).unwrap().is_file());
    assert_eq!(fs::read_to_string(target).unwrap(), "<?php return 1;");
}

#[test]
fn a_check_says_which_file_of_a_reload_is_missing_and_a_single_pass_writes_what_a_dry_run_shows() {
    require!("etcd");
    let site = Site::new("");
    site.put(3306);
    let node = site.etcd.endpoint();
    let run = |words: &[&str]| {
        let [.., flag, state] = &site.tree.arguments();
        let own = ["--confdir".as_ref(), site.tree.path().as_os_str(), "--node".as_ref(), node.as_ref()];
        let state = [flag.as_ref(), state.as_ref()].into_iter().filter(|_| words.contains(&"--once"));
        run_to_end(words.iter().map(AsRef::as_ref).chain(own).chain(state))
    };
    let shown = run(&["render", "--dry-run"]);
    assert!(shown.code == Some(0) && shown.stdout.contains("+<?php return ['waypost' => 1, "), "{shown:?}");
    assert!(!site.file().exists() && !site.marker().exists());
    let done = run(&["render", "--once"]);
    assert!(done.code == Some(0) && site.holds(3306) && site.marker().exists(), "{done:?}");

    let text = fs::read_to_string(site.tree.configuration("services")).unwrap();
    for (reload, wanted) in [
        ("{ fastcgi = \"/none.sock\", script = \"/none.php\" }", "the script /none.php: No such file"),
        ("{ varnish = \"127.0.0.1:1\", secret = \"/none\" }", "cannot read the secret /none: No such file"),
    ] {
        let text = format!("{text}reload = {reload}\n");
        fs::write(site.tree.configuration("services"), text).unwrap();
        let check = run(&["check"]);
        let told = format!(":5:10: warning: {wanted}");
        assert!(check.code == Some(0) && check.stdout.contains(&told), "{told}: {check:?}");
    }
}
