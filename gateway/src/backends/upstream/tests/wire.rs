//! The whole way over a socket: an HTTP server that answers with streams.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::backends::settings::HttpSettings;
use crate::backends::transport::http::HttpTransport;
use crate::body::Body;
use crate::http_client::HttpClient;

/// What the server does after the response of a call: ends the stream when
/// this receives.
type Ends = mpsc::UnboundedReceiver<()>;

async fn answer(request: Request<Incoming>, ends: Arc<tokio::sync::Mutex<Ends>>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let message: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default();
    // What a stateless request repeats in its headers fits its body.
    assert_eq!(head.headers.get("mcp-method").map(|value| value.to_str().unwrap()), Some(method));
    let result = match method {
        "server/discover" => r#"{"resultType":"complete","supportedVersions":["2026-07-28"]}"#,
        "tools/list" => r#"{"resultType":"complete","tools":[{"name":"find"}],"ttlMs":60000}"#,
        "tools/call" => r#"{"resultType":"complete","content":[]}"#,
        _ => return Response::builder().status(404).body(Body::empty()).unwrap(),
    };
    let event = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}\n\n", message["id"]);
    let is_call = method == "tools/call";
    let frames = futures_util::stream::unfold((Some(event), ends), move |(event, ends)| async move {
        match event {
            Some(event) => Some((Ok(Frame::data(Bytes::from(event))), (None, ends))),
            None => {
                if is_call {
                    ends.lock().await.recv().await;
                }
                None
            }
        }
    });
    let body = Body::arriving(StreamBody::new(Box::pin(frames)));
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

#[tokio::test]
async fn a_stream_that_ends_after_its_response_leaves_its_connection_for_the_next_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let (end, ends) = mpsc::unbounded_channel();
    let (accepted, ends) = (Arc::clone(&connections), Arc::new(tokio::sync::Mutex::new(ends)));
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            accepted.fetch_add(1, Ordering::SeqCst);
            let ends = Arc::clone(&ends);
            let service = service_fn(move |request| {
                let ends = Arc::clone(&ends);
                async move { Ok::<_, Infallible>(answer(request, ends).await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let transport = HttpTransport::new(HttpSettings { url, headers: Vec::new() }, &HttpClient::new(false));
    let fixture = Fixture::over(transport);
    for _ in 0..20 {
        let heard = fixture.hear(of_modern_client()).await;
        assert_eq!(heard, [r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#]);
        end.send(()).unwrap();
        settle().await;
    }
    // Were none used again, each call would have its own.
    assert!(connections.load(Ordering::SeqCst) < 20, "{connections:?}");
    serving.abort();
}
