//! What an answer is made of, and how it ends.

use super::speech::{self, REFUSED};
use super::*;

fn expected(request: &ChatRequest, tokens: usize) -> String {
    stub::answer(&speech::prompt(&request.messages), tokens, None)
}

#[tokio::test]
async fn an_answer_ends_at_max_tokens() {
    let bench = Bench::ready(2, 4).await;
    let request = say("hello", 7);
    let (text, reason, usage) = bench.ask(request.clone()).await.unwrap();
    assert_eq!(text, expected(&request, 7));
    assert_eq!(reason, FinishReason::Length);
    assert_eq!(usage, Usage { prompt_tokens: 8, cached_tokens: 0, completion_tokens: 7 });
    let events = bench.record.now();
    assert_eq!((events.prompts, events.first_tokens, events.finished), (vec![(8, 0)], 1, vec![7]));
    assert_eq!(events.cache, (14, 2 * CONTEXT));
    assert_eq!(events.requests, (0, 0));
}

#[tokio::test]
async fn no_token_is_made_where_none_is_asked_for() {
    let bench = Bench::ready(1, 4).await;
    let (text, reason, usage) = bench.ask(say("hello", 0)).await.unwrap();
    assert_eq!((text.as_str(), reason, usage.completion_tokens), ("", FinishReason::Length, 0));
    assert_eq!(bench.script.look(|scene| scene.calls.len()), 0);
}

#[tokio::test]
async fn a_stop_token_ends_an_answer_and_is_no_text() {
    let bench = Bench::ready(1, 4).await;
    bench.script.change(|scene| scene.stops_in = Some(8));
    let request = endless("a story");
    let (text, reason, usage) = bench.ask(request.clone()).await.unwrap();
    assert_eq!(text, stub::answer(&speech::prompt(&request.messages), CONTEXT, Some(8)));
    assert_eq!(reason, FinishReason::Stop);
    assert_eq!(usage.completion_tokens, text.len() + 1);
}

#[tokio::test]
async fn a_stop_text_is_cut_off() {
    let bench = Bench::ready(1, 4).await;
    let request = say("hello", 30);
    let whole = expected(&request, 30);
    let stop = vec!["?".to_owned(), whole[9..12].to_owned()];
    let (text, reason, usage) = bench.ask(ChatRequest { stop, ..request }).await.unwrap();
    assert_eq!((text.as_str(), reason), (&whole[..9], FinishReason::Stop));
    assert_eq!(usage.completion_tokens, 12);
}

#[tokio::test]
async fn what_never_became_a_stop_text_is_not_lost() {
    let bench = Bench::ready(1, 4).await;
    let request = say("hello", 6);
    let whole = expected(&request, 6);
    let stop = vec![format!("{}?", &whole[3..])];
    let (text, reason, _) = bench.ask(ChatRequest { stop, ..request }).await.unwrap();
    assert_eq!((text, reason), (whole, FinishReason::Length));
}

#[tokio::test]
async fn an_answer_ends_where_the_context_does() {
    let bench = Bench::ready(1, 4).await;
    let request = endless(&"x".repeat(CONTEXT - 13));
    let (text, reason, usage) = bench.ask(request.clone()).await.unwrap();
    assert_eq!(text, expected(&request, 10));
    assert_eq!(reason, FinishReason::Length);
    assert_eq!(usage.prompt_tokens + usage.completion_tokens, CONTEXT);
}

#[tokio::test]
async fn a_prompt_without_room_for_an_answer_is_refused_with_both_numbers() {
    let bench = Bench::ready(1, 4).await;
    let refusal = bench.ask(say(&"x".repeat(CONTEXT - 3), 1)).await.unwrap_err();
    assert_eq!(refusal, ChatError::PromptTooLong { prompt_tokens: CONTEXT, context_length: CONTEXT });
    let (text, ..) = bench.ask(say(&"x".repeat(CONTEXT - 4), 100)).await.unwrap();
    assert_eq!(text.len(), 1);
}

#[tokio::test]
async fn messages_that_the_template_refuses_are_the_streams_first_item() {
    let bench = Bench::ready(1, 4).await;
    let mut stream = bench.submit(say(REFUSED, 1));
    let refusal = ChatError::Messages("as the message says".to_owned());
    assert_eq!(next(&mut stream).await, Some(Err(refusal)));
    assert_eq!(next(&mut stream).await, None);
    bench.record.until(|events| events.requests == (0, 0));
}

#[tokio::test]
async fn same_seed_same_text_whoever_else_is_there() {
    let bench = Bench::ready(4, 16).await;
    let seeded = |seed| {
        let sampling = Sampling { temperature: Some(1.0), seed, ..Sampling::default() };
        ChatRequest { sampling, ..say("a poem", 50) }
    };
    let (alone, ..) = bench.ask(seeded(Some(7))).await.unwrap();
    let others: Vec<_> = (0..3).map(|other| bench.submit(endless(&format!("other {other}")))).collect();
    bench.record.until(|events| events.requests.0 == 3);
    assert_eq!(bench.ask(seeded(Some(7))).await.unwrap().0, alone);
    assert_ne!(bench.ask(seeded(Some(8))).await.unwrap().0, alone);
    assert_ne!(bench.ask(seeded(None)).await.unwrap().0, bench.ask(seeded(None)).await.unwrap().0);
    drop(others);
}
