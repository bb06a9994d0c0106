use std::future::pending;
use std::pin::Pin;

use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;
use crate::body::Body;

mod tls;

/// Longer than anything here takes; it bounds a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listener on a free port with its task.
struct Running {
    address: SocketAddr,
    drain: Drain,
    served: JoinHandle<()>,
}

fn brisk() -> ListenerSettings {
    ListenerSettings {
        head_timeout: Duration::from_millis(100),
        stall_timeout: Duration::from_millis(100),
        ..ListenerSettings::default()
    }
}

fn start<S>(settings: ListenerSettings, tls: Option<Arc<TlsAcceptor>>, service: S) -> Running
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let tcp = bind("main", "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = tcp.local_addr().unwrap();
    let (drain, signal) = Drain::new();
    let served = tokio::spawn(serve(tcp, tls, settings, service, signal));
    Running { address, drain, served }
}

/// Answers with what the listener knows of the peer, and the body.
async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let peer = request.extensions().get::<PeerAddress>().copied().unwrap();
    let certificate = request.extensions().get::<ClientCertificate>().is_some();
    let version = request.version();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = format!("{} {version:?} certificate={certificate} {}", peer.0.ip(), String::from_utf8_lossy(&body));
    Ok(Response::new(Body::from(text)))
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("http://localhost/").header("host", "localhost").body(Full::from(body)).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn http1_client<I>(io: I) -> http1::SendRequest<Full<Bytes>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn http2_client<I>(io: I) -> http2::SendRequest<Full<Bytes>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Reads until the server closes.
async fn read_to_end(mut tcp: TcpStream) -> String {
    let mut read = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut read)).await.expect("the server closes");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn http1_requests_follow_each_other_on_one_connection() {
    let server = start(ListenerSettings::default(), None, service_fn(echo));
    let mut client = http1_client(TcpStream::connect(server.address).await.unwrap()).await;
    for body in ["one", "two"] {
        client.ready().await.unwrap();
        let response = client.send_request(post(body)).await.unwrap();
        assert_eq!(text(response).await, format!("127.0.0.1 HTTP/1.1 certificate=false {body}"));
    }
}

#[tokio::test]
async fn h2c_with_prior_knowledge_runs_requests_side_by_side() {
    let server = start(ListenerSettings::default(), None, service_fn(echo));
    let mut client = http2_client(TcpStream::connect(server.address).await.unwrap()).await;
    let (one, two) = (client.send_request(post("one")), client.send_request(post("two")));
    assert_eq!(text(two.await.unwrap()).await, "127.0.0.1 HTTP/2.0 certificate=false two");
    assert_eq!(text(one.await.unwrap()).await, "127.0.0.1 HTTP/2.0 certificate=false one");
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_waited_for() {
    let limited = tower::ServiceBuilder::new().concurrency_limit(1).service_fn(echo);
    let server = start(ListenerSettings::default(), None, limited);
    let mut client = http2_client(TcpStream::connect(server.address).await.unwrap()).await;
    let answers: Vec<_> = (0..8).map(|_| client.send_request(post("x"))).collect();
    for answer in answers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_header_over_the_limit_is_answered_431() {
    let server = start(ListenerSettings::default(), None, service_fn(echo));
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n", "a".repeat(70 * 1024));
    tcp.write_all(head.as_bytes()).await.unwrap();
    assert!(read_to_end(tcp).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn too_many_headers_are_answered_431() {
    let server = start(ListenerSettings::default(), None, service_fn(echo));
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    tcp.write_all(head.as_bytes()).await.unwrap();
    assert!(read_to_end(tcp).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_client_that_never_completes_a_head_is_cut_off() {
    let server = start(brisk(), None, service_fn(echo));
    for beginning in ["", "PRI * HT", "POST / HTTP/1.1\r\nhost: x\r\n"] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(tcp).await, "", "{beginning:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let settings = ListenerSettings { idle_timeout: Duration::from_millis(50), ..ListenerSettings::default() };
    let server = start(settings, None, service_fn(echo));
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(read_to_end(tcp).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_quiet_answer_outlives_every_timeout() {
    let settings = ListenerSettings { idle_timeout: Duration::from_millis(20), ..brisk() };
    let release = Arc::new(Notify::new());
    let held = Arc::clone(&release);
    let service = service_fn(move |_| {
        let held = Arc::clone(&held);
        async move {
            held.notified().await;
            Ok(Response::new(Body::from("late")))
        }
    });
    let server = start(settings, None, service);
    let mut client = http1_client(TcpStream::connect(server.address).await.unwrap()).await;
    let answer = tokio::spawn(async move { client.send_request(post("x")).await });
    // Another connection being cut off shows that the sweeps did pass.
    read_to_end(TcpStream::connect(server.address).await.unwrap()).await;
    release.notify_one();
    assert_eq!(text(answer.await.unwrap().unwrap()).await, "late");
}

/// A body without end that says when it is dropped.
struct Endless(Arc<Notify>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 16 * 1024])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn an_answer_nobody_reads_is_given_up() {
    for http2 in [false, true] {
        let dropped = Arc::new(Notify::new());
        let answer = Arc::clone(&dropped);
        let service =
            service_fn(move |_| std::future::ready(Ok(Response::new(Body::arriving(Endless(Arc::clone(&answer)))))));
        let server = start(brisk(), None, service);
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let _unread: (Box<dyn std::any::Any>, Box<dyn std::any::Any>) = if http2 {
            let mut client = http2_client(tcp).await;
            let response = client.send_request(post("x")).await.unwrap();
            (Box::new(client), Box::new(response))
        } else {
            let mut client = http1_client(tcp).await;
            let response = client.send_request(post("x")).await.unwrap();
            (Box::new(client), Box::new(response))
        };
        tokio::time::timeout(PATIENCE, dropped.notified()).await.expect("the body is dropped");
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_one_to_close() {
    let settings = ListenerSettings { max_connections: 1, ..ListenerSettings::default() };
    let server = start(settings, None, service_fn(echo));
    let mut first = http1_client(TcpStream::connect(server.address).await.unwrap()).await;
    first.send_request(post("x")).await.unwrap();
    let mut second = http1_client(TcpStream::connect(server.address).await.unwrap()).await;
    let mut waiting = Box::pin(second.send_request(post("y")));
    // The first goes on being served while the second waits.
    first.ready().await.unwrap();
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("the second connection is served beyond the limit"),
        answer = first.send_request(post("z")) => assert_eq!(answer.unwrap().status(), 200),
    }
    drop(first);
    assert_eq!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn draining_lets_running_calls_end_and_takes_no_new_connection() {
    let release = Arc::new(Notify::new());
    let entered = Arc::new(Notify::new());
    let (held, inside) = (Arc::clone(&release), Arc::clone(&entered));
    let service = service_fn(move |_| {
        let (held, inside) = (Arc::clone(&held), Arc::clone(&inside));
        async move {
            inside.notify_one();
            held.notified().await;
            Ok(Response::new(Body::from("done")))
        }
    });
    let server = start(ListenerSettings::default(), None, service);
    let idle = TcpStream::connect(server.address).await.unwrap();
    let mut client = http1_client(TcpStream::connect(server.address).await.unwrap()).await;
    let running = tokio::spawn(async move { client.send_request(post("x")).await });
    entered.notified().await;
    server.drain.start();
    // An idle connection is closed at once; by then the listener is closed too.
    assert_eq!(read_to_end(idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.served.is_finished());
    release.notify_one();
    assert_eq!(text(running.await.unwrap().unwrap()).await, "done");
    tokio::time::timeout(PATIENCE, server.served).await.expect("all connections ended").unwrap();
}

#[tokio::test]
async fn draining_drops_what_outlasts_its_timeout() {
    let entered = Arc::new(Notify::new());
    let inside = Arc::clone(&entered);
    let service = service_fn(move |_| {
        inside.notify_one();
        pending::<Result<Response<Body>, Infallible>>()
    });
    let settings = ListenerSettings { drain_timeout: Duration::from_millis(50), ..ListenerSettings::default() };
    let server = start(settings, None, service);
    let mut client = http1_client(TcpStream::connect(server.address).await.unwrap()).await;
    let running = tokio::spawn(async move { client.send_request(post("x")).await });
    entered.notified().await;
    server.drain.start();
    tokio::time::timeout(PATIENCE, server.served).await.expect("the drain ends").unwrap();
    assert!(running.await.unwrap().is_err());
}

#[test]
fn binding_a_taken_port_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let first = bind("main", "127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(bind("admin", first.local_addr().unwrap()).is_err());
}

#[tokio::test]
async fn an_empty_answer_ends_its_request() {
    let service = service_fn(|_| std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))));
    let tcp = bind("main", "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = tcp.local_addr().unwrap();
    let (drain, signal) = Drain::new();
    let served = tokio::spawn(serve(tcp, None, ListenerSettings::default(), service, signal));
    let mut client = http1_client(TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(client.send_request(post("x")).await.unwrap().status(), 200);
    drain.start();
    tokio::time::timeout(PATIENCE, served).await.expect("nothing is left in flight").unwrap();
}
