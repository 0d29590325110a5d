//! What a member's Cargo.toml says, and what it must leave to the workspace's.

use toml::{Table, Value};

use super::File;
use crate::Outcome;

/// What every member takes from `[workspace.package]`.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// When a dependency counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In what is released; a build script's count as well.
    Normal,
    /// In tests, benchmarks and examples only.
    Dev,
}

/// One line below a `[dependencies]` table of some kind.
#[derive(Debug)]
pub(super) struct Dependency {
    pub(super) package: String,
    pub(super) kind: Kind,
    inherited: bool,
}

/// A member's Cargo.toml.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) path: String,
    pub(super) package: String,
    pub(super) dependencies: Vec<Dependency>,
    table: Table,
}

impl Manifest {
    pub(super) fn parse(file: &File) -> Outcome<Manifest> {
        let table: Table = file.text.parse().map_err(|why| format!("{}: {why}", file.path))?;
        let package = at(&table, &["package", "name"]).and_then(Value::as_str);
        let package = package.ok_or_else(|| format!("{}: the package has no name", file.path))?.to_owned();
        let mut dependencies = dependencies(&table);
        let targets = table.get("target").and_then(Value::as_table);
        for target in targets.into_iter().flat_map(Table::values).filter_map(Value::as_table) {
            dependencies.extend(self::dependencies(target));
        }
        Ok(Manifest { path: file.path.clone(), package, dependencies, table })
    }

    /// Names what the member says itself and should inherit.
    pub(super) fn not_inherited(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for key in INHERITED {
            if at(&self.table, &["package", key, "workspace"]) != Some(&Value::Boolean(true)) {
                findings.push(format!("{}: needs `{key}.workspace = true`", self.path));
            }
        }
        if at(&self.table, &["lints", "workspace"]) != Some(&Value::Boolean(true)) {
            findings.push(format!("{}: needs `[lints] workspace = true`", self.path));
        }
        for dependency in self.dependencies.iter().filter(|dependency| !dependency.inherited) {
            findings.push(format!(
                "{}: the version of {} belongs in the workspace's table; here, `workspace = true`",
                self.path, dependency.package
            ));
        }
        findings
    }
}

/// The manifests of all members that the root's Cargo.toml lists.
pub(super) fn members(files: &[File]) -> Outcome<Vec<Manifest>> {
    let find =
        |path: &str| files.iter().find(|file| file.path == path).ok_or_else(|| format!("there is no {path}"));
    let root: Table = find("Cargo.toml")?.text.parse().map_err(|why| format!("Cargo.toml: {why}"))?;
    let members = at(&root, &["workspace", "members"]).and_then(Value::as_array);
    let members = members.ok_or("Cargo.toml: the workspace lists no members")?;
    let manifest = |member: &Value| {
        let path = member.as_str().ok_or("Cargo.toml: a member is not a path")?;
        Manifest::parse(find(&format!("{path}/Cargo.toml"))?)
    };
    members.iter().map(manifest).collect()
}

fn dependencies(table: &Table) -> Vec<Dependency> {
    let kinds = [
        ("dependencies", Kind::Normal),
        ("build-dependencies", Kind::Normal),
        ("dev-dependencies", Kind::Dev),
    ];
    let mut found = Vec::new();
    for (name, kind) in kinds {
        let entries = table.get(name).and_then(Value::as_table);
        for (key, value) in entries.into_iter().flatten() {
            let renamed = value.get("package").and_then(Value::as_str);
            let inherited = value.get("workspace") == Some(&Value::Boolean(true));
            found.push(Dependency { package: renamed.unwrap_or(key).to_owned(), kind, inherited });
        }
    }
    found
}

fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn manifest(text: &str) -> Manifest {
        Manifest::parse(&File { path: "crates/x/Cargo.toml".to_owned(), text: text.to_owned() })
            .expect("the test's manifest is TOML")
    }

    const GOOD: &str = "\
[package]
name = 'waypost-x'
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true
[lints]
workspace = true
[dependencies]
bytes.workspace = true
tokio = { workspace = true, features = ['net'] }
";

    #[test]
    fn a_member_that_inherits_everything_is_fine() {
        assert_eq!(manifest(GOOD).not_inherited(), [""; 0]);
    }

    #[test]
    fn an_edition_of_its_own_and_missing_lints_are_found() {
        let text = GOOD.replace("edition.workspace = true", "edition = '2021'").replace("[lints]", "[x]");
        assert_eq!(
            manifest(&text).not_inherited(),
            [
                "crates/x/Cargo.toml: needs `edition.workspace = true`",
                "crates/x/Cargo.toml: needs `[lints] workspace = true`",
            ]
        );
    }

    #[test]
    fn a_version_of_its_own_is_found_in_every_table() {
        for table in
            ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"]
        {
            let text = GOOD.replace("[dependencies]", &format!("[{table}]\nserde = '1'"));
            let findings = manifest(&text).not_inherited();
            assert_eq!(
                findings,
                [
                    "crates/x/Cargo.toml: the version of serde belongs in the workspace's table; here, `workspace = true`"
                ]
            );
        }
    }

    #[test]
    fn a_renamed_dependency_counts_as_what_it_is() {
        let text = format!("{GOOD}store = {{ package = 'waypost-store', workspace = true }}\n");
        assert!(manifest(&text).dependencies.iter().any(|dependency| dependency.package == "waypost-store"));
    }
}
