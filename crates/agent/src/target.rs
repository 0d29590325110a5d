//! Reloads and their targets: what is owed to whom, since when, and what keeps it.
//!
//! When one is begun is decided in `engine.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use waypost_backend::{Backoff, View};

use crate::ledger::Hash;
use crate::{Report, docker, fastcgi, varnish};

/// How often it is looked whether what a reload brought about still holds, if that can be seen.
const VERIFY_EVERY: Duration = Duration::from_secs(30);

/// A reload, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Reload {
    /// A command's line with its paths filled in, or what else is done: equal ones are one target.
    pub(crate) name: Arc<str>,
    pub(crate) means: Means,
    /// How long after it began the next one may begin.
    pub(crate) min_interval: Duration,
}

#[derive(Debug, Clone)]
pub(crate) enum Means {
    /// The name is the line.
    Command {
        timeout: Duration,
    },
    Docker(docker::Signal),
    FastCgi {
        notice: fastcgi::Notice,
        file: PathBuf,
    },
    Varnish(Arc<varnish::Varnish>),
}

impl Reload {
    /// Takes what another resource wants of the same reload.
    pub(crate) fn join(&mut self, other: Reload) {
        self.min_interval = self.min_interval.max(other.min_interval);
        if let (Means::Command { timeout }, Means::Command { timeout: others }) =
            (&mut self.means, other.means)
        {
            *timeout = others.max(*timeout);
        }
    }
}

/// A reload, and what is known of it; resources with the same one share it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) reload: Reload,
    pub(crate) owed: bool,
    /// At which event it became owed: what was dirty before is taken along, what became so later is not.
    pub(crate) owed_at: u64,
    /// When its rate limit lets it begin again.
    pub(crate) limited_until: Option<Instant>,
    /// What the reload in flight finds: each resource's content, and the view it was rendered from.
    pub(crate) running: Option<Vec<(usize, Hash, View)>>,
    pub(crate) retry_at: Option<Instant>,
    /// When it is looked again whether what it brought about still holds.
    verify_again: Instant,
    pub(crate) is_verifying: bool,
    pub(crate) backoff: Backoff,
}

impl Target {
    /// One that nothing is owed to.
    pub(crate) fn new(reload: Reload, backoff: Backoff, now: Instant) -> Target {
        Target {
            reload,
            owed: false,
            owed_at: 0,
            limited_until: None,
            running: None,
            retry_at: None,
            verify_again: now,
            is_verifying: false,
            backoff,
        }
    }

    /// When it is to be verified; none if it cannot be, or if a reload is about to tell more.
    pub(crate) fn verify_at(&self) -> Option<Instant> {
        let can_be_seen = matches!(self.reload.means, Means::Varnish(_));
        let is_at_rest = !self.owed && self.running.is_none() && !self.is_verifying;
        (can_be_seen && is_at_rest).then_some(self.verify_again)
    }

    /// It is known `now` that it holds, or does not.
    pub(crate) fn verify_again(&mut self, now: Instant) {
        self.verify_again = now + VERIFY_EVERY;
    }

    /// A reload is owed from now on; tells if its rate limit puts it off.
    pub(crate) fn owe(&mut self, event: u64, now: Instant) -> Option<Report> {
        if !self.owed {
            (self.owed, self.owed_at) = (true, event);
        }
        self.retry_at = None;
        let pause = self.limited_until?.saturating_duration_since(now);
        Some(Report::PutOff { command: Arc::clone(&self.reload.name), pause })
    }

    /// True if the reload in flight finds `content` of that resource.
    pub(crate) fn is_reading(&self, resource: usize, content: Hash) -> bool {
        let found = self.running.iter().flatten();
        found.into_iter().any(|(number, read, _)| (*number, *read) == (resource, content))
    }

    /// True if a reload is owed that can start as soon as its resources are in place.
    pub(crate) fn is_waiting(&self) -> bool {
        self.owed && self.running.is_none() && self.retry_at.is_none() && self.limited_until.is_none()
    }
}
