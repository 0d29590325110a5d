//! One web server: nginx and the php-fpm behind it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;

use waypost_servers::{Nginx, Process, find, wait_until};

use super::files::{Files, changed};
use crate::{DEADLINE, Waypost};

/// nginx and php-fpm with the example's files; both end with it.
#[derive(Debug)]
pub struct WebServer {
    name: String,
    /// nginx.
    pub nginx: Nginx,
    fpm: Fpm,
    /// Who says that it is there; none while it is not to be.
    pub announcer: Option<Waypost>,
}

impl WebServer {
    #[track_caller]
    pub(super) fn start(files: &Files, number: usize) -> WebServer {
        let fpm = Fpm::start(files, number);
        let nginx = nginx(files, number);
        WebServer { name: format!("web-{number}"), nginx, fpm, announcer: None }
    }

    /// The name that it is registered by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of itself in `X-Handler`.
    pub fn handler(&self) -> String {
        format!("127.0.0.1:{}", self.nginx.port())
    }

    /// Kills nginx and php-fpm (SIGKILL), and who announces them, who so cannot say that they are gone.
    pub fn kill(&mut self) {
        if let Some(announcer) = self.announcer.take() {
            announcer.kill();
        }
        self.nginx.kill();
        self.fpm.process.kill();
    }

    /// Kills php-fpm only.
    pub fn kill_php(&self) {
        self.fpm.process.kill();
    }

    /// Starts again what does not run, but who announces it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_again(&mut self) {
        if !self.fpm.process.is_running() {
            self.fpm.start_again();
        }
        self.nginx.start_again();
    }
}

#[track_caller]
fn nginx(files: &Files, number: usize) -> Nginx {
    Nginx::start_with(|layout| {
        let places = [
            ("listen 8081;", format!("listen 127.0.0.1:{};", layout.port())),
            ("/usr/share/wordpress", files.wordpress_dir().display().to_string()),
            ("/var/lib/wordpress/wp-content", files.content().display().to_string()),
            ("/run/php/site.sock", files.socket(number)),
            ("/run/php/site-health.sock", health(files, number)),
            // Relative to the main configuration, which Debian has beside it.
            ("include fastcgi_params", "include /etc/nginx/fastcgi_params".to_owned()),
        ];
        let site = changed("nginx/site.conf", &places);
        let lines = layout.http_lines();
        format!("{}http {{\ninclude /etc/nginx/mime.types;\n{lines}{site}}}\n", layout.main_lines())
    })
}

fn health(files: &Files, number: usize) -> String {
    files.socket(number).replace("site-", "health-")
}

/// php-fpm with the example's pools.
#[derive(Debug)]
struct Fpm {
    number: usize,
    command: Command,
    sockets: [String; 2],
    log: std::path::PathBuf,
    process: Process,
}

impl Fpm {
    #[track_caller]
    fn start(files: &Files, number: usize) -> Fpm {
        let sockets = [files.socket(number), health(files, number)];
        let places = [
            ("/run/php/site.sock", sockets[0].clone()),
            ("/run/php/site-health.sock", sockets[1].clone()),
            // Another user could not read what is here.
            ("www-data", own_name()),
        ];
        let log = files.tree().join(format!("php-fpm-{number}.log"));
        let configuration = files.tree().join(format!("php-fpm-{number}.conf"));
        let global = format!("[global]\nerror_log = {}\n", log.display());
        fs::write(&configuration, global + &changed("php-fpm/site.conf", &places))
            .expect("the test\'s own directory can be used");

        // A master that is killed leaves its children behind, so it is asked to end.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(find("php-fpm8.2").expect("it was asked for by the test"));
        command.args(["--nodaemonize", "--allow-to-run-as-root", "--fpm-config"]).arg(&configuration);
        let process = Process::start("php-fpm", &command, &log);
        let fpm = Fpm { number, command, sockets, log, process };
        fpm.wait_ready();
        fpm
    }

    #[track_caller]
    fn start_again(&mut self) {
        for socket in &self.sockets {
            let _ = fs::remove_file(socket);
        }
        self.process = Process::start("php-fpm", &self.command, &self.log);
        self.wait_ready();
    }

    #[track_caller]
    fn wait_ready(&self) {
        let listens = |socket: &String| UnixStream::connect(socket).is_ok();
        wait_until(format!("php-fpm {}", self.number), DEADLINE, || self.sockets.iter().all(listens));
    }
}

fn own_name() -> String {
    let output = Command::new("id").arg("-un").output().expect("a command of every system");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
