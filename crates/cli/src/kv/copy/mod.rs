//! `waypost kv copy`: keys from one etcd to another, be they clusters or `waypost store`s.
//!
//! Each side is read at one revision, the source after the target. What is missing is written, what
//! is equal is not touched, what differs is left unless it is to be overwritten. Every write is a comparison with
//! what was seen, so that nobody else's is undone, and a copy that was killed is completed by the next one.
//! At the end the target is read again.
//!
//! What to do with each key is decided in `plan.rs`; what is printed, in `report.rs`. Both sides are held
//! in memory.

mod flags;
mod plan;
mod report;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use waypost_backend::etcd::{Etcd, Guarded, GuardedPut, RawSnapshot};
use waypost_backend::{Error, ErrorKind};
use waypost_model::Prefix;

use self::flags::{Source, Target};
use self::plan::{Plan, batches, decide, is_same, settle, unnamed};
use self::report::{Report, Totals};
use crate::Failed;

/// Copy keys from one etcd or `waypost store` to another
///
/// Keys that are missing at the target are written; those that hold something else there are named and left; those
/// that live under a lease are left to their announcers. Nothing is deleted, and nothing is written that has not
/// changed, so it can be run again at any time. The sides have flags of their own; those of the registry do not
/// count here.
///
/// Exit code 0 if all keys without a lease are at the target; 1 if any differs, or was refused; 2 if both sides are
/// one.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Only these paths, and what is below them [default: everything]
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Replace what differs at the target, except where it lives under a lease
    #[arg(long)]
    overwrite: bool,
    /// Write nothing; show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Name all keys that are left, not only the first 20
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    from: Source,
    #[command(flatten)]
    to: Target,
}

pub(super) async fn copy(arguments: Arguments, json: bool) -> Result<ExitCode, Failed> {
    let copy = Copy {
        source: arguments.from.open()?,
        target: arguments.to.open()?,
        prefixes: match &arguments.prefixes[..] {
            [] => vec![Prefix::all()],
            some => Prefix::minimal(some.iter().map(|path| Prefix::new(path))),
        },
        report: Report { json, all: arguments.verbose },
        arguments,
    };
    copy.run().await
}

struct Copy {
    arguments: Arguments,
    source: Etcd,
    target: Etcd,
    prefixes: Vec<Prefix>,
    report: Report,
}

impl Copy {
    async fn run(&self) -> Result<ExitCode, Failed> {
        // First whether both are there: a long read is not to end with a password that is wrong.
        let before = self.source.position(&self.prefixes).await?;
        self.target.position(&self.prefixes).await?;
        let target = self.read(&self.target, "the target").await?;
        let source = self.read(&self.source, "the source").await?;
        if is_same(before, &target, &source) {
            let id = before.store;
            eprintln!("waypost: --from and --to are the same store (cluster {id})");
            return Ok(ExitCode::from(2));
        }
        self.tell_read(&source, &target)?;
        let plan = decide(&source.entries, &target.entries, self.arguments.overwrite);
        drop(target);
        self.tell_left(&plan)?;
        let totals = self.carry_out(plan, &source).await?;
        self.report.totals(&totals)?;
        match totals.wrong() {
            0 => Ok(ExitCode::SUCCESS),
            wrong => Err(format!("{} not as at the source", report::count(wrong, "key")).into()),
        }
    }

    async fn read(&self, side: &Etcd, name: &'static str) -> Result<RawSnapshot, Failed> {
        let bar = bar(&format!("reading {name}"));
        let progress = |read: usize, total: usize| {
            bar.set_length(total as u64);
            bar.set_position(read as u64);
        };
        Ok(patiently(|| side.read_raw(&self.prefixes, &progress)).await?)
    }

    fn tell_read(&self, source: &RawSnapshot, target: &RawSnapshot) -> io::Result<()> {
        let (from, to) = (self.arguments.from.shown(), self.arguments.to.shown());
        self.report.read("source", &from, source.position, source.entries.len())?;
        self.report.read("target", &to, target.position, target.entries.len())
    }

    fn tell_left(&self, plan: &Plan) -> io::Result<()> {
        let leased = "under a lease, left to their announcers";
        self.report.left("leased", leased, &plan.leased)?;
        let differing = match self.arguments.overwrite {
            true => "under a lease at the target and different there, left to their announcers",
            false => "different at the target and left; --overwrite replaces them",
        };
        self.report.left("differing", differing, &plan.differing)
    }

    /// Writes what is planned, looks at it again, and counts.
    async fn carry_out(&self, plan: Plan, source: &RawSnapshot) -> Result<Totals, Failed> {
        let mut totals = Totals {
            dry_run: self.arguments.dry_run,
            equal: plan.equal,
            leased: plan.leased.len(),
            differing: plan.differing.len(),
            only_at_target: plan.only_at_target,
            ..Totals::default()
        };
        if self.arguments.dry_run {
            totals.copied = plan.writes.iter().filter(|put| put.seen == 0).count();
            totals.overwritten = plan.writes.len() - totals.copied;
            return Ok(totals);
        }
        let mut written = self.write(plan.writes).await?;
        let now = self.read(&self.target, "the target again").await?;
        let check = decide(&source.entries, &now.entries, false);
        let refused = written.failed.iter().map(|(key, _)| key);
        let named = plan.differing.iter().chain(&written.changed).chain(refused);
        let unnamed = unnamed(&check, named);
        written.changed.extend(unnamed);
        self.report.left("changed", "changed at the target meanwhile and left", &written.changed)?;
        self.report.failed(&written.failed)?;
        totals.copied = written.copied;
        totals.overwritten = written.overwritten;
        totals.changed = written.changed.len();
        totals.failed = written.failed.len();
        totals.verified = Some(check.equal);
        Ok(totals)
    }

    /// Writes in transactions; one that is too large for the server is divided.
    async fn write(&self, writes: Vec<GuardedPut>) -> Result<Written, Failed> {
        let bar = bar("copying");
        bar.set_length(writes.len() as u64);
        let mut written = Written::default();
        let mut queue: VecDeque<Vec<GuardedPut>> = batches(writes).into();
        while let Some(mut batch) = queue.pop_front() {
            match patiently(|| self.target.put_guarded(&batch)).await {
                Ok(Guarded::Written) => written.count(&batch),
                Ok(Guarded::Refused(found)) => {
                    let settled = settle(batch, found);
                    written.count(&settled.done);
                    written.changed.extend(settled.changed);
                    if !settled.again.is_empty() {
                        queue.push_front(settled.again);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Invalid && batch.len() > 1 => {
                    let half = batch.split_off(batch.len() / 2);
                    queue.extend([batch, half]);
                }
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    let keys = batch.into_iter().map(|put| (put.key, error.chain()));
                    written.failed.extend(keys);
                }
                Err(error) => return Err(written.interrupted(&error)),
            }
            bar.set_position(written.keys() as u64);
        }
        Ok(written)
    }
}

/// What became of the keys that were to be written.
#[derive(Debug, Default)]
struct Written {
    copied: usize,
    overwritten: usize,
    changed: Vec<Vec<u8>>,
    failed: Vec<(Vec<u8>, String)>,
}

impl Written {
    fn count(&mut self, puts: &[GuardedPut]) {
        let new = puts.iter().filter(|put| put.seen == 0).count();
        self.copied += new;
        self.overwritten += puts.len() - new;
    }

    fn keys(&self) -> usize {
        self.copied + self.overwritten + self.changed.len() + self.failed.len()
    }

    fn interrupted(&self, error: &Error) -> Failed {
        let keys = report::count(self.copied + self.overwritten, "key");
        format!("{}; {keys} were copied before, and running it again completes it", error.chain()).into()
    }
}

/// Asks again after a while if nothing answered, or if what was being read was compacted away. The pauses together are
/// longer than a cluster takes to elect a leader.
async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for pause in [100, 300, 1_000, 3_000].map(Duration::from_millis) {
        match ask().await {
            Err(error) if error.is_transient() || error.kind() == ErrorKind::Lost => {
                tracing::warn!(error = error.chain(), "trying again");
                tokio::time::sleep(pause).await;
            }
            ended => return ended,
        }
    }
    ask().await
}

/// A progress bar, where somebody can see it.
fn bar(what: &str) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} keys")
        .expect("the template has only fields that indicatif knows")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(0), target)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear)
        .with_message(what.to_owned())
}
