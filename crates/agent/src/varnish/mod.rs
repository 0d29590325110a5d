//! Varnish: the VCL in a file is loaded and used, over varnishd's own command line interface.
//!
//! A VCL is called by a prefix and a hash of its content, so one that is still loaded is used again without
//! compiling it, and it can be seen at any time whether the right one is in use. Before the compiler runs, which
//! takes a second or so, backends that leave are set sick, so that no request goes to them meanwhile; one that stays
//! after all is left to itself again, however long nothing compiles. What does not compile changes nothing else. VCLs
//! that are not called so are never touched.
//!
//! What a file includes is not looked at. The commands and answers are those of Varnish 7.1.

mod cli;
mod vcl;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use waypost_model::Endpoint;

use crate::{Failure, Step};
use cli::{Cli, quoted};
use vcl::Vcl;

/// How many bytes of a content's hash are in the name of its VCL.
const HASHED: usize = 8;

/// How many lines of what the compiler says a failure shows.
const SHOWN: usize = 20;

/// Where varnishd takes commands, and what is ours there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    address: Endpoint,
    secret: Option<PathBuf>,
    prefix: String,
    timeout: Duration,
}

impl Door {
    /// A door at `address`, HOST:PORT; VCLs are called `prefix`, `_` and a hash. The file `secret` is read at each
    /// connection; without one varnishd must not ask for it. All of a reload may take `timeout`.
    ///
    /// # Errors
    ///
    /// One line if that is no address, or cannot begin the name of a VCL.
    pub fn new(
        address: &str,
        secret: Option<PathBuf>,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Door, String> {
        let endpoint = address.parse().map_err(|_| format!("{address:?} is not HOST:PORT"))?;
        let is_name = prefix.starts_with(|first: char| first.is_ascii_alphabetic())
            && prefix.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
        if !is_name {
            return Err(format!(
                "{prefix:?} cannot begin the name of a VCL: that is of letters, digits, `_` and `-`, a letter first"
            ));
        }
        Ok(Door { address: endpoint, secret, prefix: prefix.to_owned(), timeout })
    }

    /// Where varnishd takes commands.
    pub fn address(&self) -> &Endpoint {
        &self.address
    }

    /// The file that the secret is in, if there is one.
    pub fn secret(&self) -> Option<&Path> {
        self.secret.as_deref()
    }

    /// What the VCL of that content is called.
    fn name(&self, content: &[u8]) -> String {
        let hash = Sha256::digest(content);
        let hash: String = hash.iter().take(HASHED).map(|byte| format!("{byte:02x}")).collect();
        format!("{}_{hash}", self.prefix)
    }

    fn is_ours(&self, name: &str) -> bool {
        let hash = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('_'));
        hash.is_some_and(|hash| hash.len() == 2 * HASHED && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "varnishd at {} as {}", self.address, self.prefix)
    }
}

/// A file that a varnishd is to use.
#[derive(Debug)]
pub(crate) struct Varnish {
    door: Door,
    file: PathBuf,
    /// The backends, each with its VCL, that were set sick here, and are not known to be gone.
    sick: Mutex<BTreeSet<String>>,
    /// Nothing is left sick any more by an agent before this one, of which nothing is remembered.
    is_tidy: AtomicBool,
}

/// A VCL that varnishd has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loaded {
    name: String,
    is_active: bool,
    /// It was discarded, and requests that it serves still go on.
    is_discarded: bool,
}

impl Varnish {
    pub(crate) fn new(door: Door, file: &Path) -> Varnish {
        // varnishd has a directory of its own; without one of ours there is nothing that a path could mean.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Varnish { door, file, sick: Mutex::default(), is_tidy: AtomicBool::default() }
    }

    /// Makes varnishd use what is in the file now.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of [`Step::Reload`]: of the file, of the connection, or with what the compiler says.
    pub(crate) async fn switch(&self) -> Result<(), Failure> {
        let Door { address, timeout, .. } = &self.door;
        let done = tokio::time::timeout(*timeout, self.steps()).await;
        let late = || Err(format!("it is not done within {timeout:?}"));
        done.unwrap_or_else(|_| late()).map_err(|why| {
            let (first, rest) = why.split_once('\n').unwrap_or((&why, ""));
            let what = format!("varnishd at {address} does not use {}: {first}", self.file.display());
            let detail: Vec<&str> = rest.lines().filter(|line| !line.is_empty()).take(SHOWN).collect();
            Failure::new(Step::Reload, what).with_detail(detail.join("\n"))
        })
    }

    /// True if varnishd answers, and uses what is in the file now.
    pub(crate) async fn holds(&self) -> bool {
        let look = async {
            let name = self.door.name(&self.content()?);
            let loaded = loaded(&mut self.connect().await?).await?;
            Ok::<_, String>(loaded.iter().any(|vcl| vcl.is_active && vcl.name == name))
        };
        matches!(tokio::time::timeout(self.door.timeout, look).await, Ok(Ok(true)))
    }

    async fn steps(&self) -> Result<(), String> {
        let content = self.content()?;
        let name = self.door.name(&content);
        let mut cli = self.connect().await?;
        let all = loaded(&mut cli).await?;
        let active = all.iter().find(|vcl| vcl.is_active).map(|vcl| &*vcl.name);
        if active == Some(&name) {
            // It was to be left, and the one to follow it did not come.
            return self.heal(&mut cli, &name, &BTreeSet::new()).await;
        }
        if all.iter().any(|vcl| vcl.name == name && !vcl.is_discarded) {
            self.heal_all(&mut cli, &name).await?;
        } else {
            if let Some(active) = active.filter(|active| self.door.is_ours(active)) {
                self.leave(&mut cli, active, &content).await?;
            }
            self.load(&mut cli, &name, &content).await?;
        }
        cli.order(&format!("vcl.use {name}")).await?;
        let old = all.iter().filter(|vcl| self.door.is_ours(&vcl.name) && !vcl.is_discarded);
        for vcl in old.filter(|vcl| vcl.name != name && Some(&*vcl.name) != active) {
            self.discard(&mut cli, &vcl.name).await?;
        }
        Ok(())
    }

    fn content(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.file).map_err(|error| format!("cannot read it: {error}"))
    }

    async fn connect(&self) -> Result<Cli, String> {
        Cli::connect(&self.door.address, self.door.secret.as_ref()).await
    }

    /// Sets the backends of the VCL `active` sick that the new content does without, and those only: who was to leave
    /// may be the one by now that stays. What cannot be set is no reason to keep the new VCL waiting.
    async fn leave(&self, cli: &mut Cli, active: &str, content: &[u8]) -> Result<(), String> {
        let shown = cli.ask(&format!("vcl.show {active}")).await?;
        // Of half a VCL it is not known which directors have what.
        let old = shown.whole().map(Vcl::read).unwrap_or_default();
        let leaving = old.leaving(&Vcl::read(&String::from_utf8_lossy(content)));
        let leaving = leaving.into_iter().map(|backend| format!("{active}.{backend}")).collect();
        self.heal(cli, active, &leaving).await?;
        for backend in leaving {
            let answer = cli.ask(&format!("backend.set_health {backend} sick")).await?;
            tracing::info!(backend, status = answer.status, "set sick: it leaves");
            self.sick().insert(backend);
        }
        Ok(())
    }

    /// Lets varnishd judge the backends of a VCL itself again that were set sick, but for those that are `leaving`.
    async fn heal(&self, cli: &mut Cli, vcl: &str, leaving: &BTreeSet<String>) -> Result<(), String> {
        if !self.is_tidy.load(Ordering::Relaxed) {
            return self.heal_all(cli, vcl).await;
        }
        for backend in self.sick_in(vcl).difference(leaving) {
            let answer = cli.ask(&format!("backend.set_health {backend} auto")).await?;
            tracing::info!(backend, status = answer.status, "left to itself: it stays");
            self.sick().remove(backend);
        }
        Ok(())
    }

    /// Likewise all backends of a VCL, whoever has set them. They are not asked for by name: an answer that is longer
    /// than varnishd's `cli_limit` is cut off, which a list of hundreds of backends is.
    async fn heal_all(&self, cli: &mut Cli, vcl: &str) -> Result<(), String> {
        let answer = cli.ask(&format!("backend.set_health {vcl}.* auto")).await?;
        tracing::debug!(vcl, status = answer.status, "its backends are left to themselves");
        self.is_tidy.store(true, Ordering::Relaxed);
        self.sick().retain(|backend| !is_in(backend, vcl));
        Ok(())
    }

    async fn load(&self, cli: &mut Cli, name: &str, content: &[u8]) -> Result<(), String> {
        let file = quoted(self.file.as_os_str().as_encoded_bytes());
        cli.order(&format!("vcl.load {name} {file}")).await?;
        if self.content()? == content {
            return Ok(());
        }
        // It is called by another content than it has.
        self.discard(cli, name).await?;
        Err("it was replaced while it was compiled".to_owned())
    }

    /// Discards a VCL. That it is still needed, by a label for instance, is no failure.
    async fn discard(&self, cli: &mut Cli, name: &str) -> Result<(), String> {
        let answer = cli.ask(&format!("vcl.discard {name}")).await?;
        tracing::debug!(vcl = name, status = answer.status, "discarded");
        self.sick().retain(|backend| !is_in(backend, name));
        Ok(())
    }

    fn sick_in(&self, vcl: &str) -> BTreeSet<String> {
        self.sick().iter().filter(|backend| is_in(backend, vcl)).cloned().collect()
    }

    fn sick(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.sick.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if `backend`, with its VCL before it, is one of `vcl`.
fn is_in(backend: &str, vcl: &str) -> bool {
    backend.strip_prefix(vcl).is_some_and(|rest| rest.starts_with('.'))
}

async fn loaded(cli: &mut Cli) -> Result<Vec<Loaded>, String> {
    let text = cli.order("vcl.list -j").await?;
    let wrong = |error: serde_json::Error| format!("cannot read its answer to vcl.list: {error}");
    let list: Vec<Json> = serde_json::from_str(&text).map_err(wrong)?;
    let loaded = |vcl: &Json| {
        let name = vcl["name"].as_str()?.to_owned();
        let (is_active, is_discarded) = (vcl["status"] == "active", vcl["status"] == "discarded");
        Some(Loaded { name, is_active, is_discarded })
    };
    // A version, the command and the time come before what was asked for.
    Ok(list.iter().skip(3).filter_map(loaded).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(prefix: &str) -> Result<Door, String> {
        Door::new("127.0.0.1:6082", None, prefix, Duration::from_secs(1))
    }

    #[test]
    fn a_vcl_is_called_by_its_prefix_and_content_and_no_other_is_ours() {
        let door = door("way-post").unwrap();
        let name = door.name(b"vcl 4.1;");
        assert!(door.is_ours(&name) && name.starts_with("way-post_") && name != door.name(b"vcl 4.0;"));
        for foreign in
            ["boot", "way-post", "way-post_v2", "way-post_0123456789abcdef0", "other_0123456789abcdef"]
        {
            assert!(!door.is_ours(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_prefix_is_a_name() {
        for wrong in ["", "1a", "a b", "a.b", "_a"] {
            assert!(door(wrong).is_err(), "{wrong}");
        }
        assert!(Door::new("here", None, "a", Duration::ZERO).unwrap_err().contains("HOST:PORT"));
    }

    #[test]
    fn a_backend_belongs_to_the_vcl_before_its_dot() {
        assert!(is_in("a_1.b", "a_1") && !is_in("a_12.b", "a_1") && !is_in("a_1", "a_1"));
    }
}
