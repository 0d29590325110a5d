//! `examples/nginx` as it is, on real etcd, on waypost's own store, and on real nginx: services come, stop
//! and die, registry and agent are killed and start again, and nginx serves all the time.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::fs;
use std::path::Path;

use waypost_e2e::{DEADLINE, Load, Tree, Waypost, require, run_to_end};
use waypost_servers::{Etcd, Http, Nginx, Ports, Scratch, Storage, get, wait_until};

/// The example's files in `tree`, with its fixed places made free ones: the data directory, the pid file
/// and the port.
fn install(tree: &Tree, port: u16) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/nginx");
    let copy = |name: &str, replaced: &[(&str, &str)]| {
        let mut text = fs::read_to_string(example.join(name)).unwrap();
        for (here, there) in replaced {
            assert!(text.contains(here), "examples/nginx/{name} no longer says {here}");
            text = text.replace(here, there);
        }
        fs::write(tree.join(name), text).unwrap();
    };
    let data = tree.join("out").display().to_string();
    let pid = tree.join("nginx.pid").display().to_string();
    let listen = format!("listen 127.0.0.1:{port};");
    copy("conf.d/nginx.toml", &[("/var/lib/waypost/nginx", &data)]);
    // And where nginx keeps what it buffers, which only root may write to.
    let buffers = format!("access_log off;\n{}", buffers(tree));
    let places = [("/run/waypost-nginx.pid", &*pid), ("listen 80;", &listen), ("access_log off;", &buffers)];
    copy("templates/nginx.conf.tmpl", &places);
}

/// Lines for the `http` block that keep what nginx buffers in `tree`.
fn buffers(tree: &Tree) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    kinds.map(|kind| format!("{kind}_temp_path {};\n", tree.join(kind).display())).concat()
}

/// A service that is a command: an nginx of its own, in the foreground, without access to any other's files.
fn command_that_serves(tree: &Tree, port: u16) -> Vec<String> {
    let (config, pid) = (tree.join("service.conf"), tree.join("service.pid"));
    let server = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"served\\n\"; }} }}");
    let text = format!(
        "daemon off; pid {}; events {{}} http {{ access_log off; {}{server} }}\n",
        pid.display(),
        buffers(tree)
    );
    fs::write(&config, text).unwrap();
    let nginx = waypost_servers::find("nginx").unwrap().display().to_string();
    let config = config.display().to_string();
    // Its announcer may be killed; nothing may be left of the test.
    ["setpriv", "--pdeathsig", "TERM", "--", &nginx, "-e", "stderr", "-c", &config]
        .map(str::to_owned)
        .to_vec()
}

/// Where the services register.
trait Registry {
    fn endpoint(&self) -> String;
    fn has(&self, key: &str) -> bool;
    fn kill(&mut self);
    /// Starts it on what it had.
    fn start_again(&mut self);
}

impl Registry for Etcd {
    fn endpoint(&self) -> String {
        Etcd::endpoint(self)
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn kill(&mut self) {
        Etcd::kill(self);
    }

    fn start_again(&mut self) {
        Etcd::start_again(self);
    }
}

/// `waypost store`; its data goes after it.
struct Store {
    waypost: Waypost,
    listen: String,
    _data: Scratch,
}

impl Store {
    fn start() -> Store {
        let data = Scratch::new("nginx-example-store", Storage::Disk);
        let listen = format!("127.0.0.1:{}", Ports::free());
        let directory = data.path().display().to_string();
        let waypost = Waypost::with(["store", "--data-dir", &directory, "--listen", &listen]);
        waypost.wait_logged(&["serving the store"]);
        Store { waypost, listen, _data: data }
    }
}

impl Registry for Store {
    fn endpoint(&self) -> String {
        self.listen.clone()
    }

    fn has(&self, key: &str) -> bool {
        run_to_end(["kv", "get", key, "--node", &self.listen]).code == Some(0)
    }

    fn kill(&mut self) {
        self.waypost.kill();
    }

    fn start_again(&mut self) {
        self.waypost.start_again();
    }
}

fn announce(name: &str, port: u16, node: &str, command: &[String]) -> Waypost {
    let port = port.to_string();
    let mut arguments = vec!["announce", name, "--prefix", "/test", "--port", &port, "--check", "http:/"];
    arguments.extend(["--node", node, "--ttl", "2s", "--interval", "100ms"]);
    if !command.is_empty() {
        arguments.push("--");
        arguments.extend(command.iter().map(String::as_str));
    }
    Waypost::with(arguments)
}

#[test]
fn services_come_and_go_and_everything_else_dies_and_nginx_serves_all_the_time() {
    require!("etcd", "nginx");
    everything_happens(Etcd::start());
}

#[test]
fn so_does_it_on_the_store() {
    require!("nginx");
    everything_happens(Store::start());
}

fn everything_happens(mut registry: impl Registry) {
    let tree = Tree::new();
    let node = registry.endpoint();
    let port = Ports::free();
    install(&tree, port);
    let url = format!("http://127.0.0.1:{port}/");
    let mut agent = Waypost::agent(&tree, ["--node", &node, "--retry-max", "1s"]);
    agent.wait_until("the first file", || tree.text("nginx").is_some());
    let _nginx = Nginx::start_on(&tree.destination("nginx"));
    assert_eq!(get(&url).unwrap().status, 503, "no service lives");

    // Two services appear: one is a command around which the announcer lives, one runs beside its announcer.
    let (one, two) = (Ports::free(), Http::start("two"));
    let announcer_of_one = announce("one", one, &node, &command_that_serves(&tree, one));
    let announcer_of_two = announce("two", two.port(), &node, &[]);
    let (one, two_at) = (format!("127.0.0.1:{one}"), two.endpoint());
    wait_until("both in the file", DEADLINE, || {
        tree.text("nginx").is_some_and(|text| text.contains(&one) && text.contains(&two_at))
    });
    wait_until("the first good answer", DEADLINE, || get(&url).is_ok_and(|answer| answer.status == 200));
    let load = Load::on(&url);
    load.wait_for_exactly(&[&one, &two_at]);

    // The registry dies: what is known serves. It is back with its data: nothing changes.
    registry.kill();
    agent.wait_logged(&["the registry cannot be read"]);
    load.wait_for_exactly(&[&one, &two_at]);
    registry.start_again();

    // The agent dies, a service appears meanwhile, and the agent finds it.
    agent.kill();
    let three = Http::start("three");
    let _announcer_of_three = announce("three", three.port(), &node, &[]);
    wait_until("the third key", DEADLINE, || registry.has("/test/three"));
    load.wait_for_exactly(&[&one, &two_at]);
    agent.start_again();
    load.wait_for_exactly(&[&one, &two_at, &three.endpoint()]);

    // One is stopped: its key goes first, then the command.
    assert_eq!(
        announcer_of_one.stop().code(),
        Some(0),
        "nginx ends well on SIGTERM: {}",
        announcer_of_one.log()
    );
    load.wait_for_exactly(&[&two_at, &three.endpoint()]);

    // One is killed, with its announcer: until its lease ends, its requests go to the others.
    announcer_of_two.kill();
    two.stop();
    wait_until("the end of the lease", DEADLINE, || !registry.has("/test/two"));
    load.wait_for_exactly(&[&three.endpoint()]);

    wait_until("exactly the live services in the file", DEADLINE, || {
        let text = tree.text("nginx").unwrap();
        text.matches("        server 127").count() == 1 && text.contains(&three.endpoint())
    });
    assert_eq!(load.failures(), [""; 0], "while one service lived, every request was answered");
    assert!(agent.stop().success());
}
