//! The load of the benchmark of servers: it puts, gets and watches, and prints what that took.
//!
//! One thread, since it shares two cores with the server that it loads. What it sends is made before the
//! clock runs. It checks what it is told: as many revisions as puts, the keys that were put, each event
//! once to each watch. What fails ends it, and nothing is tried again.
//!
//! Usage: `load MEASUREMENT ENDPOINT [NAME=NUMBER…]`; it prints one line of JSON, times in seconds.
//!
//! - `fill keys=`: puts the keys, a hundred in a transaction.
//! - `puts` and `gets` with `clients= connections= seconds= keys=`: each client sends its next request when
//!   the last was answered. With `count=` that many in place of a time; with `watches=` beside so many
//!   watches of other keys.
//! - `range keys= times=`: reads all keys in one request.
//! - `watch watches= streams= connections= singles= burst= keys=`: how long until every watch has a put, and
//!   how fast many puts reach all.
//! - `first keys=`: asks for a key until there is an answer, which it prints at once; then all keys must be there.

mod figures;
mod requests;
mod settings;
mod watches;

use std::env;
use std::error::Error;
use std::time::Duration;

use etcd_client::{Client, GetOptions, KvClient, PutOptions, Txn, TxnOp};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::figures::{Figures, Times};
use crate::settings::Settings;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is below it is put and read. The watches that are to see nothing are on what is not.
const PREFIX: &str = "/bench/";
const VALUE_BYTES: usize = 150;
/// etcd allows 128 operations.
const KEYS_A_TRANSACTION: usize = 100;
/// All keys in one answer are above the client's own limit of 4 MiB.
const LARGEST_ANSWER: usize = 1 << 30;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut args = env::args().skip(1);
    let (Some(measurement), Some(endpoint)) = (args.next(), args.next()) else {
        return Err("usage: load MEASUREMENT ENDPOINT [NAME=NUMBER…]".into());
    };
    let settings = Settings::parse(args)?;
    LocalSet::new().run_until(measure(&measurement, &endpoint, &settings)).await
}

async fn measure(measurement: &str, endpoint: &str, settings: &Settings) -> Outcome<()> {
    let figures = match measurement {
        "fill" => fill(endpoint, settings).await?,
        "puts" => requests::puts(endpoint, settings).await?,
        "gets" => requests::gets(endpoint, settings).await?,
        "range" => range(endpoint, settings).await?,
        "watch" => watches::fan_out(endpoint, settings).await?,
        "first" => return first(endpoint, settings).await,
        _ => return Err(format!("nothing is called {measurement}").into()),
    };
    figures.print();
    Ok(())
}

async fn fill(endpoint: &str, settings: &Settings) -> Outcome<Figures> {
    let keys = settings.get("keys")?;
    let mut client = connect(endpoint).await?;
    let put = |number| TxnOp::put(key(number), value(number), None::<PutOptions>);
    let started = Instant::now();
    for from in (0..keys).step_by(KEYS_A_TRANSACTION) {
        let puts: Vec<TxnOp> = (from..keys.min(from + KEYS_A_TRANSACTION)).map(put).collect();
        client.txn(Txn::new().and_then(puts)).await?;
    }
    Ok(Figures::default().with("seconds", started.elapsed().as_secs_f64()))
}

async fn range(endpoint: &str, settings: &Settings) -> Outcome<Figures> {
    let (keys, times) = (settings.get("keys")?, settings.get("times")?);
    let mut client = connect(endpoint).await?;
    let mut taken = Times::default();
    for _ in 0..times {
        let started = Instant::now();
        let answer = client.get(PREFIX, Some(GetOptions::new().with_prefix())).await?;
        taken.add(started.elapsed());
        let right = answer.kvs().first().is_some_and(|kv| kv.value().len() == VALUE_BYTES);
        if answer.kvs().len() != keys || !right {
            return Err(format!("{} keys came in place of {keys}", answer.kvs().len()).into());
        }
    }
    Ok(taken.figures())
}

async fn first(endpoint: &str, settings: &Settings) -> Outcome<()> {
    let keys = settings.get("keys")?;
    let started = Instant::now();
    // Asked by TCP first, which costs next to nothing: the server starts on the same two CPUs.
    let address = endpoint.trim_start_matches("http://");
    while TcpStream::connect(address).await.is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    // A client of its own each time: a channel remembers that nobody was there.
    while connect(endpoint).await?.get(key(0), None).await.is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    Figures::default().with("seconds", started.elapsed().as_secs_f64()).print();
    let all = GetOptions::new().with_prefix().with_count_only();
    let found = connect(endpoint).await?.get(PREFIX, Some(all)).await?.count();
    if usize::try_from(found)? == keys {
        Ok(())
    } else {
        Err(format!("{found} keys of {keys} are left").into())
    }
}

async fn connect(endpoint: &str) -> Outcome<KvClient> {
    Ok(Client::connect([endpoint], None).await?.kv_client().max_decoding_message_size(LARGEST_ANSWER))
}

fn key(number: usize) -> Vec<u8> {
    format!("{PREFIX}service-{:03}/{number:06}", number % 250).into_bytes()
}

fn value(number: usize) -> Vec<u8> {
    format!("{number:0VALUE_BYTES$}").into_bytes()
}
