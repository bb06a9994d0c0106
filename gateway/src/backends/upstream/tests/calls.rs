//! What is sent again, what never is, and how a call fails.

use super::*;
use crate::backends::transport::TransportError;

/// A legacy server whose answers to `tools/call` are said by `say`.
fn calling(say: impl Fn(usize) -> Say + Send + Sync + 'static) -> Fixture {
    Fixture::new(move |heard| match heard.method.as_str() {
        "tools/call" => say(heard.nth),
        _ => legacy(heard),
    })
}

fn unreachable() -> Say {
    Say::Fail(TransportError::Unreachable("refused".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_opened_again_unseen_and_the_call_sent_once_more() {
    for lost in [|| Say::Fail(TransportError::SessionLost), || Say::Refusal(400, -32000)] {
        let fixture = calling(move |nth| if nth == 0 { lost() } else { Say::result(r#"{"content":[]}"#) });
        let heard = fixture.hear(of_legacy_client()).await;
        assert_eq!(heard, [r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#]);
        let calls = fixture.script.heard("tools/call");
        assert_eq!(calls.len(), 2);
        assert_ne!(calls[0].session(), calls[1].session());
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_again_fails_the_call() {
    let fixture = calling(|_| Say::Fail(TransportError::SessionLost));
    assert_eq!(fixture.failure(of_legacy_client()).await, UpstreamFailureKind::Failed);
    assert_eq!(fixture.script.heard("tools/call").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_is_never_sent_again() {
    for (said, kind) in [
        (TransportError::Disconnected("reset".to_owned()), UpstreamFailureKind::Disconnected),
        (TransportError::Garbage("<html>".to_owned()), UpstreamFailureKind::Garbage),
        (TransportError::Status(500), UpstreamFailureKind::Failed),
        (TransportError::Status(503), UpstreamFailureKind::Failed),
        (TransportError::Status(400), UpstreamFailureKind::Failed),
        (TransportError::Refused(401), UpstreamFailureKind::Refused),
        (TransportError::TimedOut, UpstreamFailureKind::TimedOut),
    ] {
        let error = said.clone();
        let fixture = calling(move |_| Say::Fail(error.clone()));
        assert_eq!(fixture.failure(of_legacy_client()).await, kind, "{said:?}");
        assert_eq!(fixture.script.heard("tools/call").len(), 1, "{said:?}");
        assert_eq!(fixture.outcome(kind.as_str()), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_surely_not_processed_is_sent_again_after_growing_pauses() {
    let fixture = calling(|nth| if nth < 3 { unreachable() } else { Say::result(r#"{"content":[]}"#) });
    let started = Instant::now();
    fixture.hear(of_legacy_client()).await;
    assert_eq!(started.elapsed().as_secs(), 1 + 2 + 4);
    assert_eq!(fixture.outcome("ok"), Some(1));
    assert_eq!(fixture.outcome("unreachable"), None);
    assert_eq!(fixture.is_up(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_circuit_opens_after_the_last_attempt_and_closes_with_a_success() {
    let fixture = calling(|nth| if nth < 5 { unreachable() } else { Say::result(r#"{"content":[]}"#) });
    let tool = fixture.upstream.find("crm__find", Capabilities::NONE, Instant::now() + TIMEOUT).await.unwrap().unwrap();
    settle().await;
    let call = || Arc::clone(&fixture.upstream).call(Box::new(of_legacy_client()), Callee::Tool(Arc::clone(&tool)));
    assert!(matches!(call().await, Err(Rejection::Upstream(_))));
    assert_eq!(fixture.is_up(), Some(0));
    let started = Instant::now();
    let Err(Rejection::Upstream(failure)) = call().await else { panic!() };
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(failure.retry_after.as_secs(), 16);
    assert_eq!(fixture.script.heard("tools/call").len(), 5);
    assert_eq!(fixture.outcome("circuit_open"), Some(1));
    tokio::time::sleep(failure.retry_after).await;
    assert!(call().await.is_ok());
    assert_eq!(fixture.is_up(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_when_it_said() {
    let busy = |seconds| Say::Fail(TransportError::Busy { retry_after: Some(Duration::from_secs(seconds)) });
    let fixture = calling(move |nth| if nth == 0 { busy(7) } else { Say::result(r#"{"content":[]}"#) });
    let started = Instant::now();
    fixture.hear(of_legacy_client()).await;
    assert_eq!(started.elapsed().as_secs(), 7);

    // Longer than the caller waits: it is told at once.
    let fixture = calling(move |_| busy(3600));
    let started = Instant::now();
    let Err(Rejection::Upstream(failure)) = fixture.call(of_legacy_client()).await else { panic!() };
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(failure.retry_after.as_secs(), 3600);
    assert_eq!(fixture.script.heard("tools/call").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hung_call_fails_in_time_and_others_go_on() {
    let fixture = calling(|nth| if nth == 0 { Say::Hang } else { Say::result(r#"{"content":[]}"#) });
    let started = Instant::now();
    let hung = async {
        let kind = fixture.failure(of_legacy_client()).await;
        (kind, started.elapsed())
    };
    let other = async {
        settle().await;
        fixture.hear(of_legacy_client()).await;
        started.elapsed()
    };
    let ((kind, after), other) = tokio::join!(hung, other);
    assert_eq!((kind, after), (UpstreamFailureKind::TimedOut, TIMEOUT));
    assert_eq!(other, Duration::ZERO);
    settle().await;
    assert_eq!(fixture.script.heard("notifications/cancelled").len(), 1, "a call given up on is cancelled");
}

#[tokio::test(start_paused = true)]
async fn only_the_response_to_the_call_is_taken() {
    for said in [
        r#"{"jsonrpc":"2.0","id":999999,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"$ID","result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":["#,
        r#"[{"jsonrpc":"2.0","id":$ID,"result":{}}]"#,
        "garbage",
    ] {
        let message = calling(move |_| Say::Message(said.to_owned()));
        assert_eq!(message.failure(of_legacy_client()).await, UpstreamFailureKind::Garbage, "{said}");
        // In a stream there may be other things before it.
        let (broken, silent) = if said.contains("method") {
            (UpstreamFailureKind::Disconnected, UpstreamFailureKind::TimedOut)
        } else {
            (UpstreamFailureKind::Garbage, UpstreamFailureKind::Garbage)
        };
        let stream = calling(move |_| Say::Broken(vec![said.to_owned()]));
        assert_eq!(stream.failure(of_legacy_client()).await, broken, "{said}");
        let begun = calling(move |_| Say::Begun(vec![said.to_owned()]));
        assert_eq!(begun.failure(of_legacy_client()).await, silent, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_without_an_id_is_the_calls_own() {
    let fixture =
        calling(|_| Say::Message(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#.into()));
    let heard = fixture.hear(of_legacy_client()).await;
    assert_eq!(heard, [r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32700,"message":"?"}}"#]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_cancelled_at_the_upstream() {
    let fixture = calling(|_| Say::Hang);
    let session = session(None);
    let (answer, _) = fixture.cancel(&session).await;
    assert_eq!(answer.unwrap_err(), Rejection::Cancelled);
    let sent: serde_json::Value = serde_json::from_str(&fixture.script.heard("tools/call")[0].body).unwrap();
    let told: serde_json::Value =
        serde_json::from_str(&fixture.script.heard("notifications/cancelled")[0].body).unwrap();
    assert_eq!(told["params"]["requestId"], sent["id"]);
    assert_eq!(fixture.outcome("cancelled"), Some(1));
    assert!(session.in_flight.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_none_runs_nothing_again() {
    let body = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"crm__find","requestState":5}}"#;
    let fixture = calling(|_| Say::result("{}"));
    let refused = fixture.call(request(Version::MODERN, body)).await.unwrap_err();
    assert!(matches!(refused, Rejection::InvalidParams { .. }), "{refused:?}");
    assert!(fixture.script.heard("tools/call").is_empty());
    // `null` is none, and to a client with a handshake it is a member like any other.
    assert!(fixture.call(request(Version::MODERN, &body.replace('5', "null"))).await.is_ok());
    assert!(fixture.call(request(Version::NEWEST_LEGACY, body)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_visits_no_urls_hears_what_it_lacks() {
    let fixture = calling(|_| Say::error(-32042));
    let refused = fixture.call(of_modern_client()).await.unwrap_err();
    assert_eq!(refused, Rejection::MissingCapability { required: serde_json::json!({"elicitation": {"url": {}}}) });
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_goes_on_is_told_of_a_cancellation_once() {
    const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$ID}}"#;
    let fixture = calling(|_| Say::Slowly(vec![PROGRESS.to_owned(); 100]));
    let started = Instant::now();
    let (answer, _) = fixture.cancel(&session(None)).await;
    let Ok(Answer::Stream(stream)) = answer else { panic!("{answer:?}") };
    let last = stream.collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!(last.unwrap_err(), Rejection::Cancelled);
    assert_eq!(started.elapsed().as_secs(), 2, "the messages go on for ten");
    assert_eq!(fixture.script.heard("notifications/cancelled").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_next_attempt_can_be_cancelled() {
    let fixture = calling(|_| unreachable());
    let (answer, took) = fixture.cancel(&session(None)).await;
    assert_eq!((answer.unwrap_err(), took), (Rejection::Cancelled, Duration::ZERO));
    assert!(fixture.script.heard("notifications/cancelled").is_empty(), "nothing runs there");
}

#[tokio::test(start_paused = true)]
async fn a_stateless_upstream_is_cancelled_by_closing_the_stream() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "tools/call" => Say::Hang,
        _ => modern(heard),
    });
    let (answer, took) = fixture.cancel(&session(None)).await;
    assert_eq!((answer.unwrap_err(), took), (Rejection::Cancelled, Duration::ZERO));
    assert!(fixture.script.heard("notifications/cancelled").is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_a_stateless_client_cancels_by_going_away() {
    for (request, told) in [(of_modern_client(), 1), (of_legacy_client(), 0)] {
        let fixture = calling(|_| Say::Hang);
        let call = fixture.call(request);
        assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
        settle().await;
        assert_eq!(fixture.script.heard("notifications/cancelled").len(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_went_stale_are_looked_up_and_the_call_sent_once_more() {
    let schema = |header| {
        format!(
            r#"{{"tools":[{{"name":"find","inputSchema":{{"type":"object","properties":{{"a":{{"type":"string"{header}}}}}}}}}]}}"#
        )
    };
    let fixture = Fixture::new(move |heard| match (heard.method.as_str(), heard.nth) {
        ("tools/list", 0) => Say::result(&schema("")),
        ("tools/list", _) => Say::result(&schema(r#","x-mcp-header":"A""#)),
        ("tools/call", _) if heard.headers.get("mcp-param-a").is_none_or(|a| a != "x") => Say::Refusal(400, -32020),
        _ => modern(heard),
    });
    let body =
        r#"{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"crm__find","arguments":{"a":"x"}}}"#;
    let heard = fixture.hear(request(Version::V2025_06_18, body)).await;
    assert_eq!(heard, [r#"{"jsonrpc":"2.0","id":"q","result":{"content":[]}}"#]);
    let calls = fixture.script.heard("tools/call");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].headers["mcp-name"], "find");
    assert_eq!(calls[1].headers["mcp-method"], "tools/call");

    // Where that does not help, the client hears what the server said.
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "tools/call" => Say::Refusal(400, -32020),
        _ => modern(heard),
    });
    assert!(fixture.hear(of_legacy_client()).await[0].contains("-32020"));
    assert_eq!(fixture.script.heard("tools/call").len(), 2);

    // With a status that is a success it may be the tool's own error.
    const ERROR: &str = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32020,"message":"no"}}"#;
    let said: [fn() -> Say; 2] = [|| Say::error(-32020), || Say::Begun(vec![ERROR.to_owned()])];
    for say in said {
        let fixture = Fixture::new(move |heard| if heard.method == "tools/call" { say() } else { modern(heard) });
        assert!(fixture.hear(of_legacy_client()).await[0].contains("-32020"));
        assert_eq!(fixture.script.heard("tools/call").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_changed_its_era_is_agreed_with_anew() {
    // First with sessions, then stateless; and the other way round.
    let fixture = Fixture::new(|heard| match (heard.method.as_str(), heard.nth) {
        ("server/discover", 0) => Say::Refusal(400, -32000),
        ("tools/call", 0) => Say::Refusal(400, -32022),
        ("tools/list", 0) => legacy(heard),
        ("initialize", _) => legacy(heard),
        _ => modern(heard),
    });
    fixture.hear(of_legacy_client()).await;
    let calls = fixture.script.heard("tools/call");
    assert_eq!(calls[1].headers["mcp-protocol-version"], "2026-07-28");

    let fixture = Fixture::new(|heard| match (heard.method.as_str(), heard.nth) {
        ("server/discover" | "tools/list", 0) => modern(heard),
        ("tools/call", 0) => Say::Refusal(400, -32000),
        _ => legacy(heard),
    });
    fixture.hear(of_modern_client()).await;
    let calls = fixture.script.heard("tools/call");
    assert!(calls[1].session().is_some());
    assert_eq!(calls.len(), 2);
}
