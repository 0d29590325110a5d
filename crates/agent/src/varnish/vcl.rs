//! What a VCL says of its backends: where each leads, and which directors have it.
//!
//! Only as much of the language is read as that takes: comments and strings, and the shapes
//! `backend NAME { .host = "…"; … }` and `DIRECTOR.add_backend(NAME`. Source: vcl(7).

use std::collections::BTreeMap;

/// Where a backend leads: its `.host`, `.port` and `.path`.
type Leads = BTreeMap<String, String>;

/// The backends of a VCL.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Vcl {
    backends: BTreeMap<String, Leads>,
    /// A director, and a backend that it has.
    members: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name, a number or a keyword; dots belong to it.
    Word(&'a str),
    Text(&'a str),
    Sign(char),
}

impl Vcl {
    pub(crate) fn read(source: &str) -> Vcl {
        let tokens = tokens(source);
        let mut vcl = Vcl::default();
        for (at, window) in tokens.windows(3).enumerate() {
            match window {
                [Token::Word("backend"), Token::Word(name), Token::Sign('{')] => {
                    vcl.backends.insert((*name).to_owned(), leads(&tokens[at + 3..]));
                }
                [Token::Word(call), Token::Sign('('), Token::Word(member)] => {
                    if let Some(director) = call.strip_suffix(".add_backend") {
                        vcl.members.push((director.to_owned(), (*member).to_owned()));
                    }
                }
                _ => {}
            }
        }
        vcl
    }

    /// The backends that `next` does not have, or that lead elsewhere in it, and that can be done without until it
    /// is in use: each of their directors has another one that stays.
    pub(crate) fn leaving(&self, next: &Vcl) -> Vec<&str> {
        let leaves =
            |name: &str| self.backends.get(name).is_some_and(|leads| next.backends.get(name) != Some(leads));
        let directors = |name: &str| {
            let ours = self.members.iter().filter(move |(_, member)| member == name);
            ours.map(|(director, _)| director).collect::<Vec<_>>()
        };
        let is_kept_up =
            |director: &str| self.members.iter().any(|(other, member)| other == director && !leaves(member));
        let can_go = |name: &&str| {
            let directors = directors(name);
            leaves(name) && !directors.is_empty() && directors.iter().all(|director| is_kept_up(director))
        };
        self.backends.keys().map(String::as_str).filter(can_go).collect()
    }
}

/// Where a backend leads whose definition begins with `tokens`, behind its brace.
fn leads(tokens: &[Token<'_>]) -> Leads {
    let (mut depth, mut leads) = (1, Leads::new());
    for window in tokens.windows(3) {
        match window {
            [Token::Sign('{'), ..] => depth += 1,
            [Token::Sign('}'), ..] if depth == 1 => break,
            [Token::Sign('}'), ..] => depth -= 1,
            [Token::Word(name @ (".host" | ".port" | ".path")), Token::Sign('='), Token::Text(value)]
                if depth == 1 =>
            {
                leads.insert((*name).to_owned(), (*value).to_owned());
            }
            _ => {}
        }
    }
    leads
}

fn tokens(mut source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    while let Some(first) = source.chars().next() {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let up_to = |end: &str, skip: usize| {
            source[skip..].find(end).map_or(source.len(), |at| skip + at + end.len())
        };
        let inside =
            |length: usize, skip: usize| source.get(skip..length.saturating_sub(skip)).unwrap_or_default();
        let length = match first {
            '#' => up_to("\n", 0),
            '/' if source.starts_with("//") => up_to("\n", 0),
            '/' if source.starts_with("/*") => up_to("*/", 2),
            '"' if source.starts_with("\"\"\"") => {
                let length = up_to("\"\"\"", 3);
                tokens.push(Token::Text(inside(length, 3)));
                length
            }
            '{' if source.starts_with("{\"") => {
                let length = up_to("\"}", 2);
                tokens.push(Token::Text(inside(length, 2)));
                length
            }
            '"' => {
                let length = up_to("\"", 1);
                tokens.push(Token::Text(inside(length, 1)));
                length
            }
            _ if is_word(first) => {
                let length = source.find(|letter| !is_word(letter)).unwrap_or(source.len());
                tokens.push(Token::Word(&source[..length]));
                length
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(Token::Sign(first));
                }
                first.len_utf8()
            }
        };
        source = &source[length..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vcl(backends: &[(&str, &str)], groups: &[(&str, &[&str])]) -> Vcl {
        let backends = backends.iter().map(|(name, port)| {
            format!("backend {name} {{ .host = \"h\"; .port = \"{port}\"; .probe = {{ .url = \"/\"; }} }}\n")
        });
        let members = groups.iter().flat_map(|(group, members)| {
            members.iter().map(move |member| format!("  {group}.add_backend({member});\n"))
        });
        let (backends, members): (String, String) = (backends.collect(), members.collect());
        Vcl::read(&format!(
            "vcl 4.1;\n{backends}sub vcl_init {{\n new d = directors.round_robin();\n{members}}}"
        ))
    }

    #[test]
    fn comments_and_strings_are_no_backends() {
        let read = Vcl::read(
            "# backend a { }\n// backend b { }\n/* backend c { .host = \"x\"; } */
            sub x { set req.http.y = \"backend d {\"; set req.http.z = {\"backend e { \" }\"}; synthetic(\"\"\"backend f {\"\"\"); }
            backend own { .host = \"h\"; .probe = { .url = \"}\"; .host = \"deep\"; } .path = {\"/p\"}; }
            backend none none;",
        );
        assert_eq!(read.backends.keys().collect::<Vec<_>>(), ["own"]);
        let leads: Vec<_> = read.backends["own"].values().map(String::as_str).collect();
        assert_eq!(leads, ["h", "/p"]);
    }

    #[test]
    fn what_is_gone_or_leads_elsewhere_leaves() {
        let old = vcl(&[("a", "1"), ("b", "2"), ("c", "3")], &[("d", &["a", "b", "c"])]);
        let next = vcl(&[("a", "1"), ("b", "9")], &[("d", &["a", "b"])]);
        assert_eq!(old.leaving(&next), ["b", "c"]);
        assert_eq!(old.leaving(&old), [""; 0]);
    }

    #[test]
    fn another_probe_or_timeout_is_no_reason_to_leave() {
        let old = Vcl::read(
            "backend a { .host = \"h\"; } backend b { .host = \"i\"; } x.add_backend(a); x.add_backend(b);",
        );
        let next = Vcl::read(
            "backend a { .connect_timeout = 1s; .host = \"h\"; .probe = p; } backend b { .host = \"i\"; }",
        );
        assert_eq!(old.leaving(&next), [""; 0]);
    }

    #[test]
    fn the_last_one_of_a_director_stays_until_the_next_vcl_is_in_use() {
        let old = vcl(&[("a", "1"), ("b", "2"), ("c", "3")], &[("d", &["a", "b"]), ("e", &["c"])]);
        let next = vcl(&[("b", "2"), ("x", "9")], &[("d", &["b"]), ("e", &["x"])]);
        assert_eq!(old.leaving(&next), ["a"], "c is all that e has");
        let alone = Vcl::read("backend a { .host = \"h\"; }");
        assert_eq!(alone.leaving(&Vcl::read("")), [""; 0], "no director can do without it");
    }

    #[test]
    fn what_is_no_vcl_is_read_to_its_end() {
        for text in
            ["backend", "backend a {", "\"", "{\"", "\"\"\"", "/*", "backend ä {", "backend a { .host = \""]
        {
            Vcl::read(text);
        }
    }
}
