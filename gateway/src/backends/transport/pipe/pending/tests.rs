use futures_util::{FutureExt, StreamExt};

use super::super::message_pipe::Recorded;
use super::*;

fn pending() -> Arc<Pending> {
    recorded().0
}

fn recorded() -> (Arc<Pending>, Arc<Recorded>) {
    let outlet = Arc::<Recorded>::default();
    let answers = Answers { upstream: "files".into(), outlet: Arc::<Recorded>::clone(&outlet) };
    (Pending::new(answers), outlet)
}

#[tokio::test]
async fn a_slow_caller_loses_progress_but_never_the_response() {
    let pending = pending();
    let ticket = pending.register(1, Questions::None).unwrap();
    let kept = (0..100).filter(|_| pending.notify(1, Bytes::from_static(b"progress"))).count();
    assert_eq!(kept, MAX_WAITING_NOTIFICATIONS);
    assert!(pending.respond(1, Bytes::from_static(b"response")));

    let messages: Vec<_> = ticket.into_messages().collect().await;
    assert_eq!(messages.len(), MAX_WAITING_NOTIFICATIONS + 1);
    assert_eq!(messages.last(), Some(&Ok(Bytes::from_static(b"response"))));
}

#[tokio::test]
async fn a_failure_ends_the_stream_even_when_the_inbox_is_full() {
    let pending = pending();
    let ticket = pending.register(1, Questions::None).unwrap();
    while pending.notify(1, Bytes::from_static(b"progress")) {}
    let broken = TransportError::Disconnected("gone".to_owned());
    pending.fail_all(&broken);

    let messages: Vec<_> = ticket.into_messages().collect().await;
    assert_eq!(messages.last(), Some(&Err(broken)));
    assert_eq!(pending.register(2, Questions::None).unwrap_err(), TransportError::Reconnected);
}

#[test]
fn an_abandoned_request_leaves_the_table_and_its_late_response_is_dropped() {
    let pending = pending();
    drop(pending.register(1, Questions::None).unwrap());
    assert!(!pending.contains(1));
    assert!(!pending.respond(1, Bytes::new()));
}

#[test]
fn an_id_in_use_is_refused_and_its_owner_keeps_it() {
    let pending = pending();
    let _owner = pending.register(1, Questions::None).unwrap();
    assert!(pending.register(1, Questions::None).unwrap_err().surely_not_processed());
    assert!(pending.respond(1, Bytes::new()));
}

#[test]
fn an_oversized_notification_is_dropped() {
    let pending = pending();
    let _ticket = pending.register(1, Questions::None).unwrap();
    assert!(!pending.notify(1, Bytes::from(vec![b' '; MAX_NOTIFICATION_BYTES + 1])));
    assert!(pending.notify(1, Bytes::from(vec![b' '; MAX_NOTIFICATION_BYTES])));
}

#[test]
fn the_table_is_bounded() {
    let pending = pending();
    let tickets: Vec<_> = (0..MAX_PENDING as u64).map(|id| pending.register(id, Questions::None).unwrap()).collect();
    assert_eq!(pending.register(u64::MAX, Questions::None).unwrap_err(), TransportError::Busy { retry_after: None });
    drop(tickets);
    assert!(pending.register(u64::MAX, Questions::None).is_ok());
}

#[tokio::test]
async fn a_question_is_laid_before_the_one_request_that_takes_it() {
    let (pending, outlet) = recorded();
    let question = Bytes::from_static(b"question");
    let _closed = pending.register(1, Questions::None).unwrap();
    assert!(!pending.question("0", &question), "nobody takes any");
    let mut open = pending.register(2, Questions::Own).unwrap();
    assert!(pending.question("0", &question));
    assert!(matches!(open.next().await, Delivery::Question { id, message } if &*id == "0" && message == question));
    let second = pending.register(3, Questions::Own).unwrap();
    assert!(!pending.question("1", &question), "it could be either's");
    drop(second);
    assert!(pending.question("2", &question));
    assert!(outlet.take().is_empty());
    drop(open);
    assert!(outlet.take()[0].contains(r#""id":2,"error":{"code":-32601"#), "unread, and then abandoned");
}

#[tokio::test]
async fn where_all_are_one_clients_a_question_is_laid_before_the_latest() {
    let (pending, outlet) = recorded();
    let question = Bytes::from_static(b"question");
    let mut older = pending.register(1, Questions::All).unwrap();
    let latest = pending.register(2, Questions::All).unwrap();
    let _cannot_be_asked = pending.register(3, Questions::None).unwrap();
    assert!(pending.question("0", &question));
    assert!(older.next().now_or_never().is_none());
    drop(latest);
    assert!(outlet.take()[0].contains(r#""id":0,"error":{"code":-32601"#), "unread, and then abandoned");
    assert!(pending.question("1", &question));
    assert!(matches!(older.next().await, Delivery::Question { id, .. } if &*id == "1"));
}

#[test]
fn a_question_without_room_is_refused_and_leaves_the_place_of_the_response() {
    let (pending, outlet) = recorded();
    let mut ticket = pending.register(1, Questions::Own).unwrap();
    assert!(pending.question("1", &vec![b' '; MAX_QUESTION_BYTES + 1].into()));
    assert!(outlet.take()[0].contains(r#""id":1,"error":{"code":-32603"#), "too large");
    assert!(pending.question("2", &vec![b' '; MAX_QUESTION_BYTES].into()));
    while pending.notify(1, Bytes::from_static(b"progress")) {}
    assert!(outlet.take().is_empty());
    assert!(pending.question("3", &Bytes::new()));
    assert!(outlet.take()[0].contains(r#""id":3,"error":{"code":-32603"#), "no room");
    assert!(pending.respond(1, Bytes::new()));
    let heard = std::iter::from_fn(|| ticket.next().now_or_never()).take(MAX_WAITING_NOTIFICATIONS + 1);
    assert!(matches!(heard.last(), Some(Delivery::Response(_))));
}
