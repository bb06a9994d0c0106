//! The way of a request, as a list: outermost first.

mod shared;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use portcullis_policies::PolicySet;
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::CompressionLevel;
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionBody, CompressionLayer};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::map_response_body::MapResponseBodyLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

pub use self::shared::Shared;
use crate::admin::Readiness;
use crate::auth::Authenticator;
use crate::backends::Backends;
use crate::backends::answer::Answer;
use crate::body::{Body, BodyError};
use crate::mcp::mirror;
use crate::mcp::request::McpRequest;
use crate::mcp::session::Sessions;
use crate::metrics::Metrics;
use crate::middleware::admit::AdmitLayer;
use crate::middleware::authenticate::AuthenticateLayer;
use crate::middleware::authorize::AuthorizeLayer;
use crate::middleware::contain::Contain;
use crate::middleware::deadline::DeadlineLayer;
use crate::middleware::decode::{DecodeLayer, DecodeSettings, Messages};
use crate::middleware::ip_allowlist::{IpAllowlistLayer, NetworkSettings};
use crate::middleware::meter::{Audit, MeterLayer};
use crate::middleware::observe::{ObserveLayer, Observed};
use crate::middleware::origin::{OriginLayer, OriginSettings};
use crate::middleware::rate_limit::{Quotas, RateLimitLayer};
use crate::middleware::received::ReceivedLayer;
use crate::middleware::reception::{HealthLayer, ReceptionLayer};
use crate::middleware::respond::{PublicUrl, RespondLayer};
use crate::rejection::Rejection;
use crate::replicas::Replicas;
use crate::router::Router;
use crate::running::Running;
use crate::telemetry::AccessLog;

/// The whole stack, ready to serve.
pub type Stack = Shared<Request<Incoming>, Response<ResponseBody>, Infallible>;

/// What goes out: compressed where that was asked for, observed to its end.
pub type ResponseBody = Observed<Box<CompressionBody<UnsyncBoxBody<Bytes, BodyError>>>>;

/// The same for what another replica passes on.
pub type ReplicaStack = Shared<Request<Incoming>, Response<ReplicaBody>, Infallible>;

/// What goes back to another replica.
pub type ReplicaBody = Observed<UnsyncBoxBody<Bytes, BodyError>>;

/// How long a browser may remember what we allow.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);
/// Smaller answers are not worth compressing.
const COMPRESS_ABOVE_BYTES: u64 = 16 * 1024;

/// Headers a page may send us and read of our answers.
fn cors(allowed_origins: Vec<HeaderValue>) -> Option<CorsLayer> {
    let exposed: [HeaderName; 4] =
        [mirror::SESSION_ID, WWW_AUTHENTICATE, RETRY_AFTER, HeaderName::from_static("x-request-id")];
    (!allowed_origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(allowed_origins))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed)
            .max_age(CORS_MAX_AGE)
    })
}

/// Everything the stack is built of.
#[derive(Debug)]
pub struct Parts {
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// One line a request.
    pub access_log: AccessLog,
    /// One entry a call.
    pub audit: Option<Audit>,
    /// Starting, ready or draining.
    pub readiness: Readiness,
    /// How many requests are running.
    pub running: Arc<Running>,
    /// How many may.
    pub max_concurrent_requests: usize,
    /// What clients call us.
    pub public_url: PublicUrl,
    /// From where calls may come.
    pub network: Arc<NetworkSettings>,
    /// Which web pages may call.
    pub origins: Arc<OriginSettings>,
    /// The same as browsers write them, for CORS.
    pub allowed_origins: Vec<HeaderValue>,
    /// Who issues tokens.
    pub issuers: Vec<String>,
    /// The scopes every token needs.
    pub scopes: Arc<[String]>,
    /// Who is calling.
    pub authenticator: Arc<Authenticator>,
    /// How bodies are read.
    pub decode: DecodeSettings,
    /// Open sessions.
    pub sessions: Arc<Sessions>,
    /// Who may call what.
    pub policies: Arc<PolicySet>,
    /// How often.
    pub quotas: Arc<Quotas>,
    /// What serves the calls.
    pub backends: Arc<Backends>,
    /// The other replicas, where there are any.
    pub replicas: Option<Arc<Replicas>>,
}

/// One configuration's ways in, all with the same MCP half.
#[derive(Debug)]
pub struct Stacks {
    /// For clients over HTTP.
    pub http: Stack,
    /// For connections without HTTP.
    pub messages: MessageStack,
    /// For what comes back in.
    pub calls: CallStack,
    /// For the other replicas.
    pub replicas: Option<ReplicaStack>,
}

/// The MCP half alone.
pub type CallStack = Shared<Box<McpRequest>, Answer, Rejection>;

/// The same for connections without HTTP.
pub type MessageStack = Messages<CallStack>;

/// Puts the layers together.
#[must_use]
pub fn build(parts: Parts) -> Stacks {
    let metrics = parts.metrics;

    // Inside `decode` all is MCP.
    let calls = ServiceBuilder::new()
        // First, so that every call counts, however it ends.
        .layer(MeterLayer::new(Arc::clone(&parts.backends), Arc::clone(&metrics), parts.audit))
        // Before the quota: a refused call spends none.
        .layer(AuthorizeLayer::new(parts.policies, Arc::clone(&metrics)))
        // Before the backend: a limited call does not reach it.
        .layer(RateLimitLayer::new(parts.quotas))
        // Last, for whatever waits further in without a deadline of its own.
        .layer(DeadlineLayer)
        .service(Router::new(Arc::clone(&parts.backends), Arc::clone(&parts.sessions), Arc::clone(&metrics)));
    // Boxed where HTTP ends and MCP begins: the compiler's work on one nested
    // type of all layers grows beyond bearing.
    let calls: CallStack = Shared::new(calls);
    let decode = |replicas: Option<Arc<Replicas>>| {
        let settings = DecodeSettings { replicas, ..parts.decode.clone() };
        DecodeLayer::new(settings, Arc::clone(&parts.sessions), Arc::clone(&parts.backends))
    };
    let replicas = parts.replicas.as_ref().map(|replicas| {
        // Address, origin and credential were checked where the request came in.
        let passed_on = ServiceBuilder::new()
            // Its line says what became of it; it is counted where it came in.
            .layer(ObserveLayer::of_passed_on(Arc::clone(&metrics), parts.access_log.clone()))
            // As for clients.
            .layer(CatchPanicLayer::custom(Contain::new(Arc::clone(&metrics))))
            .layer(RespondLayer::new(parts.public_url.clone(), Arc::clone(&parts.scopes)))
            // Who called, by the word of another replica.
            .layer(ReceivedLayer::new(
                Arc::clone(replicas.own()),
                Arc::clone(parts.sessions.keys()),
                parts.readiness.clone(),
            ))
            // It runs here, and so takes up room here.
            .layer(AdmitLayer::new(Arc::clone(&parts.running), parts.max_concurrent_requests))
            // Passes nothing on: a request is passed on once.
            .layer(decode(None))
            .service(calls.clone());
        Shared::new(passed_on)
    });
    let decode = decode(parts.replicas.clone());
    let messages = decode.messages(calls.clone());
    let known_callers = ServiceBuilder::new()
        // Nobody unknown gets further.
        .layer(AuthenticateLayer::new(parts.authenticator.clone()))
        // Reads the body; from here on all is MCP.
        .layer(decode)
        .service(calls.clone());
    let known_callers: Shared<Request<Incoming>, Response<Body>, Rejection> = Shared::new(known_callers);

    let stack = ServiceBuilder::new()
        // Before all: the request's id, its access line, its count.
        .layer(ObserveLayer::new(Arc::clone(&metrics), parts.access_log))
        // So that nothing that prints a request prints a credential.
        .layer(SetSensitiveRequestHeadersLayer::new(
            [AUTHORIZATION].into_iter().chain(parts.authenticator.key_header().cloned()),
        ))
        // A body that may be compressed is large, and answers are moved often.
        .layer(MapResponseBodyLayer::new(Box::new))
        // Answers are compressed where the client asks and it pays, never streams.
        .layer(
            CompressionLayer::new()
                .gzip(true)
                .quality(CompressionLevel::Fastest)
                .compress_when(SizeAbove::new(COMPRESS_ABOVE_BYTES).and(NotForContentType::SSE)),
        )
        // Outside `respond`, so that browsers may read refusals too.
        .layer(option_layer(cors(parts.allowed_origins)))
        // A panic is answered and counted, and hurts no other request.
        .layer(CatchPanicLayer::custom(Contain::new(Arc::clone(&metrics))))
        // Every refusal from here on inwards becomes HTTP.
        .layer(RespondLayer::new(parts.public_url.clone(), Arc::clone(&parts.scopes)))
        // Always answered, from anywhere.
        .layer(HealthLayer::new(parts.readiness))
        // Before what costs: too many at a time are refused.
        .layer(AdmitLayer::new(parts.running, parts.max_concurrent_requests))
        // Whose address may not call learns nothing more.
        .layer(IpAllowlistLayer::new(parts.network))
        // Before authentication: browsers attach credentials by themselves.
        .layer(OriginLayer::new(parts.origins))
        // Metadata for who has no token yet; paths that lead nowhere.
        .layer(ReceptionLayer::new(parts.public_url, parts.issuers, parts.scopes))
        .service(known_callers);
    Stacks { http: Shared::new(stack), messages, calls, replicas }
}

#[cfg(test)]
mod tests;
