use futures_util::{FutureExt, stream};
use tokio::sync::mpsc;

use super::*;

/// An answer whose messages a test sends.
fn answer() -> (mpsc::UnboundedSender<&'static str>, Begun, Arc<Replay>) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let messages = stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|message| message.map(Bytes::from)));
    let replay = Arc::new(Replay::new(Box::pin(messages), Arc::default()));
    (sender, Begun(Arc::clone(&replay)), replay)
}

fn numbered(number: u64, message: &'static str) -> Option<Numbered> {
    Some((number, message.into()))
}

#[tokio::test]
async fn what_was_sent_can_be_had_again() {
    let (sender, mut begun, replay) = answer();
    sender.send("a").unwrap();
    sender.send("b").unwrap();
    drop(sender);
    assert_eq!(
        (begun.next().await, begun.next().await, begun.next().await),
        (numbered(1, "a"), numbered(2, "b"), None)
    );
    drop(begun);
    assert_eq!(
        (replay.after(0).await, replay.after(1).await, replay.after(2).await),
        (numbered(1, "a"), numbered(2, "b"), None)
    );
}

#[tokio::test]
async fn a_call_goes_on_when_its_client_is_gone() {
    let (sender, mut begun, replay) = answer();
    sender.send("a").unwrap();
    assert_eq!(begun.next().await, numbered(1, "a"));
    drop(begun);
    assert_eq!(replay.after(1).now_or_never(), None);
    sender.send("b").unwrap();
    assert_eq!(replay.after(1).await, numbered(2, "b"));
    drop(sender);
    assert_eq!(replay.after(2).await, None);
    assert!(replay.is_whole());
}

#[tokio::test]
async fn one_who_comes_again_takes_over_from_a_connection_that_seems_to_hold() {
    let (sender, mut begun, replay) = answer();
    let waiting = tokio::spawn(async move { begun.next().await });
    tokio::task::yield_now().await;
    replay.detach();
    assert_eq!(waiting.await.unwrap(), None);
    sender.send("a").unwrap();
    assert_eq!(replay.after(0).await, numbered(1, "a"));
}

#[tokio::test]
async fn a_call_that_nobody_can_ask_for_ends() {
    let (sender, begun, replay) = answer();
    drop(begun);
    replay.withdraw();
    assert_eq!(replay.after(0).await, None);
    sender.closed().await;
}

#[tokio::test]
async fn beyond_the_bound_a_call_ends_with_its_connection() {
    let (sender, begun, replay) = answer();
    let places: Vec<_> = std::iter::from_fn(|| replay.streams.detach()).collect();
    // One who comes again does not end what still has its connection.
    replay.detach();
    assert!(!sender.is_closed());
    drop(begun);
    sender.closed().await;
    assert_eq!(replay.after(0).await, None);
    drop(places);
    assert!(replay.streams.detach().is_some());
}
