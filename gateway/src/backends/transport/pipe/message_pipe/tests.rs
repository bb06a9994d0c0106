//! Whose business each message is.

use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::super::queue::Queue;
use super::*;

const QUESTION: &str = r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#;
const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

fn pipe() -> (Arc<Pipe>, Arc<Recorded>) {
    let outlet = Arc::<Recorded>::default();
    (Pipe::new(&"files".into(), Arc::<Recorded>::clone(&outlet)), outlet)
}

fn take(pipe: &Pipe, text: &str) {
    assert!(pipe.take(&Bytes::copy_from_slice(text.as_bytes())), "{text}");
}

fn outgoing(id: u64, questions: Questions) -> Outgoing {
    let deadline = Instant::now() + Duration::from_secs(30);
    let body = Bytes::from_static(b"{}");
    let (headers, footing) = (HeaderMap::new(), Arc::default());
    Outgoing { body, id, connection: 1, headers, footing, deadline, questions }
}

fn heard(messages: &mut Messages) -> Option<Bytes> {
    messages.next().now_or_never().map(|message| message.unwrap().unwrap())
}

#[tokio::test]
async fn a_response_goes_to_its_request_as_it_came() {
    let (pipe, _) = pipe();
    let response = Bytes::from_static(br#"{ "jsonrpc":"2.0", "result":null, "id":3, "x":1e400 }"#);
    assert!(!pipe.has_answered());
    let (reply, taken) = tokio::join!(pipe.request(outgoing(3, Questions::None)), async { pipe.take(&response) });
    let Ok(Reply::Message { message, session: None }) = reply else { panic!("{reply:?}") };
    assert!(taken && pipe.has_answered());
    assert_eq!(message.as_ptr(), response.as_ptr());
}

#[tokio::test]
async fn what_names_no_request_goes_to_whoever_listens() {
    let (pipe, outlet) = pipe();
    take(&pipe, CHANGED);
    let mut messages = pipe.listen().unwrap();
    take(&pipe, QUESTION);
    take(&pipe, r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":9}}"#);
    assert_eq!(heard(&mut messages).unwrap(), CHANGED);
    assert_eq!(heard(&mut messages).unwrap(), QUESTION);
    assert_eq!(heard(&mut messages), None, "late progress is nobody's");
    assert!(outlet.take().is_empty());
}

#[tokio::test]
async fn a_question_goes_to_the_one_call_whose_client_can_be_asked() {
    let (pipe, outlet) = pipe();
    let mut listener = pipe.listen().unwrap();
    let mut own = Box::pin(pipe.request(outgoing(1, Questions::None)));
    assert!(own.as_mut().now_or_never().is_none());
    let (asked, ()) = tokio::join!(pipe.request(outgoing(2, Questions::Own)), async { take(&pipe, QUESTION) });
    let Ok(Reply::Stream { first: Some(first), mut messages, .. }) = asked else { panic!("{asked:?}") };
    assert_eq!(first, QUESTION);
    assert_eq!(heard(&mut listener), None);
    take(&pipe, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    assert!(heard(&mut messages).is_some());
    assert_eq!(outlet.take().len(), 2);
}

#[tokio::test]
async fn a_call_of_a_pipes_one_client_is_a_stream_before_anything_is_said() {
    let (pipe, _) = pipe();
    let sent = pipe.request(outgoing(1, Questions::All)).await;
    let Ok(Reply::Stream { first: None, mut messages, .. }) = sent else { panic!("{sent:?}") };
    assert_eq!(heard(&mut messages), None);
    take(&pipe, QUESTION);
    take(&pipe, CHANGED);
    take(&pipe, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(heard(&mut messages).unwrap(), QUESTION);
    assert_eq!(heard(&mut messages).unwrap(), CHANGED, "all that is said there is its client's");
    assert!(heard(&mut messages).is_some());
}

#[tokio::test]
async fn a_ping_is_answered_and_a_question_refused_where_nobody_listens() {
    let (pipe, outlet) = pipe();
    take(&pipe, r#"{"jsonrpc":"2.0","id":"a\n1","method":"ping"}"#);
    take(&pipe, QUESTION);
    let answers = outlet.take();
    assert_eq!(answers[0], r#"{"jsonrpc":"2.0","id":"a\n1","result":{}}"#);
    assert!(answers[1].starts_with(r#"{"jsonrpc":"2.0","id":"q","error":{"code":-32601"#), "{answers:?}");
}

#[tokio::test]
async fn a_server_that_does_not_read_does_not_stop_the_reading() {
    let (queue, _unread) = Queue::new();
    let pipe = Pipe::new(&"files".into(), queue);
    for _ in 0..100 {
        take(&pipe, r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
    }
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_is_not_written() {
    let (queue, mut queued) = Queue::new();
    let pipe = Pipe::new(&"files".into(), queue);
    {
        let mut abandoned = Box::pin(pipe.request(outgoing(1, Questions::None)));
        assert!(abandoned.as_mut().now_or_never().is_none());
    }
    let mut waiting =
        Box::pin(pipe.request(Outgoing { body: Bytes::from_static(b"2"), ..outgoing(2, Questions::None) }));
    assert!(waiting.as_mut().now_or_never().is_none());
    pipe.notify(Bytes::from_static(b"notice"), HeaderMap::new()).await.unwrap();
    assert_eq!(queued.next(&pipe).await.unwrap(), "2");
    assert!(!queued.is_empty());
    assert_eq!(queued.next(&pipe).await.unwrap(), "notice");
    assert!(queued.is_empty());
    drop(queued);
    let gone = pipe.notify(Bytes::new(), HeaderMap::new()).await;
    assert_eq!(gone, Err(TransportError::Reconnected));
}

#[tokio::test]
async fn an_end_is_everybodys() {
    let (pipe, _) = pipe();
    let lost = TransportError::Disconnected("gone".to_owned());
    let mut listener = pipe.listen().unwrap();
    let (reply, ()) = tokio::join!(pipe.request(outgoing(1, Questions::None)), async { pipe.end(&lost) });
    assert_eq!(reply.err(), Some(lost.clone()));
    assert_eq!(listener.next().await, Some(Err(lost.clone())));
    assert_eq!(pipe.request(outgoing(2, Questions::None)).await.err(), Some(TransportError::Reconnected));
}
