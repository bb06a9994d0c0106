//! TLS on the listener, with certificates that can be replaced under way.
//!
//! rustls with aws-lc, TLS 1.2 and 1.3, ALPN `h2` and `http/1.1` (RFC 7301).
//! With a client authority every client must show a certificate it signed.

mod files;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::MissedTickBehavior;
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

use self::files::Files;
use super::ClientCertificate;

/// How often the files are looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(1);

/// Where the listener's certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Our certificate and its chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The authorities whose certificates clients must show, PEM. Absent:
    /// clients are not asked.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS cannot be served.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no usable {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// The first fault, where there is something at all.
        source: Option<rustls::pki_types::pem::Error>,
    },
    /// The certificate and the key do not fit, or cannot be used.
    #[error("the certificate cannot be used with the key")]
    Pair(#[source] rustls::Error),
    /// An authority's certificate cannot be used.
    #[error("the client authority's certificate cannot be used")]
    Authority(#[source] rustls::Error),
    /// The client authorities cannot be used.
    #[error("the client authority cannot be used")]
    ClientCa(#[source] VerifierBuilderError),
}

/// Accepts TLS connections with the certificates that are valid now.
#[derive(Debug)]
pub struct TlsAcceptor {
    /// None where what it shows is in no file.
    settings: Option<TlsSettings>,
    current: ArcSwap<ServerConfig>,
}

// === impl TlsAcceptor ===

impl TlsAcceptor {
    /// Reads the files. They are read once more by [`Self::keep_current`].
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used.
    pub fn load(settings: TlsSettings) -> Result<Arc<Self>, TlsError> {
        let config = server_config(&settings, &Files::read(&settings)?)?;
        Ok(Arc::new(Self { settings: Some(settings), current: ArcSwap::from_pointee(config) }))
    }

    /// Accepts connections as `config` says.
    #[must_use]
    pub fn of(config: ServerConfig) -> Arc<Self> {
        Arc::new(Self { settings: None, current: ArcSwap::from_pointee(config) })
    }

    /// Looks at the files every second and takes what changed, for as long as
    /// it is polled. Files that cannot be used are logged and the last good
    /// ones stay. Open connections keep what they began with.
    pub async fn keep_current(self: Arc<Self>) {
        self.keep_current_every(RELOAD_PERIOD).await;
    }

    pub(super) async fn keep_current_every(self: Arc<Self>, period: Duration) {
        // Reads again at once: the files may have changed since `load`.
        let mut seen = None;
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let acceptor = Arc::clone(&self);
            let reload = tokio::task::spawn_blocking(move || acceptor.reload(seen));
            seen = reload.await.unwrap_or(None);
        }
    }

    /// Takes the files if they are not those `seen`; returns what is there now.
    fn reload(&self, seen: Option<[u8; 32]>) -> Option<[u8; 32]> {
        let settings = self.settings.as_ref()?;
        let read = Files::read(settings);
        let found = match &read {
            Ok(files) => files.fingerprint(),
            Err(error) => fingerprint(error.to_string().as_bytes()),
        };
        if seen == Some(found) {
            return seen;
        }
        match read.and_then(|files| server_config(settings, &files)) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                if seen.is_some() {
                    info!(certificate = %settings.cert.display(), "TLS certificates reloaded");
                }
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(%error, cause, "new TLS certificates refused, the last good ones stay");
            }
        }
        Some(found)
    }

    /// Shakes hands.
    pub(super) async fn accept<I>(&self, io: I) -> io::Result<(TlsStream<I>, Option<ClientCertificate>)>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = tokio_rustls::TlsAcceptor::from(self.current.load_full()).accept(io).await?;
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| ClientCertificate { fingerprint: fingerprint(leaf) });
        Ok((stream, certificate))
    }
}

fn server_config(settings: &TlsSettings, files: &Files) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("aws-lc supports the default TLS versions");
    let builder = match files.client_roots(settings)? {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(TlsError::ClientCa)?,
        ),
    };
    let mut config = builder.with_single_cert(files.chain(settings)?, files.key(settings)?).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
