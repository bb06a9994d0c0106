//! A tool's answer in OpenAI's words.

use std::time::SystemTime;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::unix_seconds;
use crate::backends::answer::Answer;
use crate::body::Body;
use crate::middleware::encode;
use crate::rejection::Rejection;

/// What is the same in all parts of an answer.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
}

/// A message of the tool.
#[derive(Deserialize)]
pub(super) struct Message {
    /// Of a notification.
    params: Option<Progress>,
    result: Option<ToolResult>,
}

#[derive(Deserialize)]
struct Progress {
    message: String,
}

/// What the tool answered.
#[derive(Deserialize)]
pub(super) struct ToolResult {
    #[serde(rename = "structuredContent")]
    pub(super) said: Said,
    #[serde(default, rename = "_meta")]
    meta: Meta,
}

/// The tool's structured content.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) finish_reason: String,
    usage: Usage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default, rename = "portcullis/cachedTokens")]
    cached_tokens: u64,
}

/// A model that the caller may call.
#[derive(Deserialize)]
struct Model {
    name: String,
    created: u64,
}

/// What a message says.
pub(super) enum Part {
    /// More text.
    Text(String),
    /// The end.
    End(ToolResult),
}

// === impl Facts ===

impl Facts {
    /// Those of an answer that begins now.
    pub(super) fn new(model: String) -> Self {
        let id = format!("chatcmpl-{}", uuid::Uuid::new_v4().simple());
        Self { id, created: unix_seconds(SystemTime::now()), model }
    }
}

// === impl Part ===

impl Part {
    /// Reads a message of the tool. Any other is a fault of ours: what a tool
    /// refuses it does not answer.
    pub(super) fn read(message: &[u8]) -> Result<Self, Rejection> {
        let message: Message = serde_json::from_slice(message).map_err(|_| Rejection::Internal)?;
        match message {
            Message { result: Some(result), .. } => Ok(Self::End(result)),
            Message { params: Some(progress), .. } => Ok(Self::Text(progress.message)),
            Message { .. } => Err(Rejection::Internal),
        }
    }
}

// === impl Model ===

impl Model {
    /// OpenAI's model object.
    fn into_value(self) -> Value {
        json!({"id": self.name, "object": "model", "created": self.created, "owned_by": "portcullis"})
    }
}

// === impl ToolResult ===

impl ToolResult {
    /// OpenAI's `usage`.
    pub(super) fn usage(&self) -> Value {
        let Usage { prompt_tokens, completion_tokens } = self.said.usage;
        json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.meta.cached_tokens},
        })
    }
}

/// A completion in one.
pub(super) fn whole(answer: Answer, facts: &Facts) -> Result<Response<Body>, Rejection> {
    let Part::End(result) = Part::read(&message(answer)?)? else { return Err(Rejection::Internal) };
    let completion = json!({
        "id": facts.id,
        "object": "chat.completion",
        "created": facts.created,
        "model": facts.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": result.said.text, "refusal": null},
            "logprobs": null,
            "finish_reason": result.said.finish_reason,
        }],
        "usage": result.usage(),
    });
    Ok(encode::json(completion.to_string().into()))
}

/// The list of models.
pub(super) fn models(answer: Answer) -> Result<Response<Body>, Rejection> {
    let models: Vec<Value> = listed(answer)?.into_iter().map(Model::into_value).collect();
    Ok(encode::json(json!({"object": "list", "data": models}).to_string().into()))
}

/// The one of this name.
pub(super) fn model(name: &str, answer: Answer) -> Result<Response<Body>, Rejection> {
    let found = listed(answer)?.into_iter().find(|model| model.name == name);
    let model = found.ok_or_else(|| Rejection::UnknownTool { tool: name.to_owned() })?;
    Ok(encode::json(model.into_value().to_string().into()))
}

fn listed(answer: Answer) -> Result<Vec<Model>, Rejection> {
    #[derive(Deserialize)]
    struct Listed {
        result: Models,
    }
    #[derive(Deserialize)]
    struct Models {
        models: Vec<Model>,
    }
    let listed: Listed = serde_json::from_slice(&message(answer)?).map_err(|_| Rejection::Internal)?;
    Ok(listed.result.models)
}

fn message(answer: Answer) -> Result<Bytes, Rejection> {
    match answer {
        Answer::Message { message, code: None } => Ok(message),
        _ => Err(Rejection::Internal),
    }
}
