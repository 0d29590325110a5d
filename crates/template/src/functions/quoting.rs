//! Quoting: makes any text one word of another language, or fails where that language has no way to write it.
//!
//! A value from a registry is anybody's text. What these functions write cannot end its own quotes, start
//! a comment or a variable, or go on to another line. The rules are those of each language's own lexer,
//! named beside each function; errors tell what cannot be written, never the text.

use super::text;
use crate::Text;
use crate::error::{Outcome, fault};
use crate::eval::Run;
use crate::json;
use crate::value::{Operand, Value};

/// Fails if `quoted` has any of `bytes`.
fn refuse(language: &str, quoted: &[u8], bytes: &[(u8, &str)]) -> Outcome<()> {
    match bytes.iter().find(|(byte, _)| memchr::memchr(*byte, quoted).is_some()) {
        Some((_, name)) => fault(format!("{language} has no way to write {name}")),
        None => Ok(()),
    }
}

const NUL: (u8, &str) = (0, "a NUL byte");

fn refuse_non_utf8<'a>(language: &str, text: &'a Text) -> Outcome<&'a str> {
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text),
        Err(_) => fault(format!("{language} has no way to write text that is not UTF-8")),
    }
}

/// Between `quote`s, with some bytes replaced.
fn between(quote: &str, text: &[u8], replace: impl Fn(u8) -> Option<&'static str>) -> Outcome<Value> {
    let mut out = Vec::with_capacity(text.len() + 2 * quote.len());
    out.extend_from_slice(quote.as_bytes());
    for byte in text {
        match replace(*byte) {
            Some(replacement) => out.extend_from_slice(replacement.as_bytes()),
            None => out.push(*byte),
        }
    }
    out.extend_from_slice(quote.as_bytes());
    Ok(Value::Text(Text::from(out)))
}

/// POSIX sh: all but `'` and NUL stands for itself between single quotes (XCU 2.2.2).
pub(super) fn shell(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let text = text(&args[0]);
    refuse("a shell", text, &[NUL])?;
    between("'", text, |byte| (byte == b'\'').then_some(r"'\''"))
}

/// The longest word that nginx reads, with its quotes: `NGX_CONF_BUFFER` in `ngx_conf_file.c`.
const NGINX_LONGEST: usize = 4096;

/// nginx: `ngx_conf_read_token` undoes `\"`, `\\`, `\n`, `\r` and `\t`. A `$` begins a variable in most
/// directives, quoted or not, and nothing escapes it.
pub(super) fn nginx(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let text = text(&args[0]);
    refuse("nginx", text, &[NUL, (b'$', "a $ (set a variable to it with geo)")])?;
    let quoted = between("\"", text, |byte| match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        b'\n' => Some("\\n"),
        b'\r' => Some("\\r"),
        b'\t' => Some("\\t"),
        _ => None,
    })?;
    match quoted.len() {
        Some(length) if length > NGINX_LONGEST => fault("nginx reads no word of more than 4,096 bytes"),
        _ => Ok(quoted),
    }
}

/// HAProxy: nothing is special between single quotes, which may be joined to a `\'` (configuration manual,
/// 2.2). It could write a line break as `\n`; in a header or a log that would begin another line. An empty
/// word ends its line's arguments as if it were not there.
pub(super) fn haproxy(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let text = text(&args[0]);
    refuse("HAProxy", text, &[NUL, (b'\n', "a line break"), (b'\r', "a line break")])?;
    if text.is_empty() {
        return fault("HAProxy has no way to write an empty word");
    }
    between("'", text, |byte| (byte == b'\'').then_some(r"'\''"))
}

/// VCL: its strings have no escapes, so the quotes are chosen by what is in the text (`vcc_token.c`):
/// `"…"` on one line, else `{"…"}`, else `"""…"""` (Varnish 7.0 and later).
pub(super) fn vcl(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let text = text(&args[0]);
    refuse("VCL", text, &[NUL])?;
    let has = |part: &[u8]| memchr::memmem::find(text, part).is_some();
    let (open, close) = if !text.iter().any(|byte| matches!(byte, b'"' | b'\n' | b'\r')) {
        ("\"", "\"")
    } else if !has(b"\"}") {
        ("{\"", "\"}")
    } else if !has(b"\"\"\"") && !text.ends_with(b"\"") {
        ("\"\"\"", "\"\"\"")
    } else {
        return fault("VCL has no way to write both \"} and \"\"\" in one string");
    };
    Ok(Value::Text(Text::from([open.as_bytes(), text, close.as_bytes()].concat())))
}

/// PHP: between single quotes only `\` and `'` are special, and both have an escape.
pub(super) fn php(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    between("'", text(&args[0]), |byte| match byte {
        b'\'' => Some("\\'"),
        b'\\' => Some("\\\\"),
        _ => None,
    })
}

/// JSON: a string, as `toJson` writes it; but text that is not UTF-8 is refused instead of changed.
pub(super) fn json(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let text = refuse_non_utf8("JSON", text(&args[0]))?;
    let mut out = Vec::with_capacity(text.len() + 2);
    json::string(&mut out, text.as_bytes());
    Ok(Value::Text(Text::from(out)))
}

/// systemd: C escapes between double quotes, `%%` for a `%` (`systemd.syntax(7)`, `systemd.unit(5)`). A `$`
/// means a variable in `Exec…=` lines only, so it cannot be written in a way that is right everywhere.
pub(super) fn systemd(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    let text = text(&args[0]);
    if memchr::memchr(b'$', text).is_some() {
        return fault("systemd has no one way to write a $: there are quoteSystemdExec and quoteSystemdEnv");
    }
    systemd_word(text, "$")
}

/// An argument in a line such as `ExecStart=`.
pub(super) fn systemd_exec(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    systemd_word(text(&args[0]), "$$")
}

/// A word in `Environment=`.
pub(super) fn systemd_env(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    systemd_word(text(&args[0]), "$")
}

fn systemd_word(text: &Text, dollar: &'static str) -> Outcome<Value> {
    let text = refuse_non_utf8("systemd", text)?;
    if text.bytes().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t')) {
        return fault("systemd has no way to write control characters other than tabs and line breaks");
    }
    between("\"", text.as_bytes(), |byte| match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        b'\n' => Some("\\n"),
        b'\t' => Some("\\t"),
        b'%' => Some("%%"),
        b'$' => Some(dollar),
        _ => None,
    })
}
