//! The status, code and message of each refusal.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::mcp::version::{Era, Version};
use crate::rejection::Rejection;

/// When a model that is being loaded is worth another try.
const LOADING_RETRY: Duration = Duration::from_secs(5);

/// How a refusal looks from outside.
pub(super) struct Outside {
    pub(super) status: StatusCode,
    pub(super) code: Option<i64>,
    pub(super) message: Cow<'static, str>,
    pub(super) data: Option<Value>,
    pub(super) retry_after: Option<Duration>,
}

/// The status, code and message of a refusal.
pub(super) fn outside(rejection: &Rejection, era: Era) -> Outside {
    let modern = era == Era::Modern;
    match rejection {
        Rejection::NoCredential => Outside::http(StatusCode::UNAUTHORIZED, "send an API key or a bearer token"),
        Rejection::BadCredential { detail } => Outside::http(StatusCode::UNAUTHORIZED, *detail),
        Rejection::ScopeMissing { required } => {
            Outside::http(StatusCode::FORBIDDEN, format!("the token must have these scopes: {}", required.join(" ")))
        }
        Rejection::AddressNotAllowed => {
            Outside::http(StatusCode::FORBIDDEN, "this address is not allowed: ask the gateway's operator to allow it")
        }
        Rejection::OriginNotAllowed => {
            Outside::http(StatusCode::FORBIDDEN, "this origin is not allowed: ask the gateway's operator to allow it")
        }
        Rejection::HostNotAllowed => {
            Outside::http(StatusCode::FORBIDDEN, "the gateway is on loopback: call it by 127.0.0.1, [::1] or localhost")
        }
        Rejection::NoSuchPath => Outside::http(StatusCode::NOT_FOUND, "no such path: MCP is served at /mcp"),
        Rejection::MethodNotAllowed { .. } => {
            Outside::http(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        }
        Rejection::UnsupportedMediaType => {
            Outside::rpc(StatusCode::UNSUPPORTED_MEDIA_TYPE, -32600, "Content-Type must be application/json")
        }
        Rejection::NotAcceptable => {
            Outside::rpc(StatusCode::NOT_ACCEPTABLE, -32600, "Accept must allow application/json or text/event-stream")
        }
        Rejection::BodyTooLarge { max_bytes } => {
            Outside::http(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have at most {max_bytes} bytes"))
        }
        Rejection::BodyTooSlow => Outside::http(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Rejection::BodyIncomplete => Outside::http(StatusCode::BAD_REQUEST, "the body broke off"),
        Rejection::Overloaded => {
            Outside::rpc(StatusCode::SERVICE_UNAVAILABLE, -31503, "too many requests are running; try again")
                .after(Duration::from_secs(1))
        }
        Rejection::Draining => {
            Outside::rpc(StatusCode::SERVICE_UNAVAILABLE, -31503, "the gateway is shutting down; try again")
                .after(Duration::from_secs(1))
        }
        Rejection::TimedOut => Outside::rpc(StatusCode::GATEWAY_TIMEOUT, -31504, "the request took too long"),
        Rejection::NotJson { detail } => Outside::rpc(StatusCode::BAD_REQUEST, -32700, detail.clone()),
        Rejection::InvalidRequest { detail } => Outside::rpc(StatusCode::BAD_REQUEST, -32600, *detail),
        Rejection::UnknownMethod => {
            Outside::rpc(if modern { StatusCode::NOT_FOUND } else { StatusCode::OK }, -32601, "unknown method")
        }
        Rejection::MalformedMeta { detail } => Outside::rpc(StatusCode::BAD_REQUEST, -32602, *detail),
        Rejection::InvalidParams { detail } => Outside::rpc(StatusCode::OK, -32602, detail.clone()),
        Rejection::UnknownTool { tool } => {
            let tool: String = tool.chars().take(128).collect();
            Outside::rpc(StatusCode::OK, -32602, format!("unknown tool: {tool}"))
        }
        Rejection::UnknownEvent { detail } => Outside::rpc(StatusCode::BAD_REQUEST, -32602, *detail),
        Rejection::UnknownTask => Outside::rpc(StatusCode::OK, -32602, "unknown task"),
        Rejection::UnknownPrompt { prompt } => {
            let prompt: String = prompt.chars().take(128).collect();
            Outside::rpc(StatusCode::OK, -32602, format!("unknown prompt: {prompt}"))
        }
        // Earlier revisions have a code of its own for it (MCP 2025-11-25,
        // "Resources", error handling).
        Rejection::UnknownResource { uri } => {
            let uri: String = uri.chars().take(1024).collect();
            Outside::rpc(StatusCode::OK, if modern { -32602 } else { -32002 }, "resource not found")
                .with(json!({"uri": uri}))
        }
        // Answered as a result, so that a model reads it and corrects itself.
        Rejection::BadArguments { detail } => Outside::rpc(StatusCode::OK, -32602, detail.clone()),
        Rejection::ParkedCallLost => Outside::rpc(
            StatusCode::OK,
            -32603,
            "the call that waited for this input has ended and may have been carried out in part",
        ),
        Rejection::ReplicaLost => Outside::rpc(
            StatusCode::OK,
            -31502,
            "what served this session went away before its answer was complete; the call may have been carried out",
        ),
        Rejection::Misdirected => Outside::http(StatusCode::MISDIRECTED_REQUEST, "not at this replica"),
        Rejection::MissingCapability { required } => Outside::rpc(
            StatusCode::BAD_REQUEST,
            -32021,
            "the request needs a capability that the client did not declare",
        )
        .with(json!({"requiredCapabilities": required})),
        Rejection::CannotBridge { detail, .. } => Outside::rpc(StatusCode::OK, -32603, *detail),
        Rejection::UnknownSession => Outside::rpc(StatusCode::NOT_FOUND, -31404, "unknown session: initialize again"),
        Rejection::UnsupportedVersion { requested } => {
            Outside::rpc(StatusCode::BAD_REQUEST, -32022, "this protocol version is not supported")
                .with(json!({"supported": versions(), "requested": requested}))
        }
        Rejection::HeaderMismatch { detail } => Outside::rpc(StatusCode::BAD_REQUEST, -32020, detail.clone()),
        Rejection::BadVersionHeader => {
            let message = format!("MCP-Protocol-Version names none of {}", versions().join(", "));
            Outside::rpc(StatusCode::BAD_REQUEST, -32600, message)
        }
        Rejection::RateLimited { retry_after } => {
            Outside::rpc(StatusCode::TOO_MANY_REQUESTS, -31429, "rate limit exceeded; try again later")
                .after(*retry_after)
                .with(json!({"retryAfterSeconds": whole_seconds(*retry_after)}))
        }
        Rejection::Upstream(failure) => {
            Outside::rpc(StatusCode::OK, -31502, format!("upstream {} {}", failure.upstream, failure.kind.message()))
                .with(json!({
                    "upstream": &*failure.upstream,
                    "retryAfterSeconds": whole_seconds(failure.retry_after),
                }))
        }
        Rejection::ModelBusy { retry_after } => {
            Outside::rpc(StatusCode::SERVICE_UNAVAILABLE, -31503, "the model is busy; try again later")
                .after(*retry_after)
                .with(json!({"retryAfterSeconds": whole_seconds(*retry_after)}))
        }
        Rejection::ModelLoading => {
            Outside::rpc(StatusCode::SERVICE_UNAVAILABLE, -31503, "the model is being loaded; try again later")
                .after(LOADING_RETRY)
                .with(json!({"retryAfterSeconds": whole_seconds(LOADING_RETRY)}))
        }
        Rejection::ModelUnavailable => Outside::rpc(
            StatusCode::SERVICE_UNAVAILABLE,
            -31503,
            "the model could not be loaded; tell the gateway's operator",
        ),
        // Answered as results, too.
        Rejection::ModelFailed => Outside::rpc(StatusCode::OK, -32603, "the model failed; try again"),
        Rejection::PromptTooLong { prompt_tokens, context_length } => Outside::rpc(
            StatusCode::OK,
            -32602,
            format!(
                "argument `messages`: the conversation has {prompt_tokens} tokens, and with its answer it may have \
                 {context_length}: shorten it"
            ),
        ),
        Rejection::BadParameter { detail, .. } => Outside::rpc(StatusCode::BAD_REQUEST, -32602, detail.clone()),
        Rejection::AuditUnavailable => Outside::rpc(
            StatusCode::SERVICE_UNAVAILABLE,
            -31503,
            "calls cannot be recorded at present; try again later",
        )
        .after(Duration::from_secs(5)),
        Rejection::Cancelled => Outside::rpc(StatusCode::OK, -31499, "the request was cancelled"),
        Rejection::Internal => Outside::rpc(
            StatusCode::INTERNAL_SERVER_ERROR,
            -32603,
            "the gateway failed; tell its operator the X-Request-ID of this answer",
        ),
    }
}

/// The revisions we serve.
fn versions() -> Vec<&'static str> {
    Version::ALL.iter().map(|version| version.as_str()).collect()
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

// === impl Outside ===

impl Outside {
    fn http(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: None, message: message.into(), data: None, retry_after: None }
    }

    fn rpc(status: StatusCode, code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code), ..Self::http(status, message) }
    }

    fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    fn with(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }
}
