//! The PHP libraries of Debian's next release, with which the PHP client is tested besides this machine's:
//! Symfony 6.4 and DBAL 4, brought below the target directory.
//!
//! apt brings and verifies them, from where this machine gets its own packages, with a configuration, lists and
//! a cache of its own: what the machine knows of packages, and has installed, stays as it is. It is done once; a
//! stamp beside it says for what, and is written last.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::cargo::{self, Workspace};

/// The release, and where in a package the libraries are.
const RELEASE: &str = "trixie";
const LIBRARIES: &str = "usr/share/php";

/// What the tests import, and all that it needs: nothing here decides what is needed.
const PACKAGES: [&str; 27] = [
    "php-doctrine-dbal",
    "php-doctrine-deprecations",
    "php-psr-cache",
    "php-psr-container",
    "php-psr-event-dispatcher",
    "php-psr-log",
    "php-symfony-cache",
    "php-symfony-cache-contracts",
    "php-symfony-config",
    "php-symfony-console",
    "php-symfony-dependency-injection",
    "php-symfony-deprecation-contracts",
    "php-symfony-error-handler",
    "php-symfony-event-dispatcher",
    "php-symfony-event-dispatcher-contracts",
    "php-symfony-expression-language",
    "php-symfony-filesystem",
    "php-symfony-finder",
    "php-symfony-framework-bundle",
    "php-symfony-http-foundation",
    "php-symfony-http-kernel",
    "php-symfony-routing",
    "php-symfony-service-contracts",
    "php-symfony-string",
    "php-symfony-var-dumper",
    "php-symfony-var-exporter",
    "php-symfony-yaml",
];

/// Those whose versions are told.
const TOLD: [&str; 2] = ["php-doctrine-dbal", "php-symfony-framework-bundle"];

/// Makes sure that they are there, says which, and returns the directory for PHP's include path.
pub(crate) fn ensure(workspace: &Workspace) -> Outcome<PathBuf> {
    let dir = workspace.target().join("php-libraries");
    let stamp = dir.join("stamp");
    let wanted = format!("{RELEASE}\n{}\n", PACKAGES.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|there| there.starts_with(&wanted)) {
        println!("{}", versions(&dir)?);
        return Ok(dir.join(LIBRARIES));
    }
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|why| format!("cannot remove {}: {why}", dir.display()))?;
    }
    let apt = other_release(&dir.join("apt"))?;
    apt.run(&[&["download"], &PACKAGES[..]].concat())?;
    for package in packages(&dir)? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(package).arg(&dir);
        cargo::run(unpack)?;
    }
    fs::write(&stamp, wanted).map_err(|why| format!("cannot write {}: {why}", stamp.display()))?;
    println!("{}", versions(&dir)?);
    Ok(dir.join(LIBRARIES))
}

/// Where this machine gets packages of its own release from: Debian's mirror, and perhaps others.
fn mirrors() -> Outcome<Vec<String>> {
    let mut update = Command::new("apt-get");
    // It says what it would get, also where no lists are.
    update.args(["update", "--print-uris"]);
    let output = update.output().map_err(|why| format!("cannot run apt-get: {why}"))?;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.ok_or("/etc/os-release names no release of Debian's")?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(lines.lines().filter_map(|line| mirror_of(line, codename)).map(str::to_owned).collect())
}

/// The mirror in a line such as `'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_debian… 0`.
fn mirror_of<'a>(line: &'a str, codename: &str) -> Option<&'a str> {
    let uri = line.strip_prefix('\'')?.split('\'').next()?;
    uri.strip_suffix("/InRelease")?.strip_suffix(codename)?.strip_suffix("/dists/")
}

/// An apt for the other release, from the first mirror that has it and is Debian's by its signature.
fn other_release(dir: &Path) -> Outcome<Apt> {
    let mut failed = "this machine's source lists name no mirror of its own release".to_owned();
    for mirror in mirrors()? {
        let apt = Apt::new(dir, &mirror)?;
        match apt.run(&["update"]) {
            Ok(()) => return Ok(apt),
            Err(why) => failed = why,
        }
    }
    Err(failed)
}

/// An apt that knows one release and nothing of this machine.
struct Apt {
    dir: PathBuf,
}

impl Apt {
    fn new(dir: &Path, mirror: &str) -> Outcome<Apt> {
        for part in ["lists/partial", "cache/archives/partial", "packages"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).map_err(|why| format!("cannot make {}: {why}", part.display()))?;
        }
        let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let files = [
            ("sources.list", format!("deb [signed-by={keys}] {mirror} {RELEASE} main\n")),
            ("status", String::new()),
            ("apt.conf", configuration(dir)),
        ];
        for (name, text) in files {
            let file = dir.join(name);
            fs::write(&file, text).map_err(|why| format!("cannot write {}: {why}", file.display()))?;
        }
        Ok(Apt { dir: dir.to_owned() })
    }

    fn run(&self, arguments: &[&str]) -> Outcome<()> {
        let mut apt = Command::new("apt-get");
        // What is missing of an update would be a warning.
        apt.args(["--quiet=2", "--option", "APT::Update::Error-Mode=any"])
            .args(arguments)
            .current_dir(self.dir.join("packages"));
        apt.env("APT_CONFIG", self.dir.join("apt.conf"));
        cargo::run(apt)
    }
}

/// Absolute paths, which go before whatever the machine's own configuration says.
fn configuration(dir: &Path) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    format!(
        "Dir::Etc::SourceList \"{}\";\nDir::Etc::SourceParts \"-\";\nDir::State::Lists \"{}\";\n\
         Dir::State::Status \"{}\";\nDir::Cache \"{}\";\n\
         # The directory may be closed to apt's own user.\nAPT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n",
        at("sources.list"),
        at("lists"),
        at("status"),
        at("cache"),
    )
}

fn packages(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let dir = dir.join("apt/packages");
    let entries = fs::read_dir(&dir).map_err(|why| format!("cannot read {}: {why}", dir.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// A line about what is there, from the names of the packages' files: `NAME_VERSION_ARCHITECTURE.deb`.
fn versions(dir: &Path) -> Outcome<String> {
    let files = packages(dir)?;
    let names = files.iter().filter_map(|file| file.file_name()?.to_str());
    let mut told: Vec<String> = names.filter_map(version_of).collect();
    told.sort();
    Ok(format!("from Debian's {RELEASE}: {}", told.join(", ")))
}

fn version_of(file: &str) -> Option<String> {
    let mut words = file.split('_');
    let (name, version) = (words.next()?, words.next()?);
    TOLD.contains(&name).then(|| format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_serves_this_machines_release() {
        let line = "'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_InRelease 0 ";
        assert_eq!(mirror_of(line, "bookworm"), Some("http://mirror.example/debian"));
        assert_eq!(mirror_of(&line.replace("bookworm", "bookworm-updates"), "bookworm"), None);
        assert_eq!(mirror_of(&line.replace("bookworm", "bookworm-security"), "bookworm"), None);
        assert_eq!(mirror_of("Reading package lists", "bookworm"), None);
    }

    #[test]
    fn a_version_is_in_the_name_of_a_packages_file() {
        let version = version_of("php-doctrine-dbal_4.2.3+dfsg-4_all.deb");
        assert_eq!(version.as_deref(), Some("php-doctrine-dbal 4.2.3+dfsg-4"));
        assert_eq!(version_of("php-psr-log_3.0.2-1_all.deb"), None);
    }

    #[test]
    fn nothing_of_the_machine_is_touched() {
        for line in configuration(Path::new("/there")).lines().filter(|line| line.starts_with("Dir::")) {
            assert!(line.contains("\"/there/") || line.contains("\"-\""), "{line}");
        }
    }

    #[test]
    fn packages_are_in_order_and_named_once() {
        assert!(PACKAGES.is_sorted_by(|a, b| a < b));
    }
}
