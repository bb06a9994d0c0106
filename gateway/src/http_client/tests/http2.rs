//! HTTP/2 over TLS, with certificates made on the spot.

use std::convert::Infallible;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::Notify;

use super::*;

/// A server of HTTP/2 alone.
struct Http2Server {
    endpoint: Endpoint,
    seen: Arc<Mutex<Vec<http::request::Parts>>>,
    connections: Arc<AtomicUsize>,
    /// Makes every connection refuse further requests.
    retire: Arc<Notify>,
    serving: tokio::task::JoinHandle<()>,
}

// === impl Http2Server ===

impl Http2Server {
    async fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/mcp?a=b", listener.local_addr().unwrap().port()).parse().unwrap();
        let endpoint = HttpClient::trusting(roots).endpoint(url);
        let (seen, connections) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
        let retire = Arc::<Notify>::default();
        let (sees, counts, retires) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&retire));
        let serving = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                counts.fetch_add(1, Ordering::SeqCst);
                let (acceptor, sees, retires) = (acceptor.clone(), Arc::clone(&sees), Arc::clone(&retires));
                tokio::spawn(async move {
                    let stream = TokioIo::new(acceptor.accept(tcp).await.unwrap());
                    let service = service_fn(move |request: http::Request<Incoming>| {
                        let (head, body) = request.into_parts();
                        let sees = Arc::clone(&sees);
                        async move {
                            let body = body.collect().await.unwrap().to_bytes();
                            sees.lock().unwrap().push(head);
                            Ok::<_, Infallible>(Response::new(Body::from(body)))
                        }
                    });
                    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(stream, service);
                    let mut connection = std::pin::pin!(connection);
                    tokio::select! {
                        ended = &mut connection => return ended,
                        () = retires.notified() => connection.as_mut().graceful_shutdown(),
                    }
                    connection.await
                });
            }
        });
        Self { endpoint, seen, connections, retire, serving }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn requests_share_a_connection() {
    let server = Http2Server::new().await;
    assert_eq!(read(ask(&server.endpoint).await.unwrap()).await, "{}");
    let held = ask(&server.endpoint).await.unwrap();
    let (one, other) = tokio::join!(ask(&server.endpoint), ask(&server.endpoint));
    assert_eq!((read(one.unwrap()).await, read(other.unwrap()).await), ("{}".into(), "{}".into()));
    assert_eq!(read(held).await, "{}");
    assert_eq!(server.connections(), 1);
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.len(), seen[0].version), (4, http::Version::HTTP_2));
    assert_eq!(seen[0].uri.to_string(), server.endpoint.url().to_string());
    assert!(!seen[0].headers.contains_key(http::header::HOST));
}

#[tokio::test]
async fn a_connection_that_closed_is_replaced_unseen() {
    let server = Http2Server::new().await;
    read(ask(&server.endpoint).await.unwrap()).await;
    server.retire.notify_waiters();
    until(|| server.endpoint.pool.take().is_none()).await;
    read(ask(&server.endpoint).await.unwrap()).await;
    assert_eq!((server.connections(), server.seen.lock().unwrap().len()), (2, 2));
}

#[tokio::test]
async fn the_shared_connection_is_closed_once_nobody_uses_it() {
    let server = Http2Server::new().await;
    read(ask(&server.endpoint).await.unwrap()).await;
    assert!(server.endpoint.pool.sweep(), "it was just used");
    assert!(!server.endpoint.pool.sweep());
    read(ask(&server.endpoint).await.unwrap()).await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_server_of_unknown_authority_is_no_connection() {
    let server = Http2Server::new().await;
    let endpoint = HttpClient::trusting(RootCertStore::empty()).endpoint(server.endpoint.url().clone());
    let Err(SendError::Connect(error)) = ask(&endpoint).await else { panic!() };
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
}
