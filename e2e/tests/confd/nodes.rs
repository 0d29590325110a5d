//! Where the nodes of a store are from, and how they are reached: defaults, variables, flags, DNS, TLS and
//! users.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;

use waypost_e2e::{Confd, Generation, Namespace, Output, Resource, Tree, finish, require};
use waypost_servers::{Etcd, Permission, Ports};

use crate::{New, Old, assert_ended, confd_toml, is_root};

/// `words` in a network of their own, where nobody answers; none where that is not permitted.
fn alone(tree: &Tree, words: &Confd) -> Option<Output> {
    let confd = words.command();
    let unshared = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--map-root-user"]);
        unshare
    };
    let permitted = finish(unshared().arg("true"));
    if permitted.code != Some(0) {
        waypost_e2e::unavailable(&format!("no network namespace is permitted: {}", permitted.stderr));
        return None;
    }
    let mut unshare = unshared();
    unshare.arg(confd.get_program()).args(confd.get_args()).env("XDG_STATE_HOME", tree.join("state"));
    for variable in ["ETCDCTL_PEERS", "CONFD_NODE"] {
        unshare.env_remove(variable);
    }
    Some(finish(&mut unshare))
}

#[test]
fn the_default_nodes_are_those_of_each_generation() {
    require!("unshare");
    for (generation, name, node) in
        [(Old, "etcdv3", "127.0.0.1:2379"), (New, "etcd", "127.0.0.1:2379"), (Old, "etcd", "127.0.0.1:4001")]
    {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).backend(name).flags("-onetime");
        let Some(output) = alone(&tree, &confd) else { return };
        assert_ended(&output, 1, &[node]);
    }
}

#[test]
fn the_default_backend_of_0_16_is_etcds_v2_api() {
    require!("unshare");
    let tree = Tree::new();
    Resource::new("web").write_to(&tree);
    let Some(output) = alone(&tree, &Confd::new(Old, &tree).flags("-onetime")) else { return };
    assert_ended(&output, 1, &["127.0.0.1:4001"]);
}

#[test]
fn etcdctl_peers_are_the_nodes_of_0_16() {
    require!("etcd");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    etcd.put("/web/a", "1");
    Resource::new("web").write_to(&tree);
    let confd = Confd::new(Old, &tree).backend("etcdv3");
    let confd = confd.variable("ETCDCTL_PEERS", format!("127.0.0.1:{}, {}", Ports::free(), etcd.url()));
    assert_ended(&confd.once(), 0, &[]);
    assert_eq!(tree.text("web").as_deref(), Some("a=1\n"));
}

#[test]
fn confd_client_variables_are_the_tls_files_in_both() {
    require!("etcd", "openssl");
    let etcd = Etcd::options().tls().start();
    etcd.put("/web/a", "1");
    let files = etcd.certificates().unwrap();
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).etcd(&etcd);
        let confd = confd.variable("CONFD_CLIENT_CAKEYS", &files.ca);
        let confd = confd.variable("CONFD_CLIENT_CERT", &files.client);
        assert_ended(&confd.variable("CONFD_CLIENT_KEY", &files.client_key).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
    }
}

#[test]
fn tls_flags_and_the_scheme_reach_an_etcd_that_wants_certificates() {
    require!("etcd", "openssl");
    let etcd = Etcd::options().tls().start();
    etcd.put("/web/a", "1");
    let files = etcd.certificates().unwrap();
    let shown = |path: &Path| path.display().to_string();
    let (ca, cert, key) = (shown(&files.ca), shown(&files.client), shown(&files.client_key));
    let flags = format!("-client-ca-keys {ca} -client-cert {cert} -client-key {key} -scheme https");
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).node(&etcd.endpoint()).flags(&flags);
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
    }
}

#[test]
fn username_and_password_log_in() {
    require!("etcd");
    let etcd = Etcd::options().user("confd", "secret", &[("/web", Permission::Read)]).start();
    etcd.put("/web/a", "1");
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).etcd(&etcd);
        let confd = confd.flags("-basic-auth -username confd -password secret");
        assert_ended(&confd.once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
    }
}

#[test]
fn several_nodes_are_one_store() {
    require!("etcd");
    let etcd = Etcd::start();
    etcd.put("/web/a", "1");
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let nobody = format!("-node http://127.0.0.1:{}", Ports::free());
        let confd = Confd::new(generation, &tree);
        assert_ended(&confd.etcd(&etcd).flags(&nobody).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");

        fs::remove_file(tree.destination("web")).unwrap();
        assert_ended(&confd.node(&format!("127.0.0.1:{},{}", Ports::free(), etcd.url())).once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}: in one word");
    }
}

#[test]
fn client_insecure_takes_any_certificate_of_the_server() {
    require!("etcd", "openssl");
    let etcd = Etcd::options().tls().start();
    etcd.put("/web/a", "1");
    let files = etcd.certificates().unwrap();
    let shown = |path: &Path| path.display().to_string();
    let identity = format!("-client-cert {} -client-key {}", shown(&files.client), shown(&files.client_key));
    for generation in Generation::BOTH {
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).etcd(&etcd).flags(&identity);
        assert_ended(&confd.once(), 1, &["cannot be read"]);
        assert_ended(&confd.flags("-client-insecure").once(), 0, &[]);
        assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
        confd_toml(&tree, "client_insecure = true\n");
        assert_ended(&confd.once(), 0, &[]);
    }
}

/// A name server for one SRV record, on an address of its own; none where its port is not to be had.
///
/// It ends with the test's process.
fn name_server(record: &'static str, port: u16) -> Option<String> {
    let asked: Vec<u8> =
        record.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    // Name servers in resolv.conf have no port, so each has an address of its own.
    let number = Ports::free();
    let address = format!("127.53.{}.{}", number >> 8, number & 255);
    let socket = match UdpSocket::bind((&*address, 53)) {
        Ok(socket) => socket,
        Err(_) if !is_root() => return None,
        Err(why) => panic!("cannot listen at {address}:53: {why}"),
    };
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let answer = answer(&query[..length], &asked, port);
            let _ = socket.send_to(&answer, client);
        }
    });
    Some(address)
}

/// RFC 1035, section 4: the header, the question again, and an answer that points to its name; RFC 2782.
fn answer(query: &[u8], record: &[u8], port: u16) -> Vec<u8> {
    let name = &query[12..];
    let end = 12 + name.iter().position(|byte| *byte == 0).unwrap() + 5;
    let is_known = query[12..end].starts_with(record) && query[end - 4..end] == [0, 33, 0, 1];
    let mut answer = query[..2].to_vec();
    let (code, count) = if is_known { (0x80, 1) } else { (0x83, 0) };
    answer.extend([0x85, code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&query[12..end]);
    if is_known {
        let target = b"\x03127\x010\x010\x011\x00";
        answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 6 + target.len() as u8, 0, 1, 0, 1]);
        answer.extend(port.to_be_bytes());
        answer.extend(target);
    }
    answer
}

/// Runs `confd` where `/etc/resolv.conf` names the name server at `address`.
fn asking(address: &str, tree: &Tree, confd: &Confd) -> Option<Output> {
    let resolv = tree.join("resolv.conf");
    fs::write(&resolv, format!("nameserver {address}\n")).unwrap();
    let namespace = Namespace::with("mount --bind \"$0\" /etc/resolv.conf", &resolv)?;
    let mut run = namespace.command();
    run.args(confd.command().get_args()).env("XDG_STATE_HOME", tree.join("state"));
    Some(finish(&mut run))
}

#[test]
fn srv_domain_and_srv_record_name_the_nodes() {
    require!("etcd", "unshare");
    let etcd = Etcd::start();
    etcd.put("/web/a", "1");
    let (old, new) = ("_etcdv3._tcp.example.com", "_etcd._tcp.example.com");
    for (generation, backend, record) in [(Old, "etcdv3", old), (New, "etcd", new)] {
        let Some(address) = name_server(record, etcd.port()) else { return };
        let tree = Tree::new();
        Resource::new("web").write_to(&tree);
        let confd = Confd::new(generation, &tree).backend(backend).flags("-onetime");
        for flags in ["-srv-domain example.com", &format!("-srv-record {record}.")] {
            let Some(output) = asking(&address, &tree, &confd.flags(flags)) else { return };
            assert_ended(&output, 0, &[]);
            assert_eq!(tree.text("web").as_deref(), Some("a=1\n"), "{generation:?}");
            fs::remove_file(tree.destination("web")).unwrap();
        }
        confd_toml(&tree, "srv_domain = \"example.com\"\n");
        assert_ended(&asking(&address, &tree, &confd).unwrap(), 0, &[]);
        confd_toml(&tree, "srv_domain = \"example.org\"\n");
        assert_ended(&asking(&address, &tree, &confd).unwrap(), 1, &["_tcp.example.org."]);
    }
}
