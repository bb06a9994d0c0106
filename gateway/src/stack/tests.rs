mod replicas;

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_ENCODING, HOST, ORIGIN,
};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use portcullis_policies::yaml::Document;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::admin::Phase;
use crate::auth::{ApiKeySetting, ApiKeySettings, AuthSettings};
use crate::backends::Backend;
use crate::backends::test_backend::TestBackend;
use crate::http_client::HttpClient;
use crate::listener::ClientCertificate;
use crate::middleware::decode::ConnectionSettings;
use crate::middleware::rate_limit::LimiterStore;
use crate::seal::KeyRing;
use crate::telemetry::{LineQueue, LogSettings, Sink};

const PAGE: &str = "https://console.example.com";

const POLICIES: &str = r#"
policies:
  - name: all
    subjects: {roles: [ci]}
    tools: {allow: ["a__*", "chat", "slow"], deny: ["a__secret"]}
    rateLimits: [{tools: ["a__limited", "slow"], limit: 1/hour}]
"#;

/// A whole stack, and what it counts and logs.
struct Gateway {
    stack: Stack,
    /// The same for other replicas, and the keys they have in common.
    replicas: Option<ReplicaStack>,
    keys: Arc<KeyRing>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    log: (Arc<LineQueue>, Sink),
}

fn gateway() -> Gateway {
    gateway_of(None)
}

/// A gateway that other replicas reach by this address.
fn gateway_of(own: Option<&str>) -> Gateway {
    let tools = ["t", "secret", "limited", "panics", "large"];
    let backend: Arc<dyn Backend> =
        Arc::new(TestBackend::new("a", &tools).answering(|request| match &**request.tool().unwrap() {
            "a__panics" => panic!("as told"),
            "a__large" => Ok(Answer::result(request.id_text(), &format!("\"{}\"", "x".repeat(100_000)))),
            _ => Ok(Answer::result(request.id_text(), "{}")),
        }));
    let models = ["chat", "slow", "hidden"].map(|name| -> Arc<dyn Backend> {
        Arc::new(TestBackend::model(name).answering(|request| match &**request.tool().unwrap() {
            "slow" => Err(Rejection::ModelBusy { retry_after: Duration::from_secs(3) }),
            _ => Ok(Answer::result(
                request.id_text(),
                r#"{"structuredContent":{"text":"hi","finishReason":"stop","usage":{"promptTokens":1,"completionTokens":1}}}"#,
            )),
        }))
    });
    let models = models.to_vec();
    let metrics: Arc<Metrics> = Arc::default();
    let key = ApiKeySetting {
        name: "ci".into(),
        sha256: digest(&SHA256, b"the-key").as_ref().try_into().unwrap(),
        roles: vec!["ci".into()],
        expires: None,
    };
    let auth = AuthSettings {
        api_keys: Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys: vec![key] }),
        ..AuthSettings::default()
    };
    let policies = Arc::new(PolicySet::compile(&[Document::parse(POLICIES, "p.yaml").unwrap()]).unwrap());
    let sink = Sink::default();
    let settings = LogSettings::default();
    let lines = LineQueue::start(Box::new(sink.clone()), settings.format);
    let readiness = Readiness::new();
    readiness.enter(Phase::Ready);
    let keys = Arc::new(KeyRing::new().unwrap());
    let replicas = own.map(|own| {
        keys.settle(own.into());
        Arc::new(Replicas::new(own.into(), &keys, Arc::clone(&metrics)).unwrap())
    });
    let parts = Parts {
        metrics: Arc::clone(&metrics),
        access_log: AccessLog::new(Arc::clone(&lines), settings),
        audit: None,
        readiness: readiness.clone(),
        running: Arc::default(),
        max_concurrent_requests: 10,
        public_url: PublicUrl::default(),
        network: Arc::default(),
        origins: Arc::new(OriginSettings { allowed: vec![PAGE.parse().unwrap()], public: None, loopback: false }),
        allowed_origins: vec![HeaderValue::from_static(PAGE)],
        issuers: Vec::new(),
        scopes: Arc::default(),
        authenticator: Arc::new(Authenticator::new(&auth, &HttpClient::new(false), Arc::clone(&metrics)).unwrap()),
        decode: DecodeSettings {
            max_body_bytes: 4096,
            request_timeout: Duration::from_secs(60),
            separator: "__".into(),
            connections: ConnectionSettings::default(),
            replicas: None,
        },
        sessions: Arc::new(Sessions::new(10, Arc::clone(&keys))),
        quotas: Arc::new(LimiterStore::default().quotas(policies.limits(), [].into(), "__".into())),
        policies,
        backends: Arc::new(Backends::new([vec![backend], models].concat(), "__".into())),
        replicas,
    };
    let stacks = build(parts);
    Gateway { stack: stacks.http, replicas: stacks.replicas, keys, metrics, readiness, log: (lines, sink) }
}

struct Answered {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Gateway {
    /// Sends a request over a connection in memory.
    async fn send(&self, request: http::request::Builder, body: &str) -> Answered {
        send_to(&self.stack, None, request, body).await
    }

    async fn call(&self, tool: &str) -> Answered {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"a":"s3cret"}}}}}}"#
        );
        self.send(Request::post("/mcp").header("x-api-key", "the-key"), &body).await
    }

    fn counted(&self, line: &str) -> bool {
        String::from_utf8(self.metrics.render()).unwrap().contains(line)
    }
}

/// Sends a request over a connection in memory, whose client has shown a key.
async fn send_to<B>(
    stack: &Shared<Request<Incoming>, Response<B>, Infallible>,
    shown: Option<ClientCertificate>,
    request: http::request::Builder,
    body: &str,
) -> Answered
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let stack = stack.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let address: IpAddr = [127, 0, 0, 1].into();
        request.extensions_mut().insert(crate::listener::PeerAddress(std::net::SocketAddr::new(address, 1)));
        if let Some(shown) = shown {
            request.extensions_mut().insert(shown);
        }
        stack.clone().oneshot(request)
    });
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    let request = request.header(HOST, "gw.local").body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answered { status: head.status.as_u16(), headers: head.headers, body }
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[tokio::test]
async fn a_call_goes_all_the_way_and_is_written_down_without_what_it_said() {
    let gateway = gateway();
    let answered = gateway.call("a__t").await;
    assert_eq!((answered.status, answered.json()["result"].is_object()), (200, true));
    assert!(answered.headers.contains_key("x-request-id"));
    assert!(gateway.counted(r#"mcp_tool_invocations_total{status="success",tool_name="a__t",upstream="a"} 1"#));
    assert!(gateway.counted(r#"portcullis_http_requests_total{code="200",method="POST",path="/mcp"} 1"#));
    gateway.log.0.flush();
    let line: Value = serde_json::from_str(gateway.log.1.text().trim_end()).unwrap();
    assert_eq!(
        (&line["principal"], &line["tool"], &line["call_status"]),
        (&"apiKey:ci".into(), &"a__t".into(), &"success".into())
    );
    assert!(!line.to_string().contains("s3cret") && !line.to_string().contains("the-key"));
}

#[tokio::test]
async fn a_forbidden_tool_and_one_that_does_not_exist_are_answered_alike() {
    let gateway = gateway();
    for tool in ["a__secret", "a__nothing", "b__nothing"] {
        let answered = gateway.call(tool).await;
        assert_eq!(answered.status, 200);
        let expected =
            format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32602,"message":"unknown tool: {tool}"}}}}"#);
        assert_eq!(answered.body, expected);
    }
}

#[tokio::test]
async fn a_spent_quota_refuses_and_reaches_no_backend() {
    let gateway = gateway();
    assert_eq!(gateway.call("a__limited").await.status, 200);
    let answered = gateway.call("a__limited").await;
    assert_eq!((answered.status, &answered.json()["error"]["code"]), (429, &(-31429).into()));
    let after: u64 = answered.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert_eq!(answered.json()["error"]["data"]["retryAfterSeconds"], after);
    assert!(
        gateway.counted(r#"mcp_tool_invocations_total{status="rate_limited",tool_name="a__limited",upstream="a"} 1"#)
    );
}

#[tokio::test]
async fn a_panic_is_answered_and_counted_and_hurts_nobody_else() {
    let gateway = gateway();
    let answered = gateway.call("a__panics").await;
    assert_eq!((answered.status, &answered.json()["error"]["code"]), (500, &(-32603).into()));
    assert!(gateway.counted(r#"portcullis_panics_total{place="request"} 1"#));
    assert!(gateway.counted(r#"tool_name="a__panics""#));
    assert_eq!(gateway.call("a__t").await.status, 200);
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_asks() {
    let gateway = gateway();
    assert_eq!(gateway.call("a__large").await.headers.get(CONTENT_ENCODING), None);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__large"}}"#;
    let request = || Request::post("/mcp").header("x-api-key", "the-key").header(ACCEPT_ENCODING, "gzip");
    let large = gateway.send(request(), body).await;
    assert_eq!(large.headers[CONTENT_ENCODING], "gzip");
    assert!(large.body.len() < 10_000);
    let stream = gateway.send(request().header("accept", "text/event-stream"), body).await;
    assert_eq!((stream.status, stream.headers.get(CONTENT_ENCODING)), (200, None));
}

#[tokio::test]
async fn an_allowed_page_may_ask_first_and_read_even_refusals() {
    let gateway = gateway();
    let preflight = Request::options("/mcp")
        .header(ORIGIN, PAGE)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-api-key");
    let answered = gateway.send(preflight, "").await;
    assert_eq!(
        (answered.status, &answered.headers[ACCESS_CONTROL_ALLOW_ORIGIN]),
        (200, &HeaderValue::from_static(PAGE))
    );
    let refused = gateway.send(Request::post("/mcp").header(ORIGIN, PAGE), "{}").await;
    assert_eq!((refused.status, &refused.headers[ACCESS_CONTROL_ALLOW_ORIGIN]), (401, &HeaderValue::from_static(PAGE)));
    assert!(refused.headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("www-authenticate"));
    assert_eq!(
        refused.headers[WWW_AUTHENTICATE],
        r#"Bearer resource_metadata="http://gw.local/.well-known/oauth-protected-resource/mcp""#
    );
    let foreign = gateway.send(Request::post("/mcp").header(ORIGIN, "https://evil.example"), "{}").await;
    assert_eq!((foreign.status, foreign.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN)), (403, None));
}

#[tokio::test]
async fn nobodys_body_is_looked_at_before_the_caller_is_known() {
    let refused = gateway().send(Request::post("/mcp"), &"x".repeat(5000)).await;
    assert_eq!(refused.status, 401);
    let large = gateway().send(Request::post("/mcp").header("x-api-key", "the-key"), &"x".repeat(5000)).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn while_draining_calls_are_refused_and_health_is_answered() {
    let gateway = gateway();
    gateway.readiness.enter(Phase::Draining);
    assert_eq!(gateway.call("a__t").await.status, 503);
    assert_eq!(gateway.send(Request::get("/health"), "").await.status, 200);
    assert_eq!(gateway.send(Request::get("/health/ready"), "").await.status, 503);
}

#[tokio::test]
async fn openais_doors_have_the_same_rules_and_their_own_refusals() {
    let gateway = gateway();
    let complete = async |model: &str| {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"s3cret"}}]}}"#);
        let request = Request::post("/v1/chat/completions").header("authorization", "Bearer the-key");
        gateway.send(request, &body).await
    };
    let answered = complete("chat").await;
    assert_eq!((answered.status, &answered.json()["choices"][0]["message"]["content"]), (200, &"hi".into()));
    assert!(gateway.counted(r#"mcp_tool_invocations_total{status="success",tool_name="chat",upstream="chat"} 1"#));
    for model in ["hidden", "a__t", "nothing"] {
        let refused = complete(model).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (404, &"model_not_found".into()), "{model}");
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains(model));
    }
    let busy = complete("slow").await;
    assert_eq!((busy.status, &busy.headers[RETRY_AFTER]), (503, &HeaderValue::from_static("3")));
    let limited = complete("slow").await;
    assert_eq!((limited.status, &limited.json()["error"]["code"]), (429, &"rate_limit_exceeded".into()));
    let listed = gateway.send(Request::get("/v1/models").header("x-api-key", "the-key"), "").await.json();
    let names: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["chat", "slow"]);
    let unknown = gateway.send(Request::get("/v1/models"), "").await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (401, &"invalid_api_key".into()));
    gateway.log.0.flush();
    assert!(!gateway.log.1.text().contains("s3cret"));
}

#[tokio::test]
async fn what_is_wrong_at_openais_door_is_decided_limited_and_counted_before_it_is_said() {
    let gateway = gateway();
    let complete = async |model: &str| {
        let body = format!(r#"{{"model":"{model}","messages":[],"n":2}}"#);
        let request = Request::post("/v1/chat/completions").header("x-api-key", "the-key");
        let answered = gateway.send(request, &body).await;
        (answered.status, answered.json()["error"]["code"].clone())
    };
    assert_eq!(complete("hidden").await, (404, "model_not_found".into()), "nothing of what is behind is told");
    assert_eq!(complete("slow").await, (400, "unsupported_parameter".into()));
    assert_eq!(complete("slow").await, (429, "rate_limit_exceeded".into()));
    for status in ["error", "rate_limited"] {
        let line = format!(r#"mcp_tool_invocations_total{{status="{status}",tool_name="slow",upstream="slow"}} 1"#);
        assert!(gateway.counted(&line), "{line}");
    }
}

#[tokio::test]
async fn a_path_that_openai_has_and_we_have_not_is_refused_in_its_words() {
    let gateway = gateway();
    for path in ["/v1/embeddings", "/v1/models/a/b"] {
        let refused = gateway.send(Request::post(path).header("x-api-key", "the-key"), "{}").await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (404, &"unknown_url".into()), "{path}");
    }
    let hidden = gateway.send(Request::get("/v1/models/hidden").header("x-api-key", "the-key"), "").await;
    assert_eq!((hidden.status, &hidden.json()["error"]["code"]), (404, &"model_not_found".into()));
    let shown = gateway.send(Request::get("/v1/models/chat").header("x-api-key", "the-key"), "").await;
    assert_eq!((shown.status, &shown.json()["id"]), (200, &"chat".into()));
}
