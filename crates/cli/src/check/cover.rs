//! What a template reads, and whether the resource's `keys` let it see that.

use waypost_agent::Resource;
use waypost_model::clean_path;
use waypost_template::{Call, Glob, Reads, Text};

/// Something that a template reads, by the names that it sees.
#[derive(Debug, Clone)]
pub(crate) enum Read {
    Key(String),
    Pattern(Glob),
    /// A path and all below it.
    Directory(String),
}

impl Read {
    /// What a call reads, if the source names it; none if it reads nothing, or only a render knows what.
    pub(crate) fn of(call: &Call) -> Option<Read> {
        let name = call.literal(0)?;
        let path = std::str::from_utf8(name).ok()?;
        let absolute = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(match &*call.function {
            "get" | "getv" | "exists" => Read::Key(path.to_owned()),
            "key" | "keyExists" | "keyOrDefault" => Read::Key(absolute),
            "gets" | "getvs" => Read::Pattern(Glob::new(name.clone()).ok()?),
            "endpoints" => {
                let glob = Glob::new(Text::from(absolute.clone())).ok()?;
                if glob.is_literal() { Read::directory(&absolute) } else { Read::Pattern(glob) }
            }
            "ls" | "lsdir" => Read::directory(path),
            "tree" => Read::directory(&absolute),
            _ => return None,
        })
    }

    fn directory(path: &str) -> Read {
        // Of a relative path nothing is found, so it stays one.
        Read::Directory(if path.starts_with('/') { clean_path(path).into_owned() } else { path.to_owned() })
    }

    /// All that a render has read.
    pub(crate) fn all(reads: &Reads) -> Vec<Read> {
        let text = |text: &Text| String::from_utf8_lossy(text).into_owned();
        let keys = reads.keys().map(|key| Read::Key(text(key)));
        let globs = reads.globs().map(|glob| Read::Pattern(glob.clone()));
        let directories = reads.directories().map(|directory| Read::Directory(text(directory)));
        keys.chain(globs).chain(directories).collect()
    }

    /// As the template says it.
    pub(crate) fn name(&self) -> String {
        match self {
            Read::Key(name) | Read::Directory(name) => name.clone(),
            Read::Pattern(glob) => String::from_utf8_lossy(glob.pattern()).into_owned(),
        }
    }
}

/// What a template can see: the resource's keys without its prefix.
#[derive(Debug)]
pub(crate) struct Sight {
    /// Paths, each with all below it; the empty one is everything.
    roots: Vec<String>,
}

impl Sight {
    pub(crate) fn of(resource: &Resource) -> Sight {
        let root = |key: &str| match key.strip_prefix(&*resource.prefix) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.to_owned(),
            // With `..` a key can be beside the prefix, or above it: its names are then anything.
            _ => String::new(),
        };
        Sight { roots: resource.keys.iter().map(|key| root(key.as_str())).collect() }
    }

    /// False if no key that the template can see is among what it reads.
    pub(crate) fn covers(&self, read: &Read) -> bool {
        match read {
            // All names are absolute and clean.
            Read::Key(name) => {
                name.starts_with('/')
                    && clean_path(name) == **name
                    && self.roots.iter().any(|root| is_within(name, root))
            }
            Read::Directory(path) => {
                path.starts_with('/')
                    && self.roots.iter().any(|root| is_within(path, root) || is_within(root, path))
            }
            Read::Pattern(glob) => self.roots.iter().any(|root| can_meet(glob, root)),
        }
    }
}

impl Sight {
    /// False if what the call reads may be beside the keys: by a name that only begins like one of them.
    pub(crate) fn keeps_within(&self, call: &Call) -> bool {
        const READING: [&str; 12] = [
            "get",
            "getv",
            "exists",
            "key",
            "keyExists",
            "keyOrDefault",
            "gets",
            "getvs",
            "endpoints",
            "ls",
            "lsdir",
            "tree",
        ];
        let is_within = |path: &str| self.roots.iter().any(|root| is_within(path, root));
        match Read::of(call) {
            Some(Read::Key(path) | Read::Directory(path)) => is_within(&path),
            Some(Read::Pattern(glob)) => {
                let literal = String::from_utf8_lossy(glob.prefix()).into_owned();
                literal.rsplit_once('/').is_some_and(|(path, _)| is_within(path))
            }
            None => !READING.contains(&&*call.function),
        }
    }
}

impl std::fmt::Display for Sight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.roots.is_empty() {
            return f.write_str("nothing");
        }
        let shown: Vec<&str> =
            self.roots.iter().map(|root| if root.is_empty() { "/" } else { &**root }).collect();
        f.write_str(&shown.join(", "))
    }
}

/// True if `path` is `root` or below it.
fn is_within(path: &str, root: &str) -> bool {
    let root = root.trim_end_matches('/');
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// True if some name at or below `root` can match. Neither a star nor a question mark matches a slash, so
/// both are compared part by part; a pattern with a class, which can, by its beginning.
fn can_meet(glob: &Glob, root: &str) -> bool {
    let pattern = String::from_utf8_lossy(glob.pattern()).into_owned();
    if !pattern.starts_with('/') {
        return pattern.starts_with(['[', '\\']);
    }
    if pattern.contains(['[', '\\']) {
        let literal = String::from_utf8_lossy(glob.prefix()).into_owned();
        return root.starts_with(&literal) || literal.starts_with(root);
    }
    let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (pattern, root) = (parts(&pattern), parts(root));
    let matches = |(part, name): (&String, &String)| {
        Glob::new(Text::from(part.clone())).is_ok_and(|glob| glob.matches(name.as_bytes()))
    };
    pattern.len() >= root.len() && pattern.iter().zip(&root).all(matches)
}

#[cfg(test)]
mod tests {
    use waypost_template::{Engine, outline};

    use super::*;

    fn sight(roots: &[&str]) -> Sight {
        Sight { roots: roots.iter().map(|root| (*root).to_owned()).collect() }
    }

    fn covers(sight: &Sight, action: &str) -> bool {
        let outline = outline(Engine::Go, format!("{{{{{action}}}}}").as_bytes());
        sight.covers(&Read::of(&outline.calls[0]).unwrap_or_else(|| panic!("{action} reads nothing")))
    }

    #[test]
    fn a_name_is_covered_by_a_key_and_by_the_path_above_it() {
        let sight = sight(&["/app", "/db/host"]);
        for seen in ["getv \"/app\"", "getv \"/app/a/b\"", "exists \"/db/host\"", "key \"app/x\""] {
            assert!(covers(&sight, seen), "{seen}");
        }
        for unseen in
            ["getv \"/apple\"", "get \"/db\"", "getv \"app/x\"", "getv \"/app//x\"", "getv \"/app/\""]
        {
            assert!(!covers(&sight, unseen), "{unseen}");
        }
    }

    #[test]
    fn a_pattern_is_covered_if_something_can_match() {
        let sight = sight(&["/app/web"]);
        for seen in
            ["gets \"/app/*\"", "gets \"/*/web/x\"", "getvs \"/app/web/*/x\"", "gets \"/app/w[a-e]b/*\""]
        {
            assert!(covers(&sight, seen), "{seen}");
        }
        for unseen in
            ["gets \"/app/db/*\"", "gets \"/*\"", "gets \"*\"", "gets \"/app/web-*\"", "gets \"/b[a]/*\""]
        {
            assert!(!covers(&sight, unseen), "{unseen}");
        }
    }

    #[test]
    fn a_directory_is_covered_from_above_and_from_below() {
        let sight = sight(&["/app/web"]);
        for seen in
            ["ls \"/\"", "lsdir \"/app\"", "ls \"/app/web/x/\"", "tree \"app\"", "endpoints \"/app/web\""]
        {
            assert!(covers(&sight, seen), "{seen}");
        }
        assert!(!covers(&sight, "ls \"/db\"") && !covers(&sight, "ls \"app\""));
    }

    #[test]
    fn what_may_be_beside_the_keys_is_known() {
        let sight = sight(&["/app/web"]);
        let keeps = |action: &str| {
            let outline = outline(Engine::Go, format!("{{{{{action}}}}}").as_bytes());
            sight.keeps_within(&outline.calls[0])
        };
        for within in ["getv \"/app/web/x\"", "gets \"/app/web/*\"", "ls \"/app/web\"", "base \"/x\""] {
            assert!(keeps(within), "{within}");
        }
        for beside in
            ["gets \"/app/web*\"", "gets \"/app/*/x\"", "ls \"/app\"", "getv .x", "get \"/app/web2\""]
        {
            assert!(!keeps(beside), "{beside}");
        }
    }

    #[test]
    fn without_keys_nothing_is_seen_and_with_the_root_everything() {
        assert!(!covers(&sight(&[]), "ls \"/\"") && covers(&sight(&[""]), "getv \"/x\""));
        assert!(covers(&sight(&[""]), "gets \"/a/*\"") && !covers(&sight(&[""]), "getv \"x\""));
    }
}
