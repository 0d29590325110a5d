//! waypost called as confd: the command lines of both generations, on a [`Tree`].

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use waypost_servers::Etcd;

use crate::{Output, Tree, Waypost, command, finish};

/// Which confd is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// 0.16 and its later master: one flat set of flags.
    Old,
    /// The fork at 0.41: a backend is named among the flags.
    New,
}

impl Generation {
    /// Both.
    pub const BOTH: [Generation; 2] = [Generation::New, Generation::Old];

    /// Its version, as the golden data has it.
    pub fn version(self) -> &'static str {
        match self {
            Generation::Old => "0.16",
            Generation::New => "0.41",
        }
    }
}

/// A command line of confd's in the making: each step gives another one.
///
/// It works on a tree's directory, without a `confd.toml` unless the tree has one, and remembers what it
/// has written in the tree's `state`.
#[derive(Debug, Clone)]
pub struct Confd {
    generation: Generation,
    tree: PathBuf,
    /// How waypost is called: a symlink named `confd` to it, or by its own name.
    link: Option<PathBuf>,
    directory: Option<PathBuf>,
    store: Vec<OsString>,
    flags: Vec<OsString>,
    variables: Vec<(String, OsString)>,
}

impl Confd {
    /// One of `generation`, for `tree`, with no store named yet.
    pub fn new(generation: Generation, tree: &Tree) -> Confd {
        Confd {
            generation,
            tree: tree.path().to_owned(),
            link: None,
            directory: Some(tree.path().to_owned()),
            store: Vec::new(),
            flags: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Reads the v3 keys of `etcd`.
    #[must_use]
    pub fn etcd(&self, etcd: &Etcd) -> Confd {
        self.node(&etcd.url())
    }

    /// Reads the v3 keys of the etcd at `node`.
    #[must_use]
    pub fn node(&self, node: &str) -> Confd {
        match self.generation {
            Generation::Old => self.store(&["-backend", "etcdv3", "-node", node]),
            Generation::New => self.store(&["etcd", "--node", node]),
        }
    }

    /// Reads a file of keys.
    #[must_use]
    pub fn file(&self, path: &Path) -> Confd {
        let path = path.display().to_string();
        match self.generation {
            Generation::Old => self.store(&["-backend", "file", "-file", &path]),
            Generation::New => self.store(&["file", "--file", &path]),
        }
    }

    /// Reads the store of that name, with no more said of it.
    #[must_use]
    pub fn backend(&self, name: &str) -> Confd {
        match self.generation {
            Generation::Old => self.store(&["-backend", name]),
            Generation::New => self.store(&[name]),
        }
    }

    /// The words that name the store, in the place of earlier ones.
    #[must_use]
    pub fn store(&self, words: &[&str]) -> Confd {
        Confd { store: words.iter().map(OsString::from).collect(), ..self.clone() }
    }

    /// More flags, separated by blanks; they come before the store.
    #[must_use]
    pub fn flags(&self, flags: &str) -> Confd {
        let mut confd = self.clone();
        confd.flags.extend(flags.split_whitespace().map(OsString::from));
        confd
    }

    /// A variable of the environment.
    #[must_use]
    pub fn variable(&self, name: &str, value: impl Into<OsString>) -> Confd {
        let mut confd = self.clone();
        confd.variables.push((name.to_owned(), value.into()));
        confd
    }

    /// Leaves `--confdir` out, which something else is to say.
    #[must_use]
    pub fn without_confdir(&self) -> Confd {
        Confd { directory: None, ..self.clone() }
    }

    /// Calls waypost through a symlink named `confd`, instead of `waypost confd`.
    ///
    /// # Panics
    ///
    /// When the link cannot be made, or waypost is not built.
    #[must_use]
    #[track_caller]
    pub fn through_a_link(&self) -> Confd {
        let link = self.tree.join("confd");
        let binary = PathBuf::from(command().get_program());
        if !link.exists()
            && let Err(why) = std::path::absolute(&binary).and_then(|binary| symlink(binary, &link))
        {
            panic!("cannot link {} to {}: {why}", link.display(), binary.display());
        }
        Confd { link: Some(link), ..self.clone() }
    }

    /// The command line.
    ///
    /// # Panics
    ///
    /// When waypost is not built.
    #[track_caller]
    pub fn command(&self) -> Command {
        let mut words = command();
        match &self.link {
            Some(link) => words = with_program(link, &words),
            None => _ = words.arg("confd"),
        }
        // One dash and two mean the same to waypost; to the old generation, too.
        let dash = if self.generation == Generation::Old { "-" } else { "--" };
        words.arg(format!("{dash}config-file")).arg(self.tree.join("confd.toml"));
        if let Some(directory) = &self.directory {
            words.arg(format!("{dash}confdir")).arg(directory);
        }
        words.args(&self.flags).args(&self.store);
        words.env("XDG_STATE_HOME", self.tree.join("state"));
        words.envs(self.variables.iter().map(|(name, value)| (name, value)));
        words
    }

    /// Runs it with `-onetime` to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn once(&self) -> Output {
        self.flags("-onetime").run()
    }

    /// Runs it as it is to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn run(&self) -> Output {
        finish(&mut self.command())
    }

    /// Starts it, to keep running.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn start(&self, tree: &Tree) -> Waypost {
        Waypost::start(self.command(), tree)
    }
}

/// Another program in the environment of `command`.
fn with_program(program: &Path, command: &Command) -> Command {
    let mut other = Command::new(program);
    crate::binary::share_environment(command, &mut other);
    other
}
