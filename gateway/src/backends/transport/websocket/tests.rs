//! The transport against a server on a real socket.

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::super::{Outgoing, Questions, Reply, Transport};
use super::*;

/// Longer than anything here takes; a bound, never waited for.
const SOON: Duration = Duration::from_secs(20);

type Socket = (Reader<TcpStream>, Writer<TcpStream>);

struct Server {
    listener: TcpListener,
    transport: Arc<WebSocketTransport>,
}

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ws?a=b", listener.local_addr().unwrap()).parse().unwrap();
        let headers = vec![(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer k"))];
        let retry = RetrySettings { initial: Duration::from_millis(10), ..RetrySettings::default() };
        let transport =
            WebSocketTransport::new("ws".into(), HttpSettings { url, headers }, &HttpClient::new(false), retry);
        Self { listener, transport }
    }

    /// Takes a connection and the request on it.
    async fn asked(&self) -> (TcpStream, String) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }

    /// Connects; the number, and the server's side.
    async fn connect(&self) -> (u64, Socket) {
        let agreeing = async {
            let (mut stream, _) = self.agree("").await;
            // What follows the handshake at once is heard too.
            stream.write_all(b"\x89\x00").await.unwrap();
            websocket::open(stream, Side::Server, MAX_MESSAGE_BYTES).await
        };
        let (number, socket) = timeout(SOON, async { tokio::join!(self.transport.connect(), agreeing) }).await.unwrap();
        (number.unwrap(), socket)
    }

    /// Agrees to a handshake, and says `more` with it.
    async fn agree(&self, more: &str) -> (TcpStream, String) {
        let (mut stream, head) = self.asked().await;
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = handshake::accept(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n{more}\r\n",
            accept.to_str().unwrap()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        (stream, head)
    }

    /// What connecting fails with where this is the answer.
    async fn failure(answer: &str) -> TransportError {
        let server = Self::new().await;
        let answering = async {
            let (mut stream, _) = server.asked().await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (failed, _stream) =
            timeout(SOON, async { tokio::join!(server.transport.connect(), answering) }).await.unwrap();
        failed.unwrap_err()
    }

    async fn lost(&self, end: impl Future<Output = ()>) {
        let mut lost = self.transport.lost();
        end.await;
        timeout(SOON, lost.changed()).await.unwrap().unwrap();
    }
}

fn outgoing(id: u64, connection: u64) -> Outgoing {
    Outgoing {
        footing: Arc::default(),
        body: format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call"}}"#).into(),
        id,
        connection,
        headers: HeaderMap::new(),
        deadline: Instant::now() + SOON,
        questions: Questions::None,
    }
}

async fn heard(reader: &mut Reader<TcpStream>) -> String {
    match timeout(SOON, reader.next()).await.unwrap().unwrap() {
        Some(Heard::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_upgrade_asks_for_mcp_with_our_headers() {
    let server = Server::new().await;
    let agreeing = server.agree("Sec-WebSocket-Protocol: mcp\r\n");
    let (number, (_stream, head)) =
        timeout(SOON, async { tokio::join!(server.transport.connect(), agreeing) }).await.unwrap();
    assert_eq!(number, Ok(1));
    assert!(head.starts_with("GET /ws?a=b HTTP/1.1\r\n"), "{head}");
    for line in [
        "authorization: Bearer k",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: mcp",
        &format!("host: {}", server.listener.local_addr().unwrap()),
    ] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
}

#[tokio::test]
async fn requests_and_answers_are_text_frames() {
    let server = Server::new().await;
    let (number, (mut reader, mut writer)) = server.connect().await;
    let serving = async {
        assert_eq!(heard(&mut reader).await, r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#);
        for text in [
            r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#,
            "garbage",
            r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"progressToken":7}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        ] {
            writer.text(Bytes::from_static(text.as_bytes())).await.unwrap();
        }
        heard(&mut reader).await
    };
    let (reply, pong) = tokio::join!(server.transport.request(outgoing(7, number)), serving);
    let Ok(Reply::Stream { first: Some(_), messages, .. }) = reply else { panic!("{reply:?}") };
    assert_eq!(messages.collect::<Vec<_>>().await.len(), 1);
    assert_eq!(pong, r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
}

#[tokio::test]
async fn a_socket_that_ends_fails_what_it_owes_and_is_opened_again() {
    for is_closed in [true, false] {
        let server = Server::new().await;
        let (number, (mut reader, mut writer)) = server.connect().await;
        let ending = async {
            heard(&mut reader).await;
            if is_closed {
                writer.close(1001).await.unwrap();
            }
            drop((reader, writer));
        };
        let (reply, ()) = tokio::join!(server.transport.request(outgoing(7, number)), server.lost(ending));
        assert!(matches!(reply, Err(TransportError::Disconnected(_))), "{reply:?}");
        let again = async {
            let (mut stream, _) = server.agree("").await;
            stream.write_all(b"\x89\x00").await.unwrap();
            stream
        };
        let connecting = async {
            loop {
                match server.transport.connect().await {
                    Ok(number) => return number,
                    Err(TransportError::Unreachable(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let (second, _stream) = timeout(SOON, async { tokio::join!(connecting, again) }).await.unwrap();
        assert_eq!(second, 2);
        assert_eq!(server.transport.request(outgoing(8, number)).await.unwrap_err(), TransportError::Reconnected);
    }
}

#[tokio::test]
async fn what_is_no_agreement_is_told_apart() {
    for (answer, expected) in [
        ("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "refused with HTTP 401"),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", "answered with HTTP 404"),
        ("HTTP/1.1 429 No\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n", "come back later"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP 200 instead of WebSocket"),
        (
            "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "did not agree to WebSocket",
        ),
        ("garbage\r\n\r\n", "no connection: "),
    ] {
        let failed = Server::failure(answer).await.to_string();
        assert!(failed.contains(expected), "{failed}");
    }
    let gone = Server::new().await;
    drop(gone.listener);
    assert!(matches!(gone.transport.connect().await, Err(TransportError::Unreachable(_))));
}

#[tokio::test]
async fn frames_that_cannot_be_taken_end_the_connection() {
    for frames in [&b"\x81\x7f\x40\0\0\0\0\0\0\0"[..], b"\x81\x01\xff", b"\x81\x81\0\0\0\0x", b"\xff\x00"] {
        let server = Server::new().await;
        let agreeing = server.agree("");
        let (number, (mut stream, _)) = tokio::join!(server.transport.connect(), agreeing);
        assert_eq!(number, Ok(1));
        server.lost(async { stream.write_all(frames).await.unwrap() }).await;
    }
    // Frames that are no messages are passed over, but not for ever.
    let server = Server::new().await;
    let (_, (_reader, mut writer)) = server.connect().await;
    server
        .lost(async {
            for _ in 0..1024 {
                writer.text(Bytes::from_static(b"babble")).await.unwrap();
            }
        })
        .await;
}

#[tokio::test]
async fn closing_says_goodbye() {
    let server = Server::new().await;
    let (_, (mut reader, _writer)) = server.connect().await;
    let (end, ()) = timeout(SOON, async { tokio::join!(reader.next(), server.transport.close()) }).await.unwrap();
    assert_eq!(end.unwrap(), None);
    assert!(matches!(server.transport.connect().await, Err(TransportError::Unreachable(_))));
}
