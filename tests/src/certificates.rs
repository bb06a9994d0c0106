//! A certificate authority of one's own, for the tests of TLS.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::connect;

/// An authority that tests trust.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

// === impl Authority ===

impl Authority {
    /// A new authority.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// The authority's own certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// An identity with that common name, good for loopback.
    pub fn issue(&self, name: &str) -> Identity {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("proper names");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// A TLS client that trusts this authority and shows `identity`, if any.
    pub fn client(&self, identity: Option<&Identity>) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(parse_certificate(&self.certificate)).expect("a proper root");
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
                let chain = vec![parse_certificate(&identity.certificate)];
                config.with_client_auth_cert(chain, key).expect("a matching pair")
            }
        };
        TlsClient(Arc::new(config))
    }
}

/// Opens TLS connections.
#[derive(Clone, Debug)]
pub struct TlsClient(Arc<ClientConfig>);

// === impl TlsClient ===

impl TlsClient {
    /// A connection to send a request on, and the certificate the server showed.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, is not trusted, or does not trust us.
    pub fn connect(
        &self,
        address: SocketAddr,
    ) -> io::Result<(StreamOwned<ClientConnection, TcpStream>, CertificateDer<'static>)> {
        let name = ServerName::from(address.ip());
        let session = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, connect(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        stream.flush()?;
        let shown = stream.conn.peer_certificates().and_then(|chain| chain.first()).cloned();
        let shown = shown.ok_or_else(|| io::Error::other("the server showed no certificate"))?;
        Ok((stream, shown))
    }
}

/// A certificate's bytes.
///
/// # Panics
///
/// When it is no PEM.
pub fn parse_certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate in PEM")
}
