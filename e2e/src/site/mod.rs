//! `examples/wordpress` as it is, on one machine: a registry, a database, two web servers, Varnish, and
//! waypost between them.
//!
//! Everything is announced as the example's units do it, and all that knows an address has it from the
//! registry. Only places and ports are free ones instead of Debian's.

mod files;
mod php;
mod web_server;

use std::io;
use std::time::Duration;

use waypost_servers::{Etcd, MariaDb, Response, Varnish, request, wait_until};

use crate::{DEADLINE, Waypost};
use files::Files;

pub use web_server::WebServer;

/// What visitors call the site, as `wordpress/config-site.php` has it.
pub const HOST: &str = "www.example.com";

/// The name of the first user, an administrator, whose password is [`PASSWORD`].
pub const ADMINISTRATOR: &str = "ada";

/// The password of all users.
pub const PASSWORD: &str = "correct horse battery staple";

/// How long a page may take: a visitor has gone by then.
const PATIENCE: Duration = Duration::from_secs(20);

/// Posts that the site begins with, so that its front page is one of an ordinary size.
const POSTS: usize = 30;

/// The site, with all that it consists of; all ends with it.
#[derive(Debug)]
pub struct Site {
    /// Varnish, which visitors ask.
    pub varnish: Varnish,
    /// nginx and php-fpm, twice.
    pub servers: [WebServer; 2],
    /// The database that the site begins with.
    pub database: MariaDb,
    /// Another one, stopped, with a copy of what was in the first when the site began.
    pub spare: MariaDb,
    /// waypost, which writes `services.php` and Varnish's configuration.
    pub agent: Waypost,
    /// Who says that the database is there; none while it is not to be.
    pub announcer: Option<Waypost>,
    _varnish_announcer: Waypost,
    /// Where all are registered.
    pub etcd: Etcd,
    files: Files,
}

impl Site {
    /// Starts it, with WordPress installed, 30 posts in it, and pages that are fresh for as long as `ttl`
    /// says in VCL's words; without it, for as long as the example has it.
    ///
    /// # Panics
    ///
    /// When anything is missing or does not start.
    #[track_caller]
    pub fn start(ttl: Option<&str>) -> Site {
        let (etcd, database, varnish) = (Etcd::start(), MariaDb::start(), Varnish::start());
        let files = Files::lay_out(&varnish, ttl);
        let node = etcd.endpoint();
        database.create_database("wordpress", "wordpress", &files.database_password());
        let agent = Waypost::agent(files.tree(), ["--node", &node, "--retry-max", "1s"]);
        let announcer = announce(&files, "db", "db-1", database.port(), &node);
        wait_for_services(&files, &agent, "db", &[&database.endpoint()]);
        files.install_wordpress();
        files.wordpress(&format!("for ($i = 1; $i <= {POSTS}; $i++) {{ {POST} }}"));
        announcer.stop();
        let spare = copy(&database);
        let announcer = announce(&files, "db", "db-1", database.port(), &node);

        let servers = [1, 2].map(|number| WebServer::start(&files, number));
        let varnish_announcer = announce(&files, "varnish", "varnish-1", varnish.port(), &node);
        let mut site = Site {
            varnish,
            servers,
            database,
            spare,
            agent,
            announcer: Some(announcer),
            _varnish_announcer: varnish_announcer,
            etcd,
            files,
        };
        [0, 1].into_iter().for_each(|server| site.announce_server(server));
        site.wait_for_servers(&[0, 1]);
        let varnish = format!("127.0.0.1:{}", site.varnish.port());
        wait_for_services(&site.files, &site.agent, "varnish", &[&varnish]);
        site.agent.wait_logged(&["reloaded", "invalidate.php"]);
        site
    }

    /// Has the web server of that number registered.
    #[track_caller]
    pub fn announce_server(&mut self, number: usize) {
        let server = &self.servers[number];
        let announcer =
            announce(&self.files, "web", server.name(), server.nginx.port(), &self.etcd.endpoint());
        self.servers[number].announcer = Some(announcer);
    }

    /// Takes the web server of that number out of the registry; it goes on serving.
    #[track_caller]
    pub fn withdraw_server(&mut self, number: usize) {
        if let Some(announcer) = self.servers[number].announcer.take() {
            announcer.stop();
        }
    }

    /// Has a database registered under `name`.
    #[track_caller]
    pub fn announce_database(&self, name: &str, database: &MariaDb) -> Waypost {
        announce(&self.files, "db", name, database.port(), &self.etcd.endpoint())
    }

    /// Waits until exactly these web servers are in the configuration that Varnish uses, and healthy.
    #[track_caller]
    pub fn wait_for_servers(&self, numbers: &[usize]) {
        let mut wanted: Vec<String> =
            numbers.iter().map(|number| self.servers[*number].name().replace('-', "_")).collect();
        wanted.sort();
        self.agent.wait_until(&format!("exactly {wanted:?} behind Varnish"), || self.asked() == wanted);
    }

    /// The names of the web servers that Varnish asks now, sorted, as its configuration spells them.
    fn asked(&self) -> Vec<String> {
        let active = self.varnish.active_vcl().unwrap_or_default();
        let list = self.varnish.adm(["backend.list", &format!("{active}.*")]);
        let healthy = list.lines().filter(|line| line.to_lowercase().contains("healthy"));
        let name = |line: &str| {
            let backend = line.strip_prefix(&format!("{active}.web_"))?;
            Some(backend.split("_127_").next()?.to_owned())
        };
        let mut names: Vec<String> = healthy.filter_map(name).collect();
        names.sort();
        names
    }

    /// Waits until the file that WordPress reads names exactly these databases.
    #[track_caller]
    pub fn wait_for_databases(&self, databases: &[&MariaDb]) {
        let wanted: Vec<String> = databases.iter().map(|database| database.endpoint()).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        wait_for_services(&self.files, &self.agent, "db", &wanted);
    }

    /// How long ago the file that WordPress reads was written.
    pub fn services_age(&self) -> Duration {
        self.files.services_age()
    }

    /// Fetches a page as a visitor, at Varnish.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn visit(&self, path: &str, cookie: Option<&str>) -> io::Result<Response> {
        visit(&self.varnish.url(), path, cookie)
    }

    /// Fetches a page as nobody in particular, at Varnish, which must answer with 200.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn page(&self, path: &str) -> String {
        match self.visit(path, None) {
            Ok(answer) if answer.status == 200 => answer.text(),
            Ok(answer) => panic!("{path}: {}\n{}", answer.status, self.agent.log()),
            Err(why) => panic!("{path}: {why}"),
        }
    }

    /// Runs statements of PHP in WordPress, and returns what they print.
    ///
    /// # Panics
    ///
    /// When they fail.
    #[track_caller]
    pub fn wordpress(&self, statements: &str) -> String {
        self.files.wordpress(statements)
    }

    /// The keys that a test has put there itself, and not deleted.
    fn strangers(&self) -> Vec<String> {
        let own = ["/services/web/web-", "/services/db/db-", "/services/varnish/varnish-"];
        let is_own = |key: &String| own.iter().any(|prefix| key.starts_with(prefix));
        self.etcd.get_prefix("/services/").into_keys().filter(|key| !is_own(key)).collect()
    }

    /// Brings back what a test has left, however it ended: all runs, is registered, and is asked.
    ///
    /// # Panics
    ///
    /// When it cannot be.
    #[track_caller]
    pub fn restore(&mut self) {
        for foreign in self.strangers() {
            self.etcd.delete(&foreign);
        }
        self.database.start_again();
        self.spare.kill();
        for number in [0, 1] {
            self.servers[number].start_again();
            if !self.servers[number].announcer.as_ref().is_some_and(Waypost::is_running) {
                self.announce_server(number);
            }
        }
        if !self.announcer.as_ref().is_some_and(Waypost::is_running) {
            self.announcer = Some(self.announce_database("db-1", &self.database));
        }
        self.wait_for_databases(&[&self.database]);
        self.wait_for_servers(&[0, 1]);
        wait_until("a front page", DEADLINE, || self.visit("/", None).is_ok_and(|page| page.status == 200));
    }
}

/// Fetches a page of the site at the server with that URL.
///
/// # Errors
///
/// When there is no answer.
pub fn visit(url: &str, path: &str, cookie: Option<&str>) -> io::Result<Response> {
    let cookie = cookie.map(|cookie| ("Cookie", cookie));
    let headers: Vec<(&str, &str)> = [("Host", HOST)].into_iter().chain(cookie).collect();
    request("GET", &format!("{url}{path}"), &headers, b"", PATIENCE)
}

/// One post of about 3 KB, the `$i`th.
const POST: &str = "$text = '<p>Lorem ipsum dolor sit amet. '.str_repeat('Consetetur. ', 40).'</p>'; \
    $text = str_repeat($text, 5); wp_insert_post(['post_title' => \"Post $i\", 'post_name' => \"post-$i\", \
    'post_status' => 'publish', 'post_author' => 1, 'post_content' => $text]);";

/// Waits until the file that WordPress reads names exactly these addresses for a service.
#[track_caller]
fn wait_for_services(files: &Files, agent: &Waypost, name: &str, wanted: &[&str]) {
    agent.wait_until(&format!("{wanted:?} as {name} in services.php"), || files.services(name) == wanted);
}

/// Announces as the example's unit for the service does, only quicker. A registry that is held up for a moment by all
/// else on the machine must not lose all leases at once: while nobody is registered, Varnish answers 503.
#[track_caller]
fn announce(files: &Files, service: &str, name: &str, port: u16, node: &str) -> Waypost {
    let pace = ["--node", node, "--ttl", "5s", "--interval", "100ms"].map(str::to_owned);
    Waypost::with(files.announcement(service, name, port).into_iter().chain(pace))
}

/// A stopped database with all that is in this one, which is the same again afterwards.
#[track_caller]
fn copy(database: &MariaDb) -> MariaDb {
    database.stop();
    let copy = MariaDb::start_on_copy_of(database);
    copy.stop();
    database.start_again();
    copy
}
