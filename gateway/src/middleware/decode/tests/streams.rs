//! GET of clients with a session, and answers that can be taken up again.

use futures_util::stream;

use super::*;
use crate::backends::answer::Standing;
use crate::mcp::event_id::StreamId;
use crate::record::CallRecord;
use crate::seal::KeyRing;

const STREAM: (&str, &str) = ("accept", "text/event-stream");
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crm__find"}}"#;
const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");

/// A front whose standing streams end after one event, and whose calls are
/// answered with two messages by what serves this upstream.
fn front(upstream: &'static str) -> Front {
    fn set(record: &CallRecord, upstream: &str) {
        let _ = record.upstream.set(upstream.into());
    }
    let answer: fn(&McpRequest) -> Result<Answer, Rejection> = match upstream {
        "chat" => |request| {
            set(&request.record, "chat");
            two()
        },
        _ => |request| match request.operation {
            Operation::OpenStream { .. } => Ok(Answer::Standing(Box::new(Standing {
                messages: Box::pin(stream::iter([(3, "x".into())])),
                pen: Some(
                    StreamId { outbox: 1, number: 0 }.pen(&KeyRing::new().unwrap(), request.session.as_ref().unwrap()),
                ),
                primed: None,
            }))),
            _ => {
                set(&request.record, "crm");
                two()
            }
        },
    };
    Front::answering(answer)
}

fn two() -> Result<Answer, Rejection> {
    Ok(Answer::Stream(Box::pin(stream::iter([Ok("{}".into()), Ok("[]".into())]))))
}

#[tokio::test]
async fn a_client_with_a_session_opens_its_stream() {
    for (server, path) in [(None, "/mcp"), (Some("crm"), "/servers/crm/mcp")] {
        let front = front("crm");
        let id = front.session_at(server, "apiKey:ci", Version::V2025_06_18);
        let headers = [STREAM, ("mcp-session-id", &*id), ("last-event-id", "t.1")];
        let answered = front.send(Method::GET, path, &headers, "").await;
        assert_eq!(answered.status, 200);
        assert!(answered.body.ends_with(".3\nevent: message\ndata: x\n\n"), "{}", answered.body);
        assert_eq!(answered.headers["content-type"], "text/event-stream");
        let request = front.passed();
        assert_eq!(request.operation, Operation::OpenStream { after: Some("t.1".into()) });
        assert_eq!((request.version, &request.session.unwrap().id), (Version::V2025_06_18, &id));
    }
}

#[tokio::test]
async fn a_stream_is_refused_to_who_has_no_session_or_takes_no_events() {
    let front = front("crm");
    let mine = front.session("apiKey:ci", Version::NEWEST_LEGACY);
    let theirs = front.session("apiKey:other", Version::NEWEST_LEGACY);
    for (headers, status) in [
        (vec![STREAM], 400),
        (vec![STREAM, ("mcp-session-id", "made-up")], 404),
        (vec![STREAM, ("mcp-session-id", &*theirs)], 404),
        (vec![("accept", "application/json"), ("mcp-session-id", &*mine)], 406),
        (vec![STREAM, ("mcp-session-id", &*mine), ("mcp-protocol-version", "1999-01-01")], 400),
        (vec![STREAM, ("mcp-session-id", &*mine), ("last-event-id", "\u{e9}")], 400),
        (vec![STREAM, ("mcp-session-id", &*mine), ("mcp-protocol-version", "2026-07-28")], 405),
    ] {
        let answered = front.send(Method::GET, "/mcp", &headers, "").await;
        assert_eq!(answered.status, status, "{headers:?}: {}", answered.body);
    }
    assert!(front.nothing_passed());
}

#[tokio::test]
async fn only_clients_that_know_it_get_answers_that_can_be_taken_up_again() {
    for (upstream, version, takes_up) in [
        ("crm", Version::V2025_11_25, true),
        ("crm", Version::V2025_06_18, false),
        ("crm", Version::V2025_03_26, false),
        // A model stops when its client goes away.
        ("chat", Version::V2025_11_25, false),
    ] {
        let front = front(upstream);
        let id = front.session("apiKey:ci", version);
        let body = front.post(&[BOTH, ("mcp-session-id", &*id)], CALL).await.body;
        let events: Vec<&str> = body.split("\n\n").filter(|event| !event.is_empty()).collect();
        assert_eq!(events.len(), 2 + usize::from(takes_up), "{upstream} {version}: {body}");
        assert_eq!(body.contains("retry: 1000\ndata: \n"), takes_up, "{body}");
        assert!(events.iter().all(|event| event.starts_with("id: ") == takes_up), "{body}");
        assert!(body.ends_with("data: []\n\n"), "{body}");
    }
    // Without a session there is nobody who could ask.
    assert!(!front("crm").post(&[BOTH], CALL).await.body.contains("id: "));
}
