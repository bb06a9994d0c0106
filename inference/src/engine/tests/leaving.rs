//! Clients that go away, wait no longer or stop reading.

use std::time::Instant;

use super::*;

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(30))
}

#[tokio::test]
async fn a_dropped_stream_frees_its_slot() {
    let bench = Bench::ready(1, 4).await;
    let mut endless = bench.submit(endless("forever"));
    assert!(matches!(next(&mut endless).await, Some(Ok(ChatEvent::Text(_)))));
    drop(endless);
    bench.ask(say("hello", 3)).await.unwrap();
    bench.record.until(|events| events.requests == (0, 0));
    // What was made for nobody counts as well.
    assert!(matches!(bench.record.now().finished[..], [forever, 3] if forever > 0));
}

#[tokio::test]
async fn a_long_prompt_is_broken_off_when_its_reader_goes() {
    let bench = Bench::ready(1, 4).await;
    bench.script.hold();
    let stream = bench.submit(say(&"x".repeat(4000), 3));
    bench.script.until_waiting();
    drop(stream);
    bench.script.release();
    bench.record.until(|events| events.requests == (0, 0));
    assert_eq!(bench.script.look(|scene| scene.calls.len()), 1);
    assert_eq!(bench.record.now().first_tokens, 0);
}

#[tokio::test]
async fn a_dropped_stream_leaves_the_queue_at_once() {
    let bench = Bench::ready(1, 1).await;
    bench.script.hold();
    let running = bench.submit(say("first", 3));
    bench.script.until_waiting();
    let waiting = bench.submit(say("second", 3));
    assert!(bench.engine.submit(say("third", 3)).is_err());
    drop(waiting);
    // The model still stands still. Only where the second was being tokenised
    // at this very moment does its place come free a little later.
    let third = eventually(|| bench.engine.submit(say("third", 3)).ok());
    bench.script.release();
    read(running).await.unwrap();
    read(third).await.unwrap();
    assert_eq!(bench.record.now().finished.len(), 2);
}

#[tokio::test]
async fn a_deadline_ends_a_running_answer() {
    let bench = Bench::ready(1, 4).await;
    bench.script.hold();
    let stream = bench.submit(ChatRequest { deadline: soon(), ..endless("forever") });
    bench.script.until_waiting();
    let deadline = soon();
    eventually(|| (Some(Instant::now()) > deadline).then_some(()));
    bench.script.release();
    assert_eq!(read(stream).await, Err(ChatError::DeadlineExceeded));
    assert_eq!(bench.record.now().requests, (0, 0));
}

#[tokio::test]
async fn a_deadline_passes_in_the_queue_too() {
    let bench = Bench::ready(1, 4).await;
    bench.script.hold();
    let running = bench.submit(say("first", 3));
    bench.script.until_waiting();
    let waiting = bench.submit(ChatRequest { deadline: soon(), ..say("second", 3) });
    assert_eq!(read(waiting).await, Err(ChatError::DeadlineExceeded));
    bench.record.until(|events| events.requests == (1, 0));
    bench.script.release();
    read(running).await.unwrap();
}

#[tokio::test]
async fn what_comes_too_late_never_reaches_the_model() {
    let bench = Bench::ready(1, 4).await;
    let late = ChatRequest { deadline: Some(Instant::now()), ..say("late", 3) };
    assert_eq!(bench.ask(late).await, Err(ChatError::DeadlineExceeded));
    assert_eq!(bench.script.look(|scene| scene.calls.len()), 0);
}

#[tokio::test]
async fn a_reader_that_stops_holds_nobody_up_and_costs_only_its_text() {
    let bench = Bench::ready(2, 4).await;
    let mut unread = bench.submit(say("unread", 3000));
    bench.ask(say("read", 100)).await.unwrap();
    bench.record.until(|events| events.finished.len() == 2);
    // Nothing was queued piece by piece.
    let Some(Ok(ChatEvent::Text(text))) = next(&mut unread).await else { panic!("text comes first") };
    assert_eq!(text.len(), 3000);
    assert!(matches!(next(&mut unread).await, Some(Ok(ChatEvent::Finished { .. }))));
    assert_eq!(next(&mut unread).await, None);
}

#[tokio::test]
async fn a_read_that_is_given_up_loses_nothing() {
    let bench = Bench::ready(1, 4).await;
    bench.script.hold();
    let mut stream = bench.submit(say("hello", 5));
    assert!(tokio::time::timeout(Duration::ZERO, stream.next()).await.is_err());
    bench.script.release();
    assert_eq!(read(stream).await.unwrap().0.len(), 5);
}
