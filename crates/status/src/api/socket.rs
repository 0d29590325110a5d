//! The Unix socket: where clients of this host come to, if their user or group may.
//!
//! Nobody can connect before owner and mode are right: a socket takes connections once it listens, and that comes
//! last. One that a killed process left behind is replaced; one that is served is not.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

/// How many clients may wait to be let in.
const BACKLOG: i32 = 256;

/// How often, and with which pauses, it is tried to be the only one that opens a socket in a directory.
const TURN_TRIES: u32 = 100;
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// Where the socket is, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSettings {
    /// The path; its directory is made if it is not there.
    pub path: PathBuf,
    /// The permission bits: who may write to it may connect.
    pub mode: u32,
    /// The number of the group; none for the process's own.
    pub group: Option<u32>,
}

/// A socket that clients can come to; its file is removed when it is dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Socket {
    /// Listens at the path.
    ///
    /// # Errors
    ///
    /// One line with the path, if it is served already, if there is something else, or if the system refuses.
    pub(super) fn open(settings: &SocketSettings) -> Result<Socket, String> {
        let shown = settings.path.display();
        let failed = |why: io::Error| format!("cannot serve the local API at {shown}: {why}");
        let directory = settings.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(failed)?;
        let _turn = turn(directory).map_err(failed)?;
        clear(&settings.path)?;
        bind(settings).map_err(failed)
    }
}

/// Of several that start at once, one after the other looks what is there and listens: between the two a socket
/// looks like one that was left behind. It ends with the file; who may not read the directory goes without.
fn turn(directory: &Path) -> io::Result<Option<File>> {
    let Ok(directory) = File::open(directory) else { return Ok(None) };
    for _ in 0..TURN_TRIES {
        match directory.try_lock() {
            Ok(()) => return Ok(Some(directory)),
            Err(TryLockError::WouldBlock) => thread::sleep(TURN_PAUSE),
            // Not every file system has locks.
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    Err(io::Error::other("another process holds a lock on its directory"))
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|is| (is.dev(), is.ino()) == self.file);
        if is_ours && let Err(why) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %why, "the local API's socket stays behind");
        }
    }
}

/// Removes what a killed process left behind.
fn clear(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let Ok(is) = fs::symlink_metadata(path) else { return Ok(()) };
    if !is.file_type().is_socket() {
        return Err(format!("cannot serve the local API at {shown}: there is a file, and it is no socket"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(format!(
            "cannot serve the local API at {shown}: another process does; stop it, or name another `socket`"
        )),
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|why| format!("cannot remove the old socket {shown}: {why}"))
        }
        Err(why) => Err(format!("cannot tell whether {shown} is served: {why}")),
    }
}

fn bind(settings: &SocketSettings) -> io::Result<Socket> {
    let SocketSettings { path, mode, group } = settings;
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &address)?;
    let is = fs::symlink_metadata(path)?;
    let listener = permit(path, *mode, *group).and_then(|()| listen(socket));
    let listener = listener.inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(Socket { listener, path: path.clone(), file: (is.dev(), is.ino()) })
}

fn permit(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    if group.is_some() {
        chown(path, None, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn listen(socket: OwnedFd) -> io::Result<UnixListener> {
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(StdListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(directory: &tempfile::TempDir) -> SocketSettings {
        SocketSettings { path: directory.path().join("run/api.sock"), mode: 0o660, group: None }
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory);
        let socket = Socket::open(&settings).unwrap();
        assert_eq!(fs::metadata(&settings.path).unwrap().mode() & 0o777, 0o660);
        assert!(UnixStream::connect(&settings.path).is_ok());
        drop(socket);
        assert!(!settings.path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_one_that_is_served_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory);
        fs::create_dir(directory.path().join("run")).unwrap();
        drop(StdListener::bind(&settings.path).unwrap());
        let socket = Socket::open(&settings).unwrap();
        let why = Socket::open(&settings).unwrap_err();
        assert!(why.contains("another process does"), "{why}");
        assert!(settings.path.exists(), "the one that serves keeps its file");
        drop(socket);
    }

    #[tokio::test]
    async fn of_many_that_start_at_once_one_serves_and_the_others_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory);
        for _ in 0..20 {
            let open = || {
                let settings = settings.clone();
                tokio::task::spawn_blocking(move || Socket::open(&settings))
            };
            let opened = futures::future::join_all((0..8).map(|_| open())).await;
            let opened: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
            assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1, "{opened:?}");
            assert!(UnixStream::connect(&settings.path).is_ok());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let settings = SocketSettings { path: directory.path().join("file"), ..settings(&directory) };
        fs::write(&settings.path, "mine").unwrap();
        assert!(Socket::open(&settings).unwrap_err().ends_with("there is a file, and it is no socket"));
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_socket_that_took_its_place_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory);
        let socket = Socket::open(&settings).unwrap();
        fs::remove_file(&settings.path).unwrap();
        let _other = StdListener::bind(&settings.path).unwrap();
        drop(socket);
        assert!(settings.path.exists());
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let settings =
            SocketSettings { path: directory.path().join("x".repeat(120)), ..settings(&directory) };
        let why = Socket::open(&settings).unwrap_err();
        assert!(why.starts_with("cannot serve the local API at "), "{why}");
    }

    #[tokio::test]
    async fn a_socket_that_cannot_be_permitted_leaves_no_file() {
        // Root may give files to any group.
        if rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let settings = SocketSettings { group: Some(0), ..settings(&directory) };
        assert!(Socket::open(&settings).is_err() && !settings.path.exists());
    }
}
