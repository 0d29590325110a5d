//! A configuration tree: resources, templates, destinations, the agent's state, and what reloads saw.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use waypost_servers::{Scratch, Storage};

/// Ends what one reload saw. No rendered line of a test is like it.
const SEEN: &str = "--- reloaded\n";

/// A directory with `conf.d`, `templates`, `out` for the destinations, and `state` for the agent's own.
///
/// Everything goes on drop.
#[derive(Debug)]
pub struct Tree {
    scratch: Scratch,
}

impl Tree {
    /// Makes an empty one.
    ///
    /// # Panics
    ///
    /// When it cannot be made; so do all functions here that touch files.
    #[track_caller]
    pub fn new() -> Tree {
        let scratch = Scratch::new("e2e", Storage::Disk);
        for directory in ["conf.d", "templates", "out"] {
            make(&scratch.join(directory));
        }
        Tree { scratch }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scratch.join(name)
    }

    /// The flags that make waypost work on this tree.
    pub fn arguments(&self) -> [OsString; 4] {
        ["--confdir".into(), self.path().into(), "--state-dir".into(), self.join("state").into()]
    }

    /// The destination of the resource `name`.
    pub fn destination(&self, name: &str) -> PathBuf {
        self.join("out").join(format!("{name}.conf"))
    }

    /// The template of the resource `name`.
    pub fn template(&self, name: &str) -> PathBuf {
        self.join("templates").join(format!("{name}.tmpl"))
    }

    /// The file of the resource `name` in `conf.d`.
    pub fn configuration(&self, name: &str) -> PathBuf {
        self.join("conf.d").join(format!("{name}.toml"))
    }

    /// What is in the destination of `name`; nothing if there is no such file.
    #[track_caller]
    pub fn text(&self, name: &str) -> Option<String> {
        read(&self.destination(name))
    }

    /// What [`Resource::counts_reloads`] noted: the destination's content at each reload, oldest first,
    /// without line ends at its end.
    #[track_caller]
    pub fn reloads(&self, name: &str) -> Vec<String> {
        let seen = read(&self.reload_log(name)).unwrap_or_default();
        let ended = seen.rfind(SEEN).map_or(0, |at| at + SEEN.len());
        let trimmed = |content: &str| content.trim_end_matches('\n').to_owned();
        seen[..ended].split_terminator(SEEN).map(trimmed).collect()
    }

    /// The names of all files beside the destinations, sorted.
    #[track_caller]
    pub fn files(&self) -> Vec<String> {
        let entries = match fs::read_dir(self.join("out")) {
            Ok(entries) => entries,
            Err(why) => panic!("cannot list {}: {why}", self.join("out").display()),
        };
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.filter_map(Result::ok).map(name).collect();
        names.sort();
        names
    }

    fn reload_log(&self, name: &str) -> PathBuf {
        self.join(format!("{name}.reloads"))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // A reload that outlives its killed agent may note what it saw while the directory goes, which then
        // stays: it goes at the second try, the scratch directory's own.
        let _ = fs::remove_dir_all(self.path());
    }
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

/// A resource to be written into a [`Tree`]: it sees `/web` and lists what is directly below, a line a key,
/// unless told otherwise.
#[derive(Debug, Clone)]
pub struct Resource {
    name: String,
    keys: String,
    template: String,
    destination: Option<PathBuf>,
    /// What a reload that is counted does first.
    counted: Option<String>,
    lines: Vec<String>,
}

impl Resource {
    /// The resource `name`: `conf.d/NAME.toml`, `templates/NAME.tmpl` and `out/NAME.conf`.
    pub fn new(name: &str) -> Resource {
        Resource {
            name: name.to_owned(),
            keys: "/web".to_owned(),
            template: "{{range gets \"/web/*\"}}{{base .Key}}={{.Value}}\n{{end}}".to_owned(),
            destination: None,
            counted: None,
            lines: Vec::new(),
        }
    }

    /// The one prefix that it sees.
    #[must_use]
    pub fn keys(mut self, prefix: &str) -> Resource {
        self.keys = prefix.to_owned();
        self
    }

    /// The text of its template.
    #[must_use]
    pub fn template(mut self, text: &str) -> Resource {
        self.template = text.to_owned();
        self
    }

    /// Another destination than the tree's own.
    #[must_use]
    pub fn destination(mut self, path: &Path) -> Resource {
        self.destination = Some(path.to_owned());
        self
    }

    /// A `reload_cmd` that notes what it finds in the destination, for [`Tree::reloads`].
    #[must_use]
    pub fn counts_reloads(self) -> Resource {
        self.counts_reloads_after("true")
    }

    /// As [`Resource::counts_reloads`], with a line for the shell to be run before the note is taken.
    #[must_use]
    pub fn counts_reloads_after(mut self, line: &str) -> Resource {
        self.counted = Some(line.to_owned());
        self
    }

    /// A `check_cmd`, a line for the shell without three single quotes in a row.
    #[must_use]
    pub fn check(self, command: &str) -> Resource {
        self.line(&format!("check_cmd = '''{command}'''"))
    }

    /// A `reload_cmd`, likewise; instead of one that counts.
    #[must_use]
    pub fn reload(self, command: &str) -> Resource {
        self.line(&format!("reload_cmd = '''{command}'''"))
    }

    /// One more line of TOML.
    #[must_use]
    pub fn line(mut self, line: &str) -> Resource {
        self.lines.push(line.to_owned());
        self
    }

    /// Writes it; an older one of the same name is replaced.
    #[track_caller]
    pub fn write_to(mut self, tree: &Tree) {
        let destination = self.destination.clone().unwrap_or_else(|| tree.destination(&self.name));
        if let Some(first) = self.counted.take() {
            let note = note(&destination, &tree.reload_log(&self.name));
            self = self.reload(&format!("{first}; {note}"));
        }
        let Resource { name, keys, template, lines, .. } = self;
        let destination = destination.display();
        let lines = lines.join("\n");
        write(
            &tree.configuration(&name),
            &format!(
                "[template]\nsrc = \"{name}.tmpl\"\ndest = \"{destination}\"\nkeys = [\"{keys}\"]\n{lines}\n"
            ),
        );
        write(&tree.template(&name), &template);
    }
}

/// A line for the shell that appends the content of `file` to `log`, in one write: two never mix.
fn note(file: &Path, log: &Path) -> String {
    let (file, log) = (file.display(), log.display());
    format!("content=$(cat {file}); printf '%s\\n{}\\n' \"$content\" >> {log}", SEEN.trim_end())
}

#[track_caller]
fn make(directory: &Path) {
    if let Err(why) = fs::create_dir_all(directory) {
        panic!("cannot make {}: {why}", directory.display());
    }
}

#[track_caller]
fn write(file: &Path, text: &str) {
    if let Err(why) = fs::write(file, text) {
        panic!("cannot write {}: {why}", file.display());
    }
}

#[track_caller]
fn read(file: &Path) -> Option<String> {
    match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
        Err(why) => panic!("cannot read {}: {why}", file.display()),
    }
}
