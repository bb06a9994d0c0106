//! Endpoints against servers on real sockets.

mod http2;
mod upgrade;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::body::Body;

/// Longer than anything here takes; a bound, never waited for.
const SOON: Duration = Duration::from_secs(20);

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// What a server does on a connection.
#[derive(Clone, Copy)]
enum Act {
    /// Reads a request and answers with this.
    Answer(&'static str),
    /// Sends this at once.
    Send(&'static str),
    /// Waits until the client closes the connection.
    AwaitEnd,
}

/// A server that plays one script after the other, a connection each.
struct Server {
    address: std::net::SocketAddr,
    endpoint: Endpoint,
    seen: Arc<Seen>,
    playing: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// In the order in which they were read.
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// Connections that the client closed.
    ends: AtomicUsize,
}

// === impl Server ===

impl Server {
    async fn new(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = HttpClient::new(false).endpoint(format!("http://{address}/mcp?a=b").parse().unwrap());
        let seen = Arc::<Seen>::default();
        let sees = Arc::clone(&seen);
        let playing = tokio::spawn(async move {
            let mut scripts = scripts.into_iter();
            let mut players = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                sees.connections.fetch_add(1, Ordering::SeqCst);
                let script = scripts.next().expect("no more connections than scripts");
                players.spawn(play(stream, script, Arc::clone(&sees)));
            }
        });
        Self { address, endpoint, seen, playing }
    }

    /// A server whose every connection answers any number of requests.
    async fn answering(answer: &'static str) -> Self {
        Self::new(vec![vec![Act::Answer(answer); 300]; 300]).await
    }

    async fn ask(&self) -> Result<Response<Answer>, SendError> {
        ask(&self.endpoint).await
    }

    async fn ask_and_read(&self) -> Bytes {
        read(self.ask().await.unwrap()).await
    }

    fn requests(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    fn ends(&self) -> usize {
        self.seen.ends.load(Ordering::SeqCst)
    }

    fn idle(&self) -> usize {
        self.endpoint.pool.idle_http1()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

async fn play(mut stream: TcpStream, script: Vec<Act>, seen: Arc<Seen>) {
    let mut read = String::new();
    for act in script {
        match act {
            Act::Answer(answer) => {
                let request = read_request(&mut stream, &mut read).await;
                let Some(request) = request else {
                    seen.ends.fetch_add(1, Ordering::SeqCst);
                    return;
                };
                seen.requests.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Act::Send(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Act::AwaitEnd => {
                assert!(read_request(&mut stream, &mut read).await.is_none(), "another request");
                seen.ends.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// A request, which ends with `{}`; `None` where the connection ends.
async fn read_request(stream: &mut TcpStream, read: &mut String) -> Option<String> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = read.find("\r\n\r\n{}") {
            let rest = read.split_off(end + 6);
            return Some(std::mem::replace(read, rest));
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
        }
    }
}

async fn ask(endpoint: &Endpoint) -> Result<Response<Answer>, SendError> {
    let headers = HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static("text/plain"))]);
    timeout(SOON, endpoint.send(Method::POST, headers, Body::from("{}"))).await.unwrap()
}

async fn read(response: Response<Answer>) -> Bytes {
    timeout(SOON, response.into_body().collect()).await.unwrap().unwrap().to_bytes()
}

/// Waits until `condition` holds.
async fn until(mut condition: impl FnMut() -> bool) {
    timeout(SOON, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_request_names_its_target_and_its_host() {
    let server = Server::answering(WHOLE).await;
    assert_eq!(server.ask_and_read().await, "{}");
    let request = server.seen.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.starts_with("post /mcp?a=b http/1.1\r\n"), "{request}");
    for header in [&format!("host: {}", server.address), "accept: text/plain", "content-length: 2"] {
        assert_eq!(request.matches(&format!("\r\n{header}\r\n")).count(), 1, "{header} in {request}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    for answer in [
        WHOLE,
        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n2\r\nab\r\n0\r\nx: y\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ] {
        let server = Server::answering(answer).await;
        for _ in 0..5 {
            server.ask_and_read().await;
        }
        assert_eq!((server.connections(), server.requests()), (1, 5), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_dropped_unread_is_no_loss_where_its_end_had_come() {
    for answer in [
        WHOLE,
        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let server = Server::answering(answer).await;
        for _ in 0..5 {
            drop(server.ask().await.unwrap());
        }
        assert_eq!((server.connections(), server.requests()), (1, 5), "{answer}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_later_gives_its_connection_back_then() {
    let server = Server::new(vec![vec![
        Act::Answer(CHUNKED),
        Act::Send("2\r\nab\r\n"),
        Act::Send("2\r\ncd\r\n"),
        Act::Send("0\r\n\r\n"),
        Act::Answer(WHOLE),
    ]])
    .await;
    let mut body = server.ask().await.unwrap().into_body();
    let mut read = Vec::new();
    while let Some(frame) = timeout(SOON, body.frame()).await.unwrap() {
        assert_eq!(server.idle(), 0);
        read.extend(frame.unwrap().into_data().unwrap());
    }
    assert_eq!((read.as_slice(), server.idle()), (&b"abcd"[..], 1));
    server.ask_and_read().await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn requests_at_once_have_a_connection_each() {
    let server = Server::answering(WHOLE).await;
    let (one, other) = tokio::join!(server.ask_and_read(), server.ask_and_read());
    assert_eq!((one.len(), other.len(), server.connections(), server.idle()), (2, 2, 2, 2));
    server.ask_and_read().await;
    assert_eq!((server.connections(), server.idle()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_among_threads() {
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n";
    let script: Vec<_> = (0..200).flat_map(|_| [Act::Answer(chunks), Act::Send("2\r\ncd\r\n0\r\n\r\n")]).collect();
    let server = Arc::new(Server::new(vec![script; 300]).await);
    let asking = (0..16).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            for _ in 0..100 {
                let begun = std::time::Instant::now();
                let response = server.ask().await.unwrap();
                // Another task reads what this one asked for.
                assert_eq!(tokio::spawn(read(response)).await.unwrap(), "abcd");
                assert!(begun.elapsed() < SOON / 2, "a timer had to wake it");
            }
        })
    });
    for asked in futures_util::future::join_all(asking).await {
        asked.unwrap();
    }
    assert_eq!((server.requests(), server.connections()), (1600, server.idle()));
    assert!(server.connections() <= 16);
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_the_bound() {
    let server = Server::answering(WHOLE).await;
    let asked = (0..pool::MAX_IDLE + 10).map(|_| server.ask_and_read());
    futures_util::future::join_all(asked).await;
    assert_eq!((server.connections(), server.idle()), (pool::MAX_IDLE + 10, pool::MAX_IDLE));
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_unseen() {
    for goodbye in ["", "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"] {
        let server = Server::new(vec![
            vec![Act::Answer(WHOLE), Act::Send(goodbye)],
            vec![Act::Answer(WHOLE), Act::Send(goodbye)],
            vec![Act::Answer(WHOLE), Act::AwaitEnd],
        ])
        .await;
        // Two at once, so that two are idle when they close.
        tokio::join!(server.ask_and_read(), server.ask_and_read());
        until(|| server.endpoint.pool.all_ended()).await;
        assert_eq!(server.ask_and_read().await, "{}");
        assert_eq!((server.connections(), server.requests(), server.idle()), (3, 3, 1));
    }
}

#[tokio::test]
async fn a_connection_is_not_used_when_its_server_is_about_to_close_it() {
    let server =
        Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: max=9, timeout=5\r\n\r\n{}").await;
    let later = async |seconds| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        server.ask_and_read().await;
        server.connections()
    };
    assert_eq!([later(0).await, later(3).await, later(3).await], [1; 3], "each use is a new beginning");
    assert_eq!(later(4).await, 2);
    until(|| server.ends() == 1).await;
}

#[test]
fn how_long_a_server_keeps_an_idle_connection_is_read_where_it_says_so() {
    for (said, seconds) in
        [("timeout=5", Some(5)), ("max=9, timeout=0", Some(0)), ("timeout=x", None), ("", None), ("timeout=-1", None)]
    {
        let headers = HeaderMap::from_iter([(http1::KEEP_ALIVE, said.parse::<HeaderValue>().unwrap())]);
        assert_eq!(http1::keep_alive(&headers), seconds.map(Duration::from_secs), "{said}");
    }
}

#[tokio::test]
async fn a_connection_that_will_close_is_not_kept() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").await;
    server.ask_and_read().await;
    assert_eq!(server.idle(), 0);
    server.ask_and_read().await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_body_may_end_with_its_connection() {
    let server = Server::new(vec![vec![Act::Answer("HTTP/1.1 200 OK\r\n\r\nab"), Act::Send("cd")]; 2]).await;
    for _ in 0..2 {
        assert_eq!(server.ask_and_read().await, "abcd");
        assert_eq!(server.idle(), 0);
    }
}

#[tokio::test]
async fn a_connection_on_which_the_request_is_still_written_is_not_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let endpoint = HttpClient::new(false).endpoint(url);
    let refusing = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        stream
    };
    // More than any socket takes in unread.
    let asking = endpoint.send(Method::POST, HeaderMap::new(), Body::from(vec![b' '; 64 << 20]));
    let (response, _stream) = timeout(SOON, async { tokio::join!(asking, refusing) }).await.unwrap();
    assert_eq!(read(response.unwrap()).await, "{}");
    assert_eq!(endpoint.pool.idle_http1(), 0);
}

#[tokio::test]
async fn what_a_server_has_read_is_never_sent_again() {
    // The first answer is whole, so that the second request finds an idle connection.
    for end in ["", "HTTP/1.1 200 O", "garbage\r\n\r\n"] {
        let server = Server::new(vec![vec![Act::Answer(WHOLE), Act::Answer(end)]; 2]).await;
        server.ask_and_read().await;
        assert!(matches!(server.ask().await, Err(SendError::Broken(_))), "{end}");
        // To send it again, it would have had to connect again.
        assert_eq!((server.requests(), server.connections()), (2, 1));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    for part in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ] {
        let server = Server::new(vec![vec![Act::Answer(part)]]).await;
        let body = server.ask().await.unwrap().into_body();
        assert!(timeout(SOON, body.collect()).await.unwrap().is_err(), "{part}");
        assert_eq!(server.idle(), 0);
    }
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let endpoint = HttpClient::new(false).endpoint(url);
    assert!(matches!(ask(&endpoint).await, Err(SendError::Connect(_))));
    for url in ["/relative", "ftp://127.0.0.1/", "http://nobody.invalid/"] {
        let endpoint = HttpClient::new(false).endpoint(url.parse().unwrap());
        assert!(matches!(ask(&endpoint).await, Err(SendError::Connect(_))), "{url}");
    }
}

#[tokio::test]
async fn who_waits_no_longer_closes_the_connection() {
    // Before the head of the answer.
    let server = Server::new(vec![vec![Act::Answer(""), Act::AwaitEnd]]).await;
    {
        let mut asking = Box::pin(server.ask());
        until(|| {
            assert!(asking.as_mut().now_or_never().is_none());
            server.requests() == 1
        })
        .await;
    }
    until(|| server.ends() == 1).await;
    // Within its body.
    let server = Server::new(vec![vec![Act::Answer(CHUNKED), Act::Send("2\r\nab\r\n"), Act::AwaitEnd]]).await;
    let mut body = server.ask().await.unwrap().into_body();
    timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(server.ends(), 0);
    drop(body);
    until(|| server.ends() == 1).await;
    assert_eq!(server.idle(), 0);
}

/// A task that runs out of tokio's budget is told that nothing is ready, even
/// what is, and expected to come back.
#[tokio::test]
async fn an_answer_is_not_missed_where_the_budget_of_the_task_ends() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n").await;
    for used in 100..128 {
        // Begins with a whole budget.
        tokio::task::yield_now().await;
        let begun = std::time::Instant::now();
        let mut asking = pin!(server.ask_and_read());
        let asking = poll_fn(|cx| {
            for _ in 0..used {
                assert!(pin!(tokio::task::consume_budget()).poll(cx).is_ready());
            }
            asking.as_mut().poll(cx)
        });
        assert_eq!(asking.await, "ab", "{used}");
        assert!(begun.elapsed() < SOON / 2, "a timer had to wake it: {used}");
    }
}

#[tokio::test]
async fn what_was_not_used_between_two_sweeps_is_closed() {
    let server = Server::answering(WHOLE).await;
    tokio::join!(server.ask_and_read(), server.ask_and_read(), server.ask_and_read());
    assert!(server.endpoint.pool.sweep());
    assert_eq!(server.idle(), 3, "all were just used");
    server.ask_and_read().await;
    assert!(server.endpoint.pool.sweep());
    until(|| server.ends() == 2).await;
    assert_eq!(server.idle(), 1, "the one on top was used");
    assert!(!server.endpoint.pool.sweep());
    assert_eq!((server.idle(), server.connections()), (0, 3));
}

#[tokio::test]
async fn idle_connections_are_closed_in_time_though_nobody_asks() {
    let server = Server::answering(WHOLE).await;
    // Also those of a second life, when the first sweeper is gone.
    for connections in 1..=2 {
        server.ask_and_read().await;
        tokio::time::pause();
        let mut waited = Duration::ZERO;
        while server.idle() > 0 {
            // Each of the two sweeps may be seen a step late.
            assert!(waited <= pool::IDLE_TIMEOUT + Duration::from_secs(2));
            waited += Duration::from_secs(1);
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
        tokio::time::resume();
        assert!(waited >= pool::IDLE_TIMEOUT / 2);
        until(|| server.ends() == connections).await;
    }
}

#[tokio::test]
async fn a_pool_that_is_gone_leaves_nothing_behind() {
    let mut server = Server::new(vec![vec![Act::Answer(WHOLE), Act::AwaitEnd]; 2]).await;
    let held = server.ask().await.unwrap();
    server.ask_and_read().await;
    let pool = Arc::downgrade(&server.endpoint.pool);
    server.endpoint = HttpClient::new(false).endpoint("http://127.0.0.1/".parse().unwrap());
    assert_eq!(read(held).await, "{}");
    assert!(pool.upgrade().is_none());
    until(|| server.ends() == 2).await;
}
