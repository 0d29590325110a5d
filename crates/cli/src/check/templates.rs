//! A resource's template and what it includes, looked at without a render: syntax, functions, keys, files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use waypost_agent::{Language, Resource, TemplateFile};
use waypost_template::{Call, Engine, Include, Outline, Template, included_path, outline};

use super::cover::{Read, Sight};
use super::finding::{Finding, Findings, Grade};
use super::resources::reason;

/// A template file that was read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) source: String,
    pub(crate) outline: Outline,
}

/// The language of a template.
pub(crate) fn engine(template: &TemplateFile) -> Engine {
    let name = template.file.file_name().unwrap_or_default().to_string_lossy();
    template.language.engine.unwrap_or_else(|| Engine::of_file(&name))
}

/// Looks at the template of `resource` and at what it includes; what is wrong is added to `findings`. Gives
/// the files, the template itself first, and none if it cannot be read, which is then not told, or if there is
/// none.
pub(crate) fn look(resource: &Resource, findings: &mut Findings) -> Vec<File> {
    let Some(template) = resource.content.template() else { return Vec::new() };
    let sight = Sight::of(resource);
    let mut looker = Looker { template, sight, findings, seen: HashSet::new(), files: Vec::new() };
    if let Ok(bytes) = fs::read(&template.file) {
        looker.file(&template.file, &bytes, engine(template));
    }
    looker.files
}

struct Looker<'a> {
    template: &'a TemplateFile,
    sight: Sight,
    findings: &'a mut Findings,
    seen: HashSet<(PathBuf, bool)>,
    files: Vec<File>,
}

impl Looker<'_> {
    fn file(&mut self, path: &Path, bytes: &[u8], engine: Engine) {
        let source = String::from_utf8_lossy(bytes).into_owned();
        let outline = outline(engine, bytes);
        let objections = self.calls(path, &source, &outline.calls);
        self.syntax(path, bytes, engine, &objections);
        let mut includes = outline.includes.clone();
        if outline.calls.iter().any(|call| call.function == "include" && self.objects(call)) {
            includes.clear();
        }
        self.files.push(File { path: path.to_owned(), source: source.clone(), outline });
        for include in includes {
            self.include(path, &source, &include);
        }
    }

    fn objects(&self, call: &Call) -> bool {
        call.objection(self.template.language.dialect).is_some()
    }

    /// Looks at all calls; gives the places of functions that are none, each of which is told once.
    fn calls(&mut self, path: &Path, source: &str, calls: &[Call]) -> Vec<(usize, usize)> {
        let (mut places, mut names) = (Vec::new(), HashSet::new());
        for call in calls {
            if let Some(objection) = call.objection(self.template.language.dialect) {
                let finding = Finding::at(Grade::Fault, path, source, call.at, objection);
                places.extend(finding.place.as_ref().map(|(_, line, column)| (*line, *column)));
                if names.insert(&call.function) {
                    self.findings.push(finding);
                }
            } else if let Some(read) = Read::of(call)
                && !self.sight.covers(&read)
            {
                let grade = if has_answer(call) { Grade::Oddity } else { Grade::Doubt };
                self.findings.push(Finding::at(grade, path, source, call.at, uncovered(&read, &self.sight)));
            }
        }
        places
    }

    /// Tells why the file is no template, if it is none, and that is not told yet.
    fn syntax(&mut self, path: &Path, bytes: &[u8], engine: Engine, told: &[(usize, usize)]) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Language { dialect, .. } = self.template.language;
        let Err(error) = Template::parse_with(engine, dialect, &name, bytes) else { return };
        if told.contains(&(error.line(), error.column())) {
            return;
        }
        let mut finding = Finding::described(Grade::Fault, &error.snippet());
        if let Some((file, ..)) = &mut finding.place {
            *file = path.display().to_string();
        }
        self.findings.push(finding);
    }

    fn include(&mut self, path: &Path, source: &str, include: &Include) {
        let mut tell = |text: String| {
            self.findings.push(Finding::at(Grade::Fault, path, source, include.at, text));
        };
        let name = String::from_utf8_lossy(&include.name).into_owned();
        let Some(relative) = included_path(&include.name) else {
            return tell(format!("`{name}` is outside of the directory of templates"));
        };
        let file = self.template.includes.join(&relative);
        match fs::read(&file) {
            Ok(bytes) => {
                if self.seen.insert((file.clone(), include.engine == Engine::Jinja)) {
                    self.file(&file, &bytes, include.engine);
                }
            }
            Err(_) if include.may_be_missing => {}
            Err(error) => tell(format!("cannot include {}: {}", file.display(), reason(&error))),
        }
    }
}

/// True if the call makes sense without a key, too.
fn has_answer(call: &Call) -> bool {
    match &*call.function {
        "exists" | "keyExists" | "keyOrDefault" => true,
        "getv" => call.arguments.len() > 1,
        _ => false,
    }
}

/// That no entry of `keys` covers `read`.
pub(crate) fn uncovered(read: &Read, sight: &Sight) -> String {
    let name = read.name();
    if !name.starts_with('/') {
        return format!("nothing is called `{name}`: the names of keys begin with a slash");
    }
    format!("`{name}` is read, and `keys` does not cover it: the template sees {sight}")
}
