//! The outline of a Jinja source: its calls, filters and includes.
//!
//! It reads words and punctuation within the delimiters, and knows no expressions: what a word in front of a
//! parenthesis or behind a bar means is all that is needed.

use std::collections::HashSet;

use super::environment;
use crate::functions;
use crate::outline::{Argument, Call, Include, Outline};
use crate::{Engine, Text};

/// A word or sign within delimiters, and where it begins.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    what: What,
    at: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Word(String),
    Text(String),
    Number(String),
    Sign(char),
}

/// What `source` calls and includes.
pub(crate) fn outline(source: &[u8]) -> Outline {
    let source = String::from_utf8_lossy(source);
    let actions = actions(&source);
    let own: HashSet<&str> = actions.iter().flat_map(|action| defined(action)).collect();
    let environment = environment::new();
    let is_foreign = |call: &Call, is_filter: bool| {
        let name = &*call.function;
        // Ours must not be tried: they take no fewer arguments than one.
        functions::find(name).is_none()
            && match is_filter {
                true => environment::has_filter(&environment, name),
                false => environment.globals().any(|(known, _)| known == name),
            }
    };
    let mut outline = Outline::default();
    for action in &actions {
        outline.includes.extend(include(action));
        for at in 0..action.len() {
            if let Some((call, is_filter)) = call(action, at)
                && !is_foreign(&call, is_filter)
                && (is_filter || !own.contains(&*call.function))
            {
                outline.calls.push(call);
            }
        }
    }
    outline
}

/// The call that the word at `at` begins, if it does, and whether it is a filter.
fn call(action: &[Token], at: usize) -> Option<(Call, bool)> {
    let function = word(action, at)?.to_owned();
    let before = |back: usize| at.checked_sub(back).and_then(|at| action.get(at)).map(|token| &token.what);
    let is_filter = before(1) == Some(&What::Sign('|')) || (at == 1 && word(action, 0) == Some("filter"));
    let has_arguments = is_sign(action, at + 1, '(');
    let is_field = before(1) == Some(&What::Sign('.'));
    let defines = matches!(before(1), Some(What::Word(word)) if word == "macro" || word == "is");
    if is_field || defines || !(is_filter || has_arguments) || is_keyword(&function) {
        return None;
    }
    let mut arguments = if has_arguments { arguments(action, at + 2).0 } else { Vec::new() };
    if is_filter {
        let piped = match before(2) {
            Some(What::Text(text)) => Argument::Text(Text::from(text.clone())),
            _ => Argument::Other,
        };
        let place = environment::subject(&function).min(arguments.len());
        arguments.insert(place, piped);
    }
    Some((Call { function, at: action[at].at, arguments }, is_filter))
}

/// The arguments from `at` to the closing parenthesis, and what is after it.
fn arguments(action: &[Token], mut at: usize) -> (Vec<Argument>, usize) {
    let (mut arguments, mut start, mut depth) = (Vec::new(), at, 0_usize);
    while let Some(token) = action.get(at) {
        match token.what {
            What::Sign('(' | '[' | '{') => depth += 1,
            What::Sign(')') if depth == 0 => break,
            What::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            What::Sign(',') if depth == 0 => {
                arguments.push(argument(&action[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if start < at {
        arguments.push(argument(&action[start..at]));
    }
    (arguments, at + 1)
}

fn argument(tokens: &[Token]) -> Argument {
    match tokens {
        [Token { what: What::Text(text), .. }] => Argument::Text(Text::from(text.clone())),
        [Token { what: What::Number(number), .. }] => Argument::Number(number.clone()),
        [Token { what: What::Word(name), .. }, rest @ ..]
            if is_sign(rest, 0, '(') && arguments(rest, 1).1 == rest.len() =>
        {
            Argument::Result(name.clone())
        }
        _ => Argument::Other,
    }
}

/// What a tag includes by name.
fn include(action: &[Token]) -> Option<Include> {
    let tag = word(action, 0)?;
    if !matches!(tag, "include" | "import" | "from" | "extends") {
        return None;
    }
    let Token { what: What::Text(name), at } = action.get(1)? else { return None };
    let is_plain = action.get(2).is_none_or(|token| matches!(token.what, What::Word(_)));
    let may_be_missing = word(action, 2) == Some("ignore");
    is_plain.then(|| Include {
        name: Text::from(name.clone()),
        at: *at,
        engine: Engine::Jinja,
        may_be_missing,
    })
}

/// The names that an action gives a meaning to. More than it does are no harm: they are no calls then.
fn defined(action: &[Token]) -> Vec<&str> {
    let words = |from: usize| (from..action.len()).filter_map(|at| word(action, at));
    match word(action, 0) {
        Some("set" | "with") => {
            let is_name =
                |at: &usize| is_sign(action, at + 1, '=') || is_sign(action, at + 1, ',') || *at == 1;
            (1..action.len()).filter(is_name).filter_map(|at| word(action, at)).collect()
        }
        Some("for") => words(1).take_while(|word| *word != "in").collect(),
        Some("macro") => words(1).chain(["caller"]).collect(),
        Some("import" | "from") => words(2).collect(),
        Some("call") => words(1).take(1).filter(|_| is_sign(action, 1, '(')).collect(),
        _ => Vec::new(),
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "and" | "or" | "not" | "in" | "is" | "if" | "else" | "elif" | "call" | "self" | "super" | "caller"
    )
}

fn word(action: &[Token], at: usize) -> Option<&str> {
    match &action.get(at)?.what {
        What::Word(word) => Some(word),
        _ => None,
    }
}

fn is_sign(action: &[Token], at: usize, sign: char) -> bool {
    action.get(at).is_some_and(|token| token.what == What::Sign(sign))
}

/// The tokens of each tag and each expression; comments and what `raw` encloses are left out.
fn actions(source: &str) -> Vec<Vec<Token>> {
    let (mut actions, mut at, mut is_raw) = (Vec::new(), 0, false);
    while let Some(offset) = source[at..].find('{') {
        at += offset;
        let rest = &source[at..];
        if !is_raw && rest.starts_with("{#") {
            at += rest.find("#}").map_or(rest.len(), |end| end + 2);
        } else if rest.starts_with("{%") || (!is_raw && rest.starts_with("{{")) {
            let end = if rest.starts_with("{{") { "}}" } else { "%}" };
            let (action, after) = tokens(source, at + 2, end);
            let tag = word(&action, 0).unwrap_or_default().to_owned();
            if is_raw && tag != "endraw" {
                at += 2;
                continue;
            }
            is_raw = end == "%}" && tag == "raw";
            at = after;
            actions.push(action);
        } else {
            at += 1;
        }
    }
    actions
}

/// The tokens from `at` to `end`, and what is after it.
fn tokens(source: &str, mut at: usize, end: &str) -> (Vec<Token>, usize) {
    let (mut tokens, mut depth) = (Vec::new(), 0_usize);
    while let Some(next) = source[at..].chars().next() {
        if depth == 0 && source[at..].starts_with(end) {
            return (tokens, at + end.len());
        }
        let start = at;
        let what = match next {
            '"' | '\'' => {
                let (text, after) = string(source, at);
                at = after;
                What::Text(text)
            }
            letter if letter.is_alphanumeric() || letter == '_' => {
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                at += source[at..].find(|c| !is_part(c)).unwrap_or(source.len() - at);
                let text = source[start..at].to_owned();
                if letter.is_ascii_digit() { What::Number(text) } else { What::Word(text) }
            }
            sign => {
                at += sign.len_utf8();
                match sign {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                What::Sign(sign)
            }
        };
        // The dashes of `{{-` and `-}}` are no signs, and neither is white space.
        let is_silent = |sign: char| sign.is_whitespace() || (tokens.is_empty() && matches!(sign, '-' | '+'));
        if !matches!(what, What::Sign(sign) if is_silent(sign)) {
            tokens.push(Token { what, at: start });
        }
        if source[at..].strip_prefix(['-', '+']).is_some_and(|rest| depth == 0 && rest.starts_with(end)) {
            at += 1;
        }
    }
    (tokens, source.len())
}

/// The string that begins at `at`, and what is after it.
fn string(source: &str, at: usize) -> (String, usize) {
    let mut text = String::new();
    let mut letters = source[at..].char_indices();
    let quote = letters.next().map(|(_, quote)| quote);
    while let Some((offset, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, other)) => text.push(other),
                None => {}
            },
            letter if Some(letter) == quote => return (text, at + offset + letter.len_utf8()),
            letter => text.push(letter),
        }
    }
    (text, source.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> Vec<String> {
        let call = |call: &Call| {
            let text = call.arguments.iter().map(|argument| match argument {
                Argument::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Argument::Number(number) => number.clone(),
                Argument::Result(function) => format!("{function}()"),
                Argument::Other => "_".to_owned(),
            });
            format!("{}({})", call.function, text.collect::<Vec<_>>().join(", "))
        };
        outline(source.as_bytes()).calls.iter().map(call).collect()
    }

    #[test]
    fn calls_and_filters_are_told_with_their_literals() {
        assert_eq!(shown("{{ getv('/a', \"b\") }} getv('/c')"), ["getv(/a, b)"]);
        assert_eq!(
            shown("{%- for p in gets(\"/a/*\") -%}{{ p.Key | base }}{% endfor %}"),
            ["gets(/a/*)", "base(_)"]
        );
        assert_eq!(shown("{{ '/a' | getv }}{{ x|trimSuffix(\".\") }}"), ["getv(/a)", "trimSuffix(_, .)"]);
        assert_eq!(shown("{{ reverse(gets('/a')) }}"), ["reverse(gets())", "gets(/a)"]);
        assert_eq!(
            shown("{% if false %}{{ nosuch(1) }}{% endif %}{{ 'x' | nosuch2 }}"),
            ["nosuch(1)", "nosuch2(x)"]
        );
    }

    #[test]
    fn what_the_source_or_minijinja_defines_is_no_call() {
        let source = "{% macro pool(x) %}{{ x.call() }}{% endmacro %}{{ pool(1) }}{{ range(3) | length }}\
                      {% from 'm' import other as mine %}{{ mine(2) }}{{ loop.cycle(1) }}\
                      {% if x is defined(1) %}{% endif %}";
        assert!(shown(source).is_empty(), "{:?}", shown(source));
    }

    #[test]
    fn comments_and_raw_text_hold_no_calls() {
        assert!(shown("{# {{ getv('/a') }} #}{% raw %}{{ getv('/b') }}{% endraw %}").is_empty());
        assert_eq!(shown("{% raw %}{{ x{% endraw %}{{ {'a': {'b': getv('/c')}} }}"), ["getv(/c)"]);
    }

    #[test]
    fn included_files_are_told() {
        let source = "{% extends 'base.j2' %}{% include \"a.j2\" ignore missing %}{% include x %}";
        let told: Vec<_> = outline(source.as_bytes())
            .includes
            .into_iter()
            .map(|include| (String::from_utf8_lossy(&include.name).into_owned(), include.may_be_missing))
            .collect();
        assert_eq!(told, [("base.j2".to_owned(), false), ("a.j2".to_owned(), true)]);
    }
}
