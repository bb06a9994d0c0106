//! Streams handed on message by message.

use super::*;

const RESULT: &str = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#;

fn streaming(messages: &'static [&'static str]) -> Fixture {
    Fixture::new(move |heard| match heard.method.as_str() {
        "tools/call" => Say::Stream(messages.iter().map(|message| (*message).to_owned()).collect()),
        _ => legacy(heard),
    })
}

fn with_token(version: Version, token: &str) -> McpRequest {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"crm__find","_meta":{{"progressToken":{token}}}}}}}"#
    );
    request(version, &body)
}

#[tokio::test(start_paused = true)]
async fn progress_arrives_under_the_clients_own_token() {
    for token in [r#""a\u00e9\"""#, "7", "-1", "123456789012345678901234567890", "1.50"] {
        for version in [Version::V2025_06_18, Version::MODERN] {
            let fixture = streaming(&[
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.0e1,"progressToken":$ID}}"#,
                RESULT,
            ]);
            let heard = fixture.hear(with_token(version, token)).await;
            assert_eq!(
                heard[0],
                format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":1.0e1,"progressToken":{token}}}}}"#
                )
            );
            assert_eq!(heard.len(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_along_with_the_head_is_handed_on_first() {
    const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$ID}}"#;
    const NOBODYS: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
    for messages in [&[PROGRESS, PROGRESS, RESULT][..], &[NOBODYS, RESULT], &[RESULT]] {
        let fixture = Fixture::new(move |heard| match heard.method.as_str() {
            "tools/call" => Say::Begun(messages.iter().map(|message| (*message).to_owned()).collect()),
            _ => legacy(heard),
        });
        let heard = fixture.hear(with_token(Version::V2025_06_18, "5")).await;
        assert_eq!(heard, streaming(messages).hear(with_token(Version::V2025_06_18, "5")).await);
        assert_eq!(heard.last().unwrap(), r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#);
        assert_eq!(heard.len(), messages.iter().filter(|message| **message != NOBODYS).count());
        settle().await;
        assert_eq!(fixture.script.heard("response").len(), usize::from(messages[0] == NOBODYS));
        assert_eq!(fixture.outcome("ok"), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_handed_on_before_the_response_is_there() {
    let fixture = streaming(&[r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#]);
    let Ok(Answer::Stream(mut stream)) = fixture.call(of_legacy_client()).await else { panic!() };
    assert!(stream.next().await.unwrap().is_ok());
    // It then stays silent for as long as it may.
    let started = Instant::now();
    let failed = stream.next().await.unwrap();
    assert!(matches!(failed, Err(Rejection::Upstream(failure)) if failure.kind == UpstreamFailureKind::TimedOut));
    assert_eq!(started.elapsed(), TIMEOUT);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_clients_business_is_not_handed_on() {
    let fixture = streaming(&[
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1,"progressToken":"another"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        r#"{"jsonrpc":"2.0","id":0,"method":"sampling/unheard","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#,
        RESULT,
    ]);
    let heard = fixture.hear(with_token(Version::MODERN, "1")).await;
    assert_eq!(heard, [r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#]);
    settle().await;
    let answers: Vec<String> = fixture.script.heard("response").into_iter().map(|answer| answer.body).collect();
    assert!(answers[0].contains(r#""id":0,"error":{"code":-32601"#), "{answers:?}");
    assert_eq!(answers[1], r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.script.heard("tools/list").len(), 2, "a changed list is fetched");
}

#[tokio::test(start_paused = true)]
async fn a_stateless_client_that_cannot_be_asked_is_told_what_is_missing() {
    let fixture = streaming(&[r#"{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{}}"#, RESULT]);
    let refused = fixture.call(with_token(Version::MODERN, "1")).await.unwrap_err();
    assert_eq!(refused, Rejection::MissingCapability { required: serde_json::json!({"sampling": {}}) });
    // One with a handshake told the server what it can be asked: it goes on.
    let heard = fixture.hear(with_token(Version::NEWEST_LEGACY, "1")).await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    settle().await;
    let answers = fixture.script.heard("response");
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|answer| answer.body.contains(r#""id":0,"error":{"code":-32601"#)), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_fails_the_call() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "tools/call" => {
            Say::Broken(vec![r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#.to_owned()])
        }
        _ => legacy(heard),
    });
    let Ok(Answer::Stream(stream)) = fixture.call(of_legacy_client()).await else { panic!() };
    let heard: Vec<_> = stream.collect().await;
    assert!(
        matches!(&heard[..], [Ok(_), Err(Rejection::Upstream(f))] if f.kind == UpstreamFailureKind::Disconnected),
        "{heard:?}"
    );
    assert_eq!(fixture.outcome("disconnected"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_cancels_for_stateless_clients_and_ends_an_anonymous_session() {
    let fixture = streaming(&[r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$ID}}"#]);
    let request = McpRequest { principal: Arc::new(Principal::anonymous([])), ..with_token(Version::MODERN, "\"t\"") };
    let Ok(Answer::Stream(stream)) = fixture.call(request).await else { panic!() };
    drop(stream);
    settle().await;
    assert_eq!(fixture.script.heard("notifications/cancelled").len(), 1);
    assert_eq!(fixture.script.heard("DELETE").len(), 1);
}
