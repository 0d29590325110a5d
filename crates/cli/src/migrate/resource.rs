//! One resource, looked at as one generation of confd has it.

use waypost_agent::{Reload, Resource};
use waypost_template::{Argument, Call, Dialect, Engine, Since, functions};

use super::Generation;
use super::remark::{Class, Remarks};
use crate::access::Kind;
use crate::check::{self, File, Finding, Findings, Grade, Origin, Sight};

/// Keys of `[template]` that are honoured though 0.16 does not look at them.
const NEWER: [&str; 5] =
    ["output_format", "check_cmd_timeout", "reload_cmd_timeout", "min_reload_interval", "debounce"];

/// Keys of `[template]` that no confd has.
const OURS: [&str; 2] = ["engine", "reload"];

/// Keys of `[template]` that 0.41 has, and that mean something else to it.
const LATER: [(&str, &str); 2] = [
    ("min_reload_interval", "`min_reload_interval` puts a reload off; confd 0.41 drops it"),
    ("debounce", "`debounce` waits ten times its length at most; confd 0.41 for as long as keys change"),
];

/// Functions whose result nobody else holds: to turn it round changes nothing else.
const FRESH: [&str; 5] = ["split", "ls", "lsdir", "getvs", "lookupIP"];

/// Adds what there is to say of `resource`, whose keys are in a store of that kind, as `generation` has it.
pub(super) fn look(
    (resource, origin): (&Resource, &Origin),
    kind: Kind,
    generation: Generation,
    remarks: &mut Remarks,
) {
    let mut findings = Findings::default();
    let files = check::look_at(resource, origin, &mut findings);
    for finding in &findings.0 {
        let class = match finding.grade {
            Grade::Fault if is_in_an_included_file(finding, &files) => Class::Perhaps,
            Grade::Fault => Class::Fault,
            Grade::Doubt | Grade::Oddity => Class::Note,
        };
        remarks.add(class, generation, finding.line());
    }
    let mut tell = |class, finding: Finding| remarks.add(class, generation, finding.line());
    keys(resource, origin, generation, &mut tell);
    for file in &files {
        for call in &file.outline.calls {
            let after = file.source.get(call.at + call.function.len()..).unwrap_or_default();
            let dialect = resource.content.template().map_or(Dialect::Waypost, |file| file.language.dialect);
            if let Some((class, text)) = of_call(call, !after.starts_with('.'), dialect) {
                tell(class, Finding::at(Grade::Doubt, &file.path, &file.source, call.at, text));
            }
        }
    }
    if let Some(text) = beside(resource, kind, &files) {
        tell(Class::Differs, origin.finding(Grade::Doubt, "keys", text));
    }
    if let Kind::Unbuilt(name) = kind {
        remarks.add(Class::Fault, generation, format!("waypost does not read {name} yet"));
    }
}

/// That the template may look for keys that only confd's own file and env backends would show it.
fn beside(resource: &Resource, kind: Kind, files: &[File]) -> Option<&'static str> {
    let text = match kind {
        Kind::File => {
            "confd's file backend also gives keys that only begin like one of these (/app-old for /app): \
             waypost does not"
        }
        Kind::Env => {
            "confd's env backend also gives variables that only begin like one of these (APPLE for /app): \
             waypost does not"
        }
        _ => return None,
    };
    let sight = Sight::of(resource);
    let mut calls = files.iter().flat_map(|file| &file.outline.calls);
    calls.any(|call| !sight.keeps_within(call)).then_some(text)
}

/// An included file is only looked at when the render gets there.
fn is_in_an_included_file(finding: &Finding, files: &[File]) -> bool {
    let Some((place, ..)) = &finding.place else { return false };
    files.iter().skip(1).any(|file| file.path.display().to_string() == *place)
        || (finding.text.starts_with("cannot include ") || finding.text.ends_with("directory of templates"))
}

fn keys(resource: &Resource, origin: &Origin, generation: Generation, tell: &mut impl FnMut(Class, Finding)) {
    let note = |key: &str, text: String| origin.finding(Grade::Doubt, key, text);
    let foreign = match generation {
        Generation::Old => NEWER.iter().chain(&OURS),
        Generation::New => [].iter().chain(&OURS),
    };
    for key in foreign.filter(|key| origin.has(key)) {
        tell(
            Class::Differs,
            note(key, format!("`{key}` is honoured; confd {generation} does not look at it")),
        );
    }
    for (key, text) in LATER.iter().filter(|(key, _)| generation == Generation::New && origin.has(key)) {
        tell(Class::Differs, note(key, (*text).to_owned()));
    }
    if generation == Generation::Old && resource.store != 0 {
        let text = "[backend] is honoured; confd 0.16 does not look at it".to_owned();
        tell(Class::Differs, note("src", text));
    }
    if let Some(template) = resource.content.template()
        && check::engine(template) == Engine::Jinja
        && template.language.engine.is_none()
    {
        let text = "the end of its name makes the template Jinja; confd reads it as Go's text/template: rename \
                    it, or say engine = \"go\"";
        tell(Class::Differs, note("src", text.to_owned()));
    }
    if let (Some(mode), Some(text)) = (resource.attributes.mode, origin.text("mode"))
        && text.starts_with(|digit: char| matches!(digit, '1'..='9'))
    {
        tell(
            Class::Note,
            note("mode", format!("`{text}` is a decimal number, as in confd: the mode is {mode:04o}")),
        );
    }
    if let Some(Reload::Command(command)) = &resource.reload
        && !command.is_template
        && command.line.contains("{{")
    {
        let text =
            "the reload_cmd goes to the shell as it is written, braces and all, as in 0.16; 0.41 fills it in";
        tell(Class::Note, note("reload_cmd", text.to_owned()));
    }
}

/// What is worth knowing of a call. Where the generations differ from each other, they do so here, too. A
/// call that is bare has no method called on its result.
fn of_call(call: &Call, is_bare: bool, dialect: Dialect) -> Option<(Class, &'static str)> {
    if call.objection(dialect).is_some() {
        return None;
    }
    if functions().any(|(name, since)| name == call.function && since == Since::Waypost) {
        return Some((Class::Differs, "no confd has this function"));
    }
    let text = match (&*call.function, &call.arguments[..]) {
        ("seq", arguments) => of_seq(arguments)?,
        ("reverse", [Argument::Result(function)]) if function == "gets" => {
            "`reverse` gives the result of `gets` back as it is, as in confd"
        }
        ("reverse", [Argument::Result(function)]) if FRESH.contains(&&**function) => return None,
        ("reverse", _) => {
            "`reverse` turns the list itself round with 0.16, and a copy with 0.41, as in each: it matters \
             if the list is used again"
        }
        ("datetime", _) if is_bare => {
            let text = "printed as it is, the time is without Go's monotonic clock (m=+...); and each pass \
                        is a change, as in confd";
            return Some((Class::Differs, text));
        }
        ("datetime", _) => {
            "where the time is printed each pass is a change, with its check and its reload, as in confd"
        }
        _ => return None,
    };
    Some((Class::Note, text))
}

fn of_seq(arguments: &[Argument]) -> Option<&'static str> {
    let number = |argument: &Argument| match argument {
        Argument::Number(text) => text.parse::<i64>().ok(),
        _ => None,
    };
    match arguments {
        [first, last] => match number(first).zip(number(last)) {
            Some((first, last)) if first <= last => None,
            Some(_) => Some("`seq` gives nothing here with 0.16, and counts down with 0.41, as in each"),
            None => Some(
                "`seq` gives nothing with 0.16 if its first number is above its last one, and counts down \
                 with 0.41, as in each",
            ),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::configuration::{Dialect as Of, Settings};

    /// What is said of one resource with these further lines and this template.
    fn said(generation: Generation, kind: Kind, lines: &str, template: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        ["conf.d", "templates", "out"].iter().for_each(|name| fs::create_dir(root.join(name)).unwrap());
        let dest = root.join("out/x").display().to_string();
        let source = format!("[template]\nsrc = \"x\"\ndest = \"{dest}\"\nkeys = [\"/app\"]\n{lines}\n");
        fs::write(root.join("conf.d/x.toml"), source).unwrap();
        fs::write(root.join("templates/x"), template).unwrap();
        let dialect = if generation == Generation::Old { Of::Confd016 } else { Of::Confd041 };
        let looked = check::load(&Settings { dialect, ..Settings::new(root) }, None).unwrap();
        let mut remarks = Remarks::default();
        for (resource, origin) in &looked.resources {
            look((resource, origin), kind, generation, &mut remarks);
        }
        let mut shown = String::new();
        remarks.show(&[generation], &mut shown).unwrap();
        shown
    }

    fn both(lines: &str, template: &str) -> [String; 2] {
        [Generation::Old, Generation::New].map(|generation| said(generation, Kind::Etcd3, lines, template))
    }

    #[test]
    fn what_is_as_it_was_is_unchanged_and_nothing_more_is_said() {
        let template = "{{range gets \"/app/*\"}}{{.Value}}{{end}}{{seq 1 2}}{{reverse (ls \"/app\")}}";
        assert_eq!(both("mode = \"0644\"\nreload_cmd = \"true\"", template), ["    works unchanged\n"; 2]);
    }

    #[test]
    fn where_the_generations_part_is_said_and_each_works() {
        for text in both("", "{{seq 4 1}}{{reverse .}}{{reverse (gets \"/app/*\")}}") {
            assert!(text.starts_with("    works unchanged\n"), "{text}");
            for part in
                ["x:1:3: `seq` gives nothing here", "x:1:14: `reverse` turns", "x:1:27: `reverse` gives the"]
            {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn functions_that_0_16_has_not_are_its_fault_alone() {
        let [old, new] = both("", "{{list 1}}");
        assert!(
            old.starts_with("    does not work\n") && old.contains("\"list\" not defined in confd 0.16"),
            "{old}"
        );
        assert_eq!(new, "    works unchanged\n");
    }

    #[test]
    fn keys_that_a_generation_does_not_look_at_are_honoured() {
        let [old, new] =
            both("output_format = \"json\"\nreload_cmd = \"touch {{.dest}}\"", "{{datetime.Unix}}");
        assert!(old.starts_with("    works, and not quite as it did\n"), "{old}");
        assert!(
            old.contains("x.toml:5:17: `output_format` is honoured; confd 0.16 does not look at it"),
            "{old}"
        );
        assert!(old.contains("x.toml:6:14: the reload_cmd goes to the shell as it is written"), "{old}");
        assert!(new.starts_with("    works unchanged\n") && new.contains("each pass is a change"), "{new}");
    }

    #[test]
    fn what_0_41_has_otherwise_or_not_at_all_is_told() {
        let lines = "min_reload_interval = \"5s\"\ndebounce = \"1s\"";
        let text = said(Generation::New, Kind::Etcd3, lines, "{{tree \"/app\"}}");
        assert!(text.starts_with("    works, and not quite as it did\n"), "{text}");
        for part in [
            "x.toml:5:23: `min_reload_interval` puts",
            "x.toml:6:12: `debounce` waits",
            "x:1:3: no confd has",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_decimal_mode_is_shown_in_octal() {
        let [old, _] = both("mode = \"420\"", "");
        assert!(old.contains("`420` is a decimal number, as in confd: the mode is 0644"), "{old}");
    }

    #[test]
    fn keys_beside_those_asked_for_are_only_confds_file_backends() {
        let text = |template: &str| said(Generation::New, Kind::File, "", template);
        assert_eq!(text("{{gets \"/app/*\"}}"), "    works unchanged\n");
        assert!(text("{{ls \"/\"}}").starts_with("    works, and not quite as it did\n"));
        assert!(said(Generation::New, Kind::Unbuilt("consul"), "", "").contains("does not read consul yet"));
    }
}
