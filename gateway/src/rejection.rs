//! Every reason a request can be refused.
//!
//! The set is closed: a new variant does not compile until
//! `middleware::respond` gives it a status, a JSON-RPC code and a message for
//! the outside. What is inside (the cause, the rule) goes to the log alone.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

/// A refusal, chosen by us.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// Nothing that identifies the caller came with the request.
    NoCredential,
    /// A credential came and proves nothing; `detail` is safe to say outside.
    BadCredential {
        /// What is wrong with it, e.g. `the token has expired`.
        detail: &'static str,
    },
    /// The caller is known but lacks these scopes (RFC 6750 §3.1).
    ScopeMissing {
        /// All scopes the operation needs.
        required: Arc<[String]>,
    },
    /// The caller's address is not on the allowlist.
    AddressNotAllowed,
    /// The request's `Origin` is not allowed.
    OriginNotAllowed,
    /// The gateway is on loopback, and the request's `Host` names neither this
    /// machine nor the gateway.
    HostNotAllowed,
    /// No such path.
    NoSuchPath,
    /// The path exists, the HTTP method does not fit it.
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// `Content-Type` is not JSON.
    UnsupportedMediaType,
    /// `Accept` excludes everything we could answer with.
    NotAcceptable,
    /// The body is over the limit.
    BodyTooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body ended before it was complete.
    BodyIncomplete,
    /// Too many requests are running.
    Overloaded,
    /// The process is about to end and takes no new requests.
    Draining,
    /// The request ran longer than a request may.
    TimedOut,
    /// Not JSON; the detail names the place, never the content.
    NotJson {
        /// What is wrong and where.
        detail: String,
    },
    /// JSON, but not one JSON-RPC message we take.
    InvalidRequest {
        /// What is wrong.
        detail: &'static str,
    },
    /// No such method.
    UnknownMethod,
    /// A stateless request lacks what it must carry in `_meta`.
    MalformedMeta {
        /// What is missing.
        detail: &'static str,
    },
    /// The method's parameters are wrong.
    InvalidParams {
        /// What is wrong, for the caller.
        detail: String,
    },
    /// The tool does not exist, or the caller may not call it: the same answer.
    UnknownTool {
        /// The name as the caller wrote it.
        tool: String,
    },
    /// The task does not exist, or is not the caller's: the same answer.
    UnknownTask,
    /// The prompt does not exist, or the caller may not have it.
    UnknownPrompt {
        /// The name as the caller wrote it.
        prompt: String,
    },
    /// The resource does not exist, or the caller may not read it.
    UnknownResource {
        /// The URI as the caller wrote it.
        uri: String,
    },
    /// A member of a request in the form of OpenAI's is wrong, or asks for
    /// what is not served.
    BadParameter {
        /// The member's name.
        param: Cow<'static, str>,
        /// What is wrong.
        detail: Cow<'static, str>,
        /// Whether it could be right somewhere else.
        unsupported: bool,
    },
    /// The arguments do not fit the tool's schema.
    BadArguments {
        /// Which argument, and why.
        detail: String,
    },
    /// The session is unknown or has ended: the client must initialize again.
    UnknownSession,
    /// A stream cannot be taken up where the client says.
    UnknownEvent {
        /// What is wrong with `Last-Event-ID`.
        detail: &'static str,
    },
    /// The protocol revision is not served (2026-07-28, code -32022).
    UnsupportedVersion {
        /// What was asked for.
        requested: String,
    },
    /// A mirrored header differs from the body (2026-07-28, code -32020).
    HeaderMismatch {
        /// Which header, and how.
        detail: String,
    },
    /// The `MCP-Protocol-Version` header is not a revision we serve (legacy).
    BadVersionHeader,
    /// A quota is spent.
    RateLimited {
        /// When the same call may succeed.
        retry_after: Duration,
    },
    /// The upstream did not answer as it should.
    Upstream(UpstreamFailure),
    /// The model takes no more requests for now.
    ModelBusy {
        /// When it may.
        retry_after: Duration,
    },
    /// The model is still being loaded, or begins anew after it failed.
    ModelLoading,
    /// The model could not be loaded, or has gone.
    ModelUnavailable,
    /// The model failed in the midst of an answer.
    ModelFailed,
    /// The conversation leaves no room for an answer.
    PromptTooLong {
        /// Tokens of the conversation, or as many as were worth counting.
        prompt_tokens: usize,
        /// Tokens that it and its answer may have together.
        context_length: usize,
    },
    /// The audit log cannot be written, so no call is made.
    AuditUnavailable,
    /// The client said that it no longer waits.
    Cancelled,
    /// The call that waited for its client's input is no more.
    ParkedCallLost,
    /// The replica to which the request was passed on went away with it.
    ReplicaLost,
    /// What another replica passed on is not for this one; it was not
    /// processed.
    Misdirected,
    /// The client did not say that it can be asked what the upstream asks
    /// (2026-07-28, code -32021).
    MissingCapability {
        /// The `capabilities` it would have to say.
        required: Value,
    },
    /// The upstream asked for something this client cannot give.
    CannotBridge {
        /// What is needed.
        detail: &'static str,
        /// Whether a tool asked, whose model may read of it.
        of_tool: bool,
    },
    /// We failed.
    Internal,
}

/// How an upstream failed a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFailure {
    /// The upstream's configured name.
    pub upstream: Arc<str>,
    /// What happened.
    pub kind: UpstreamFailureKind,
    /// When a new attempt may succeed.
    pub retry_after: Duration,
}

/// What happened to a call at an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailureKind {
    /// No connection could be made, or the process does not run.
    Unreachable,
    /// It asks to come back later (HTTP 429 or 503).
    Busy,
    /// It did not answer in time.
    TimedOut,
    /// It went away in the midst of its answer.
    Disconnected,
    /// What it answered is not MCP.
    Garbage,
    /// It refuses us (HTTP 401 or 403): the operator must look.
    Refused,
    /// It answered with an HTTP error.
    Failed,
}

// === impl Rejection ===

impl Rejection {
    /// An invalid-parameters refusal.
    pub fn invalid_params(detail: impl Into<String>) -> Self {
        Self::InvalidParams { detail: detail.into() }
    }

    /// A refusal of a stateless client that does not know an extension.
    #[must_use]
    pub fn missing_extension(extension: &str) -> Self {
        Self::MissingCapability { required: json!({"extensions": {extension: {}}}) }
    }
}

// === impl UpstreamFailureKind ===

impl UpstreamFailureKind {
    /// The `outcome` of `portcullis_upstream_requests_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::TimedOut => "timed_out",
            Self::Disconnected => "disconnected",
            Self::Garbage => "garbage",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// What the caller is told.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Unreachable => "cannot be reached; try again later",
            Self::Busy => "is busy; try again later",
            Self::TimedOut => "did not answer in time; the call may have been carried out",
            Self::Disconnected => "went away before its answer was complete; the call may have been carried out",
            Self::Garbage => "did not answer with an MCP message of at most 16 MiB; tell the gateway's operator",
            Self::Refused => "refuses the gateway's credentials; tell the gateway's operator",
            Self::Failed => "answered with an HTTP error; try again later",
        }
    }
}
