//! `cargo xtask fuzz`: hostile input for the targets in fuzz/, made by libFuzzer.
//!
//! libFuzzer looks for inputs that reach new code, so the compiler has to say which code an input reached. Stable
//! Rust does, with LLVM's own switches; what only nightly has, the sanitizers, safe Rust needs least. This build
//! has a directory of its own, since all of it is compiled with other flags.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use serde_json::Value;

use crate::cargo::Workspace;
use crate::{Outcome, bench, cargo, packages, root};

/// The targets: binaries of waypost-fuzz.
pub(crate) const TARGETS: [&str; 3] = ["parse", "render", "jinja"];

/// How long without `--for`, for each target.
const DEFAULT: u64 = 60;

/// The compiler counts the edges that an input takes, and shows libFuzzer what is compared with what.
const FLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// `fuzz [TARGET] [--for 60s]`, or `fuzz --go [--seed N] [--cases N]`
pub(crate) fn run(args: &[String]) -> Outcome<()> {
    if let Some((first, rest)) = args.split_first()
        && first == "--go"
    {
        return beside_go(rest);
    }
    let (targets, seconds) = parse(args)?;
    let build = Build::make()?;
    targets.iter().try_for_each(|target| build.fuzz(target, seconds))
}

/// Becomes the comparison of random templates with Go's text/template.
fn beside_go(args: &[String]) -> Outcome<()> {
    packages::ensure(packages::BENCH_TEMPLATES)?;
    let workspace = Workspace::load()?;
    let example = ["--package=waypost-template", "--example=conformance"];
    cargo::run(cargo::command(["build", "--release"].into_iter().chain(example)))?;
    let mut compare = Command::new("python3");
    compare.arg(root().join("fuzz/go.py")).args(args);
    compare.env("CONFORMANCE_BIN", workspace.released("examples").join("conformance"));
    compare.env("ORACLE_BIN", bench::build_go("oracle", workspace.target())?);
    Err(format!("cannot run python3: {}", compare.exec()))
}

/// The targets that are named, or all, and for how many seconds each.
fn parse(args: &[String]) -> Outcome<(Vec<&str>, u64)> {
    let (mut targets, mut seconds) = (Vec::new(), DEFAULT);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--for" {
            let given = args.next().ok_or("--for wants a time, such as 60s")?;
            let number = given.strip_suffix('s').unwrap_or(given).parse();
            seconds = number.map_err(|_| format!("--for {given}: not a number of seconds, such as 60s"))?;
        } else if TARGETS.contains(&arg.as_str()) {
            targets.push(arg.as_str());
        } else {
            return Err(format!("no target is called {arg}; there are {}", TARGETS.join(", ")));
        }
    }
    Ok((if targets.is_empty() { TARGETS.to_vec() } else { targets }, seconds))
}

/// The binaries of the targets, and where their inputs are.
#[derive(Debug)]
pub(crate) struct Build {
    binaries: PathBuf,
    inputs: PathBuf,
}

impl Build {
    /// Builds all targets and writes their seeds.
    pub(crate) fn make() -> Outcome<Build> {
        packages::ensure(packages::FUZZ)?;
        let target = Workspace::load()?.target().join("fuzz");
        let host = host()?;
        let mut build = cargo::command(["build", "--profile=fuzz", "--package=waypost-fuzz", "--bins"]);
        // With a target, the flags are not for build scripts, which nothing links with libFuzzer.
        build.args(["--target", &host]).env("CARGO_TARGET_DIR", &target);
        build.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
        cargo::run(build)?;
        let build = Build { binaries: target.join(host).join("fuzz"), inputs: target.join("inputs") };
        build.write_seeds()?;
        Ok(build)
    }

    /// Runs one target for that long; what it finds goes to fuzz/regressions.
    pub(crate) fn fuzz(&self, target: &str, seconds: u64) -> Outcome<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = now.map_or(1, |since| since.as_secs() % (1 << 31)).max(1);
        println!("{target}: {seconds} s, seed {seed}");
        let regressions = root().join("fuzz/regressions").join(target);
        let mut fuzzer = Command::new(self.binaries.join(target));
        fuzzer.args([
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-max_len=4096",
            "-verbosity=0",
            "-print_funcs=0",
            "-print_final_stats=1",
        ]);
        fuzzer.arg(format!("-seed={seed}")).arg(format!("-max_total_time={seconds}"));
        fuzzer.arg(option("-dict=", &root().join("fuzz/template.dict")));
        fuzzer.arg(option("-artifact_prefix=", &regressions.join("")));
        fuzzer.arg(self.directory("corpus", target)?).arg(self.directory("seeds", target)?).arg(&regressions);
        cargo::run(fuzzer).map_err(|why| {
            format!("{why}; the input is in fuzz/regressions/{target}, and `cargo test -p waypost-fuzz` replays it")
        })
    }

    fn directory(&self, kind: &str, target: &str) -> Outcome<PathBuf> {
        let directory = self.inputs.join(kind).join(target);
        fs::create_dir_all(&directory)
            .map_err(|why| format!("cannot make {}: {why}", directory.display()))?;
        Ok(directory)
    }

    /// Templates that are known to work, each a file in the form that its target takes.
    fn write_seeds(&self) -> Outcome<()> {
        TARGETS.iter().try_for_each(|target| self.write_seeds_of(target))
    }

    fn write_seeds_of(&self, target: &str) -> Outcome<()> {
        let cases = match target {
            "jinja" => root().join("fuzz/seeds/jinja.jsonl"),
            _ => root().join("crates/template/tests/conformance/template.jsonl"),
        };
        let cases = fs::read_to_string(&cases).map_err(|why| format!("{}: {why}", cases.display()))?;
        for (number, line) in cases.lines().enumerate() {
            let case: Value = serde_json::from_str(line).map_err(|why| format!("case {number}: {why}"))?;
            let path = self.directory("seeds", target)?.join(number.to_string());
            fs::write(&path, seed(target, &case))
                .map_err(|why| format!("cannot write {}: {why}", path.display()))?;
        }
        Ok(())
    }
}

/// What a target takes: the template, and for some before it the keys, as `fuzz/src/input.rs` reads them.
fn seed(target: &str, case: &Value) -> Vec<u8> {
    let template = case["template"].as_str().unwrap_or_default().as_bytes();
    if target == "parse" {
        return template.to_vec();
    }
    let keys = case["keys"].as_object().into_iter().flatten();
    let short = keys.filter_map(|(name, value)| Some([field(name)?, field(value.as_str()?)?].concat()));
    let keys: Vec<Vec<u8>> = short.take(15).collect();
    [&[keys.len() as u8][..], &keys.concat(), template].concat()
}

/// Its length in a byte, and the text; none if it is too long for that.
fn field(text: &str) -> Option<Vec<u8>> {
    let length = u8::try_from(text.len()).ok()?;
    Some([&[length], text.as_bytes()].concat())
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}

/// The compiler's own platform, as its flag `--target` names it.
fn host() -> Outcome<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-vV").output().map_err(|why| format!("cannot run rustc: {why}"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Outcome<(Vec<String>, u64)> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        parse(&args).map(|(targets, time)| (targets.into_iter().map(str::to_owned).collect(), time))
    }

    #[test]
    fn without_arguments_all_targets_get_a_minute() {
        assert_eq!(parsed(&[]), Ok((TARGETS.map(str::to_owned).to_vec(), 60)));
        assert_eq!(parsed(&["render", "--for", "90s"]), Ok((vec!["render".to_owned()], 90)));
    }

    #[test]
    fn an_unknown_target_is_refused() {
        assert!(parsed(&["rendr"]).unwrap_err().contains("parse, render, jinja"));
        assert!(parsed(&["--for", "soon"]).is_err());
    }

    #[test]
    fn a_seed_has_its_keys_before_the_template() {
        let case = serde_json::json!({ "template": "{{.}}", "keys": { "/a": "xyz" } });
        assert_eq!(seed("parse", &case), b"{{.}}");
        assert_eq!(seed("render", &case), b"\x01\x02/a\x03xyz{{.}}");
    }
}
