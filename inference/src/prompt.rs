//! Messages to the tokens of a prompt.
//!
//! The template writes special tokens between the turns, and the tokenizer
//! recognises them by their text. What a caller writes must not be recognised
//! so: a message that spells out `<|im_end|>` could end its own turn and speak
//! as the system. See [`disarm`](self::disarm).

mod disarm;
mod room;

use std::sync::Arc;

use minijinja::ErrorKind;
use tracing::{debug, warn};

use self::disarm::Disarmed;
use crate::chat::{Message, Role};
use crate::template::{Template, TemplateError};
use crate::tokenizer::Tokenizer;

/// Bytes that a template may make besides three times the text of the messages.
const TEMPLATE_BYTES: usize = 1 << 20;
/// A question that every template can render.
const QUESTION: &str = "Is it?";
/// An answer no template changes; what follows it ends a turn.
const ANSWER: &str = "Yes.";

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptError {
    /// It leaves no room for an answer.
    #[error("the prompt has {prompt_tokens} tokens, and the context holds {context_length}")]
    TooLong {
        /// Tokens of the prompt; at least so many where it was not worth encoding it.
        prompt_tokens: usize,
        /// Tokens of prompt and answer together.
        context_length: usize,
    },
    /// The template objects, or the tokenizer has no tokens for it; for the caller.
    #[error("{0}")]
    Messages(String),
    /// The template cannot be rendered; for the operator.
    #[error("no prompt could be made of the messages")]
    Failed(#[source] TemplateError),
}

/// Makes prompts for one checkpoint.
#[derive(Debug)]
pub(crate) struct Prompter {
    tokenizer: Arc<Tokenizer>,
    template: Template,
    stop_tokens: Vec<u32>,
    vocabulary_size: usize,
}

// === impl Prompter ===

impl Prompter {
    /// `end_tokens` are those that the checkpoint's configuration names; ids
    /// from `vocabulary_size` on are not the model's.
    pub(crate) fn new(
        tokenizer: Arc<Tokenizer>,
        template: Template,
        end_tokens: &[u32],
        vocabulary_size: usize,
    ) -> Self {
        let mut prompter = Self { tokenizer, template, stop_tokens: end_tokens.to_vec(), vocabulary_size };
        prompter.try_out();
        prompter.stop_tokens.extend(prompter.end_of_turn());
        prompter.stop_tokens.sort_unstable();
        prompter.stop_tokens.dedup();
        prompter
    }

    /// The tokens after which the model shall continue.
    ///
    /// # Errors
    ///
    /// When they leave no room for an answer in `context_length`, or the
    /// template does not accept the messages.
    pub(crate) fn prompt(&self, messages: &[Message], context_length: usize) -> Result<Vec<u32>, PromptError> {
        let too_long = |prompt_tokens| PromptError::TooLong { prompt_tokens, context_length };
        // Every template writes at least a token per turn.
        if messages.len() >= context_length {
            return Err(too_long(messages.len()));
        }
        let disarmed = Disarmed::new(messages, &self.tokenizer).ok_or_else(unencodable)?;
        let written: usize = messages.iter().map(|message| message.content.len()).sum();
        let most_bytes = TEMPLATE_BYTES.saturating_add(written.saturating_mul(3));
        let rendered = self.template.render(disarmed.turns(messages), true, most_bytes).map_err(refusal)?;

        let mut tokens = Vec::new();
        for piece in disarmed.pieces(&rendered) {
            let room = context_length - tokens.len();
            if let Some(more) = room::overflow(&self.tokenizer, piece, room).map_err(|_| unencodable())? {
                return Err(too_long(tokens.len() + more));
            }
            tokens.extend(self.tokenizer.encode(piece).map_err(|_| unencodable())?);
            if tokens.len() >= context_length {
                return Err(too_long(tokens.len()));
            }
        }
        let known = |token: &u32| (*token as usize) < self.vocabulary_size;
        if tokens.iter().all(known) { Ok(tokens) } else { Err(unencodable()) }
    }

    /// The tokens that end an answer, in ascending order: those of the
    /// configuration, and what the template writes after an answer, which some
    /// checkpoints forget to name.
    pub(crate) fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    /// Says so where the template fails at the plainest of conversations: then
    /// it is not the callers who are at fault later.
    fn try_out(&self) {
        let question = Message { role: Role::User, content: QUESTION.to_owned() };
        let rendered = self.template.render([(&question, QUESTION)], true, TEMPLATE_BYTES);
        if let Err(error @ TemplateError::Failed { .. }) = rendered {
            warn!(%error, "the chat template cannot render a plain question");
        }
    }

    fn end_of_turn(&self) -> Option<u32> {
        let question = Message { role: Role::User, content: QUESTION.to_owned() };
        let answer = Message { role: Role::Assistant, content: ANSWER.to_owned() };
        let turns = [(&question, QUESTION), (&answer, ANSWER)];
        let rendered = self.template.render(turns, false, TEMPLATE_BYTES).ok()?;
        let (_, after) = rendered.rsplit_once(ANSWER)?;
        let tokens = self.tokenizer.encode(after.trim_start()).ok()?;
        tokens.first().copied().filter(|token| self.tokenizer.is_special(*token))
    }
}

/// Not every template says by `raise_exception` what it cannot take: some reach
/// for a turn that is not there, or add a text to nothing. That is the caller's
/// to mend as well.
fn refusal(error: TemplateError) -> PromptError {
    match error {
        TemplateError::Objection(text) => PromptError::Messages(text),
        TemplateError::Failed { kind: ErrorKind::UndefinedError | ErrorKind::InvalidOperation, .. } => {
            debug!(%error, "a conversation does not suit the chat template");
            PromptError::Messages("the model's template does not accept these messages".to_owned())
        }
        error => PromptError::Failed(error),
    }
}

fn unencodable() -> PromptError {
    PromptError::Messages("they contain what the model has no tokens for".to_owned())
}

#[cfg(test)]
mod tests;
