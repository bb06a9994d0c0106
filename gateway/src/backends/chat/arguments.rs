//! A call's arguments: from JSON to what the model is asked, or to the name of
//! the argument that is wrong. [`definition`](super::definition) says the same
//! as a schema.

use portcullis_inference::chat::{ChatRequest, Message, Role, Sampling};
use portcullis_policies::parse_arguments;
use serde_json::{Map, Value};

use crate::backends::chat_bounds::{
    MAX_TOKENS, MESSAGES, MIN_P, REPETITION_PENALTY, Real, SEED, STOP_CHARS, STOPS, TEMPERATURE, TOP_K, TOP_P, Whole,
    holds, whole,
};

/// Reads the arguments of a call.
///
/// # Errors
///
/// Which argument is wrong and what it must be, without its value.
pub(super) fn read(text: &str) -> Result<ChatRequest, String> {
    let arguments = parse_arguments(text.as_bytes()).map_err(|error| format!("arguments: {error}"))?;
    let Value::Object(arguments) = arguments else { return Err("arguments: must be an object".to_owned()) };
    let mut arguments = Arguments(arguments);
    let messages = arguments.take("messages").ok_or_else(|| said("messages", "is missing"))?;
    let request = ChatRequest {
        messages: read_messages(messages)?,
        max_tokens: match (arguments.whole("maxTokens", MAX_TOKENS)?, arguments.whole("max_tokens", MAX_TOKENS)?) {
            (Some(_), Some(_)) => return Err(said("max_tokens", "is another word for `maxTokens`: give one of them")),
            (tokens, other) => tokens.or(other).and_then(|tokens| usize::try_from(tokens).ok()),
        },
        sampling: Sampling {
            temperature: arguments.real("temperature", TEMPERATURE)?,
            top_k: arguments.whole("topK", TOP_K)?.and_then(|count| usize::try_from(count).ok()),
            top_p: arguments.real("topP", TOP_P)?,
            min_p: arguments.real("minP", MIN_P)?,
            repetition_penalty: arguments.real("repetitionPenalty", REPETITION_PENALTY)?,
            seed: arguments.whole("seed", SEED)?.map(i64::cast_unsigned),
        },
        stop: arguments.take("stop").map(read_stops).transpose()?.unwrap_or_default(),
        deadline: None,
        scope: 0,
    };
    arguments.nothing_left()?;
    Ok(request)
}

/// What is left of the arguments.
struct Arguments(Map<String, Value>);

// === impl Arguments ===

impl Arguments {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    fn whole(&mut self, name: &str, (least, most): Whole) -> Result<Option<i64>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = whole(&value).filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| said(name, &format!("must be a whole number from {least} to {most}")))
    }

    fn real(&mut self, name: &str, (least, most): Real) -> Result<Option<f32>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| (least..=most).contains(number));
        number
            .map(|number| Some(number as f32))
            .ok_or_else(|| said(name, &format!("must be a number from {least} to {most}")))
    }

    fn nothing_left(self) -> Result<(), String> {
        self.0.keys().next().map_or(Ok(()), |name| Err(unknown("", name)))
    }
}

fn read_messages(value: Value) -> Result<Vec<Message>, String> {
    let (least, most) = MESSAGES;
    let shape = || said("messages", &format!("must be a list of {least} to {most} messages"));
    let Value::Array(values) = value else { return Err(shape()) };
    if !holds(values.len(), MESSAGES) {
        return Err(shape());
    }
    values.into_iter().enumerate().map(|(index, value)| read_message(&format!("messages.{index}"), value)).collect()
}

fn read_message(place: &str, value: Value) -> Result<Message, String> {
    let Value::Object(mut members) = value else { return Err(said(place, "must be an object")) };
    let role = match members.remove("role").as_ref().and_then(Value::as_str) {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => return Err(said(&format!("{place}.role"), "must be `system`, `user` or `assistant`")),
    };
    let Some(Value::String(content)) = members.remove("content") else {
        return Err(said(&format!("{place}.content"), "must be a string"));
    };
    match members.keys().next() {
        Some(name) => Err(unknown(&format!("{place}."), name)),
        None => Ok(Message { role, content }),
    }
}

/// One text, or a list of them.
fn read_stops(value: Value) -> Result<Vec<String>, String> {
    let values = match value {
        Value::Array(values) if holds(values.len(), STOPS) => values,
        Value::Array(_) => return Err(said("stop", &format!("must be at most {} texts", STOPS.1))),
        other => vec![other],
    };
    let stops = values.into_iter().map(|value| match value {
        Value::String(text) if holds(text.chars().count(), STOP_CHARS) => Ok(text),
        _ => Err(said("stop", &format!("must be texts of {} to {} characters", STOP_CHARS.0, STOP_CHARS.1))),
    });
    stops.collect()
}

fn said(place: &str, what: &str) -> String {
    format!("argument `{place}`: {what}")
}

/// A name from outside may be anything, so it is cut short and kept printable.
fn unknown(place: &str, name: &str) -> String {
    let name: String = name.chars().take(64).map(|c| if c.is_control() || c == '`' { '?' } else { c }).collect();
    said(&format!("{place}{name}"), "is unknown")
}

#[cfg(test)]
mod tests;
