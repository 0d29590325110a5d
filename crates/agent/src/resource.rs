//! What is to be kept up to date.

use std::path::{Path, PathBuf};
use std::time::Duration;

use waypost_model::Prefix;
use waypost_template::{Dialect, Engine};

pub use crate::format::Format;
pub use crate::services::{Form, Services};
use crate::{docker, fastcgi, varnish};

/// A template or services, where that goes, and what has to be told of it. confd's template resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What messages call it: the name of its file in `conf.d`.
    pub name: String,
    /// What its content is made of.
    pub content: Content,
    /// The file that is kept up to date.
    pub destination: PathBuf,
    /// What is taken off the front of keys before the template sees them: empty, or an absolute path.
    pub prefix: String,
    /// The keys that the template may see, with the prefix.
    pub keys: Vec<Prefix>,
    /// Which of the agent's stores they are in: an index.
    pub store: usize,
    /// Owner and permissions.
    pub attributes: Attributes,
    /// What the content must be, before it is checked.
    pub format: Option<Format>,
    /// What must accept the staged file, which it finds as `{{.src}}`.
    pub check: Option<Command>,
    /// What makes the process that reads the file read it again.
    pub reload: Option<Reload>,
    /// How long after a reload began the next one of the same target may begin. It is put off until then, and
    /// never dropped; files are written meanwhile.
    pub min_reload_interval: Duration,
    /// How long after its file was written it may be written again. A change is put off until then, and never
    /// dropped; the first one is applied at once.
    pub min_write_interval: Duration,
    /// How long its keys must have been quiet before a change is applied, though never longer than ten times
    /// that after the first one; the agent's own if none is given.
    pub debounce: Option<Duration>,
}

/// What the content of a file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A template's output.
    Template(TemplateFile),
    /// The services of a registry.
    Services(Services),
}

impl Content {
    /// The template, if it is one.
    pub fn template(&self) -> Option<&TemplateFile> {
        match self {
            Content::Template(template) => Some(template),
            Content::Services(_) => None,
        }
    }
}

/// A template in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFile {
    /// The file.
    pub file: PathBuf,
    /// The directory that `include` reads from.
    pub includes: PathBuf,
    /// What it is written in.
    pub language: Language,
}

/// What a template is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Language {
    /// Go's language or Jinja; the end of the file's name tells if nothing else does.
    pub engine: Option<Engine>,
    /// Whose functions it knows.
    pub dialect: Dialect,
}

/// What makes a process read its files again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// A command.
    Command(Command),
    /// A signal to a container.
    Docker(docker::Signal),
    /// A request to a script of PHP's.
    FastCgi(fastcgi::Notice),
    /// The file is a VCL, which Varnish is to use.
    Varnish(varnish::Door),
}

/// Owner and permissions of a destination; what is not given is as the file had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits; 0644 for a file that is new.
    pub mode: Option<u32>,
    /// The owner's user id; the agent's own for a file that is new.
    pub uid: Option<u32>,
    /// The group's id; likewise.
    pub gid: Option<u32>,
}

/// A line for `/bin/sh -c`, in which `{{.src}}` stands for the staged file and `{{.dest}}` for the
/// destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The line, as a template.
    pub line: String,
    /// How long it may run before it is killed with all it started.
    pub timeout: Duration,
    /// Whether anything stands for anything; confd 0.16 takes its reload as it is.
    pub is_template: bool,
}

impl Resource {
    /// The directory of the destination.
    pub(crate) fn directory(&self) -> &Path {
        match self.destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// True if who reads the file tells one state of it from another by its time in whole seconds, as PHP's
    /// opcache does.
    pub(crate) fn is_told_by_its_time(&self) -> bool {
        matches!(self.content, Content::Services(_)) || matches!(self.reload, Some(Reload::FastCgi(_)))
    }

    /// The empty file beside the destination whose time is when the registry answered last.
    pub(crate) fn marker(&self) -> PathBuf {
        self.sibling("seen")
    }

    /// Where the new content lies until it is swapped in: a hidden sibling, so that the rename stays within
    /// one file system and `include conf.d/*` does not find it.
    pub(crate) fn stage(&self) -> PathBuf {
        self.sibling("waypost")
    }

    fn sibling(&self, ending: &str) -> PathBuf {
        let name = self.destination.file_name().unwrap_or_default().to_string_lossy();
        self.directory().join(format!(".{name}.{ending}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A resource that writes `web.conf` in `directory` from `web.tmpl` beside it, and sees `/web`.
    pub(crate) fn resource(directory: &Path) -> Resource {
        Resource {
            name: "web.toml".into(),
            content: Content::Template(TemplateFile {
                file: directory.join("web.tmpl"),
                includes: directory.to_owned(),
                language: Language::default(),
            }),
            destination: directory.join("web.conf"),
            prefix: String::new(),
            keys: vec![Prefix::new("/web")],
            store: 0,
            attributes: Attributes::default(),
            format: None,
            check: None,
            reload: None,
            min_reload_interval: Duration::ZERO,
            min_write_interval: Duration::ZERO,
            debounce: None,
        }
    }

    /// A resource that writes the service `db` to `services.php` in `directory`.
    pub(crate) fn services(directory: &Path) -> Resource {
        let services = Services::new(Prefix::new("/services"), ["db".to_owned()], Form::Php);
        let mut resource = resource(directory);
        resource.destination = directory.join("services.php");
        resource.keys = services.keys();
        resource.content = Content::Services(services);
        resource
    }

    #[test]
    fn the_stage_is_a_hidden_sibling() {
        let mut resource = resource(Path::new("/etc/nginx"));
        assert_eq!(resource.stage(), Path::new("/etc/nginx/.web.conf.waypost"));
        resource.destination = "web.conf".into();
        assert_eq!(resource.stage(), Path::new("./.web.conf.waypost"));
    }
}
