//! Values as PHP source: a script that returns an array of constants, which opcache keeps in shared memory.
//!
//! Strings are single-quoted, where only `\` and `'` mean something else than themselves, and both are escaped: no
//! value becomes code. Source: "Strings, Single quoted" in the PHP manual's language reference.

use std::fmt::Write;

use serde_json::Value as Json;

/// A script that returns `document`: `waypost` and `version` first, then each service, an instance a line.
pub(crate) fn script(document: &Json) -> String {
    let mut text = "<?php return [".to_owned();
    for name in ["waypost", "version"] {
        let _ = write!(text, "{} => {}, ", string(name), value(&document[name]));
    }
    let _ = write!(text, "{} => [", string("services"));
    for (name, instances) in document["services"].as_object().into_iter().flatten() {
        let _ = write!(text, "\n{} => [", string(name));
        for instance in instances.as_array().into_iter().flatten() {
            let _ = write!(text, "\n  {},", value(instance));
        }
        text.push_str("],");
    }
    text.push_str("\n]];\n");
    text
}

/// A value as an expression of constants.
fn value(json: &Json) -> String {
    let pair = |(name, json): (&String, &Json)| format!("{} => {}", string(name), value(json));
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(truth) => truth.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => string(text),
        Json::Array(list) => format!("[{}]", list.iter().map(value).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => format!("[{}]", map.iter().map(pair).collect::<Vec<_>>().join(", ")),
    }
}

fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for letter in text.chars() {
        if letter == '\'' || letter == '\\' {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waypost_model::{Endpoint, Instance, Service, document};

    use super::*;

    /// Reads a string as PHP does; gives what it holds, and what is behind it.
    fn read(source: &str) -> Option<(String, &str)> {
        let mut letters = source.strip_prefix('\'')?.char_indices();
        let mut text = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\'' => return Some((text, &source[at + 2..])),
                '\\' => match letters.next()? {
                    (_, escaped @ ('\'' | '\\')) => text.push(escaped),
                    // Before any other letter it is itself.
                    (_, other) => text.extend(['\\', other]),
                },
                _ => text.push(letter),
            }
        }
        None
    }

    proptest! {
        #[test]
        fn a_string_is_read_as_it_was_and_ends_where_it_ends(text in "(\\PC|[\\\\'\"$?>\n\0]){0,20}") {
            let source = format!("{}; tail", string(&text));
            prop_assert_eq!(read(&source), Some((text, "; tail")));
        }
    }

    #[test]
    fn a_script_returns_the_document() {
        let mut instance = Instance::new("1", Endpoint::new("127.0.0.1", 3306));
        instance.meta.insert("user".to_owned(), "a'); system($x); //\\".to_owned());
        instance.tags = vec!["ssd".to_owned()];
        let services = [
            Service { name: "cache".to_owned(), instances: Vec::new() },
            Service { name: "db".to_owned(), instances: vec![instance] },
        ];
        let document = document(&services);
        let version = document["version"].as_str().unwrap();
        let text = script(&document);
        let (head, rest) = text.split_once('\n').unwrap();
        assert_eq!(head, format!("<?php return ['waypost' => 1, 'version' => '{version}', 'services' => ["));
        assert!(rest.starts_with("'cache' => [],\n'db' => [\n  ["), "{rest}");
        for part in
            ["'port' => 3306", "'role' => null", "'tags' => ['ssd']", "'user' => 'a\\'); system($x); //\\\\'"]
        {
            assert!(rest.contains(part), "{part}: {rest}");
        }
        assert!(rest.ends_with("],],\n]];\n") || rest.ends_with(",],\n]];\n"), "{rest}");
    }
}
