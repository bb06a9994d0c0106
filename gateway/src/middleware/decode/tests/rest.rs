//! The REST flavour.

use super::*;
use crate::mcp::operation::ItemKind;

const INVOKE: &str = "/mcp/v1/tools/invoke";

async fn invoke(front: &Front, body: &str) -> Answered {
    front.send(Method::POST, INVOKE, &[], body).await
}

fn results(result: &'static str) -> fn(&McpRequest) -> Result<Answer, Rejection> {
    match result {
        "number" => |request| Ok(Answer::result(request.id_text(), r#"{"content":[],"n":1.50e2,"b":1,"a":2}"#)),
        "failed" => |request| {
            let result = r#"{"content":[{"type":"text","text":"no"},{"type":"image"},{"type":"text","text":"way"}],"isError":true}"#;
            Ok(Answer::result(request.id_text(), result))
        },
        "error" => |request| {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-1,"message":"broken"}}}}"#, request.id_text());
            Ok(Answer::Message { message: text.into(), code: Some(-1) })
        },
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_invocation_is_the_call_it_stands_for() {
    for body in [r#"{"name":"crm__find","arguments":{"a":1.50}}"#, r#" {"arguments":{"a":1.50},"name":"crm__find"}"#] {
        let front = Front::new();
        let answered = invoke(&front, body).await;
        assert_eq!(answered.json(), serde_json::json!({"success": true, "result": {}, "error": null}));
        let request = front.passed();
        assert_eq!((&**request.tool().unwrap(), request.arguments_text()), ("crm__find", r#"{"a":1.50}"#));
    }
    let front = Front::new();
    invoke(&front, r#"{"name":"t"}"#).await;
    assert_eq!(front.passed().arguments_text(), "{}");
}

#[tokio::test]
async fn a_result_is_handed_on_as_it_was_written() {
    let answered = invoke(&Front::answering(results("number")), r#"{"name":"t"}"#).await;
    assert_eq!(answered.body, r#"{"success":true,"result":{"content":[],"n":1.50e2,"b":1,"a":2},"error":null}"#);
}

#[tokio::test]
async fn a_failed_tool_and_an_error_are_no_success() {
    let failed = invoke(&Front::answering(results("failed")), r#"{"name":"t"}"#).await;
    assert_eq!(
        (failed.status, &failed.json()["success"], &failed.json()["error"]),
        (200, &Value::from(false), &Value::from("no\nway"))
    );
    assert_eq!(failed.json()["result"]["isError"], true);
    let error = invoke(&Front::answering(results("error")), r#"{"name":"t"}"#).await;
    assert_eq!(error.json(), serde_json::json!({"success": false, "result": null, "error": "broken"}));
}

#[tokio::test]
async fn an_invocation_says_its_tool_once_and_nothing_else() {
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        (r#"{"arguments":{}}"#, -32600),
        (r#"{"name":"a","name":"b"}"#, -32600),
        (r#"{"name":"a","n\u0061me":"b"}"#, -32600),
        (r#"{"name":"a","arguments":{},"arguments":{}}"#, -32600),
        (r#"{"name":"a","_meta":{}}"#, -32600),
        (r#"["a",{}]"#, -32600),
        (r#"{"name":7}"#, -32602),
        (r#"{"name":"a","arguments":[]}"#, -32602),
    ] {
        let front = Front::new();
        assert_eq!(invoke(&front, body).await.code(), code, "{body}");
        assert!(front.nothing_passed(), "{body}");
    }
    let deep = format!(r#"{{"name":"a","arguments":{{"a":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(invoke(&Front::new(), &deep).await.code(), -32700);
}

#[tokio::test]
async fn tools_are_listed_with_this_flavours_names() {
    let front = Front::answering(|request| {
        let tools =
            r#"{"tools":[{"name":"t","title":"T","description":"d","inputSchema":{"b":1.0,"a":2}},{"name":"u"}]}"#;
        Ok(Answer::result(request.id_text(), tools))
    });
    let answered = front.send(Method::GET, "/mcp/v2/tools", &[], "").await;
    assert_eq!(
        answered.body,
        r#"{"tools":[{"name":"t","description":"d","input_schema":{"b":1.0,"a":2}},{"name":"u","description":null,"input_schema":null}]}"#
    );
    assert_eq!(front.passed().operation, Operation::List(ItemKind::Tool));
}

#[tokio::test]
async fn headers_of_mcp_mean_nothing_here() {
    for headers in
        [[("mcp-protocol-version", "2026-07-28")], [("mcp-protocol-version", "x")], [("mcp-session-id", "x")]]
    {
        let front = Front::new();
        assert_eq!(front.send(Method::POST, INVOKE, &headers, r#"{"name":"t"}"#).await.status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn refusals_go_out_to_be_answered_in_this_flavour() {
    let front = Front::answering(|_| Err(Rejection::UnknownTool { tool: "t".into() }));
    let request = Request::post(INVOKE).body(Full::new(Bytes::from_static(br#"{"name":"t"}"#))).unwrap();
    assert_eq!(front.ask(request).await.unwrap_err(), Rejection::UnknownTool { tool: "t".into() });
}
