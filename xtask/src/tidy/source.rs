//! Rules on the text of single files.

use super::File;

/// Longer files are divided: nine in ten of a well-kept project's are shorter.
const LONGEST: usize = 1_000;

/// What panics in place of an error message. Written in two parts, not to find itself.
const PANICS: [&str; 2] = [concat!("todo", "!("), concat!(".unw", "rap()")];

/// Crates that are for `tests/`: used from `#[cfg(test)]`, a crate would meet itself twice.
const FOR_TESTS: [&str; 2] = [concat!("waypost_", "testkit"), concat!("waypost_", "servers")];

/// The packages that those rules are not about: they are the tests.
const TESTING: [&str; 5] = ["crates/testkit/", "crates/servers/", "e2e/", "bench/", "xtask/"];

/// Checks a Rust file's length, and that what is for tests stays in tests.
pub(super) fn check(file: &File) -> Vec<String> {
    if !file.path.ends_with(".rs") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let lines = file.text.lines().count();
    if lines > LONGEST {
        findings.push(format!("{}: {lines} lines, more than {LONGEST}", file.path));
    }
    if is_test_file(&file.path) {
        return findings;
    }
    for (number, line) in code_outside_tests(&file.text) {
        for panic in PANICS.iter().filter(|panic| line.contains(**panic)) {
            findings.push(format!("{}:{number}: `{panic}` outside tests", file.path));
        }
    }
    if !TESTING.iter().any(|package| file.path.starts_with(package)) {
        for name in FOR_TESTS.iter().filter(|name| file.text.contains(**name)) {
            findings.push(format!("{}: {name} is for files in tests/", file.path));
        }
    }
    findings
}

/// Names each line with a path into somebody's home, or one of `places`.
pub(super) fn private_paths(file: &File, places: &[String]) -> Vec<String> {
    let finding = |(index, line): (usize, &str)| {
        let place = places.iter().find(|place| contains_path(line, place)).map(String::as_str);
        let place = place.or_else(|| HOMES.into_iter().find(|home| names_a_home(line, home)))?;
        Some(format!("{}:{}: a path of one machine: {place}", file.path, index + 1))
    };
    file.text.lines().enumerate().filter_map(finding).collect()
}

/// Below these are people's directories. Written in two parts, not to find themselves.
const HOMES: [&str; 2] = [concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// True for a home with somebody's name, after something that no path continues from.
fn names_a_home(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let name = line[at + home.len()..].chars().next();
        begins_a_path(line, at) && name.is_some_and(|first| first.is_ascii_lowercase())
    })
}

fn contains_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let next = line[at + place.len()..].chars().next();
        begins_a_path(line, at) && !next.is_some_and(|next| next.is_alphanumeric() || "-_.".contains(next))
    })
}

fn begins_a_path(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    !before.is_some_and(|before| before.is_alphanumeric() || "-_./}".contains(before))
}

/// A test's panic is its report: these files may hold anything.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| ["tests", "tests.rs", "benches", "examples"].contains(&part))
        || path.ends_with("_test.rs")
        || path.ends_with("_tests.rs")
}

/// The numbered lines of code before the file's test module, which is its end everywhere here.
fn code_outside_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test_module = |pair: &[&str]| {
        let module = pair[1].split_whitespace().any(|word| word == "mod") && pair[1].ends_with('{');
        pair[0].trim() == "#[cfg(test)]" && module
    };
    let end = lines.windows(2).position(is_test_module).unwrap_or(lines.len());
    let numbered = lines.into_iter().take(end).enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn an_unwrap_outside_tests_is_found_with_its_line() {
        let text = "fn f() {\n    g().unwrap();\n}\n\n#[cfg(test)]\nmod tests {\n    g().unwrap();\n}\n";
        assert_eq!(
            check(&file("crates/model/src/key.rs", text)),
            ["crates/model/src/key.rs:2: `.unwrap()` outside tests"]
        );
        assert_eq!(check(&file("crates/model/tests/key.rs", text)), [""; 0]);
    }

    #[test]
    fn a_todo_is_found_and_a_comment_about_one_is_not() {
        let text = "// todo!() was here\nfn f() { todo!() }\n";
        assert_eq!(
            check(&file("crates/model/src/key.rs", text)),
            ["crates/model/src/key.rs:2: `todo!(` outside tests"]
        );
    }

    #[test]
    fn a_file_too_long_is_named() {
        let text = "\n".repeat(1_001);
        assert_eq!(
            check(&file("crates/model/tests/key.rs", &text)),
            ["crates/model/tests/key.rs: 1001 lines, more than 1000"]
        );
    }

    #[test]
    fn the_testkit_in_a_unit_test_is_found() {
        let text = "#[cfg(test)]\nmod tests {\n    use waypost_testkit::Faults;\n}\n";
        assert_eq!(
            check(&file("crates/agent/src/swap.rs", text)),
            ["crates/agent/src/swap.rs: waypost_testkit is for files in tests/"]
        );
        assert_eq!(check(&file("crates/agent/tests/swap.rs", text)), [""; 0]);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let found = |line: &str| {
            let line = line.replace("/HOME/", HOMES[0]);
            !private_paths(&file("README.md", &line), &["/srv/clone".to_owned()]).is_empty()
        };
        assert!(found("run /HOME/ann/bin/x"));
        assert!(found("`/srv/clone/target`"));
        assert!(found("cd /srv/clone"));
        assert!(!found("/srv/clones is another"));
        assert!(!found("https://example.org/HOME/ann"));
        assert!(!found("/HOME/$USER or /HOME/<you>"));
    }
}
