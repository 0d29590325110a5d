//! What makes a process read its files again: `reload_cmd`, or a table `reload` that names what is told, and how.

use std::time::Duration;

use toml::Spanned;
use waypost_agent::{Reload, docker, fastcgi, varnish};

use super::resource::{A_DAY, command, time};
use super::table::Table;
use super::{Dialect, Settings};

/// The script that the packages bring, which makes opcache forget a file.
const SCRIPT: &str = "/usr/share/waypost/invalidate.php";

/// What VCLs are called by unless told otherwise.
const PREFIX: &str = "waypost";

/// Takes what there is out of `[template]`.
pub(super) fn reload(table: &mut Table<'_>, settings: &Settings) -> Option<Reload> {
    // confd 0.16 fills nothing in.
    let is_template = settings.dialect != Dialect::Confd016;
    let how = (settings.reload_timeout, is_template);
    let command = command(table, "reload_cmd", "reload_cmd_timeout", how);
    let target = table.table("reload").map(|target| (target.span(), told(table, target, settings)));
    match (command, target) {
        (Some(_), Some((span, _))) => {
            table.problem(span, "`reload` and `reload_cmd`: a resource has one or the other");
            None
        }
        (None, Some((_, told))) => told,
        (command, None) => command.map(Reload::Command),
    }
}

/// What is told: a container, PHP or Varnish; each has keys of its own besides `timeout`.
fn told<'a>(table: &mut Table<'a>, mut target: Table<'a>, settings: &Settings) -> Option<Reload> {
    let span = target.span();
    let timeout = time(&mut target, "timeout").unwrap_or(settings.reload_timeout);
    let timeout = if timeout.is_zero() { A_DAY } else { timeout };
    let (container, varnish) = (target.given("docker"), target.given("varnish"));
    let sockets = target.one_or_more("fastcgi");
    let read = match (container, &*sockets, varnish) {
        (Some(container), [], None) => docker(&mut target, container.get_ref(), timeout),
        (None, [_, ..], None) => fastcgi(&mut target, &sockets, timeout),
        (None, [], Some(address)) => varnish_of(&mut target, address.get_ref(), timeout),
        (None, [], None) => Err("`docker`, `fastcgi` or `varnish` is missing".to_owned()),
        _ => Err("`docker`, `fastcgi` and `varnish`: it tells one of them".to_owned()),
    };
    table.end(target);
    read.map_err(|why| table.problem(span, format!("`reload`: {why}"))).ok()
}

fn docker(target: &mut Table<'_>, container: &str, timeout: Duration) -> Result<Reload, String> {
    let signal = target.string("signal").map_or("HUP".to_owned(), Spanned::into_inner);
    let socket = match target.string("socket") {
        Some(path) => path.into_inner().into(),
        None => docker::socket(std::env::var("DOCKER_HOST").ok().as_deref())?,
    };
    docker::Signal::parse(container, &signal, socket, timeout).map(Reload::Docker)
}

fn fastcgi(target: &mut Table<'_>, sockets: &[Spanned<String>], timeout: Duration) -> Result<Reload, String> {
    let script = target.given("script").map_or(SCRIPT.to_owned(), Spanned::into_inner);
    if !script.starts_with('/') {
        return Err(format!("`script` must be an absolute path, as PHP finds it, not {script:?}"));
    }
    let sockets = sockets.iter().map(|socket| socket.get_ref().parse()).collect::<Result<_, _>>()?;
    Ok(Reload::FastCgi(fastcgi::Notice { sockets, script: script.into(), timeout }))
}

fn varnish_of(target: &mut Table<'_>, address: &str, timeout: Duration) -> Result<Reload, String> {
    let secret = target.given("secret").map(|path| path.into_inner().into());
    let prefix = target.given("prefix").map_or(PREFIX.to_owned(), Spanned::into_inner);
    varnish::Door::new(address, secret, &prefix, timeout).map(Reload::Varnish)
}
