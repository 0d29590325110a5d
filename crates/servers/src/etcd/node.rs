//! One etcd: how it is started, faulted, filled and read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::binaries::path_of;
use crate::etcd::gateway::{Gateway, TIMEOUT, decode, encode, number, prefix_end};
use crate::etcd::options::{EtcdOptions, Permission, User};
use crate::process::{Process, Signal};
use crate::wait::poll;
use crate::{Certificates, Outcome, Ports, Scratch, client, must};

/// How long etcd may take to elect a leader and serve, or to end, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// One health request's share of that: it hangs while there is no leader.
const HEALTH: Duration = Duration::from_secs(1);

/// Attempts at starting on ports that somebody else took meanwhile.
const ATTEMPTS: usize = 5;

/// Puts in one transaction; etcd's limit is 128 (`--max-txn-ops`).
const PUTS: usize = 100;

/// An etcd with one member; dropping it kills it and removes its data.
///
/// It keeps its ports, its data directory and its member id over [`Etcd::kill`],
/// [`Etcd::restore_from`] and [`Etcd::wipe`], so that a client sees the same etcd come back.
#[derive(Debug)]
pub struct Etcd {
    options: EtcdOptions,
    /// This member's name, and all members as `name=peer URL`.
    name: String,
    members: String,
    ports: NodePorts,
    certificates: Option<Certificates>,
    process: Mutex<Option<Process>>,
    scratch: Scratch,
}

/// The ports of one member.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodePorts {
    client: u16,
    /// Plain text and without client certificates, whatever the client's port asks for.
    admin: u16,
    peer: u16,
}

impl NodePorts {
    pub(super) fn free() -> NodePorts {
        NodePorts { client: Ports::free(), admin: Ports::free(), peer: Ports::free() }
    }

    /// `name=URL`, as `--initial-cluster` wants it.
    pub(super) fn member(self, name: &str) -> String {
        format!("{name}={}", loopback(self.peer))
    }
}

impl Etcd {
    /// The password of `root` once [`EtcdOptions::user`] has switched authentication on.
    pub const ROOT_PASSWORD: &'static str = "root-password";

    /// Starts one without TLS or users, its data in memory, and waits until it serves.
    ///
    /// # Panics
    ///
    /// When etcd is not installed or does not start; the message shows its log.
    #[track_caller]
    pub fn start() -> Etcd {
        Etcd::options().start()
    }

    /// To set something before starting.
    pub fn options() -> EtcdOptions {
        EtcdOptions::default()
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.ports.client
    }

    /// The address for clients, as `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports.client)
    }

    /// The address for clients, as `http://127.0.0.1:port`, or `https` with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.endpoint())
    }

    /// The address of its peer port, as `http://127.0.0.1:port`.
    pub fn peer_url(&self) -> String {
        loopback(self.ports.peer)
    }

    /// The files of its authority, if it was started with TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The directory of its data and log.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Its pid.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        must(self.with(Process::pid))
    }

    /// Writes a key, and returns the revision that made.
    ///
    /// # Panics
    ///
    /// When etcd does not answer or refuses; so do all functions below that ask it something.
    #[track_caller]
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) -> i64 {
        revision_of(&must(self.call("kv/put", &put_request(key, value))))
    }

    /// Writes many keys, up to a hundred a revision, and returns the last revision.
    #[track_caller]
    pub fn put_all<K: AsRef<str>, V: AsRef<[u8]>>(&self, entries: impl IntoIterator<Item = (K, V)>) -> i64 {
        let put = |(key, value): (K, V)| json!({ "request_put": { "key": encode(key.as_ref()), "value": encode(value) } });
        let puts: Vec<Value> = entries.into_iter().map(put).collect();
        let write = |puts: &[Value]| revision_of(&must(self.call("kv/txn", &json!({ "success": puts }))));
        puts.chunks(PUTS).map(write).last().unwrap_or_else(|| self.revision())
    }

    /// The value of a key as text.
    ///
    /// # Panics
    ///
    /// Also when the value is not UTF-8.
    #[track_caller]
    pub fn get(&self, key: &str) -> Option<String> {
        must(entries_of(&must(self.call("kv/range", &key_request(key))))).into_values().next()
    }

    /// All keys that begin with `prefix`, and their values as text.
    ///
    /// # Panics
    ///
    /// Also when a key or value is not UTF-8.
    #[track_caller]
    pub fn get_prefix(&self, prefix: &str) -> BTreeMap<String, String> {
        must(entries_of(&must(self.call("kv/range", &prefix_range(prefix)))))
    }

    /// Deletes a key, and returns the revision after that.
    #[track_caller]
    pub fn delete(&self, key: &str) -> i64 {
        revision_of(&must(self.call("kv/deleterange", &key_request(key))))
    }

    /// Deletes all keys that begin with `prefix`, and returns the revision after that.
    #[track_caller]
    pub fn delete_prefix(&self, prefix: &str) -> i64 {
        revision_of(&must(self.call("kv/deleterange", &prefix_range(prefix))))
    }

    /// The store's revision.
    #[track_caller]
    pub fn revision(&self) -> i64 {
        revision_of(&must(self.call("kv/range", &json!({ "key": encode("\0"), "count_only": true }))))
    }

    /// Forgets everything before `revision`, and waits until that is done.
    #[track_caller]
    pub fn compact(&self, revision: i64) {
        must(self.call("kv/compaction", &json!({ "revision": revision, "physical": true })));
    }

    /// The sum of one of its metrics over all labels that contain `label` (`""` for all), 0 if absent.
    #[track_caller]
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let answer = client::get(&format!("{}/metrics", loopback(self.ports.admin)));
        let answer = must(answer.map_err(|why| format!("etcd: cannot read its metrics: {why}")));
        sum_metric(&answer.text(), name, label)
    }

    /// Calls any part of etcd's JSON gateway, for instance `lease/grant`, as root.
    ///
    /// Keys and values are in base64 there, and 64-bit numbers are strings.
    #[track_caller]
    pub fn gateway(&self, path: &str, body: &Value) -> Value {
        must(self.call(path, body))
    }

    /// Saves a snapshot of the store as a file, which must not exist.
    #[track_caller]
    pub fn snapshot_save(&self, file: &Path) {
        must(self.etcdctl().and_then(|mut etcdctl| run(etcdctl.args(["snapshot", "save"]).arg(file))));
    }

    /// Kills it and starts it again with the data of a snapshot: same ports, same ids, older revision.
    ///
    /// # Panics
    ///
    /// When the snapshot cannot be restored or etcd does not start.
    #[track_caller]
    pub fn restore_from(&self, snapshot: &Path) {
        self.kill();
        must(self.restore(snapshot));
        must(self.try_start());
    }

    /// Kills it and starts it again with no data: same ports, same ids, revision 1 (users as before).
    ///
    /// # Panics
    ///
    /// When etcd does not start.
    #[track_caller]
    pub fn wipe(&self) {
        self.kill();
        must(self.remove_data());
        must(self.try_start());
        must(self.set_up_users());
    }

    /// True while it runs, paused or not.
    pub fn is_running(&self) -> bool {
        self.with(Process::is_running).unwrap_or(false)
    }

    /// Kills it (SIGKILL); the data stays.
    pub fn kill(&self) {
        drop(self.lock().take());
    }

    /// Ends it orderly (SIGTERM).
    ///
    /// # Panics
    ///
    /// When it has not ended within 30 s.
    #[track_caller]
    pub fn stop(&self) {
        if let Some(process) = self.lock().take() {
            process.stop(DEADLINE);
        }
    }

    /// Starts it again on the same ports and data, and waits until it serves; one that runs is left alone.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_again(&self) {
        if !self.is_running() {
            must(self.try_start());
        }
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) {
        let _ = self.with(Process::pause);
    }

    /// Continues what [`Etcd::pause`] stopped.
    pub fn resume(&self) {
        let _ = self.with(Process::resume);
    }

    /// Waits until it has a leader and serves.
    ///
    /// # Panics
    ///
    /// When it does not within 30 s, or has ended.
    #[track_caller]
    pub fn wait_ready(&self) {
        must(self.try_wait_ready());
    }

    /// The address of the port that is always plain text.
    pub(super) fn admin_url(&self) -> String {
        loopback(self.ports.admin)
    }

    /// A member that is not started yet.
    pub(super) fn member(options: EtcdOptions, name: &str, members: String, ports: NodePorts) -> Etcd {
        let scratch = Scratch::new("etcd", options.storage);
        let certificates = options.tls.then(|| Certificates::generate(scratch.path(), "waypost"));
        let (name, process) = (name.to_owned(), Mutex::new(None));
        Etcd { options, name, members, ports, certificates, process, scratch }
    }

    /// Starts the process and does not wait for it.
    pub(super) fn launch(&self) -> Outcome<()> {
        let mut process = self.lock();
        let name = format!("etcd {}", self.name);
        *process = Some(Process::try_start(&name, &self.command()?, &self.log_file(), Signal::KILL)?);
        Ok(())
    }

    pub(super) fn try_wait_ready(&self) -> Outcome<()> {
        let url = format!("{}/health", loopback(self.ports.admin));
        let healthy = || client::get_within(&url, HEALTH).is_ok_and(|answer| answer.status == 200);
        let ready = poll(DEADLINE, || {
            if healthy() {
                return Some(Ok(()));
            }
            if self.is_running() { None } else { Some(Err("has ended".to_owned())) }
        });
        ready
            .unwrap_or_else(|| Err(format!("was not healthy within {DEADLINE:?}")))
            .map_err(|why| self.with_log(&format!("etcd {} {why}", self.name)))
    }

    pub(super) fn set_up_users(&self) -> Outcome<()> {
        if self.options.users.is_empty() {
            return Ok(());
        }
        let gateway = Gateway { url: loopback(self.ports.admin), user: None, timeout: TIMEOUT };
        let root = User {
            name: "root".to_owned(),
            password: Etcd::ROOT_PASSWORD.to_owned(),
            grants: vec![(String::new(), Permission::ReadWrite)],
        };
        for user in self.options.users.iter().chain([&root]) {
            add_user(&gateway, user)?;
        }
        gateway.call("auth/enable", &json!({}))?;
        Ok(())
    }

    /// True if it answers soon, and says that it leads.
    pub(super) fn leads(&self) -> bool {
        let gateway = Gateway { timeout: HEALTH, ..self.gateway_as_root() };
        let status = gateway.call("maintenance/status", &json!({})).unwrap_or_default();
        status["leader"].is_string() && status["leader"] == status["header"]["member_id"]
    }

    fn try_start(&self) -> Outcome<()> {
        self.launch()?;
        self.try_wait_ready()
    }

    fn command(&self) -> Outcome<Command> {
        let mut clients = vec![self.url()];
        clients.push(loopback(self.ports.admin));
        let mut command = Command::new(path_of("etcd")?);
        command.current_dir(self.dir());
        command.arg("--name").arg(&self.name).arg("--data-dir").arg(self.data_dir());
        command.arg("--listen-client-urls").arg(clients.join(","));
        command.arg("--advertise-client-urls").arg(self.url());
        command.arg("--listen-peer-urls").arg(self.peer_url());
        command.arg("--initial-advertise-peer-urls").arg(self.peer_url());
        command.arg("--initial-cluster").arg(&self.members);
        command.arg("--bcrypt-cost=4"); // The strength of a test's passwords is not tested.
        if let Some(files) = &self.certificates {
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&files.ca);
            command.arg("--cert-file").arg(&files.server).arg("--key-file").arg(&files.server_key);
        }
        if let Some(ttl) = self.options.auth_token_ttl {
            command.arg(format!("--auth-token-ttl={}", ttl.as_secs()));
        }
        if self.options.enable_v2 {
            command.arg("--enable-v2");
        }
        command.args(&self.options.extra);
        Ok(command)
    }

    fn restore(&self, snapshot: &Path) -> Outcome<()> {
        self.remove_data()?;
        let mut etcdctl = Command::new(path_of("etcdctl")?);
        etcdctl.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(snapshot);
        etcdctl.arg("--name").arg(&self.name).arg("--data-dir").arg(self.data_dir());
        etcdctl.arg("--initial-cluster").arg(&self.members);
        etcdctl.arg("--initial-advertise-peer-urls").arg(self.peer_url());
        run(&mut etcdctl)
    }

    /// `etcdctl` as root at the plain port.
    fn etcdctl(&self) -> Outcome<Command> {
        let mut etcdctl = Command::new(path_of("etcdctl")?);
        etcdctl.env("ETCDCTL_API", "3").arg("--endpoints").arg(loopback(self.ports.admin));
        if let Some((name, password)) = self.root() {
            etcdctl.arg("--user").arg(format!("{name}:{password}"));
        }
        Ok(etcdctl)
    }

    pub(super) fn call(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.gateway_as_root().call(path, body)
    }

    fn gateway_as_root(&self) -> Gateway {
        Gateway { url: loopback(self.ports.admin), user: self.root(), timeout: TIMEOUT }
    }

    fn root(&self) -> Option<(String, String)> {
        let root = || ("root".to_owned(), Etcd::ROOT_PASSWORD.to_owned());
        (!self.options.users.is_empty()).then(root)
    }

    fn remove_data(&self) -> Outcome<()> {
        let dir = self.data_dir();
        if !dir.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&dir).map_err(|why| format!("cannot remove {}: {why}", dir.display()))
    }

    fn data_dir(&self) -> PathBuf {
        self.scratch.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.join("etcd.log")
    }

    fn with_log(&self, why: &str) -> String {
        match self.with(Process::log_tail) {
            Ok(tail) => format!("{why}\n{tail}"),
            Err(_) => why.to_owned(),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&Process) -> T) -> Outcome<T> {
        self.lock().as_ref().map(act).ok_or_else(|| format!("etcd {} is not running", self.name))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a single member, on other ports when somebody else took the first ones meanwhile.
pub(super) fn try_start(options: EtcdOptions) -> Outcome<Etcd> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let ports = NodePorts::free();
        let etcd = Etcd::member(options.clone(), "default", ports.member("default"), ports);
        match etcd.try_start() {
            Ok(()) => return etcd.set_up_users().map(|()| etcd),
            Err(why) if why.contains("address already in use") => last = why,
            Err(why) => return Err(why),
        }
    }
    Err(format!("etcd: {ATTEMPTS} sets of ports were taken one after the other: {last}"))
}

/// Runs a command to its end; the error is what it printed.
fn run(command: &mut Command) -> Outcome<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|why| format!("{name}: cannot be started: {why}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// Adds a user with a role of its own name, except `root`, whose role is all-powerful by its name.
fn add_user(gateway: &Gateway, user: &User) -> Outcome<()> {
    gateway.call("auth/role/add", &json!({ "name": user.name }))?;
    for (prefix, permission) in &user.grants {
        let kind = match permission {
            Permission::Read => "READ",
            Permission::Write => "WRITE",
            Permission::ReadWrite => "READWRITE",
        };
        let range = json!({
            "permType": kind, "key": encode(first_key(prefix)), "range_end": encode(prefix_end(prefix)),
        });
        gateway.call("auth/role/grant", &json!({ "name": user.name, "perm": range }))?;
    }
    gateway.call("auth/user/add", &json!({ "name": user.name, "password": user.password }))?;
    gateway.call("auth/user/grant", &json!({ "user": user.name, "role": user.name }))?;
    Ok(())
}

pub(super) fn put_request(key: &str, value: impl AsRef<[u8]>) -> Value {
    json!({ "key": encode(key), "value": encode(value) })
}

pub(super) fn key_request(key: &str) -> Value {
    json!({ "key": encode(key) })
}

fn prefix_range(prefix: &str) -> Value {
    json!({ "key": encode(first_key(prefix)), "range_end": encode(prefix_end(prefix)) })
}

/// Where a prefix begins: etcd takes no empty key, so all keys begin at a zero byte.
fn first_key(prefix: &str) -> &str {
    if prefix.is_empty() { "\0" } else { prefix }
}

pub(super) fn revision_of(answer: &Value) -> i64 {
    number(&answer["header"]["revision"])
}

pub(super) fn entries_of(answer: &Value) -> Outcome<BTreeMap<String, String>> {
    let text = |field: &Value| {
        String::from_utf8(decode(field)?).map_err(|why| format!("etcd: not UTF-8: {:?}", why.as_bytes()))
    };
    let entries = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| Ok((text(&entry["key"])?, text(&entry["value"])?))).collect()
}

/// Sums Prometheus lines such as `name{label="x"} 12`.
fn sum_metric(text: &str, name: &str, label: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let whole_name = labels.is_empty() || labels.starts_with('{');
        if whole_name && labels.contains(label) { value.parse::<f64>().ok() } else { None }
    };
    text.lines().filter_map(value).sum()
}

fn loopback(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_the_labels_asked_for() {
        let text = "# HELP x\nx_total{m=\"a\"} 2\nx_total{m=\"b\"} 3\nx_total_more 9\ny 1.5e3\n";
        assert_eq!(sum_metric(text, "x_total", ""), 5.0);
        assert_eq!(sum_metric(text, "x_total", "m=\"b\""), 3.0);
        assert_eq!(sum_metric(text, "y", ""), 1500.0);
    }
}
