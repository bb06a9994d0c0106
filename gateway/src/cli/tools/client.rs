//! One conversation with an MCP endpoint over Streamable HTTP, opened with the
//! `initialize` handshake that every server understands (2025-11-25, basic/lifecycle).

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::sse::EventData;
use crate::body::{Body, Gathered, TooLarge};
use crate::http_client::{Answer, Endpoint, HttpClient, SendError};
use crate::secret::Secret;

/// The revision that is asked for.
const PROTOCOL_VERSION: &str = "2025-11-25";
/// No answer that is printed is larger, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// How much of an answer that is not MCP is shown, in characters.
const MAX_QUOTED: usize = 200;
/// How long the end of a session may take: nobody needs its answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Why there is no result.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// No connection, or it broke.
    #[error("{url} cannot be reached")]
    Unreachable {
        url: Uri,
        #[source]
        source: SendError,
    },
    /// The answer broke off.
    #[error("the answer broke off")]
    BrokenOff(#[source] hyper::Error),
    /// HTTP 401.
    #[error("401: {0}")]
    Unauthorized(&'static str),
    /// HTTP 403.
    #[error("403: access is denied: the caller's address, the origin or the token's scopes are not allowed{0}")]
    Forbidden(String),
    /// HTTP 429.
    #[error("429: the rate limit is reached{0}")]
    RateLimited(String),
    /// Another HTTP error.
    #[error("the endpoint answered {status}{detail}")]
    Status { status: StatusCode, detail: String },
    /// A JSON-RPC error.
    #[error("{message} (JSON-RPC error {code})")]
    Refused { code: i64, message: String, data: Value },
    /// Something else than MCP.
    #[error("the endpoint answered with something that is not MCP: {0}")]
    Garbage(&'static str),
    /// Nothing, for too long.
    #[error("no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The key cannot be a header's value.
    #[error("the key holds characters that no header can")]
    BadKey,
}

/// A conversation.
pub(super) struct McpClient {
    endpoint: Endpoint,
    key: Option<Secret<String>>,
    session: HeaderMap,
    last_id: u64,
}

/// A JSON-RPC response, or some other message.
#[derive(Deserialize)]
struct Message {
    id: Option<Value>,
    result: Option<Value>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

// === impl McpClient ===

impl McpClient {
    /// A conversation that has not begun.
    pub(super) fn new(url: Uri, key: Option<Secret<String>>) -> Self {
        let endpoint = HttpClient::new(url.scheme_str() == Some("https")).endpoint(url);
        Self { endpoint, key, session: HeaderMap::new(), last_id: 0 }
    }

    /// Shakes hands.
    pub(super) async fn initialize(&mut self) -> Result<(), ClientError> {
        let params = json!({
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": {"name": "portcullis", "version": env!("CARGO_PKG_VERSION")},
        });
        let result = self.request("initialize", &params).await?;
        let version = result.get("protocolVersion").and_then(Value::as_str);
        let version = version.and_then(|version| HeaderValue::from_str(version).ok());
        let version = version.ok_or(ClientError::Garbage("a handshake without `protocolVersion`"))?;
        self.session.insert(VERSION, version);
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let response = self.send(Method::POST, initialized.to_string().into()).await?;
        self.accepted(response).await.map(drop)
    }

    /// Sends a request and waits for its result.
    pub(super) async fn request(&mut self, method: &str, params: &Value) -> Result<Value, ClientError> {
        self.last_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        let response = self.send(Method::POST, request.to_string().into()).await?;
        let mut response = self.accepted(response).await?;
        if let Some(session) = response.headers_mut().remove(SESSION) {
            self.session.insert(SESSION, session);
        }
        let streamed = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
        let message = if streamed {
            self.response_in(response.into_body()).await?
        } else {
            let body = read(response.into_body(), MAX_ANSWER).await?;
            serde_json::from_slice(&body).map_err(|_| ClientError::Garbage("not a JSON-RPC response"))?
        };
        match message {
            Message { error: Some(error), .. } => {
                Err(ClientError::Refused { code: error.code, message: error.message, data: error.data })
            }
            Message { result: Some(result), .. } => Ok(result),
            _ => Err(ClientError::Garbage("neither a result nor an error")),
        }
    }

    /// Ends the session, where there is one. What becomes of it is the server's business.
    pub(super) async fn close(&mut self) {
        if self.session.contains_key(SESSION) {
            let ended = self.send(Method::DELETE, Body::empty());
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, ended).await;
        }
    }

    async fn send(&self, method: Method, body: Body) -> Result<Response<Answer>, ClientError> {
        let mut headers = self.session.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(key) = &self.key {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
            let mut value = value.map_err(|_| ClientError::BadKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let sent = self.endpoint.send(method, headers, body).await;
        sent.map_err(|source| ClientError::Unreachable { url: self.endpoint.url().clone(), source })
    }

    /// Passes on what succeeded, and JSON-RPC errors that came with an HTTP error.
    async fn accepted(&self, response: Response<Answer>) -> Result<Response<Answer>, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(|seconds| format!(", try again in {seconds} s")).unwrap_or_default();
        let body = read(response.into_body(), 64 << 10).await.unwrap_or_default();
        let error = serde_json::from_slice::<Message>(&body).ok().and_then(|message| message.error);
        let detail = match &error {
            Some(error) => format!(": {}", error.message),
            None => quoted(&body),
        };
        Err(match (status, error) {
            (StatusCode::UNAUTHORIZED, _) if self.key.is_none() => {
                ClientError::Unauthorized("the endpoint wants a key: pass --key or set PORTCULLIS_KEY")
            }
            (StatusCode::UNAUTHORIZED, _) => ClientError::Unauthorized("the key is not accepted"),
            (StatusCode::FORBIDDEN, _) => ClientError::Forbidden(detail),
            (StatusCode::TOO_MANY_REQUESTS, _) => ClientError::RateLimited(retry_after),
            (_, Some(error)) => ClientError::Refused { code: error.code, message: error.message, data: error.data },
            (status, None) => ClientError::Status { status, detail },
        })
    }

    /// The response to the last request; what else is in the stream is passed over.
    async fn response_in(&self, mut body: Answer) -> Result<Message, ClientError> {
        let mut events = EventData::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(ClientError::BrokenOff)?;
            let Some(bytes) = frame.data_ref() else { continue };
            for data in events.push(bytes) {
                let message = serde_json::from_slice::<Message>(&data);
                match message {
                    Ok(message) if message.id == Some(self.last_id.into()) => return Ok(message),
                    _ => {}
                }
            }
            if events.held() > MAX_ANSWER {
                return Err(ClientError::Garbage("an event without end"));
            }
        }
        Err(ClientError::Garbage("a stream that ends without the response"))
    }
}

async fn read(mut body: Answer, most: usize) -> Result<Bytes, ClientError> {
    let too_large = |TooLarge| ClientError::Garbage("larger than anything that is printed");
    let mut gathered = Gathered::bounded(most);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(ClientError::BrokenOff)?.into_data() else { continue };
        gathered.push(data).map_err(too_large)?;
    }
    Ok(gathered.whole())
}

/// The beginning of an answer that is text.
fn quoted(body: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(body).trim().chars().filter(|c| !c.is_control()).take(MAX_QUOTED).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}
