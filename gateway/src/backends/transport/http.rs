//! Streamable HTTP (MCP 2025-03-26 and later): one POST a message, answered
//! with JSON or an event stream.

mod events;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout_at;

use self::events::{Origin, begun, messages};
use super::way::{ContentType, EVENT_STREAM, JSON, Way, cause, content_type, refusal};
use super::{Footing, Messages, Outgoing, Reply, Transport, TransportError};
use crate::backends::settings::HttpSettings;
use crate::body::{Body, Gathered, TooLarge};
use crate::http_client::{Answer, HttpClient};
use crate::mcp::answer::UpstreamMessage;
use crate::mcp::mirror;

/// A whole answer may not be larger; it is held until it is complete, so that
/// an upstream that dies midway becomes a clean error.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Connections, once made, are pooled; the number never changes.
pub(super) const CONNECTION: u64 = 0;
const ACCEPTED_TYPES: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// A server's MCP endpoint.
#[derive(Debug)]
pub struct HttpTransport(Arc<Way>);

// === impl HttpTransport ===

impl HttpTransport {
    /// A transport to the endpoint; connects when something is sent.
    #[must_use]
    pub fn new(settings: HttpSettings, client: &HttpClient) -> Arc<Self> {
        Arc::new(Self(Arc::new(Way { endpoint: client.endpoint(settings.url), headers: settings.headers })))
    }
}

impl Transport for HttpTransport {
    fn connect(&self) -> BoxFuture<'_, Result<u64, TransportError>> {
        Box::pin(std::future::ready(Ok(CONNECTION)))
    }

    fn request(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            let Outgoing { body, mut headers, footing, deadline, .. } = outgoing;
            let origin = Origin { way: Arc::clone(&self.0), footing, answers: true };
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            let exchange = async {
                // Requests that came together are sent on together: a server
                // that sleeps is woken once for all of them instead of once
                // for each, which costs more than all the rest we do.
                tokio::task::yield_now().await;
                let response = self.0.send(Method::POST, headers, Body::from(body)).await?;
                read_reply(response, origin).await
            };
            timeout_at(deadline, exchange).await.map_err(|_| TransportError::TimedOut)?
        })
    }

    fn notify(&self, body: Bytes, mut headers: HeaderMap) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            let response = self.0.send_briefly(Method::POST, headers, Body::from(body)).await?;
            match response.status() {
                status if status.is_success() => Ok(()),
                status => Err(refusal(status, response.headers(), false)),
            }
        })
    }

    fn listen(&self, mut headers: HeaderMap) -> BoxFuture<'_, Result<Messages, TransportError>> {
        Box::pin(async move {
            let origin = Origin { way: Arc::clone(&self.0), footing: Arc::new(Footing::of(&headers)), answers: false };
            headers.insert(ACCEPT, EVENT_STREAM);
            let response = self.0.send_briefly(Method::GET, headers, Body::empty()).await?;
            if response.status() == StatusCode::OK && content_type(response.headers()) == ContentType::EventStream {
                Ok(messages(response.into_body(), origin))
            } else {
                Err(refusal(response.status(), response.headers(), origin.footing.session.is_some()))
            }
        })
    }

    fn end_session(&self, mut headers: HeaderMap) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            headers.insert(ACCEPT, ACCEPTED_TYPES);
            // A server that does not let sessions be ended (405), or is gone,
            // forgets them by itself.
            let _ = self.0.send_briefly(Method::DELETE, headers, Body::empty()).await;
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

async fn read_reply(response: Response<Answer>, mut origin: Origin) -> Result<Reply, TransportError> {
    let status = response.status();
    if !status.is_success() {
        // Large, and seldom needed.
        return Box::pin(read_refusal(response, origin.footing.session.is_some())).await;
    }
    let session = response.headers().get(mirror::SESSION_ID).cloned();
    match content_type(response.headers()) {
        ContentType::Json => Ok(Reply::Message { message: collect(response).await?, session }),
        ContentType::EventStream => {
            if session.is_some() {
                Arc::make_mut(&mut origin.footing).session.clone_from(&session);
            }
            // Not across an await: every request would have room for it.
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            let (first, messages) = begun(response.into_body(), origin, &mut Context::from_waker(&waker));
            Ok(Reply::Stream { first, messages, session })
        }
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
        && UpstreamMessage::scan(message.clone()).is_ok()
    {
        return Ok(Reply::Refusal { status, message });
    }
    // Some servers know no better way to say that a session is gone.
    let lost = names_session && status == StatusCode::BAD_REQUEST.as_u16();
    Err(if lost { TransportError::SessionLost } else { refusal })
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

#[cfg(test)]
mod tests;
