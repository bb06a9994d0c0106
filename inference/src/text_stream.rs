//! Tokens to text, as they come.

use std::sync::Arc;

use crate::tokenizer::Tokenizer;

/// Turns the tokens of one answer into text. A token may end within a
/// character: such bytes wait for the next. Bytes that no character has become
/// U+FFFD, as [`String::from_utf8_lossy`] has it.
#[derive(Debug)]
pub(crate) struct TextStream {
    tokenizer: Arc<Tokenizer>,
    /// The beginning of a character, at most three bytes.
    pending: Vec<u8>,
    strips_space: bool,
}

// === impl TextStream ===

impl TextStream {
    /// The beginning of an answer.
    pub(crate) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { pending: Vec::new(), strips_space: tokenizer.strips_first_space(), tokenizer }
    }

    /// The text that one more token completes.
    pub(crate) fn push(&mut self, token: u32) -> String {
        let mut bytes = self.tokenizer.bytes(token);
        if self.strips_space && !bytes.is_empty() {
            self.strips_space = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() - unfinished(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..whole]).into_owned();
        self.pending.drain(..whole);
        text
    }

    /// No token follows: what is left of a character that was never completed.
    pub(crate) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// How many bytes at the end may be the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let mut checked = 0;
    loop {
        match str::from_utf8(&bytes[checked..]) {
            Ok(_) => return 0,
            Err(error) => match error.error_len() {
                Some(length) => checked += error.valid_up_to() + length,
                None => return bytes.len() - checked - error.valid_up_to(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::tests::{byte_level, sentence_piece};

    fn streamed(tokenizer: &Arc<Tokenizer>, tokens: &[u32]) -> String {
        let mut stream = TextStream::new(Arc::clone(tokenizer));
        let mut text = String::new();
        for token in tokens {
            text += &stream.push(*token);
            assert!(stream.pending.len() < 4);
        }
        text + &stream.finish()
    }

    #[test]
    fn a_character_comes_whole() {
        let tokenizer = Arc::new(byte_level());
        let tokens = tokenizer.encode("a€").unwrap();
        assert_eq!(tokens.len(), 4, "the vocabulary has single bytes");
        let mut stream = TextStream::new(Arc::clone(&tokenizer));
        let pieces: Vec<String> = tokens.iter().map(|token| stream.push(*token)).collect();
        assert_eq!(pieces, ["a", "", "", "€"]);
    }

    #[test]
    fn only_the_first_blank_is_stripped() {
        let tokenizer = Arc::new(sentence_piece());
        let tokens = tokenizer.encode("a  a").unwrap();
        assert_eq!(streamed(&tokenizer, &tokens), "a  a");
    }

    #[test]
    fn special_tokens_are_no_text() {
        let tokenizer = Arc::new(byte_level());
        let mut tokens = tokenizer.encode("a<|im_end|>a").unwrap();
        tokens.push(1_000_000);
        assert_eq!(streamed(&tokenizer, &tokens), "aa");
    }

    proptest! {
        #[test]
        fn pieces_are_together_what_the_whole_decodes_to(tokens in prop::collection::vec(0_u32..270, 0..60)) {
            let tokenizer = Arc::new(byte_level());
            prop_assert_eq!(streamed(&tokenizer, &tokens), tokenizer.decode(&tokens));
        }

        #[test]
        fn text_comes_back_as_it_was(text in "\\PC{0,40}") {
            for tokenizer in [byte_level(), sentence_piece()] {
                let tokenizer = Arc::new(tokenizer);
                let tokens = tokenizer.encode(&text).unwrap();
                prop_assert_eq!(streamed(&tokenizer, &tokens), text.as_str());
            }
        }
    }
}
