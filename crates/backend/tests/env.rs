//! The environment as a store.
#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use waypost_backend::Backend;
use waypost_backend::env::Env;
use waypost_model::Prefix;
use waypost_testkit::contract::{self, Content, Harness, Store};

struct InEnvironment;

impl Harness for InEnvironment {
    fn start(&self, content: Content) -> BoxFuture<'_, Store> {
        let as_variable = |key: &str| key.trim_start_matches('/').to_uppercase().replace('/', "_");
        let env = Env::new(
            content.into_iter().map(|(key, value)| (as_variable(key.as_str()), value.bytes().clone())),
        );
        async { Store { backend: Arc::new(env), writer: None, registry: None } }.boxed()
    }
}

#[tokio::test]
async fn the_environment_keeps_the_contract() {
    contract::run(&InEnvironment).await;
}

fn env(vars: &[(&str, &str)]) -> Env {
    Env::new(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

async fn read(env: &Env, prefix: &str) -> Vec<String> {
    let snapshot = env.snapshot(&[Prefix::new(prefix)]).await.unwrap();
    let shown = snapshot.entries.iter();
    shown.map(|(key, entry)| format!("{key}={}", entry.value.as_text().unwrap())).collect()
}

#[tokio::test]
async fn names_are_paths_in_lower_case() {
    let env = env(&[("APP_DB_HOST", "a"), ("APP_DB_PORT", ""), ("APPLE", "b"), ("PATH", "c")]);
    assert_eq!(read(&env, "/app").await, ["/app/db/host=a", "/app/db/port="]);
    assert_eq!(read(&env, "/").await.len(), 4);
}

#[tokio::test]
async fn a_key_with_capitals_or_underscores_asks_for_its_variable() {
    let env = env(&[("APP_DB_HOST", "a")]);
    for asked in ["/app/db/host", "/app/db_host", "/APP_DB/host", "/App"] {
        assert_eq!(read(&env, asked).await, ["/app/db/host=a"], "{asked}");
    }
}

#[tokio::test]
async fn of_two_spellings_the_one_in_capitals_counts() {
    for vars in [[("PATH", "A"), ("path", "b")], [("path", "b"), ("PATH", "A")]] {
        assert_eq!(read(&env(&vars), "/").await, ["/path=A"]);
    }
    assert_eq!(read(&env(&[("Path", "b"), ("", "c")]), "/").await, ["/path=b"]);
}
