//! Dialects: the generations of confd that templates were written for, and the language of a file.
//!
//! Where they differ, confd 0.16 is kept as it was: a template that relies on it renders as it did. The fork
//! at 0.41 and waypost are one language: what waypost adds has names that nobody else uses.

use crate::functions::{Since, functions};

/// Whose functions a template may call, and whose they are where generations differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// confd 0.16: its own functions only; `seq` does not count down, `reverse` turns the list itself round.
    Confd016,
    /// The fork of confd, at 0.41, and all that waypost adds.
    Confd041,
    /// Everything, as in 0.41.
    #[default]
    Waypost,
}

/// The language of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Go's text/template.
    #[default]
    Go,
    /// Jinja, by minijinja.
    Jinja,
}

impl Engine {
    /// The language that a file's name tells: Jinja for `.j2` and `.jinja`, else Go's.
    pub fn of_file(name: &str) -> Engine {
        if name.ends_with(".j2") || name.ends_with(".jinja") { Engine::Jinja } else { Engine::Go }
    }
}

impl Dialect {
    /// Whether a function of that age is known.
    pub(crate) fn knows(self, since: Since) -> bool {
        self != Dialect::Confd016 || since <= Since::Confd016
    }
}

/// confd 0.16 had them, when it was given a key ring.
const SECCONF: [&str; 4] = ["cget", "cgets", "cgetv", "cgetvs"];

/// Whether the function decrypts secconf values, which no dialect does here.
pub(crate) fn decrypts(name: &str) -> bool {
    SECCONF.contains(&name)
}

/// Why a template of `dialect` cannot call `name`.
pub(crate) fn not_defined(name: &str, dialect: Dialect) -> String {
    if decrypts(name) {
        return format!(
            "function {name:?} not defined: waypost does not decrypt secconf values; keep secrets out of \
             the registry, or decrypt them before"
        );
    }
    if functions().any(|(known, since)| known == name && !dialect.knows(since)) {
        return format!("function {name:?} not defined in confd 0.16; --compat 0.41 has it");
    }
    let known = functions().filter(|(_, since)| dialect.knows(*since)).map(|(known, _)| known);
    format!("function {name:?} not defined{}", suggestion(name, known))
}

/// `; did you mean "…"?` with the name that is nearest to `name`, if any is near.
pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    // A long name has no near one among ours, and looking would cost its length.
    let near = |known: &&str| name.len() <= 64 && distance(known) <= name.len() / 3;
    match known.filter(near).min_by_key(distance) {
        Some(nearest) => format!("; did you mean {nearest:?}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_language() {
        let engines = ["a.j2", "a.conf.jinja", "a.tmpl", "j2", "a.j2.tmpl"].map(Engine::of_file);
        assert_eq!(engines, [Engine::Jinja, Engine::Jinja, Engine::Go, Engine::Go, Engine::Go]);
    }

    #[test]
    fn a_function_that_does_not_exist_is_told_apart_by_its_reason() {
        let message = |name| not_defined(name, Dialect::Confd016);
        assert_eq!(message("list"), "function \"list\" not defined in confd 0.16; --compat 0.41 has it");
        assert_eq!(message("getvv"), "function \"getvv\" not defined; did you mean \"getv\"?");
        assert_eq!(message("zzz"), "function \"zzz\" not defined");
        assert!(message("cgetv").contains("does not decrypt secconf values"));
    }
}
