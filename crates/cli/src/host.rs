//! What commands that run long need of their host: when to stop, and where to keep what they must not forget.

use std::path::PathBuf;

use futures::future;
use tokio::signal::unix::{SignalKind, signal};

use crate::Failed;

/// Where waypost keeps what it must not forget; `flag` is what names another place.
pub(crate) fn default_state_dir(flag: &str) -> Result<PathBuf, Failed> {
    if nix::unistd::geteuid().is_root() {
        return Ok("/var/lib/waypost".into());
    }
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = from("XDG_STATE_HOME").or_else(|| Some(from("HOME")?.join(".local/state")));
    Ok(state
        .ok_or_else(|| format!("give the directory with {flag}: neither XDG_STATE_HOME nor HOME is set"))?
        .join("waypost"))
}

/// Ends on SIGTERM or SIGINT.
pub(crate) fn stopped() -> Result<impl Future<Output = ()>, Failed> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        future::select(Box::pin(terminate.recv()), Box::pin(interrupt.recv())).await;
        tracing::info!("told to stop; finishing what is under way");
    })
}
