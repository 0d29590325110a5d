//! The example's files in a directory of their own, with Debian's places and ports made free ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use waypost_servers::Varnish;

use super::php;
use crate::Tree;

/// Where Debian has WordPress, and where the example's configuration, content and services are.
const WORDPRESS: &str = "/usr/share/wordpress";
const CONFIGURATION: &str = "/etc/wordpress";
const CONTENT: &str = "/var/lib/wordpress/wp-content";
const SERVICES: &str = "/run/waypost/site/services.php";

/// Why nothing can fail that is done in it.
const OWN: &str = "the test's own directory can be used";

/// The example's files, with WordPress's own; all go on drop.
#[derive(Debug)]
pub(super) struct Files {
    tree: Tree,
}

impl Files {
    /// Puts all where it belongs, for a Varnish that runs already.
    #[track_caller]
    pub(super) fn lay_out(varnish: &Varnish, ttl: Option<&str>) -> Files {
        let files = Files { tree: Tree::new() };
        run(Command::new("cp").args(["-r", WORDPRESS]).arg(files.wordpress_dir()));
        run(Command::new("cp").args(["-r", CONTENT]).arg(files.content()));
        fs::create_dir(files.configuration()).expect(OWN);
        files.lay_out_wordpress();
        files.lay_out_waypost(varnish, ttl);
        files
    }

    fn lay_out_wordpress(&self) {
        // Debian's own configuration knows no other place for the sites' than /etc.
        let debian = self.wordpress_dir().join("wp-config.php");
        let text = fs::read_to_string(&debian).expect(OWN);
        fs::write(&debian, text.replace(CONFIGURATION, &text_of(&self.configuration()))).expect(OWN);

        let secrets = Command::new("sh")
            .arg(example("wordpress/make-secrets.sh"))
            .output()
            .expect("a command of every system");
        fs::write(self.configuration().join("secrets-site.php"), secrets.stdout).expect(OWN);
        let places = [
            (CONFIGURATION, text_of(&self.configuration())),
            (CONTENT, text_of(&self.content())),
            (SERVICES, text_of(&self.services_file())),
        ];
        self.put("wordpress/config-site.php", &self.configuration().join("config-site.php"), &places);
        self.put("wordpress/db.php", &self.content().join("db.php"), &[]);
        fs::create_dir(self.content().join("mu-plugins")).expect(OWN);
        let purge = "mu-plugins/waypost-purge.php";
        self.put(&format!("wordpress/{purge}"), &self.content().join(purge), &[]);
    }

    fn lay_out_waypost(&self, varnish: &Varnish, ttl: Option<&str>) {
        let (sockets, script) = ([1, 2].map(|number| self.socket(number)), invalidate());
        let services = [
            (SERVICES, text_of(&self.services_file())),
            ("\"/run/php/site.sock\"", format!("\"{}\", \"{}\"", sockets[0], sockets[1])),
            ("/usr/share/waypost/invalidate.php", script),
        ];
        self.put("conf.d/site-services.toml", &self.tree.join("conf.d/site-services.toml"), &services);
        let cache = [
            ("/etc/varnish/default.vcl", text_of(&self.tree.join("out/default.vcl"))),
            ("/etc/varnish/secret", text_of(&varnish.secret_file())),
            ("127.0.0.1:6082", varnish.admin_address()),
        ];
        self.put("conf.d/site-varnish.toml", &self.tree.join("conf.d/site-varnish.toml"), &cache);
        let fresh = "ttl = 60s;\n    set beresp.grace";
        let ttl = ttl.map(|ttl| (fresh, fresh.replace("60s", ttl)));
        self.put("templates/default.vcl.tmpl", &self.tree.join("templates/default.vcl.tmpl"), ttl.as_slice());
    }

    /// Copies a file of the example, with places replaced that must be in it.
    #[track_caller]
    pub(super) fn put(&self, name: &str, to: &Path, replaced: &[(&str, String)]) {
        fs::write(to, changed(name, replaced)).expect(OWN);
    }

    /// The tree that the agent works on.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// WordPress's own files.
    pub(super) fn wordpress_dir(&self) -> PathBuf {
        self.tree.join("wordpress")
    }

    /// Themes, plugins, uploads.
    pub(super) fn content(&self) -> PathBuf {
        self.tree.join("wp-content")
    }

    fn configuration(&self) -> PathBuf {
        self.tree.join("etc")
    }

    fn services_file(&self) -> PathBuf {
        self.tree.join("out/services.php")
    }

    /// Where the php-fpm of that number listens.
    pub(super) fn socket(&self, number: usize) -> String {
        text_of(&self.tree.join(format!("site-{number}.sock")))
    }

    /// The arguments of `waypost` in the unit that announces `service`, for an instance of its own.
    #[track_caller]
    pub(super) fn announcement(&self, service: &str, name: &str, port: u16) -> Vec<String> {
        let unit = fs::read_to_string(example(&format!("systemd/announce-{service}.service")))
            .expect("a file of the example");
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/waypost "))
            .expect("the unit starts waypost");
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert!(words[1].starts_with("%H-"), "the unit names the instance by its host: {line}");
        name.clone_into(&mut words[1]);
        let at = words.iter().position(|word| word == "--port").expect("the unit names a port");
        words[at + 1] = port.to_string();
        words
    }

    /// The addresses of a service in the file that WordPress reads.
    #[track_caller]
    pub(super) fn services(&self, name: &str) -> Vec<String> {
        let file = text_of(&self.services_file());
        let code = format!(
            "$all = @include '{file}'; \
             foreach ($all['services']['{name}'] ?? [] as $one) echo $one['address'], ' ';"
        );
        php::run(&["-r", &code], &[]).split_whitespace().map(str::to_owned).collect()
    }

    /// How long ago the file that WordPress reads was written.
    pub(super) fn services_age(&self) -> Duration {
        let modified =
            fs::metadata(self.services_file()).and_then(|file| file.modified()).expect("it was waited for");
        modified.elapsed().unwrap_or_default()
    }

    /// The password that is in the secrets.
    #[track_caller]
    pub(super) fn database_password(&self) -> String {
        let secrets = self.configuration().join("secrets-site.php");
        php::run(&["-r", &format!("require '{}'; echo DB_PASSWORD;", secrets.display())], &[])
    }

    /// Makes WordPress's tables and its first user, as the example does.
    #[track_caller]
    pub(super) fn install_wordpress(&self) {
        let script = text_of(&example("wordpress/install.php"));
        let said = php::run(&[&script, "A site", super::ADMINISTRATOR, "ada@example.com"], &self.variables());
        assert!(said.contains("installed: user 1"), "{said}");
    }

    /// Runs statements of PHP in WordPress, and returns what they print.
    #[track_caller]
    pub(super) fn wordpress(&self, statements: &str) -> String {
        let code = format!("require getenv('WORDPRESS').'/wp-load.php'; {statements}");
        php::run(&["-r", &code], &self.variables())
    }

    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("WORDPRESS", text_of(&self.wordpress_dir())),
            ("WORDPRESS_CONFIG", "site".to_owned()),
            ("HTTP_HOST", super::HOST.to_owned()),
            ("PASSWORD", super::PASSWORD.to_owned()),
        ]
    }
}

/// A file of the example, with places replaced that must be in it.
#[track_caller]
pub(super) fn changed(name: &str, replaced: &[(&str, String)]) -> String {
    let mut text = fs::read_to_string(example(name)).expect("a file of the example");
    for (here, there) in replaced {
        assert!(text.contains(here), "examples/wordpress/{name} no longer says {here}");
        text = text.replace(here, there);
    }
    text
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/wordpress").join(name)
}

/// The script that the package of the PHP client brings.
fn invalidate() -> String {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients");
    text_of(
        &clients
            .canonicalize()
            .expect("a directory of the repository")
            .join("symfony/resources/invalidate.php"),
    )
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("a command of every system");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
