//! A language in which bytes are tokens.

use std::sync::Arc;

use super::stub::{STOP, VOCABULARY};
use crate::chat::{Message, Role, Sampling};
use crate::engine::error::ChatError;
use crate::engine::language::{Language, Sample, Write};

/// As a message: it is refused.
pub(super) const REFUSED: &str = "refused";
/// As a message: rendering panics.
pub(super) const UNSPEAKABLE: &str = "unspeakable";
/// In a prompt: sampling panics.
pub(super) const BREAKS_SAMPLING: char = '%';

/// Renders each message as the first letter of its role, its content and the
/// end of the line.
#[derive(Debug)]
pub(super) struct Speech;

/// Takes the likeliest, or where a temperature is set a letter that depends on
/// the seed, too.
struct Choice {
    seed: u64,
    is_greedy: bool,
}

/// Holds back what may still become a stop text.
struct Pen {
    stop: Vec<String>,
    held: String,
}

/// The prompt of these messages.
pub(super) fn prompt(messages: &[Message]) -> Vec<u32> {
    let mut text = String::new();
    for message in messages {
        text.push_str(&message.role.as_str()[..1]);
        text.push_str(&message.content);
        text.push('\n');
    }
    text.push_str(&Role::Assistant.as_str()[..1]);
    text.bytes().map(u32::from).collect()
}

impl Language for Speech {
    fn prompt(&self, messages: &[Message], context_length: usize) -> Result<Vec<u32>, ChatError> {
        let says = |what: &str| messages.iter().any(|message| message.content == what);
        assert!(!says(UNSPEAKABLE), "as the message says");
        if says(REFUSED) {
            return Err(ChatError::Messages("as the message says".to_owned()));
        }
        let prompt = prompt(messages);
        if prompt.len() >= context_length {
            return Err(ChatError::PromptTooLong { prompt_tokens: prompt.len(), context_length });
        }
        Ok(prompt)
    }

    fn stop_tokens(&self) -> Arc<[u32]> {
        Arc::new([STOP])
    }

    fn sampler(&self, sampling: &Sampling, seed: u64) -> Box<dyn Sample> {
        Box::new(Choice { seed, is_greedy: sampling.temperature.is_none() })
    }

    fn writer(&self, stop: &[String]) -> Box<dyn Write> {
        Box::new(Pen { stop: stop.to_vec(), held: String::new() })
    }
}

impl Sample for Choice {
    fn next(&mut self, logits: &mut [f32], history: &[u32]) -> Option<u32> {
        assert_eq!(logits.len(), VOCABULARY);
        assert!(!history.contains(&u32::from(BREAKS_SAMPLING)), "as the prompt says");
        let likeliest = (0_u32..).zip(&*logits).find(|(_, logit)| **logit > 0.5)?.0;
        if self.is_greedy {
            return Some(likeliest);
        }
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(u64::from(likeliest));
        Some(u32::from(b'a') + u32::try_from((self.seed >> 33) % 26).expect("a letter"))
    }
}

impl Write for Pen {
    fn push(&mut self, token: u32, text: &mut String) -> bool {
        self.held.push(char::from_u32(token).expect("a character"));
        if let Some(start) = self.stop.iter().filter_map(|stop| self.held.find(stop)).min() {
            text.push_str(&self.held[..start]);
            return true;
        }
        let may_become = |tail: &str| self.stop.iter().any(|stop| stop.starts_with(tail));
        let certain = (0..self.held.len()).find(|&start| may_become(&self.held[start..])).unwrap_or(self.held.len());
        text.extend(self.held.drain(..certain));
        false
    }

    fn finish(&mut self, text: &mut String) {
        text.push_str(&self.held);
    }
}
