//! A request for a completion, read as the call of a model's tool.
//!
//! What would change the answer and is not served is refused; what would not
//! (who the end user is, whether the call is stored) is passed over, as is
//! what is not known, for clients of many servers send much.

use bytes::Bytes;
use portcullis_policies::parse_arguments;
use serde_json::{Map, Value, json};

use crate::backends::chat_bounds::{
    MAX_TOKENS, MESSAGES, MIN_P, REPETITION_PENALTY, Real, STOP_CHARS, STOPS, TEMPERATURE, TOP_K, TOP_P, Whole, holds,
    whole,
};
use crate::rejection::Rejection;

/// What a member's value must be.
#[derive(Clone, Copy)]
enum Kind {
    Whole(Whole),
    Real(Real),
    Seed,
    Stop,
}

/// Members that are arguments of the tool, as it names them.
const RENAMED: [(&str, &str, Kind); 9] = [
    ("max_tokens", "maxTokens", Kind::Whole(MAX_TOKENS)),
    ("max_completion_tokens", "maxTokens", Kind::Whole(MAX_TOKENS)),
    ("temperature", "temperature", Kind::Real(TEMPERATURE)),
    ("top_p", "topP", Kind::Real(TOP_P)),
    ("top_k", "topK", Kind::Whole(TOP_K)),
    ("min_p", "minP", Kind::Real(MIN_P)),
    ("repetition_penalty", "repetitionPenalty", Kind::Real(REPETITION_PENALTY)),
    ("seed", "seed", Kind::Seed),
    ("stop", "stop", Kind::Stop),
];

/// Whether a value asks for what is the case anyway.
type IsTheCase = fn(&Value) -> bool;

/// Members that ask for what is not served, unless they say what is the case
/// anyway.
const UNSERVED: [(&str, IsTheCase); 14] = [
    ("n", |value| *value == 1),
    ("tools", is_empty),
    ("tool_choice", |value| matches!(value.as_str(), Some("none" | "auto"))),
    ("functions", is_empty),
    ("function_call", |value| matches!(value.as_str(), Some("none" | "auto"))),
    ("response_format", |value| value["type"] == "text"),
    ("logprobs", |value| *value == false),
    ("top_logprobs", |value| *value == 0),
    ("logit_bias", is_empty),
    ("frequency_penalty", is_zero),
    ("presence_penalty", is_zero),
    ("modalities", |value| *value == json!(["text"])),
    ("audio", |_| false),
    ("web_search_options", |_| false),
];

/// What a client asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) model: String,
    /// Whether the answer comes in chunks.
    pub(super) streams: bool,
    /// Whether a last chunk says what it took.
    pub(super) includes_usage: bool,
    /// What is wrong with it. It is a call all the same, and nobody who may not
    /// call the model learns of it.
    pub(super) refusal: Option<Rejection>,
    /// As far as they could be read, so that policies see what there is.
    arguments: Map<String, Value>,
}

// === impl Kind ===

impl Kind {
    /// What a value must be and is not.
    fn unmet(self, value: &Value) -> Option<String> {
        let (is_met, what) = match self {
            Self::Whole((least, most)) => (
                whole(value).is_some_and(|number| (least..=most).contains(&number)),
                format!("a whole number from {least} to {most}"),
            ),
            Self::Real((least, most)) => (
                value.as_f64().is_some_and(|number| (least..=most).contains(&number)),
                format!("a number from {least} to {most}"),
            ),
            Self::Seed => (whole(value).is_some(), "a whole number of 64 bits".to_owned()),
            Self::Stop => (
                is_stop(value),
                format!("a text of {} to {} characters, or up to {} of them", STOP_CHARS.0, STOP_CHARS.1, STOPS.1),
            ),
        };
        (!is_met).then_some(what)
    }
}

// === impl Asked ===

impl Asked {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// If it does not say which model is meant, so that nothing is called.
    pub(super) fn read(body: &[u8]) -> Result<Self, Rejection> {
        const SHAPE: Rejection =
            Rejection::InvalidRequest { detail: "the body must be an object with `model` and `messages`" };
        let Ok(Value::Object(mut members)) = parse_arguments(body) else {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let detail = "the body is not JSON".to_owned();
            return Err(if is_json { SHAPE } else { Rejection::NotJson { detail } });
        };
        // `null` is what clients write for what they leave out.
        members.retain(|_, value| !value.is_null());
        let Some(Value::String(model)) = members.remove("model") else {
            return Err(wrong("model", "must be a string"));
        };
        let mut asked = Self { model, streams: false, includes_usage: false, refusal: None, arguments: Map::new() };
        for (name, is_served) in UNSERVED {
            if members.remove(name).is_some_and(|value| !is_served(&value)) {
                asked.refuse(unserved(name, format!("`{name}` is not supported here")));
            }
        }
        match streaming(&mut members) {
            Ok((streams, includes_usage)) => (asked.streams, asked.includes_usage) = (streams, includes_usage),
            Err(rejection) => asked.refuse(rejection),
        }
        let messages = members.remove("messages").ok_or_else(|| wrong("messages", "is missing"));
        match messages.and_then(read_messages) {
            Ok(messages) => asked.argue("messages", "messages", messages),
            Err(rejection) => asked.refuse(rejection),
        }
        for (name, argument, kind) in RENAMED {
            let Some(value) = members.remove(name).filter(|value| !means_nothing(name, value)) else { continue };
            // Said under the name that the client knows.
            if let Some(what) = kind.unmet(&value) {
                asked.refuse(wrong(name, &format!("must be {what}")));
            }
            asked.argue(name, argument, if matches!(kind, Kind::Seed) { folded(value) } else { value });
        }
        Ok(asked)
    }

    /// The first thing that is wrong is said.
    fn refuse(&mut self, rejection: Rejection) {
        self.refusal.get_or_insert(rejection);
    }

    /// An argument, under the name that the client knows and the tool's.
    fn argue(&mut self, name: &'static str, argument: &str, value: Value) {
        if self.arguments.insert(argument.to_owned(), value).is_some() {
            self.refuse(wrong(name, "is given under two names"));
        }
    }

    /// The call of `tool` that it stands for, which takes the arguments with it.
    /// The progress token is what makes the tool answer piece by piece.
    pub(super) fn call_of(&mut self, tool: &str) -> Bytes {
        let arguments = Value::from(std::mem::take(&mut self.arguments));
        let mut params = json!({"name": tool});
        params["arguments"] = arguments;
        if self.streams {
            params["_meta"] = json!({"progressToken": 0});
        }
        json!({"jsonrpc": "2.0", "id": 0, "method": "tools/call", "params": params}).to_string().into()
    }
}

/// `stream`, and `stream_options.include_usage`.
fn streaming(members: &mut Map<String, Value>) -> Result<(bool, bool), Rejection> {
    let flag = |name: &'static str, value: Option<Value>| match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(wrong(name, "must be true or false")),
    };
    let streams = flag("stream", members.remove("stream"))?;
    let includes_usage = match members.remove("stream_options") {
        None => false,
        Some(_) if !streams => return Err(wrong("stream_options", "belongs to `stream: true`")),
        Some(Value::Object(mut options)) => flag("stream_options.include_usage", options.remove("include_usage"))?,
        Some(_) => return Err(wrong("stream_options", "must be an object")),
    };
    Ok((streams, includes_usage))
}

/// What clients write for no value at all.
fn means_nothing(name: &str, value: &Value) -> bool {
    match name {
        "top_k" => *value == -1,
        "stop" => *value == "",
        _ => false,
    }
}

/// A seed within what the tool takes: the same one for the same one.
fn folded(seed: Value) -> Value {
    seed.as_i64().map_or(seed, |seed| Value::from(seed % (1 << 53)))
}

fn is_stop(value: &Value) -> bool {
    let fits = |value: &Value| value.as_str().is_some_and(|text| holds(text.chars().count(), STOP_CHARS));
    value.as_array().map_or_else(|| fits(value), |texts| holds(texts.len(), STOPS) && texts.iter().all(fits))
}

fn read_messages(value: Value) -> Result<Value, Rejection> {
    let Value::Array(messages) = value else { return Err(wrong("messages", "must be a list")) };
    if !holds(messages.len(), MESSAGES) {
        return Err(wrong("messages", &format!("must be {} to {} messages", MESSAGES.0, MESSAGES.1)));
    }
    let messages = messages.into_iter().enumerate().map(|(index, message)| read_message(index, message));
    messages.collect::<Result<Vec<_>, _>>().map(Value::from)
}

fn read_message(index: usize, message: Value) -> Result<Value, Rejection> {
    let place = |member: &str| format!("messages.{index}{member}");
    let Value::Object(mut message) = message else { return Err(wrong(place(""), "must be an object")) };
    let role = match message.get("role").and_then(Value::as_str) {
        // What reasoning models call the system's word.
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("tool" | "function") => {
            return Err(unserved(place(".role"), "results of tools are not supported here".to_owned()));
        }
        _ => return Err(wrong(place(".role"), "must be `system`, `developer`, `user` or `assistant`")),
    };
    for member in ["tool_calls", "function_call", "audio"] {
        if message.get(member).is_some_and(|value| !value.is_null() && !is_empty(value)) {
            return Err(unserved(place(&format!(".{member}")), format!("`{member}` is not supported here")));
        }
    }
    let content = match message.remove("content") {
        Some(Value::String(text)) => text,
        // An answer without a word.
        None | Some(Value::Null) if role == "assistant" => String::new(),
        Some(Value::Array(parts)) => joined(&place(".content"), parts)?,
        _ => return Err(wrong(place(".content"), "must be a string or a list of text parts")),
    };
    Ok(json!({"role": role, "content": content}))
}

/// Parts of text; others, such as images, are nothing for these models.
fn joined(place: &str, parts: Vec<Value>) -> Result<String, Rejection> {
    let mut text = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        if part["type"] != "text" {
            return Err(unserved(format!("{place}.{index}.type"), "only parts of text are supported here".to_owned()));
        }
        match part["text"].as_str() {
            Some(part) => text.push_str(part),
            None => return Err(wrong(format!("{place}.{index}.text"), "must be a string")),
        }
    }
    Ok(text)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn wrong(param: impl Into<String>, what: &str) -> Rejection {
    let param = param.into();
    Rejection::BadParameter { detail: format!("`{param}` {what}").into(), param: param.into(), unsupported: false }
}

fn unserved(param: impl Into<String>, detail: String) -> Rejection {
    Rejection::BadParameter { param: param.into().into(), detail: detail.into(), unsupported: true }
}

#[cfg(test)]
mod tests;
