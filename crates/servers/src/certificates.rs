//! A certificate authority for one test, with a server's and a client's certificate.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::{Outcome, must};

/// The files of a freshly made authority: certificates and keys in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The authority's certificate, which both sides trust.
    pub ca: PathBuf,
    /// The server's certificate, for 127.0.0.1 and localhost.
    pub server: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// The client's certificate; its common name is the one given.
    pub client: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes a new authority and its certificates as files in `dir`, which must exist.
    ///
    /// # Panics
    ///
    /// When a file cannot be written.
    #[track_caller]
    pub fn generate(dir: &Path, client_name: &str) -> Certificates {
        must(try_generate(dir, client_name))
    }
}

fn try_generate(dir: &Path, client_name: &str) -> Outcome<Certificates> {
    let files = Certificates {
        ca: dir.join("ca.pem"),
        server: dir.join("server.pem"),
        server_key: dir.join("server-key.pem"),
        client: dir.join("client.pem"),
        client_key: dir.join("client-key.pem"),
    };

    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "waypost test authority");
    let key = KeyPair::generate().map_err(not_made)?;
    write(&files.ca, &params.self_signed(&key).map_err(not_made)?.pem())?;
    let authority = Issuer::new(params, key);

    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut server = CertificateParams::new(names).map_err(not_made)?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.distinguished_name.push(DnType::CommonName, "localhost");
    sign(server, &authority, &files.server, &files.server_key)?;

    let mut client = CertificateParams::default();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    client.distinguished_name.push(DnType::CommonName, client_name);
    sign(client, &authority, &files.client, &files.client_key)?;
    Ok(files)
}

fn sign(params: CertificateParams, by: &Issuer<'_, KeyPair>, file: &Path, key_file: &Path) -> Outcome<()> {
    let key = KeyPair::generate().map_err(not_made)?;
    write(file, &params.signed_by(&key, by).map_err(not_made)?.pem())?;
    write(key_file, &key.serialize_pem())
}

fn write(file: &Path, text: &str) -> Outcome<()> {
    fs::write(file, text).map_err(|why| format!("cannot write {}: {why}", file.display()))
}

fn not_made(why: rcgen::Error) -> String {
    format!("cannot make a certificate: {why}")
}
