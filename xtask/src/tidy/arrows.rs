//! Which crate of the workspace may depend on which: the arrows go down only.

use super::manifest::{Dependency, Kind, Manifest};

/// Each crate, and those that it may depend on. Crates on one level never see each other.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["demo", "agent", "announce", "discover", "status", "template", "store", "backend", "model"]),
    ("demo", &["agent", "announce", "store", "backend", "model"]),
    ("agent", &["template", "backend", "model"]),
    ("announce", &["backend", "model"]),
    ("discover", &["backend", "model"]),
    ("status", &["backend", "model"]),
    ("backend", &["model"]),
    ("model", &[]),
    ("template", &[]),
    ("store", &[]),
    ("testkit", &["backend", "model"]),
    ("servers", &[]),
    // What it feeds with hostile input.
    ("fuzz", &["template"]),
    // These run the built binary and see none of the libraries.
    ("e2e", &["servers"]),
    // And measures what those arrange.
    ("bench", &["e2e", "servers"]),
    ("xtask", &["servers"]),
];

/// What only tests may depend on: any crate's may.
const FOR_TESTS: [&str; 2] = ["testkit", "servers"];

/// Names every edge of a member that is not in the table.
pub(super) fn check(manifest: &Manifest) -> Vec<String> {
    let from = short(&manifest.package).unwrap_or(&manifest.package);
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
        return vec![format!("{}: {from} is not in the table of arrows", manifest.path)];
    };
    let forbidden = |dependency: &&Dependency| {
        let Some(to) = short(&dependency.package) else { return false };
        let for_tests = dependency.kind == Kind::Dev && FOR_TESTS.contains(&to);
        !allowed.contains(&to) && !for_tests
    };
    let finding = |dependency: &Dependency| {
        let to = short(&dependency.package).unwrap_or_default();
        let how = if dependency.kind == Kind::Dev { " in tests" } else { "" };
        format!("{}: {from} may not depend on {to}{how}", manifest.path)
    };
    manifest.dependencies.iter().filter(forbidden).map(finding).collect()
}

/// A crate of this workspace by its directory's name; `None` for everybody else's.
fn short(package: &str) -> Option<&str> {
    if package == "xtask" { Some(package) } else { package.strip_prefix("waypost-") }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::*;

    fn findings(package: &str, table: &str, dependency: &str) -> Vec<String> {
        check(&manifest(&format!(
            "[package]\nname = '{package}'\n[{table}]\n{dependency}.workspace = true\nserde.workspace = true\n"
        )))
    }

    #[test]
    fn an_arrow_down_is_fine() {
        assert_eq!(findings("waypost-agent", "dependencies", "waypost-backend"), [""; 0]);
    }

    #[test]
    fn an_arrow_up_is_found() {
        assert_eq!(
            findings("waypost-model", "dependencies", "waypost-backend"),
            ["crates/x/Cargo.toml: model may not depend on backend"]
        );
    }

    #[test]
    fn neighbours_do_not_see_each_other_even_in_tests() {
        assert_eq!(
            findings("waypost-agent", "dev-dependencies", "waypost-announce"),
            ["crates/x/Cargo.toml: agent may not depend on announce in tests"]
        );
    }

    #[test]
    fn only_tests_depend_on_the_testkit() {
        assert_eq!(findings("waypost-agent", "dev-dependencies", "waypost-testkit"), [""; 0]);
        assert_eq!(
            findings("waypost-agent", "dependencies", "waypost-testkit"),
            ["crates/x/Cargo.toml: agent may not depend on testkit"]
        );
    }

    #[test]
    fn the_chores_may_start_servers_and_see_no_library() {
        assert_eq!(findings("xtask", "dependencies", "waypost-servers"), [""; 0]);
        assert_eq!(
            findings("xtask", "dependencies", "waypost-model"),
            ["crates/x/Cargo.toml: xtask may not depend on model"]
        );
    }

    #[test]
    fn a_crate_nobody_placed_is_found() {
        assert_eq!(
            findings("waypost-new", "dependencies", "bytes"),
            ["crates/x/Cargo.toml: new is not in the table of arrows"]
        );
    }

    #[test]
    fn every_arrow_leads_to_a_crate_in_the_table() {
        for (from, to) in ARROWS.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
            assert!(ARROWS.iter().any(|(name, _)| name == to), "{from} → {to}");
        }
    }
}
