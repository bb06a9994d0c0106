//! A request for a completion, read as the call of a model's tool.
//!
//! What would change the answer and is not served is refused; what would not
//! (who the end user is, whether the call is stored) is passed over, as is
//! what is not known, for clients of many servers send much.

use bytes::Bytes;
use portcullis_policies::parse_arguments;
use serde_json::{Map, Value, json};

use crate::rejection::Rejection;

/// Members that are arguments of the tool under another name.
const RENAMED: [(&str, &str); 9] = [
    ("max_tokens", "maxTokens"),
    ("max_completion_tokens", "maxTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("min_p", "minP"),
    ("repetition_penalty", "repetitionPenalty"),
    ("seed", "seed"),
    ("stop", "stop"),
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
        for (name, argument) in RENAMED {
            let Some(value) = members.remove(name).filter(|value| !means_nothing(name, value)) else { continue };
            if let Err(rejection) = check(name, &value) {
                asked.refuse(rejection);
            }
            asked.argue(name, argument, if name == "seed" { folded(value) } else { value });
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

/// What the tool does not take is said here, under the name that the client
/// knows.
fn check(name: &'static str, value: &Value) -> Result<(), Rejection> {
    let fits = |least: f64, most: f64| value.as_f64().is_some_and(|number| (least..=most).contains(&number));
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let range = match name {
        "temperature" if !fits(0.0, 2.0) => "a number from 0 to 2",
        "top_p" | "min_p" if !fits(0.0, 1.0) => "a number from 0 to 1",
        "repetition_penalty" if !fits(0.5, 2.0) => "a number from 0.5 to 2",
        "max_tokens" | "max_completion_tokens" if !(whole && fits(1.0, 1_048_576.0)) => {
            "a whole number from 1 to 1048576"
        }
        "top_k" if !(whole && fits(0.0, 1_048_576.0)) => "a whole number from 0 to 1048576",
        "seed" if !(value.is_i64() || whole && fits(-SAFE, SAFE)) => "a whole number of 64 bits",
        "stop" if !is_stop(value) => "a text of 1 to 256 characters, or up to 16 of them",
        _ => return Ok(()),
    };
    Err(wrong(name, &format!("must be {range}")))
}

/// The largest whole number that every reader of JSON takes exactly (RFC 8259
/// §6), and the tool as a seed.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// A seed within what the tool takes: the same one for the same one.
fn folded(seed: Value) -> Value {
    seed.as_i64().map_or(seed, |seed| Value::from(seed % (1 << 53)))
}

fn is_stop(value: &Value) -> bool {
    let fits = |value: &Value| value.as_str().is_some_and(|text| (1..=256).contains(&text.chars().count()));
    value.as_array().map_or_else(|| fits(value), |texts| texts.len() <= 16 && texts.iter().all(fits))
}

fn read_messages(value: Value) -> Result<Value, Rejection> {
    let Value::Array(messages) = value else { return Err(wrong("messages", "must be a list")) };
    if messages.is_empty() || messages.len() > 1024 {
        return Err(wrong("messages", "must be 1 to 1024 messages"));
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
