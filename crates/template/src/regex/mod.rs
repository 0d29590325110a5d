//! Regular expressions: Go's `regexp` on top of the automata of the regex crates.
//!
//! `syntax.rs` reads RE2's syntax as Go has it. Matching is leftmost-first in both worlds; walking from
//! match to match and expanding `$1` are Go's and done here.

mod syntax;

use std::collections::HashMap;
use std::rc::Rc;

use regex_automata::Input;
use regex_automata::meta::{self, Regex};
use regex_automata::util::captures::Captures;
use regex_syntax::hir::Hir;

use crate::Text;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::functions::text;
use crate::unicode::{decode, is_alphanumeric};
use crate::value::{Operand, Value};

/// The expressions that a render has compiled.
#[derive(Default)]
pub(crate) struct Regexes(HashMap<Text, Rc<Compiled>>);

struct Compiled {
    regex: Regex,
    /// The name of each group, empty for one without.
    names: Vec<String>,
}

/// More than a template has; a template that makes them up as it goes starts over.
const MOST_KEPT: usize = 1_000;

/// Go refuses programs of more than about this size.
const SIZE_LIMIT: usize = 128 << 20;

/// Longer patterns are too large before they are read, which would take time. Go's limit is about 3 MiB.
const LONGEST: usize = 1 << 20;

impl Regexes {
    fn get(&mut self, pattern: &Text) -> Outcome<Rc<Compiled>> {
        if let Some(known) = self.0.get(pattern) {
            return Ok(Rc::clone(known));
        }
        let compiled = Rc::new(compile(pattern)?);
        if self.0.len() >= MOST_KEPT {
            self.0.clear();
        }
        self.0.insert(pattern.clone(), Rc::clone(&compiled));
        Ok(compiled)
    }
}

/// The message names no part of the pattern, which may come from a key.
fn compile(pattern: &[u8]) -> Outcome<Compiled> {
    if pattern.len() > LONGEST {
        return fault("error parsing regexp: expression too large");
    }
    let Ok(pattern) = std::str::from_utf8(pattern) else {
        return fault("error parsing regexp: invalid UTF-8");
    };
    let parsed = match syntax::parse(pattern) {
        Ok(parsed) => parsed,
        Err(message) => return fault(format!("error parsing regexp: {message}")),
    };
    let built = if parsed.depth > SHALLOW { build_aside(parsed.hir) } else { build(&parsed.hir) };
    match built {
        Some(regex) => Ok(Compiled { regex, names: parsed.names }),
        None => fault("error parsing regexp: expression too large"),
    }
}

fn build(hir: &Hir) -> Option<Regex> {
    let config = meta::Config::new().nfa_size_limit(Some(SIZE_LIMIT));
    meta::Builder::new().configure(config).build_from_hir(hir).ok()
}

/// Up to this nesting the compiler, which is recursive, fits on any stack.
const SHALLOW: usize = 50;

/// Compiles on a stack of its own.
fn build_aside(hir: Hir) -> Option<Regex> {
    let thread = std::thread::Builder::new().stack_size(32 << 20);
    thread.spawn(move || build(&hir)).ok()?.join().ok()?
}

pub(crate) fn regex_match(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let compiled = run.regexes.get(text(&args[0]))?;
    Ok(Value::Bool(compiled.regex.is_match(text(&args[1]).as_ref())))
}

/// The first match, or nothing.
pub(crate) fn regex_find(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let compiled = run.regexes.get(text(&args[0]))?;
    let subject = text(&args[1]);
    let found = compiled.regex.find(subject.as_ref());
    Ok(Value::Text(found.map(|found| subject.slice(found.range())).unwrap_or_default()))
}

/// An empty match right after another match does not count, as in Go.
pub(crate) fn regex_replace_all(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let compiled = run.regexes.get(text(&args[0]))?;
    let (subject, replacement) = (text(&args[1]), text(&args[2]));
    let mut groups = compiled.regex.create_captures();
    let mut out = Vec::new();
    let (mut last, mut from) = (0, 0);
    while from <= subject.len() {
        compiled.regex.search_captures(&Input::new(subject.as_ref()).range(from..), &mut groups);
        let Some(found) = groups.get_match() else { break };
        out.extend_from_slice(&subject[last..found.start()]);
        if found.end() > last || found.start() == 0 {
            expand(&mut out, replacement, &compiled, &groups, subject);
        }
        run.room(out.len())?;
        last = found.end();
        let width = decode(&subject[from..]).map_or(1, |(_, width)| width);
        from = last.max(from + width);
    }
    out.extend_from_slice(&subject[last..]);
    Ok(Value::Text(Text::from(out)))
}

/// Replaces `$1`, `${name}` and `$$`; a dollar sign that starts nothing stays.
fn expand(out: &mut Vec<u8>, replacement: &[u8], compiled: &Compiled, groups: &Captures, subject: &[u8]) {
    let mut rest = replacement;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        out.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            if let Some(span) = group(name, compiled, groups) {
                out.extend_from_slice(&subject[span]);
            }
            rest = after;
        } else {
            out.push(b'$');
        }
    }
    out.extend_from_slice(rest);
}

/// The name after a dollar sign, and what comes after it. Without braces it is as long as can be.
fn reference(rest: &[u8]) -> Option<(&str, &[u8])> {
    let (braced, body) = match rest.strip_prefix(b"{") {
        Some(body) => (true, body),
        None => (false, rest),
    };
    let mut end = 0;
    while let Some((c, width)) = decode(&body[end..]).filter(|(c, _)| is_alphanumeric(*c)) {
        debug_assert_eq!(c.len_utf8(), width);
        end += width;
    }
    let name = std::str::from_utf8(&body[..end]).ok().filter(|name| !name.is_empty())?;
    let after = &body[end..];
    if braced { Some((name, after.strip_prefix(b"}")?)) } else { Some((name, after)) }
}

/// What a group matched: by its number, or the first of that name that matched.
fn group(name: &str, compiled: &Compiled, groups: &Captures) -> Option<std::ops::Range<usize>> {
    let numeric = name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    if let Some(number) = name.parse::<usize>().ok().filter(|_| numeric) {
        return groups.get_group(number).map(|span| span.start..span.end);
    }
    let mut named = compiled.names.iter().enumerate().filter(|(_, known)| *known == name);
    named.find_map(|(index, _)| groups.get_group(index)).map(|span| span.start..span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, subject: &str) -> bool {
        let compiled = compile(pattern.as_bytes()).unwrap_or_else(|_| panic!("{pattern} compiles"));
        compiled.regex.is_match(subject)
    }

    #[test]
    fn classes_are_ascii() {
        assert!(!matches(r"^\w$", "é") && matches(r"^\W$", "é") && !matches(r"\d", "٣"));
        assert!(
            matches(r"\bfoo\b", "éfoo") && !matches(r"^\s$", "\u{b}") && matches("^[[:space:]]$", "\u{b}")
        );
    }

    #[test]
    fn what_other_syntaxes_treat_specially_is_literal() {
        for (pattern, subject) in [
            ("^[a&&b]$", "&"),
            ("^[[~~]$", "["),
            ("^a{,2}$", "a{,2}"),
            ("^]}$", "]}"),
            (r"^\Qa.b\E$", "a.b"),
            (r"^\101$", "A"),
            ("^{$", "{"),
            ("^a{2$", "a{2"),
            ("^[a-]$", "-"),
            ("^[]]$", "]"),
            ("^[^^]$", "a"),
        ] {
            assert!(matches(pattern, subject), "{pattern}");
        }
    }

    #[test]
    fn what_re2_does_not_know_is_refused() {
        for pattern in [
            "a**",
            "a*+",
            "a*{2}",
            "*",
            "(?=a)",
            "(?<=a)",
            "(?x)a",
            r"\Z",
            r"\1",
            r"\é",
            "[a",
            "(a",
            "a)",
            "a{3,2}",
            "a{1001}",
            "(?:a{100}){11}",
            r"\pX",
            r"\p{Grek",
            "[b-a]",
            "[[:foo:]]",
            "\\",
            r"\C",
            "(?P<a-b>x)",
            "(?i-)a",
            r"\p{Alphabetic}",
        ] {
            assert!(compile(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn deep_nesting_compiles_on_a_small_stack() {
        let pattern = format!("{}a{}", "(".repeat(900), ")".repeat(900));
        let deep = move || assert!(matches(&pattern, "a"));
        std::thread::Builder::new().stack_size(256 << 10).spawn(deep).unwrap().join().unwrap();
    }
}
