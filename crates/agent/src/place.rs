//! Staging and swapping: puts bytes in the place of a destination.
//!
//! After a crash the destination is the old file or the new one, never a mix: the stage file is in the
//! destination's directory (rename(2) is atomic only within one file system), and is fsynced before the
//! swap, the directory after it. Nothing here touches the destination before the swap.
//!
//! A destination that cannot be renamed over, because it is a mount point of its own (a file that is
//! bind-mounted into a container), is written in place; readers may then see a short file for a moment.
//!
//! A destination that is a link becomes a file: the rename replaces the link, and what it pointed to stays. A
//! file that is told by its time is not taken to be as wanted through a link either, since PHP would remember
//! where the link led; and its time rises by a second at least with each swap.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Gid, OFlags, Uid};

use crate::ledger::Hash;
use crate::{Attributes, Failure, Resource, Step};

/// Permissions of a file that is new, as confd gives them.
const DEFAULT_MODE: u32 = 0o644;

/// A destination as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Current {
    content: Hash,
    stamp: Stamp,
}

/// What the file system says of a file: enough to tell whether it was replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Stamp {
        Stamp {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
        }
    }
}

impl Current {
    /// Looks at the destination of `resource`; none if there is no such file. It is not read again if it is
    /// `known`.
    pub(crate) fn look(resource: &Resource, known: Option<Current>) -> Result<Option<Current>, Failure> {
        let failed = |error| Failure::io(Step::Compare, "cannot read", &resource.destination, error);
        let looked_at = match resource.is_told_by_its_time() {
            true => fs::symlink_metadata(&resource.destination),
            false => fs::metadata(&resource.destination),
        };
        let stamp = match looked_at {
            Ok(metadata) if metadata.is_symlink() => return Ok(None),
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(Some(known));
        }
        let bytes = fs::read(&resource.destination).map_err(failed)?;
        Ok(Some(Current { content: Hash::of(&bytes), stamp }))
    }

    /// True if the file holds `content` and is as `wanted` says.
    pub(crate) fn is(&self, content: Hash, wanted: Attributes) -> bool {
        let as_wanted = |wanted: Option<u32>, is: u32| wanted.is_none_or(|wanted| wanted == is);
        self.content == content
            && as_wanted(wanted.mode, self.stamp.mode)
            && as_wanted(wanted.uid, self.stamp.uid)
            && as_wanted(wanted.gid, self.stamp.gid)
    }
}

/// New content beside its destination. Dropping it removes it, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    /// What the destination is once it is swapped in; none before it is complete.
    becomes: Option<Current>,
    stays: bool,
}

/// How a swap went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// The destination is the staged file now, which is known.
    Renamed(Option<Current>),
    /// It had to be written in place.
    InPlace,
}

impl Staged {
    /// Writes `bytes` beside the destination of `resource`, with the owner and permissions that it is to have.
    pub(crate) fn write(
        resource: &Resource,
        bytes: &[u8],
        content: Hash,
        current: Option<Current>,
    ) -> Result<Staged, Failure> {
        let path = resource.stage();
        let failed = |error| Failure::io(Step::Stage, "cannot write", &path, error);
        let mut file = create(&path).map_err(failed)?;
        let mut staged = Staged { path: path.clone(), becomes: None, stays: false };
        file.write_all(bytes).map_err(failed)?;
        // Of a link that is to become a file, what it leads to says who may read that.
        let led_to = || fs::metadata(&resource.destination).ok().map(|metadata| Stamp::of(&metadata));
        let before = current.map(|current| current.stamp).or_else(led_to);
        set_attributes(&file, resource.attributes, before).map_err(failed)?;
        if let Some(time) = rising(resource) {
            file.set_modified(time).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        staged.becomes = Some(Current { content, stamp });
        Ok(staged)
    }

    /// Stays where it is when it is dropped, if `stays`.
    pub(crate) fn kept(mut self, stays: bool) -> Staged {
        self.stays = stays;
        self
    }

    /// Swaps the content in.
    pub(crate) fn swap(mut self, resource: &Resource) -> Result<Swapped, Failure> {
        let destination = &resource.destination;
        let failed = |error| Failure::io(Step::Swap, "cannot replace", destination, error);
        let swapped = match fs::rename(&self.path, destination) {
            Ok(()) => {
                self.stays = true;
                Swapped::Renamed(self.becomes)
            }
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                self.copy_into(destination).map_err(failed)?;
                Swapped::InPlace
            }
            Err(error) => return Err(failed(error)),
        };
        let directory = File::open(resource.directory()).map_err(failed)?;
        directory.sync_all().map_err(failed)?;
        Ok(swapped)
    }

    fn copy_into(&self, destination: &Path) -> io::Result<()> {
        let bytes = fs::read(&self.path)?;
        let mut options = OpenOptions::new();
        let link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut file = options.write(true).truncate(true).custom_flags(link).open(destination)?;
        file.write_all(&bytes)?;
        let staged = fs::metadata(&self.path)?;
        file.set_modified(staged.modified()?)?;
        let is = file.metadata()?;
        if (is.uid(), is.gid()) != (staged.uid(), staged.gid()) {
            let owner = (Some(Uid::from_raw(staged.uid())), Some(Gid::from_raw(staged.gid())));
            rustix::fs::fchown(file.as_fd(), owner.0, owner.1)?;
        }
        file.set_permissions(staged.permissions())?;
        file.sync_all()
    }
}

/// The time that a new file for `resource` is to have, if that matters: now, or a second after the old one's.
fn rising(resource: &Resource) -> Option<SystemTime> {
    if !resource.is_told_by_its_time() {
        return None;
    }
    let before = fs::metadata(&resource.destination).and_then(|metadata| metadata.modified()).ok();
    let after = before.and_then(|before| before.checked_add(Duration::from_secs(1)));
    Some(after.map_or_else(SystemTime::now, |after| after.max(SystemTime::now())))
}

/// Makes the time of the empty file `marker` now; a link there is not followed.
pub(crate) fn mark(marker: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.write(true).create(true).truncate(false).mode(DEFAULT_MODE).custom_flags(link);
    options.open(marker)?.set_modified(SystemTime::now())
}

/// Creates the stage file, never following a link; what a killed run left there is removed first.
fn create(path: &Path) -> io::Result<File> {
    let new = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match new() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            new()
        }
        created => created,
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed is removed before the next one is written.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn set_attributes(file: &File, wanted: Attributes, current: Option<Stamp>) -> io::Result<()> {
    let is = file.metadata()?;
    let uid = wanted.uid.or(current.map(|current| current.uid)).filter(|uid| *uid != is.uid());
    let gid = wanted.gid.or(current.map(|current| current.gid)).filter(|gid| *gid != is.gid());
    if uid.is_some() || gid.is_some() {
        let changed = rustix::fs::fchown(file.as_fd(), uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        // Only root gives files away. An owner that nobody asked for is not worth a failure.
        if wanted.uid.is_some() || wanted.gid.is_some() {
            changed?;
        }
    }
    let mode = wanted.mode.or(current.map(|current| current.mode)).unwrap_or(DEFAULT_MODE);
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::tests::{resource, services};

    fn put(resource: &Resource, bytes: &[u8]) -> Swapped {
        let current = Current::look(resource, None).unwrap();
        Staged::write(resource, bytes, Hash::of(bytes), current).unwrap().swap(resource).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(directory).unwrap().map(name).collect()
    }

    #[test]
    fn a_swap_leaves_the_new_content_and_no_other_file() {
        let directory = tempfile::tempdir().unwrap();
        let resource = resource(directory.path());
        let Swapped::Renamed(known) = put(&resource, b"new") else { panic!("it can be renamed over") };
        assert_eq!(Current::look(&resource, None).unwrap(), known);
        assert_eq!(fs::read(&resource.destination).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["web.conf"]);
    }

    #[test]
    fn a_stage_that_is_given_up_is_removed_and_the_destination_stays() {
        let directory = tempfile::tempdir().unwrap();
        let resource = resource(directory.path());
        put(&resource, b"old");
        drop(Staged::write(&resource, b"new", Hash::of(b"new"), None).unwrap());
        assert_eq!(fs::read(&resource.destination).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["web.conf"]);
    }

    #[test]
    fn a_link_where_the_stage_goes_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let resource = resource(directory.path());
        let victim = directory.path().join("victim");
        fs::write(&victim, b"safe").unwrap();
        std::os::unix::fs::symlink(&victim, resource.stage()).unwrap();
        put(&resource, b"new");
        assert_eq!(fs::read(&victim).unwrap(), b"safe");
        assert_eq!(fs::read(&resource.destination).unwrap(), b"new");
    }

    #[test]
    fn permissions_are_as_wanted_or_as_the_file_had_them() {
        let directory = tempfile::tempdir().unwrap();
        let mut resource = resource(directory.path());
        let mode = |resource: &Resource| fs::metadata(&resource.destination).unwrap().mode() & 0o7777;
        put(&resource, b"1");
        assert_eq!(mode(&resource), 0o644);
        fs::set_permissions(&resource.destination, fs::Permissions::from_mode(0o640)).unwrap();
        put(&resource, b"2");
        assert_eq!(mode(&resource), 0o640);
        resource.attributes.mode = Some(0o600);
        let (current, content) = (Current::look(&resource, None).unwrap().unwrap(), Hash::of(b"2"));
        assert!(!current.is(content, resource.attributes) && current.is(content, Attributes::default()));
        put(&resource, b"2");
        assert_eq!(mode(&resource), 0o600);
    }

    #[test]
    fn a_file_that_somebody_wrote_to_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let resource = resource(directory.path());
        let Swapped::Renamed(known) = put(&resource, b"ours") else { panic!("it can be renamed over") };
        assert_eq!(Current::look(&resource, known).unwrap(), known);
        fs::write(&resource.destination, b"theirs").unwrap();
        let current = Current::look(&resource, known).unwrap().unwrap();
        assert!(current.is(Hash::of(b"theirs"), Attributes::default()));
    }

    #[test]
    fn the_time_of_a_file_that_is_told_by_it_rises_by_a_second_with_each_swap() {
        let directory = tempfile::tempdir().unwrap();
        let resource = services(directory.path());
        let time = || fs::metadata(&resource.destination).unwrap().modified().unwrap();
        let begun = SystemTime::now();
        put(&resource, b"1");
        let mut last = time();
        assert!(last >= begun - Duration::from_secs(1));
        for content in [b"2", b"3", b"4"] {
            put(&resource, content);
            assert!(time() >= last + Duration::from_secs(1));
            last = time();
        }
        File::open(&resource.destination).unwrap().set_modified(begun - Duration::from_secs(99)).unwrap();
        put(&resource, b"5");
        assert!(time() >= begun, "it is not older than now");
    }

    #[test]
    fn a_link_in_the_place_of_services_becomes_a_file_and_its_target_stays() {
        let directory = tempfile::tempdir().unwrap();
        let resource = services(directory.path());
        let target = directory.path().join("target");
        fs::write(&target, b"same").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&target, &resource.destination).unwrap();
        assert_eq!(
            Current::look(&resource, None).unwrap(),
            None,
            "it is not as wanted, whatever it leads to"
        );
        put(&resource, b"same");
        let now = fs::symlink_metadata(&resource.destination).unwrap();
        assert!(now.is_file() && now.mode() & 0o777 == 0o600, "{now:?}: nobody else may read it now");
        fs::write(&resource.destination, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"same");
    }

    #[test]
    fn a_marker_is_empty_and_its_time_is_now() {
        let directory = tempfile::tempdir().unwrap();
        let marker = services(directory.path()).marker();
        assert_eq!(marker, directory.path().join(".services.php.seen"));
        mark(&marker).unwrap();
        File::open(&marker).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        mark(&marker).unwrap();
        let metadata = fs::metadata(&marker).unwrap();
        assert!(metadata.len() == 0 && metadata.modified().unwrap().elapsed().unwrap().as_secs() < 60);
        fs::remove_file(&marker).unwrap();
        std::os::unix::fs::symlink(directory.path().join("none"), &marker).unwrap();
        assert!(mark(&marker).is_err() && !directory.path().join("none").exists());
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let resource = resource(&directory.path().join("none"));
        let failure = Staged::write(&resource, b"new", Hash::of(b"new"), None).unwrap_err();
        assert!(failure.message.contains("none/.web.conf.waypost: No such file or directory"), "{failure}");
    }
}
