//! The transport against a server on a real socket that answers as it is told.

mod resuming;

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use http::Request;
use http::header::RETRY_AFTER;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::{Questions, after};
use super::*;
use crate::http_client::HttpClient;

/// Longer than anything here takes; a bound, never waited for.
const SOON: Duration = Duration::from_secs(20);

/// A server that answers every request with what `answer` returns.
struct Server {
    transport: Arc<HttpTransport>,
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn new(answer: impl Fn(usize) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let transport = transport_to(&listener);
        let (heads, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (answer, seen, accepted) = (Arc::new(answer), Arc::clone(&heads), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                    async move {
                        let (head, body) = request.into_parts();
                        let _ = body.collect().await;
                        let nth = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(head);
                            seen.len() - 1
                        };
                        Ok::<_, Infallible>(answer(nth))
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { transport, heads, connections, task }
    }

    async fn ask(&self) -> Result<Reply, TransportError> {
        self.transport.request(outgoing(HeaderMap::new())).await
    }

    async fn ask_in_session(&self) -> Result<Reply, TransportError> {
        let headers = HeaderMap::from_iter([(mirror::SESSION_ID, HeaderValue::from_static("s"))]);
        self.transport.request(outgoing(headers)).await
    }
}

fn transport_to(listener: &TcpListener) -> Arc<HttpTransport> {
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let headers = vec![(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer k"))];
    HttpTransport::new(HttpSettings { url, headers }, &HttpClient::new(false))
}

fn outgoing(headers: HeaderMap) -> Outgoing {
    Outgoing {
        body: Bytes::from_static(b"{}"),
        id: 1,
        connection: CONNECTION,
        footing: Arc::new(Footing::of(&headers)),
        headers,
        deadline: Instant::now() + SOON,
        questions: Questions::None,
    }
}

fn answer(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body whose frames the test sends one by one.
fn arriving() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let frames = futures_util::stream::unfold(receiver, |mut receiver: mpsc::UnboundedReceiver<Bytes>| async {
        Some((Ok(http_body::Frame::data(receiver.recv().await?)), receiver))
    });
    (sender, Body::arriving(http_body_util::StreamBody::new(frames)))
}

/// A server that reads what comes and answers each connection with raw bytes.
async fn raw_server(answers: Vec<&'static [u8]>) -> (Arc<HttpTransport>, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport_to(&listener);
    let serving = tokio::spawn(async move {
        let mut requests = 0;
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            requests += 1;
            stream.write_all(answer).await.unwrap();
        }
        // Whoever tries again finds nobody, and is counted.
        drop(listener);
        requests
    });
    (transport, serving)
}

async fn read_request(stream: &mut TcpStream) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.ends_with(b"\r\n\r\n{}") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "the request is whole");
        read.extend_from_slice(&buffer[..count]);
    }
}

#[tokio::test]
async fn an_answer_in_json_is_one_message() {
    let server = Server::new(|_| {
        let mut response = answer(200, "Application/JSON; charset=utf-8", "{\"x\":1}");
        response.headers_mut().insert(mirror::SESSION_ID, HeaderValue::from_static("s1"));
        response
    })
    .await;
    let Ok(Reply::Message { message, session }) = server.ask().await else { panic!() };
    assert_eq!((&message[..], session.unwrap().to_str().unwrap()), (&b"{\"x\":1}"[..], "s1"));
    let heads = server.heads.lock().unwrap();
    assert_eq!(heads[0].headers[ACCEPT], "application/json, text/event-stream");
    assert_eq!(heads[0].headers[CONTENT_TYPE], "application/json");
    assert_eq!(heads[0].headers["authorization"], "Bearer k");
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (sender, body) = arriving();
    let body = Mutex::new(Some(body));
    let server = Server::new(move |_| answer(200, "text/event-stream", body.lock().unwrap().take().unwrap())).await;
    let (Reply::Stream { first, messages, .. }, ()) = ({
        let reply = server.ask();
        let first = async { sender.send(Bytes::from_static(b": hi\n\ndata: 1\n\nda")).unwrap() };
        let (reply, ()) = tokio::join!(reply, first);
        (reply.unwrap(), ())
    }) else {
        panic!()
    };
    let mut messages = after(first, messages);
    assert_eq!(messages.next().await.unwrap().unwrap(), "1");
    assert!(messages.next().now_or_never().is_none());
    sender.send(Bytes::from_static(b"ta: 2\r\n\r\n")).unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap(), "2");
    drop(sender);
    assert!(matches!(messages.next().await, Some(Err(TransportError::Disconnected(_)))));
    assert!(messages.next().await.is_none());
}

/// What was said of a request that a server answers with these bytes alone.
async fn begun(body: &'static [u8]) -> (Option<Bytes>, Messages) {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    let (transport, _serving) = raw_server(vec![[head, body].concat().leak()]).await;
    match transport.request(outgoing(HeaderMap::new())).await.unwrap() {
        Reply::Stream { first, messages, .. } => (first, messages),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_that_comes_with_the_head_needs_no_stream() {
    for whole in [
        &b"content-length: 9\r\n\r\ndata: 1\n\n"[..],
        b"content-length: 33\r\n\r\n: hi\n\nevent: message\r\ndata: 1\r\n\r\n",
        b"content-length: 30\r\n\r\nevent: ping\ndata: 0\n\ndata: 1\n\n",
        b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n",
    ] {
        let (first, mut messages) = begun(whole).await;
        assert_eq!(first.unwrap(), "1");
        assert_eq!(messages.size_hint(), (1, Some(1)), "only how it ended");
        assert!(matches!(messages.next().await, Some(Err(TransportError::Disconnected(_)))));
    }
}

#[tokio::test]
async fn what_follows_a_message_that_came_with_the_head_is_not_lost() {
    let two = b"content-length: 18\r\n\r\ndata: 1\n\ndata: 2\n\n";
    let (first, mut messages) = begun(two).await;
    assert_eq!((first.unwrap(), messages.next().await.unwrap().unwrap()), ("1".into(), "2".into()));
    assert!(matches!(messages.next().await, Some(Err(TransportError::Disconnected(_)))));

    let nothing = b"content-length: 6\r\n\r\n: hi\n\n";
    let (first, mut messages) = begun(nothing).await;
    assert_eq!(first, None);
    assert!(matches!(messages.next().await, Some(Err(TransportError::Disconnected(_)))));

    let more = b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n";
    let (first, messages) = begun(more).await;
    let all: Vec<_> = after(first, messages).take(2).map(Result::unwrap).collect().await;
    assert_eq!(all, ["1", "2"]);
}

#[tokio::test]
async fn connections_are_used_again_also_after_streams() {
    let server = Server::new(|_| answer(200, "text/event-stream", "data: 1\n\n")).await;
    for _ in 0..5 {
        let Ok(Reply::Stream { first, messages, .. }) = server.ask().await else { panic!() };
        let mut messages = after(first, messages);
        messages.next().await.unwrap().unwrap();
        assert!(messages.next().await.unwrap().is_err(), "the end");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn each_status_means_what_it_says() {
    let error = r#" {"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m"}}"#;
    for (status, content_type, body, expected) in [
        (401, "application/json", error, "Refused(401)"),
        (403, "text/html", "<html>", "Refused(403)"),
        (404, "text/html", "<html>", "Status(404)"),
        (429, "text/plain", "", "Busy { retry_after: None }"),
        (500, "text/html", "<html>", "Status(500)"),
        (503, "text/plain", "", "Status(503)"),
        (404, "application/json", r#"{"detail":"Not Found"}"#, "Status(404)"),
        (200, "text/html", "<html>", "Garbage(\"HTTP 200 without JSON or an event stream\")"),
        (202, "application/jsonp", "", "Garbage(\"HTTP 202 without JSON or an event stream\")"),
    ] {
        let server = Server::new(move |_| answer(status, content_type, body)).await;
        assert_eq!(format!("{:?}", server.ask().await.unwrap_err()), expected);
    }
    let server = Server::new(move |_| answer(400, "application/json", error)).await;
    assert!(matches!(server.ask().await, Ok(Reply::Refusal { status: 400, .. })));
}

#[tokio::test]
async fn a_session_is_lost_where_the_server_does_not_know_it() {
    for (status, content_type, body) in [
        (404, "application/json", "{}"),
        (404, "text/html", ""),
        (400, "text/plain", "Bad Request: No valid session ID"),
        (400, "application/json", r#"{"detail":"No valid session ID"}"#),
    ] {
        let server = Server::new(move |_| answer(status, content_type, body)).await;
        assert_eq!(server.ask_in_session().await.unwrap_err(), TransportError::SessionLost);
        assert_ne!(server.ask().await.err(), Some(TransportError::SessionLost));
        let headers = HeaderMap::from_iter([(mirror::SESSION_ID, HeaderValue::from_static("s"))]);
        let stream = server.transport.listen(headers).await;
        assert_eq!(stream.err() == Some(TransportError::SessionLost), status == 404);
    }
}

#[tokio::test]
async fn the_asked_for_pause_is_bounded() {
    for (asked, pause) in [("3", Some(3)), ("99999999999999999", Some(3600)), ("soon", None)] {
        let server = Server::new(move |_| {
            let mut response = answer(503, "text/plain", "");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(asked));
            response
        })
        .await;
        let retry_after = pause.map(Duration::from_secs);
        assert_eq!(server.ask().await.unwrap_err(), TransportError::Busy { retry_after });
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() {
    let announced = Server::new(|_| answer(200, "application/json", vec![b' '; MAX_ANSWER_BYTES + 1])).await;
    assert!(matches!(announced.ask().await, Err(TransportError::Garbage(_))));
    let (sender, body) = arriving();
    let body = Mutex::new(Some(body));
    let chunked = Server::new(move |_| answer(200, "application/json", body.lock().unwrap().take().unwrap())).await;
    for _ in 0..17 {
        sender.send(vec![b' '; 1024 * 1024].into()).unwrap();
    }
    assert!(matches!(chunked.ask().await, Err(TransportError::Garbage(_))));
}

#[tokio::test]
async fn an_answer_of_many_frames_is_joined() {
    let (sender, body) = arriving();
    let body = Mutex::new(Some(body));
    let server = Server::new(move |_| answer(200, "application/json", body.lock().unwrap().take().unwrap())).await;
    for part in ["{\"a\"", ":", "1}"] {
        sender.send(part.into()).unwrap();
    }
    drop(sender);
    let Ok(Reply::Message { message, .. }) = server.ask().await else { panic!() };
    assert_eq!(message, "{\"a\":1}");
}

#[tokio::test]
async fn a_server_that_dies_midway_is_told_from_one_that_is_not_there() {
    for cut in [
        &b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"x\""[..],
        b"HTTP/1.1 200 OK\r\ncontent-ty",
        b"",
    ] {
        let (transport, serving) = raw_server(vec![cut]).await;
        let error = transport.request(outgoing(HeaderMap::new())).await.unwrap_err();
        assert!(matches!(error, TransportError::Disconnected(_)), "{error:?}");
        // It had the request, so nothing may send it again.
        assert_eq!(serving.await.unwrap(), 1);
        let error = transport.request(outgoing(HeaderMap::new())).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_midway_says_so() {
    let (first, messages) = begun(b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndat").await;
    let mut messages = after(first, messages);
    assert_eq!(messages.next().await.unwrap().unwrap(), "1");
    assert!(matches!(messages.next().await, Some(Err(TransportError::Disconnected(_)))));
}

#[tokio::test]
async fn a_request_on_a_pooled_connection_that_dies_is_not_sent_twice() {
    // The first connection answers once, takes a second request and dies.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport_to(&listener);
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(whole).await.unwrap();
        read_request(&mut stream).await;
        drop(stream);
        listener
    });
    transport.request(outgoing(HeaderMap::new())).await.unwrap();
    let error = transport.request(outgoing(HeaderMap::new())).await.unwrap_err();
    assert!(matches!(error, TransportError::Disconnected(_)), "{error:?}");
    // To send it again, the client would have had to connect again first.
    let listener = serving.await.unwrap();
    assert!(listener.accept().now_or_never().is_none());
}

#[tokio::test]
async fn a_hung_server_is_left_at_the_deadline() {
    let (_sender, body) = arriving();
    let body = Mutex::new(Some(body));
    let server = Server::new(move |_| answer(200, "application/json", body.lock().unwrap().take().unwrap())).await;
    let deadline = Instant::now() + Duration::from_millis(50);
    let outgoing = Outgoing { deadline, ..outgoing(HeaderMap::new()) };
    assert_eq!(server.transport.request(outgoing).await.unwrap_err(), TransportError::TimedOut);
}

#[tokio::test]
async fn notifications_and_the_end_of_a_session_are_sent_as_they_should() {
    let server = Server::new(|_| Response::builder().status(202).body(Body::empty()).unwrap()).await;
    server.transport.notify(Bytes::from_static(b"{}"), HeaderMap::new()).await.unwrap();
    let headers = HeaderMap::from_iter([(mirror::SESSION_ID, HeaderValue::from_static("s"))]);
    server.transport.end_session(headers).await;
    assert!(matches!(server.transport.listen(HeaderMap::new()).await, Err(TransportError::Status(202))));
    let heads = server.heads.lock().unwrap();
    let methods: Vec<_> = heads.iter().map(|head| head.method.as_str()).collect();
    assert_eq!(methods, ["POST", "DELETE", "GET"]);
    assert_eq!(heads[1].headers[mirror::SESSION_ID], "s");
    assert_eq!(heads[2].headers[ACCEPT], "text/event-stream");
}
