//! What Composer makes of the package, without its network.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use waypost_servers::{Scratch, Storage, require};

use crate::package;

fn composer(dir: &Path, home: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("composer");
    command.args(["--no-interaction", "--no-ansi"]).args(arguments).current_dir(dir);
    command.env("COMPOSER_HOME", home).env("COMPOSER_DISABLE_NETWORK", "1");
    command.env("COMPOSER_ALLOW_SUPERUSER", "1");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "composer {}: {said}", arguments.join(" "));
    said
}

#[test]
fn its_metadata_is_complete() {
    require!("composer");
    let home = Scratch::new("composer", Storage::Memory);
    // Without a lock file, of which a library has none.
    let said = composer(&package("."), home.path(), &["validate", "--strict", "--no-check-lock"]);
    assert!(said.contains("is valid"), "{said}");
}

/// An application whose libraries are Debian's says so by `provide`, and names the package's directory.
#[test]
fn it_installs_beside_debians_libraries_and_its_classes_are_found() {
    require!("composer", "php");
    let scratch = Scratch::new("composer", Storage::Memory);
    let application = json!({
        "name": "example/shop",
        "type": "project",
        "repositories": [{"type": "path", "url": package("."), "options": {"symlink": false}}, {"packagist.org": false}],
        "require": {"waypost/symfony": "*@dev", "doctrine/dbal": "^3.6", "symfony/framework-bundle": "^5.4"},
        "provide": {"doctrine/dbal": "3.6.1", "symfony/framework-bundle": "5.4.53"},
    });
    fs::write(scratch.join("composer.json"), application.to_string()).unwrap();
    composer(scratch.path(), &scratch.join("home"), &["update", "--no-dev", "--no-progress"]);

    let look = "require 'vendor/autoload.php'; \
                echo (new Waypost\\Discovery\\PhpFileSource('services.php'))->get('db')->first()->address;";
    let services = "<?php return ['services' => ['db' => [['id' => '1', 'address' => '10.0.0.5:3306', \
                    'host' => '10.0.0.5', 'port' => 3306]]]];";
    fs::write(scratch.join("services.php"), services).unwrap();
    let output = Command::new("php").args(["-r", look]).current_dir(scratch.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "10.0.0.5:3306", "{output:?}");
    assert!(scratch.join("vendor/waypost/symfony/resources/invalidate.php").is_file());
}

#[test]
fn what_is_shipped_holds_no_tests() {
    require!("composer");
    let scratch = Scratch::new("composer", Storage::Memory);
    let dir = format!("--dir={}", scratch.path().display());
    let archive = ["archive", "--format=tar", "--file=package", &dir];
    composer(&package("."), &scratch.join("home"), &archive);

    let output =
        Command::new("tar").arg("--list").arg("--file").arg(scratch.join("package.tar")).output().unwrap();
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    for file in ["composer.json", "README.md", "src/Discovery/Source.php", "resources/invalidate.php"] {
        assert!(files.lines().any(|line| line == file), "{file} is not in\n{files}");
    }
    assert!(!files.lines().any(|line| line.starts_with("tests/")), "{files}");
}
