//! `waypost kv`: keys by hand, on any backend.

mod copy;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, json};
use waypost_backend::{Mirror, MirrorSettings, Update, View};
use waypost_model::{Entry, Key, Prefix, Value};

use crate::{Failed, store};

/// Keys by hand.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: store::Arguments,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    OnOne(OnOne),
    Copy(Box<copy::Arguments>),
}

/// What is done on one store.
#[derive(Debug, clap::Subcommand)]
enum OnOne {
    /// Print the value of a key; exit code 1 if there is none
    Get {
        /// The key
        key: Key,
    },
    /// Write a key
    Put {
        /// The key
        key: Key,
        /// Its value; `-` to read it from standard input
        value: String,
    },
    /// Remove a key; exit code 1 if there is none
    Del {
        /// The key, or with --recursive a path
        key: Key,
        /// Also everything below it
        #[arg(long, short)]
        recursive: bool,
    },
    /// Print the keys below a path, with the path itself
    Ls {
        /// The path
        #[arg(default_value = "/")]
        path: String,
        /// Values too, as KEY=VALUE
        #[arg(long, short)]
        values: bool,
    },
    /// Print what changes below a path, until interrupted
    Watch {
        /// The path
        #[arg(default_value = "/")]
        path: String,
        /// First what is there
        #[arg(long)]
        initial: bool,
    },
}

pub(crate) async fn kv(arguments: Arguments) -> Result<ExitCode, Failed> {
    match arguments.command {
        Command::OnOne(command) => on_one(&arguments.store.open()?, command, arguments.json).await,
        Command::Copy(copied) => copy::copy(*copied, arguments.json).await,
    }
}

async fn on_one(store: &store::Store, command: OnOne, json: bool) -> Result<ExitCode, Failed> {
    match command {
        OnOne::Get { key } => get(store, &key, json).await,
        OnOne::Put { key, value } => {
            let position = store.registry()?.put(&key, read_value(value)?).await?;
            if json {
                print(&format!("{}\n", json!({ "key": key.as_str(), "revision": position.revision })))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        OnOne::Del { key, recursive } => delete(store, &key, recursive, json).await,
        OnOne::Ls { path, values } => list(store, &path, values, json).await,
        OnOne::Watch { path, initial } => watch(store, &path, initial, json).await,
    }
}

async fn get(store: &store::Store, key: &Key, json: bool) -> Result<ExitCode, Failed> {
    let view = read(store, key.as_str()).await?;
    let Some(entry) = view.get(key.as_str()) else { return Err(missing(key)) };
    if json {
        print(&object(key, entry))?;
    } else {
        let mut bytes = entry.value.as_bytes().to_vec();
        bytes.push(b'\n');
        write(&bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(store: &store::Store, key: &Key, recursive: bool, json: bool) -> Result<ExitCode, Failed> {
    let registry = store.registry()?;
    let view = read(store, key.as_str()).await?;
    let prefix = Prefix::new(key.as_str());
    let is_meant = |found: &Key| recursive && prefix.contains(found) || found == key;
    let keys: Vec<Key> = view.below(&prefix).map(|(found, _)| found.clone()).filter(is_meant).collect();
    if keys.is_empty() {
        return Err(missing(key));
    }
    for key in keys {
        let position = registry.deregister(&key).await?;
        if json {
            print(&format!("{}\n", json!({ "key": key.as_str(), "revision": position.revision })))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &store::Store, path: &str, values: bool, json: bool) -> Result<ExitCode, Failed> {
    let view = read(store, path).await?;
    for (key, entry) in view.below(&Prefix::new(path)) {
        if json {
            print(&object(key, entry))?;
        } else if values {
            write(&[key.as_str().as_bytes(), b"=", entry.value.as_bytes(), b"\n"].concat())?;
        } else {
            print(&format!("{key}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Follows the path as the agent does, so that nothing is missed when the store is away for a while.
async fn watch(store: &store::Store, path: &str, initial: bool, json: bool) -> Result<ExitCode, Failed> {
    let settings = MirrorSettings::default();
    let (_mirror, mut updates) = Mirror::follow(store.backend.clone(), [Prefix::new(path)], settings);
    let mut is_first = true;
    while let Some(update) = updates.next().await {
        match update {
            Update::Changed { view, changed, continuity } => {
                if !continuity.is_continued() {
                    eprintln!("waypost: {continuity}");
                }
                if !is_first || initial {
                    changed.iter().try_for_each(|key| print_change(key, view.get(key.as_str()), json))?;
                }
                is_first = false;
            }
            Update::Unreachable(error) if is_first && !error.is_transient() => return Err(error.into()),
            Update::Unreachable(error) => eprintln!("waypost: {}; trying again", error.chain()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_change(key: &Key, entry: Option<&Entry>, json: bool) -> io::Result<()> {
    match (entry, json) {
        (Some(entry), true) => print(&object(key, entry)),
        (None, true) => print(&format!("{}\n", json!({ "key": key.as_str(), "deleted": true }))),
        (Some(entry), false) => {
            write(&[b"PUT ", key.as_str().as_bytes(), b" ", entry.value.as_bytes(), b"\n"].concat())
        }
        (None, false) => print(&format!("DEL {key}\n")),
    }
}

async fn read(store: &store::Store, path: &str) -> Result<View, Failed> {
    Ok(store.backend.snapshot(&[Prefix::new(path)]).await?.into())
}

fn missing(key: &Key) -> Failed {
    format!("there is no key {key}").into()
}

fn read_value(value: String) -> io::Result<Value> {
    if value != "-" {
        return Ok(value.into());
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// A key and its value as a JSON object; a value that is no text, in base64.
fn object(key: &Key, entry: &Entry) -> String {
    let mut object = Map::new();
    object.insert("key".into(), key.as_str().into());
    match entry.value.as_text() {
        Some(text) => object.insert("value".into(), text.into()),
        None => object.insert("value_base64".into(), BASE64_STANDARD.encode(entry.value.as_bytes()).into()),
    };
    object.insert("revision".into(), entry.revision.into());
    format!("{}\n", serde_json::Value::from(object))
}

fn print(text: &str) -> io::Result<()> {
    write(text.as_bytes())
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
