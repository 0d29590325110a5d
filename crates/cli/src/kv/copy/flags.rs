//! The flags of the two sides: those that a store has, with the side before them.

use std::path::PathBuf;
use std::time::Duration;

use waypost_backend::etcd::Etcd;

use crate::Failed;
use crate::store::{Named, Reach};

/// How long an answer may take: longer than for an agent, since here a page may hold large values.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Makes the flags of one side; clap has no prefix for a group of flags.
macro_rules! side {
    ($name:ident, $heading:literal, $flag:literal, $password:literal, $help:literal) => {
        #[derive(Debug, clap::Args)]
        #[group(skip)]
        #[command(next_help_heading = $heading)]
        pub(super) struct $name {
            #[arg(id = $flag, long = $flag, required = true, value_name = "URL", value_delimiter = ',', help = $help)]
            nodes: Vec<String>,
            /// The user to log in as there
            #[arg(id = concat!($flag, "-username"), long = concat!($flag, "-username"), value_name = "USERNAME")]
            username: Option<String>,
            #[arg(
                id = concat!($flag, "-password-file"),
                long = concat!($flag, "-password-file"),
                value_name = "FILE",
                help = concat!("The file with the user's password; without it the variable ", $password),
            )]
            password_file: Option<PathBuf>,
            /// The authorities that may have signed the server's certificate (PEM) [default: the system's]
            #[arg(
                id = concat!($flag, "-client-ca-keys"),
                long = concat!($flag, "-client-ca-keys"),
                value_name = "FILE",
            )]
            client_ca_keys: Option<PathBuf>,
            /// The certificate to show (PEM)
            #[arg(
                id = concat!($flag, "-client-cert"),
                long = concat!($flag, "-client-cert"),
                value_name = "FILE",
                requires = concat!($flag, "-client-key"),
            )]
            client_cert: Option<PathBuf>,
            /// Its private key (PEM)
            #[arg(
                id = concat!($flag, "-client-key"),
                long = concat!($flag, "-client-key"),
                value_name = "FILE",
                requires = concat!($flag, "-client-cert"),
            )]
            client_key: Option<PathBuf>,
        }

        impl $name {
            /// The etcd that the flags name.
            pub(super) fn open(&self) -> Result<Etcd, Failed> {
                open(&Reach {
                    nodes: &self.nodes,
                    username: self.username.as_deref(),
                    password_file: self.password_file.as_deref(),
                    named: Named {
                        username: concat!("--", $flag, "-username"),
                        password_file: concat!("--", $flag, "-password-file"),
                        password: $password,
                    },
                    client_ca_keys: self.client_ca_keys.as_deref(),
                    client_cert: self.client_cert.as_deref(),
                    client_key: self.client_key.as_deref(),
                })
            }

            /// Where it is, as it was given.
            pub(super) fn shown(&self) -> String {
                self.nodes.join(",")
            }
        }
    };
}

side!(
    Source,
    "Source",
    "from",
    "WAYPOST_FROM_PASSWORD",
    "Where the keys are: URL or HOST:PORT of an etcd or a `waypost store`, several of one cluster with commas"
);
side!(
    Target,
    "Target",
    "to",
    "WAYPOST_TO_PASSWORD",
    "Where they are to be: URL or HOST:PORT, several of one cluster with commas"
);

fn open(reach: &Reach<'_>) -> Result<Etcd, Failed> {
    let (mut settings, _) = reach.settings()?;
    settings.request_timeout = REQUEST_TIMEOUT;
    Ok(Etcd::new(settings)?)
}
