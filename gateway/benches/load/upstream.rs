//! A fast MCP server to stand behind the proxies.
//!
//! `/legacy` wants the handshake (2025-11-25), `/modern` is stateless
//! (2026-07-28). Tools: `echo` answers with JSON, `stream` with an event
//! stream, `large` with a result of 1 MiB.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::LazyLock;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use crate::child;
use crate::message::{LEGACY, MODERN, SESSION_ID};

/// The argument that makes this program the server.
pub(crate) const ROLE: &str = "--role=upstream";
/// Where the server with handshake and the stateless one are found.
pub(crate) const LEGACY_PATH: &str = "/legacy";
pub(crate) const MODERN_PATH: &str = "/modern";
/// Bytes of text in the result of `large`.
pub(crate) const LARGE: usize = 1024 * 1024;

const SESSION: HeaderValue = HeaderValue::from_static("0123456789abcdef0123456789abcdef");
const TOOLS: [&str; 3] = ["echo", "stream", "large"];
static LARGE_TEXT: LazyLock<String> = LazyLock::new(|| format!("\"{}\"", "x".repeat(LARGE)));

type Body = BoxBody<Bytes, Infallible>;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Arguments<'a>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
}

/// What a message is answered with, and whether as an event.
enum Outcome {
    Result(String),
    Event(String),
    Error(i32),
}

/// Serves until the parent is gone.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        child::announce(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let service = service_fn(|request| async { Ok::<_, Infallible>(serve(request).await) });
                let server = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                // A client that leaves is no fault.
                let _ = server.await;
            });
        }
    })
}

async fn serve(request: Request<Incoming>) -> Response<Body> {
    let is_modern = request.uri().path() == MODERN_PATH;
    match *request.method() {
        Method::POST => {}
        Method::DELETE => return plain(StatusCode::OK),
        _ => return plain(StatusCode::METHOD_NOT_ALLOWED),
    }
    let Ok(body) = request.into_body().collect().await else { return plain(StatusCode::BAD_REQUEST) };
    let body = body.to_bytes();
    let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else { return plain(StatusCode::BAD_REQUEST) };
    let Some(id) = message.id else { return plain(StatusCode::ACCEPTED) };
    let outcome = answer(&message, is_modern);
    match outcome {
        Outcome::Event(result) => {
            event_stream(format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n\n"))
        }
        Outcome::Result(result) => {
            let mut response = json(StatusCode::OK, format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"));
            if message.method == "initialize" {
                response.headers_mut().insert(SESSION_ID, SESSION);
            }
            response
        }
        Outcome::Error(code) => {
            let status = if is_modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
            let error = format!("{{\"code\":{code},\"message\":\"not served\"}}");
            json(status, format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}"))
        }
    }
}

fn answer(message: &Message<'_>, is_modern: bool) -> Outcome {
    let kind = if is_modern { "\"resultType\":\"complete\"," } else { "" };
    let cache = if is_modern { ",\"ttlMs\":60000,\"cacheScope\":\"private\"" } else { "" };
    let server = "{\"name\":\"load\",\"version\":\"1\"}";
    match (&*message.method, is_modern) {
        ("tools/call", _) => call(message.params, kind).unwrap_or(Outcome::Error(-32602)),
        ("tools/list", _) => Outcome::Result(format!("{{{kind}\"tools\":[{}]{cache}}}", TOOLS.map(tool).join(","))),
        ("initialize", false) => Outcome::Result(format!(
            "{{\"protocolVersion\":\"{LEGACY}\",\"capabilities\":{{\"tools\":{{}}}},\"serverInfo\":{server}}}"
        )),
        ("server/discover", true) => Outcome::Result(format!(
            "{{{kind}\"supportedVersions\":[\"{MODERN}\"],\"capabilities\":{{\"tools\":{{}}}},\
             \"_meta\":{{\"io.modelcontextprotocol/serverInfo\":{server}}}{cache}}}"
        )),
        ("ping", false) => Outcome::Result("{}".to_owned()),
        _ => Outcome::Error(-32601),
    }
}

fn call(params: Option<&RawValue>, kind: &str) -> Option<Outcome> {
    let call: Call<'_> = serde_json::from_str(params?.get()).ok()?;
    let text = if call.name == "large" { LARGE_TEXT.as_str() } else { call.arguments.message.get() };
    let result = format!("{{{kind}\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"isError\":false}}");
    match &*call.name {
        "echo" | "large" => Some(Outcome::Result(result)),
        "stream" => Some(Outcome::Event(result)),
        _ => None,
    }
}

fn tool(name: &str) -> String {
    format!(
        "{{\"name\":\"{name}\",\"description\":\"Answers.\",\"inputSchema\":{{\"type\":\"object\",\
         \"properties\":{{\"message\":{{\"type\":\"string\"}}}},\"required\":[\"message\"]}}}}"
    )
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    typed(status, HeaderValue::from_static("application/json"), Full::from(body).boxed())
}

/// Its length is not known beforehand, so it goes out in chunks.
fn event_stream(event: String) -> Response<Body> {
    let frames = stream::iter([Ok(Frame::data(Bytes::from(event)))]);
    typed(StatusCode::OK, HeaderValue::from_static("text/event-stream"), StreamBody::new(frames).boxed())
}

fn plain(status: StatusCode) -> Response<Body> {
    typed(status, HeaderValue::from_static("text/plain"), Full::default().boxed())
}

fn typed(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
