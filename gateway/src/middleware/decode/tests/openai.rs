//! OpenAI's doors.

use futures_util::{StreamExt, stream};
use serde_json::json;

use super::*;

const COMPLETIONS: &str = "/v1/chat/completions";
const ASKED: &str = r#"{"model":"chat","messages":[{"role":"user","content":"hi"}]}"#;
const STREAMED: &str = r#"{"model":"chat","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;

const RESULT: &str = r#"{"content":[{"type":"text","text":"Hello"}],"structuredContent":{"model":"chat","text":"Hello","finishReason":"stop","usage":{"promptTokens":9,"completionTokens":2}},"_meta":{"portcullis/cachedTokens":4}}"#;

async fn complete(front: &Front, body: &str) -> Answered {
    front.send(Method::POST, COMPLETIONS, &[("accept", "application/json")], body).await
}

fn answered(request: &McpRequest) -> Result<Answer, Rejection> {
    Ok(Answer::result(request.id_text(), RESULT))
}

/// What the events of a body hold, save the last, which is no JSON.
fn chunks(body: &str) -> Vec<Value> {
    let events: Vec<&str> = body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
}

fn usage() -> Value {
    let details = json!({"cached_tokens": 4});
    json!({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "prompt_tokens_details": details})
}

#[tokio::test]
async fn a_completion_is_a_call_of_the_models_tool() {
    let front = Front::answering(answered);
    let answer = complete(&front, ASKED).await;
    assert_eq!(answer.status, 200);
    let completion = answer.json();
    assert_eq!((&completion["object"], &completion["model"]), (&json!("chat.completion"), &json!("chat")));
    assert!(completion["id"].as_str().unwrap().starts_with("chatcmpl-") && completion["created"].is_u64());
    let message = json!({"role": "assistant", "content": "Hello", "refusal": null});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
    assert_eq!((&completion["choices"], &completion["usage"]), (&json!([choice]), &usage()));
    let request = front.passed();
    assert_eq!(&**request.tool().unwrap(), "chat");
    let arguments: Value = serde_json::from_str(request.arguments_text()).unwrap();
    assert_eq!(arguments, json!({"messages": [{"role": "user", "content": "hi"}]}));
    assert!(!request.takes_stream);
    assert_eq!(request.record.rpc_method.get(), Some(&"tools/call"));
}

#[tokio::test]
async fn a_stream_is_chunks_that_end_with_done() {
    let front = Front::answering(|request| {
        assert!(request.takes_stream && request.params.meta.progress_token.is_some());
        let piece = |text: &str| {
            let message = json!({"method": "notifications/progress", "params": {"message": text}});
            Ok(Bytes::from(message.to_string()))
        };
        let Answer::Message { message, .. } = answered(request)? else { unreachable!() };
        Ok(Answer::Stream(stream::iter([piece("Hel"), piece("lo"), Ok(message)]).boxed()))
    });
    let answer = complete(&front, STREAMED).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    let chunks = chunks(&answer.body);
    let deltas: Vec<&Value> = chunks[..4].iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    let role = json!({"role": "assistant", "content": ""});
    assert_eq!(deltas, [&role, &json!({"content": "Hel"}), &json!({"content": "lo"}), &json!({})]);
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!((&chunks[4]["choices"], &chunks[4]["usage"]), (&json!([]), &usage()));
    assert_eq!(chunks.len(), 5);
    for chunk in &chunks {
        assert_eq!((&chunk["id"], &chunk["object"]), (&chunks[0]["id"], &json!("chat.completion.chunk")));
        assert!(chunk.as_object().unwrap().contains_key("usage"));
    }
}

#[tokio::test]
async fn an_answer_that_came_in_one_is_streamed_all_the_same() {
    let front = Front::answering(answered);
    let body = r#"{"model":"chat","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    let chunks = chunks(&complete(&front, body).await.body);
    let contents: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["content"]).collect();
    assert_eq!(contents, [&json!(""), &json!("Hello"), &Value::Null]);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()), "nobody asked for it");
}

#[tokio::test]
async fn what_breaks_a_stream_off_is_told_in_it() {
    let front = Front::answering(|_| Ok(Answer::Stream(stream::iter([Err(Rejection::ModelFailed)]).boxed())));
    let body = complete(&front, STREAMED).await.body;
    let last = body.trim_end().rsplit("\n\n").next().unwrap();
    let error: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["type"], "server_error");
    assert!(!body.contains("[DONE]"));
}

#[tokio::test]
async fn only_models_complete_and_others_are_called_by_no_name() {
    for model in ["crm", "crm__find", "gpt-4", "CHAT"] {
        let front = Front::answering(|request| Err(Rejection::UnknownTool { tool: request.called_name().to_owned() }));
        let body = ASKED.replace("chat", model);
        let request = Request::post(COMPLETIONS).body(Full::new(Bytes::from(body))).unwrap();
        assert_eq!(front.ask(request).await.unwrap_err(), Rejection::UnknownTool { tool: model.to_owned() });
        assert_eq!(&**front.passed().tool().unwrap(), "", "so that it is counted and refused");
    }
}

#[tokio::test]
async fn refusals_go_out_to_be_answered_as_openais() {
    let front = Front::answering(|_| Err(Rejection::ModelLoading));
    let request = Request::post(COMPLETIONS).body(Full::new(Bytes::from(ASKED))).unwrap();
    assert_eq!(front.ask(request).await.unwrap_err(), Rejection::ModelLoading);
    let front = Front::new();
    let request = Request::post(COMPLETIONS).body(Full::new(Bytes::from(ASKED.replace("model", "modle")))).unwrap();
    assert!(matches!(front.ask(request).await.unwrap_err(), Rejection::BadParameter { param, .. } if param == "model"));
    assert!(front.nothing_passed());
}

#[tokio::test]
async fn what_is_wrong_is_a_call_all_the_same_and_carries_its_refusal() {
    let front = Front::answering(|request| Err(request.refusal.clone().unwrap()));
    let body = ASKED.replace("}]", "}],\"temperature\":9");
    let request = Request::post(COMPLETIONS).body(Full::new(Bytes::from(body))).unwrap();
    let refused = front.ask(request).await.unwrap_err();
    assert!(matches!(refused, Rejection::BadParameter { param, .. } if param == "temperature"));
    let request = front.passed();
    assert_eq!(&**request.tool().unwrap(), "chat");
    assert!(request.arguments_text().contains("temperature"));
}

#[tokio::test]
async fn a_model_is_told_of_by_its_name() {
    let listing = || {
        Front::answering(|request| {
            Ok(Answer::result(
                request.id_text(),
                r#"{"models":[{"name":"a","created":1},{"name":"chat","created":7}]}"#,
            ))
        })
    };
    let front = listing();
    let model = front.send(Method::GET, "/v1/models/chat", &[], "").await.json();
    assert_eq!(model, json!({"id": "chat", "object": "model", "created": 7, "owned_by": "portcullis"}));
    assert_eq!(front.passed().operation, Operation::ListModels);
    let request = Request::get("/v1/models/gpt-4").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(listing().ask(request).await.unwrap_err(), Rejection::UnknownTool { tool: "gpt-4".to_owned() });
}

#[tokio::test]
async fn nothing_follows_what_breaks_a_stream_off() {
    let front = Front::answering(|_| {
        let after = Ok(Bytes::from_static(br#"{"params":{"message":"late"}}"#));
        Ok(Answer::Stream(stream::iter([Err(Rejection::ModelFailed), after]).chain(stream::pending()).boxed()))
    });
    assert!(!complete(&front, STREAMED).await.body.contains("late"));
}

#[tokio::test]
async fn what_ends_a_line_for_some_readers_is_escaped() {
    let front = Front::answering(|_| {
        let message = json!({"params": {"message": "a\u{2028}b\u{85}"}}).to_string();
        Ok(Answer::Stream(stream::iter([Ok(Bytes::from(message))]).boxed()))
    });
    let body = complete(&front, STREAMED).await.body;
    assert!(body.contains(r"a\u2028b\u0085") && !body.contains(['\u{2028}', '\u{85}']), "{body}");
}

#[tokio::test]
async fn accept_and_headers_of_mcp_mean_nothing_here() {
    for header in [("accept", "text/html"), ("mcp-protocol-version", "2026-07-28"), ("mcp-session-id", "x")] {
        let front = Front::answering(answered);
        assert_eq!(front.send(Method::POST, COMPLETIONS, &[header], ASKED).await.status, 200, "{header:?}");
    }
}

#[tokio::test]
async fn models_are_listed_as_openai_has_it() {
    let front = Front::answering(|request| {
        Ok(Answer::result(request.id_text(), r#"{"models":[{"name":"chat","created":7}]}"#))
    });
    let listed = front.send(Method::GET, "/v1/models", &[], "").await.json();
    let model = json!({"id": "chat", "object": "model", "created": 7, "owned_by": "portcullis"});
    assert_eq!(listed, json!({"object": "list", "data": [model]}));
    let request = front.passed();
    assert_eq!((&request.operation, request.record.rpc_method.get()), (&Operation::ListModels, Some(&"models")));
    assert_eq!(Front::new().send(Method::POST, "/v1/models", &[], "").await.status, 405);
    assert_eq!(Front::new().send(Method::GET, COMPLETIONS, &[], "").await.status, 405);
}

#[tokio::test]
async fn a_model_is_no_server_with_a_path_of_its_own() {
    let post = |path| async move { Front::new().send(Method::POST, path, &[], PING).await.status };
    assert_eq!((post("/servers/crm/mcp").await, post("/servers/chat/mcp").await), (200, 404));
}
