//! The two databases that an application is moved between.

use std::net::TcpStream;

use waypost_servers::{MariaDb, Postgres};

/// A database server.
pub(crate) enum Database {
    MariaDb(MariaDb),
    Postgres(Postgres),
}

/// Which kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    MariaDb,
    Postgres,
}

impl Kind {
    /// DBAL's driver.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            Kind::MariaDb => "pdo_mysql",
            Kind::Postgres => "pdo_pgsql",
        }
    }

    pub(crate) fn start(self) -> Database {
        match self {
            Kind::MariaDb => {
                let mariadb = MariaDb::start();
                mariadb.create_database("app", "app", "secret");
                Database::MariaDb(mariadb)
            }
            Kind::Postgres => Database::Postgres(Postgres::start()),
        }
    }

    /// What is announced beside the address, as flags of `waypost announce`.
    pub(crate) fn metadata(self) -> &'static [&'static str] {
        match self {
            Kind::MariaDb => &["--meta", "user=app", "--meta", "password=secret", "--meta", "dbname=app"],
            Kind::Postgres => &["--meta", "user=postgres", "--meta", "dbname=postgres"],
        }
    }
}

impl Database {
    pub(crate) fn port(&self) -> u16 {
        match self {
            Database::MariaDb(server) => server.port(),
            Database::Postgres(server) => server.port(),
        }
    }

    /// What the application answers when it asked this server.
    pub(crate) fn answer(&self) -> String {
        self.port().to_string()
    }

    /// As when its machine loses power.
    pub(crate) fn kill(&self) {
        match self {
            Database::MariaDb(server) => server.kill(),
            Database::Postgres(server) => server.kill(),
        }
    }

    pub(crate) fn stop(&self) {
        match self {
            Database::MariaDb(server) => server.stop(),
            Database::Postgres(server) => server.stop(),
        }
    }

    /// How many connections applications have to it.
    pub(crate) fn connections(&self) -> usize {
        let count = match self {
            Database::MariaDb(server) => server
                .query("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'")
                .join(""),
            Database::Postgres(server) => {
                // Its own is the one that counts.
                let counts = "backend_type = 'client backend' AND pid <> pg_backend_pid()";
                server.query(&format!("SELECT COUNT(*) FROM pg_stat_activity WHERE {counts}"))
            }
        };
        count.trim().parse().unwrap()
    }

    /// True if something listens on its port.
    pub(crate) fn is_listening(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port())).is_ok()
    }
}
