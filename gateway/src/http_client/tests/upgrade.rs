//! Connections that leave HTTP, also over TLS.

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::upgrade::Answered;
use super::*;

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello";

async fn asked(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Agrees, and then gives back what comes.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let head = asked(&mut stream).await;
    stream.write_all(AGREED.as_bytes()).await.unwrap();
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    head
}

async fn assert_echoed(answered: Answered) {
    assert_eq!((answered.status.as_u16(), &answered.headers["upgrade"]), (101, &HeaderValue::from_static("echo")));
    let mut connection = answered.connection.unwrap();
    connection.write_all(b"ping").await.unwrap();
    let mut heard = [0; 9];
    connection.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"helloping", "what came with the answer is not lost");
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (http::header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (http::header::UPGRADE, HeaderValue::from_static("echo")),
    ])
}

#[tokio::test]
async fn a_connection_is_handed_over_with_all_that_was_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { echo(listener.accept().await.unwrap().0).await });
    let url = format!("http://{address}/ws?a=b").parse().unwrap();
    let answered = timeout(SOON, HttpClient::new(false).upgrade(&url, headers())).await.unwrap().unwrap();
    assert_echoed(answered).await;
    let head = serving.await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /ws?a=b http/1.1\r\n") && head.contains(&format!("host: {address}\r\n")), "{head}");
}

#[tokio::test]
async fn over_tls_nothing_but_http_1_is_offered() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/ws", listener.local_addr().unwrap().port()).parse().unwrap();
    let serving = tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        assert_ne!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        echo(stream).await
    });
    let answered = timeout(SOON, HttpClient::trusting(roots).upgrade(&url, headers())).await.unwrap().unwrap();
    assert_echoed(answered).await;
    serving.await.unwrap();
}

#[tokio::test]
async fn a_refusal_comes_with_what_it_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ws", listener.local_addr().unwrap()).parse().unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked(&mut stream).await;
        stream.write_all(b"HTTP/1.1 429 No\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        stream
    };
    let client = HttpClient::new(false);
    let (answered, _stream) =
        timeout(SOON, async { tokio::join!(client.upgrade(&url, headers()), serving) }).await.unwrap();
    let answered = answered.unwrap();
    assert_eq!((answered.status.as_u16(), &answered.headers["retry-after"]), (429, &HeaderValue::from_static("3")));
    assert!(answered.connection.is_none());
}
