//! What `confd --help` and `confd --version` print.

use std::fmt::Write as _;

use super::Generation;
use super::flags::{About, FLAGS, Of, Takes};

/// The version whose behaviour it is, and whose program.
pub(super) fn version(generation: Generation) -> String {
    let version = match generation {
        Generation::Old => "0.16.0",
        Generation::New => "0.41.1",
    };
    format!("confd {version} (waypost {})", env!("CARGO_PKG_VERSION"))
}

/// All flags.
pub(super) fn text() -> String {
    let mut text = String::from(
        "waypost, called as confd.\n\n\
         Usage: confd [flags]             the old generation's command line, as of 0.16\n\
         \x20      confd [flags] BACKEND     the new generation's, as of 0.41: etcd, env, file, …\n\n\
         Flags take one dash or two. (0.16), (0.41), (waypost): where a flag is from, if not from both; each is\n\
         understood in either. `waypost --help` tells what there is besides.\n",
    );
    for (about, title) in [
        (About::Work, "What is done"),
        (About::Look, "Looking without touching"),
        (About::Pace, "Pace"),
        (About::Process, "The process"),
        (About::Store, "The backend"),
    ] {
        let _ = writeln!(text, "\n{title}:");
        for flag in FLAGS.iter().filter(|flag| flag.about == about) {
            let of = match flag.of {
                Of::Both => "",
                Of::Old => " (0.16)",
                Of::New => " (0.41)",
                Of::Us => " (waypost)",
            };
            let usage = match flag.takes {
                Takes::Nothing => format!("--{}", flag.name),
                Takes::One(what) | Takes::Many(what) => format!("--{} {what}", flag.name),
            };
            let _ = writeln!(text, "  {usage:<38} {}{of}", flag.help);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_every_flag_on_a_line_of_its_own() {
        let text = text();
        for flag in FLAGS {
            let usage = format!("  --{} ", flag.name);
            assert_eq!(text.lines().filter(|line| line.starts_with(&usage)).count(), 1, "{usage}");
        }
    }
}
