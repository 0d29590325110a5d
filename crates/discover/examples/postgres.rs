//! Asks a PostgreSQL that may move: it connects to the primary that is registered now, and asks again what a
//! dead connection left unanswered.
//!
//! `cargo run --example postgres -- agent:`; a record is `{"address": "10.0.0.5:5432", "role": "primary",
//! "user": …}`.

use std::error::Error;

use tokio_postgres::{Client, Config, Error as PgError, NoTls};
use waypost_discover::{ConnectError, Discovery, Handle, Instance};

/// Questions that are asked again find another server by then, or the connect says why not.
const ATTEMPTS: u32 = 5;

/// The database, wherever it is.
struct Database {
    primary: Handle,
    client: Option<Client>,
}

impl Database {
    /// Asks a question that may be asked twice. A write that may not, needs a key that tells it was done.
    async fn ask(&mut self, sql: &str) -> Result<String, Box<dyn Error>> {
        let mut attempt = 1;
        loop {
            let client = match self.client.take().filter(|client| !client.is_closed()) {
                Some(client) => client,
                None => self.connect().await?,
            };
            match client.query_one(sql, &[]).await {
                Ok(row) => {
                    self.client = Some(client);
                    return Ok(row.get(0));
                }
                Err(error) if is_transient(&error) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn connect(&self) -> Result<Client, ConnectError<PgError>> {
        self.primary.connect_while(is_transient, connect).await
    }
}

async fn connect(instance: Instance) -> Result<Client, PgError> {
    let meta = |name: &str, default: &'static str| instance.meta.get(name).map_or(default, |value| value);
    let mut config = Config::new();
    config.host(instance.endpoint.host()).port(instance.endpoint.port());
    config.user(meta("user", "postgres")).password(meta("password", "")).dbname(meta("dbname", "postgres"));
    let (client, connection) = config.connect(NoTls).await?;
    // What ends the connection is told to the question that was asked.
    tokio::spawn(async { drop(connection.await) });
    Ok(client)
}

/// Another server or another time may do: it is no answer of the database, or it says that it starts or stops
/// (class 57P), or that it is full (53300).
fn is_transient(error: &PgError) -> bool {
    let says = |code: &str| code.starts_with("57P") || code == "53300";
    error.as_db_error().is_none_or(|error| says(error.code().code()))
}

/// Asks again and again, until `answered` has had enough.
pub async fn run(url: &str, mut answered: impl FnMut(String) -> bool) -> Result<(), Box<dyn Error>> {
    let primary = Discovery::connect(url)?.service("db").with_role("primary");
    let mut database = Database { primary, client: None };
    while answered(database.ask("SELECT 'it is ' || now()").await?) {}
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("agent:".to_owned());
    let mut left = 10;
    run(&url, |answer| {
        println!("{answer}");
        left -= 1;
        left > 0
    })
    .await
}
