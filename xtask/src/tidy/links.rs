//! Links between the repository's own pages lead somewhere.

use std::collections::BTreeSet;

use super::File;

/// Names every relative link of a Markdown file that leads to no file or directory.
pub(super) fn check(file: &File, paths: &BTreeSet<String>) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let finding = |(line, target): (usize, String)| {
        let path = resolve(&file.path, &target);
        let there = path.as_deref().is_some_and(|path| exists(path, paths));
        (!there).then(|| format!("{}:{line}: a link to {target}, which does not exist", file.path))
    };
    relative_links(&file.text).into_iter().filter_map(finding).collect()
}

/// The targets of `[text](target)` without their anchors, outside code, with their line numbers.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                links.push((index + 1, target.to_owned()));
            }
        }
    }
    links
}

/// The path from the root; `None` for one that leads out of the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn exists(path: &str, paths: &BTreeSet<String>) -> bool {
    let directory = format!("{path}/");
    path.is_empty() || paths.contains(path) || paths.iter().any(|file| file.starts_with(&directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let paths = ["README.md", "docs/guide.md", "examples/nginx/README.md"];
        let paths = paths.into_iter().map(str::to_owned).collect();
        check(&File { path: "docs/guide.md".to_owned(), text: text.to_owned() }, &paths)
    }

    #[test]
    fn a_link_to_a_missing_file_is_found_with_its_line() {
        assert_eq!(
            findings("see\n[here](gone.md#part)\n"),
            ["docs/guide.md:2: a link to gone.md, which does not exist"]
        );
    }

    #[test]
    fn links_to_files_directories_anchors_and_other_sites_are_fine() {
        let text = "[a](../README.md) [b](../examples/nginx/) [c](#part) [d](https://example.org/gone.md)";
        assert_eq!(findings(text), [""; 0]);
    }

    #[test]
    fn a_link_out_of_the_repository_is_found() {
        assert_eq!(findings("[a](../../other.md)").len(), 1);
    }

    #[test]
    fn code_is_not_searched_for_links() {
        assert_eq!(findings("```\nlet a = b[c](d);\n```\n"), [""; 0]);
    }
}
