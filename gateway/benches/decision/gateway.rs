//! The part of a gateway that decides, with as many policies, keys and callers
//! as wanted.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use portcullis::auth::{ApiKeySetting, ApiKeySettings, AuthSettings, Authentication, Authenticator};
use portcullis::backends::Backends;
use portcullis::backends::answer::Answer;
use portcullis::door::Door;
use portcullis::http_client::HttpClient;
use portcullis::mcp::mirror;
use portcullis::mcp::request::McpRequest;
use portcullis::mcp::session::{Agreement, MAX_SESSIONS, Sessions};
use portcullis::mcp::version::Version;
use portcullis::metrics::Metrics;
use portcullis::middleware::authenticate::AuthenticateLayer;
use portcullis::middleware::authorize::AuthorizeLayer;
use portcullis::middleware::decode::{ConnectionSettings, DecodeLayer, DecodeSettings};
use portcullis::middleware::rate_limit::{LimiterStore, Quotas, RateLimitLayer};
use portcullis::record::CallRecord;
use portcullis::rejection::Rejection;
use portcullis::seal::KeyRing;
use portcullis_policies::yaml::Document;
use portcullis_policies::{PolicySet, Principal};
use tower::{Service, ServiceBuilder, service_fn};

use crate::message;

/// Where the callers are.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// What they call; every policy has something to say about it.
pub(crate) const TOOL: &str = "crm__search";

const SEPARATOR: &str = "__";
const CALL_BYTES: usize = 1024;
/// Requests made ahead: few enough to stay in the processor's caches, as a
/// request that has just been read does.
const BATCH: u64 = 100;

/// How much there is to look through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Each with a role of its own.
    pub(crate) policies: usize,
    /// Each with one of the roles.
    pub(crate) keys: usize,
    /// Those of the keys that call, in turn.
    pub(crate) callers: usize,
}

/// What a call is decided with.
pub(crate) struct Gateway {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) policies: Arc<PolicySet>,
    pub(crate) quotas: Arc<Quotas>,
    callers: Vec<HeaderMap>,
    turn: usize,
    body: Bytes,
    serve: Serve,
}

/// Takes a call through the layers.
type Serve = Box<dyn FnMut(Request<Full<Bytes>>) -> StatusCode>;

// === impl Gateway ===

impl Gateway {
    /// A gateway of this size that nobody has called yet.
    ///
    /// Must be called within a Tokio runtime, as all that serves calls.
    pub(crate) fn new(size: Size) -> Self {
        let metrics = Arc::new(Metrics::new());
        let authenticator = Arc::new(authenticator(size, &metrics));
        let policies = Arc::new(policies(size.policies));
        let quotas = LimiterStore::default().quotas(policies.limits(), HashMap::new(), SEPARATOR.into());
        let (quotas, sessions) = (
            Arc::new(quotas),
            Arc::new(Sessions::new(MAX_SESSIONS, Arc::new(KeyRing::new().expect("random numbers")))),
        );
        let body = Bytes::from(message::call(TOOL, CALL_BYTES));
        let callers = (0..size.callers).map(|caller| caller * size.keys / size.callers);
        let callers = callers.map(|number| caller(number, body.len(), &sessions)).collect();
        let serve = serve(&authenticator, sessions, &policies, &quotas, &metrics);
        Self { authenticator, policies, quotas, callers, turn: 0, body, serve }
    }

    /// How long it takes to decide so many calls, of callers in turn. The
    /// requests are made beforehand.
    pub(crate) fn time(&mut self, calls: u64) -> Duration {
        let mut took = Duration::ZERO;
        let mut left = calls;
        while left > 0 {
            let now = left.min(BATCH);
            let requests: Vec<_> = (0..now).map(|_| self.request()).collect();
            let start = Instant::now();
            for request in requests {
                let status = (self.serve)(request);
                assert_eq!(status, StatusCode::OK, "the call may pass");
            }
            took += start.elapsed();
            left -= now;
        }
        took
    }

    /// The headers of the first caller.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.callers[0]
    }

    /// The next caller's call, as it reaches `authenticate`.
    fn request(&mut self) -> Request<Full<Bytes>> {
        let mut request = Request::post("/mcp").body(Full::new(self.body.clone())).expect("a request");
        self.turn = (self.turn + 1) % self.callers.len();
        *request.headers_mut() = self.callers[self.turn].clone();
        let record = CallRecord::new(HeaderValue::from_static("0123456789abcdef"), None);
        record.client_ip.set(CLIENT).expect("not known before");
        request.extensions_mut().insert(Door::Mcp);
        request.extensions_mut().insert(Arc::new(record));
        request
    }
}

// === impl Size ===

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} policies, {} keys, {} callers", self.policies, self.keys, self.callers)
    }
}

/// The layers that decide, in the order of the gateway's own stack. What they
/// let through is answered at once.
fn serve(
    authenticator: &Arc<Authenticator>,
    sessions: Arc<Sessions>,
    policies: &Arc<PolicySet>,
    quotas: &Arc<Quotas>,
    metrics: &Arc<Metrics>,
) -> Serve {
    let settings = DecodeSettings {
        max_body_bytes: 4 * 1024 * 1024,
        request_timeout: Duration::from_secs(60),
        separator: SEPARATOR.into(),
        connections: ConnectionSettings::default(),
        replicas: None,
    };
    let backends = Arc::new(Backends::new(Vec::new(), SEPARATOR.into()));
    let mut service = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(Arc::clone(authenticator)))
        .layer(DecodeLayer::new(settings, sessions, backends))
        .layer(AuthorizeLayer::new(Arc::clone(policies), Arc::clone(metrics)))
        .layer(RateLimitLayer::new(Arc::clone(quotas)))
        .service(service_fn(|request: Box<McpRequest>| {
            ready(Ok::<_, Rejection>(Answer::result(request.id_text(), r#"{"content":[]}"#)))
        }));
    Box::new(move |request| {
        // The body is there and nothing else is waited for.
        let answered = service.call(request).now_or_never().expect("the decision never waits");
        answered.expect("the call may pass").status()
    })
}

/// The caller, where it was accepted at once.
pub(crate) fn accepted(authentication: Authentication) -> Arc<Principal> {
    match authentication {
        Authentication::Ready(Ok(principal)) => principal,
        other => panic!("the credential is known: {other:?}"),
    }
}

/// This credential as a header.
pub(crate) fn bearer(credential: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {credential}")).expect("a header value");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

/// What the holder of a key sends in its session.
fn caller(number: usize, length: usize, sessions: &Sessions) -> HeaderMap {
    let session = sessions.open(Agreement {
        version: Version::NEWEST_LEGACY,
        principal: format!("apiKey:{}", key_name(number)).into(),
        server: None,
        capabilities: Bytes::from_static(b"{}"),
        client_info: None,
    });
    let mut headers = bearer(&key(number));
    for (name, value) in [
        (HOST, "gateway.example.com"),
        (USER_AGENT, "bench/1"),
        (ACCEPT, "application/json, text/event-stream"),
        (CONTENT_TYPE, "application/json"),
        (CONTENT_LENGTH, length.to_string().as_str()),
        (mirror::PROTOCOL_VERSION, Version::NEWEST_LEGACY.as_str()),
        (mirror::SESSION_ID, &session.id),
    ] {
        headers.insert(name, HeaderValue::try_from(value).expect("a header value"));
    }
    headers
}

fn key(number: usize) -> String {
    format!("key-{number:040}")
}

fn key_name(number: usize) -> String {
    format!("caller-{number}")
}

fn authenticator(size: Size, metrics: &Arc<Metrics>) -> Authenticator {
    let setting = |number: usize| ApiKeySetting {
        name: key_name(number),
        sha256: digest(&SHA256, key(number).as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes"),
        roles: vec![format!("role-{}", number % size.policies)],
        expires: None,
    };
    let keys = (0..size.keys).map(setting).collect();
    let api_keys = Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys });
    let settings = AuthSettings { api_keys, ..AuthSettings::default() };
    Authenticator::new(&settings, &HttpClient::new(false), Arc::clone(metrics)).expect("the settings work")
}

/// One policy for each role.
fn policies(count: usize) -> PolicySet {
    let mut text = "policies:\n".to_owned();
    for number in 0..count {
        let _ = write!(
            text,
            "  - name: policy-{number}
    subjects: {{roles: [role-{number}]}}
    tools: {{allow: [\"crm__*\", \"erp__read_*\"], deny: [\"*__delete_*\"]}}
    rateLimits: [{{tools: [\"crm__*\"], limit: 1000000000/second, burst: 1000000000, per: principal}}]
"
        );
    }
    let document = Document::parse(&text, "policies.yaml").expect("the policies are well formed");
    PolicySet::compile(&[document]).expect("the policies work")
}
