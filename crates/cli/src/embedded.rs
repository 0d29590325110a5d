//! `waypost store`: the embedded store, served until told to stop; also what `waypost run` does with a
//! `[store]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use waypost_store::{Access, Error, Server, Settings, Store, Tls};

use crate::Failed;
use crate::configuration::{self, Bound, StoreTable, address, age, bytes, revisions};
use crate::host::{default_state_dir, stopped};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);

/// Serve etcd's v3 API from a file on this machine: a single node, for arrangements that need no cluster.
///
/// Flags win over the configuration file's [store] table, which also holds the users. It stops on SIGTERM or
/// SIGINT.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// Where the data is [default: /var/lib/waypost/store for root, else $XDG_STATE_HOME/waypost/store]
    #[arg(long, value_name = "DIR", env = "WAYPOST_STORE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where clients come to; several are separated by commas [default: 127.0.0.1:2379]
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = address, env = "WAYPOST_STORE_LISTEN")]
    listen: Vec<SocketAddr>,
    /// The certificate to show, with what leads to its authority behind it (PEM); makes the connections TLS
    #[arg(long, value_name = "FILE", env = "WAYPOST_STORE_CERT")]
    cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", env = "WAYPOST_STORE_KEY")]
    key: Option<PathBuf>,
    /// The authorities that must have signed a client's certificate (PEM)
    #[arg(long, value_name = "FILE", env = "WAYPOST_STORE_CLIENT_CA")]
    client_ca: Option<PathBuf>,
    /// Listen beyond loopback without TLS, certificates or passwords. Whoever reaches the address may then
    /// read, change and delete everything, and all that is sent can be read on its way
    #[arg(long, env = "WAYPOST_STORE_INSECURE")]
    insecure: bool,
    /// How many revisions of the past are kept, or `all` [default: 100000]
    #[arg(long, value_name = "N", value_parser = revisions, env = "WAYPOST_STORE_HISTORY_REVISIONS")]
    history_revisions: Option<Bound<u64>>,
    /// How long the past is kept, or `all` [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = age, env = "WAYPOST_STORE_HISTORY_AGE")]
    history_age: Option<Bound<Duration>>,
    /// How large the data may grow [default: 2GiB]
    #[arg(long, value_name = "BYTES", value_parser = bytes, env = "WAYPOST_STORE_MAX_BYTES")]
    max_bytes: Option<u64>,
    /// The file with the [store] table and its users
    #[arg(long, value_name = "FILE", env = "WAYPOST_STORE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    chore: Option<Chore>,
}

/// What is done to a store that is not served.
#[derive(Debug, clap::Subcommand)]
enum Chore {
    /// Make a store of a backup: a file that `etcdctl snapshot save` has written from one
    ///
    /// There must be none in the directory. The new store has the keys, their revisions and leases, and an
    /// identity of its own, so that agents notice that it may lack the last changes, and do not believe its
    /// losses at once.
    Restore {
        /// The backup
        backup: PathBuf,
        /// Where the data is to be [default: /var/lib/waypost/store for root, else
        /// $XDG_STATE_HOME/waypost/store]
        #[arg(long, value_name = "DIR", env = "WAYPOST_STORE_DATA_DIR")]
        data_dir: Option<PathBuf>,
    },
}

impl Arguments {
    fn plan(&self) -> Result<Plan, Failed> {
        let table = match &self.config {
            None => StoreTable::default(),
            Some(path) => configuration::tables(path)?
                .store
                .ok_or_else(|| format!("{}: there is no [store] table", path.display()))?,
        };
        let mut limits = table.limits;
        limits.size = self.max_bytes.unwrap_or(limits.size);
        Plan::of(StoreTable {
            data_dir: self.data_dir.clone().or(table.data_dir),
            listen: if self.listen.is_empty() { table.listen } else { self.listen.clone() },
            cert: self.cert.clone().or(table.cert),
            key: self.key.clone().or(table.key),
            client_ca: self.client_ca.clone().or(table.client_ca),
            insecure: self.insecure || table.insecure,
            history_revisions: self.history_revisions.or(table.history_revisions),
            history_age: self.history_age.or(table.history_age),
            limits,
            users: table.users,
        })
    }
}

pub(crate) async fn store(arguments: Arguments) -> Result<ExitCode, Failed> {
    if let Some(Chore::Restore { backup, data_dir }) = &arguments.chore {
        let data_dir = data_dir.clone().or_else(|| arguments.data_dir.clone());
        let settings = Settings::new(data_dir.map_or_else(default_data_dir, Ok)?);
        waypost_store::restore(backup, &settings)?;
        let (backup, data_dir) = (backup.display(), settings.dir.display());
        println!("{backup} is restored; serve it with: waypost store --data-dir {data_dir}");
        return Ok(ExitCode::SUCCESS);
    }
    let stop = stopped()?;
    let serving = arguments.plan()?.serve().await?;
    let failure = serving.until(stop).await;
    let closed = serving.stop().await;
    match failure {
        Some(why) => Err(why.into()),
        None => closed.map(|()| ExitCode::SUCCESS),
    }
}

fn default_data_dir() -> Result<PathBuf, Failed> {
    Ok(default_state_dir("--data-dir")?.join("store"))
}

/// A store that is to be served.
#[derive(Debug)]
pub(crate) struct Plan {
    settings: Settings,
    listen: Vec<SocketAddr>,
    access: Access,
}

impl Plan {
    /// Fills in what was not said.
    pub(crate) fn of(table: StoreTable) -> Result<Plan, Failed> {
        let mut settings = Settings::new(table.data_dir.map_or_else(default_data_dir, Ok)?);
        settings.limits = table.limits;
        settings.history.revisions = table.history_revisions.map_or(settings.history.revisions, Bound::get);
        settings.history.age = table.history_age.map_or(settings.history.age, Bound::get);
        let tls = match (table.cert, table.key, table.client_ca) {
            (Some(certificate), Some(key), client_ca) => Some(Tls { certificate, key, client_ca }),
            (None, None, None) => None,
            (None, None, Some(_)) => {
                return Err("a client CA needs a certificate and its key as well (cert, key)".into());
            }
            (Some(_), None, _) => return Err("the certificate's private key is missing (key)".into()),
            (None, Some(_), _) => return Err("the certificate of the private key is missing (cert)".into()),
        };
        let listen = if table.listen.is_empty() { vec![DEFAULT_LISTEN] } else { table.listen };
        Ok(Plan { settings, listen, access: Access { users: table.users, tls, insecure: table.insecure } })
    }

    /// Opens the store and serves it in the background.
    pub(crate) async fn serve(self) -> Result<Serving, Failed> {
        // Looked at first: a mistake leaves no new directory behind.
        self.access.permits(&self.listen)?;
        let store = Store::open(&self.settings)?;
        let server = match Server::bind(&self.listen, self.access).await {
            Ok(server) => server,
            Err(why) => {
                store.close().await?;
                return Err(why.into());
            }
        };
        let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
        let revision = store.header().revision;
        let data_dir = self.settings.dir.display();
        tracing::info!(listen = addresses.join(","), %data_dir, revision, "serving the store");
        let (stop, told) = oneshot::channel();
        let ends = async {
            let _ = told.await;
        };
        let task = tokio::spawn(server.serve(store.clone(), ends));
        Ok(Serving { store, stop, task })
    }
}

/// A store that is served.
#[derive(Debug)]
pub(crate) struct Serving {
    store: Store,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Ends when it is time to stop, or with the reason when the store cannot go on.
    pub(crate) async fn until(&self, stop: impl Future<Output = ()>) -> Option<Error> {
        tokio::select! {
            () = stop => None,
            why = self.store.failed() => {
                tracing::error!(%why, "the store has failed; stopping");
                Some(why)
            }
        }
    }

    /// Ends what clients have open and closes the store; takes two seconds at most.
    pub(crate) async fn stop(self) -> Result<(), Failed> {
        let _ = self.stop.send(());
        self.task.await?;
        Ok(self.store.close().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_a_key_and_an_authority_belong_together() {
        let refused = |cert: bool, key: bool, client_ca: bool| {
            let path = |is_given: bool| is_given.then(|| PathBuf::from("x.pem"));
            let table = StoreTable {
                data_dir: Some("/data".into()),
                cert: path(cert),
                key: path(key),
                client_ca: path(client_ca),
                ..StoreTable::default()
            };
            Plan::of(table).is_err()
        };
        assert!(!refused(false, false, false) && !refused(true, true, false) && !refused(true, true, true));
        assert!(refused(true, false, false) && refused(false, true, true) && refused(false, false, true));
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let plan = Plan::of(StoreTable { data_dir: Some("/data".into()), ..StoreTable::default() }).unwrap();
        assert_eq!(plan.listen, [DEFAULT_LISTEN]);
        let history = &plan.settings.history;
        assert_eq!((history.revisions, history.age), (Some(100_000), Some(Duration::from_secs(3600))));
        let unbounded = StoreTable {
            data_dir: Some("/data".into()),
            history_revisions: Some(Bound::None),
            ..StoreTable::default()
        };
        assert_eq!(Plan::of(unbounded).unwrap().settings.history.revisions, None);
    }
}
