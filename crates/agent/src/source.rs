//! Where a resource's content is from: services, or a template that is parsed once, and again when its file has
//! changed; rendered from a view.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use waypost_backend::View;
use waypost_template::{Context, Engine, Files, Limits, Reads, Template};

use crate::names::Keyspace;
use crate::services::Refused;
use crate::world::Surroundings;
use crate::{Content, Failure, Language, Resource, Step, TemplateFile};

/// What tells one state of a file from another.
type Stamp = (u64, u64, i64, i64, u64);

/// The parsed template of one resource.
#[derive(Debug, Default)]
pub(crate) struct Source {
    parsed: Mutex<Option<(Stamp, Arc<Template>)>>,
}

impl Source {
    /// The template as its file has it now.
    fn load(&self, file: &TemplateFile) -> Result<Arc<Template>, Failure> {
        let path = &file.file;
        let failed = |error| Failure::io(Step::Template, "cannot read", path, error);
        let stamp = stamp(&fs::metadata(path).map_err(failed)?);
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, template)) = parsed.as_ref().filter(|(known, _)| *known == stamp) {
            return Ok(Arc::clone(template));
        }
        let bytes = fs::read(path).map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Language { engine, dialect } = file.language;
        let engine = engine.unwrap_or_else(|| Engine::of_file(&name));
        let template = Template::parse_with(engine, dialect, &name, &bytes)
            .map_err(|error| of_template(Step::Template, &error))?;
        let template = Arc::new(template);
        *parsed = Some((stamp, Arc::clone(&template)));
        Ok(template)
    }

    /// Renders it from the keys of `view` that `resource` may see. A render that failed tells what it had
    /// looked at, too.
    pub(crate) fn render(&self, resource: &Resource, view: &View) -> Result<Made, Box<Unrendered>> {
        match &resource.content {
            Content::Template(file) => self.render_template(file, resource, view),
            Content::Services(services) => {
                let (bytes, refused) = services.render(view);
                // Which keys it looks at, its `keys` say.
                Ok(Made { bytes, reads: Reads::default(), refused })
            }
        }
    }

    fn render_template(
        &self,
        file: &TemplateFile,
        resource: &Resource,
        view: &View,
    ) -> Result<Made, Box<Unrendered>> {
        let template = self.load(file).map_err(|failure| Box::new(Unrendered { failure, reads: None }))?;
        let names = Keyspace::new(view, resource);
        let files = Directory(file.includes.clone());
        let context =
            Context { names: &names, files: &files, world: &Surroundings, limits: Limits::default() };
        let failed = |error: waypost_template::Error| {
            let reads = Some(error.reads().clone());
            Box::new(Unrendered { failure: of_template(Step::Render, &error), reads })
        };
        let rendered = template.render(&context).map_err(failed)?;
        Ok(Made { bytes: rendered.bytes, reads: rendered.reads, refused: Refused::new() })
    }
}

/// A file's content.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    /// What a template looked at.
    pub(crate) reads: Reads,
    /// What was left out because it is no instance.
    pub(crate) refused: Refused,
}

/// A render that gave nothing.
#[derive(Debug)]
pub(crate) struct Unrendered {
    pub(crate) failure: Failure,
    /// What had been looked at; none if there was no template to render.
    pub(crate) reads: Option<Reads>,
}

/// The failure for a template's error.
fn of_template(step: Step, error: &waypost_template::Error) -> Failure {
    let snippet = error.snippet();
    // Its first line is the message again.
    let (_, source) = snippet.split_once('\n').unwrap_or_default();
    Failure::new(step, error.to_string()).with_detail(source.trim_end())
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec(), metadata.dev())
}

/// The directory that `include` reads from.
#[derive(Debug)]
struct Directory(PathBuf);

impl Files for Directory {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(path))
    }
}
