//! The local API that `waypost run` serves for an `[api]` table.

use std::sync::Arc;

use nix::unistd::Group;
use waypost_backend::Backend;
use waypost_model::Prefix;
use waypost_status::api::{Api, Doors, Limits, Serving, Settings, SocketSettings};

use crate::Failed;
use crate::configuration::ApiTable;

/// The group of the socket if nobody names another, where there is such a group.
const DEFAULT_GROUP: &str = "waypost";

/// Serves what the table says of `backend`, followed as the agent follows it.
///
/// # Errors
///
/// One line if there is no such group, or if it cannot be listened where it is said.
pub(crate) async fn serve(
    table: &ApiTable,
    backend: Arc<dyn Backend>,
    agent: &waypost_agent::Settings,
) -> Result<Serving, Failed> {
    let doors = open(table).await?;
    let settings = Settings {
        services: Prefix::new(&table.services),
        keys: table.keys.iter().map(|key| Prefix::new(key)).collect(),
        secret: table.secret,
        settle: agent.settle,
        mirror: agent.mirror.clone(),
        limits: Limits::default(),
    };
    let listen = table.listen.map(|address| address.to_string());
    tracing::info!(socket = %table.socket.display(), listen, "serving the local API");
    Ok(Api::follow(backend, settings).serve(doors))
}

async fn open(table: &ApiTable) -> Result<Doors, Failed> {
    let group = match &table.group {
        Some(name) => Some(known(name)?.ok_or_else(|| format!("[api]: there is no group `{name}`"))?),
        None => known(DEFAULT_GROUP)?.filter(|group| may_give_to(*group)),
    };
    let socket = SocketSettings { path: table.socket.clone(), mode: table.mode, group };
    Ok(Doors::open(Some(&socket), table.listen).await?)
}

fn known(name: &str) -> Result<Option<u32>, Failed> {
    let found = Group::from_name(name);
    let found = found.map_err(|why| format!("[api]: cannot look for the group `{name}`: {why}"))?;
    Ok(found.map(|group| group.gid.as_raw()))
}

/// Only root gives files to groups that it is not in (chown(2)).
fn may_give_to(group: u32) -> bool {
    let is_mine = |groups: Vec<nix::unistd::Gid>| groups.iter().any(|gid| gid.as_raw() == group);
    nix::unistd::geteuid().is_root()
        || nix::unistd::getegid().as_raw() == group
        || nix::unistd::getgroups().is_ok_and(is_mine)
}

/// Says so if another table would have to be served than `in_force`.
pub(crate) fn compare(in_force: Option<&ApiTable>, now: Option<&ApiTable>) {
    if in_force != now {
        tracing::warn!("[api] of waypost.toml has changed: restart waypost to have it in force");
    }
}
