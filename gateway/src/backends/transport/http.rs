//! Streamable HTTP (MCP 2025-03-26 and later): one POST a message, answered
//! with JSON or an event stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use super::{Messages, Outgoing, Reply, ServerEvent, Transport, TransportError};
use crate::backends::settings::HttpSettings;
use crate::body::Body;
use crate::http_client::HttpClient;
use crate::mcp::{mirror, sse};

/// A whole answer may not be larger; it is held until it is complete, so that
/// an upstream that dies midway becomes a clean error.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Connections, once made, are pooled; the number never changes.
const CONNECTION: u64 = 0;
/// How long a server may take over a notification.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPTED_TYPES: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: &str = "text/event-stream";

/// A server's MCP endpoint.
#[derive(Debug)]
pub struct HttpTransport {
    settings: HttpSettings,
    client: HttpClient,
    events: broadcast::Sender<ServerEvent>,
}

// === impl HttpTransport ===

impl HttpTransport {
    /// A transport to the endpoint; connects when something is sent.
    #[must_use]
    pub fn new(settings: HttpSettings, client: HttpClient) -> Arc<Self> {
        let (events, _) = broadcast::channel(1);
        Arc::new(Self { settings, client, events })
    }

    async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Body,
        deadline: Instant,
    ) -> Result<Response<Incoming>, TransportError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.settings.url.clone();
        *request.headers_mut() = headers;
        for (name, value) in &self.settings.headers {
            request.headers_mut().insert(name, value.clone());
        }
        match timeout_at(deadline, self.client.request(request)).await {
            Err(_) => Err(TransportError::TimedOut),
            Ok(Err(error)) if error.is_connect() => Err(TransportError::Unreachable(cause(&error))),
            Ok(Err(error)) => Err(TransportError::Disconnected(cause(&error))),
            Ok(Ok(response)) => Ok(response),
        }
    }
}

impl Transport for HttpTransport {
    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>> {
        Box::pin(std::future::ready(Ok(CONNECTION)))
    }

    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            let Outgoing { body, mut headers, deadline, .. } = outgoing;
            let names_session = headers.contains_key(mirror::SESSION_ID);
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            let response = self.send(Method::POST, headers, Body::from(body), deadline).await?;
            read_reply(response, names_session, deadline).await
        })
    }

    fn notify(&self, body: Bytes, mut headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            let response = self.send(Method::POST, headers, Body::from(body), Instant::now() + NOTIFY_TIMEOUT).await?;
            match response.status() {
                status if status.is_success() => Ok(()),
                status => Err(refusal(status, response.headers(), false)),
            }
        })
    }

    fn listen(&self, mut headers: HeaderMap) -> BoxFuture<'_, Result<Messages, TransportError>> {
        Box::pin(async move {
            headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
            let response = self.send(Method::GET, headers, Body::empty(), Instant::now() + NOTIFY_TIMEOUT).await?;
            if response.status() == StatusCode::OK && is_type(response.headers(), EVENT_STREAM) {
                Ok(messages(response.into_body()))
            } else {
                Err(refusal(response.status(), response.headers(), false))
            }
        })
    }

    fn end_session(&self, mut headers: HeaderMap) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            // A server that does not let sessions be ended (405), or is gone,
            // forgets them by itself.
            let _ = self.send(Method::DELETE, headers, Body::empty(), Instant::now() + NOTIFY_TIMEOUT).await;
        })
    }

    fn events(&self) -> broadcast::Receiver<ServerEvent> {
        self.events.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

async fn read_reply(
    response: Response<Incoming>,
    names_session: bool,
    deadline: Instant,
) -> Result<Reply, TransportError> {
    let status = response.status();
    let is_json = is_type(response.headers(), "application/json");
    if status == StatusCode::OK && is_type(response.headers(), EVENT_STREAM) {
        let session = response.headers().get(mirror::SESSION_ID).cloned();
        return Ok(Reply::Stream { messages: messages(response.into_body()), session });
    }
    if !status.is_success() {
        let refusal = refusal(status, response.headers(), names_session);
        // Other statuses may carry a JSON-RPC error, which says more.
        if !matches!(refusal, TransportError::Status(_)) || !is_json {
            return Err(refusal);
        }
        let message = timeout_at(deadline, collect(response.into_body())).await;
        return match message {
            Ok(Ok(message)) if message.starts_with(b"{") => Ok(Reply::Message { message, session: None }),
            _ => Err(refusal),
        };
    }
    if !is_json {
        return Err(TransportError::Garbage(format!("HTTP {} without JSON or an event stream", status.as_u16())));
    }
    let session = response.headers().get(mirror::SESSION_ID).cloned();
    let message = timeout_at(deadline, collect(response.into_body())).await.map_err(|_| TransportError::TimedOut)??;
    Ok(Reply::Message { message, session })
}

fn refusal(status: StatusCode, headers: &HeaderMap, names_session: bool) -> TransportError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => TransportError::Refused(status.as_u16()),
        StatusCode::NOT_FOUND if names_session => TransportError::SessionLost,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            TransportError::Busy { retry_after: retry_after(headers) }
        }
        _ => TransportError::Status(status.as_u16()),
    }
}

/// `Retry-After` in seconds; dates are for browsers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}

/// Reads a whole body. One that came in a single frame is not copied.
async fn collect(mut body: Incoming) -> Result<Bytes, TransportError> {
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| TransportError::Disconnected(cause(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let held = rest.as_ref().map_or(first.len(), BytesMut::len);
        if held + data.len() > MAX_ANSWER_BYTES {
            return Err(TransportError::Garbage(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes")));
        }
        if held == 0 {
            first = data;
        } else {
            rest.get_or_insert_with(|| BytesMut::from(first.as_ref())).extend_from_slice(&data);
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

/// The messages of an event stream. Its end is an error: what closes a stream
/// is the response, which the reader has then seen.
fn messages(body: Incoming) -> Messages {
    Box::pin(futures_util::stream::unfold(
        (body, sse::Decoder::default(), false),
        |(mut body, mut decoder, ended)| async move {
            if ended {
                return None;
            }
            loop {
                if let Some(data) = decoder.next_event() {
                    return Some((Ok(data), (body, decoder, false)));
                }
                let failure = match body.frame().await {
                    None => TransportError::Disconnected("the stream ended before the response".to_owned()),
                    Some(Err(error)) => TransportError::Disconnected(cause(&error)),
                    Some(Ok(frame)) => match frame.into_data().map(|data| decoder.push(&data)) {
                        Ok(Err(error)) => TransportError::Garbage(error.to_string()),
                        Ok(Ok(())) | Err(_) => continue,
                    },
                };
                return Some((Err(failure), (body, decoder, true)));
            }
        },
    ))
}

/// The innermost cause, which says what happened.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
