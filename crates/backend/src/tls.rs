//! TLS to a store: whom we trust, and how we show who we are.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::ErrorKind;

/// Certificates, as PEM text.
#[derive(Clone, Default)]
pub struct Tls {
    /// Who may sign the server's certificate; the system's authorities if none is given.
    pub authority: Option<Vec<u8>>,
    /// The client's certificate and its private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether any certificate of the server is taken: then nothing tells that it is the server, though
    /// nobody who only listens understands.
    pub insecure: bool,
}

impl Tls {
    /// The same as rustls has it; the error says which of the files is of no use.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider is made for these versions");
        let builder = match self.insecure {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
            false => builder.with_root_certificates(self.roots()?),
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate, "the client's certificate")?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|why| format!("the client's private key cannot be read: {why}"))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|why| format!("the client's certificate cannot be used: {why}"))?
            }
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.authority {
            // A system may hold certificates that are of no use; the others count.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
            Some(pem) => {
                for certificate in certificates(pem, "the authority's certificate")? {
                    let added = roots.add(certificate);
                    added.map_err(|why| format!("the authority's certificate cannot be used: {why}"))?;
                }
            }
        }
        Ok(roots)
    }
}

/// Takes any certificate, of whoever holds its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if found.is_empty() => Err(format!("{what} is not in PEM")),
        Ok(found) => Ok(found),
        Err(why) => Err(format!("{what} cannot be read: {why}")),
    }
}

/// What kept an answer from coming. A certificate that does not fit does not fit at the next try either:
/// the server's is told by us, ours by the server, after the handshake (RFC 8446, section 4.4.2.4).
///
/// Source: the texts of `rustls::Error`, which is not to be had as a type through tonic or hyper.
pub(crate) fn kind_of_failure(failure: &(dyn std::error::Error + 'static)) -> ErrorKind {
    let causes = std::iter::successors(Some(failure), |cause| cause.source());
    let says = |text: &str| causes.clone().any(|cause| cause.to_string().contains(text));
    if says("invalid peer certificate") {
        ErrorKind::Invalid
    } else if says("received fatal alert") {
        ErrorKind::Denied
    } else {
        ErrorKind::Unavailable
    }
}
