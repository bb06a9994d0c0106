//! TLS round trips with certificates made on the spot.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::client::TlsStream;

use super::*;

/// An authority and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for localhost and its key, PEM.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn write_pair(folder: &Path, (cert, key): &(String, String)) -> TlsSettings {
    let settings = TlsSettings { cert: folder.join("tls.crt"), key: folder.join("tls.key"), client_ca: None };
    std::fs::write(&settings.cert, cert).unwrap();
    std::fs::write(&settings.key, key).unwrap();
    settings
}

async fn connect(
    address: SocketAddr,
    authority: &Authority,
    alpn: &[u8],
    identity: Option<&(String, String)>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

fn served_certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn alpn_chooses_between_http1_and_http2() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = TlsAcceptor::load(write_pair(folder.path(), &authority.sign())).unwrap();
    let server = start(ListenerSettings::default(), Some(tls), service_fn(echo));

    let stream = connect(server.address, &authority, b"http/1.1", None).await.unwrap();
    let answer = http1_client(stream).await.send_request(post("a")).await.unwrap();
    assert_eq!(text(answer).await, "127.0.0.1 HTTP/1.1 certificate=false a");

    let stream = connect(server.address, &authority, b"h2", None).await.unwrap();
    let answer = http2_client(stream).await.send_request(post("b")).await.unwrap();
    assert_eq!(text(answer).await, "127.0.0.1 HTTP/2.0 certificate=false b");
}

#[tokio::test]
async fn changed_files_are_served_and_broken_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let first = authority.sign();
    let tls = TlsAcceptor::load(write_pair(folder.path(), &first)).unwrap();
    let watch = tokio::spawn(Arc::clone(&tls).keep_current_every(Duration::from_millis(5)));
    let server = start(ListenerSettings::default(), Some(tls), service_fn(echo));
    let certificate = async || served_certificate(&connect(server.address, &authority, b"h2", None).await.unwrap());
    let before = certificate().await;

    // A certificate without its key is not taken; the pair that follows is.
    std::fs::write(folder.path().join("tls.crt"), "not a certificate").unwrap();
    assert_eq!(certificate().await, before);
    let second = authority.sign();
    write_pair(folder.path(), &second);
    let expected = CertificateDer::from_pem_slice(second.0.as_bytes()).unwrap();
    tokio::time::timeout(PATIENCE, async { while certificate().await != expected {} })
        .await
        .expect("the new certificate is served");
    watch.abort();
}

#[tokio::test]
async fn with_a_client_authority_only_its_certificates_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let client_ca = folder.path().join("ca.crt");
    std::fs::write(&client_ca, &authority.pem).unwrap();
    let settings = TlsSettings { client_ca: Some(client_ca), ..write_pair(folder.path(), &authority.sign()) };
    let server = start(ListenerSettings::default(), Some(TlsAcceptor::load(settings).unwrap()), service_fn(echo));

    let known = authority.sign();
    let stream = connect(server.address, &authority, b"http/1.1", Some(&known)).await.unwrap();
    let answer = http1_client(stream).await.send_request(post("a")).await.unwrap();
    assert_eq!(text(answer).await, "127.0.0.1 HTTP/1.1 certificate=true a");

    for identity in [None, Some(stranger.sign())] {
        // In TLS 1.3 the client learns of the refusal with its first read.
        let read = match connect(server.address, &authority, b"http/1.1", identity.as_ref()).await {
            Err(_) => continue,
            Ok(mut stream) => {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
                stream.read(&mut [0; 16]).await
            }
        };
        assert!(read.is_err(), "{read:?}");
    }
}

#[tokio::test]
async fn a_silent_handshake_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let tls = TlsAcceptor::load(write_pair(folder.path(), &Authority::new().sign())).unwrap();
    let settings = ListenerSettings { handshake_timeout: Duration::from_millis(20), ..ListenerSettings::default() };
    let server = start(settings, Some(tls), service_fn(echo));
    assert_eq!(read_to_end(TcpStream::connect(server.address).await.unwrap()).await, "");
}

#[test]
fn faults_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = write_pair(folder.path(), &Authority::new().sign());
    std::fs::write(&settings.key, "nothing").unwrap();
    let fault = TlsAcceptor::load(settings.clone()).unwrap_err().to_string();
    assert_eq!(fault, format!("{} holds no usable private key", settings.key.display()));
    settings.cert = folder.path().join("absent");
    assert!(TlsAcceptor::load(settings).unwrap_err().to_string().contains("absent"));
}
