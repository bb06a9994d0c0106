mod agreeing;
mod calls;
mod core_tasks;
mod listing;
mod pipes;
mod relaying;
mod script;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use portcullis_policies::Principal;
use tokio::time::Instant;

use self::script::{Heard, Say, Script};
use super::Upstream;
use crate::backends::Backend;
use crate::backends::answer::Answer;
use crate::backends::callee::Callee;
use crate::backends::calls::{Calls, NoCalls};
use crate::backends::settings::{RetrySettings, ToolSelection, TransportSettings, UpstreamSettings};
use crate::backends::tool::{Tool, ToolNaming};
use crate::backends::transport::Transport;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::session::{Agreement, Session, Sessions};
use crate::mcp::test_request;
use crate::mcp::version::Version;
use crate::metrics::Metrics;
use crate::rejection::{Rejection, UpstreamFailureKind};
use crate::seal::KeyRing;

const TIMEOUT: Duration = Duration::from_secs(30);

/// An upstream over a scripted transport.
struct Fixture {
    upstream: Arc<Upstream>,
    script: Arc<Script>,
    metrics: Arc<Metrics>,
}

impl Fixture {
    /// An upstream whose server says what `say` returns.
    fn new(say: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        Self::following(Script::new(say))
    }

    /// The same over a pipe.
    fn over_pipe(say: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        Self::following(Script::pipe(say))
    }

    fn following(script: Arc<Script>) -> Self {
        let (upstream, metrics) = start(Arc::<Script>::clone(&script), None);
        Self { upstream, script, metrics }
    }

    /// The same over a pipe, where `calls` sample for clients that cannot.
    fn sampling(say: impl Fn(&Heard) -> Say + Send + Sync + 'static, calls: impl Calls + 'static) -> Self {
        let script = Script::pipe(say);
        let (upstream, metrics) = start(Arc::<Script>::clone(&script), Some(Arc::new(calls)));
        Self { upstream, script, metrics }
    }

    /// An upstream that is reached by `transport`; the script stays unused.
    fn over(transport: Arc<dyn Transport>) -> Self {
        let (upstream, metrics) = start(transport, None);
        Self { upstream, script: Script::new(modern), metrics }
    }

    async fn call(&self, request: McpRequest) -> Result<Answer, Rejection> {
        let found =
            self.upstream.find("crm__find", Capabilities::NONE, request.deadline).await.map_err(Rejection::Upstream)?;
        Arc::clone(&self.upstream).call(Box::new(request), Callee::Tool(found.expect("the tool is listed"))).await
    }

    /// Calls and waits for everything the client hears.
    async fn hear(&self, request: McpRequest) -> Vec<String> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        match self.call(request).await.unwrap() {
            Answer::Message { message, .. } => vec![text(message)],
            Answer::Stream(stream) => stream.map(|message| text(message.unwrap())).collect().await,
            other => panic!("{other:?}"),
        }
    }

    /// Calls in a session whose client cancels once the call has come to rest;
    /// the answer, and how long it took.
    async fn cancel(&self, session: &Arc<Session>) -> (Result<Answer, Rejection>, Duration) {
        let started = Instant::now();
        let cancelling = async {
            settle().await;
            session.in_flight.cancel("7");
        };
        let (answer, ()) = tokio::join!(self.call(in_session(session)), cancelling);
        (answer, started.elapsed())
    }

    async fn failure(&self, request: McpRequest) -> UpstreamFailureKind {
        match self.call(request).await {
            Err(Rejection::Upstream(failure)) => failure.kind,
            other => panic!("{other:?}"),
        }
    }

    fn metric(&self, line: &str) -> Option<u64> {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    fn outcome(&self, outcome: &str) -> Option<u64> {
        self.metric(&format!(r#"portcullis_upstream_requests_total{{outcome="{outcome}",upstream="crm"}}"#))
    }

    fn is_up(&self) -> Option<u64> {
        self.metric(r#"portcullis_upstream_up{upstream="crm"}"#)
    }
}

fn start(transport: Arc<dyn Transport>, sampling: Option<Arc<dyn Calls>>) -> (Arc<Upstream>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let settings = UpstreamSettings {
        name: "crm".into(),
        transport: TransportSettings::Demo,
        timeout: TIMEOUT,
        retry: RetrySettings::default(),
        tools: ToolSelection::default(),
        sampling: sampling.is_some().then(|| "chat".into()),
    };
    let keys = Arc::new(KeyRing::new().unwrap());
    let calls = sampling.unwrap_or_else(|| Arc::new(NoCalls));
    (Upstream::start(settings, "__", transport, Arc::clone(&metrics), keys, calls).unwrap(), metrics)
}

/// What a server of 2026-07-28 with one tool says.
pub(super) fn modern(heard: &Heard) -> Say {
    match heard.method.as_str() {
        "server/discover" => Say::result(r#"{"resultType":"complete","supportedVersions":["2026-07-28"]}"#),
        "tools/list" => Say::result(r#"{"resultType":"complete","tools":[{"name":"find"}],"ttlMs":60000}"#),
        "tools/call" => Say::result(r#"{"resultType":"complete","content":[]}"#),
        // No stream of changes.
        _ => Say::Refusal(404, -32601),
    }
}

/// What a server of 2025-11-25 with one tool and sessions says.
pub(super) fn legacy(heard: &Heard) -> Say {
    match heard.method.as_str() {
        "server/discover" => Say::Refusal(400, -32000),
        "initialize" => Say::Session(format!("s{}", heard.nth), r#"{"protocolVersion":"2025-06-18"}"#.to_owned()),
        "tools/list" => Say::result(r#"{"tools":[{"name":"find"}]}"#),
        "tools/call" => Say::result(r#"{"content":[]}"#),
        _ => Say::Refusal(405, -32000),
    }
}

const PLAIN_CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"crm__find"}}"#;

pub(super) fn request(version: Version, body: &str) -> McpRequest {
    let call = Operation::CallTool { tool: "crm__find".into() };
    McpRequest { version, ..*test_request::request(call, body) }
}

fn of_legacy_client() -> McpRequest {
    request(Version::V2025_11_25, PLAIN_CALL)
}

fn of_modern_client() -> McpRequest {
    request(Version::MODERN, PLAIN_CALL)
}

fn of_anonymous() -> McpRequest {
    McpRequest { principal: Arc::new(Principal::anonymous([])), ..of_legacy_client() }
}

pub(super) fn session(client_info: Option<&'static str>) -> Arc<Session> {
    Sessions::for_tests(1).open(Agreement {
        version: Version::NEWEST_LEGACY,
        principal: "apiKey:ci".into(),
        server: None,
        capabilities: Bytes::new(),
        client_info: client_info.map(|info| Bytes::from_static(info.as_bytes())),
    })
}

fn in_session(session: &Arc<Session>) -> McpRequest {
    McpRequest { session: Some(Arc::clone(session)), ..of_legacy_client() }
}

pub(super) fn tool(definition: &str) -> Tool {
    let naming = ToolNaming::new("crm".into(), "__", ToolSelection::default()).unwrap();
    naming.tool(&serde_json::value::RawValue::from_string(definition.to_owned()).unwrap()).unwrap()
}

/// Lets what runs in the background come to rest.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
