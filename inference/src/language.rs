//! The text side of a checkpoint, put together for the engine.

use std::sync::Arc;

use time::OffsetDateTime;
use tracing::error;

use crate::chat::{Message, Sampling};
use crate::checkpoint::{CheckpointError, Files, Generation};
use crate::engine::ChatError;
use crate::engine::language::{Language, Sample, Write};
use crate::prompt::{PromptError, Prompter};
use crate::sampling::Sampler;
use crate::stop::StopMatcher;
use crate::template::{Template, TemplateError, template_source};
use crate::text_stream::TextStream;
use crate::tokenizer::{Tokenizer, TokenizerConfig, TokenizerError};

/// Bytes that `tokenizer.json` may have; the largest published have some 20 MB.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;
/// Bytes that the small files beside it may have.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Why a checkpoint's text side cannot be used; for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LanguageError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Tokenizer, chat template and sampling defaults of one checkpoint.
#[derive(Debug)]
pub(crate) struct CheckpointLanguage {
    tokenizer: Arc<Tokenizer>,
    prompter: Prompter,
    stop_tokens: Arc<[u32]>,
    defaults: Sampling,
}

/// Text as it grows, up to a stop text.
#[derive(Debug)]
struct Writer {
    stream: TextStream,
    stop: StopMatcher,
}

// === impl CheckpointLanguage ===

impl CheckpointLanguage {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and
    /// `chat_template.jinja`. `vocabulary_size` is the model's: a tokenizer may
    /// have more tokens than that, but no prompt may contain them.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used, or there is no chat template.
    pub(crate) fn read(files: &Files, generation: &Generation, vocabulary_size: usize) -> Result<Self, LanguageError> {
        let tokenizer = Tokenizer::new(&files.require("tokenizer.json", MAX_TOKENIZER_BYTES)?)?;
        let config = TokenizerConfig::new(files.read("tokenizer_config.json", MAX_CONFIG_BYTES)?.as_deref())?;
        let source = template_source(files.read("chat_template.jinja", MAX_CONFIG_BYTES)?.as_deref(), &config)?;
        let template = Template::new(&source, config.special_tokens(), OffsetDateTime::now_utc)?;
        let tokenizer = Arc::new(tokenizer);
        let prompter = Prompter::new(Arc::clone(&tokenizer), template, &generation.end_tokens, vocabulary_size);
        let stop_tokens = prompter.stop_tokens().into();
        Ok(Self { tokenizer, prompter, stop_tokens, defaults: generation.sampling.clone() })
    }
}

impl Language for CheckpointLanguage {
    fn prompt(&self, messages: &[Message], context_length: usize) -> Result<Vec<u32>, ChatError> {
        self.prompter.prompt(messages, context_length).map_err(|error| match error {
            PromptError::TooLong { prompt_tokens, context_length } => {
                ChatError::PromptTooLong { prompt_tokens, context_length }
            }
            PromptError::Messages(text) => ChatError::Messages(text),
            PromptError::Failed(cause) => {
                error!(%cause, "no prompt could be made of a conversation");
                ChatError::Failed
            }
        })
    }

    fn stop_tokens(&self) -> Arc<[u32]> {
        Arc::clone(&self.stop_tokens)
    }

    fn sampler(&self, sampling: &Sampling, seed: u64) -> Box<dyn Sample> {
        Box::new(Sampler::new(sampling, &self.defaults, seed))
    }

    fn writer(&self, stop: &[String]) -> Box<dyn Write> {
        Box::new(Writer { stream: TextStream::new(Arc::clone(&self.tokenizer)), stop: StopMatcher::new(stop) })
    }
}

// === impl Sampler ===

impl Sample for Sampler {
    fn next(&mut self, logits: &mut [f32], history: &[u32]) -> Option<u32> {
        Self::next(self, logits, history).ok()
    }
}

// === impl Writer ===

impl Write for Writer {
    fn push(&mut self, token: u32, text: &mut String) -> bool {
        let piece = self.stream.push(token);
        text.push_str(&self.stop.push(&piece));
        self.stop.stopped()
    }

    fn finish(&mut self, text: &mut String) {
        let rest = self.stream.finish();
        text.push_str(&self.stop.push(&rest));
        text.push_str(&self.stop.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::byte_level;

    fn written(text: &str, stop: &[&str]) -> (Vec<String>, bool) {
        let tokenizer = Arc::new(byte_level());
        let stop: Vec<String> = stop.iter().map(|text| (*text).to_owned()).collect();
        let mut writer = Writer { stream: TextStream::new(Arc::clone(&tokenizer)), stop: StopMatcher::new(&stop) };
        let mut pieces = Vec::new();
        for token in tokenizer.encode(text).unwrap() {
            let mut piece = String::new();
            if writer.push(token, &mut piece) {
                pieces.push(piece);
                return (pieces, true);
            }
            pieces.push(piece);
        }
        let mut rest = String::new();
        writer.finish(&mut rest);
        pieces.push(rest);
        (pieces, false)
    }

    #[test]
    fn characters_and_stop_texts_come_whole_or_not_at_all() {
        let pieces = |pieces: &[&str]| pieces.iter().map(|piece| (*piece).to_owned()).collect::<Vec<_>>();
        assert_eq!(written("é ab", &["abc"]), (pieces(&["", "é", " ", "", "", "ab"]), false));
        assert_eq!(written("xé!y", &["é!"]), (pieces(&["x", "", "", ""]), true));
    }

    #[test]
    fn a_stop_text_of_the_character_that_was_never_completed_ends_the_text() {
        let tokenizer = Arc::new(byte_level());
        let mut writer = Writer {
            stream: TextStream::new(Arc::clone(&tokenizer)),
            stop: StopMatcher::new(&["\u{FFFD}".to_owned()]),
        };
        let mut text = String::new();
        assert!(!writer.push(tokenizer.encode("é").unwrap()[0], &mut text));
        writer.finish(&mut text);
        assert_eq!(text, "");
    }
}
