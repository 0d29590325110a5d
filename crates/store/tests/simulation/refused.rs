//! Files that cannot be used, on a real file system: each is one clear error, and nothing is changed. A full disk loses nothing.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redb::{Database, TableDefinition};
use tempfile::TempDir;
use waypost_servers::wait_until;
use waypost_store::{Error, Limits, Refusal, Settings, Store, pb};

use crate::beside::{DEADLINE, in_time, run};

pub const DATABASE: &str = "store.redb";
pub const JOURNAL: &str = "store.journal";
const KEYS: usize = 30;

/// Two files as a kill leaves them: what was acknowledged last is in the journal only.
pub struct Killed {
    dir: TempDir,
}

impl Killed {
    pub fn new() -> Killed {
        let (live, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        run(async {
            let store = Store::open(&settings(live.path())).unwrap();
            for number in 0..KEYS {
                store.put(put(number)).await.unwrap();
            }
            for name in [DATABASE, JOURNAL] {
                fs::copy(live.path().join(name), dir.path().join(name)).unwrap();
            }
        });
        Killed { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        edit(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn contents(&self) -> [Option<Vec<u8>>; 2] {
        [DATABASE, JOURNAL].map(|name| fs::read(self.path(name)).ok())
    }

    /// Opening it is refused with a line that has all `words`, the file's path among them, and the journal stays as it is.
    #[track_caller]
    pub fn assert_refused(&self, file: &str, words: &[&str]) {
        let journal = fs::read(self.path(JOURNAL)).ok();
        let error = Store::open(&settings(self.dir.path())).expect_err("it cannot be used");
        let line = error.to_string();
        let path = self.path(file).display().to_string();
        assert!(line.contains(&path) && !line.contains('\n'), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{words:?} in: {line}");
        assert!(fs::read(self.path(JOURNAL)).ok() == journal, "the journal was changed, after: {line}");
    }

    /// Nothing was destroyed by a refusal: with its cause gone, everything acknowledged is there.
    #[track_caller]
    fn assert_whole(&self) {
        let store = Store::open(&settings(self.dir.path())).unwrap();
        assert_eq!((present(&store), store.header().revision), (KEYS, 1 + KEYS as i64));
    }
}

pub fn settings(dir: &Path) -> Settings {
    Settings {
        journal: 64 << 10,
        cache: 1 << 20,
        limits: Limits { free: 0, ..Limits::default() },
        ..Settings::new(dir)
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

fn put(number: usize) -> pb::PutRequest {
    pb::PutRequest { key: key(number), value: format!("value-{number}").into_bytes(), ..Default::default() }
}

fn get(store: &Store, number: usize) -> Result<Option<Vec<u8>>, Refusal> {
    let found = store.range(&pb::RangeRequest { key: key(number), ..Default::default() })?;
    Ok(found.kvs.into_iter().next().map(|kv| kv.value))
}

/// How many of the first keys are there, and that no others are.
fn present(store: &Store) -> usize {
    let is_there = |number: &usize| get(store, *number).unwrap().is_some();
    let present = (0..KEYS).take_while(is_there).count();
    assert!((present..KEYS).all(|number| !is_there(&number)), "only the last ones may be missing");
    present
}

#[test]
fn what_a_kill_leaves_is_opened_with_everything_acknowledged() {
    Killed::new().assert_whole();
}

#[test]
fn a_database_that_is_empty_or_not_one_is_refused() {
    let contents: [&[u8]; 4] = [b"", b"not a database", &[0; 4096], &[0xff; 65536]];
    for content in contents {
        let killed = Killed::new();
        fs::write(killed.path(DATABASE), content).unwrap();
        killed.assert_refused(DATABASE, &["nothing was changed"]);
    }
}

#[test]
fn a_database_that_was_cut_off_is_refused() {
    for percent in [1, 10, 50, 90, 99] {
        let killed = Killed::new();
        killed.edit(DATABASE, |bytes| bytes.truncate(bytes.len() * percent / 100));
        killed.assert_refused(DATABASE, &["nothing was changed"]);
    }
}

#[test]
fn a_database_with_foreign_sectors_is_refused_or_tells_no_lies() {
    let mut refusals = 0;
    for seed in 0..20 {
        let killed = Killed::new();
        let mut rng = fastrand::Rng::with_seed(seed);
        killed.edit(DATABASE, |bytes| {
            for _ in 0..8 {
                let sector = rng.usize(..bytes.len() / 512);
                bytes[sector * 512..][..512].fill_with(|| rng.u8(..));
            }
        });
        let before = killed.contents();
        match Store::open(&settings(killed.dir.path())) {
            // What redb does not use, nobody misses; all that it uses was checked by then.
            Ok(store) => assert_eq!(present(&store), KEYS, "seed {seed}"),
            Err(error) => {
                refusals += 1;
                assert!(killed.contents() == before, "seed {seed}: the files were changed, after: {error}");
            }
        }
    }
    assert!(refusals > 0, "no damage was noticed");
}

#[test]
fn a_flipped_bit_among_the_journals_records_is_damage() {
    let end = records_end(&Killed::new());
    for at in [4096 + 40, 4096 + 512 * 5 + 30, end - 512 - 480] {
        let killed = Killed::new();
        killed.edit(JOURNAL, |bytes| bytes[at] ^= 1);
        killed.assert_refused(JOURNAL, &["damaged"]);
        killed.edit(JOURNAL, |bytes| bytes[at] ^= 1);
        killed.assert_whole();
    }
}

#[test]
fn a_torn_last_record_is_one_that_nobody_was_told_of() {
    let killed = Killed::new();
    let end = records_end(&killed);
    killed.edit(JOURNAL, |bytes| bytes[end - 480] ^= 1);
    let store = Store::open(&settings(killed.dir.path())).unwrap();
    assert_eq!(present(&store), KEYS - 1);
}

/// Where the last record's sector ends.
fn records_end(killed: &Killed) -> usize {
    let bytes = fs::read(killed.path(JOURNAL)).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).expect("there are records").next_multiple_of(512)
}

#[test]
fn a_journal_that_is_missing_foreign_or_anothers_is_refused() {
    let missing = Killed::new();
    let own = fs::read(missing.path(JOURNAL)).unwrap();
    fs::remove_file(missing.path(JOURNAL)).unwrap();
    missing.assert_refused(DATABASE, &[JOURNAL, "missing"]);
    fs::write(missing.path(JOURNAL), own).unwrap();
    missing.assert_whole();

    let anothers = fs::read(Killed::new().path(JOURNAL)).unwrap();
    for (content, words) in [
        (anothers, "another store"),
        (vec![], "journal"),
        (b"no journal".to_vec(), "journal"),
        (vec![7; 65536], "journal"),
    ] {
        let killed = Killed::new();
        let own = fs::read(killed.path(JOURNAL)).unwrap();
        fs::write(killed.path(JOURNAL), content).unwrap();
        killed.assert_refused(JOURNAL, &[words]);
        fs::write(killed.path(JOURNAL), own).unwrap();
        killed.assert_whole();
    }
}

#[test]
fn a_later_format_is_refused_by_its_number() {
    let killed = Killed::new();
    set_format(&killed, 999);
    killed.assert_refused(DATABASE, &["999"]);
    set_format(&killed, 1);
    killed.assert_whole();
}

/// Says in the database that it has another format.
pub fn set_format(killed: &Killed, format: u64) {
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let database = Database::create(killed.path(DATABASE)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_directory_is_opened_once_at_a_time() {
    let killed = Killed::new();
    let settings = settings(killed.dir.path());
    let store = Store::open(&settings).unwrap();
    let before = killed.contents();
    let error = Store::open(&settings).expect_err("it is open");
    let own = Some(std::process::id());
    assert!(matches!(&error, Error::InUse { holder, .. } if *holder == own), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(killed.contents() == before);
    run(async { store.close().await.unwrap() });
    Store::open(&settings).unwrap();
}

/// A child that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_directory_that_another_process_holds_is_in_use() {
    let killed = Killed::new();
    let lock = killed.path("store.lock");
    let mut holder = Command::new("flock");
    // Without a fork the process that is killed is the one that holds it.
    holder.args(["--exclusive", "--no-fork"]).arg(&lock).args(["sh", "-c", "echo held; exec sleep 60"]);
    let mut holder = Running(holder.stdout(Stdio::piped()).spawn().expect("flock is a part of util-linux"));
    let mut told = [0; 4];
    std::io::Read::read_exact(holder.0.stdout.as_mut().expect("it is piped"), &mut told).unwrap();
    let before = killed.contents();
    let error = Store::open(&settings(killed.dir.path())).expect_err("it is held");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(killed.contents() == before);
    drop(holder);
    wait_until("the lock to be free", DEADLINE, || Store::open(&settings(killed.dir.path())).is_ok());
}

/// A small file system, unmounted when this is dropped.
struct Tmpfs {
    dir: TempDir,
}

impl Tmpfs {
    /// `None` without the right to mount.
    fn mount(size: &str) -> Option<Tmpfs> {
        let dir = TempDir::new().unwrap();
        let options = format!("size={size},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Tmpfs { dir })
    }

    fn make_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.dir.path()).status().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a writer that is still ending has files open.
        let _ = Command::new("umount").arg("--lazy").arg(self.dir.path()).status();
    }
}

#[test]
fn a_directory_without_permission_is_an_error_with_its_path() {
    let Some(tmpfs) = Tmpfs::mount("8m") else { return eprintln!("skipped: only root can mount") };
    let path = tmpfs.dir.path().join("data");
    run(async { Store::open(&settings(&path)).unwrap().close().await.unwrap() });
    tmpfs.make_read_only();
    let error = Store::open(&settings(&path)).expect_err("it is read-only");
    assert!(
        matches!(error, Error::Io { .. }) && error.to_string().contains(&*path.to_string_lossy()),
        "{error}"
    );
    let error = Store::open(&settings(&tmpfs.dir.path().join("new"))).expect_err("it is read-only");
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_file_in_the_place_of_the_directory_is_an_error_with_its_path() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "a file").unwrap();
    let error = Store::open(&settings(&path)).expect_err("it is a file");
    assert!(
        matches!(error, Error::Io { .. }) && error.to_string().contains(&*path.to_string_lossy()),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"a file");
}

/// Large values until no more are taken: how many were, and why not the next.
async fn fill(store: &Store, from: usize) -> (usize, Refusal) {
    for number in from.. {
        let request = pb::PutRequest { value: vec![b'x'; 30_000], ..put(number) };
        if let Err(refusal) = in_time("a put", store.put(request)).await {
            return (number, refusal);
        }
    }
    unreachable!("a disk has an end")
}

#[test]
fn a_disk_that_fills_up_beside_the_store_loses_nothing_acknowledged() {
    let Some(tmpfs) = Tmpfs::mount("12m") else { return eprintln!("skipped: only root can mount") };
    let settings = settings(&tmpfs.dir.path().join("data"));
    run(async {
        // The reserve is switched off, so that the disk itself says no, in the middle of something.
        let store = Store::open(&settings).unwrap();
        let (written, refusal) = fill(&store, 0).await;
        assert!(written > 10, "{written}");
        match refusal {
            Refusal::NoSpace => {}
            Refusal::Stopped => {
                let why = in_time("the end", store.failed()).await.to_string();
                assert!(why.to_lowercase().contains("no space"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        drop(store);
        let status =
            Command::new("mount").args(["-o", "remount,size=64m"]).arg(tmpfs.dir.path()).status().unwrap();
        assert!(status.success(), "{status}");
        let store = open_when_free(&settings);
        for number in 0..written {
            assert!(get(&store, number).unwrap().is_some(), "{number} of {written} was acknowledged");
        }
        store.put(put(written + 1)).await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn a_store_that_reached_its_reserve_refuses_to_grow_and_reads_on() {
    let Some(tmpfs) = Tmpfs::mount("16m") else { return eprintln!("skipped: only root can mount") };
    let mut settings = settings(&tmpfs.dir.path().join("data"));
    settings.limits.free = 6 << 20;
    run(async {
        let store = Store::open(&settings).unwrap();
        // The space is measured now and then, so that something may grow the store after a file has filled the disk.
        let ballast = fs::File::create(tmpfs.dir.path().join("ballast")).unwrap();
        ballast.write_all_at(&vec![1; 8 << 20], 0).unwrap();
        let (written, refusal) = fill(&store, 0).await;
        assert_eq!(refusal, Refusal::NoSpace);
        assert!((0..written).all(|number| get(&store, number).unwrap().is_some()), "reads go on");
        store.delete_range(pb::DeleteRangeRequest { key: key(0), ..Default::default() }).await.unwrap();
        ballast.set_len(0).unwrap();
        let is_taken = async {
            while store.put(put(0)).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        in_time("a put after there is space again", is_taken).await;
    });
}

/// Opens it when the last handle's writer has ended.
fn open_when_free(settings: &Settings) -> Store {
    let mut opened = None;
    wait_until("the directory to be free", DEADLINE, || {
        opened = match Store::open(settings) {
            Err(Error::InUse { .. }) => None,
            outcome => Some(outcome.unwrap()),
        };
        opened.is_some()
    });
    opened.expect("it was waited for")
}
