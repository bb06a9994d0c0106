//! Bounds of a conversation with a model: those of the tool, and of OpenAI's
//! paths that lead to it.

use serde_json::Value;

/// An inclusive range of whole numbers.
pub type Whole = (i64, i64);
/// An inclusive range of numbers.
pub type Real = (f64, f64);

/// Messages of a conversation.
pub const MESSAGES: Whole = (1, 1024);
/// Tokens of an answer; the model's context bounds it further.
pub const MAX_TOKENS: Whole = (1, 1 << 20);
/// How much chance counts; at 0 none.
pub const TEMPERATURE: Real = (0.0, 2.0);
/// The probability that the tokens to choose from add up to.
pub const TOP_P: Real = (0.0, 1.0);
/// Tokens to choose from; at 0 all.
pub const TOP_K: Whole = (0, 1 << 20);
/// The least probability, as a part of the greatest.
pub const MIN_P: Real = (0.0, 1.0);
/// What the logits of tokens that came before are divided by.
pub const REPETITION_PENALTY: Real = (0.5, 2.0);
/// What every reader of JSON takes exactly (RFC 8259 §6).
pub const SEED: Whole = (-((1 << 53) - 1), (1 << 53) - 1);
/// Texts that end an answer.
pub const STOPS: Whole = (0, 16);
/// Characters of each of them.
pub const STOP_CHARS: Whole = (1, 256);

/// The whole number that a value is: `3.0` is as whole as `3`, in JSON Schema
/// too.
pub fn whole(value: &Value) -> Option<i64> {
    let whole_in = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    value.as_i64().or_else(|| whole_in(value.as_f64()?))
}

/// Whether so many are within a range.
pub fn holds(count: usize, (least, most): Whole) -> bool {
    i64::try_from(count).is_ok_and(|count| (least..=most).contains(&count))
}
