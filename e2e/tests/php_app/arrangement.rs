//! etcd, the agent, announcers, and the application in php-fpm.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost_e2e::{DEADLINE, Tree, Waypost};
use waypost_servers::{Etcd, PhpFpm, PhpFpmOptions, wait_until};

use crate::database::{Database, Kind};

/// A directory of the PHP package.
fn package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/symfony").join(path).canonicalize().unwrap()
}

/// The application of the PHP package's tests, in php-fpm.
pub(crate) struct Application {
    fpm: PhpFpm,
    script: PathBuf,
}

impl Application {
    /// What it answers; otherwise what went wrong, on one line.
    pub(crate) fn get(&self, path: &str) -> Result<String, String> {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let params = [("REQUEST_URI", path), ("QUERY_STRING", query), ("SERVER_PROTOCOL", "HTTP/1.1")];
        let answer = self.fpm.try_request(&self.script, &params).map_err(|why| why.to_string())?;
        let text = answer.text();
        if answer.status == 200 {
            return Ok(text);
        }
        Err(format!("{}: {}", answer.status, text.lines().next().unwrap_or_default()))
    }
}

impl Application {
    /// php-fpm is killed and started, with nothing in its caches.
    pub(crate) fn start_again(&self) {
        self.fpm.kill();
        self.fpm.start_again();
    }
}

/// All that the application depends on, except what is announced.
pub(crate) struct Arrangement {
    pub(crate) etcd: Etcd,
    pub(crate) application: Arc<Application>,
    pub(crate) agent: Waypost,
    services: PathBuf,
    _tree: Tree,
}

impl Arrangement {
    /// Starts it with `children` of php-fpm, for databases of `kind`.
    pub(crate) fn start(kind: Kind, children: usize) -> Arrangement {
        let (etcd, tree) = (Etcd::start(), Tree::new());
        let services = tree.join("out").join("services.php");
        let fpm = PhpFpm::start_with(options(&tree, &services, &etcd, kind).children(children));
        write_resource(&tree, &services, fpm.address());
        let node = ["--node", &etcd.endpoint()].map(str::to_owned);
        let agent = Waypost::agent(&tree, node);
        agent.wait_until("the file of services", || services.exists());
        let application = Application { fpm, script: package("tests/app/public/index.php") };
        Arrangement { etcd, application: application.into(), agent, services, _tree: tree }
    }

    /// Announces `database` as the primary, called `name`, and waits until the application is told.
    #[track_caller]
    pub(crate) fn announce(&self, name: &str, database: &Database, kind: Kind) -> Waypost {
        let port = database.port().to_string();
        let address = format!("127.0.0.1:{port}");
        let name = format!("db/{name}");
        let own = ["announce", &name, "--port", &port, "--address", "127.0.0.1", "--role", "primary"];
        let endpoint = self.etcd.endpoint();
        let pace = ["--node", &endpoint, "--ttl", "2s", "--interval", "100ms", "--rise", "1", "--fall", "3"];
        let announcer = Waypost::with(own.iter().chain(&pace).chain(kind.metadata()));
        self.wait_for(&address);
        announcer
    }

    /// Registers `address` below the root of all services, and waits until the application is told.
    #[track_caller]
    pub(crate) fn register(&self, name: &str, address: &str) {
        self.etcd.put(&format!("/services/{name}"), address);
        self.wait_for(address);
    }

    #[track_caller]
    fn wait_for(&self, address: &str) {
        wait_until(format!("{address} in {}", self.services.display()), DEADLINE, || {
            fs::read_to_string(&self.services).is_ok_and(|text| text.contains(address))
        });
    }

    /// The file of services.
    pub(crate) fn services(&self) -> &Path {
        &self.services
    }

    /// The file whose time says when the registry last answered.
    pub(crate) fn marker(&self) -> PathBuf {
        self.services.with_file_name(".services.php.seen")
    }

    /// Waits until nothing is registered under the name any more.
    #[track_caller]
    pub(crate) fn wait_until_gone(&self, name: &str) {
        let key = format!("/services/db/{name}");
        wait_until(format!("{key} to go"), DEADLINE, || self.etcd.get(&key).is_none());
    }
}

fn options(tree: &Tree, services: &Path, etcd: &Etcd, kind: Kind) -> PhpFpmOptions {
    let cache = tree.join("cache");
    PhpFpmOptions::new()
        // The agent tells php-fpm of each new file; a file is never looked at otherwise.
        .ini("opcache.validate_timestamps", "0")
        .ini("display_errors", "0")
        .env("WAYPOST_SERVICES", &services.display().to_string())
        .env("APP_CACHE_DIR", &cache.display().to_string())
        .env("APP_DRIVER", kind.driver())
        .env("ETCD_URL", &format!("http://{}", etcd.endpoint()))
}

fn write_resource(tree: &Tree, services: &Path, fpm: &str) {
    let script = package("resources/invalidate.php");
    let text = format!(
        "[template]\nservices = [\"db\", \"memcached\"]\ndest = \"{}\"\n\
         reload = {{ fastcgi = [\"{fpm}\"], script = \"{}\" }}\n",
        services.display(),
        script.display(),
    );
    fs::write(tree.configuration("services"), text).unwrap();
}
