//! The server's side of TLS: certificates from files, and the name in a client's.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::Tls;
use crate::error::Error;

/// gRPC's protocol, and what probes speak.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Reads the files.
///
/// # Errors
///
/// [`Error::Access`] with the file, what is wrong with it, and what to do.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, Error> {
    let chain = certificates(&tls.certificate, "--cert")?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|why| unreadable(&tls.key, "private key", "--key", &why))?;
    is_valid_now(&tls.certificate, &chain)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider is made for these versions");
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(authorities(path)?),
                Arc::new(rustls::crypto::ring::default_provider()),
            );
            builder.with_client_cert_verifier(
                verifier.build().map_err(|why| unusable(path, "an authority's certificate", &why))?,
            )
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|why| match why {
        rustls::Error::InconsistentKeys(_) => Error::Access(format!(
            "the private key in {} does not belong to the certificate in {}: give the key that it was made with",
            tls.key.display(),
            tls.certificate.display()
        )),
        other => unusable(&tls.certificate, "a certificate with its key", &other),
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config).into())
}

fn certificates(path: &Path, flag: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |why| unreadable(path, "certificate", flag, &why);
    let read = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let read = read.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if read.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(read) }
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, "--client-ca")? {
        store.add(certificate).map_err(|why| unusable(path, "an authority's certificate", &why))?;
    }
    Ok(store)
}

fn unreadable(path: &Path, what: &str, flag: &str, why: &pem::Error) -> Error {
    let path = path.display();
    Error::Access(match why {
        pem::Error::Io(why) => format!("cannot read {path}: {why}; {flag} must name a PEM file"),
        pem::Error::NoItemsFound => format!("there is no {what} in {path}: it must be in PEM ({flag})"),
        why => format!("the {what} in {path} is damaged: {why} ({flag})"),
    })
}

fn unusable(path: &Path, what: &str, why: &impl std::fmt::Display) -> Error {
    Error::Access(format!("{} cannot be used as {what}: {why}", path.display()))
}

/// Says so when clients would refuse the certificate for its age.
///
/// rustls has no reader of dates of its own: it verifies the certificate as a client would, looking at the
/// dates first, and any other verdict is not about them.
fn is_valid_now(path: &Path, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
    let Some((certificate, rest)) = chain.split_first() else { return Ok(()) };
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(|why| unusable(path, "a certificate", &why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|why| unusable(path, "a certificate", &why))?;
    let name = ServerName::try_from("localhost").expect("this is a name");
    let verdict = verifier.verify_server_cert(certificate, rest, &name, &[], UnixTime::now());
    let Err(rustls::Error::InvalidCertificate(why)) = verdict else { return Ok(()) };
    let what = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet, by this machine's clock"
        }
        _ => return Ok(()),
    };
    Err(Error::Access(format!("the certificate in {} {what}: give a new one", path.display())))
}

/// The common name of a certificate's subject; the last one if there are several, as Go takes it.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let mut store = RootCertStore::empty();
    store.add(certificate.clone()).ok()?;
    last_common_name(&store.roots.first()?.subject)
}

/// Source: RFC 5280, 4.1.2.4: a name is a sequence of sets of (type, value); X.520's commonName is 2.5.4.3.
fn last_common_name(mut name: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16]; // UTF8String, PrintableString, IA5String
    let mut found = None;
    while let Some((0x31, mut set)) = take(&mut name) {
        while let Some((0x30, mut pair)) = take(&mut set) {
            let (kind, value) = (take(&mut pair)?, take(&mut pair)?);
            if kind == (0x06, COMMON_NAME) && TEXTS.contains(&value.0) {
                found = Some(String::from_utf8(value.1.to_vec()).ok()?);
            }
        }
    }
    found
}

/// Takes one DER element off the front: its tag and its content.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(*length), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((*tag, content))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate that vouches for itself between two years, and its key.
    fn certificate(years: (i32, i32), name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.distinguished_name.push(DnType::OrganizationName, "example");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), key)
    }

    #[test]
    fn a_certificate_out_of_its_time_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (years, wanted) in [
            ((2000, 2001), Some("has expired")),
            ((2000, 2100), None),
            ((2100, 2101), Some("is not valid yet")),
        ] {
            let (certificate, key) = certificate(years, "server");
            let files = ["certificate.pem", "key.pem"].map(|name| dir.path().join(name));
            fs::write(&files[0], certificate.pem()).unwrap();
            fs::write(&files[1], key.serialize_pem()).unwrap();
            let [certificate, key] = files;
            let told = acceptor(&Tls { certificate: certificate.clone(), key, client_ca: None }).err();
            let told = told.map(|error| error.to_string());
            let wanted = wanted.map(|what| format!("the certificate in {} {what}", certificate.display()));
            match (&told, &wanted) {
                (Some(told), Some(wanted)) => assert!(told.starts_with(wanted), "{told}"),
                _ => assert_eq!(told, wanted),
            }
        }
    }

    #[test]
    fn the_common_name_of_a_certificate_is_read() {
        for name in ["web", "ÄÖÜ und mehr", &"x".repeat(200)] {
            let (certificate, _) = certificate((2000, 2100), name);
            assert_eq!(common_name(certificate.der()).as_deref(), Some(name));
        }
    }

    fn pair(kind: &[u8], tag: u8, value: &str) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            [&[tag, length], content].concat()
        };
        element(0x31, &element(0x30, &[element(0x06, kind), element(tag, value.as_bytes())].concat()))
    }

    #[test]
    fn the_common_name_is_found_among_others() {
        let (organization, common_name): (&[u8], &[u8]) = (&[0x55, 4, 10], &[0x55, 4, 3]);
        let name = [pair(organization, 0x0c, "example"), pair(common_name, 0x13, "web")].concat();
        assert_eq!(last_common_name(&name).as_deref(), Some("web"));
        let two = [name, pair(common_name, 0x0c, "last")].concat();
        assert_eq!(last_common_name(&two).as_deref(), Some("last"));
        assert_eq!(last_common_name(&pair(organization, 0x0c, "example")), None);
    }

    #[test]
    fn what_is_no_name_has_none() {
        let name = pair(&[0x55, 4, 3], 0x0c, "web");
        for end in 0..name.len() {
            assert_eq!(last_common_name(&name[..end]), None, "cut at {end}");
        }
        assert_eq!(last_common_name(&[0x31, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
