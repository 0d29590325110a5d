//! Where `protoc` comes from, which the build of `etcd-client` calls.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::packages;

/// What cargo is told about `protoc`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Protoc {
    /// `PROTOC` is set: it is passed on as it is.
    Chosen,
    /// The one on `PATH`, which brings its own include files.
    Installed(PathBuf),
    /// The one that comes with xtask.
    Vendored,
}

impl Protoc {
    /// The first of: the one chosen by the variable, the one installed, the vendored one.
    pub(crate) fn find() -> Protoc {
        Protoc::choose(env::var_os("PROTOC").is_some_and(|path| !path.is_empty()), packages::find("protoc"))
    }

    fn choose(chosen: bool, installed: Option<PathBuf>) -> Protoc {
        match installed {
            _ if chosen => Protoc::Chosen,
            Some(path) => Protoc::Installed(path),
            None => Protoc::Vendored,
        }
    }

    /// Sets the variables that prost-build reads.
    pub(crate) fn tell(&self, command: &mut Command) {
        match self {
            Protoc::Chosen => {}
            Protoc::Installed(path) => {
                command.env("PROTOC", path);
            }
            Protoc::Vendored => {
                let path = protoc_bin_vendored::protoc_bin_path();
                let include = protoc_bin_vendored::include_path();
                // On a platform without a vendored protoc the build says what is missing.
                if let (Ok(path), Ok(include)) = (path, include) {
                    command.env("PROTOC", path).env("PROTOC_INCLUDE", include);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_protoc_comes_before_an_installed_and_that_before_the_vendored() {
        let installed = || Some(PathBuf::from("/usr/bin/protoc"));
        assert_eq!(Protoc::choose(true, installed()), Protoc::Chosen);
        assert_eq!(Protoc::choose(false, installed()), Protoc::Installed("/usr/bin/protoc".into()));
        assert_eq!(Protoc::choose(false, None), Protoc::Vendored);
    }

    #[test]
    fn the_vendored_protoc_runs() {
        let mut command = Command::new("sh");
        command.args(["-c", "\"$PROTOC\" --version"]);
        Protoc::Vendored.tell(&mut command);
        let printed = command.output().unwrap().stdout;
        assert!(String::from_utf8_lossy(&printed).starts_with("libprotoc "));
    }
}
