use futures_util::stream;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;
use crate::rejection::Rejection;

const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

fn messages(items: Vec<Result<&'static str, Rejection>>) -> Answer {
    Answer::Stream(Box::pin(stream::iter(items.into_iter().map(|item| item.map(Bytes::from)))))
}

fn answer(message: &'static str, code: Option<i64>) -> Answer {
    Answer::Message { message: message.into(), code }
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_is_events_that_no_proxy_holds_back() {
    let response = streamed(messages(vec![Ok(NOTE), Ok(RESULT)]), "1", Era::Legacy, None);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(text(response).await, format!("event: message\ndata: {NOTE}\n\nevent: message\ndata: {RESULT}\n\n"));
}

#[tokio::test]
async fn one_message_is_json_unless_only_events_are_taken() {
    let response = streamed(answer(RESULT, None), "1", Era::Legacy, None);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let response = only_streamed(answer(RESULT, None), "1", Era::Legacy, None);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(text(response).await, format!("event: message\ndata: {RESULT}\n\n"));
}

#[tokio::test]
async fn a_session_is_named_in_either_form() {
    let opened = || Answer::Opened { message: RESULT.into(), session: "s1".into() };
    for response in [streamed(opened(), "1", Era::Legacy, None), only_streamed(opened(), "1", Era::Legacy, None)] {
        assert_eq!(response.headers()["mcp-session-id"], "s1");
    }
}

#[tokio::test]
async fn a_refusal_within_a_stream_is_its_last_event() {
    let response = streamed(messages(vec![Ok(NOTE), Err(Rejection::TimedOut)]), "\"q\"", Era::Legacy, None);
    assert_eq!(response.status(), 200);
    let body = text(response).await;
    let last = body.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!("q"), &json!(-31504)));
}

#[tokio::test]
async fn a_client_without_events_gets_the_response_alone() {
    let Answer::Message { message, .. } = last(messages(vec![Ok(NOTE), Ok(RESULT)]), "1", Era::Legacy).await else {
        panic!("no message");
    };
    assert_eq!(message, RESULT);
    let Answer::Message { message, .. } =
        last(messages(vec![Ok(NOTE), Err(Rejection::TimedOut)]), "1", Era::Legacy).await
    else {
        panic!("no message");
    };
    assert!(message.ends_with(br#""error":{"code":-31504,"message":"the request took too long"}}"#));
    let Answer::Message { message, .. } = last(messages(vec![]), "1", Era::Legacy).await else { panic!("no message") };
    assert!(message.starts_with(br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603"#));
}

#[tokio::test]
async fn a_notification_is_accepted_without_a_body() {
    let response = whole(Answer::Accepted, Era::Legacy);
    assert_eq!(response.status(), 202);
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn errors_of_stateless_upstreams_have_their_status() {
    for (code, modern) in [(-32601, 404), (-32022, 400), (-32020, 400), (-32600, 400), (-32602, 200), (-1, 200)] {
        assert_eq!(whole(answer(RESULT, Some(code)), Era::Modern).status(), modern, "{code}");
        assert_eq!(only_streamed(answer(RESULT, Some(code)), "1", Era::Modern, None).status(), modern, "{code}");
        assert_eq!(whole(answer(RESULT, Some(code)), Era::Legacy).status(), 200, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_kept_alive() {
    let begun = Instant::now();
    let slow = stream::once(Box::pin(async {
        tokio::time::sleep(KEEP_ALIVE_INTERVAL * 5 / 2).await;
        Ok(Bytes::from(RESULT))
    }));
    let mut body = streamed(Answer::Stream(Box::pin(slow)), "1", Era::Legacy, None).into_body();
    let mut events = Vec::new();
    while let Some(frame) = body.frame().await {
        events.push((begun.elapsed().as_secs(), frame.unwrap().into_data().unwrap()));
    }
    let keep_alive = Bytes::from_static(sse::KEEP_ALIVE);
    assert_eq!(events[..2], [(15, keep_alive.clone()), (30, keep_alive)]);
    assert_eq!((events.len(), events[2].0), (3, 37));
}
