//! Files as a store: what a change to them is noticed by, and what does not pass for a change.
#![cfg(feature = "file")]
#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tempfile::TempDir;
use waypost_backend::file::{self, Files, Settings};
use waypost_backend::{Backend, Error, ErrorKind, Mirror, MirrorSettings, Readable, Update, Updates, View};
use waypost_model::{Change, Prefix, Snapshot};
use waypost_testkit::contract::{self, Content, Harness, Limits, Store, Writer};

const SOON: Duration = Duration::from_secs(20);

/// Nothing is noticed by reading again: a test that waits for that fails.
const NEVER: Duration = Duration::from_secs(3600);

fn settings(paths: impl IntoIterator<Item = PathBuf>) -> Settings {
    Settings { reread_every: NEVER, ..Settings::new(paths) }
}

/// A store in one JSON file.
struct InFile;

#[derive(Debug)]
struct Document {
    dir: TempDir,
    content: Mutex<Content>,
}

impl Harness for InFile {
    fn start(&self, content: Content) -> BoxFuture<'_, Store> {
        let document = Document { dir: scratch(), content: Mutex::new(content) };
        document.save();
        let backend = Arc::new(file::open(settings([document.path()])).unwrap());
        async { Store { backend, writer: Some(Arc::new(document)), registry: None } }.boxed()
    }

    fn limits(&self) -> Limits {
        Limits { any_bytes: false, ..Limits::default() }
    }
}

impl Document {
    fn path(&self) -> PathBuf {
        self.dir.path().join("store.json")
    }

    fn save(&self) {
        let content = self.content.lock().unwrap();
        let entries = content.iter().map(|(key, value)| (key.as_str(), value.as_text().unwrap()));
        let document: BTreeMap<&str, &str> = entries.collect();
        replace(&self.path(), &serde_json::to_string(&document).unwrap());
    }
}

impl Writer for Document {
    fn write(&self, changes: Vec<Change>) -> BoxFuture<'_, ()> {
        for Change { key, entry } in changes {
            match entry {
                Some(entry) => self.content.lock().unwrap().insert(key, entry.value),
                None => self.content.lock().unwrap().remove(&key),
            };
            self.save();
        }
        async {}.boxed()
    }
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    contract::run(&InFile).await;
}

/// A Mirror of files, and what it tells.
struct Following {
    mirror: Mirror,
    updates: Updates,
}

impl Following {
    fn start(settings: Settings) -> Following {
        let files = Arc::new(file::open(settings).unwrap());
        let retry = (Duration::from_millis(10), Duration::from_millis(50));
        let settings = MirrorSettings { retry, ..MirrorSettings::default() };
        let (mirror, updates) = Mirror::follow(files, [Prefix::all()], settings);
        Following { mirror, updates }
    }

    async fn next(&mut self) -> Update {
        let update = tokio::time::timeout(SOON, self.updates.next()).await;
        update.expect("an update in time").expect("the Mirror goes on")
    }

    /// Waits until the view shows exactly these keys and values.
    async fn shows(&mut self, expected: &[&str]) {
        loop {
            match self.next().await {
                Update::Changed { view, .. } if lines(&view) == expected => return,
                _ => {}
            }
        }
    }

    async fn unreachable(&mut self) -> Error {
        loop {
            if let Update::Unreachable(error) = self.next().await {
                return error;
            }
        }
    }

    fn held(&self) -> Vec<String> {
        lines(&self.mirror.view().unwrap())
    }
}

fn lines(view: &View) -> Vec<String> {
    let shown = view.starting_with("", "");
    shown.map(|(key, entry)| format!("{key}={}", entry.value.as_text().unwrap())).collect()
}

fn values(snapshot: &Snapshot) -> Vec<String> {
    lines(&View::from(snapshot.clone()))
}

fn scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// As editors do it: a new file, renamed over the old one.
fn replace(path: &Path, content: &str) {
    let new = path.with_file_name(".new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

async fn read(paths: impl IntoIterator<Item = PathBuf>) -> Result<Vec<String>, Error> {
    let snapshot = file::open(settings(paths)).unwrap().snapshot(&[Prefix::all()]).await?;
    Ok(values(&snapshot))
}

#[tokio::test]
async fn a_file_that_is_written_or_replaced_is_noticed() {
    let dir = scratch();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "a: 1").unwrap();
    let mut following = Following::start(settings([path.clone()]));
    following.shows(&["/a=1"]).await;
    fs::write(&path, "a: 2").unwrap();
    following.shows(&["/a=2"]).await;
    for round in 3..6 {
        replace(&path, &format!("a: {round}"));
        following.shows(&[&format!("/a={round}")]).await;
    }
}

#[tokio::test]
async fn kubernetes_swap_of_a_volume_is_noticed() {
    let dir = scratch();
    let root = dir.path().join("volume");
    let version = |number: u32| {
        let version = root.join(format!("..v{number}"));
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("a.yaml"), format!("a: {number}")).unwrap();
        symlink(format!("..v{number}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        if number > 1 {
            fs::remove_dir_all(root.join(format!("..v{}", number - 1))).unwrap();
        }
    };
    version(1);
    symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    let mut file = Following::start(settings([root.join("a.yaml")]));
    let mut through_link = Following::start(settings([root.join("..data/a.yaml")]));
    let mut directory = Following::start(settings([root.clone()]));
    for number in 1..4 {
        if number > 1 {
            version(number);
        }
        let expected = format!("/a={number}");
        file.shows(&[&expected]).await;
        through_link.shows(&[&expected]).await;
        directory.shows(&[&expected]).await;
    }
}

#[tokio::test]
async fn files_that_come_and_go_in_a_directory_are_noticed() {
    let dir = scratch();
    let root = dir.path().join("conf");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.yaml"), "a: 1").unwrap();
    let mut following = Following::start(settings([root.clone()]));
    following.shows(&["/a=1"]).await;
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::write(root.join("deep/er/b.json"), r#"{"b": 1}"#).unwrap();
    following.shows(&["/a=1", "/b=1"]).await;
    fs::write(root.join("deep/er/b.json"), r#"{"b": 2}"#).unwrap();
    following.shows(&["/a=1", "/b=2"]).await;
    fs::remove_file(root.join("a.yaml")).unwrap();
    following.shows(&["/b=2"]).await;
}

#[tokio::test]
async fn a_directory_that_is_replaced_as_a_whole_is_noticed() {
    let dir = scratch();
    let (root, next) = (dir.path().join("conf"), dir.path().join("next"));
    for round in 0..3 {
        fs::create_dir(&next).unwrap();
        fs::write(next.join("a.toml"), format!("a = {round}")).unwrap();
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        fs::rename(&next, &root).unwrap();
        let mut following = Following::start(settings([root.clone()]));
        following.shows(&[&format!("/a={round}")]).await;
        fs::rename(&root, &next).unwrap();
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.toml"), "a = 'other'").unwrap();
        following.shows(&["/a=other"]).await;
        fs::write(root.join("a.toml"), "a = 'once more'").unwrap();
        following.shows(&["/a=once more"]).await;
        fs::remove_dir_all(&next).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_vanishes_or_breaks_loses_nothing_and_is_read_when_it_is_back() {
    let dir = scratch();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "a: 1").unwrap();
    let mut following = Following::start(settings([path.clone()]));
    following.shows(&["/a=1"]).await;

    fs::remove_file(&path).unwrap();
    let error = following.unreachable().await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.chain().contains(&format!("cannot read {}", path.display())), "{}", error.chain());
    assert_eq!(following.held(), ["/a=1"]);
    fs::write(&path, "a: 1").unwrap();
    following.shows(&["/a=1"]).await;

    for broken in ["", "a: [", "a: b: c"] {
        replace(&path, broken);
        let error = following.unreachable().await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error.chain());
        assert_eq!(following.held(), ["/a=1"]);
        replace(&path, "a: 1");
        following.shows(&["/a=1"]).await;
    }
}

#[tokio::test]
async fn what_changes_between_the_snapshot_and_the_watch_is_noticed() {
    use futures::StreamExt;
    let dir = scratch();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "a: 1\nb: 1").unwrap();
    let files = file::open(settings([path.clone()])).unwrap();
    let snapshot = files.snapshot(&[Prefix::all()]).await.unwrap();
    fs::write(&path, "b: 1").unwrap();
    let mut watch = files.watch(&[Prefix::all()], snapshot.position);
    let batch = tokio::time::timeout(SOON, watch.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(batch.changes.len(), 1);
    assert_eq!((batch.changes[0].key.as_str(), &batch.changes[0].entry), ("/a", &None));
}

#[tokio::test]
async fn reading_is_no_change() {
    let dir = scratch();
    fs::write(dir.path().join("a.yaml"), "a: 1").unwrap();
    let files = Files::new(settings([dir.path().to_owned()])).unwrap();
    files.read(&[Prefix::all()]).await.unwrap();
    let mark = files.mark();
    for _ in 0..20 {
        files.read(&[Prefix::all()]).await.unwrap();
    }
    fs::read(dir.path().join("a.yaml")).unwrap();
    assert_eq!(files.mark(), mark);
}

#[tokio::test]
async fn a_neighbour_of_the_file_is_no_change() {
    let dir = scratch();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "a: 1").unwrap();
    let files = Files::new(settings([path.clone()])).unwrap();
    files.read(&[Prefix::all()]).await.unwrap();
    let mark = files.mark();
    fs::write(dir.path().join("b.yaml"), "b: 1").unwrap();
    fs::write(&path, "a: 2").unwrap();
    files.hint(mark, SOON).await;
    // Events come in order, so that of the neighbour has come and was left out: two or three are left,
    // for the file that is truncated, written and closed.
    assert!((1..=3).contains(&(files.mark() - mark)), "{}", files.mark() - mark);
}

#[tokio::test]
async fn a_file_that_is_being_written_is_read_when_it_is_whole() {
    let dir = scratch();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "a: 0").unwrap();
    let files = Arc::new(Files::new(settings([path.clone()])).unwrap());
    files.read(&[Prefix::all()]).await.unwrap();
    for half in ["a: 1\n", "a: [", ""] {
        let mark = files.mark();
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(half.as_bytes()).unwrap();
        files.hint(mark, SOON).await;

        let reader = Arc::clone(&files);
        let read = tokio::spawn(async move { reader.read(&[Prefix::all()]).await });
        tokio::task::yield_now().await;
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(b"a: 1\nb: 1\n").unwrap();
        drop(file);

        let entries = read.await.unwrap().unwrap();
        assert_eq!(entries.len(), 2, "{half:?}");
    }
}

#[tokio::test]
async fn a_later_file_counts() {
    let dir = scratch();
    for (name, content) in [("b.yaml", "x: b\ny: b"), ("a.yaml", "x: a\nz: a"), ("over.toml", "z = 'over'")] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let path = |name: &str| dir.path().join(name);
    assert_eq!(read([dir.path().to_owned()]).await.unwrap(), ["/x=b", "/y=b", "/z=over"], "by name");
    let as_given = read([path("over.toml"), path("b.yaml"), path("a.yaml")]).await.unwrap();
    assert_eq!(as_given, ["/x=a", "/y=b", "/z=a"]);
}

#[tokio::test]
async fn a_directory_without_files_is_an_empty_store() {
    let dir = scratch();
    assert_eq!(read([dir.path().to_owned()]).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let dir = scratch();
    let missing = read([dir.path().join("no/such.yaml")]).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    assert!(missing.chain().ends_with("no/such.yaml: invalid: No such file or directory (os error 2)"));

    symlink("nowhere", dir.path().join("link.yaml")).unwrap();
    let dangling = read([dir.path().to_owned()]).await.unwrap_err();
    assert!(dangling.chain().contains("link.yaml: invalid: No such file"), "{}", dangling.chain());
    fs::remove_file(dir.path().join("link.yaml")).unwrap();

    fs::write(dir.path().join("a.yaml"), "a: 1\nb: c: d").unwrap();
    let broken = read([dir.path().to_owned()]).await.unwrap_err();
    assert!(broken.chain().contains("a.yaml:2:5: invalid: mapping values"), "{}", broken.chain());

    fs::set_permissions(dir.path().join("a.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(dir.path().join("a.yaml")).is_err() {
        // Not for root, who may read everything.
        assert_eq!(read([dir.path().to_owned()]).await.unwrap_err().kind(), ErrorKind::Denied);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let error = file::open(settings([])).unwrap_err();
    assert_eq!(error.chain(), "file: cannot read it: invalid: no file is given");
    let bad = Settings { filter: "[".to_owned(), ..settings([PathBuf::from("/etc")]) };
    let error = file::open(bad).unwrap_err();
    assert!(error.chain().starts_with("file: cannot use the filter [: invalid: "), "{}", error.chain());
}
