//! Fetches from a web service whose instances come and go: a request that failed goes to another one.
//!
//! `cargo run --example http -- agent:`

use std::error::Error;

use reqwest::Client;
use waypost_discover::{Discovery, Handle};

/// Fetches a page from any instance. The page is the same from all, and to fetch it twice is no harm.
async fn fetch(web: &Handle, client: &Client, path: &str) -> Result<String, Box<dyn Error>> {
    let fetched = web.connect_with(|instance| async move {
        let url = format!("http://{}{path}", instance.endpoint);
        let response = client.get(url).send().await?.error_for_status()?;
        response.text().await
    });
    Ok(fetched.await?)
}

/// Fetches again and again, until `answered` has had enough.
pub async fn run(url: &str, mut answered: impl FnMut(String) -> bool) -> Result<(), Box<dyn Error>> {
    let (web, client) = (Discovery::connect(url)?.service("web"), Client::new());
    while answered(fetch(&web, &client, "/").await?) {}
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
