//! The transport against a server on a real socket that does as it is told.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::super::way::JSON;
use super::super::{Outgoing, Questions, Reply, Transport};
use super::*;

/// Longer than anything here takes; a bound, never waited for.
const SOON: Duration = Duration::from_secs(20);

/// A server that opens an event stream for each GET and keeps what is posted.
struct Server {
    transport: Arc<EventSourceTransport>,
    state: Arc<State>,
    streams: tokio::sync::Mutex<mpsc::UnboundedReceiver<mpsc::UnboundedSender<String>>>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    /// The events that each stream begins with.
    opening: String,
    opened: mpsc::UnboundedSender<mpsc::UnboundedSender<String>>,
    posted: Mutex<Vec<(String, HeaderMap, String)>>,
    /// What a POST is answered with.
    status: Mutex<u16>,
}

impl Server {
    async fn new(opening: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sse", listener.local_addr().unwrap()).parse().unwrap();
        let headers = vec![(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer k"))];
        let retry = RetrySettings { initial: Duration::from_millis(10), ..RetrySettings::default() };
        let client = HttpClient::new(false);
        let transport = EventSourceTransport::new("old".into(), HttpSettings { url, headers }, &client, retry);
        let (opened, streams) = mpsc::unbounded_channel();
        let state =
            Arc::new(State { opening: opening.to_owned(), opened, posted: Mutex::default(), status: Mutex::new(202) });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { transport, state, streams: tokio::sync::Mutex::new(streams), task }
    }

    /// Connects; the number, and where the server speaks.
    async fn connect(&self) -> (u64, mpsc::UnboundedSender<String>) {
        let number = timeout(SOON, self.transport.connect()).await.unwrap().unwrap();
        let stream = self.streams.lock().await.recv().await.unwrap();
        (number, stream)
    }

    /// Waits until so many messages were posted.
    async fn posted(&self, count: usize) -> Vec<(String, HeaderMap, String)> {
        let waiting = async {
            while self.state.posted.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, waiting).await.unwrap();
        self.state.posted.lock().unwrap().clone()
    }

    async fn failure(&self) -> TransportError {
        timeout(SOON, self.transport.connect()).await.unwrap().unwrap_err()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if head.method == Method::GET {
            assert_eq!(head.headers["accept"], "text/event-stream");
            assert_eq!(head.headers["authorization"], "Bearer k");
            let (sender, receiver) = mpsc::unbounded_channel();
            sender.send(self.opening.clone()).unwrap();
            let frames =
                futures_util::stream::unfold(receiver, |mut receiver: mpsc::UnboundedReceiver<String>| async {
                    Some((Ok(Frame::data(Bytes::from(receiver.recv().await?))), receiver))
                });
            let _ = self.opened.send(sender);
            let body = Body::arriving(StreamBody::new(frames));
            return Response::builder().header("content-type", "text/event-stream").body(body).unwrap();
        }
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        self.posted.lock().unwrap().push((head.uri.to_string(), head.headers, body));
        Response::builder().status(*self.status.lock().unwrap()).body(Body::from("Accepted")).unwrap()
    }
}

const ENDPOINT: &str = ": hello\n\nevent: other\ndata: 1\n\nevent: endpoint\ndata: /messages?session=a\n\n";

fn outgoing(id: u64, connection: u64) -> Outgoing {
    Outgoing {
        footing: Arc::default(),
        body: format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call"}}"#).into(),
        id,
        connection,
        headers: HeaderMap::from_iter([(http::HeaderName::from_static("x-request-id"), "r".parse().unwrap())]),
        deadline: Instant::now() + SOON,
        questions: Questions::None,
    }
}

fn message(text: &str) -> String {
    format!("event: message\ndata: {text}\n\n")
}

#[tokio::test]
async fn requests_are_posted_and_answered_on_the_stream() {
    let server = Server::new(ENDPOINT).await;
    let (number, stream) = server.connect().await;
    assert_eq!((number, server.transport.connect().await), (1, Ok(1)));
    let speaking = async {
        server.posted(1).await;
        stream.send(message(r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"progressToken":7}}"#)).unwrap();
        // An event without a name is a message too.
        stream.send("data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n".to_owned()).unwrap();
    };
    let (reply, ()) = tokio::join!(server.transport.request(outgoing(7, number)), speaking);
    let Ok(Reply::Stream { first: Some(_), messages, .. }) = reply else { panic!("{reply:?}") };
    assert_eq!(messages.collect::<Vec<_>>().await.len(), 1);
    let (uri, headers, body) = server.posted(1).await.remove(0);
    assert_eq!((uri.as_str(), &headers["authorization"]), ("/messages?session=a", &"Bearer k".parse().unwrap()));
    assert_eq!((&headers["content-type"], &headers["x-request-id"]), (&JSON, &"r".parse().unwrap()));
    assert_eq!(body, r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#);
}

#[tokio::test]
async fn an_answer_may_be_there_before_the_post_has_ended() {
    let server = Server::new(ENDPOINT).await;
    let (number, stream) = server.connect().await;
    stream.send(message("{}")).unwrap();
    let notified = server.transport.notify(Bytes::from_static(b"{}"), HeaderMap::new());
    let speaking = async {
        server.posted(1).await;
        stream.send(message(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#)).unwrap();
        server.posted(2).await
    };
    let (notified, posted) = tokio::join!(notified, speaking);
    notified.unwrap();
    assert_eq!(posted[1].2, r#"{"jsonrpc":"2.0","id":"p","result":{}}"#, "of connection {number}");
}

#[tokio::test]
async fn a_stream_that_ends_fails_what_it_owes_and_is_opened_again() {
    let server = Server::new(ENDPOINT).await;
    let (number, stream) = server.connect().await;
    let mut lost = server.transport.lost();
    let ending = async {
        server.posted(1).await;
        drop(stream);
    };
    let (reply, ()) = tokio::join!(server.transport.request(outgoing(7, number)), ending);
    assert!(matches!(reply, Err(TransportError::Disconnected(_))), "{reply:?}");
    timeout(SOON, lost.changed()).await.unwrap().unwrap();
    let again = async {
        loop {
            match server.transport.connect().await {
                Ok(number) => return number,
                Err(TransportError::Unreachable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    assert_eq!(timeout(SOON, again).await.unwrap(), 2);
    let stale = server.transport.request(outgoing(8, number)).await;
    assert_eq!(stale.unwrap_err(), TransportError::Reconnected);
}

#[tokio::test]
async fn a_server_that_forgot_the_stream_is_connected_to_anew() {
    let server = Server::new(ENDPOINT).await;
    let (number, _stream) = server.connect().await;
    *server.state.status.lock().unwrap() = 404;
    let mut lost = server.transport.lost();
    assert_eq!(server.transport.request(outgoing(7, number)).await.unwrap_err(), TransportError::Reconnected);
    timeout(SOON, lost.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_post_that_is_refused_says_so() {
    let server = Server::new(ENDPOINT).await;
    let (number, _stream) = server.connect().await;
    for (status, error) in
        [(400, TransportError::Status(400)), (401, TransportError::Refused(401)), (500, TransportError::Status(500))]
    {
        *server.state.status.lock().unwrap() = status;
        assert_eq!(server.transport.request(outgoing(u64::from(status), number)).await.unwrap_err(), error);
    }
    assert_eq!(server.transport.connect().await, Ok(number), "the stream goes on");
}

#[tokio::test]
async fn an_endpoint_of_another_origin_is_refused() {
    let server = Server::new("event: endpoint\ndata: http://evil.example.com/messages\n\n").await;
    assert!(matches!(server.failure().await, TransportError::Garbage(why) if why.contains("another origin")));
    let pausing = server.failure().await;
    assert!(matches!(&pausing, TransportError::Unreachable(why) if why.contains("next attempt")), "{pausing}");
}

#[tokio::test]
async fn a_server_that_only_babbles_is_left() {
    let server = Server::new(ENDPOINT).await;
    let (_, stream) = server.connect().await;
    let mut lost = server.transport.lost();
    stream.send(message("babble").repeat(2000)).unwrap();
    timeout(SOON, lost.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn closing_ends_the_stream() {
    let server = Server::new(ENDPOINT).await;
    let (_, stream) = server.connect().await;
    server.transport.close().await;
    timeout(SOON, stream.closed()).await.unwrap();
    assert!(matches!(server.failure().await, TransportError::Unreachable(_)));
}
