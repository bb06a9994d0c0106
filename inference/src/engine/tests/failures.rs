//! Models that break, do not load, or are shut down.

use super::speech::{BREAKS_SAMPLING, UNSPEAKABLE};
use super::stub::{BREAKS_DECODE, BREAKS_PREFILL, GIVES_NANS};
use super::*;

#[tokio::test]
async fn a_panic_fails_those_that_run_and_the_rest_is_answered_by_a_new_model() {
    for breaks in [BREAKS_PREFILL, BREAKS_DECODE] {
        let bench = Bench::ready(2, 4).await;
        let mut running = bench.submit(endless("talk"));
        assert!(next(&mut running).await.is_some());
        bench.script.hold();
        let broken = bench.submit(say(&format!("break{breaks}"), 3));
        let waiting = bench.submit(say("patience", 3));
        bench.script.release();
        assert_eq!(read(broken).await.unwrap_err(), ChatError::Failed);
        assert_eq!(read(running).await.unwrap_err(), ChatError::Failed);
        assert_eq!(read(waiting).await.unwrap().0.len(), 3);
        assert_eq!(bench.record.now().restarts, 1);
        assert_eq!(bench.script.look(|scene| (scene.loads, scene.drops)), (2, 1));
    }
}

#[tokio::test]
async fn nobody_is_taken_in_while_the_model_starts_again() {
    let bench = Bench::ready(1, 4).await;
    bench.script.change(|scene| scene.load_is_held = true);
    assert_eq!(bench.ask(say("!", 3)).await, Err(ChatError::Failed));
    assert!(matches!(bench.engine.state(), State::Loading { .. }));
    assert_eq!(bench.engine.submit(say("hello", 3)).unwrap_err(), ChatError::Loading);
    bench.script.release();
    assert!(matches!(bench.engine.loaded().await, State::Ready(_)));
    bench.ask(say("hello", 3)).await.unwrap();
    // What the old model had in its cache is forgotten.
    assert_eq!(bench.record.now().prompts.last(), Some(&(8, 0)));
}

#[tokio::test]
async fn a_model_that_fails_again_and_again_starts_again_and_again() {
    let bench = Bench::ready(1, 4).await;
    for restarts in 1..=4 {
        assert!(matches!(bench.engine.loaded().await, State::Ready(_)));
        assert_eq!(bench.ask(say("!", 3)).await, Err(ChatError::Failed));
        assert_eq!(bench.record.now().restarts, restarts);
    }
    assert!(matches!(bench.engine.loaded().await, State::Ready(_)));
    bench.ask(say("hello", 3)).await.unwrap();
}

#[tokio::test]
async fn those_who_wait_are_sent_away_where_the_model_does_not_load_again() {
    let bench = Bench::ready(1, 4).await;
    bench.script.change(|scene| scene.loads_to_come = [Err("gone".to_owned()), Err("panic".to_owned())].into());
    bench.script.hold();
    let broken = bench.submit(say("!", 3));
    bench.script.until_waiting();
    let waiting = bench.submit(say("hello", 3));
    bench.record.until(|events| events.requests == (1, 1));
    bench.script.release();
    assert_eq!(read(broken).await, Err(ChatError::Failed));
    assert_eq!(read(waiting).await, Err(ChatError::Failed));
    assert!(matches!(bench.engine.loaded().await, State::Ready(_)));
    bench.ask(say("hello", 3)).await.unwrap();
    assert_eq!(bench.script.look(|scene| scene.loads), 4);
}

#[tokio::test]
async fn a_model_that_never_loaded_is_not_tried_again() {
    for (reason, shown) in [("no such file", "no such file"), ("panic", "loading the model broke off")] {
        let script = Arc::<Script>::default();
        script.change(|scene| scene.loads_to_come = [Err(reason.to_owned())].into());
        let bench = Bench::start(1, 4, script);
        assert_eq!(bench.engine.loaded().await, State::Failed(shown.to_owned()));
        assert_eq!(bench.engine.submit(say("hello", 3)).unwrap_err(), ChatError::Unavailable);
        assert!(bench.engine.handle.threads.wait(PATIENCE));
        assert_eq!(bench.script.look(|scene| scene.loads), 1);
    }
}

#[tokio::test]
async fn progress_is_shown_while_a_model_loads() {
    let script = Arc::<Script>::default();
    script.change(|scene| scene.load_is_held = true);
    let bench = Bench::start(1, 4, script);
    bench.script.until(|scene| scene.loads == 1);
    assert_eq!(bench.engine.state(), State::Loading { done_bytes: 1, total_bytes: 2 });
    assert_eq!(bench.engine.submit(say("hello", 3)).unwrap_err(), ChatError::Loading);
    bench.script.release();
    assert!(matches!(bench.engine.loaded().await, State::Ready(_)));
}

#[tokio::test]
async fn what_fails_beside_the_model_fails_alone() {
    let bench = Bench::ready(4, 8).await;
    let mut running = bench.submit(endless("talk"));
    assert!(next(&mut running).await.is_some());
    for content in [UNSPEAKABLE.to_owned(), BREAKS_SAMPLING.to_string(), GIVES_NANS.to_string()] {
        assert_eq!(bench.ask(say(&content, 3)).await, Err(ChatError::Failed));
    }
    assert!(next(&mut running).await.unwrap().is_ok());
    assert_eq!((bench.record.now().restarts, bench.script.look(|scene| scene.loads)), (0, 1));
    drop(running);
    bench.record.until(|events| events.requests == (0, 0));
}

#[tokio::test]
async fn nothing_is_kept_of_a_conversation_that_failed() {
    let bench = Bench::ready(1, 4).await;
    for content in [BREAKS_SAMPLING, GIVES_NANS] {
        let broken = format!("one and two and {content}");
        assert_eq!(bench.ask(say(&broken, 3)).await, Err(ChatError::Failed));
        assert_eq!(bench.ask(say("one and two and three", 3)).await.unwrap().2.cached_tokens, 0);
    }
}

#[tokio::test]
async fn shutdown_ends_conversations_and_threads() {
    let bench = Bench::ready(1, 4).await;
    bench.script.hold();
    let running = bench.submit(endless("talk"));
    bench.script.until_waiting();
    let waiting = bench.submit(say("hello", 3));
    assert!(!bench.engine.shutdown(Duration::ZERO), "a step is still being computed");
    assert_eq!(bench.engine.state(), State::Stopped);
    assert_eq!(bench.engine.submit(say("hello", 3)).unwrap_err(), ChatError::Unavailable);
    assert_eq!(read(waiting).await, Err(ChatError::Unavailable));
    bench.script.release();
    assert_eq!(read(running).await, Err(ChatError::Unavailable));
    assert!(bench.engine.shutdown(PATIENCE));
    assert_eq!(bench.script.look(|scene| scene.drops), 1);
    assert_eq!(bench.record.now().restarts, 0);
}

#[tokio::test]
async fn shutdown_breaks_off_a_load() {
    let script = Arc::<Script>::default();
    script.change(|scene| scene.load_is_held = true);
    let bench = Bench::start(1, 4, script);
    bench.script.until(|scene| scene.loads == 1);
    assert!(!bench.engine.shutdown(Duration::ZERO), "a part is still being read");
    bench.script.release();
    assert!(bench.engine.shutdown(PATIENCE));
    assert_eq!(bench.engine.state(), State::Stopped);
    assert_eq!(bench.script.look(|scene| (scene.loads, scene.drops)), (1, 0), "no model came of it");
}

#[tokio::test]
async fn the_last_handle_ends_the_threads() {
    let Bench { engine, script, .. } = Bench::ready(1, 4).await;
    let other = engine.clone();
    drop(engine);
    let mut running = other.submit(endless("talk")).unwrap();
    assert!(next(&mut running).await.unwrap().is_ok());
    drop(other);
    assert_eq!(read(running).await.unwrap_err(), ChatError::Unavailable);
    script.until(|scene| scene.drops == 1);
}
