//! Servers of both transports at the same URL, one after the other.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::super::Questions;
use super::*;

/// Longer than anything here takes; a bound, never waited for.
const SOON: Duration = Duration::from_secs(20);

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: endpoint\ndata: /m\n\n";
const NO_STREAM: &str = "HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n";

/// A server that answers each GET with what it is told, and each POST with 405.
async fn server(get: &'static str) -> (Arc<FallbackTransport>, Arc<Mutex<Option<TcpStream>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sse", listener.local_addr().unwrap()).parse().unwrap();
    let settings = HttpSettings { url, headers: Vec::new() };
    let held = Arc::<Mutex<Option<TcpStream>>>::default();
    let holding = Arc::clone(&held);
    tokio::spawn(async move {
        // Later connections find nobody who answers.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"{}") {
                head.push(stream.read_u8().await.unwrap());
            }
            let is_get = head.starts_with(b"GET");
            stream.write_all(if is_get { get } else { NO_STREAM }.as_bytes()).await.unwrap();
            if is_get {
                holding.lock().unwrap().replace(stream);
            }
        }
    });
    let retry = RetrySettings { initial: Duration::from_millis(1), ..RetrySettings::default() };
    (FallbackTransport::new("old".into(), settings, &HttpClient::new(false), retry), held)
}

fn outgoing(connection: u64) -> Outgoing {
    let deadline = Instant::now() + SOON;
    let body = Bytes::from_static(b"{}");
    let (headers, footing) = (HeaderMap::new(), Arc::default());
    Outgoing { body, id: 1, connection, headers, footing, deadline, questions: Questions::None }
}

#[tokio::test]
async fn a_server_that_has_an_event_stream_is_fallen_back_to_once() {
    let (transport, stream) = server(STREAM).await;
    assert_eq!(transport.connect().await, Ok(http::CONNECTION));
    assert_eq!(transport.request(outgoing(http::CONNECTION)).await.unwrap_err(), TransportError::Status(405));
    assert!(!transport.is_pipe() && !transport.has_handshake());
    assert!(transport.fall_back());
    assert!(!transport.fall_back(), "once");
    assert!(!transport.is_pipe(), "nothing is known yet");
    assert_eq!(transport.connect().await, Ok(1));
    assert!(transport.is_pipe() && transport.has_handshake() && !transport.fall_back());
    let stale = transport.request(outgoing(http::CONNECTION)).await;
    assert_eq!(stale.unwrap_err(), TransportError::Reconnected);

    // Whatever is there when it is gone is not known.
    let mut lost = transport.lost();
    drop(stream.lock().unwrap().take());
    timeout(SOON, lost.changed()).await.unwrap().unwrap();
    let reconnecting = async {
        while transport.connect().await != Ok(http::CONNECTION) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, reconnecting).await.unwrap();
    assert!(!transport.is_pipe());
    assert_eq!(transport.request(outgoing(1)).await.unwrap_err(), TransportError::Reconnected);
}

#[tokio::test]
async fn a_server_without_an_event_stream_stays_what_it_was() {
    let (transport, _) = server(NO_STREAM).await;
    assert!(transport.fall_back());
    assert_eq!(transport.connect().await, Ok(http::CONNECTION));
    assert!(!transport.is_pipe());
    assert!(transport.fall_back(), "it may become one later");
}
