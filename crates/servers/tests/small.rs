//! memcached, Redis and PostgreSQL do what a test asks of them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use waypost_servers::{Memcached, Postgres, Redis, require};

/// Sends one line and reads one.
fn ask(endpoint: &str, line: &str) -> String {
    let mut stream = TcpStream::connect(endpoint).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("it is no zero");
    stream.write_all(format!("{line}\r\n").as_bytes()).expect("it takes a line");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("it answers");
    answer.trim_end().to_owned()
}

#[test]
fn memcached_is_stopped_killed_and_started_again_on_its_port() {
    require!("memcached", "setpriv");
    let memcached = Memcached::start();
    assert_eq!(ask(&memcached.endpoint(), "set a 0 0 1\r\nx"), "STORED");
    memcached.stop();
    assert!(!memcached.is_running() && TcpStream::connect(memcached.endpoint()).is_err());
    memcached.start_again();
    assert_eq!(ask(&memcached.endpoint(), "get a"), "END");
    memcached.kill();
    assert!(TcpStream::connect(memcached.endpoint()).is_err());
}

#[test]
fn redis_is_stopped_killed_and_started_again_on_its_port() {
    require!("redis-server", "setpriv");
    let redis = Redis::start();
    assert_eq!(ask(&redis.endpoint(), "SET a x"), "+OK");
    redis.stop();
    assert!(!redis.is_running() && TcpStream::connect(redis.endpoint()).is_err());
    redis.start_again();
    assert_eq!(ask(&redis.endpoint(), "GET a"), "$-1");
    redis.kill();
    assert!(TcpStream::connect(redis.endpoint()).is_err());
}

#[test]
fn postgres_keeps_its_rows_however_it_ends() {
    require!("pg_ctlcluster", "setpriv");
    let postgres = Postgres::start();
    postgres.query("CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
    for end in [Postgres::stop, Postgres::stop_immediate, Postgres::kill] {
        end(&postgres);
        assert!(!postgres.is_running() && TcpStream::connect(postgres.endpoint()).is_err());
        postgres.start_again();
        assert_eq!(postgres.query("SELECT n FROM t"), "7");
    }
}
