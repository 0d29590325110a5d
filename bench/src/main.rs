//! The floor of the benchmark: a bare etcd watch that writes a file, renames it and runs a command.
//!
//! It does what no tool that keeps whole files in step with etcd can leave out, and nothing else: no
//! template, no comparison, no check, no ledger, no reconnecting. It joins no changes together, so it is
//! no floor for a burst. What fails ends it.
//!
//! Usage: `floor [--fsync] ENDPOINT PREFIX DESTINATION COMMAND`

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use etcd_client::{Client, Event, EventType, GetOptions, WatchOptions};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where the file goes, and what runs when it is there.
struct Target {
    destination: PathBuf,
    /// A crash then leaves the old file or the new one, as it does with waypost.
    fsync: bool,
    command: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let fsync = args.first().is_some_and(|arg| arg == "--fsync");
    let args = args.split_off(usize::from(fsync));
    let [endpoint, prefix, destination, command] = <[String; 4]>::try_from(args)
        .map_err(|_| "usage: floor [--fsync] ENDPOINT PREFIX DESTINATION COMMAND")?;
    let target = Target { destination: destination.into(), fsync, command };

    let mut client = Client::connect([endpoint], None).await?;
    let read = client.get(prefix.as_str(), Some(GetOptions::new().with_prefix())).await?;
    let revision = read.header().ok_or("an answer without a header")?.revision();
    let entry = |kv: &etcd_client::KeyValue| (kv.key().to_vec(), kv.value().to_vec());
    let mut entries: Entries = read.kvs().iter().map(entry).collect();
    target.replace(&entries)?;

    let options = WatchOptions::new().with_prefix().with_start_revision(revision + 1);
    let mut watch = client.watch(prefix, Some(options)).await?;
    while let Some(response) = watch.message().await? {
        if response.events().is_empty() {
            continue;
        }
        response.events().iter().for_each(|event| take(&mut entries, event));
        target.replace(&entries)?;
        target.reload()?;
    }
    Err("the watch ended".into())
}

fn take(entries: &mut Entries, event: &Event) {
    let Some(kv) = event.kv() else { return };
    match event.event_type() {
        EventType::Put => entries.insert(kv.key().to_vec(), kv.value().to_vec()),
        EventType::Delete => entries.remove(kv.key()),
    };
}

impl Target {
    fn replace(&self, entries: &Entries) -> io::Result<()> {
        let beside = self.destination.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&render(entries))?;
        if self.fsync {
            file.sync_all()?;
        }
        drop(file);
        fs::rename(&beside, &self.destination)?;
        if self.fsync {
            File::open(self.destination.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    fn reload(&self) -> io::Result<()> {
        Command::new("/bin/sh").args(["-c", &self.command]).status().map(drop)
    }
}

/// What the tools' template (`rig/tools.py`) makes of the same entries.
fn render(entries: &Entries) -> Vec<u8> {
    let mut text = b"upstream web {\n    least_conn;\n".to_vec();
    for value in entries.values() {
        text.extend_from_slice(b"    server ");
        text.extend_from_slice(value);
        text.extend_from_slice(b";\n");
    }
    text.extend_from_slice(b"}\n");
    text
}
