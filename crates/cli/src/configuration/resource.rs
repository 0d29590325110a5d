//! A file of `conf.d`: confd's `[template]` table.
//!
//! Source: confd's `docs/template-resources.md` and its `resource/template` package for what the docs leave
//! out: a mode is read like a Go literal, -1 as uid or gid means "not set", and ids win over names.

use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{Group, User};
use toml::Spanned;
use waypost_agent::{Attributes, Command, Resource};
use waypost_model::{Prefix, clean_path};

use super::table::{Problem, Table};
use crate::store::duration;

const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// What all resources of a configuration directory have in common.
pub(super) struct Place {
    pub(super) templates: PathBuf,
    pub(super) prefix: String,
}

/// Reads the file `name`.
pub(super) fn read(name: &str, source: &str, place: &Place) -> Result<Resource, Vec<Problem>> {
    let mut table = Table::only("template", source)?;
    let template = table.required("src").map(Spanned::into_inner);
    let destination = table.required("dest").map(Spanned::into_inner);
    let prefix = table.string("prefix").map(Spanned::into_inner).unwrap_or_default();
    let prefix = join(&place.prefix, &prefix);
    let keys = table.strings("keys").iter().map(|key| Prefix::new(&join(&prefix, key))).collect();
    let attributes = attributes(&mut table);
    let check = command(&mut table, "check_cmd", "check_cmd_timeout", CHECK_TIMEOUT);
    let reload = command(&mut table, "reload_cmd", "reload_cmd_timeout", RELOAD_TIMEOUT);
    table.finish();
    match (template, destination) {
        (Some(template), Some(destination)) if table.problems.is_empty() => Ok(Resource {
            name: name.to_owned(),
            template: place.templates.join(template),
            templates: place.templates.clone(),
            destination: destination.into(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            keys,
            attributes,
            check,
            reload,
        }),
        _ => Err(table.problems),
    }
}

/// `path.Join("/", first, second)`.
fn join(first: &str, second: &str) -> String {
    clean_path(&format!("{first}/{second}")).into_owned()
}

fn attributes(table: &mut Table<'_>) -> Attributes {
    let mode = table.string("mode").and_then(|mode| match parse_mode(mode.get_ref()) {
        Some(bits) => Some(bits),
        None => {
            table.problem(mode.span(), "`mode` must be permission bits such as \"0644\"");
            None
        }
    });
    let owner = table.string("owner");
    let owner = owner.and_then(|name| {
        named(table, &name, "user", |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
    });
    let group = table.string("group");
    let group = group.and_then(|name| {
        named(table, &name, "group", |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
    });
    let uid = id(table, "uid").or(owner);
    let gid = id(table, "gid").or(group);
    Attributes { mode, uid, gid }
}

/// Reads permission bits as Go's `strconv.ParseUint(mode, 0, 32)` does: `"0644"` and `"0o644"` are octal,
/// `"420"` is decimal.
fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.replace('_', "");
    let parse = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    let bits = match digits.as_bytes() {
        [b'0', b'o' | b'O', ..] => parse(&digits[2..], 8),
        [b'0', b'x' | b'X', ..] => parse(&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => parse(&digits[2..], 2),
        [b'0', _, ..] => parse(&digits[1..], 8),
        _ => parse(&digits, 10),
    };
    bits.filter(|bits| *bits <= 0o7777)
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

fn command(
    table: &mut Table<'_>,
    line: &'static str,
    timeout: &'static str,
    default: Duration,
) -> Option<Command> {
    let command = table.string(line).filter(|text| !text.get_ref().is_empty());
    let given = table.string(timeout).and_then(|text| match duration(text.get_ref()) {
        Ok(given) => Some(given),
        Err(why) => {
            table.problem(text.span(), format!("`{timeout}`: {why}"));
            None
        }
    });
    // As confd has it, 0 is no limit; a day is as good as none, and bounded.
    let given = given.map(|given| if given.is_zero() { Duration::from_secs(24 * 60 * 60) } else { given });
    Some(Command { line: command?.into_inner(), timeout: given.unwrap_or(default) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(prefix: &str) -> Place {
        Place { templates: "/c/templates".into(), prefix: prefix.to_owned() }
    }

    fn resource(body: &str) -> Resource {
        let source = format!("[template]\nsrc = \"n.tmpl\"\ndest = \"/etc/n\"\n{body}");
        read("n.toml", &source, &place("")).unwrap()
    }

    fn problems(body: &str) -> Vec<String> {
        let source = format!("[template]\n{body}");
        let problems = read("n.toml", &source, &place("")).unwrap_err();
        problems.iter().map(|problem| problem.describe("n.toml", &source)).collect()
    }

    #[test]
    fn prefixes_are_joined_and_taken_off_again() {
        let source = "[template]\nsrc = \"a\"\ndest = \"/b\"\nprefix = \"prod/\"\nkeys = [\"/web\", \"db\"]";
        let resource = read("n.toml", source, &place("/eu")).unwrap();
        assert_eq!(resource.prefix, "/eu/prod");
        assert_eq!(resource.keys, ["/eu/prod/web", "/eu/prod/db"].map(Prefix::new));
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
            assert_eq!(parse_mode(text), Some(bits), "{text}");
        }
        for text in ["", "rw", "0888", "-1", "99999"] {
            assert_eq!(parse_mode(text), None, "{text}");
        }
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
        assert_eq!(resource.reload.map(|reload| reload.timeout), Some(Duration::from_secs(90)));
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
    fn a_file_without_the_table_says_so() {
        let problems = read("n.toml", "[templat]\nsrc = \"a\"\n", &place("")).unwrap_err();
        let shown: Vec<_> = problems.iter().map(|problem| problem.describe("n.toml", "[templat]")).collect();
        assert!(shown.iter().any(|line| line.contains("there is no [template] table")), "{shown:?}");
    }
}
