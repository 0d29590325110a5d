//! The ring is libmemcached's, and moves no more than it must.

#![cfg(feature = "ring")]

use std::fs;
use std::process::Command;

use waypost_discover::{Endpoint, Instance, Ring};
use waypost_servers::{Scratch, Storage, find, require};

/// Reads pools from a file, one a line: `HOST PORT WEIGHT,…`; prints for each the server of every key, one a
/// line.
const PHP: &str = r#"
    foreach (file($argv[1], FILE_IGNORE_NEW_LINES) as $line) {
        $cache = new Memcached();
        $cache->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true);
        foreach (explode(',', $line) as $server) {
            [$host, $port, $weight] = explode(' ', $server);
            $cache->addServer($host, (int) $port, (int) $weight);
        }
        for ($key = 0; $key < 2000; $key++) {
            $server = $cache->getServerByKey("user:$key");
            echo $server['host'], ':', $server['port'], "\n";
        }
    }
"#;

const KEYS: usize = 2000;

type Pool = Vec<(String, u16, u32)>;

fn ring(pool: &Pool) -> Ring {
    let instance = |(host, port, weight): &(String, u16, u32)| Instance {
        weight: *weight,
        ..Instance::new(format!("{host}-{port}"), Endpoint::new(host.clone(), *port))
    };
    Ring::of(&pool.iter().map(instance).collect::<Vec<_>>())
}

fn servers_of_keys(ring: &Ring) -> Vec<String> {
    (0..KEYS).map(|key| ring.server(format!("user:{key}")).expect("it has servers").to_string()).collect()
}

/// Pools of 1 to 12 servers in any order, on the default port and on others, with equal and with very unequal
/// weights.
fn pools() -> Vec<Pool> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut pools: Vec<Pool> = vec![vec![("127.0.0.1".to_owned(), 11211, 1)]];
    for number in 0..60_u8 {
        let size = random.u8(1..=12);
        let server = |server: u8| {
            let host = if random.bool() {
                format!("10.0.{number}.{server}")
            } else {
                format!("cache-{server}.test")
            };
            let port = if random.bool() { 11211 } else { random.u16(1..) };
            let weight = match number % 3 {
                0 => 1,
                1 => random.u32(1..=5),
                _ => random.u32(1..=1000),
            };
            (host, port, weight)
        };
        let mut pool: Pool = (0..size).map(server).collect();
        fastrand::Rng::with_seed(u64::from(number)).shuffle(&mut pool);
        pools.push(pool);
    }
    pools
}

#[test]
fn every_key_is_where_phps_memcached_puts_it() {
    require!("php", "memcached");
    let pools = pools();
    let scratch = Scratch::new("ring", Storage::Memory);
    let line = |pool: &Pool| {
        let servers = pool.iter().map(|(host, port, weight)| format!("{host} {port} {weight}"));
        servers.collect::<Vec<_>>().join(",")
    };
    let file = scratch.join("pools");
    fs::write(&file, pools.iter().map(line).collect::<Vec<_>>().join("\n")).expect("there is room");
    let php = Command::new(find("php").expect("it is required")).args(["-r", PHP, "--"]).arg(file).output();
    let php = php.expect("php runs");
    assert!(php.status.success(), "{}", String::from_utf8_lossy(&php.stderr));
    let theirs = String::from_utf8_lossy(&php.stdout);
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(theirs.len(), pools.len() * KEYS);
    for (pool, theirs) in pools.iter().zip(theirs.chunks(KEYS)) {
        assert_eq!(servers_of_keys(&ring(pool)), theirs, "{pool:?}");
    }
}

#[test]
fn t12_the_order_of_the_servers_moves_no_key_and_a_third_one_moves_a_third_of_them() {
    let servers = |ports: &[u16]| {
        servers_of_keys(&ring(&ports.iter().map(|port| ("h".to_owned(), *port, 1)).collect()))
    };
    let moved = |before: &[String], after: &[String]| {
        before.iter().zip(after).filter(|(before, after)| before != after).count() * 100 / KEYS
    };
    let two = servers(&[1, 2]);
    assert_eq!(two, servers(&[2, 1]));
    let three = servers(&[1, 2, 3]);
    let grown = moved(&two, &three);
    assert!((28..=39).contains(&grown), "a third in theory: {grown} %");
    assert!(
        two.iter().zip(&three).all(|(before, after)| before == after || after == "h:3"),
        "to the new one only"
    );

    let nine: Vec<u16> = (1..=9).collect();
    let shrunk = moved(&servers(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), &servers(&nine));
    assert!((7..=13).contains(&shrunk), "a tenth in theory: {shrunk} %");
}

#[test]
fn a_server_of_twice_the_weight_gets_twice_the_keys_and_one_of_weight_0_none() {
    let pool: Pool = [("a", 1), ("b", 2), ("c", 0)].map(|(host, weight)| (host.to_owned(), 1, weight)).into();
    let ring = ring(&pool);
    let of_b = servers_of_keys(&ring).iter().filter(|server| *server == "b:1").count() * 100 / KEYS;
    assert!((60..=74).contains(&of_b), "two thirds in theory: {of_b} %");
    assert_eq!(ring.servers().len(), 2);
    assert_eq!(Ring::of(&[]).server("any"), None);
}
