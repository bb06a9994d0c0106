//! A model whose next token follows from all that it has seen, so that a wrong
//! position, a lost token or a mixed-up slot changes the answer. It panics where
//! the engine breaks the rules of [`Forward`].

use std::sync::Arc;

use super::script::{Call, Script};
use super::speech::Speech;
use crate::engine::forward::{Forward, MOST_TOKENS, Step};
use crate::engine::load::{Load, Loaded, Progress};
use crate::engine::state::Description;

/// Tokens are bytes.
pub(super) const VOCABULARY: usize = 256;
/// Ends an answer.
pub(super) const STOP: u32 = 0;
/// In a prompt: the model panics when it sees it.
pub(super) const BREAKS_PREFILL: char = '!';
/// In a prompt: the model panics at the first token after it.
pub(super) const BREAKS_DECODE: char = '^';
/// In a prompt: the logits are no numbers.
pub(super) const GIVES_NANS: char = '#';

struct Stub {
    script: Arc<Script>,
    caches: Vec<Vec<u32>>,
    context_length: usize,
}

/// What makes stubs, as the script says.
pub(super) fn load(slots: usize, context_length: usize, script: Arc<Script>) -> impl Load {
    move |progress: Progress<'_>| {
        let _ = progress(1, 2);
        let outcome = script.change(|scene| {
            scene.loads += 1;
            scene.loads_to_come.pop_front()
        });
        script.until(|scene| !scene.load_is_held);
        match outcome {
            Some(Err(reason)) if reason == "panic" => panic!("as the script says"),
            Some(Err(reason)) => return Err(reason),
            Some(Ok(())) | None => {}
        }
        if progress(2, 2).is_break() {
            return Err("nobody waits for it".to_owned());
        }
        let stub = Stub { script: Arc::clone(&script), caches: vec![Vec::new(); slots], context_length };
        Ok(Loaded { forward: Box::new(stub), language: Arc::new(Speech), description: description(slots) })
    }
}

fn description(slots: usize) -> Description {
    Description {
        family: "stub".to_owned(),
        parameters: 0,
        device: "none".to_owned(),
        backend: "none".to_owned(),
        precision: "f32".to_owned(),
        weight_bytes: 2,
        cache_bytes: 0,
        context_length: super::CONTEXT,
        max_concurrent: slots,
    }
}

/// The answer to a prompt in so many tokens, where no stop token ends it.
pub(super) fn answer(prompt: &[u32], tokens: usize, stops_in: Option<u64>) -> String {
    let mut history = prompt.to_vec();
    for _ in 0..tokens {
        match likeliest(&history, stops_in) {
            STOP => break,
            token => history.push(token),
        }
    }
    history[prompt.len()..].iter().filter_map(|&token| char::from_u32(token)).collect()
}

/// The token that follows.
fn likeliest(history: &[u32], stops_in: Option<u64>) -> u32 {
    // FNV-1a.
    let hash = history
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &token| (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3));
    if stops_in.is_some_and(|stops_in| (hash >> 20).is_multiple_of(stops_in)) {
        return STOP;
    }
    u32::from(b'a') + u32::try_from((hash >> 32) % 26).expect("a letter")
}

// === impl Stub ===

impl Stub {
    fn logits(&self, slot: usize) -> Vec<f32> {
        let history = &self.caches[slot];
        let sees = |what: char| history.contains(&u32::from(what));
        if sees(GIVES_NANS) {
            return vec![f32::NAN; VOCABULARY];
        }
        let mut logits = vec![0.0; VOCABULARY];
        logits[likeliest(history, self.script.look(|scene| scene.stops_in)) as usize] = 1.0;
        logits
    }
}

impl Forward for Stub {
    fn slots(&self) -> usize {
        self.caches.len()
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn prefill(&mut self, slot: usize, start: usize, tokens: &[u32], wanted: bool) -> Option<Vec<f32>> {
        self.script.call(Call::Prefill { slot, start, tokens: tokens.to_vec() });
        let cache = &mut self.caches[slot];
        assert!(start <= cache.len(), "it begins where the cache ends, or before");
        assert!((1..=MOST_TOKENS).contains(&tokens.len()), "a chunk is neither empty nor too large");
        assert!(start + tokens.len() < self.context_length, "the context holds the prompt");
        assert!(!tokens.contains(&u32::from(BREAKS_PREFILL)), "as the prompt says");
        cache.truncate(start);
        cache.extend_from_slice(tokens);
        wanted.then(|| self.logits(slot))
    }

    fn decode(&mut self, steps: &[Step]) -> Vec<Vec<f32>> {
        self.script.call(Call::Decode { slots: steps.iter().map(|step| step.slot).collect() });
        assert!(!steps.is_empty(), "something is asked");
        for (index, step) in steps.iter().enumerate() {
            assert!(steps[..index].iter().all(|other| other.slot != step.slot), "slots are distinct");
            let cache = &mut self.caches[step.slot];
            assert_eq!(step.position, cache.len(), "positions follow each other");
            assert!(step.position + 1 < self.context_length, "the context holds the answer");
            assert!(!cache.contains(&u32::from(BREAKS_DECODE)), "as the prompt says");
            cache.push(step.token);
        }
        steps.iter().map(|step| self.logits(step.slot)).collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.script.change(|scene| scene.drops += 1);
    }
}
