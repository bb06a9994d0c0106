use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::backends::Backend;
use crate::backends::test_backend::{TestBackend, unreachable};
use crate::mcp::in_flight::Cancellable;
use crate::mcp::operation::{ItemKind, Wanted};
use crate::mcp::request::Filter;
use crate::mcp::session::{Bearer, MAX_KEPT_BYTES};
use crate::mcp::test_request::{call, list, request};
use crate::mcp::version::Version;

/// Who asks, in requests made here.
const CI: Bearer<'static> = Bearer { principal: "apiKey:ci", server: None };

fn router(backends: &[Arc<TestBackend>]) -> Router {
    let all = backends.iter().map(|backend| Arc::clone(backend) as Arc<dyn Backend>).collect();
    Router::new(Arc::new(Backends::new(all, "__".into())), Arc::new(Sessions::for_tests(10)), Arc::default())
}

fn backend(name: &str, tools: &[&str]) -> Arc<TestBackend> {
    Arc::new(TestBackend::new(name, tools))
}

async fn ask(router: &Router, request: Box<McpRequest>) -> Value {
    match router.clone().oneshot(request).await.unwrap() {
        Answer::Message { message, .. } | Answer::Opened { message, .. } => serde_json::from_slice(&message).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn names(answer: &Value) -> Vec<&str> {
    answer["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

fn initialize(params: &str) -> Box<McpRequest> {
    let message = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#);
    request(Operation::Initialize, &message)
}

#[tokio::test]
async fn tools_are_listed_in_the_configured_order() {
    let router = router(&[backend("b", &["z", "a"]), backend("a", &["m"])]);
    let answer = ask(&router, list()).await;
    assert_eq!(names(&answer), ["b__z", "b__a", "a__m"]);
    assert_eq!(answer["result"].get("ttlMs"), None);
    assert_eq!(answer["result"].get("_meta"), None);
}

#[tokio::test]
async fn one_server_alone_is_listed_under_short_names() {
    let router = router(&[backend("b", &["z"]), backend("a", &["m"])]);
    let mut request = list();
    request.server = Some("a".into());
    request.filter = Filter::new(|wanted| wanted == Wanted::Tool("a__m"));
    assert_eq!(names(&ask(&router, request).await), ["m"]);
}

#[tokio::test]
async fn what_the_caller_may_not_call_is_not_listed() {
    let router = router(&[backend("a", &["x", "y"])]);
    let mut request = list();
    request.filter = Filter::new(|wanted| wanted == Wanted::Tool("a__y"));
    assert_eq!(names(&ask(&router, request).await), ["a__y"]);
    let mut request = list();
    request.filter = Filter::default();
    assert!(names(&ask(&router, request).await).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_or_dead_server_hides_nobody_elses_tools() {
    let slow = Arc::new(TestBackend::new("slow", &["t"]).listing_after(Duration::from_secs(3600)));
    let router = router(&[Arc::clone(&slow), Arc::new(TestBackend::dead("dead")), backend("a", &["m"])]);
    let mut request = list();
    request.version = Version::MODERN;
    let begun = tokio::time::Instant::now();
    let answer = ask(&router, request).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(names(&answer), ["a__m"]);
    assert_eq!(answer["result"]["_meta"], json!({"portcullis/unavailable": ["slow", "dead"]}));
    assert_eq!((&answer["result"]["ttlMs"], &answer["result"]["cacheScope"]), (&json!(0), &json!("private")));
}

#[tokio::test]
async fn where_all_servers_fail_so_does_the_list() {
    let all_dead = router(&[Arc::new(TestBackend::dead("a")), Arc::new(TestBackend::dead("b"))]);
    assert_eq!(all_dead.oneshot(list()).await.unwrap_err(), Rejection::Upstream(unreachable("a")));
    assert!(names(&ask(&router(&[]), list()).await).is_empty());
}

fn page(cursor: &str) -> Box<McpRequest> {
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"cursor":{cursor}}}}}"#);
    let mut request = request(Operation::List(ItemKind::Tool), &message);
    request.filter = Filter::new(|_| true);
    request
}

#[tokio::test]
async fn a_long_list_has_pages_in_their_order() {
    let tools: Vec<String> = (0..1_250).map(|index| format!("tool-{index}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let router = router(&[backend("a", &tools), backend("b", &tools)]);
    let (mut all, mut sizes, mut answer) = (Vec::new(), Vec::new(), ask(&router, list()).await);
    loop {
        let shown: Vec<String> = names(&answer).into_iter().map(str::to_owned).collect();
        sizes.push(shown.len());
        all.extend(shown);
        let next = &answer["result"]["nextCursor"];
        if next.is_null() {
            break;
        }
        answer = ask(&router, page(&next.to_string())).await;
    }
    assert_eq!(sizes, [1_000, 1_000, 500]);
    let expected = ["a", "b"].iter().flat_map(|name| tools.iter().map(move |tool| format!("{name}__{tool}")));
    assert!(all.into_iter().eq(expected));
}

#[tokio::test]
async fn a_cursor_is_of_use_to_its_caller_for_its_list_alone() {
    let tools: Vec<String> = (0..1_001).map(|index| format!("tool-{index}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let router = router(&[backend("a", &tools)]);
    let cursor = ask(&router, list()).await["result"]["nextCursor"].to_string();
    let of_prompts = Box::new(McpRequest { operation: Operation::List(ItemKind::Prompt), ..*page(&cursor) });
    let elsewhere = Box::new(McpRequest { server: Some("a".into()), ..*page(&cursor) });
    let bobs =
        Box::new(McpRequest { principal: Arc::new(portcullis_policies::Principal::anonymous([])), ..*page(&cursor) });
    for (request, known) in [
        (page(&cursor), true),
        (page("null"), true),
        (page("\"\""), false),
        (page("\"x\""), false),
        (page("7"), false),
        (of_prompts, false),
        (elsewhere, false),
        (bobs, false),
    ] {
        let answer = router.clone().oneshot(request).await;
        assert_eq!(answer.is_ok(), known, "{answer:?}");
    }
}

#[tokio::test]
async fn a_call_reaches_its_server_under_the_name_it_has_there() {
    let (a, b) = (backend("a", &["t"]), backend("b", &["t"]));
    let request = call("b__t");
    let record = Arc::clone(&request.record);
    assert_eq!(ask(&router(&[Arc::clone(&a), Arc::clone(&b)]), request).await["id"], "q");
    assert_eq!(*b.called.lock().unwrap(), [r#""t""#]);
    assert!(a.called.lock().unwrap().is_empty());
    assert_eq!((&**record.tool.get().unwrap(), &**record.upstream.get().unwrap()), ("b__t", "b"));
}

#[tokio::test]
async fn an_unknown_tool_is_refused_and_never_becomes_a_label() {
    let router = router(&[backend("a", &["t"])]);
    for tool in ["a__nothing", "nowhere__t", "t", ""] {
        let request = call(tool);
        let record = Arc::clone(&request.record);
        let refused = router.clone().oneshot(request).await.unwrap_err();
        assert_eq!(refused, Rejection::UnknownTool { tool: tool.to_owned() });
        assert_eq!(record.tool.get(), None);
        assert_eq!(record.status(), Some(CallStatus::Denied));
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_for_its_tools_has_failed_the_call() {
    let request = call("dead__t");
    let record = Arc::clone(&request.record);
    let refused = router(&[Arc::new(TestBackend::dead("dead"))]).oneshot(request).await.unwrap_err();
    assert_eq!(refused, Rejection::Upstream(unreachable("dead")));
    assert_eq!(record.status(), Some(CallStatus::UpstreamError));
    assert_eq!(record.upstream.get().map(AsRef::as_ref), Some("dead"));
}

#[tokio::test]
async fn initialize_agrees_on_what_both_speak() {
    let router = router(&[]);
    for (asked, agreed) in [
        (r#"{"protocolVersion":"2025-03-26"}"#, "2025-03-26"),
        (r#"{"protocolVersion":"2025-11-25"}"#, "2025-11-25"),
        (r#"{"protocolVersion":"2026-07-28"}"#, "2025-11-25"),
        (r#"{"protocolVersion":"1999-01-01"}"#, "2025-11-25"),
        (r#"{"protocolVersion":7}"#, "2025-11-25"),
        ("{}", "2025-11-25"),
    ] {
        let answer = ask(&router, initialize(asked)).await;
        assert_eq!(answer["result"]["protocolVersion"], agreed, "{asked}");
        assert_eq!(answer["id"], 0);
    }
    assert_eq!(router.sessions.len(), 6);
}

#[tokio::test]
async fn a_session_keeps_no_more_of_its_client_than_it_may() {
    let router = router(&[]);
    let long = "x".repeat(MAX_KEPT_BYTES);
    let refused = router.clone().oneshot(initialize(&format!(r#"{{"capabilities":{{"x":"{long}"}}}}"#))).await;
    assert!(matches!(refused, Err(Rejection::InvalidParams { .. })));
    assert_eq!(router.sessions.len(), 0);
    let opened = router.clone().oneshot(initialize(&format!(r#"{{"clientInfo":{{"icons":"{long}"}}}}"#))).await;
    let Ok(Answer::Opened { session, .. }) = opened else { panic!("no session") };
    assert_eq!(router.sessions.get(&session, CI).unwrap().client_info, None);
}

#[tokio::test]
async fn a_session_cancels_its_own_requests_and_ends_at_its_servers() {
    let a = backend("a", &["t"]);
    let router = router(&[Arc::clone(&a)]);
    let message = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}"#;
    router.clone().oneshot(request(Operation::Cancelled, message)).await.unwrap();

    let Ok(Answer::Opened { session, .. }) = router.clone().oneshot(initialize("{}")).await else { panic!() };
    let session = router.sessions.get(&session, CI).unwrap();
    let mut running = call("a__t");
    running.session = Some(Arc::clone(&session));
    let running = Cancellable::begin(&running).unwrap();
    let mut cancelled = request(Operation::Cancelled, message);
    cancelled.session = Some(Arc::clone(&session));
    router.clone().oneshot(cancelled).await.unwrap();
    assert_eq!(running.cancelled().now_or_never(), Some(()));

    let mut ended = request(Operation::SessionEnded, message);
    ended.session = Some(Arc::clone(&session));
    router.oneshot(ended).await.unwrap();
    assert_eq!(*a.ended.lock().unwrap(), [session.key]);
}

#[tokio::test]
async fn discovery_says_what_is_served_and_ping_is_answered() {
    let router = router(&[]);
    let discover = request(Operation::Discover, r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#);
    let result = &ask(&router, discover).await["result"];
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["supportedVersions"][0], "2026-07-28");
    assert_eq!(result["cacheScope"], "public");
    let ping = request(Operation::Ping, r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
    assert_eq!(ask(&router, ping).await, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
}

#[tokio::test]
async fn models_are_listed_for_who_may_call_them_and_tools_bear_their_names() {
    let router =
        router(&[backend("a", &["m"]), Arc::new(TestBackend::model("chat")), Arc::new(TestBackend::model("x"))]);
    let mut request = list();
    request.operation = Operation::ListModels;
    request.filter = Filter::new(|wanted| wanted != Wanted::Tool("x"));
    let models = json!({"models": [{"name": "chat", "created": 60}]});
    assert_eq!(ask(&router, request).await["result"], models);
    assert_eq!(names(&ask(&router, list()).await), ["a__m", "chat", "x"]);
    assert_eq!(ask(&router, call("chat")).await["result"], json!({}));
}
