use futures_util::{FutureExt, StreamExt};

use super::super::message_pipe::Recorded;
use super::*;

fn listening() -> (Arc<Listening>, Arc<Recorded>) {
    let outlet = Arc::<Recorded>::default();
    let answers = Answers { upstream: "files".into(), outlet: Arc::<Recorded>::clone(&outlet) };
    (Listening::new(answers), outlet)
}

fn text(number: usize) -> Bytes {
    number.to_string().into()
}

fn heard(messages: &mut Messages) -> Option<String> {
    let message = messages.next().now_or_never()??;
    Some(String::from_utf8(message.unwrap().to_vec()).unwrap())
}

#[test]
fn notices_wait_for_the_first_listener_and_the_oldest_make_room() {
    let (listening, _) = listening();
    (0..300).for_each(|number| listening.notice(text(number)));
    let mut messages = listening.listen().unwrap();
    assert_eq!(heard(&mut messages).unwrap(), "44", "256 are held");
    assert_eq!(std::iter::from_fn(|| heard(&mut messages)).last().unwrap(), "299");
}

#[test]
fn what_waits_is_bounded_in_bytes_too() {
    let (listening, _) = listening();
    let large = Bytes::from(vec![b' '; MAX_NOTICE_BYTES]);
    (0..100).for_each(|_| listening.notice(large.clone()));
    assert!(listening.state().bytes <= MAX_WAITING_BYTES);
    listening.notice(vec![b' '; MAX_NOTICE_BYTES + 1].into());
    let mut messages = listening.listen().unwrap();
    let whole = std::iter::from_fn(|| heard(&mut messages)).count();
    assert_eq!(whole, MAX_WAITING_BYTES / MAX_NOTICE_BYTES);
}

#[test]
fn a_question_is_heard_or_refused_but_never_dropped() {
    let (listening, outlet) = listening();
    listening.question("1", text(1));
    assert!(outlet.take()[0].contains(r#""id":1,"error":{"code":-32601"#), "nobody listens");
    let mut messages = listening.listen().unwrap();
    listening.question("2", text(2));
    assert_eq!(heard(&mut messages).unwrap(), "2");
    listening.question("3", vec![b' '; MAX_QUESTION_BYTES + 1].into());
    assert!(outlet.take()[0].contains(r#""id":3,"error":{"code":-32603"#), "too large");
    (0..MAX_WAITING).for_each(|number| listening.question("4", text(number)));
    assert!(outlet.take().is_empty());
    listening.notice(text(0));
    listening.question("5", text(5));
    assert!(outlet.take()[0].contains(r#""id":5,"error":{"code":-32603"#), "no room");
    assert_eq!(heard(&mut messages).unwrap(), "0", "questions made no room for a notice");
    drop(messages);
    assert_eq!(outlet.take().len(), MAX_WAITING - 1, "those that nobody heard are refused");
    assert_eq!(listening.state().bytes, 0);
}

#[tokio::test]
async fn a_new_listener_takes_over() {
    let (listening, _) = listening();
    let mut first = listening.listen().unwrap();
    let mut second = listening.listen().unwrap();
    listening.notice(text(1));
    assert!(first.next().await.is_none());
    drop(first);
    assert_eq!(heard(&mut second).unwrap(), "1", "the end of the first is not that of the second");
}

#[tokio::test]
async fn the_end_of_the_connection_is_heard_after_what_was_said_before() {
    let (listening, _) = listening();
    let mut messages = listening.listen().unwrap();
    let waiting = tokio::spawn(async move { (messages.next().await, messages.next().await, messages.next().await) });
    tokio::task::yield_now().await;
    listening.notice(text(1));
    let lost = TransportError::Disconnected("gone".to_owned());
    listening.end(&lost);
    assert_eq!(waiting.await.unwrap(), (Some(Ok(text(1))), Some(Err(lost.clone())), None));
    assert_eq!(listening.listen().err(), Some(lost));
}
