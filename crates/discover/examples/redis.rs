//! Counts in a Redis that may move: a connection that is gone is made anew to what is registered now.
//!
//! `cargo run --example redis -- agent:`

use std::error::Error;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client, RedisError};
use waypost_discover::{Discovery, Handle, Instance};

/// Commands that are sent again find another server by then, or the connect says why not.
const ATTEMPTS: u32 = 5;

/// The counter, wherever it is.
struct Counter {
    redis: Handle,
    connection: Option<MultiplexedConnection>,
}

impl Counter {
    /// Counts one more. One whose answer was lost may be counted twice.
    async fn count(&mut self) -> Result<u64, Box<dyn Error>> {
        let mut attempt = 1;
        loop {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.redis.connect_with(connect).await?,
            };
            match connection.incr("visits", 1).await {
                Ok(count) => {
                    self.connection = Some(connection);
                    return Ok(count);
                }
                Err(error) if is_gone(&error) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

async fn connect(instance: Instance) -> Result<MultiplexedConnection, RedisError> {
    let client = Client::open((instance.endpoint.host(), instance.endpoint.port()))?;
    client.get_multiplexed_async_connection().await
}

fn is_gone(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_timeout()
}

/// Counts again and again, until `answered` has had enough.
pub async fn run(url: &str, mut answered: impl FnMut(String) -> bool) -> Result<(), Box<dyn Error>> {
    let mut counter = Counter { redis: Discovery::connect(url)?.service("redis"), connection: None };
    while answered(format!("visit {}", counter.count().await?)) {}
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
