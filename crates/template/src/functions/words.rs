//! Words: `snakecase`, `camelcase` and `kebabcase`.

use super::text;
use crate::Text;
use crate::error::Outcome;
use crate::eval::Run;
use crate::unicode::{chars, is_lower, is_upper, push, to_lower, to_upper};
use crate::value::{Operand, Value};

pub(super) fn snakecase(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(joined(text(&args[0]), "_", |word| word))
}

pub(super) fn kebabcase(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(joined(text(&args[0]), "-", |word| word))
}

pub(super) fn camelcase(_: &mut Run<'_>, args: &mut [Operand]) -> Outcome<Value> {
    Ok(joined(text(&args[0]), "", |mut word| {
        if let Some(first) = word.first_mut() {
            *first = to_upper(*first);
        }
        word
    }))
}

/// The words in lower case with `separator` between them, all but the first changed.
fn joined(text: &[u8], separator: &str, change: impl Fn(Vec<char>) -> Vec<char>) -> Value {
    let mut out = Vec::with_capacity(text.len() + 8);
    for (index, word) in words(text).into_iter().enumerate() {
        let word: Vec<char> = word.into_iter().map(to_lower).collect();
        let word = if index > 0 { change(word) } else { word };
        if index > 0 {
            out.extend_from_slice(separator.as_bytes());
        }
        word.into_iter().for_each(|c| push(&mut out, c));
    }
    Value::Text(Text::from(out))
}

/// Words end at `_`, `-` and space, and before an upper case letter that follows anything but one, or
/// that a lower case letter follows: `HTTPServer2X` is HTTP, Server2, X.
fn words(text: &[u8]) -> Vec<Vec<char>> {
    let chars: Vec<char> = chars(text).map(|(_, c, _)| c).collect();
    let mut words = vec![Vec::new()];
    for (index, &c) in chars.iter().enumerate() {
        let separates = matches!(c, '_' | '-' | ' ');
        let begins = is_upper(c)
            && (chars.get(index + 1).is_some_and(|next| is_lower(*next))
                || (index > 0 && !is_upper(chars[index - 1])));
        if separates || begins {
            words.push(Vec::new());
        }
        if !separates {
            words.last_mut().expect("there is always one").push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
