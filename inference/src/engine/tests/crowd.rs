//! Many conversations at once, of which some are given up.

use proptest::collection::vec;
use proptest::prelude::*;

use super::speech;
use super::*;

/// One client.
#[derive(Clone, Debug)]
struct Client {
    content: String,
    max_tokens: usize,
    /// Goes away after so many pieces of text.
    leaves_after: Option<usize>,
}

fn client() -> impl Strategy<Value = Client> {
    // Few beginnings, so that prefixes are shared.
    let content = ("(aaaa|bbbb){0,12}", "[a-z ]{0,400}").prop_map(|(start, rest)| start + &rest);
    (content, 1_usize..120, prop::option::weighted(0.4, 0_usize..4))
        .prop_map(|(content, max_tokens, leaves_after)| Client { content, max_tokens, leaves_after })
}

/// What a client read, if it stayed.
async fn visit(engine: Engine, client: Client) -> Option<String> {
    let mut stream = engine.submit(say(&client.content, client.max_tokens)).unwrap();
    for _ in 0..client.leaves_after.unwrap_or(0) {
        if !matches!(next(&mut stream).await, Some(Ok(ChatEvent::Text(_)))) {
            return None;
        }
    }
    match client.leaves_after {
        Some(_) => None,
        None => Some(read(stream).await.unwrap().0),
    }
}

async fn crowd(clients: Vec<Client>, slots: usize) {
    let bench = Bench::ready(slots, 32).await;
    bench.script.change(|scene| scene.stops_in = Some(60));
    let visits: Vec<_> =
        clients.iter().map(|client| tokio::spawn(visit(bench.engine.clone(), client.clone()))).collect();
    for (client, visit) in clients.iter().zip(visits) {
        let Some(text) = visit.await.unwrap() else { continue };
        let prompt = speech::prompt(&say(&client.content, 0).messages);
        assert_eq!(text, stub::answer(&prompt, client.max_tokens, Some(60)));
    }
    bench.record.until(|events| events.requests == (0, 0));
    let events = bench.record.now();
    assert_eq!(events.restarts, 0);
    assert!(events.most.0 <= slots, "no more than the slots hold");
    assert!(events.cache.0 <= events.cache.1, "no more than the cache holds");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn thirty_two_at_once_get_the_answers_they_would_get_alone(clients in vec(client(), 32), slots in 1_usize..9) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(crowd(clients, slots));
    }
}
