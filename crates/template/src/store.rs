//! Store: the functions that read keys.
//!
//! Each records what it looked at before it looks, once a call. What confd's in-memory store scans in whole
//! is found here by prefix: a glob reads what lies under its literal beginning, a directory what lies in it,
//! and subtrees that cannot matter are skipped. So a call costs in proportion to the keys it is about.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::functions::text;
use crate::list::Slice;
use crate::path;
use crate::value::{Operand, Pair, PairAt, Pairs, Value};
use crate::{Glob, Name, Names, Text};

pub(crate) fn lookup(run: &mut Run<'_>, name: &Text) -> Option<Text> {
    run.reads.add_key(name);
    run.context.names.get(name)
}

pub(crate) fn missing<T>(name: &Text) -> Outcome<T> {
    fault(format!("key does not exist: {}", String::from_utf8_lossy(name)))
}

/// The path with a slash before it, as all names have.
pub(crate) fn absolute(path: &Text) -> Text {
    if path.starts_with(b"/") { path.clone() } else { Text::from([b"/", &path[..]].concat()) }
}

pub(crate) fn exists(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(Value::Bool(lookup(run, text(&args[0])).is_some()))
}

pub(crate) fn get(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let key = text(&args[0]);
    match lookup(run, key) {
        Some(value) => Ok(Value::Pair(PairAt::new(Pair { key: key.clone(), value }))),
        None => missing(key),
    }
}

/// The value, or the first default. An empty value is a value.
pub(crate) fn getv(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let key = text(&args[0]);
    match (lookup(run, key), args.get(1)) {
        (Some(value), _) => Ok(Value::Text(value)),
        (None, Some(default)) => Ok(Value::Text(text(default).clone())),
        (None, None) => missing(key),
    }
}

/// The pairs whose keys match, in the order of the keys.
pub(crate) fn gets(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut pairs = Vec::new();
    matching(run, text(&args[0]), |key, value| {
        pairs.push(Pair { key: key.to_text(), value: value.clone().into() });
    })?;
    // What Go prints of nil and of nothing differs, in `printf "%#v"` and JSON.
    Ok(Value::pairs(match run.dialect {
        Dialect::Confd016 => Slice::appended_to_empty(pairs),
        _ => Slice::appended(pairs),
    }))
}

/// Shows `each` what [`gets`] would list, key and value, without making the list.
pub(crate) fn each_of_gets(
    run: &mut Run<'_>,
    pattern: &Text,
    mut each: impl FnMut(&[u8], &[u8]),
) -> Outcome<()> {
    matching(run, pattern, |key, value| each(&key, value))
}

/// The values whose keys match, in the order of the values.
pub(crate) fn getvs(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut values = Vec::new();
    matching(run, text(&args[0]), |_, value| values.push(Text::from(value.clone())))?;
    if !values.is_sorted() {
        values.sort_unstable();
    }
    Ok(Value::strings(values))
}

/// Calls `found` with all that matches `pattern`, in order. A malformed pattern fails, but only if there
/// is any key to match it against.
pub(crate) fn matching(
    run: &mut Run<'_>,
    pattern: &Text,
    mut found: impl FnMut(Name<'_>, &Bytes),
) -> Outcome<()> {
    let names = run.context.names;
    let Ok(glob) = Glob::new(pattern.clone()) else {
        // Which key comes first does not matter: any key that comes or goes may.
        run.reads.add_directory(&Text::from("/"));
        let mut any = false;
        names.scan(b"", b"", &mut |_, _| {
            any = true;
            ControlFlow::Break(())
        });
        return if any { fault("invalid pattern: syntax error in pattern") } else { Ok(()) };
    };
    run.reads.add_glob(&glob);
    if glob.is_literal() {
        if let Some(value) = names.get(pattern) {
            found(Name::new(pattern.as_bytes(), 0), value.as_bytes());
        }
        return Ok(());
    }
    let mut from = Vec::new();
    while scan_glob(names, &glob, &mut from, &mut found).is_break() {}
    Ok(())
}

/// So many names in a row that are too deep for the glob are read past; then their subtree is skipped.
const PATIENCE: usize = 8;

/// One scan from `from` on. Breaks with a new `from` behind a subtree that is too deep to match.
fn scan_glob(
    names: &dyn Names,
    glob: &Glob,
    from: &mut Vec<u8>,
    found: &mut impl FnMut(Name<'_>, &Bytes),
) -> ControlFlow<()> {
    let prefix = glob.prefix().len();
    let one_level = glob.is_one_level();
    let mut strays = 0;
    let mut skip = None;
    names.scan(glob.prefix(), from, &mut |name, value| {
        if one_level {
            if let Some(slash) = memchr::memchr(b'/', &name[prefix..]) {
                strays += 1;
                if strays > PATIENCE {
                    skip = Some(after_subtree(&name[..prefix + slash]));
                    return ControlFlow::Break(());
                }
                return ControlFlow::Continue(());
            }
            found(name, value);
        } else if glob.matches(&name) {
            found(name, value);
        }
        ControlFlow::Continue(())
    });
    match skip {
        Some(next) => {
            *from = next;
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    }
}

/// The least name behind all that is below `directory`.
fn after_subtree(directory: &[u8]) -> Vec<u8> {
    let mut next = directory.to_vec();
    next.push(b'/' + 1);
    next
}

/// The names of what is directly in a directory; of a key, its own last part.
pub(crate) fn ls(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let path = text(&args[0]);
    let clean = Text::from(path::clean(path));
    run.reads.add_directory(&clean);
    run.reads.add_key(path);
    let mut found = Vec::new();
    if run.context.names.get(path).is_some() {
        found.push(path::base(path));
    }
    if clean[..] == b"/"[..] {
        children(run.context.names, b"/", |child, nested| {
            if !nested {
                found.push(child);
            }
        });
    } else if clean.starts_with(b"/") {
        let directory = [&clean[..], b"/"].concat();
        if clean == *path || directory == path[..] {
            children(run.context.names, &directory, |child, _| found.push(child));
        } else {
            // confd cannot take such a path off the front of a key, and lists what the key starts with.
            let first = clean[1..].split(|b| *b == b'/').next().unwrap_or_default();
            let mut any = false;
            run.context.names.scan(&directory, b"", &mut |_, _| {
                any = true;
                ControlFlow::Break(())
            });
            found.extend(any.then(|| clean.share(first)));
        }
    }
    Ok(sorted(found))
}

/// The names of the directories directly in a directory.
pub(crate) fn lsdir(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let path = text(&args[0]);
    let clean = Text::from(path::clean(path));
    run.reads.add_directory(&clean);
    let mut found = Vec::new();
    let directory = [&clean[..], b"/"].concat();
    // Only a path that keys begin with as it is written counts; the root has no directories, as in confd.
    if clean.len() > 1 && clean.starts_with(b"/") && (clean == *path || directory == path[..]) {
        children(run.context.names, &directory, |child, nested| {
            if nested {
                found.push(child);
            }
        });
    }
    Ok(sorted(found))
}

/// Calls `each` with every part that follows `directory` in a name, and whether more follows it. The same
/// part may come twice, as a key and as a directory.
fn children(names: &dyn Names, directory: &[u8], mut each: impl FnMut(Text, bool)) {
    let mut from = Vec::new();
    loop {
        let mut skip = None;
        names.scan(directory, &from, &mut |name, _| match memchr::memchr(b'/', &name[directory.len()..]) {
            None => {
                each(name.to_text().slice(directory.len()..), false);
                ControlFlow::Continue(())
            }
            Some(slash) => {
                let end = directory.len() + slash;
                skip = Some(after_subtree(&name[..end]));
                each(name.to_text().slice(directory.len()..end), true);
                ControlFlow::Break(())
            }
        });
        match skip {
            Some(next) => from = next,
            None => return,
        }
    }
}

/// All pairs below a directory, at any depth, by their keys from there on. Those of names that end in `/`
/// are left out, as in consul-template.
pub(crate) fn tree(run: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let mut directory = path::clean(&absolute(text(&args[0])));
    run.reads.add_directory(&Text::from(directory.clone()));
    if !directory.ends_with(b"/") {
        directory.push(b'/');
    }
    let mut pairs = Vec::new();
    run.context.names.scan(&directory, b"", &mut |name, value| {
        let key = name.to_text().slice(directory.len()..);
        if !key.is_empty() && !key.ends_with(b"/") {
            pairs.push(Pair { key, value: value.clone().into() });
        }
        ControlFlow::Continue(())
    });
    Ok(Value::Pairs(Pairs { slice: Slice::exact(pairs), named: false }))
}

fn sorted(mut found: Vec<Text>) -> Value {
    found.sort_unstable();
    found.dedup();
    Value::strings(found)
}
