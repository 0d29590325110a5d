//! Keeps pages in a pool of memcacheds that grows, shrinks and moves: each page is on the server where the
//! ring puts it, and a server that does not answer is a page that is made again.
//!
//! It asks in a plain thread, as blocking programs do; the registry is followed by a runtime beside it.
//!
//! `cargo run --example memcache --features ring -- agent:`

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use memcache::{Client, MemcacheError};
use tokio::runtime::Builder;
use waypost_discover::{Discovery, Endpoint, Handle};

/// What a cache takes longer for is made again sooner.
const PATIENCE: Duration = Duration::from_millis(200);

/// The pool, with a connection to each server that was used.
struct Cache {
    pool: Handle,
    clients: HashMap<Endpoint, Client>,
}

impl Cache {
    /// What is kept under `key`, or what `make` makes, which is kept from then on.
    fn get_or(&mut self, key: &str, make: impl FnOnce() -> String) -> String {
        let list = self.pool.list();
        self.clients.retain(|server, _| list.endpoints().contains(server));
        let Some(server) = list.ring().server(key) else { return make() };
        if let Ok(Some(kept)) = self.on(server, |client| client.get(key)) {
            return kept;
        }
        let made = make();
        // A page that is not kept is made again the next time.
        let _ = self.on(server, |client| client.set(key, &*made, 60));
        made
    }

    /// Does it on a connection to `server`, which is not used again if that fails.
    fn on<T>(
        &mut self,
        server: &Endpoint,
        work: impl Fn(&Client) -> Result<T, MemcacheError>,
    ) -> Result<T, MemcacheError> {
        let client = match self.clients.remove(server) {
            Some(client) => client,
            None => connect(server)?,
        };
        let done = work(&client)?;
        self.clients.insert(server.clone(), client);
        Ok(done)
    }
}

fn connect(server: &Endpoint) -> Result<Client, MemcacheError> {
    let url = format!("memcache://{server}?protocol=ascii");
    let client = Client::builder().with_max_pool_size(1).with_connection_timeout(PATIENCE);
    client.with_read_timeout(PATIENCE).with_write_timeout(PATIENCE).add_server(url)?.build()
}

/// Asks for pages again and again, until `answered` has had enough.
pub fn run(url: &str, mut answered: impl FnMut(String) -> bool) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let pool =
        runtime.block_on(async { Ok::<_, Box<dyn Error>>(Discovery::connect(url)?.service("cache")) })?;
    runtime.block_on(pool.ready())?;
    let mut cache = Cache { pool, clients: HashMap::new() };
    for number in (0..100).cycle() {
        let mut was_made = false;
        let page = cache.get_or(&format!("page:{number}"), || {
            was_made = true;
            format!("page {number}")
        });
        if !answered(format!("{page}, {}", if was_made { "made" } else { "kept" })) {
            break;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or("agent:".to_owned());
    let mut left = 200;
    run(&url, |answer| {
        println!("{answer}");
        left -= 1;
        left > 0
    })
}
