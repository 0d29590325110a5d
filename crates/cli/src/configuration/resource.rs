//! A file of `conf.d`: confd's `[template]` table.
//!
//! Source: confd's `docs/template-resources.md` and its `resource/template` package for what the docs leave
//! out: a mode is read like a Go literal, -1 as uid or gid means "not set", and ids win over names.

use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{Group, User, getegid, geteuid};
use toml::Spanned;
use waypost_agent::{Attributes, Command, Format, Resource};
use waypost_template::expand;

use super::content::{Made, content, join};
use super::reload::reload;
use super::table::{Problem, Table};
use super::{Dialect, Settings, backend};
use crate::access::{Access, Kind};
use crate::duration::duration;

/// As good as no limit, and bounded.
pub(super) const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A file of `conf.d` that can be worked with.
pub(super) struct Read {
    /// Its store is the main one until the caller knows better.
    pub(super) resource: Resource,
    /// The store of its own, if it has one.
    pub(super) backend: Option<Access>,
    /// What is odd, and no obstacle.
    pub(super) oddities: Vec<Problem>,
}

/// Reads the file `name`.
pub(super) fn read(name: &str, source: &str, settings: &Settings) -> Result<Read, Vec<Problem>> {
    let mut root = Table::root(source)?.in_any_case(settings.dialect.is_confd());
    let backend = root.table("backend").and_then(|table| backend::read(&mut root, table));
    let Some(table) = root.table("template") else {
        if !root.has_problems() {
            root.load_problem(0..0, "there is no [template] table");
        }
        root.finish();
        return Err(root.problems);
    };
    let kind = backend.as_ref().map_or(settings.kind, Access::kind);
    let resource = resource(name, settings, kind, table, &mut root);
    root.finish();
    let dialect = settings.dialect;
    let (oddities, problems): (Vec<_>, Vec<_>) =
        root.problems.into_iter().partition(|problem| dialect.is_confd() && problem.is_unknown_key());
    match resource {
        Some(resource) if problems.is_empty() => Ok(Read { resource, backend, oddities }),
        _ => Err(problems),
    }
}

fn resource<'a>(
    name: &str,
    settings: &Settings,
    kind: Kind,
    mut table: Table<'a>,
    root: &mut Table<'a>,
) -> Option<Resource> {
    let destination = table.required_later("dest").map(Spanned::into_inner);
    let made = content(&mut table, settings, kind, destination.as_deref());
    let attributes = attributes(&mut table, settings.dialect);
    let format = format(&mut table);
    let check = command(&mut table, "check_cmd", "check_cmd_timeout", (settings.check_timeout, true));
    let reload = reload(&mut table, settings);
    let min_reload_interval = time(&mut table, "min_reload_interval").unwrap_or_default();
    // Called as confd, it knows no such key.
    let limited = if settings.dialect.is_confd() { None } else { time(&mut table, "min_write_interval") };
    let debounce = time(&mut table, "debounce");
    root.end(table);
    let Made { content, prefix, keys, min_write_interval } = made?;
    Some(Resource {
        name: name.to_owned(),
        content,
        destination: destination?.into(),
        prefix,
        keys,
        store: 0,
        attributes,
        format,
        check,
        reload,
        min_reload_interval,
        min_write_interval: limited.unwrap_or(min_write_interval),
        debounce,
    })
}

impl Settings {
    /// A global prefix is put before the resource's; confd 0.16 takes it instead.
    pub(super) fn prefix_of(&self, prefix: &str) -> String {
        match self.dialect {
            Dialect::Confd016 if !self.prefix.is_empty() => join("", &self.prefix),
            _ => join(&self.prefix, prefix),
        }
    }

    /// The file of a template. confd looks below `templates` even for a path from the root.
    pub(super) fn template(&self, src: &str) -> PathBuf {
        let below = if self.dialect.is_confd() { src.trim_start_matches('/') } else { src };
        self.templates().join(below)
    }

    /// What is taken off keys, as the store spells them. confd takes off what is written, and so nothing from
    /// variables of the environment, whose keys have neither `_` nor capitals.
    pub(super) fn taken_off(&self, prefix: &str, kind: Kind) -> String {
        let spelled = kind.spelling(prefix);
        if self.dialect.is_confd() && spelled != prefix { String::new() } else { spelled }
    }

    pub(super) fn templates(&self) -> PathBuf {
        self.directory.join("templates")
    }
}

fn format(table: &mut Table<'_>) -> Option<Format> {
    let name = table.given("output_format")?;
    let format = Format::parse(name.get_ref());
    if format.is_none() {
        table.problem(name.span(), "`output_format` must be json, yaml, yml, toml or xml");
    }
    format
}

fn attributes(table: &mut Table<'_>, dialect: Dialect) -> Attributes {
    let mode = table.given("mode").and_then(|mode| match parse_mode(mode.get_ref(), dialect) {
        Some(bits) => Some(bits),
        None => {
            table.problem(mode.span(), "`mode` must be permission bits such as \"0644\"");
            None
        }
    });
    // confd 0.16 does not know names of owners: they are left for it to be told as unknown.
    let knows_names = dialect != Dialect::Confd016;
    let owner = if knows_names { table.given("owner") } else { None };
    let owner = owner.and_then(|name| {
        named(table, &name, "user", |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
    });
    let group = if knows_names { table.given("group") } else { None };
    let group = group.and_then(|name| {
        named(table, &name, "group", |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
    });
    // confd makes what nobody is named for its own; waypost leaves it to whom it belongs.
    let (uid, gid) = (id(table, "uid").or(owner), id(table, "gid").or(group));
    match dialect.is_confd() {
        true => Attributes {
            mode,
            uid: Some(uid.unwrap_or(geteuid().as_raw())),
            gid: Some(gid.unwrap_or(getegid().as_raw())),
        },
        false => Attributes { mode, uid, gid },
    }
}

/// Reads permission bits as Go's `strconv.ParseUint(mode, 0, 32)` does: `"0644"` and `"0o644"` are octal,
/// `"420"` is decimal. Of a number for confd the nine bits count that Go's `os.Chmod` takes for permissions.
pub(super) fn parse_mode(text: &str, dialect: Dialect) -> Option<u32> {
    let digits = text.replace('_', "");
    let parse = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    let bits = match digits.as_bytes() {
        [b'0', b'o' | b'O', ..] => parse(&digits[2..], 8),
        [b'0', b'x' | b'X', ..] => parse(&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => parse(&digits[2..], 2),
        [b'0', _, ..] => parse(&digits[1..], 8),
        _ => parse(&digits, 10),
    };
    match dialect.is_confd() {
        true => bits.map(|bits| bits & 0o777),
        false => bits.filter(|bits| *bits <= 0o7777),
    }
}

fn id(table: &mut Table<'_>, key: &'static str) -> Option<u32> {
    let id = table.integer(key)?;
    match u32::try_from(*id.get_ref()) {
        Ok(id) => Some(id),
        Err(_) if *id.get_ref() == -1 => None,
        Err(_) => {
            table.problem(id.span(), format!("`{key}` must be a number from 0 on, or -1 for none"));
            None
        }
    }
}

fn named(
    table: &mut Table<'_>,
    name: &Spanned<String>,
    what: &str,
    look_up: impl FnOnce(&str) -> nix::Result<Option<u32>>,
) -> Option<u32> {
    let found = look_up(name.get_ref());
    let message = match found {
        Ok(Some(id)) => return Some(id),
        Ok(None) => format!("there is no {what} `{}`", name.get_ref()),
        Err(error) => format!("cannot look up the {what} `{}`: {error}", name.get_ref()),
    };
    table.problem(name.span(), message);
    None
}

/// A command, with the limit that it has if it does not say so, and whether it is filled in.
pub(super) fn command(
    table: &mut Table<'_>,
    key: &'static str,
    timeout: &'static str,
    (default, is_template): (Duration, bool),
) -> Option<Command> {
    let line = table.given(key);
    let timeout = time(table, timeout).unwrap_or(default);
    // As confd has it, 0 is no limit.
    let timeout = if timeout.is_zero() { A_DAY } else { timeout };
    let line = line?;
    let filled = expand(key, line.get_ref().as_bytes(), &[("src", "/stage"), ("dest", "/dest")]);
    match filled {
        Err(error) if is_template => {
            table.problem(line.span(), format!("`{key}` is no template: {}", error.message()));
            None
        }
        _ => Some(Command { line: line.into_inner(), timeout, is_template }),
    }
}

pub(super) fn time(table: &mut Table<'_>, key: &'static str) -> Option<Duration> {
    let text = table.given(key)?;
    duration(text.get_ref()).map_err(|why| table.problem(text.span(), format!("`{key}`: {why}"))).ok()
}

#[cfg(test)]
mod tests {
    use waypost_agent::{Content, Reload};
    use waypost_model::Prefix;
    use waypost_template::Engine;

    use super::*;

    fn settings(dialect: Dialect, prefix: &str) -> Settings {
        Settings { prefix: prefix.to_owned(), dialect, ..Settings::new("/c") }
    }

    fn read_with(settings: &Settings, body: &str) -> Read {
        let source = format!("[template]\nsrc = \"n.tmpl\"\ndest = \"/etc/n\"\n{body}");
        read("n.toml", &source, settings).map_err(|problems| shown(&problems, &source)).unwrap()
    }

    fn resource(body: &str) -> Resource {
        read_with(&settings(Dialect::Waypost, ""), body).resource
    }

    fn template_of(resource: &Resource) -> &waypost_agent::TemplateFile {
        resource.content.template().unwrap()
    }

    fn shown(problems: &[Problem], source: &str) -> Vec<String> {
        problems.iter().map(|problem| problem.describe("n.toml", source)).collect()
    }

    fn problems(body: &str) -> Vec<String> {
        let source = format!("[template]\n{body}");
        let read = read("n.toml", &source, &settings(Dialect::Waypost, ""));
        shown(&read.err().unwrap(), &source)
    }

    #[test]
    fn prefixes_are_joined_and_taken_off_again() {
        let body = "prefix = \"prod/\"\nkeys = [\"/web\", \"db\"]";
        for dialect in [Dialect::Waypost, Dialect::Confd041] {
            let resource = read_with(&settings(dialect, "/eu"), body).resource;
            assert_eq!(resource.prefix, "/eu/prod");
            assert_eq!(resource.keys, ["/eu/prod/web", "/eu/prod/db"].map(Prefix::new));
        }
    }

    #[test]
    fn the_global_prefix_of_confd_0_16_takes_the_place_of_the_resources() {
        let body = "prefix = \"prod\"\nkeys = [\"/web\"]";
        let resource = read_with(&settings(Dialect::Confd016, "eu"), body).resource;
        assert_eq!((&*resource.prefix, &resource.keys[..]), ("/eu", &[Prefix::new("/eu/web")][..]));
        let resource = read_with(&settings(Dialect::Confd016, ""), body).resource;
        assert_eq!(resource.prefix, "/prod");
    }

    #[test]
    fn confd_looks_below_templates_for_a_path_from_the_root() {
        let source = "[template]\nsrc = \"/n.tmpl\"\ndest = \"/etc/n\"\n";
        let path = |dialect| {
            let read = read("n.toml", source, &settings(dialect, ""));
            read.map(|read| template_of(&read.resource).file.clone())
                .map_err(|problems| shown(&problems, source))
                .unwrap()
        };
        assert_eq!(path(Dialect::Confd041), PathBuf::from("/c/templates/n.tmpl"));
        assert_eq!(path(Dialect::Waypost), PathBuf::from("/n.tmpl"));
    }

    #[test]
    fn confd_reads_keys_in_any_case() {
        let source = "[Template]\nSrc = \"n\"\nDEST = \"/etc/n\"\nReload_Cmd = \"true\"\n";
        let read_as = |dialect| read("n.toml", source, &settings(dialect, ""));
        let resource = read_as(Dialect::Confd016).map(|read| read.resource);
        let resource = resource.map_err(|problems| shown(&problems, source)).unwrap();
        assert!(resource.reload.is_some() && resource.destination == std::path::Path::new("/etc/n"));
        assert!(read_as(Dialect::Waypost).is_err(), "to waypost it is a mistake");
    }

    #[test]
    fn what_confd_does_not_know_is_odd_to_it_and_no_obstacle() {
        let body = "description = \"x\"\nowner = \"no-such-user\"\n";
        let read = read_with(&settings(Dialect::Confd016, ""), body);
        let told = shown(&read.oddities, "");
        assert!(told[0].contains("unknown key `description`") && told[1].contains("`owner`"), "{told:?}");
    }

    #[test]
    fn what_confd_writes_belongs_to_it_unless_somebody_is_named() {
        let is = |body: &str| read_with(&settings(Dialect::Confd041, ""), body).resource.attributes;
        let own = (Some(geteuid().as_raw()), Some(getegid().as_raw()));
        assert_eq!((is("").uid, is("gid = -1").gid), own);
        assert_eq!(is("uid = 33").uid, Some(33));
    }

    #[test]
    fn a_resource_has_one_reload() {
        let Some(Reload::Docker(signal)) = resource("reload = { docker = \"nginx\" }").reload else {
            panic!()
        };
        assert_eq!((&*signal.container, &*signal.signal), ("nginx", "HUP"));
        for (body, wanted) in [
            ("reload_cmd = \"x\"\nreload = { docker = \"n\" }\n", "one or the other"),
            ("reload = { signal = \"HUP\" }\n", "`docker`, `fastcgi` or `varnish` is missing"),
            ("reload = { docker = \"n\", varnish = \"h:1\" }\n", "one of them"),
            ("reload = { docker = \"n\", script = \"/x\" }\n", "unknown key `script`"),
            ("reload = { fastcgi = \"php.sock\" }\n", "neither the path of a socket nor HOST:PORT"),
            ("reload = { fastcgi = \"/s\", script = \"x\" }\n", "absolute path"),
            ("reload = { varnish = \"here\" }\n", "is not HOST:PORT"),
            ("reload = { varnish = \"h:1\", prefx = \"a\" }\n", "is `prefix` meant?"),
            ("reload = { varnish = \"h:1\", prefix = \"a b\" }\n", "cannot begin the name"),
            ("reload = { docker = \"n\", signal = \"HOP\" }\n", "is not a signal"),
        ] {
            let told = problems(&format!("src = \"a\"\ndest = \"b\"\n{body}"));
            assert!(told.iter().any(|line| line.contains(wanted)), "{told:?}");
        }
    }

    #[test]
    fn the_engine_is_told_or_left_to_the_files_name() {
        assert_eq!(template_of(&resource("engine = \"jinja\"")).language.engine, Some(Engine::Jinja));
        assert_eq!(template_of(&resource("")).language.engine, None);
        let told = problems("src = \"a\"\ndest = \"b\"\nengine = \"php\"\n");
        assert!(told[0].contains("`engine` must be go or jinja"), "{told:?}");
    }

    #[test]
    fn formats_and_times_are_read() {
        let body = "output_format = \"yml\"\nmin_reload_interval = \"1m\"\ndebounce = \"1.5s\"";
        let resource = resource(body);
        assert_eq!(resource.format, Some(Format::Yaml));
        assert_eq!(resource.min_reload_interval, Duration::from_secs(60));
        assert_eq!(resource.debounce, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_command_that_is_no_template_is_found_when_it_is_read() {
        let body = "src = \"a\"\ndest = \"/b\"\ncheck_cmd = \"t {{\"\nreload_cmd = \"r {{nope}}\"\n";
        let told = problems(body);
        assert!(told[0].starts_with("n.toml:4:13: `check_cmd` is no template: "), "{told:?}");
        assert!(told[1].starts_with("n.toml:5:14: `reload_cmd` is no template: "), "{told:?}");
        let old = read_with(&settings(Dialect::Confd016, ""), "reload_cmd = \"r {{\"\n").resource;
        assert!(old.reload.is_some(), "confd 0.16 fills nothing in");
    }

    #[test]
    fn what_the_environment_cannot_spell_is_taken_off_by_waypost_and_not_by_confd() {
        let body = "prefix = \"/My_App\"\nkeys = [\"/db\"]";
        for (dialect, wanted) in [(Dialect::Waypost, "/my/app"), (Dialect::Confd016, "")] {
            let settings = Settings { kind: Kind::Env, ..settings(dialect, "") };
            let resource = read_with(&settings, body).resource;
            assert_eq!((&*resource.prefix, &resource.keys[0]), (wanted, &Prefix::new("/my/app/db")));
        }
    }

    #[test]
    fn without_a_prefix_nothing_is_taken_off() {
        let resource = resource("keys = [\"/\"]");
        assert_eq!((&*resource.prefix, &resource.keys[..]), ("", &[Prefix::all()][..]));
    }

    #[test]
    fn modes_are_read_as_go_reads_numbers() {
        let cases = [("0644", 0o644), ("0o600", 0o600), ("420", 0o644), ("0x1a4", 0o644)];
        for (text, bits) in cases {
            assert_eq!(parse_mode(text, Dialect::Waypost), Some(bits), "{text}");
        }
        for text in ["", "rw", "0888", "-1", "99999"] {
            assert_eq!(parse_mode(text, Dialect::Waypost), None, "{text}");
        }
    }

    #[test]
    fn confd_takes_nine_bits_of_a_mode() {
        for (text, bits) in [("0644", 0o644), ("644", 0o204), ("04755", 0o755), ("99999", 0o237)] {
            assert_eq!(parse_mode(text, Dialect::Confd016), Some(bits), "{text}");
        }
    }

    #[test]
    fn an_empty_text_says_nothing() {
        let empty =
            ["mode", "owner", "group", "prefix", "check_cmd", "reload_cmd", "output_format", "debounce"];
        let body: String = empty.iter().map(|key| format!("{key} = \"\"\n")).collect();
        let resource = resource(&body);
        assert_eq!(resource.attributes, Attributes { mode: None, uid: None, gid: None });
        assert!(resource.check.is_none() && resource.reload.is_none() && resource.format.is_none());
    }

    #[test]
    fn ids_win_over_names_and_minus_one_is_none() {
        let attributes = resource("owner = \"root\"\nuid = 33\ngid = -1\ngroup = \"root\"").attributes;
        assert_eq!(attributes, Attributes { mode: None, uid: Some(33), gid: Some(0) });
    }

    #[test]
    fn commands_have_confds_time_limits_unless_told_otherwise() {
        let resource = resource("check_cmd = \"t\"\nreload_cmd = \"r\"\nreload_cmd_timeout = \"1m30s\"");
        assert_eq!(resource.check.map(|check| check.timeout), Some(Duration::from_secs(30)));
        let Some(Reload::Command(reload)) = resource.reload else { panic!("it has a command") };
        assert_eq!(reload.timeout, Duration::from_secs(90));
    }

    #[test]
    fn a_problem_shows_the_place() {
        let shown = problems("src = \"a\"\ndest = \"/b\"\n\tmode = \"rw\"\n");
        let wanted = "n.toml:4:9: `mode` must be permission bits such as \"0644\"\n  |\n4 | \tmode = \"rw\"\n  | \t       ^";
        assert_eq!(shown, [wanted]);
    }

    #[test]
    fn what_is_missing_unknown_or_of_another_type_is_told() {
        let shown = problems("src = \"\"\nkeys = [1]\nowner = \"no-such-user\"\nuid = -7\n").join("\n");
        for wanted in [
            "`dest` is missing",
            "`src` cannot be empty",
            "`keys` must be a list of strings, not array",
            "there is no user `no-such-user`",
            "`uid` must be a number from 0 on",
        ] {
            assert!(shown.contains(wanted), "{wanted}: {shown}");
        }
    }

    #[test]
    fn a_file_is_made_of_services_in_place_of_a_template() {
        let read = |body: &str| {
            let source = format!("[template]\ndest = \"/run/s.php\"\n{body}");
            let read = read("n.toml", &source, &settings(Dialect::Waypost, "/eu"));
            read.map(|read| read.resource).map_err(|problems| shown(&problems, &source).join("\n"))
        };
        let resource =
            read("services = [\"db\", \"/a/b/\"]\nreload = { fastcgi = [\"/s\", \"h:1\"] }").unwrap();
        assert_eq!(resource.keys, ["/eu/services/a/b", "/eu/services/db"].map(Prefix::new));
        assert_eq!(resource.min_write_interval, Duration::from_secs(1));
        assert!(matches!(resource.content, Content::Services(_)));
        let Some(Reload::FastCgi(notice)) = resource.reload else { panic!("it tells PHP") };
        assert_eq!(notice.script, std::path::Path::new("/usr/share/waypost/invalidate.php"));
        let slow = read("services = [\"db\"]\nroot = \"/x\"\nmin_write_interval = \"5s\"").unwrap();
        assert_eq!(
            (slow.min_write_interval, &slow.keys[..]),
            (Duration::from_secs(5), &[Prefix::new("/eu/x/db")][..])
        );
        for (body, wanted) in [
            ("services = [\"db\"]\nsrc = \"a\"", "n.toml:4:7: `src` and `services`"),
            ("services = [\"db\"]\nkeys = [\"/a\"]", "`keys` and `services`"),
            ("services = []", "n.toml:3:12: `services` must name at least one"),
            ("services = \"db\"", "`services` must be a list of strings"),
            ("services = [\"/\"]", "a name cannot be empty"),
            ("services = [\"db\"]\nform = \"xml\"", "`form` must be php or json"),
            ("services = [\"db\"]\nform = \"json\"", "n.toml:4:8: a file that ends in .php must be PHP"),
            ("servces = [\"db\"]", "unknown key `servces`; is `services` meant?"),
        ] {
            let told = read(body).unwrap_err();
            assert!(told.contains(wanted), "{wanted}: {told}");
        }
    }

    #[test]
    fn the_end_of_the_destination_or_a_key_says_the_form() {
        let of = |dest: &str| format!("[template]\nservices = [\"db\"]\ndest = \"{dest}\"\n");
        let read = |source: &str| read("n.toml", source, &settings(Dialect::Waypost, ""));
        assert!(read(&of("/a.json")).is_ok() && read(&(of("/a") + "form = \"php\"\n")).is_ok());
        let source = of("/a.inc");
        let told = shown(&read(&source).err().unwrap(), &source);
        assert!(told[0].contains("/a.inc ends in neither .php nor .json"), "{told:?}");
    }

    #[test]
    fn to_confd_services_are_an_unknown_key() {
        let read =
            read_with(&settings(Dialect::Confd041, ""), "services = [\"db\"]\nmin_write_interval = \"1s\"");
        assert!(matches!(read.resource.content, Content::Template(_)) && read.oddities.len() == 2);
    }

    #[test]
    fn varnish_is_told_by_address_secret_and_prefix() {
        let body =
            "reload = { varnish = \"127.0.0.1:6082\", secret = \"/s\", prefix = \"site\", timeout = \"5s\" }";
        let Some(Reload::Varnish(door)) = resource(body).reload else { panic!("it tells Varnish") };
        let wanted = waypost_agent::varnish::Door::new(
            "127.0.0.1:6082",
            Some("/s".into()),
            "site",
            Duration::from_secs(5),
        );
        assert_eq!(Ok(door), wanted);
        let Some(Reload::Varnish(door)) = resource("reload = { varnish = \"[::1]:6082\" }").reload else {
            panic!("it tells Varnish")
        };
        assert_eq!(door.to_string(), "varnishd at [::1]:6082 as waypost");
    }

    #[test]
    fn a_file_without_the_table_says_so() {
        let source = "[templat]\nsrc = \"a\"\n";
        let shown = shown(&read("n.toml", source, &settings(Dialect::Waypost, "")).err().unwrap(), source);
        assert!(shown.iter().any(|line| line.contains("there is no [template] table")), "{shown:?}");
    }
}
