//! Where an HTTP server is and how it is asked; what its answers come down to.

use std::time::Duration;

use futures_util::TryFutureExt;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use tokio::time::timeout;

use super::TransportError;
use crate::body::Body;
use crate::http_client::{Answer, Endpoint, SendError};

/// How long a server may take over what is no call.
const BRIEF_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that asks for a longer pause is asked again after this one.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// A way to one URL.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) endpoint: Endpoint,
    /// Sent with every request.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// What the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    Json,
    EventStream,
    Other,
}

// === impl Way ===

impl Way {
    /// Sends a request and waits for the head of its answer.
    pub(super) fn send(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Body,
    ) -> impl Future<Output = Result<Response<Answer>, TransportError>> + Send {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        self.endpoint.send(method, headers, body).map_err(|error| match error {
            SendError::Connect(_) => TransportError::Unreachable(cause(&error)),
            SendError::Broken(_) => TransportError::Disconnected(cause(&error)),
        })
    }

    /// Sends what is not a call; nobody waits long for its answer.
    pub(super) async fn send_briefly(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Answer>, TransportError> {
        timeout(BRIEF_TIMEOUT, self.send(method, headers, body)).await.map_err(|_| TransportError::TimedOut)?
    }
}

/// What a status that is no success means; `names_session` says whether the
/// request named one.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, names_session: bool) -> TransportError {
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

/// Reads what the body is.
pub(super) fn content_type(headers: &HeaderMap) -> ContentType {
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

/// The innermost cause, which says what happened.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
