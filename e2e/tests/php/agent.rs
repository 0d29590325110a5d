//! A PHP application beside the agent: its file, its socket, and what is left when it is gone.

use std::fs;
use std::path::PathBuf;

use serde_json::Value as Json;
use waypost_e2e::{DEADLINE, Tree, Waypost, require};
use waypost_servers::{Etcd, PhpFpm, PhpFpmOptions, wait_until};

use crate::package;

/// Prints what `?from=` says of the service `db`, `&fresh=1` after a connection that failed.
const LOOK: &str = r"<?php
    require getenv('AUTOLOAD');
    $file = new Waypost\Discovery\PhpFileSource(getenv('SERVICES'));
    $agent = new Waypost\Discovery\AgentSocketSource(getenv('SOCKET'), 5);
    $source = ['agent' => $agent, 'chain' => new Waypost\Discovery\ChainSource($file, $agent)][$_GET['from']];
    $service = $source->get('db', isset($_GET['fresh']));
    echo json_encode(['ports' => array_column($service->records(), 'port'), 'roles' => array_column($service->records(), 'role'),
        'age' => $source->age(), 'version' => $source->version()]);";

/// etcd, the agent, and a php-fpm of one child, so that all requests share what it keeps.
struct Host {
    etcd: Etcd,
    tree: Tree,
    agent: Waypost,
    fpm: PhpFpm,
}

impl Host {
    fn start() -> Host {
        let (etcd, tree) = (Etcd::start(), Tree::new());
        etcd.put("/services/db/1", "{\"address\": \"127.0.0.1:1\", \"role\": \"primary\"}");
        fs::write(tree.join("waypost.toml"), "[api]\nsocket = \"run/api.sock\"\n").unwrap();
        let (file, socket) = (tree.join("out/services.php"), tree.join("run/api.sock"));
        let resource = format!("[template]\nservices = [\"db\"]\ndest = \"{}\"\n", file.display());
        fs::write(tree.configuration("services"), resource).unwrap();
        let agent = Waypost::agent(&tree, ["--node", &etcd.endpoint(), "--retry-max", "1s"]);
        let fpm = PhpFpm::start_with(
            PhpFpmOptions::new()
                .children(1)
                .ini("opcache.validate_timestamps", "0")
                // It would keep no file that is younger than two seconds.
                .ini("opcache.file_update_protection", "0")
                .env("AUTOLOAD", &package("autoload.php").display().to_string())
                .env("SERVICES", &file.display().to_string())
                .env("SOCKET", &socket.display().to_string()),
        );
        fs::write(fpm.dir().join("look.php"), LOOK).unwrap();
        agent.wait_until("the file", || file.exists());
        agent.wait_until("the socket", || socket.exists());
        Host { etcd, tree, agent, fpm }
    }

    fn script(&self) -> PathBuf {
        self.fpm.dir().join("look.php")
    }

    fn look(&self, query: &str) -> Json {
        let answer = self.fpm.request(&self.script(), &[("QUERY_STRING", query)]);
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()))
    }

    fn file_names(&self, port: u16) -> bool {
        let text = fs::read_to_string(self.tree.join("out/services.php")).unwrap();
        text.contains(&format!("127.0.0.1:{port}'"))
    }
}

#[test]
fn the_agents_socket_answers_over_a_connection_that_php_fpm_keeps_and_over_a_new_one_when_it_was_restarted() {
    require!("etcd", "php-fpm8.2");
    let mut host = Host::start();
    wait_until("the agent's first answer", DEADLINE, || {
        host.fpm.request(&host.script(), &[("QUERY_STRING", "from=agent")]).body.starts_with(b"{")
    });
    for _ in 0..3 {
        let answer = host.look("from=agent");
        assert_eq!((&answer["ports"][0], &answer["roles"][0]), (&1.into(), &"primary".into()), "{answer}");
        assert_eq!(answer["version"].as_str().map(str::len), Some(16), "{answer}");
    }

    host.agent.kill();
    host.agent.start_again();

    // The kept connection is to a process that is gone.
    wait_until("an answer of the new agent", DEADLINE, || {
        host.fpm.request(&host.script(), &[("QUERY_STRING", "from=agent")]).body.starts_with(b"{")
    });
    assert_eq!(host.look("from=agent")["ports"][0], 1);
}

#[test]
fn a_fresh_look_up_is_the_agents_and_without_an_agent_the_files() {
    require!("etcd", "php-fpm8.2");
    let host = Host::start();
    assert_eq!(host.look("from=chain")["ports"][0], 1);

    host.etcd.put("/services/db/1", "127.0.0.1:2");
    wait_until("the new file", DEADLINE, || host.file_names(2));
    // Nobody has told opcache of it, on purpose.
    assert_eq!(host.look("from=chain")["ports"][0], 1);
    assert_eq!(host.look("from=chain&fresh=1")["ports"][0], 2);
    assert_eq!(host.look("from=chain")["ports"][0], 2, "and so for all that come after");

    host.etcd.put("/services/db/1", "127.0.0.1:3");
    wait_until("the next file", DEADLINE, || host.file_names(3));
    host.agent.kill();
    assert_eq!(host.look("from=chain&fresh=1")["ports"][0], 3);
    assert!(host.look("from=chain")["age"].as_f64().is_some(), "the file says how old it is");
}
