//! Paths, methods, `Accept` and `Content-Type`.

use futures_util::stream;

use super::*;

#[tokio::test]
async fn the_content_type_is_json_or_not_said() {
    for (kind, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/jsonp", 415),
        ("", 415),
    ] {
        let answered = Front::new().post(&[("content-type", kind)], PING).await;
        assert_eq!(answered.status, status, "{kind}");
        if status == 415 {
            assert_eq!(answered.code(), -32600);
        }
    }
    assert_eq!(Front::new().post(&[], PING).await.status, 200);
}

#[tokio::test]
async fn the_answers_form_is_one_the_client_takes() {
    for (accept, status, kind) in [
        ("*/*", 200, "application/json"),
        ("application/json", 200, "application/json"),
        ("application/json, text/event-stream", 200, "application/json"),
        ("text/event-stream", 200, "text/event-stream"),
        ("text/html", 406, "application/json"),
    ] {
        let answered = Front::new().post(&[("accept", accept)], PING).await;
        assert_eq!((answered.status, answered.headers["content-type"].to_str().unwrap()), (status, kind), "{accept}");
    }
}

#[tokio::test]
async fn a_stream_becomes_one_message_for_a_client_without_events() {
    let front = || {
        Front::answering(|request| {
            let messages = [Bytes::from_static(b"{}"), crate::backends::answer::response(request.id_text(), "{}")];
            Ok(Answer::Stream(Box::pin(stream::iter(messages.map(Ok)))))
        })
    };
    let plain = front().post(&[("accept", "*/*")], PING).await;
    assert_eq!(plain.body, r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
    let both = front().post(&[("accept", "application/json, text/event-stream")], PING).await;
    assert_eq!(both.headers["content-type"], "text/event-stream");
    assert_eq!(both.body.matches("data: ").count(), 2);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_of_events_as_one() {
    let front = Front::answering(|_| Err(Rejection::UnknownTool { tool: "t".into() }));
    let answered = front.post(&[("accept", "text/event-stream")], PING).await;
    assert_eq!(
        (answered.status, &answered.headers["content-type"]),
        (200, &HeaderValue::from_static("text/event-stream"))
    );
    assert!(answered.body.contains(r#"data: {"jsonrpc":"2.0","id":7,"error":{"code":-32602"#));

    let front = Front::answering(|_| Err(Rejection::RateLimited { retry_after: Duration::from_secs(3) }));
    let answered = front.post(&[("accept", "text/event-stream")], PING).await;
    assert_eq!((answered.status, answered.code()), (429, -31429));
    assert_eq!(answered.headers["retry-after"], "3");
}

#[tokio::test]
async fn refusals_echo_the_id_as_it_was_written() {
    let front = Front::answering(|_| Err(Rejection::Internal));
    for id in ["7", "0", "-1", "\"q\"", "\"\\u0041\"", "123456789012345678901234567890"] {
        let answered = front.post(&[], &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).await;
        assert!(answered.body.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error""#)), "{}", answered.body);
    }
}

#[tokio::test]
async fn methods_that_do_not_fit_are_told_which_do() {
    for (method, path, allow) in [
        (Method::PATCH, "/mcp", "GET, POST, DELETE"),
        (Method::PUT, "/servers/crm/mcp", "GET, POST, DELETE"),
        (Method::GET, "/mcp/v1/tools/invoke", "POST"),
        (Method::POST, "/mcp/v2/tools", "GET"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Full::new(Bytes::new())).unwrap();
        let refused = Front::new().ask(request).await.unwrap_err();
        assert_eq!(refused, Rejection::MethodNotAllowed { allow }, "{path}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_configured_is_no_path_whatever_is_asked_of_it() {
    let front = Front::new();
    for (method, body) in [
        (Method::POST, PING),
        (Method::POST, r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#),
        (Method::POST, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
        (Method::POST, "no json"),
        (Method::DELETE, ""),
        (Method::GET, ""),
    ] {
        assert_eq!(front.send(method, "/servers/nobody/mcp", &[], body).await.status, 404, "{body}");
    }
    assert!(front.nothing_passed());
}

#[tokio::test]
async fn at_one_servers_door_tools_have_their_short_names() {
    for (name, full) in [
        ("find".to_owned(), "crm__find".to_owned()),
        ("a__b".to_owned(), "crm__a__b".to_owned()),
        // As the catalogue cuts it.
        ("n".repeat(80), full_name("crm", "__", &"n".repeat(80))),
    ] {
        let front = Front::new();
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
        assert_eq!(front.send(Method::POST, "/servers/crm/mcp", &[], &call).await.status, 200);
        let request = front.passed();
        assert_eq!(**request.tool().unwrap(), *full);
        assert_eq!(request.server.as_deref(), Some("crm"));
    }
    let front = Front::new();
    front.post(&[], r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm__find"}}"#).await;
    assert_eq!(**front.passed().tool().unwrap(), *"crm__find");
}
