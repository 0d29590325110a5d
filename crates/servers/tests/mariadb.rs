//! MariaDB does what a test asks of it.

use std::net::TcpStream;
use std::process::Command;

use waypost_servers::{MariaDb, find, require};

/// Asks over TCP as the user `app`, as a program would.
fn over_tcp(mariadb: &MariaDb, sql: &str) -> Result<String, String> {
    let mut client = Command::new(find("mariadb").expect("it comes with the server"));
    client.args(["--no-defaults", "--host=127.0.0.1", "--user=app", "--password=secret"]);
    client.args(["--skip-column-names", "--batch", "--execute", sql, "shop"]);
    let output = client.arg(format!("--port={}", mariadb.port())).output().expect("the client runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn a_user_logs_in_over_tcp_and_what_is_written_survives_a_kill() {
    require!("mariadbd");
    let mariadb = MariaDb::start();
    mariadb.create_database("shop", "app", "secret");
    mariadb.execute(
        "CREATE TABLE shop.node (id INT PRIMARY KEY, name TEXT); USE shop; INSERT INTO node VALUES (1, 'a')",
    );
    assert_eq!(over_tcp(&mariadb, "INSERT INTO node VALUES (2, 'b')"), Ok(String::new()));

    mariadb.kill();
    assert!(!mariadb.is_running());
    assert!(TcpStream::connect(mariadb.endpoint()).is_err(), "nobody listens");
    mariadb.start_again();
    assert_eq!(mariadb.query("SELECT * FROM shop.node ORDER BY id"), ["1\ta", "2\tb"]);

    mariadb.read_only(true);
    let refused = over_tcp(&mariadb, "INSERT INTO node VALUES (3, 'c')").unwrap_err();
    assert!(refused.contains("--read-only"), "{refused}");
    mariadb.read_only(false);
    assert_eq!(over_tcp(&mariadb, "INSERT INTO node VALUES (3, 'c')"), Ok(String::new()));
}

#[test]
fn a_copy_of_a_stopped_one_holds_the_same_and_goes_its_own_way() {
    require!("mariadbd");
    let old = MariaDb::start();
    old.create_database("shop", "app", "secret");
    old.execute("CREATE TABLE shop.node (id INT)");
    old.stop();
    let new = MariaDb::start_on_copy_of(&old);
    old.start_again();
    assert_eq!(over_tcp(&new, "INSERT INTO node VALUES (1); SELECT COUNT(*) FROM node"), Ok("1".to_owned()));
    assert_eq!(over_tcp(&old, "SELECT COUNT(*) FROM node"), Ok("0".to_owned()));
}
