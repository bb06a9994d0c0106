//! How bodies are read, and what they must be.

use std::io;

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;

type Chunk = Result<Frame<Bytes>, io::Error>;

fn chunk(text: &str) -> Chunk {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

/// Posts a body of unknown length, in these pieces.
async fn post(front: &Front, chunks: Vec<Chunk>) -> Result<Response<Body>, Rejection> {
    let body = StreamBody::new(stream::iter(chunks));
    front.ask(Request::post("/mcp").body(body).unwrap()).await
}

/// A message of exactly so many bytes.
fn ping_of(bytes: usize) -> String {
    format!("{PING}{}", " ".repeat(bytes - PING.len()))
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_taken_and_a_byte_more_is_not() {
    let too_large = Rejection::BodyTooLarge { max_bytes: SETTINGS_MAX_BODY };
    for (bytes, taken) in [(SETTINGS_MAX_BODY, true), (SETTINGS_MAX_BODY + 1, false)] {
        let front = Front::new();
        let body = ping_of(bytes);
        // Without a length, in one piece and in many.
        let (first, rest) = body.split_at(bytes / 2);
        let pieces = body.as_bytes().chunks(100).map(|piece| chunk(std::str::from_utf8(piece).unwrap())).collect();
        for chunks in [vec![chunk(&body)], vec![chunk(first), chunk(rest)], pieces] {
            let answered = post(&front, chunks).await;
            assert_eq!(answered.as_ref().err(), (!taken).then_some(&too_large));
        }
        // With one.
        let answered = front.send(Method::POST, "/mcp", &[], &body).await;
        assert_eq!(answered.status, if taken { 200 } else { 413 });
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_anything_is_read() {
    struct Unread;
    impl http_body::Body for Unread {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Chunk>> {
            panic!("nothing is read");
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(SETTINGS_MAX_BODY as u64 + 1)
        }
    }
    let refused = Front::new().ask(Request::post("/mcp").body(Unread).unwrap()).await.unwrap_err();
    assert!(matches!(refused, Rejection::BodyTooLarge { .. }));
}

#[tokio::test]
async fn pieces_make_one_body() {
    let front = Front::new();
    let pieces = PING.as_bytes().chunks(1).map(|piece| chunk(std::str::from_utf8(piece).unwrap()));
    assert!(post(&front, std::iter::once(chunk("")).chain(pieces).collect()).await.is_ok());
    assert_eq!(front.passed().body, PING);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_refused_after_the_requests_time() {
    let begun = Instant::now();
    // A byte every ten seconds.
    let trickle = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Some((chunk(" "), ()))
    });
    let body = StreamBody::new(Box::pin(trickle));
    let refused = Front::new().ask(Request::post("/mcp").body(body).unwrap()).await.unwrap_err();
    assert_eq!(refused, Rejection::BodyTooSlow);
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let broken = vec![chunk(PING), Err(io::ErrorKind::ConnectionReset.into())];
    let front = Front::new();
    assert_eq!(post(&front, broken).await.unwrap_err(), Rejection::BodyIncomplete);
    assert!(front.nothing_passed());
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_the_code_for_it() {
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{}"#, "[".repeat(1900));
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        (deep.as_str(), -32700),
        ("null", -32600),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}"#, -32600),
    ] {
        let front = Front::new();
        let answered = front.post(&[], body).await;
        assert_eq!((answered.status, answered.code()), (400, code), "{body}");
        assert!(answered.json()["id"].is_null() || answered.json()["id"] == 1);
        assert!(front.nothing_passed());
    }
}

#[tokio::test]
async fn an_id_that_could_be_read_is_echoed_though_the_message_is_bad() {
    let answered = Front::new().post(&[], r#"{"id":"q","method":"ping"}"#).await;
    assert_eq!((answered.status, &answered.json()["id"]), (400, &Value::from("q")));
    let answered = Front::new().post(&[], r#"{"jsonrpc":"2.0","id":[],"method":"ping"}"#).await;
    assert_eq!(answered.json().get("id"), None);
}

#[tokio::test]
async fn parameters_of_a_call_are_checked_before_it_goes_on() {
    for params in [
        r"{}",
        r#"{"name":7}"#,
        r#"{"name":"t","arguments":[]}"#,
        r#"{"name":"t","arguments":7}"#,
        r#"{"name":"t","_meta":[]}"#,
    ] {
        let front = Front::new();
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let answered = front.post(&[], &call).await;
        assert_eq!((answered.status, answered.code()), (200, -32602), "{params}");
        assert!(front.nothing_passed());
    }
    let front = Front::new();
    front.post(&[], r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":null}}"#).await;
    assert_eq!(front.passed().arguments_text(), "{}");
}
