//! Docker's daemon, with network, mounts and processes of its own.
//!
//! The daemon is the first process of a PID namespace, in a network and a mount namespace of its own. So
//! bridges, forwarding rules, overlay mounts, containerd and all containers are its alone, and are gone when it
//! is killed, whatever state they are in. It sees a `/run` and an `/etc/docker` that are empty at first, and
//! listens both on `/run/docker.sock` in there, for what mounts that into a container, and in the directory
//! of the server. What is left then, control groups and files, is removed here.
//!
//! Nothing is pulled: images are made of files of the machine.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::binaries::{path_of, unavailable};
use crate::process::Process;
use crate::wait::poll;
use crate::{Outcome, Scratch, Storage, must};

/// How long the daemon may take to answer, or to be gone.
const DEADLINE: Duration = Duration::from_secs(60);

/// The client of Debian's docker.io; one that is earlier on `PATH` may be of another age.
const CLIENT: &str = "/usr/bin/docker";

/// New namespaces; the daemon is killed with its parent.
const UNSHARE: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Starts the daemon. `$0` is it, `$1` its directory, `$2` the group of its containers.
const START: &str = r#"
    mount -t tmpfs tmpfs /run
    if test -d /etc/docker; then mount -t tmpfs tmpfs /etc/docker; fi
    ip link set lo up
    exec "$0" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/docker.pid" \
        --host "unix://$1/docker.sock" --host unix:///run/docker.sock \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$2"
"#;

/// A running daemon; dropping it ends it with all its containers, and removes what they leave.
#[derive(Debug)]
pub struct Docker {
    /// None once it is killed.
    process: Option<Process>,
    daemon: u32,
    /// The control group that all its containers' are in.
    group: String,
    scratch: Scratch,
}

impl Docker {
    /// Starts `dockerd`, without any image.
    ///
    /// # Panics
    ///
    /// When it is not installed, does not start, or when this process may not make namespaces: it must be root.
    #[track_caller]
    pub fn start() -> Docker {
        must(Docker::try_start())
    }

    fn try_start() -> Outcome<Docker> {
        // On a disk: overlay mounts and images of 100 MB are no good use of memory.
        let scratch = Scratch::new("docker", Storage::Disk);
        let group = scratch.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(path_of("unshare")?);
        command.args(UNSHARE).args(["sh", "-ec", START]).arg(path_of("dockerd")?);
        command.arg(scratch.path()).arg(&group);
        // Its helpers are where an ordinary user's PATH does not look.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        let process = Process::try_start("dockerd", &command, &scratch.join("log"), Signal::KILL)?;
        let mut docker = Docker { process: Some(process), daemon: 0, group, scratch };
        docker.daemon = docker.wait_ready()?;
        Ok(docker)
    }

    /// The daemon's pid, once it answers.
    fn wait_ready(&self) -> Outcome<u32> {
        let process = self.process.as_ref().ok_or("dockerd was killed")?;
        let ready = poll(DEADLINE, || match (answers(&self.socket()), process.is_running()) {
            (true, _) => child_of(process.pid()).map(Ok),
            (false, true) => None,
            (false, false) => Some(Err("dockerd ended at once".to_owned())),
        });
        let late = || Err(format!("dockerd did not answer within {DEADLINE:?}"));
        ready.unwrap_or_else(late).map_err(|why| format!("{why}\n{}", process.log_tail()))
    }

    /// Its socket, as a process outside of its namespaces sees it; in there it is `/run/docker.sock`, too.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("docker.sock")
    }

    /// A directory that goes with it.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// The daemon's pid.
    pub fn pid(&self) -> u32 {
        self.daemon
    }

    /// The client, bound to this daemon.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    #[track_caller]
    pub fn client(&self) -> Command {
        let debians = PathBuf::from(CLIENT);
        let client = if debians.exists() { debians } else { must(path_of("docker")) };
        let mut command = Command::new(client);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        // Not the user's own contexts and credentials.
        command.env("DOCKER_CONFIG", self.scratch.join("client")).env_remove("DOCKER_CONTEXT");
        command
    }

    /// What `docker` with `arguments` prints, without the newline at its end.
    ///
    /// # Errors
    ///
    /// What it complains of, if it ends with anything but 0.
    pub fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.client().args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|why| format!("docker: cannot be started: {why}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("docker {}: {}", arguments.join(" "), text(&output.stderr)))
        }
    }

    /// As [`Docker::try_docker`].
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        must(self.try_docker(arguments))
    }

    /// Makes `image` of the files below `root`; `changes` are lines of a Dockerfile, such as `CMD ["/bin/sh"]`.
    ///
    /// # Panics
    ///
    /// When that fails.
    #[track_caller]
    pub fn import(&self, image: &str, root: &Path, changes: &[&str]) {
        let file = self.scratch.join("image.tar");
        let archive = file.display().to_string();
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--owner=0", "--group=0", "-C"])
            .arg(root)
            .arg("-cf")
            .arg(&archive)
            .arg(".");
        must(match tar.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("tar of {} ended with {status}", root.display())),
            Err(why) => Err(format!("tar: cannot be started: {why}")),
        });
        let changes = changes.iter().flat_map(|change| ["--change", change]);
        let arguments: Vec<&str> = ["import"].into_iter().chain(changes).chain([&*archive, image]).collect();
        self.docker(&arguments);
        must(fs::remove_file(&file).map_err(|why| format!("{archive}: {why}")));
    }

    /// Does `act` on a thread in the daemon's network, where containers and published ports are reached; so are
    /// threads and processes that it starts.
    ///
    /// # Panics
    ///
    /// When that is not permitted, or `act` panics.
    #[track_caller]
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let network = format!("/proc/{}/ns/net", self.daemon);
        let entered = || -> Outcome<()> {
            let file = fs::File::open(&network).map_err(|why| format!("{network}: {why}"))?;
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(file.as_fd(), kind).map_err(|why| format!("{network}: {why}"))
        };
        let on_thread = || {
            must(entered());
            act()
        };
        let ended = thread::scope(|scope| scope.spawn(on_thread).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Everything the daemon has printed.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Kills everything in the daemon's namespaces, and waits until it is gone.
    fn end(&mut self) -> Outcome<()> {
        // unshare(1) is gone first; then the kernel kills the daemon, and with it all of its namespace.
        drop(self.process.take());
        let daemon = format!("/proc/{}", self.daemon);
        let is_gone = || self.daemon == 0 || !Path::new(&daemon).exists();
        let gone = poll(DEADLINE, || is_gone().then_some(Ok(())));
        gone.unwrap_or_else(|| Err(format!("dockerd {} does not end", self.daemon)))?;
        let removed = poll(DEADLINE, || {
            let groups = groups(&self.group);
            let left = groups.iter().filter(|group| !remove_group(group)).count();
            (left == 0).then_some(Ok(()))
        });
        removed.unwrap_or_else(|| Err(format!("control groups {} cannot be removed", self.group)))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Err(why) = self.end()
            && !thread::panicking()
        {
            panic!("{why}");
        }
    }
}

/// Copies the program `binary` to `place` below `root`, and the libraries that it is linked with to their places.
///
/// # Panics
///
/// When it is not installed, or cannot be copied.
#[track_caller]
pub fn install(binary: &str, root: &Path, place: &str) {
    must(try_install(binary, root, place));
}

fn try_install(binary: &str, root: &Path, place: &str) -> Outcome<()> {
    let binary = path_of(binary)?;
    copy(&binary, &root.join(place.trim_start_matches('/')))?;
    // It ends with an error for a program that is linked statically.
    let output = Command::new("ldd").arg(&binary).output();
    let output = output.map_err(|why| format!("ldd: cannot be started: {why}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .try_for_each(|library| copy(Path::new(library), &root.join(library.trim_start_matches('/'))))
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    let made = to.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::copy(from, to))
        .map(drop)
        .map_err(|why| format!("cannot copy {} to {}: {why}", from.display(), to.display()))
}

/// True when a [`Docker`] may be started, which takes root's rights and namespaces; otherwise says on stderr
/// which test is skipped, and why.
///
/// # Panics
///
/// When it may not, and `WAYPOST_TEST_REQUIRE_SERVERS` is `1`, as `cargo xtask test` sets it.
#[track_caller]
pub fn docker_is_permitted() -> bool {
    match try_namespaces() {
        Ok(()) => true,
        Err(why) => unavailable(&format!("no Docker daemon may be started here: {why}")),
    }
}

fn try_namespaces() -> Outcome<()> {
    let mut unshare = Command::new(path_of("unshare")?);
    let output = unshare.args(UNSHARE).args(["sh", "-c", "mount -t tmpfs tmpfs /run"]).output();
    let output = output.map_err(|why| format!("unshare: cannot be started: {why}"))?;
    let why = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(why()) }
}

/// True once a daemon answers on `socket`.
fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.0 200"))
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The control groups of that name: one, or one for each hierarchy of the first version.
fn groups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(name));
    all.filter(|group| group.is_dir()).collect()
}

/// Removes a control group with those in it, which are directories; the kernel's files in them go along.
fn remove_group(group: &Path) -> bool {
    let inner = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in inner.filter(|path| path.is_dir()) {
        remove_group(&path);
    }
    fs::remove_dir(group).is_ok()
}
