//! Streamable HTTP (MCP 2025-03-26 and later): one POST a message, answered
//! with JSON or an event stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::broadcast;
use tokio::time::{timeout, timeout_at};

use super::{Messages, Outgoing, Reply, ServerEvent, Transport, TransportError};
use crate::backends::settings::HttpSettings;
use crate::body::{Body, Gathered, TooLarge};
use crate::http_client::{Answer, Endpoint, HttpClient, SendError};
use crate::mcp::{mirror, sse};

/// A whole answer may not be larger; it is held until it is complete, so that
/// an upstream that dies midway becomes a clean error.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Connections, once made, are pooled; the number never changes.
const CONNECTION: u64 = 0;
/// How long a server may take over a notification.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that asks for a longer pause is asked again after this one.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
const ACCEPTED_TYPES: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// A server's MCP endpoint.
#[derive(Debug)]
pub struct HttpTransport {
    endpoint: Endpoint,
    /// Sent with every request.
    headers: Vec<(HeaderName, HeaderValue)>,
    events: broadcast::Sender<ServerEvent>,
}

/// What the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentType {
    Json,
    EventStream,
    Other,
}

// === impl HttpTransport ===

impl HttpTransport {
    /// A transport to the endpoint; connects when something is sent.
    #[must_use]
    pub fn new(settings: HttpSettings, client: &HttpClient) -> Arc<Self> {
        let (events, _) = broadcast::channel(1);
        Arc::new(Self { endpoint: client.endpoint(settings.url), headers: settings.headers, events })
    }

    async fn send(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Answer>, TransportError> {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        self.endpoint.send(method, headers, body).await.map_err(|error| match error {
            SendError::Connect(_) => TransportError::Unreachable(cause(&error)),
            SendError::Broken(_) => TransportError::Disconnected(cause(&error)),
        })
    }

    /// Sends what is not a call; nobody waits long for its answer.
    async fn send_briefly(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Answer>, TransportError> {
        timeout(NOTIFY_TIMEOUT, self.send(method, headers, body)).await.map_err(|_| TransportError::TimedOut)?
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
            let exchange = async {
                // Requests that came together are sent on together: a server
                // that sleeps is woken once for all of them instead of once
                // for each, which costs more than all the rest we do.
                tokio::task::yield_now().await;
                let response = self.send(Method::POST, headers, Body::from(body)).await?;
                read_reply(response, names_session).await
            };
            timeout_at(deadline, exchange).await.map_err(|_| TransportError::TimedOut)?
        })
    }

    fn notify(&self, body: Bytes, mut headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            let response = self.send_briefly(Method::POST, headers, Body::from(body)).await?;
            match response.status() {
                status if status.is_success() => Ok(()),
                status => Err(refusal(status, response.headers(), false)),
            }
        })
    }

    fn listen(&self, mut headers: HeaderMap) -> BoxFuture<'_, Result<Messages, TransportError>> {
        Box::pin(async move {
            let names_session = headers.contains_key(mirror::SESSION_ID);
            headers.insert(ACCEPT, EVENT_STREAM);
            let response = self.send_briefly(Method::GET, headers, Body::empty()).await?;
            if response.status() == StatusCode::OK && content_type(response.headers()) == ContentType::EventStream {
                Ok(messages(response.into_body()))
            } else {
                Err(refusal(response.status(), response.headers(), names_session))
            }
        })
    }

    fn end_session(&self, mut headers: HeaderMap) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            // A server that does not let sessions be ended (405), or is gone,
            // forgets them by itself.
            let _ = self.send_briefly(Method::DELETE, headers, Body::empty()).await;
        })
    }

    fn events(&self) -> broadcast::Receiver<ServerEvent> {
        self.events.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

async fn read_reply(response: Response<Answer>, names_session: bool) -> Result<Reply, TransportError> {
    let status = response.status();
    if !status.is_success() {
        return read_refusal(response, names_session).await;
    }
    let session = response.headers().get(mirror::SESSION_ID).cloned();
    match content_type(response.headers()) {
        ContentType::Json => Ok(Reply::Message { message: collect(response).await?, session }),
        ContentType::EventStream => Ok(Reply::Stream { messages: messages(response.into_body()), session }),
        ContentType::Other => {
            Err(TransportError::Garbage(format!("HTTP {} without JSON or an event stream", status.as_u16())))
        }
    }
}

/// Reads an answer that is no success. It may carry a JSON-RPC error, which
/// says more than the status.
async fn read_refusal(response: Response<Answer>, names_session: bool) -> Result<Reply, TransportError> {
    let refusal = refusal(response.status(), response.headers(), names_session);
    let TransportError::Status(status) = refusal else { return Err(refusal) };
    if content_type(response.headers()) == ContentType::Json
        && let Ok(message) = collect(response).await
        && message.trim_ascii_start().starts_with(b"{")
    {
        return Ok(Reply::Refusal { status, message });
    }
    // Some servers know no better way to say that a session is gone.
    let lost = names_session && status == StatusCode::BAD_REQUEST.as_u16();
    Err(if lost { TransportError::SessionLost } else { refusal })
}

fn refusal(status: StatusCode, headers: &HeaderMap, names_session: bool) -> TransportError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => TransportError::Refused(status.as_u16()),
        StatusCode::NOT_FOUND if names_session => TransportError::SessionLost,
        StatusCode::TOO_MANY_REQUESTS => TransportError::Busy { retry_after: retry_after(headers) },
        StatusCode::SERVICE_UNAVAILABLE if headers.contains_key(RETRY_AFTER) => {
            TransportError::Busy { retry_after: retry_after(headers) }
        }
        _ => TransportError::Status(status.as_u16()),
    }
}

/// `Retry-After` in seconds; dates are for browsers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let asked = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)?;
    Some(asked.min(MAX_RETRY_AFTER))
}

fn content_type(headers: &HeaderMap) -> ContentType {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        ContentType::Json
    } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
        ContentType::EventStream
    } else {
        ContentType::Other
    }
}

/// Reads a whole body. One that came in a single frame is not copied.
async fn collect(response: Response<Answer>) -> Result<Bytes, TransportError> {
    let mut body = response.into_body();
    let too_large = || TransportError::Garbage(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes"));
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_ANSWER_BYTES {
        return Err(too_large());
    }
    let mut gathered = Gathered::bounded(MAX_ANSWER_BYTES).expecting(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| TransportError::Disconnected(cause(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        gathered.push(data).map_err(|TooLarge| too_large())?;
    }
    Ok(gathered.whole())
}

/// The messages of an event stream. Its end is an error: what closes a stream
/// is the response, which the reader has then seen.
fn messages(body: Answer) -> Messages {
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

#[cfg(test)]
mod tests;
