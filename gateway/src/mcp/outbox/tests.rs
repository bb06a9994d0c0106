use futures_util::{FutureExt, StreamExt, stream};

use super::*;
use crate::mcp::ring::MAX_EVENTS;

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(Arc::default(), Moment::now()))
}

/// What a reader has without waiting.
fn next(reader: &mut Reader) -> Option<Option<Numbered>> {
    reader.next().now_or_never()
}

fn text(read: Option<Option<Numbered>>) -> String {
    String::from_utf8(read.expect("it is there").expect("not over").1.to_vec()).unwrap()
}

#[tokio::test]
async fn messages_wait_for_a_reader_and_wake_one_that_waits() {
    let outbox = outbox();
    outbox.push("a".into()).unwrap();
    let mut reader = outbox.read(None);
    assert_eq!(text(next(&mut reader)), "a");
    assert_eq!(next(&mut reader), None);
    let waiting = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    outbox.push("b".into()).unwrap();
    assert_eq!(waiting.await.unwrap(), Some((2, "b".into())));
}

#[tokio::test]
async fn a_newer_reader_takes_over() {
    let outbox = outbox();
    let mut first = outbox.read(None);
    let waiting = tokio::spawn(async move { first.next().await });
    tokio::task::yield_now().await;
    let mut second = outbox.read(None);
    assert_eq!(waiting.await.unwrap(), None);
    assert!(outbox.is_read());
    outbox.push("a".into()).unwrap();
    assert_eq!(text(next(&mut second)), "a");
    drop(second);
    assert!(!outbox.is_read());
}

#[test]
fn what_one_reader_had_the_next_has_again_if_it_says_where_it_was() {
    let outbox = outbox();
    for message in ["a", "b", "c"] {
        outbox.push(message.into()).unwrap();
    }
    let mut first = outbox.read(None);
    assert_eq!((text(next(&mut first)), text(next(&mut first))), ("a".to_owned(), "b".to_owned()));
    let here = outbox.standing();
    let elsewhere = StreamId { outbox: here.outbox.wrapping_add(1), ..here };
    for (last, message) in [
        (Some((here, 0)), "a"),
        (Some((here, 1)), "b"),
        (None, "c"),
        (Some((elsewhere, 0)), "c"),
        (Some((here, 9)), "c"),
    ] {
        let mut reader = outbox.read(last);
        let read = reader.after;
        assert_eq!(text(next(&mut reader)), message, "{last:?} {read}");
        outbox.state().sent = 2;
    }
}

#[test]
fn what_a_slow_reader_leaves_is_bounded_and_nothing_of_it_is_lost() {
    let outbox = outbox();
    for _ in 0..MAX_EVENTS {
        outbox.push("x".into()).unwrap();
    }
    assert_eq!(outbox.push("y".into()), Err(Full));
    assert!(!outbox.tell(Changes::all(Moment::next())));
    let mut reader = outbox.read(None);
    assert_eq!(text(next(&mut reader)), "x");
    assert_eq!(outbox.push("y".into()), Ok(()));
    let rest: Vec<u64> = std::iter::from_fn(|| next(&mut reader)?).map(|(number, _)| number).collect();
    assert_eq!(rest, (2..=257).collect::<Vec<_>>());
}

#[test]
fn a_change_is_told_once() {
    let outbox = outbox();
    let mut reader = outbox.read(None);
    let mut changes = Changes::all(Moment::BEGINNING);
    assert!(outbox.tell(changes));
    assert_eq!(next(&mut reader), None, "it was before the session");
    changes.note(Kind::Prompts, Moment::next());
    assert!(outbox.tell(changes) && outbox.tell(changes));
    assert!(text(next(&mut reader)).contains("prompts/list_changed"));
    assert_eq!(next(&mut reader), None);
    // A reader that comes later is not told again.
    assert_eq!(next(&mut outbox.read(None)), None);
}

#[tokio::test]
async fn everything_ends_with_the_session() {
    let outbox = outbox();
    let mut reader = outbox.read(None);
    let (stream, begun) = outbox.keep(Box::pin(stream::pending())).ok().unwrap();
    let replay = outbox.kept(stream).unwrap();
    drop(begun);
    let waiting = tokio::spawn(async move { replay.after(0).await });
    outbox.end();
    assert_eq!(next(&mut reader), Some(None));
    assert_eq!(outbox.push("a".into()), Err(Full));
    assert!(outbox.kept(stream).is_none());
    assert_eq!(waiting.await.unwrap(), None);
}

#[tokio::test]
async fn the_answers_kept_are_bounded_and_those_under_way_stay() {
    let outbox = outbox();
    let under_way = || Box::pin(stream::pending()) as Messages;
    let mut kept: Vec<_> = (0..MAX_REPLAYS).map(|_| outbox.keep(under_way()).ok().unwrap()).collect();
    assert!(outbox.keep(under_way()).is_err());
    let (last, begun) = kept.last_mut().unwrap();
    // One more takes the place of one that is whole.
    outbox.state().replays.pop();
    let (whole, mut done) = outbox.keep(Box::pin(stream::iter(["a".into()]))).ok().unwrap();
    assert_eq!((done.next().await, done.next().await), (Some((1, "a".into())), None));
    assert!(outbox.keep(under_way()).is_ok());
    assert!(outbox.kept(whole).is_none() && outbox.kept(*last).is_none());
    assert!(begun.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_forgotten_a_while_after_it_is_whole() {
    let outbox = outbox();
    let (whole, mut begun) = outbox.keep(Box::pin(stream::iter(["a".into()]))).ok().unwrap();
    let (under_way, _held) = outbox.keep(Box::pin(stream::pending())).ok().unwrap();
    while begun.next().await.is_some() {}
    tokio::time::advance(std::time::Duration::from_secs(299)).await;
    outbox.sweep();
    assert!(outbox.kept(whole).is_some());
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    outbox.sweep();
    assert!(outbox.kept(whole).is_none() && outbox.kept(under_way).is_some());
}
