//! Pipes of single clients: who has one, how many there are and for how long.

use futures_util::future::BoxFuture;

use super::*;
use crate::backends::transport::TransportError;
use crate::backends::upstream::pipes::{IDLE_TIMEOUT, MAX_PIPES};
use crate::mcp::asks::{Reply, Said};
use crate::mcp::splice::Span;

const NOTICE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#;
/// Longer than it takes until what is idle is looked for.
const SWEPT: Duration = Duration::from_secs(61);

/// What a server of 2025-11-25 on a pipe says.
fn piped(heard: &Heard) -> Say {
    match heard.method.as_str() {
        "initialize" => Say::result(r#"{"protocolVersion":"2025-06-18"}"#),
        _ => legacy(heard),
    }
}

/// A session of a client that can fill in forms.
fn able() -> Arc<Session> {
    Sessions::for_tests(1).open(Agreement {
        version: Version::V2025_06_18,
        principal: "apiKey:ci".into(),
        server: None,
        capabilities: Bytes::from_static(br#"{"elicitation":{},"experimental":{"x":{}}}"#),
        client_info: Some(Bytes::from_static(br#"{"name":"able","version":"1"}"#)),
    })
}

fn of_able(session: &Arc<Session>) -> McpRequest {
    McpRequest { abilities: session.abilities, takes_stream: true, ..in_session(session) }
}

fn of_able_without_session() -> McpRequest {
    McpRequest { abilities: Capabilities::read(r#"{"elicitation":{}}"#), ..of_modern_client() }
}

/// On which pipes the call was heard, one after the other.
fn heard_on(fixture: &Fixture) -> Vec<(usize, usize)> {
    let others = fixture.script.others();
    let scripts = std::iter::once(&fixture.script).chain(&others);
    let heard = scripts.map(|script| script.heard("tools/call").len());
    heard.enumerate().filter(|(_, calls)| *calls > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_can_be_asked_is_introduced_over_a_pipe_of_its_own() {
    let fixture = Fixture::over_pipe(piped);
    let (one, other) = (able(), able());
    for request in [of_able(&one), of_able(&one), of_able(&other), in_session(&session(None)), of_anonymous()] {
        fixture.hear(request).await;
    }
    assert_eq!(heard_on(&fixture), [(0, 2), (1, 2), (2, 1)]);
    let introduced = &fixture.script.others()[0].heard("initialize")[0].body;
    let introduced: serde_json::Value = serde_json::from_str(introduced).unwrap();
    let expected = serde_json::json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {"elicitation": {}, "experimental": {"x": {}}},
        "clientInfo": {"name": "able", "version": "1"},
    });
    assert_eq!(introduced["params"], expected);
    let shared = &fixture.script.heard("initialize")[0].body;
    assert!(shared.contains(r#""capabilities":{}"#), "{shared}");
}

#[tokio::test(start_paused = true)]
async fn stateless_clients_share_by_principal_and_those_without_a_name_share_nothing() {
    let fixture = Fixture::over_pipe(piped);
    let named = |name: &str| McpRequest { principal: Arc::new(Principal::new(name)), ..of_able_without_session() };
    let anonymous = || McpRequest { principal: Arc::new(Principal::anonymous([])), ..of_able_without_session() };
    for request in [named("apiKey:a"), named("apiKey:a"), named("apiKey:b"), anonymous(), anonymous()] {
        fixture.hear(request).await;
    }
    assert_eq!(heard_on(&fixture), [(1, 2), (2, 1), (3, 1), (4, 1)]);
    settle().await;
    let closed: Vec<bool> = fixture.script.others().iter().map(|pipe| pipe.is_closed()).collect();
    assert_eq!(closed, [false, false, true, true], "what was for one call is ended after it");
}

#[tokio::test(start_paused = true)]
async fn stateless_servers_are_reached_over_the_pipe_of_all() {
    let fixture = Fixture::over_pipe(modern);
    fixture.hear(of_able(&able())).await;
    fixture.hear(of_able_without_session()).await;
    assert_eq!(heard_on(&fixture), [(0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_some_clients_alone_are_shown_is_looked_at_over_a_pipe_of_its_own() {
    let fixture = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "tools/list" if heard.pipe > 0 => Say::result(r#"{"tools":[{"name":"find"},{"name":"ask"}]}"#),
        _ => piped(heard),
    });
    let names = |list: Arc<crate::backends::tool::ToolList>| list.tools.len();
    let deadline = Instant::now() + TIMEOUT;
    let able = Capabilities::read(r#"{"sampling":{}}"#);
    assert_eq!(names(fixture.upstream.tools(able, deadline).await.unwrap()), 2);
    assert_eq!(names(fixture.upstream.tools(Capabilities::NONE, deadline).await.unwrap()), 1);
    assert_eq!(fixture.script.others().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pipe_ends_with_its_session_and_when_it_is_not_used_for_long() {
    let fixture = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "tools/call" if heard.pipe == 3 => Say::Stream(vec![NOTICE.to_owned()]),
        _ => piped(heard),
    });
    let sessions = [able(), able(), able()];
    fixture.hear(of_able(&sessions[0])).await;
    fixture.hear(of_able(&sessions[1])).await;
    // It goes on.
    let Ok(Answer::Stream(mut running)) = fixture.call(of_able(&sessions[2])).await else { panic!() };
    assert!(running.next().await.unwrap().is_ok());
    let closed = || fixture.script.others().iter().map(|pipe| pipe.is_closed()).collect::<Vec<_>>();
    fixture.upstream.session_ended(sessions[0].key).await;
    settle().await;
    assert_eq!(closed(), [true, false, false]);
    tokio::time::sleep(IDLE_TIMEOUT - SWEPT).await;
    fixture.hear(of_able(&sessions[1])).await;
    tokio::time::sleep(IDLE_TIMEOUT - Duration::from_secs(1)).await;
    assert_eq!(closed(), [true, false, false], "it was used in between");
    tokio::time::sleep(SWEPT).await;
    assert_eq!(closed(), [true, true, false], "one is in use");
    drop(running);
    tokio::time::sleep(IDLE_TIMEOUT + SWEPT).await;
    assert_eq!(closed(), [true, true, true]);
    assert!(!fixture.script.is_closed());
    // It gets another when it is back.
    fixture.hear(of_able(&sessions[1])).await;
    assert_eq!(fixture.script.others().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_shares_the_pipe_of_all_until_there_is_one() {
    let fixture = Fixture::over_pipe(piped);
    let sessions: Vec<_> = (0..=MAX_PIPES).map(|_| able()).collect();
    for session in &sessions {
        fixture.hear(of_able(session)).await;
    }
    assert_eq!(fixture.script.others().len(), MAX_PIPES);
    assert_eq!(fixture.script.heard("tools/call").len(), 1);
    fixture.upstream.session_ended(sessions[0].key).await;
    settle().await;
    fixture.hear(of_able(&sessions[MAX_PIPES])).await;
    assert_eq!(fixture.script.heard("tools/call").len(), 1);
    assert_eq!(fixture.script.others().len(), MAX_PIPES + 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_had_twice_is_shared() {
    let fixture = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "initialize" if heard.pipe > 0 => Say::Fail(TransportError::Disconnected("it exited".to_owned())),
        _ => piped(heard),
    });
    fixture.hear(of_able(&able())).await;
    assert_eq!(heard_on(&fixture), [(0, 1)]);
    settle().await;
    assert_eq!(fixture.is_up(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_when_it_is_had_twice_is_shared_in_the_end() {
    let fixture = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "initialize" if heard.pipe > 0 => Say::Hang,
        _ => piped(heard),
    });
    let session = able();
    assert_eq!(fixture.failure(of_able(&session)).await, UpstreamFailureKind::TimedOut);
    // It has longer than one call has to wait.
    assert!(!fixture.script.others()[0].is_closed());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(fixture.script.others()[0].is_closed());
    fixture.hear(of_able(&session)).await;
    assert_eq!(heard_on(&fixture), [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_is_lost_is_agreed_on_anew_and_the_call_sent_once_more() {
    let fixture = Fixture::over_pipe(|heard| match (heard.method.as_str(), heard.pipe, heard.nth) {
        ("tools/call", 1, 1) => Say::Fail(TransportError::Reconnected),
        _ => piped(heard),
    });
    let session = able();
    fixture.hear(of_able(&session)).await;
    fixture.hear(of_able(&session)).await;
    assert_eq!(heard_on(&fixture), [(1, 3)]);
    assert_eq!(fixture.script.others()[0].heard("initialize").len(), 2);
    assert_eq!(fixture.script.heard("initialize").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_crashes_again_and_again_fails_its_client_and_nobody_else() {
    let fixture = Fixture::over_pipe(|heard| match (heard.method.as_str(), heard.pipe, heard.nth) {
        ("tools/call", 1, 1) => Say::Fail(TransportError::Reconnected),
        ("initialize", 1, 1..) => Say::Fail(TransportError::Unreachable("it exited; next attempt later".to_owned())),
        _ => piped(heard),
    });
    let (one, other) = (able(), able());
    fixture.hear(of_able(&one)).await;
    for _ in 0..3 {
        assert_eq!(fixture.failure(of_able(&one)).await, UpstreamFailureKind::Unreachable);
    }
    // Neither goes it on where others are, nor are they refused.
    fixture.hear(of_able(&other)).await;
    fixture.hear(of_legacy_client()).await;
    assert_eq!(heard_on(&fixture), [(0, 1), (1, 2), (2, 1)]);
    assert_eq!(fixture.is_up(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_pipe_of_all_may_be_lost_without_those_of_single_clients() {
    let fixture = Fixture::over_pipe(piped);
    let session = able();
    fixture.hear(of_able(&session)).await;
    fixture.script.lose();
    settle().await;
    fixture.hear(of_able(&session)).await;
    assert_eq!(fixture.script.others()[0].heard("initialize").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_call_of_a_client_fails_for_silence_while_the_client_is_asked_something() {
    const QUESTION: &str = r#"{"jsonrpc":"2.0","id":5,"method":"elicitation/create","params":{"message":"?"}}"#;
    let fixture = Fixture::over_pipe(|heard| match (heard.method.as_str(), heard.nth) {
        ("tools/call", 0) => Say::Stream(Vec::new()),
        ("tools/call", _) => Say::Stream(vec![QUESTION.to_owned()]),
        _ => piped(heard),
    });
    let session = able();
    let Ok(Answer::Stream(mut silent)) = fixture.call(of_able(&session)).await else { panic!() };
    let Ok(Answer::Stream(mut asked)) = fixture.call(of_able(&session)).await else { panic!() };
    let question = asked.next().await.unwrap().unwrap();
    let asked_as = serde_json::from_slice::<serde_json::Value>(&question).unwrap()["id"].to_string();
    // Whose question it was is not known, so it outlives the call it was laid before.
    drop(asked);
    assert!(tokio::time::timeout(TIMEOUT * 3, silent.next()).await.is_err());
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{asked_as},"result":{{"action":"accept"}}}}"#);
    let span = |part: &str| Span::of(&answer[answer.find(part).unwrap()..][..part.len()], &answer);
    let (id, result) = (span(&asked_as), span(r#"{"action":"accept"}"#));
    session.asks.reply(&asked_as, Reply { body: answer.clone().into(), id, said: Said::Result(result) });
    settle().await;
    let told = fixture.script.others()[0].heard("response");
    assert_eq!(told[0].body, r#"{"jsonrpc":"2.0","id":5,"result":{"action":"accept"}}"#);
    let failed = tokio::time::timeout(TIMEOUT + SWEPT, silent.next()).await.unwrap().unwrap();
    assert!(matches!(failed, Err(Rejection::Upstream(failure)) if failure.kind == UpstreamFailureKind::TimedOut));
}

/// A model that says yes.
#[derive(Debug)]
struct Agreeable;

impl Calls for Agreeable {
    fn call(&self, request: Box<McpRequest>) -> BoxFuture<'static, Result<Answer, Rejection>> {
        let said = r#"{"content":[],"structuredContent":{"model":"chat","text":"yes","finishReason":"stop"}}"#;
        Box::pin(std::future::ready(Ok(Answer::result(request.id_text(), said))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_answers_over_the_pipe_of_each_client_that_cannot() {
    const QUESTION: &str = concat!(
        r#"{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":"#,
        r#"{"messages":[{"role":"user","content":{"type":"text","text":"?"}}],"maxTokens":5}}"#
    );
    let asks = |heard: &Heard| match heard.method.as_str() {
        "tools/call" => Say::Stream(vec![QUESTION.to_owned()]),
        _ => piped(heard),
    };
    let fixture = Fixture::sampling(asks, Agreeable);
    for (pipe, request) in [in_session(&session(None)), of_modern_client()].into_iter().enumerate() {
        // The answer goes out while the call is waited for.
        let waiting = async {
            match fixture.call(request).await {
                Ok(Answer::Stream(mut stream)) => drop(stream.next().await),
                other => drop(other),
            }
        };
        assert!(tokio::time::timeout(TIMEOUT / 2, waiting).await.is_err(), "the server does not go on");
        // The first is for the list of tools.
        let pipe = &fixture.script.others()[pipe + 1];
        assert!(pipe.heard("initialize")[0].body.contains(r#""capabilities":{"sampling":{}}"#));
        assert!(pipe.heard("response")[0].body.contains(r#""id":5,"result":{"role":"assistant""#));
    }
    assert!(fixture.script.heard("tools/call").is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_pipe_and_no_more_are_made() {
    let fixture = Fixture::over_pipe(piped);
    fixture.hear(of_able(&able())).await;
    fixture.upstream.close().await;
    assert!(fixture.script.others().iter().all(|pipe| pipe.is_closed()) && fixture.script.is_closed());
    let _ = fixture.call(of_able(&able())).await;
    assert_eq!(fixture.script.others().len(), 1);
}
