use std::sync::Mutex;

use portcullis_policies::yaml::Document;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::mcp::test_request::{call, call_with, list};

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
        assert_eq!(listing.filter.shows(tool), shown, "{tool}");
    }
    // It depends on the arguments, which a list does not have.
    assert!(listing.filter.shows("files__read"));
}
