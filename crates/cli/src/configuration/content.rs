//! What a file's content is made of, and which keys that sees: `src`, a template, or `services`.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use waypost_agent::{Content, Form, Language, Services, TemplateFile};
use waypost_model::{Prefix, clean_path};
use waypost_template::Engine;

use super::Settings;
use super::table::Table;
use crate::access::Kind;

/// Where services are unless told otherwise.
const ROOT: &str = "/services";

/// How often a file of services is written at most unless told otherwise: PHP's opcache tells files apart by whole
/// seconds, and each one that it has read costs some of its memory.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// What a resource is made of, and what goes with that.
pub(super) struct Made {
    pub(super) content: Content,
    /// What is taken off keys.
    pub(super) prefix: String,
    pub(super) keys: Vec<Prefix>,
    /// How often it is written at most unless told otherwise.
    pub(super) min_write_interval: Duration,
}

/// Takes it out of `[template]`; `destination` may tell the form of services.
pub(super) fn content(
    table: &mut Table<'_>,
    settings: &Settings,
    kind: Kind,
    destination: Option<&str>,
) -> Option<Made> {
    if !settings.dialect.is_confd() && table.has("services") {
        services(table, settings, kind, destination)
    } else {
        template(table, settings, kind)
    }
}

fn template(table: &mut Table<'_>, settings: &Settings, kind: Kind) -> Option<Made> {
    let file = table.required("src").map(Spanned::into_inner);
    if !settings.dialect.is_confd() {
        // For those who misspell it: it is one of the keys that there are.
        table.known("services");
    }
    let prefix = table.string("prefix").map(Spanned::into_inner).unwrap_or_default();
    let prefix = settings.prefix_of(&prefix);
    let key = |key: &String| Prefix::new(&kind.spelling(&join(&prefix, key)));
    let keys = table.strings("keys").iter().map(key).collect();
    let language = Language { engine: engine(table), dialect: settings.dialect.of_templates() };
    let content = TemplateFile { file: settings.template(&file?), includes: settings.templates(), language };
    Some(Made {
        content: Content::Template(content),
        prefix: settings.taken_off(prefix.trim_end_matches('/'), kind),
        keys,
        min_write_interval: Duration::ZERO,
    })
}

fn services(
    table: &mut Table<'_>,
    settings: &Settings,
    kind: Kind,
    destination: Option<&str>,
) -> Option<Made> {
    for key in ["src", "keys", "prefix", "engine"] {
        table.refuse(key, &format!("`{key}` and `services`: a file is made of a template or of services"));
    }
    let span = table.span_of("services").unwrap_or_default();
    let names = table.strings("services");
    if names.is_empty() && !table.has_problems() {
        table.problem(span.clone(), "`services` must name at least one service");
    }
    if names.iter().any(|name| name.trim_matches('/').is_empty()) {
        table.problem(span.clone(), "`services`: a name cannot be empty");
    }
    let root = table.given("root").map_or(ROOT.to_owned(), Spanned::into_inner);
    let root = Prefix::new(&kind.spelling(&settings.prefix_of(&root)));
    let form = form(table, destination, span)?;
    let services = Services::new(root, names.iter().map(|name| kind.spelling(name)), form);
    Some(Made {
        prefix: String::new(),
        keys: services.keys(),
        content: Content::Services(services),
        min_write_interval: WRITTEN_EVERY,
    })
}

fn form(table: &mut Table<'_>, destination: Option<&str>, span: Range<usize>) -> Option<Form> {
    if let Some(name) = table.given("form") {
        let form = Form::parse(name.get_ref());
        let is_php = destination.and_then(|path| Form::of_file(Path::new(path))) == Some(Form::Php);
        match form {
            None => table.problem(name.span(), "`form` must be php or json"),
            // PHP would print it, and what is beside the addresses with it.
            Some(Form::Json) if is_php => table.problem(name.span(), "a file that ends in .php must be PHP"),
            Some(_) => {}
        }
        return form;
    }
    let destination = destination?;
    let form = Form::of_file(Path::new(destination));
    if form.is_none() {
        table.problem(span, format!("{destination} ends in neither .php nor .json: `form` is needed"));
    }
    form
}

/// What the template is written in, whatever its name ends in.
fn engine(table: &mut Table<'_>) -> Option<Engine> {
    let name = table.string("engine").filter(|name| !name.get_ref().is_empty())?;
    match &**name.get_ref() {
        "go" => Some(Engine::Go),
        "jinja" => Some(Engine::Jinja),
        _ => {
            table.problem(name.span(), "`engine` must be go or jinja");
            None
        }
    }
}

/// `path.Join("/", first, second)`.
pub(super) fn join(first: &str, second: &str) -> String {
    clean_path(&format!("{first}/{second}")).into_owned()
}
