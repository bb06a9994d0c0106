//! Mutual authentication of replicas: TLS 1.3 with raw public keys (RFC 7250).
//!
//! Each shows the [identity](crate::seal::Identity) that is made of its first
//! key and takes whoever shows one of any of its keys. So there are no
//! certificates to provide, and keys are changed as they are for tokens: what
//! is in the ring at the time of a handshake counts.

use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, digest};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig, SignatureScheme,
};
use thiserror::Error as ThisError;

use crate::seal::KeyRing;

/// Nothing else is spoken between replicas (RFC 7301).
const ALPN: &[u8] = b"h2";

/// TLS between replicas cannot be set up.
#[derive(Debug, ThisError)]
#[error("TLS between replicas cannot be set up")]
pub struct IdentityError(#[from] Error);

/// Whoever has the same keys.
#[derive(Debug)]
struct Kin {
    keys: Arc<KeyRing>,
    provider: Arc<CryptoProvider>,
}

/// How a replica accepts others.
///
/// # Errors
///
/// See [`IdentityError`].
pub fn server_config(keys: &Arc<KeyRing>) -> Result<ServerConfig, IdentityError> {
    let kin = Kin::new(keys);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&kin.provider)).with_protocol_versions(&[&TLS13])?;
    let mut config =
        builder.with_client_cert_verifier(Arc::clone(&kin) as Arc<dyn ClientCertVerifier>).with_cert_resolver(kin);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Each connection is authenticated anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// How a replica connects to others.
pub(super) fn client_config(keys: &Arc<KeyRing>) -> Result<Arc<ClientConfig>, IdentityError> {
    let kin = Kin::new(keys);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&kin.provider)).with_protocol_versions(&[&TLS13])?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&kin) as Arc<dyn ServerCertVerifier>)
        .with_client_cert_resolver(kin);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

// === impl Kin ===

impl Kin {
    fn new(keys: &Arc<KeyRing>) -> Arc<Self> {
        Arc::new(Self { keys: Arc::clone(keys), provider: Arc::new(aws_lc_rs::default_provider()) })
    }

    /// What this process shows.
    fn own(&self) -> Option<Arc<CertifiedKey>> {
        let identity = self.keys.identity().ok()?;
        let private = PrivatePkcs8KeyDer::from(identity.private);
        let signing = aws_lc_rs::sign::any_eddsa_type(&private).ok()?;
        Some(Arc::new(CertifiedKey::new(vec![CertificateDer::from(identity.public)], signing)))
    }

    /// Whether a key that was shown is of one of ours. That its owner has the
    /// private half shows with the signature.
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        let fingerprint = digest(&SHA256, shown).as_ref().try_into();
        if fingerprint.is_ok_and(|fingerprint| self.keys.knows(&fingerprint)) {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure))
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.provider.signature_verification_algorithms)
    }
}

/// Only TLS 1.3 is spoken.
const fn refused_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
}

impl ServerCertVerifier for Kin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refused_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Kin {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refused_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Kin {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.own()
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}

impl rustls::client::ResolvesClientCert for Kin {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.own()
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::secret::Secret;

    fn ring(secrets: &[&str]) -> Arc<KeyRing> {
        let ring = KeyRing::new().unwrap();
        ring.replace(&secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect::<Vec<_>>());
        Arc::new(ring)
    }

    /// Whether a byte gets from the client to the server and another back.
    async fn speak(client: Arc<ClientConfig>, server: ServerConfig) -> bool {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let asking = async {
            let mut stream = TlsConnector::from(client).connect(name, ours).await?;
            stream.write_all(b"?").await?;
            stream.read_u8().await
        };
        let answering = async {
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(theirs).await?;
            let asked = stream.read_u8().await?;
            stream.write_all(b"!").await?;
            std::io::Result::Ok(asked)
        };
        let (answered, asked) = tokio::join!(asking, answering);
        assert_eq!(answered.is_ok(), asked.is_ok(), "{answered:?} {asked:?}");
        answered.is_ok()
    }

    async fn know_each_other(client: &[&str], server: &[&str]) -> bool {
        speak(client_config(&ring(client)).unwrap(), server_config(&ring(server)).unwrap()).await
    }

    #[tokio::test]
    async fn only_who_has_the_same_keys_gets_in() {
        assert!(know_each_other(&["one"], &["one"]).await);
        assert!(!know_each_other(&["one"], &["two"]).await);
        assert!(!know_each_other(&[], &["one"]).await);
        // Each takes what the other shows first.
        assert!(know_each_other(&["new", "old"], &["old", "new"]).await);
        assert!(!know_each_other(&["new", "old"], &["old"]).await);
        assert!(!know_each_other(&["old"], &["new", "old"]).await);
    }

    #[tokio::test]
    async fn who_shows_nothing_does_not_get_in() {
        let kin = Kin::new(&ring(&["one"]));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&kin.provider));
        let builder = builder.with_protocol_versions(&[&TLS13]).unwrap().dangerous();
        let nameless = builder.with_custom_certificate_verifier(kin).with_no_client_auth();
        assert!(!speak(Arc::new(nameless), server_config(&ring(&["one"])).unwrap()).await);
    }

    #[tokio::test]
    async fn keys_that_are_changed_count_from_the_next_handshake_on() {
        let (client, server) = (ring(&["old"]), ring(&["old"]));
        let (asks, answers) = (client_config(&client).unwrap(), || server_config(&server).unwrap());
        assert!(speak(Arc::clone(&asks), answers()).await);
        server.replace(&[Secret::new("new".to_owned())]);
        assert!(!speak(Arc::clone(&asks), answers()).await);
        client.replace(&[Secret::new("new".to_owned())]);
        assert!(speak(asks, answers()).await);
    }
}
