//! How conversations share the model.

use super::script::Call;
use super::speech;
use super::*;

#[tokio::test]
async fn conversations_join_and_leave_between_steps() {
    let bench = Bench::ready(3, 4).await;
    let long = bench.submit(endless("long"));
    bench.record.until(|events| events.first_tokens == 1);
    let others = [say("one", 500), say("two", 900)];
    let answers = futures(others.iter().map(|request| bench.submit(request.clone()))).await;
    for (request, answer) in others.iter().zip(answers) {
        let tokens = request.max_tokens.unwrap();
        assert_eq!(answer.unwrap().0, stub::answer(&speech::prompt(&request.messages), tokens, None));
    }
    let (text, ..) = read(long).await.unwrap();
    assert_eq!(text, stub::answer(&speech::prompt(&endless("long").messages), CONTEXT - 7, None));
    assert_eq!(bench.record.now().largest_step, 3);
    assert_eq!(bench.record.now().restarts, 0);
}

#[tokio::test]
async fn first_come_first_served() {
    let bench = Bench::ready(1, 8).await;
    bench.script.hold();
    let streams: Vec<_> = ["one", "three", "a", "five six"].map(|text| bench.submit(say(text, 3))).into();
    bench.script.release();
    for answer in futures(streams).await {
        answer.unwrap();
    }
    let lengths: Vec<_> = bench.record.now().prompts.iter().map(|&(tokens, _)| tokens).collect();
    assert_eq!(lengths, [6, 8, 4, 11]);
}

#[tokio::test]
async fn a_long_prompt_does_not_stop_the_others() {
    let bench = Bench::ready(2, 4).await;
    let talking = bench.submit(endless("talk"));
    bench.record.until(|events| events.first_tokens == 1);
    let request = say(&"long ".repeat(200), 2);
    let (text, ..) = bench.ask(request.clone()).await.unwrap();
    assert_eq!(text, stub::answer(&speech::prompt(&request.messages), 2, None));
    let calls = bench.script.look(|scene| scene.calls.clone());
    let first = calls.iter().rposition(|call| matches!(call, Call::Prefill { start: 0, slot: 1, .. })).unwrap();
    let last = calls.iter().rposition(|call| matches!(call, Call::Prefill { .. })).unwrap();
    assert!(last - first >= 6, "it comes in several pieces");
    for (index, call) in calls[first..=last].iter().enumerate() {
        assert_eq!(matches!(call, Call::Decode { .. }), index % 2 == 1, "a token is made after each piece");
    }
    drop(talking);
}

#[tokio::test]
async fn a_conversation_that_goes_on_computes_only_what_is_new() {
    let bench = Bench::ready(3, 4).await;
    let mut request = say("who are you", 20);
    let (text, _, usage) = bench.ask(request.clone()).await.unwrap();
    bench.ask(say("something else", 5)).await.unwrap();
    request.messages.push(Message { role: Role::Assistant, content: text });
    request.messages.push(Message { role: Role::User, content: "and then".to_owned() });
    let (more, _, again) = bench.ask(request.clone()).await.unwrap();
    // The last token of the first answer was made and never computed.
    let cached = usage.prompt_tokens + usage.completion_tokens - 1;
    assert_eq!(again.cached_tokens, cached);
    assert_eq!(bench.record.now().prompts.last(), Some(&(again.prompt_tokens, cached)));
    let prompt = speech::prompt(&request.messages);
    assert_eq!(more, stub::answer(&prompt, 20, None));
    let call = Call::Prefill { slot: slot_of_first(&bench), start: cached, tokens: prompt[cached..].to_vec() };
    assert!(bench.script.look(|scene| scene.calls.contains(&call)));
}

#[tokio::test]
async fn the_same_prompt_again_computes_its_last_token() {
    let bench = Bench::ready(1, 4).await;
    let first = bench.ask(say("again", 1)).await.unwrap();
    let second = bench.ask(say("again", 1)).await.unwrap();
    assert_eq!(first.0, second.0);
    assert_eq!((second.2.prompt_tokens, second.2.cached_tokens), (8, 7));
}

#[tokio::test]
async fn nobody_learns_what_another_scope_has_said() {
    let bench = Bench::ready(1, 4).await;
    let of = |scope| ChatRequest { scope, ..say("a secret", 3) };
    let mut cached = Vec::new();
    for scope in [1, 2, 2, 1] {
        cached.push(bench.ask(of(scope)).await.unwrap().2.cached_tokens);
    }
    assert_eq!(cached, [0, 0, 10, 0]);
}

#[tokio::test]
async fn a_seeded_conversation_is_computed_the_same_way_every_time() {
    let bench = Bench::ready(1, 4).await;
    let request = |temperature, seed| {
        let sampling = Sampling { temperature, seed, ..Sampling::default() };
        ChatRequest { sampling, ..say(&"again ".repeat(100), 1) }
    };
    let mut prefills = Vec::new();
    for _ in 0..3 {
        let (.., usage) = bench.ask(request(Some(1.0), Some(7))).await.unwrap();
        assert_eq!(usage.cached_tokens, 0);
        prefills.push(bench.script.change(|scene| std::mem::take(&mut scene.calls)));
    }
    assert!(prefills[0].len() > 1 && prefills.iter().all(|calls| *calls == prefills[0]));
    // Nothing is drawn, or nobody can ask for the same again; and what a
    // seeded conversation leaves is as good as any.
    for (temperature, seed) in [(Some(0.0), Some(7)), (Some(1.0), None)] {
        let (.., usage) = bench.ask(request(temperature, seed)).await.unwrap();
        assert_eq!(usage.cached_tokens, usage.prompt_tokens - 1);
    }
}

#[tokio::test]
async fn a_burst_fills_the_slots_and_the_queue_and_one_more_is_refused() {
    let bench = Bench::ready(2, 3).await;
    bench.script.hold();
    let streams: Vec<_> = (0..5).map(|_| bench.submit(say("hello", 3))).collect();
    let refusal = bench.engine.submit(say("hello", 3)).unwrap_err();
    assert_eq!(refusal, ChatError::QueueFull { retry_after: Duration::from_secs(5) });
    bench.script.release();
    for answer in futures(streams).await {
        answer.unwrap();
    }
    // Whoever has read the end finds the place free.
    bench.ask(say("hello", 3)).await.unwrap();
    assert_eq!(bench.record.now().finished.len(), 6);
}

fn slot_of_first(bench: &Bench) -> usize {
    bench.script.look(|scene| match scene.calls[0] {
        Call::Prefill { slot, .. } => slot,
        Call::Decode { .. } => unreachable!("the first call takes a prompt"),
    })
}

/// All answers, read at once.
async fn futures(streams: impl IntoIterator<Item = ChatStream>) -> Vec<Answer> {
    let readers: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(read(stream))).collect();
    let mut answers = Vec::new();
    for reader in readers {
        answers.push(reader.await.unwrap());
    }
    answers
}
