//! What is asked of a model, and what it answers.

use std::time::Instant;

/// Who speaks a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The one who asks.
    User,
    /// The model, in an earlier turn.
    Assistant,
}

impl Role {
    /// The name under which chat templates know it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// How the next token is chosen. What is `None` is as the checkpoint's
/// `generation_config.json` says, else as the field's usual default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token always.
    pub temperature: Option<f32>,
    /// Only the `k` likeliest tokens count; 0 means all.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together reach this probability count.
    pub top_p: Option<f32>,
    /// Only tokens at least this fraction as likely as the likeliest count.
    pub min_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens seen before;
    /// 1 changes nothing (Keskar et al. 2019, CTRL).
    pub repetition_penalty: Option<f32>,
    /// Same seed, same text on the same device; for that, nothing is taken from
    /// the cache unless the temperature is 0. Without one, a random one.
    pub seed: Option<u64>,
}

impl Sampling {
    /// The same draws are wanted where the same is asked again.
    pub(crate) fn is_seeded(&self) -> bool {
        self.seed.is_some() && self.temperature != Some(0.0)
    }
}

/// A conversation that the model shall continue.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens to make; without it, as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer and are no part of it.
    pub stop: Vec<String>,
    /// When the answer is no longer wanted.
    pub deadline: Option<Instant>,
    /// On whose behalf: conversations of different scopes share nothing. How
    /// long a prompt takes, and how much of it was
    /// [cached](Usage::cached_tokens), tells nothing of another scope's.
    pub scope: u64,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model, or a stop text, ended it.
    Stop,
    /// It reached `max_tokens` or the end of the context.
    Length,
}

impl FinishReason {
    /// The name that chat interfaces give it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// How many tokens an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the rendered prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were still in the cache, of conversations in the
    /// same [scope](ChatRequest::scope); part of the above.
    pub cached_tokens: usize,
    /// Tokens made.
    pub completion_tokens: usize,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatEvent {
    /// More text: whole characters, never part of a stop text.
    Text(String),
    /// The end; nothing follows.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
}
