//! nginx: its configuration, which the agent writes from a template, and how it is started.
//!
//! It has a prefix of its own and needs no privilege; started as root, its workers stay root, since they
//! would otherwise be somebody who may not look into our directory. A place of its own, [`LISTED`], answers
//! with the upstreams that the worker was started with: so it can be told what nginx runs, and not only
//! what is in the file.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use waypost_model::Endpoint;

use crate::Error;
use crate::client::{Response, get};
use crate::process::{Line, Process, Signal};

/// Answers with the upstreams, separated by spaces.
const LISTED: &str = "/-/upstreams";

/// How long an answer may take. Never reached but on a machine that stands still.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long nginx may take to listen, on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The header that names the service that answered.
pub(crate) const HANDLER: &str = "x-handler";

/// The header that names all that were asked.
pub(crate) const ASKED: &str = "x-asked";

/// Where nginx is, and its files.
#[derive(Debug, Clone)]
pub(crate) struct Nginx {
    pub(crate) program: PathBuf,
    /// Its prefix: `nginx.conf` and all that it writes.
    pub(crate) directory: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.join("nginx.conf")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("nginx.pid")
    }

    /// The template of its configuration.
    pub(crate) fn template(&self) -> String {
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let directory = self.directory.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path \"{directory}/{kind}\";\n"))
            .concat();
        TEMPLATE
            .replace("USER\n", user)
            .replace("    TEMPORARY\n", &temporary)
            .replace("ADDRESS", &self.address.to_string())
            .replace("LISTED", LISTED)
    }

    /// The template resource of the agent: `conf.d/nginx.toml`. `root` is before every key.
    pub(crate) fn resource(&self, root: &str) -> String {
        let check = self.flags("test").iter().map(|flag| quoted(flag)).collect::<Vec<_>>().join(" ");
        let program = quoted(&self.program.display().to_string());
        let pid = quoted(&self.pid_file().display().to_string());
        let fields = [
            ("src", "nginx.conf.tmpl".to_owned()),
            ("dest", self.config().display().to_string()),
            ("prefix", root.to_owned()),
            ("check_cmd", format!("{program} -t -q {check} -c \"{{{{.src}}}}\"")),
            // Before nginx runs there is nothing to reload: it starts with the file as it is then.
            ("reload_cmd", format!("test ! -s {pid} || kill -HUP \"$(cat {pid})\"")),
        ];
        // A JSON string is a TOML string too.
        let fields = fields.map(|(name, text)| format!("{name} = {}\n", serde_json::Value::from(text)));
        format!("[template]\n{}keys = [\"/demo\"]\n", fields.concat())
    }

    /// Starts it on the configuration that is there, and waits until it answers. None if somebody else
    /// listens on its port.
    pub(crate) async fn start(&self, logs: &Path) -> Result<Option<Process>, Error> {
        let mut arguments = self.flags("nginx");
        arguments.extend(["-c".to_owned(), self.config().display().to_string()]);
        let mut line = Line::new(&self.program, arguments);
        // Not SIGKILL: the master must live to end its workers.
        line.on_our_death = Signal::TERM;
        let process = Process::start("nginx", &line, logs)?;
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            if process.found_its_port_taken() {
                return Ok(None);
            }
            if let Some(status) = process.ended() {
                return Err(process.not_started(status.to_string()));
            }
            // The file is written once it listens; before, somebody else may answer on the port.
            let pid = fs::read_to_string(self.pid_file()).unwrap_or_default();
            let answer = if pid.trim() == process.pid().to_string() {
                listed(self.address).await
            } else {
                Err("it does not listen".to_owned())
            };
            match answer {
                Ok(_) => return Ok(Some(process)),
                Err(why) if Instant::now() >= deadline => return Err(process.not_started(why)),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// What keeps nginx within its directory. A test has files of its own: it makes a missing pid file.
    fn flags(&self, purpose: &str) -> Vec<String> {
        let directory = self.directory.display();
        let log = format!("{directory}/{purpose}-error.log");
        let foreground = if purpose == "nginx" { "daemon off; " } else { "" };
        let globals = format!("{foreground}pid \"{directory}/{purpose}.pid\"; error_log \"{log}\" notice;");
        let flags = ["-p".to_owned(), format!("{directory}/"), "-e".to_owned(), log];
        flags.into_iter().chain(["-g".to_owned(), globals]).collect()
    }
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Asks nginx which upstreams it runs with.
pub(crate) async fn listed(nginx: SocketAddr) -> Result<BTreeSet<Endpoint>, String> {
    let Response { status, body, .. } = get(nginx, LISTED, ANSWER_WITHIN).await?;
    let body = String::from_utf8_lossy(&body);
    if !status.is_success() {
        return Err(format!("{LISTED} answers {status}"));
    }
    let parse = |text: &str| text.parse().map_err(|error| format!("{LISTED}: {error}"));
    body.split_whitespace().map(parse).collect()
}

/// `max_fails=0`: the registry says who is there; nginx only passes a request on when somebody fails.
///
/// `$upstream_addr` names all that were asked, the last of them answered.
const TEMPLATE: &str = r#"# Written by waypost from nginx.conf.tmpl.
{{$services := getvs "/demo/*"}}USER
worker_processes 1;
events { worker_connections 512; }
http {
    access_log off;
    TEMPORARY
    map $upstream_addr $handler { default $upstream_addr; "~(?<last>[^, ]+)$" $last; }
{{if $services}}
    upstream demo {
{{range $services}}        server {{.}} max_fails=0;
{{end}}    }
{{end}}
    server {
        listen ADDRESS;
        default_type text/plain;
        location = LISTED { return 200 "{{join $services " "}}\n"; }
        location / {
{{if $services}}            proxy_pass http://demo;
            proxy_next_upstream error timeout;
            proxy_connect_timeout 2s;
            add_header X-Handler $handler always;
            add_header X-Asked $upstream_addr always;
{{else}}            return 503 "no service is registered\n";
{{end}}        }
    }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx() -> Nginx {
        Nginx {
            program: "/usr/sbin/nginx".into(),
            directory: "/tmp/it's here/nginx".into(),
            address: "127.0.0.1:8080".parse().unwrap(),
        }
    }

    #[test]
    fn the_template_has_the_address_and_no_placeholder() {
        let template = nginx().template();
        assert!(template.contains("listen 127.0.0.1:8080;"), "{template}");
        assert!(template.contains("proxy_temp_path \"/tmp/it's here/nginx/proxy\";"), "{template}");
        let is_left = |word: &str| template.contains(word);
        assert!(!["USER", "TEMPORARY", "ADDRESS", "LISTED"].into_iter().any(is_left), "{template}");
    }

    #[test]
    fn paths_are_quoted_for_the_shell() {
        let resource = nginx().resource("/corner");
        assert!(resource.contains(r"'-p' '/tmp/it'\\''s here/nginx/'"), "{resource}");
        assert!(resource.contains("prefix = \"/corner\"\n"), "{resource}");
        assert!(resource.contains(r#"-c \"{{.src}}\""#), "{resource}");
    }
}
