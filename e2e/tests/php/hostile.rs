//! What the agent writes, as PHP reads it.

use std::fs;
use std::process::Command;

use serde_json::{Value as Json, json};
use waypost_e2e::{Tree, require};
use waypost_servers::Etcd;

use crate::package;

/// Everything that means something in PHP's strings, or ends its code.
const HOSTILE: [&str; 8] = [
    "a'); system($x); //",
    "\\",
    "\\'",
    "ends with a backslash \\",
    "${y} {$z} $GLOBALS",
    "?><?php exit; ?>",
    "line\nline\r\n\ttab",
    "gr\u{fc}n \u{1f418} \u{2028}",
];

#[test]
fn t9_hostile_values_come_back_byte_for_byte_from_the_file_that_the_agent_writes() {
    require!("etcd", "php");
    let (etcd, tree) = (Etcd::start(), Tree::new());
    for (index, text) in HOSTILE.iter().enumerate() {
        let record = json!({"address": format!("127.0.0.1:{}", index + 1), "password": text, "role": text, *text: text});
        etcd.put(&format!("/services/db/{index}"), record.to_string());
    }
    let file = tree.join("out").join("services.php");
    let resource = format!("[template]\nservices = [\"db\"]\ndest = \"{}\"\n", file.display());
    fs::write(tree.configuration("services"), resource).unwrap();
    let written = waypost_e2e::once(&tree, ["--node", &etcd.endpoint()]);
    assert!(file.exists(), "{written:?}");

    let read = "require $argv[1]; \
                echo json_encode((new Waypost\\Discovery\\PhpFileSource($argv[2]))->get('db')->records());";
    let mut php = Command::new("php");
    php.args(["-r", read]).arg(package("tests/libraries.php")).arg(&file);
    let output = php.output().unwrap();

    let read: Json = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"));
    for (index, text) in HOSTILE.iter().enumerate() {
        let instance = &read[index];
        assert_eq!(instance["role"], *text, "{instance}");
        assert_eq!(instance["meta"]["password"], *text, "{instance}");
        assert_eq!(instance["meta"][text], *text, "{instance}");
    }
    assert_eq!(read.as_array().map(Vec::len), Some(HOSTILE.len()));
}
