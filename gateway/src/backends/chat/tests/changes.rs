//! A model that is changed for another, fails, or goes.

use super::*;

/// Metrics that say so, a moment later at most.
async fn says_soon(metrics: &Metrics, line: &str) {
    while !counted(metrics, line) {
        tokio::task::yield_now().await;
    }
}

const UP: &str = r#"portcullis_model_up{model="chat"} 1"#;
const DOWN: &str = r#"portcullis_model_up{model="chat"} 0"#;

fn running(count: usize) -> String {
    format!(r#"portcullis_model_requests{{model="chat",state="running"}} {count}"#)
}

#[tokio::test]
async fn while_a_changed_model_loads_the_last_good_one_answers() {
    let (old, new) = (Script::of([]), Arc::new(Script::default()));
    let (first, metrics) = chat(&old);
    first.settled().await;
    let changed = chat_after(&new, Some(&first), &metrics);
    first.retire();
    let asked = |script: &Arc<Script>| script.asked.lock().unwrap().len();
    let _ = ask(&changed, asking(None)).await;
    assert_eq!((asked(&old), asked(&new)), (1, 0));
    first.reports.requests(3, 0);
    assert!(counted(&metrics, UP) && counted(&metrics, &running(3)), "it is still the old one that works");
    new.is(State::Ready(description()));
    changed.settled().await;
    let _ = ask(&changed, asking(None)).await;
    assert_eq!((asked(&old), asked(&new)), (1, 1));
    first.reports.requests(2, 0);
    assert!(counted(&metrics, UP) && counted(&metrics, &running(0)), "what the old one does is its own business");
}

#[tokio::test]
async fn where_a_changed_model_fails_the_last_good_one_stays_and_is_told_of() {
    let (old, new) = (Script::of([]), Arc::new(Script::default()));
    let (first, metrics) = chat(&old);
    first.settled().await;
    let changed = chat_after(&new, Some(&first), &metrics);
    first.close().await;
    new.is(State::Failed("no room".to_owned()));
    changed.settled().await;
    let _ = ask(&changed, asking(None)).await;
    assert_eq!(old.asked.lock().unwrap().len(), 1);
    assert!(changed.has_failed(), "so that it is tried again");
    old.is(State::Loading { done_bytes: 0, total_bytes: 0 });
    says_soon(&metrics, DOWN).await;
    old.is(State::Ready(description()));
    says_soon(&metrics, UP).await;

    let newest = Arc::new(Script::default());
    let again = chat_after(&newest, Some(&changed), &metrics);
    changed.retire();
    let _ = ask(&again, asking(None)).await;
    assert_eq!(old.asked.lock().unwrap().len(), 2, "and for the next one, too");
    again.retire();
    old.is(State::Loading { done_bytes: 0, total_bytes: 0 });
    tokio::task::yield_now().await;
    assert!(counted(&metrics, UP), "a model that left is not told of");
}

#[tokio::test]
async fn a_model_is_down_while_it_begins_anew() {
    let model = Script::of([]);
    let (chat, metrics) = chat(&model);
    chat.settled().await;
    assert!(counted(&metrics, UP));
    model.is(State::Loading { done_bytes: 0, total_bytes: 0 });
    says_soon(&metrics, DOWN).await;
    model.is(State::Ready(description()));
    says_soon(&metrics, UP).await;
    assert!(!chat.has_failed());
    model.is(State::Failed("gone".to_owned()));
    says_soon(&metrics, DOWN).await;
    assert!(chat.has_failed());
}

#[tokio::test]
async fn a_model_that_is_closed_refuses_and_is_ended_unless_another_has_it() {
    for is_shared in [true, false] {
        let model = Script::of([]);
        let (chat, _) = chat(&model);
        chat.settled().await;
        let successors = is_shared.then(|| chat.hand_over());
        chat.close().await;
        assert_eq!(ask(&chat, asking(None)).await.unwrap_err(), Rejection::ModelUnavailable);
        assert_eq!(model.ended.load(Ordering::Relaxed), !is_shared);
        drop(successors);
    }
}

#[tokio::test]
async fn a_retired_model_that_is_not_loaded_is_not_waited_for() {
    let (old, new) = (Script::of([]), Arc::new(Script::default()));
    let (first, metrics) = chat(&old);
    let second = chat_after(&new, Some(&first), &metrics);
    let third = chat_after(&Arc::new(Script::default()), Some(&second), &metrics);
    second.retire();
    second.settled().await;
    assert_eq!(Arc::strong_count(&new), 1, "nobody is left who would wait for it");
    let _ = ask(&third, asking(None)).await;
    assert_eq!(old.asked.lock().unwrap().len(), 1);
    let (only, _) = chat(&new);
    only.retire();
    only.settled().await;
    assert_eq!(ask(&only, asking(None)).await.unwrap_err(), Rejection::ModelUnavailable);
}

#[test]
fn who_has_retired_says_no_more_what_is_and_still_what_happened() {
    let metrics: Arc<Metrics> = Arc::default();
    let reports = Reports::new("chat".into(), Arc::clone(&metrics), true);
    reports.requests(1, 2);
    reports.retire();
    reports.requests(3, 4);
    reports.finished(5, Duration::from_secs(1));
    assert!(counted(&metrics, &running(1)));
    assert!(counted(&metrics, r#"portcullis_model_tokens_total{kind="completion",model="chat"} 5"#));
}
