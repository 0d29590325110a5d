//! waypost called as `confd`: the command lines, the variables and the files of both generations, and what they
//! did with them.
//!
//! `flags.rs` is the table of what can be said, `words.rs` reads it from the command line, `file.rs` from
//! `confd.toml`, `layers.rs` tells who counts; `options.rs` makes settings of it, and `work.rs` does the work; `look.rs`
//! is for the modes that only look.
//!
//! Exit codes: 0, all is as it was asked for; 1, it is not; 2, the command line of the old generation makes no
//! sense (the new one ends with 1 then, as it did).

mod file;
mod flags;
mod help;
mod layers;
mod look;
mod options;
mod words;
mod work;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::access::Access;
use crate::{Failed, configuration, log};
use options::Options;
pub(crate) use work::is_named;

/// Which confd is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// 0.16 and its later master.
    Old,
    /// The fork at 0.41.
    New,
}

/// The words after `confd`, if the program is called so: by its own name, or as the first word.
pub(crate) fn words(arguments: impl IntoIterator<Item = OsString>) -> Option<Vec<String>> {
    let mut words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
    let program = words.next()?;
    let is_confd = Path::new(&program).file_name().is_some_and(|name| name == "confd");
    (is_confd || words.next()? == "confd").then(|| words.collect())
}

/// Does what the command line says.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let said = match words::parse(words) {
        Ok(said) => said,
        Err(why) => {
            eprintln!("confd: {why}\nTry confd --help.");
            return refusal(words);
        }
    };
    if said.wants_help {
        print!("{}", help::text());
        return ExitCode::SUCCESS;
    }
    if said.layer.all("version").last().is_some_and(|value| value.text == "true") {
        println!("{}", help::version(said.generation));
        return ExitCode::SUCCESS;
    }
    let read = Options::read(said, |name| std::env::var(name).ok());
    let options = match read {
        Ok(options) => options,
        Err(error) => {
            eprintln!("confd: {error}");
            return ExitCode::FAILURE;
        }
    };
    log::start(options.log.0, options.log.1);
    for oddity in &options.oddities {
        tracing::warn!("{oddity}");
    }
    crate::block_on("confd", || work::work(options))
}

/// A tree of confd's files, as a command line would have them used.
pub(crate) struct Tree {
    pub(crate) configuration: configuration::Settings,
    /// The main store.
    pub(crate) access: Access,
    /// What is odd in `confd.toml`, and what is said twice and not alike.
    pub(crate) oddities: Vec<String>,
}

/// Reads a command line, with the file and the variables behind it.
///
/// # Errors
///
/// What makes no sense, and where it is from.
pub(crate) fn tree(words: &[String]) -> Result<Tree, Failed> {
    let Options { configuration, access, oddities, .. } =
        Options::read(words::parse(words)?, |name| std::env::var(name).ok())?;
    Ok(Tree { configuration, access, oddities })
}

/// A key of `confd.toml`.
pub(crate) struct Key {
    /// `file:line:column: ` and the key as it is written.
    pub(crate) origin: String,
    /// The flag that it sets.
    pub(crate) flag: &'static str,
    /// 0.16 and its later master know it.
    pub(crate) is_old: bool,
    /// 0.41 knows it.
    pub(crate) is_new: bool,
}

/// The keys of a `confd.toml` that mean something, in the order of the flags.
///
/// # Errors
///
/// What is wrong with the file.
pub(crate) fn keys(path: &Path) -> Result<Vec<Key>, Failed> {
    let file = file::read(path)?;
    let key = |flag: &'static flags::Flag| {
        let value = file.layer.all(flag.name).first()?;
        let (is_old, is_new) = match flag.of {
            flags::Of::Both => (true, true),
            flags::Of::Old => (true, false),
            flags::Of::New => (false, true),
            flags::Of::Us => (false, false),
        };
        Some(Key { origin: value.origin.clone(), flag: flag.name, is_old, is_new })
    };
    Ok(flags::FLAGS.iter().filter_map(key).collect())
}

/// How a generation ends when it does not understand its command line. Go's `flag` package ends with 2.
fn refusal(words: &[String]) -> ExitCode {
    if words::name_a_backend(words) { ExitCode::FAILURE } else { ExitCode::from(2) }
}

/// Ends with 0, if `done` is all that was asked for.
fn code(done: bool) -> Result<ExitCode, Failed> {
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_called_confd_by_its_name_or_by_its_first_word() {
        let called = |line: &str| words(line.split(' ').map(OsString::from));
        assert_eq!(called("/usr/bin/confd -onetime"), Some(vec!["-onetime".to_owned()]));
        assert_eq!(called("waypost confd -watch"), Some(vec!["-watch".to_owned()]));
        assert_eq!(called("/usr/bin/confd confd"), Some(vec!["confd".to_owned()]));
        assert_eq!(called("waypost run confd"), None);
        assert_eq!(called("/opt/confd/waypost run"), None);
    }
}
