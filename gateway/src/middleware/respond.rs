//! Turns every refusal into HTTP and JSON-RPC: the one place that knows which
//! status and code a [`Rejection`] has, and what may be said outside.
//! `outside` has the table.
//!
//! Stands right inside `observe`, so that whatever refuses further in is
//! answered and recorded alike.

mod openai;
mod outside;
mod public_url;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use serde_json::json;
use tower_layer::Layer;
use tower_service::Service;

pub use self::openai::{refuse_openai, stream_error};
pub use self::public_url::{Addressed, PublicUrl};

use self::outside::{Outside, outside, whole_seconds};
use crate::body::Body;
use crate::door::Door;
use crate::mcp::json::push_string;
use crate::mcp::version::Era;
use crate::rejection::Rejection;

/// The JSON-RPC message of a refusal; `id` is JSON.
#[must_use]
pub fn message(rejection: &Rejection, id: &str, era: Era) -> Bytes {
    match tool_error(rejection, id, era) {
        Some(result) => result,
        None => error(&outside(rejection, era), Some(id)),
    }
}

/// A JSON-RPC error. Where the id could not be read it is left out: `null` is
/// no `RequestId` (MCP 2025-11-25, `JSONRPCErrorResponse`).
fn error(outside: &Outside, id: Option<&str>) -> Bytes {
    let mut text = String::with_capacity(128);
    text.push_str(r#"{"jsonrpc":"2.0","#);
    if let Some(id) = id {
        let _ = write!(text, r#""id":{id},"#);
    }
    let _ = write!(text, r#""error":{{"code":{},"message":"#, outside.code.unwrap_or(-32603));
    push_string(&mut text, &outside.message);
    if let Some(data) = &outside.data {
        let _ = write!(text, r#","data":{data}"#);
    }
    text.push_str("}}");
    text.into()
}

/// A tool result that says what went wrong, for what a model can mend.
fn tool_error(rejection: &Rejection, id: &str, era: Era) -> Option<Bytes> {
    if !matches!(
        rejection,
        Rejection::BadArguments { .. }
            | Rejection::CannotBridge { of_tool: true, .. }
            | Rejection::PromptTooLong { .. }
            | Rejection::ModelFailed
    ) {
        return None;
    }
    let detail = outside(rejection, era).message;
    let mut text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"#);
    push_string(&mut text, &detail);
    text.push_str(r#"}],"isError":true"#);
    if era == Era::Modern {
        text.push_str(r#","resultType":"complete""#);
    }
    text.push_str("}}");
    Some(text.into())
}

/// The whole answer to a refused request, `id` where it is known.
#[must_use]
pub fn refuse(rejection: &Rejection, id: Option<&str>, era: Era) -> Response<Body> {
    let outside = outside(rejection, era);
    let body = match outside.code {
        Some(_) => {
            let result = id.and_then(|id| tool_error(rejection, id, era));
            result.unwrap_or_else(|| error(&outside, id))
        }
        None => plain(rejection, &outside.message),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = outside.status;
    decorate(&mut response, rejection, &outside);
    response
}

/// The same in the REST flavour.
#[must_use]
pub fn refuse_rest(rejection: &Rejection) -> Response<Body> {
    let outside = outside(rejection, Era::Legacy);
    let body = json!({"success": false, "result": null, "error": outside.message});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = outside.status;
    decorate(&mut response, rejection, &outside);
    response
}

fn plain(rejection: &Rejection, message: &str) -> Bytes {
    json!({"error": oauth_error(rejection).unwrap_or("refused"), "error_description": message}).to_string().into()
}

fn decorate(response: &mut Response<Body>, rejection: &Rejection, outside: &Outside) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = outside.retry_after {
        headers.insert(RETRY_AFTER, whole_seconds(after).into());
    }
    if let Rejection::MethodNotAllowed { allow } = rejection {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
}

/// The error codes of RFC 6750 §3.1.
const fn oauth_error(rejection: &Rejection) -> Option<&'static str> {
    match rejection {
        Rejection::NoCredential => Some("unauthorized"),
        Rejection::BadCredential { .. } => Some("invalid_token"),
        Rejection::ScopeMissing { .. } => Some("insufficient_scope"),
        _ => None,
    }
}

/// `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1), for refusals that a
/// credential would mend. `scopes` are those every token needs.
fn challenge(rejection: &Rejection, scopes: &[String], metadata_url: &str) -> Option<HeaderValue> {
    let mut text = String::from("Bearer ");
    let scopes = match rejection {
        Rejection::NoCredential => scopes,
        Rejection::BadCredential { detail } => {
            let _ = write!(text, r#"error="invalid_token", error_description="{detail}", "#);
            scopes
        }
        Rejection::ScopeMissing { required } => {
            text.push_str(r#"error="insufficient_scope", "#);
            required
        }
        _ => return None,
    };
    if !scopes.is_empty() {
        let _ = write!(text, r#"scope="{}", "#, scopes.join(" "));
    }
    let _ = write!(text, r#"resource_metadata="{metadata_url}""#);
    HeaderValue::from_str(&text).ok()
}

/// What a challenge says of us.
#[derive(Debug, Default)]
struct Facts {
    public_url: PublicUrl,
    scopes: Arc<[String]>,
}

/// Answers refusals.
#[derive(Clone, Debug, Default)]
pub struct RespondLayer {
    facts: Arc<Facts>,
}

/// See [`RespondLayer`].
#[derive(Clone, Debug)]
pub struct Respond<S> {
    facts: Arc<Facts>,
    inner: S,
}

// === impl RespondLayer ===

impl RespondLayer {
    /// A layer for a gateway at this URL, where every token needs `scopes`.
    #[must_use]
    pub fn new(public_url: PublicUrl, scopes: Arc<[String]>) -> Self {
        Self { facts: Arc::new(Facts { public_url, scopes }) }
    }
}

impl<S> Layer<S> for RespondLayer {
    type Service = Respond<S>;

    fn layer(&self, inner: S) -> Respond<S> {
        Respond { facts: Arc::clone(&self.facts), inner }
    }
}

// === impl Respond ===

impl<S, B> Service<Request<B>> for Respond<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RespondFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // What is not ready refuses when it is called.
        let _ = self.inner.poll_ready(cx);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        RespondFuture {
            addressed: Addressed::of(&request),
            door: request.extensions().get::<Door>().cloned(),
            facts: Arc::clone(&self.facts),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of [`Respond`].
    #[derive(Debug)]
    pub struct RespondFuture<F> {
        addressed: Addressed,
        door: Option<Door>,
        facts: Arc<Facts>,
        #[pin]
        inner: F,
    }
}

impl<F: Future<Output = Result<Response<Body>, Rejection>>> Future for RespondFuture<F> {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let rejection = match ready!(this.inner.poll(cx)) {
            Ok(response) => return Poll::Ready(Ok(response)),
            Err(rejection) => rejection,
        };
        let mut response = match &*this.door {
            Some(Door::RestTools | Door::RestInvoke) => refuse_rest(&rejection),
            Some(door) if door.is_openai() => refuse_openai(&rejection),
            _ => refuse(&rejection, None, Era::Legacy),
        };
        let path = match this.door {
            Some(Door::Server(name)) => Cow::Owned(format!("/servers/{name}/mcp")),
            _ => Cow::Borrowed("/mcp"),
        };
        let base = this.facts.public_url.or(this.addressed);
        let url = format!("{base}/.well-known/oauth-protected-resource{path}");
        if let Some(challenge) = challenge(&rejection, &this.facts.scopes, &url) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests;
