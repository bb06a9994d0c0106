//! The PEM files behind a TLS listener, read together.

use std::path::Path;

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsError, TlsSettings};
use crate::secret::Secret;

/// The files' contents.
pub(super) struct Files {
    cert: Vec<u8>,
    key: Secret<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

// === impl Files ===

impl Files {
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self {
            cert: read(&settings.cert)?,
            key: Secret::new(read(&settings.key)?),
            client_ca: settings.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// Tells these files from changed ones.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [&self.cert, self.key.expose(), self.client_ca.as_ref().unwrap_or(&Vec::new())] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    pub(super) fn chain(&self, settings: &TlsSettings) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.cert, &settings.cert, "certificate")
    }

    pub(super) fn key(&self, settings: &TlsSettings) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.key.expose()).map_err(|source| TlsError::Content {
            path: settings.key.clone(),
            what: "private key",
            source: Some(source),
        })
    }

    /// The authorities that sign for clients, where clients are asked.
    pub(super) fn client_roots(&self, settings: &TlsSettings) -> Result<Option<RootCertStore>, TlsError> {
        let (Some(pem), Some(path)) = (&self.client_ca, &settings.client_ca) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, path, "authority certificate")? {
            roots.add(certificate).map_err(TlsError::Authority)?;
        }
        Ok(Some(roots))
    }
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, TlsError> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn certificates(pem: &[u8], path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |source| TlsError::Content { path: path.to_owned(), what, source };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| content(Some(error)))?;
    if certificates.is_empty() { Err(content(None)) } else { Ok(certificates) }
}
