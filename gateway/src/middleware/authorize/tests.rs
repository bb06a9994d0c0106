use std::sync::Mutex;

use portcullis_policies::yaml::Document;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::mcp::operation::ResourceUri;
use crate::mcp::task::{Task, TaskVerb};
use crate::mcp::test_request::{call, call_with, list, request};

const POLICIES: &str = r#"
policies:
  - name: ci
    subjects: {roles: [ci]}
    tools: {allow: ["crm__*"], deny: ["crm__delete_*"]}
    rateLimits: [{tools: ["crm__search"], limit: 5/minute}]
  - name: careful
    subjects: {roles: [ci]}
    tools: {allow: ["files__read"]}
    when: 'args.path == "/srv"'
  - name: elsewhere
    subjects: {roles: [ci]}
    tools: {allow: ["far__*"]}
    network: {allow: [10.0.0.0/8]}
"#;

/// What passes, and the request as it went on.
async fn pass(metrics: &Arc<Metrics>, request: Box<McpRequest>) -> Result<Box<McpRequest>, Rejection> {
    let policies = PolicySet::compile(&[Document::parse(POLICIES, "p.yaml").unwrap()]).unwrap();
    let passed = Mutex::new(None);
    let inner = service_fn(|request: Box<McpRequest>| {
        *passed.lock().unwrap() = Some(request);
        std::future::ready(Ok::<_, Rejection>(()))
    });
    AuthorizeLayer::new(Arc::new(policies), Arc::clone(metrics)).layer(inner).oneshot(request).await?;
    Ok(passed.into_inner().unwrap().expect("what is let through reaches the inner service"))
}

#[tokio::test]
async fn what_is_allowed_goes_on_with_its_limits() {
    let metrics = Arc::default();
    let searching = pass(&metrics, call("crm__search")).await.unwrap();
    assert_eq!(searching.limits.len(), 1);
    assert!(searching.record.decision.get().unwrap().is_allowed());
    assert!(pass(&metrics, call("crm__find")).await.unwrap().limits.is_empty());
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains(r#"portcullis_policy_decisions_total{outcome="allow",policy="ci"} 2"#), "{text}");
}

#[tokio::test]
async fn what_is_denied_looks_like_a_tool_that_does_not_exist() {
    let metrics = Arc::default();
    for tool in ["crm__delete_all", "other__tool"] {
        let request = call(tool);
        let record = Arc::clone(&request.record);
        assert_eq!(pass(&metrics, request).await.unwrap_err(), Rejection::UnknownTool { tool: tool.to_owned() });
        assert_eq!(record.status(), Some(CallStatus::Denied));
        assert!(!record.decision.get().unwrap().is_allowed());
    }
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains(r#"portcullis_policy_decisions_total{outcome="deny",policy="ci"} 1"#), "{text}");
    assert!(text.contains(r#"portcullis_policy_decisions_total{outcome="deny",policy="default"} 1"#), "{text}");
}

#[tokio::test]
async fn the_refusal_repeats_the_name_as_the_caller_wrote_it() {
    let mut request = call("t");
    request.operation = Operation::CallTool { tool: "other__t".into() };
    let refused = pass(&Arc::default(), request).await.unwrap_err();
    assert_eq!(refused, Rejection::UnknownTool { tool: "t".to_owned() });
}

#[tokio::test]
async fn conditions_see_the_arguments_and_only_they_need_them() {
    let metrics = Arc::default();
    assert!(pass(&metrics, call_with("files__read", r#"{"path":"/srv"}"#)).await.is_ok());
    assert!(pass(&metrics, call_with("files__read", r#"{"path":"/etc"}"#)).await.is_err());
    let twice = r#"{"path":"/srv","path":"/etc"}"#;
    let refused = pass(&metrics, call_with("files__read", twice)).await.unwrap_err();
    assert!(matches!(refused, Rejection::InvalidRequest { .. }));
    assert!(pass(&metrics, call_with("crm__find", twice)).await.is_ok());
}

#[tokio::test]
async fn the_callers_address_counts_and_an_unknown_one_denies() {
    for (ip, allowed) in
        [(Some("10.1.1.1".parse().unwrap()), true), (Some("11.1.1.1".parse().unwrap()), false), (None, false)]
    {
        let mut request = call("far__t");
        request.client_ip = ip;
        assert_eq!(pass(&Arc::default(), request).await.is_ok(), allowed, "{ip:?}");
    }
}

#[tokio::test]
async fn a_list_shows_what_may_be_called() {
    let listing = pass(&Arc::default(), list()).await.unwrap();
    for (tool, shown) in [("crm__search", true), ("crm__delete_all", false), ("other__t", false), ("far__t", false)] {
        assert_eq!(listing.filter.shows(Wanted::Tool(tool)), shown, "{tool}");
    }
    // It depends on the arguments, which a list does not have.
    assert!(listing.filter.shows(Wanted::Tool("files__read")));
}

const READERS: &str = r#"
policies:
  - name: readers
    subjects: {roles: [ci]}
    prompts: {allow: ["crm__*"]}
    resources: {allow: ["note://*", "crm+file:///*"], deny: ["*secret*", "far+*"]}
"#;

fn reading(own: &str, public: &str) -> Operation {
    Operation::ReadResource(ResourceUri { own: own.into(), public: public.into(), upstream: None })
}

#[tokio::test]
async fn a_resource_is_decided_by_both_of_its_uris_and_a_deny_wins() {
    let policies = PolicySet::compile(&[Document::parse(READERS, "p.yaml").unwrap()]).unwrap();
    let layer = AuthorizeLayer::new(Arc::new(policies), Arc::default());
    for (operation, allowed) in [
        (reading("note://a", "crm+note://a"), true),
        (reading("file:///a", "crm+file:///a"), true),
        (reading("file:///a", "other+file:///a"), false),
        (reading("note://secret", "crm+note://secret"), false),
        (reading("note://a", "far+note://a"), false),
        (reading("x:y", "crm+x:y"), false),
        (Operation::GetPrompt { prompt: "crm__ask".into() }, true),
        (Operation::CompletePrompt { prompt: "other__ask".into() }, false),
        (Operation::CallTool { tool: "crm__ask".into() }, false),
    ] {
        let message = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"uri":"u","name":"n"}}"#;
        let request = crate::mcp::test_request::request(operation.clone(), message);
        let mut listing = list();
        let inner = service_fn(|_| std::future::ready(Ok::<_, Rejection>(())));
        let decided = layer.clone().layer(inner).oneshot(request).await;
        assert_eq!(decided.is_ok(), allowed, "{operation:?}");
        layer
            .layer(service_fn(|_: Box<McpRequest>| std::future::ready(Ok::<_, Rejection>(()))))
            .check(&mut listing)
            .unwrap();
        assert_eq!(listing.filter.shows(operation.wanted().unwrap()), allowed, "{operation:?}");
    }
}

/// Nothing but the arguments of tools and prompts can satisfy a condition.
#[tokio::test]
async fn a_resource_has_no_arguments() {
    let text = "policies: [{name: p, resources: {allow: [\"*\"]}, when: 'args.ok == true'}]";
    let policies = PolicySet::compile(&[Document::parse(text, "p.yaml").unwrap()]).unwrap();
    let layer = AuthorizeLayer::new(Arc::new(policies), Arc::default());
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"uri":"a:b","arguments":{"ok":true}}}"#;
    let request = crate::mcp::test_request::request(reading("a:b", "crm+a:b"), message);
    let inner = service_fn(|_| std::future::ready(Ok::<_, Rejection>(())));
    let refused = layer.layer(inner).oneshot(request).await.unwrap_err();
    assert_eq!(refused, Rejection::UnknownResource { uri: "a:b".to_owned() });
}

/// A request about a task that a tool made.
fn about_task_of(tool: &str) -> Box<McpRequest> {
    let task = Task { upstream: "crm".into(), tool: tool.into(), own: "7".into(), core: None };
    let message = r#"{"jsonrpc":"2.0","id":"q","method":"tasks/get","params":{"taskId":"x"}}"#;
    request(Operation::Task { verb: TaskVerb::Get, task: Arc::new(task) }, message)
}

#[tokio::test]
async fn a_task_is_decided_as_the_tool_that_made_it() {
    assert!(pass(&Arc::default(), about_task_of("crm__find")).await.is_ok());
    for tool in ["crm__delete_all", "other__tool", "far__tool"] {
        assert_eq!(pass(&Arc::default(), about_task_of(tool)).await.unwrap_err(), Rejection::UnknownTask, "{tool}");
    }
    // On its arguments it was decided when the task was made.
    assert!(pass(&Arc::default(), about_task_of("files__read")).await.is_ok());
}

#[tokio::test]
async fn a_method_of_an_extension_is_decided_as_a_tool() {
    let asked = |upstream: &str| {
        let tool = format!("{upstream}__notes/list").into();
        let (upstream, method) = (upstream.into(), "notes/list".into());
        request(Operation::Extension { upstream, method, tool }, r#"{"jsonrpc":"2.0","id":"q","method":"notes/list"}"#)
    };
    assert!(pass(&Arc::default(), asked("crm")).await.is_ok());
    assert_eq!(pass(&Arc::default(), asked("other")).await.unwrap_err(), Rejection::UnknownMethod);
}
