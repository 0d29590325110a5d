//! PHP at the command line.

use std::process::Command;

/// Runs `php` with `arguments` and more variables, and returns what it prints.
#[track_caller]
pub(super) fn run(arguments: &[&str], variables: &[(&str, String)]) -> String {
    let mut command = Command::new("php");
    command.args(["-d", "display_errors=stderr"]).args(arguments);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().expect("php was asked for by the test");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
