//! What a command line, `confd.toml` and the environment come to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use waypost_agent::{Policy, Settings};

use super::flags::{self, FLAGS, Takes};
use super::layers::{Layer, Layers};
use super::words::Words;
use super::{Generation, file};
use crate::access::{Access, Kind};
use crate::configuration::{self, Dialect};
use crate::log::{Detail, Format};
use crate::outside::{Diff, Told};

/// confd's own.
const CONFDIR: &str = "/etc/confd";

/// Whatever is asked for, nothing is tried again without a pause.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// What is done, and how.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) generation: Generation,
    pub(super) task: Task,
    pub(super) configuration: configuration::Settings,
    /// The one resource that is meant, by its file's name; none for all.
    pub(super) resource: Option<String>,
    pub(super) access: Access,
    /// Where the nodes are to be asked for: an SRV record.
    pub(super) srv: Option<String>,
    pub(super) settings: Settings,
    /// How often a backend is asked in a single pass, and the shortest and longest pause between.
    pub(super) attempts: (u32, Duration, Duration),
    pub(super) state_dir: Option<PathBuf>,
    pub(super) log: (Detail, Format),
    /// Who is told what goes on. Differences are printed with `--noop` only.
    pub(super) told: Told,
    /// What is odd in `confd.toml`, and what is said twice and not alike.
    pub(super) oddities: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// One pass; with `waits`, until everything could be done.
    Once { waits: bool },
    /// Read the backend every so often.
    Interval(Duration),
    /// Watch it, and read it every so often in any case.
    Watch(Duration),
    /// Look at the configuration and the templates.
    CheckConfig,
    /// Ask every backend, for so long at most.
    Preflight(Duration),
    /// Render without writing, from the keys of this file if there is one.
    Validate(Option<PathBuf>),
}

impl Options {
    /// Makes settings of what `words` say, with the file and the variables behind them.
    ///
    /// # Errors
    ///
    /// What makes no sense, and where it is from.
    pub(super) fn read(words: Words, variable: impl Fn(&str) -> Option<String>) -> Result<Options, String> {
        let Words { generation, layer, .. } = words;
        let environment = Layer::environment(generation, variable);
        let path = [&layer, &environment].into_iter().find_map(|layer| layer.all("config-file").last());
        let path = path.map_or_else(|| format!("{CONFDIR}/confd.toml"), |value| value.text.clone());
        let file = file::read(Path::new(&path)).map_err(|invalid| invalid.to_string())?;
        let mut oddities = file.oddities;
        let layers = Layers::new(generation, layer, file.layer, environment);
        oddities.extend(layers.overruled().map(|(heard, other)| {
            format!("{} counts, and {} says something else: it is not heard", heard.origin, other.origin)
        }));
        sensible(&layers)?;
        let access = access(generation, &layers)?;
        Ok(Options {
            generation,
            task: task(&layers)?,
            configuration: configuration(generation, &layers, access.kind())?,
            resource: layers.text("resource").map(str::to_owned),
            srv: srv(&layers),
            settings: settings(generation, &layers)?,
            attempts: attempts(generation, &layers)?,
            state_dir: layers.text("state-dir").map(PathBuf::from),
            log: log(&layers)?,
            told: told(&layers)?,
            access,
            oddities,
        })
    }
}

/// That everything that is said can be read, also what is not needed now.
fn sensible(layers: &Layers) -> Result<(), String> {
    for flag in FLAGS {
        match flag.takes {
            Takes::Nothing => _ = layers.switch(flag.name)?,
            Takes::One("TIME") => _ = layers.time(flag.name)?,
            Takes::One("COUNT" | "LINES") => _ = layers.number(flag.name)?,
            _ => {}
        }
    }
    Ok(())
}

fn task(layers: &Layers) -> Result<Task, String> {
    let interval = layers.seconds("interval")?.unwrap_or(Duration::from_secs(600));
    // confd would read without a pause; a second is soon enough, and bounded.
    let interval = interval.max(Duration::from_secs(1));
    Ok(if layers.switch("check-config")? {
        Task::CheckConfig
    } else if layers.switch("preflight")? {
        Task::Preflight(layers.time("preflight-timeout")?.unwrap_or(Duration::from_secs(10)))
    } else if layers.switch("validate")? {
        Task::Validate(layers.text("mock-data").map(PathBuf::from))
    } else if layers.switch("onetime")? {
        Task::Once { waits: layers.switch("wait-initial")? }
    } else if layers.switch("watch")? {
        Task::Watch(interval)
    } else {
        Task::Interval(interval)
    })
}

fn configuration(
    generation: Generation,
    layers: &Layers,
    kind: Kind,
) -> Result<configuration::Settings, String> {
    // The old generation has no time limits, and a command that took its time is not to be killed.
    let default = |seconds| match generation {
        Generation::Old => Duration::ZERO,
        Generation::New => Duration::from_secs(seconds),
    };
    Ok(configuration::Settings {
        directory: layers.text("confdir").unwrap_or(CONFDIR).into(),
        prefix: layers.text("prefix").unwrap_or_default().to_owned(),
        dialect: match generation {
            Generation::Old => Dialect::Confd016,
            Generation::New => Dialect::Confd041,
        },
        kind,
        check_timeout: layers.time("check-cmd-timeout")?.unwrap_or(default(30)),
        reload_timeout: layers.time("reload-cmd-timeout")?.unwrap_or(default(60)),
        may_be_empty: false,
    })
}

fn access(generation: Generation, layers: &Layers) -> Result<Access, String> {
    if let Some(value) = layers.all("secret-keyring").last() {
        return Err(format!(
            "{}: waypost decrypts no values; remove it, and the cget functions from the templates",
            value.origin
        ));
    }
    let name = layers.text("backend").unwrap_or("etcd");
    let kind = Kind::of(name, generation == Generation::Old);
    let kind = kind.ok_or_else(|| format!("there is no backend `{name}`"))?;
    let mut said = BTreeMap::new();
    for (name, values) in layers.given() {
        let is_switch = flags::find(name).is_some_and(|flag| flag.takes == Takes::Nothing);
        let texts = match is_switch {
            // Go has six ways to write either.
            true => vec![layers.switch(name)?.to_string()],
            false => values.iter().map(|value| value.text.clone()).collect(),
        };
        said.insert(name.to_owned(), texts);
    }
    Ok(Access::new(kind, said))
}

/// Source: confd's `getBackendNodesFromSRV`: `_BACKEND._tcp.DOMAIN.`, with a record given as it is.
fn srv(layers: &Layers) -> Option<String> {
    let record = layers.text("srv-record").map(str::to_owned);
    let backend = layers.text("backend").unwrap_or("etcd");
    let of_domain = |domain: &str| format!("_{backend}._tcp.{}.", domain.trim_end_matches('.'));
    record.or_else(|| layers.text("srv-domain").map(of_domain))
}

fn settings(generation: Generation, layers: &Layers) -> Result<Settings, String> {
    let mut settings = Settings::default();
    let is_watching =
        layers.switch("watch")? && !layers.switch("onetime")? || layers.switch("wait-initial")?;
    let interval =
        layers.seconds("interval")?.unwrap_or(Duration::from_secs(600)).max(Duration::from_secs(1));
    settings.mirror.watches = is_watching;
    settings.mirror.reread_every = interval;
    settings.refresh_every = interval;
    settings.retry.1 = settings.retry.1.min(interval.max(settings.retry.0));
    let (base, longest) = &mut settings.mirror.retry;
    *base = layers.time("retry-base-delay")?.unwrap_or(*base).max(SHORTEST_PAUSE);
    let asked = layers.time("watch-error-backoff")?.or(layers.time("retry-max-delay")?);
    *longest = asked.unwrap_or(*longest).max(*base);
    settings.stop_within = layers.time("shutdown-timeout")?.unwrap_or(settings.stop_within);
    settings.debounce = layers.time("debounce")?.unwrap_or_default();
    settings.batch = layers.time("batch-interval")?.unwrap_or_default();
    settings.fail_fast = match layers.text("failure-mode") {
        None | Some("best-effort") => false,
        Some("fail-fast") => true,
        Some(other) => return Err(format!("failure-mode must be best-effort or fail-fast, not `{other}`")),
    };
    // As confd does, unless it watches: each resource is then on its own.
    settings.in_order = !is_watching;
    settings.sync_only = layers.switch("sync-only")?;
    settings.policy = Policy {
        noop: layers.switch("noop")?,
        keep_stage: layers.switch("keep-stage-file")?,
        always_stage: generation == Generation::Old,
    };
    Ok(settings)
}

/// The old generation asks once.
fn attempts(generation: Generation, layers: &Layers) -> Result<(u32, Duration, Duration), String> {
    let default = if generation == Generation::Old { 1 } else { 3 };
    Ok((
        layers.number("retry-max-attempts")?.unwrap_or(default).max(1),
        layers.time("retry-base-delay")?.unwrap_or(Duration::from_millis(100)).max(SHORTEST_PAUSE),
        layers.time("retry-max-delay")?.unwrap_or(Duration::from_secs(5)),
    ))
}

fn diff(layers: &Layers) -> Result<Option<Diff>, String> {
    let context = layers.number("diff-context")?.unwrap_or(3);
    let diff = Diff { context: context.try_into().unwrap_or(usize::MAX), coloured: layers.switch("color")? };
    Ok(layers.switch("diff")?.then_some(diff))
}

/// confd's `panic` and `fatal` are graver than all that is logged.
fn log(layers: &Layers) -> Result<(Detail, Format), String> {
    let detail = match layers.text("log-level").unwrap_or("info").to_lowercase().as_str() {
        "debug" | "trace" => Detail::Debug,
        "info" => Detail::Info,
        "warn" | "warning" => Detail::Warn,
        "error" | "fatal" | "panic" => Detail::Error,
        other => return Err(format!("log-level must be debug, info, warn or error, not `{other}`")),
    };
    let format = match layers.text("log-format").unwrap_or("text") {
        "text" => Format::Text,
        "json" => Format::Json,
        other => return Err(format!("log-format must be text or json, not `{other}`")),
    };
    Ok((detail, format))
}

fn told(layers: &Layers) -> Result<Told, String> {
    Ok(Told {
        diff: diff(layers)?,
        systemd: layers.switch("systemd-notify")?,
        watchdog: layers.time("watchdog-interval")?,
        metrics: layers.text("metrics-addr").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confd::words;

    fn read(line: &str) -> Result<Options, String> {
        let nowhere = "--config-file /no/such/file";
        let line = format!("{nowhere} {line}");
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::read(words::parse(&words)?, |_| None)
    }

    fn options(line: &str) -> Options {
        read(line).unwrap()
    }

    #[test]
    fn the_old_generation_reads_etcds_v2_keys_every_ten_minutes() {
        let options = options("");
        assert_eq!((options.generation, options.access.kind()), (Generation::Old, Kind::Etcd2));
        assert_eq!(options.task, Task::Interval(Duration::from_secs(600)));
        assert!(!options.settings.mirror.watches);
        assert_eq!(options.configuration.directory, Path::new("/etc/confd"));
        assert_eq!(options.configuration.reload_timeout, Duration::ZERO, "there is no limit");
        assert_eq!(options.attempts.0, 1);
    }

    #[test]
    fn the_new_generation_reads_etcds_v3_keys_and_has_time_limits() {
        let options = options("--watch etcd");
        assert_eq!((options.generation, options.access.kind()), (Generation::New, Kind::Etcd3));
        assert!(matches!(options.task, Task::Watch(_)) && options.settings.mirror.watches);
        let Options { configuration, .. } = options;
        assert_eq!(configuration.check_timeout, Duration::from_secs(30));
        assert_eq!(configuration.reload_timeout, Duration::from_secs(60));
    }

    #[test]
    fn a_switch_is_off_however_that_is_written() {
        let line = |text| format!("--client-insecure={text} etcd");
        for (on, off) in [("1", "0"), ("T", "F"), ("TRUE", "False")] {
            assert_eq!(options(&line(on)).access, options(&line("true")).access);
            assert_eq!(options(&line(off)).access, options(&line("false")).access);
        }
    }

    #[test]
    fn onetime_wins_over_watch() {
        assert_eq!(options("-onetime -watch").task, Task::Once { waits: false });
        assert_eq!(options("-onetime -wait-initial").task, Task::Once { waits: true });
    }

    #[test]
    fn nodes_are_asked_for_under_confds_names() {
        assert_eq!(options("-srv-domain example.com").srv.as_deref(), Some("_etcd._tcp.example.com."));
        let old = options("-backend etcdv3 -srv-domain example.com.");
        assert_eq!(old.srv.as_deref(), Some("_etcdv3._tcp.example.com."));
        assert_eq!(options("-srv-record _x._tcp.y").srv.as_deref(), Some("_x._tcp.y"));
        assert_eq!(options("").srv, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, wanted) in [
            ("-backend etcdd", "there is no backend `etcdd`"),
            ("-log-level loud", "log-level must be"),
            ("-watch=maybe", "--watch: must be true or false"),
            ("-secret-keyring x", "waypost decrypts no values"),
            ("--failure-mode x etcd", "failure-mode must be"),
            ("--debounce soon etcd", "--debounce:"),
            ("--stat-cache-ttl soon etcd", "--stat-cache-ttl:"),
            ("--dial-timeout soon file", "--dial-timeout:"),
            ("-client-insecure=maybe", "--client-insecure: must be true or false"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(wanted), "{line}: {error}");
        }
    }
}
