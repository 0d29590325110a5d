//! Who may do what: users, their permissions and tokens, and what a listener demands before it opens.
//!
//! Without users everybody may do everything, as in an etcd without authentication; then no address beyond
//! loopback is opened unless TLS asks clients for a certificate, or [`Access::insecure`] is said. With users
//! the rules are those of etcd 3.4 (`etcdserver/apply_auth.go`, `v3_server.go`), and stricter where it
//! forgets to look: nested transactions, leases and compaction. A client that works here works there.
//!
//! Passwords are compared as SHA-256 digests in constant time, appear in no `Debug`, and are guessed at most
//! twenty times a second.

mod caller;
mod gate;
mod ranges;
mod tls;
mod tokens;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use caller::Caller;
pub(crate) use gate::{Credentials, Gate, Peer};
pub(crate) use tls::{acceptor, common_name};

use crate::error::Error;

/// Who is served, and on what terms.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Those who may log in; without any there is no authentication.
    pub users: Vec<User>,
    /// The certificates, if connections are encrypted.
    pub tls: Option<Tls>,
    /// Listens beyond loopback without TLS, certificates or passwords: whoever reaches the address may read,
    /// change and delete everything, and nothing is encrypted.
    pub insecure: bool,
}

/// Somebody who may log in.
#[derive(Debug, Clone)]
pub struct User {
    /// What the user logs in as; also the common name of a certificate that stands for the password.
    pub name: String,
    /// Without one only a certificate will do.
    pub password: Option<Password>,
    /// Prefixes of the keys that may be read; the empty one is all keys.
    pub read: Vec<String>,
    /// Prefixes of the keys that may be written.
    pub write: Vec<String>,
    /// May do everything, as etcd's `root` may.
    pub admin: bool,
}

/// A password, which is shown nowhere.
#[derive(Clone)]
pub struct Password(String);

impl From<String> for Password {
    fn from(text: String) -> Password {
        Password(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The files of an encrypted listener, in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate, with what leads to its authority behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that must have signed a client's certificate; without it none is asked for.
    pub client_ca: Option<PathBuf>,
}

impl Access {
    /// Whether all of `addresses` may be opened on these terms.
    ///
    /// # Errors
    ///
    /// [`Error::Access`], which names the address and what is missing.
    pub fn permits(&self, addresses: &[SocketAddr]) -> Result<(), Error> {
        if addresses.is_empty() {
            return Err(Error::Access("there is no address to listen on".to_owned()));
        }
        let beyond = addresses.iter().find(|address| !is_loopback(address));
        let missing = match (&self.tls, beyond) {
            (_, None) => return Ok(()),
            _ if self.insecure => return Ok(()),
            (None, Some(_)) if !self.users.is_empty() => "passwords would travel in clear",
            (None, Some(_)) => "anybody could read and change everything",
            (Some(tls), Some(_)) if tls.client_ca.is_none() && self.users.is_empty() => {
                "the connection would be encrypted, but anybody could read and change everything"
            }
            (Some(_), Some(_)) => return Ok(()),
        };
        let address = beyond.map(SocketAddr::to_string).unwrap_or_default();
        Err(Error::Access(format!(
            "will not listen on {address}, which others can reach: {missing}; give --cert and --key, and \
             --client-ca or users, or say --insecure"
        )))
    }
}

/// True for 127.0.0.0/8, ::1, and the former as an IPv6 address.
fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            name: "web".to_owned(),
            password: Some("secret".to_owned().into()),
            read: Vec::new(),
            write: Vec::new(),
            admin: false,
        }
    }

    fn tls(client_ca: bool) -> Option<Tls> {
        let client_ca = client_ca.then(|| "ca.pem".into());
        Some(Tls { certificate: "cert.pem".into(), key: "key.pem".into(), client_ca })
    }

    fn refused(access: &Access, addresses: &[&str]) -> Option<String> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        access.permits(&addresses).err().map(|error| error.to_string())
    }

    #[test]
    fn loopback_is_open_to_all_terms() {
        for access in [Access::default(), Access { users: vec![user()], ..Access::default() }] {
            assert_eq!(
                refused(&access, &["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]),
                None
            );
        }
    }

    #[test]
    fn beyond_loopback_there_must_be_tls_and_a_certificate_or_a_password() {
        let wildcard = "0.0.0.0:2379";
        for access in [
            Access::default(),
            Access { users: vec![user()], ..Access::default() },
            Access { tls: tls(false), ..Access::default() },
        ] {
            for address in [wildcard, "[::]:1", "10.0.0.1:1"] {
                let why = refused(&access, &["127.0.0.1:1", address]).expect("it must be refused");
                assert!(why.contains(&format!("will not listen on {address}")), "{why}");
                assert!(why.contains("--client-ca") && why.contains("--insecure"), "{why}");
            }
            assert_eq!(refused(&Access { insecure: true, ..access }, &[wildcard]), None);
        }
        assert_eq!(refused(&Access { tls: tls(true), ..Access::default() }, &[wildcard]), None);
        let with_users = Access { tls: tls(false), users: vec![user()], ..Access::default() };
        assert_eq!(refused(&with_users, &[wildcard]), None);
    }

    #[test]
    fn no_address_is_an_error() {
        assert!(refused(&Access::default(), &[]).is_some());
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(!format!("{:?}", user()).contains("secret"));
    }
}
