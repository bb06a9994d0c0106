//! Passing on, to a listener on a real socket.

use std::convert::Infallible;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use portcullis_policies::Principal;
use tokio::sync::Notify;
use tower::service_fn;

use super::*;
use crate::listener::{self, ClientCertificate, Drain, ListenerSettings, TlsAcceptor};
use crate::secret::Secret;

/// Longer than anything here takes; it bounds a test that fails.
const SOON: Duration = Duration::from_secs(20);

fn ring(secret: &str) -> Arc<KeyRing> {
    let ring = KeyRing::new().unwrap();
    ring.replace(&[Secret::new(secret.to_owned())]);
    Arc::new(ring)
}

fn replicas(secret: &str) -> (Replicas, Arc<Metrics>) {
    let metrics = Arc::<Metrics>::default();
    (Replicas::new("127.0.0.1:1".into(), &ring(secret), Arc::clone(&metrics)).unwrap(), metrics)
}

fn counted(metrics: &Metrics, outcome: &str, times: usize) -> bool {
    let line = format!(r#"portcullis_forwarded_requests_total{{outcome="{outcome}"}} {times}"#);
    String::from_utf8(metrics.render()).unwrap().contains(&line)
}

/// Another replica, which answers as it is told.
struct Other {
    address: Arc<str>,
    /// What was passed on to it, head and body.
    seen: Arc<Mutex<Vec<(http::request::Parts, Bytes)>>>,
    /// How often it was asked whether it takes requests.
    greetings: Arc<Mutex<usize>>,
    arrived: Arc<Notify>,
    drain: Drain,
}

/// How a replica answers.
#[derive(Clone, Copy)]
enum Manner {
    /// With a stream of two events.
    Answers,
    /// Not at all.
    Hangs,
    /// It is not the one that is meant.
    Refuses,
    /// Neither does it greet.
    RefusesAll,
}

impl Other {
    fn start(secret: &str, manner: Manner) -> Self {
        let tcp = listener::bind("replicas", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address: Arc<str> = tcp.local_addr().unwrap().to_string().into();
        let (drain, signal) = Drain::new();
        let (seen, greetings, arrived) =
            (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<usize>>::default(), Arc::<Notify>::default());
        let (sees, greets, arrives) = (Arc::clone(&seen), Arc::clone(&greetings), Arc::clone(&arrived));
        let service = service_fn(move |request: Request<Incoming>| {
            let (sees, greets, arrives) = (Arc::clone(&sees), Arc::clone(&greets), Arc::clone(&arrives));
            async move {
                assert!(request.extensions().get::<ClientCertificate>().is_some());
                let mut response = Response::new(Body::empty());
                if request.uri().path() == "/" {
                    *greets.lock().unwrap() += 1;
                    *response.status_mut() = match manner {
                        Manner::RefusesAll => StatusCode::MISDIRECTED_REQUEST,
                        _ => StatusCode::NO_CONTENT,
                    };
                    return Ok::<_, Infallible>(response);
                }
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                sees.lock().unwrap().push((head, body));
                arrives.notify_one();
                match manner {
                    Manner::Answers => {
                        *response.body_mut() = Body::pieces(["data: 1\n\n", "data: 2\n\n"].map(Bytes::from));
                        response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
                    }
                    Manner::Hangs => std::future::pending().await,
                    Manner::Refuses | Manner::RefusesAll => *response.status_mut() = StatusCode::MISDIRECTED_REQUEST,
                }
                Ok(response)
            }
        });
        let tls = TlsAcceptor::of(server_config(&ring(secret)).unwrap());
        let settings =
            ListenerSettings { drain_timeout: Duration::ZERO, bounds_resets: false, ..ListenerSettings::default() };
        tokio::spawn(listener::serve(tcp, Some(tls), settings, service, signal));
        Self { address, seen, greetings, arrived, drain }
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn greetings(&self) -> usize {
        *self.greetings.lock().unwrap()
    }
}

fn record() -> CallRecord {
    let record = CallRecord::new(HeaderValue::from_static("r1"), None);
    record.principal.set(Arc::new(Principal::new("apiKey:ci"))).unwrap();
    record
}

async fn pass_on(replicas: &Replicas, home: &Arc<str>) -> Result<Response<Body>, NotAnswered> {
    let (record, mut headers) = (record(), HeaderMap::new());
    for (name, value) in [
        ("mcp-session-id", "s1"),
        ("authorization", "Bearer secret"),
        ("cookie", "a=secret"),
        ("connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("host", "gateway.example.com"),
        ("portcullis-vouched", "made up"),
    ] {
        headers.insert(http::HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let target = PathAndQuery::from_static("/messages?session=x");
    let body = Bytes::from_static(b"{}");
    let request = Passed { method: Method::POST, target, headers: &headers, body, record: &record };
    timeout(SOON, replicas.pass_on(home, request)).await.expect("it is bounded")
}

#[tokio::test]
async fn a_request_arrives_whole_without_credentials_and_its_answer_comes_back() {
    let (other, (replicas, metrics)) = (Other::start("one", Manner::Answers), replicas("one"));
    for _ in 0..2 {
        let response = pass_on(&replicas, &other.address).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (StatusCode::OK, &HeaderValue::from_static("text/event-stream"))
        );
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: 1\n\ndata: 2\n\n");
    }
    assert_eq!((other.requests(), other.greetings()), (2, 1), "over one connection");
    assert!(counted(&metrics, "answered", 2));
    let (mut head, body) = other.seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        (&head.method, &head.uri.to_string(), &*body),
        (&Method::POST, &format!("https://{}/messages?session=x", other.address), &b"{}"[..])
    );
    assert_eq!([&head.headers["mcp-session-id"], &head.headers["x-request-id"]], ["s1", "r1"]);
    assert!(head.headers.values().all(|value| !value.to_str().unwrap().contains("secret")));
    let received = CallRecord::new(HeaderValue::from_static("r2"), None);
    Vouched::take(&mut head.headers).unwrap().note(&received);
    assert_eq!(received.principal.get().unwrap().name(), "apiKey:ci");
}

#[tokio::test]
async fn what_has_no_caller_is_not_passed_on() {
    let (other, (replicas, _)) = (Other::start("one", Manner::Answers), replicas("one"));
    let record = CallRecord::new(HeaderValue::from_static("r1"), None);
    let target = PathAndQuery::from_static("/mcp");
    let headers = HeaderMap::new();
    let request = Passed { method: Method::POST, target, headers: &headers, body: Bytes::new(), record: &record };
    assert_eq!(replicas.pass_on(&other.address, request).await.unwrap_err(), NotAnswered::Unreached);
    assert_eq!(other.requests(), 0);
}

#[tokio::test]
async fn who_has_other_keys_gets_and_gives_nothing() {
    let (other, (replicas, metrics)) = (Other::start("one", Manner::Answers), replicas("two"));
    assert_eq!(pass_on(&replicas, &other.address).await.unwrap_err(), NotAnswered::Unreached);
    assert_eq!((other.requests(), other.greetings()), (0, 0));
    assert!(counted(&metrics, "unreached", 1));
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_sent_again() {
    let (other, (replicas, metrics)) = (Other::start("one", Manner::Hangs), replicas("one"));
    let (passed, ()) = tokio::join!(pass_on(&replicas, &other.address), async {
        other.arrived.notified().await;
        other.drain.start();
    });
    assert_eq!(passed.unwrap_err(), NotAnswered::Lost);
    assert!(counted(&metrics, "lost", 1));
    // Whoever comes next finds out that it is gone.
    assert_eq!(pass_on(&replicas, &other.address).await.unwrap_err(), NotAnswered::Unreached);
    assert_eq!(other.requests(), 1);
}

#[tokio::test]
async fn one_that_is_gone_is_left_alone_for_a_while_and_then_tried_again() {
    for manner in [Manner::Refuses, Manner::RefusesAll] {
        let (other, (replicas, _)) = (Other::start("one", manner), replicas("one"));
        for _ in 0..3 {
            assert_eq!(pass_on(&replicas, &other.address).await.unwrap_err(), NotAnswered::Unreached);
        }
        assert_eq!(other.greetings(), 1);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(11)).await;
        tokio::time::resume();
        assert_eq!(pass_on(&replicas, &other.address).await.unwrap_err(), NotAnswered::Unreached);
        assert_eq!(other.greetings(), 2);
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_reached_by_nobody() {
    let (replicas, _) = replicas("one");
    for home in ["", "nowhere", "127.0.0.1", "127.0.0.1:0", "a b:1", "127.0.0.1:1"] {
        assert_eq!(pass_on(&replicas, &home.into()).await.unwrap_err(), NotAnswered::Unreached, "{home}");
    }
}

#[tokio::test]
async fn a_connection_that_rested_is_replaced() {
    let (other, (replicas, _)) = (Other::start("one", Manner::Answers), replicas("one"));
    pass_on(&replicas, &other.address).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    pass_on(&replicas, &other.address).await.unwrap();
    assert_eq!((other.requests(), other.greetings()), (2, 2));
}

#[tokio::test]
async fn clients_that_go_away_take_nobody_elses_connection_along() {
    let (other, (replicas, _)) = (Other::start("one", Manner::Answers), replicas("one"));
    pass_on(&replicas, &other.address).await.unwrap();
    for _ in 0..20 {
        let leaving = (0..200).map(|_| Box::pin(pass_on(&replicas, &other.address)));
        let mut leaving: Vec<_> = leaving.collect();
        for request in &mut leaving {
            assert!(request.now_or_never().is_none());
        }
        tokio::task::yield_now().await;
    }
    pass_on(&replicas, &other.address).await.unwrap();
    assert_eq!(other.greetings(), 1, "over the same connection");
}

#[tokio::test]
async fn a_standing_stream_ends_when_it_is_told_to() {
    let (other, (replicas, _)) = (Other::start("one", Manner::Answers), replicas("one"));
    let (record, headers) = (record(), HeaderMap::new());
    let request = Passed {
        method: Method::GET,
        target: PathAndQuery::from_static("/mcp"),
        headers: &headers,
        body: Bytes::new(),
        record: &record,
    };
    let over = Arc::new(Notify::new());
    let ends = Arc::clone(&over);
    over.notify_one();
    let place = replicas.place().unwrap();
    let answer = replicas.pass_on_standing(&other.address, request, place, async move { ends.notified().await }).await;
    assert_eq!(answer.unwrap().into_body().collect().await.unwrap().to_bytes(), "");
    assert_eq!(replicas.standing.available_permits(), MAX_STANDING);
}
