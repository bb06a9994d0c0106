//! Sampling that the client cannot do, done by a model of this process: where
//! the upstream's configuration says so, within the caller's own policy and
//! limits, metered and audited as the caller's call of the model's tool.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Shared;
use super::asking::refusal;
use crate::backends::answer::{Answer, response};
use crate::mcp::capabilities::{Capabilities, Question};
use crate::mcp::envelope::Envelope;
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Version;
use crate::record::CallRecord;
use crate::rejection::Rejection;

impl Shared {
    /// The model that answers what the client of a request cannot.
    pub(super) fn answerer(&self, question: Question, able: Capabilities) -> Option<&Arc<str>> {
        self.settings.sampling.as_ref().filter(|_| question == Question::Sampling && !able.can(question))
    }

    /// The result of `sampling/createMessage` with these parameters, by the
    /// model's tool `model`.
    ///
    /// # Errors
    ///
    /// Why there is none, for the server.
    pub(super) async fn sample(&self, model: &str, request: &McpRequest, params: &str) -> Result<Value, String> {
        let asked: Value = serde_json::from_str(params).map_err(|_| "the parameters are malformed".to_owned())?;
        let arguments = arguments(&asked)?;
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": model, "arguments": arguments},
        });
        let call =
            call(request, model, message.to_string().into()).map_err(|()| "the request is malformed".to_owned())?;
        let answer = match self.calls.call(call).await {
            Ok(Answer::Message { message, .. }) => message,
            Ok(_) => return Err("the model did not answer".to_owned()),
            Err(rejection) => return Err(why(&rejection).to_owned()),
        };
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| "the model did not answer".to_owned())?;
        created(&answer).ok_or_else(|| "the model did not answer".to_owned())
    }

    /// The same as the response that the server hears, once `told` has made of the
    /// result what it is to hear; `id` is JSON.
    pub(super) async fn sampled(
        self: Arc<Self>,
        model: Arc<str>,
        request: Box<McpRequest>,
        params: String,
        id: String,
        told: impl FnOnce(String) -> String,
    ) -> Bytes {
        match self.sample(&model, &request, &params).await {
            Ok(result) => response(&id, &told(result.to_string())),
            Err(why) => refusal(&id, &why),
        }
    }
}

/// What may be said outside of a refused call of the model.
const fn why(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::UnknownTool { .. } => "the caller may not use the model",
        Rejection::RateLimited { .. } => "the caller's limit for the model is spent",
        Rejection::ModelBusy { .. } | Rejection::ModelLoading | Rejection::Overloaded => "the model is busy",
        Rejection::PromptTooLong { .. } => "the conversation is too long for the model",
        _ => "the model did not answer",
    }
}

/// The arguments of a model's tool that say the same as a request for a
/// message (MCP 2025-11-25, "Sampling").
fn arguments(asked: &Value) -> Result<Map<String, Value>, String> {
    let mut messages = Vec::new();
    if let Some(system) = asked["systemPrompt"].as_str() {
        messages.push(json!({"role": "system", "content": system}));
    }
    let given = asked["messages"].as_array().ok_or("`messages` must be an array")?;
    for message in given {
        let content = &message["content"];
        let blocks = content.as_array().map_or_else(|| vec![content], |blocks| blocks.iter().collect());
        let texts: Option<Vec<&str>> = blocks.iter().map(|block| block["text"].as_str()).collect();
        let text = texts.ok_or("the model reads text alone")?.join("\n");
        messages.push(json!({"role": message["role"], "content": text}));
    }
    let mut arguments = Map::from_iter([("messages".to_owned(), Value::Array(messages))]);
    for (name, argument) in [("maxTokens", "maxTokens"), ("temperature", "temperature"), ("stopSequences", "stop")] {
        if let Some(value) = asked.get(name).filter(|value| !value.is_null()) {
            arguments.insert(argument.to_owned(), value.clone());
        }
    }
    Ok(arguments)
}

/// The result that a tool's result comes to; `None` where the tool failed.
fn created(answer: &Value) -> Option<Value> {
    let made = &answer["result"]["structuredContent"];
    let text = made["text"].as_str()?;
    let reason = if made["finishReason"] == "length" { "maxTokens" } else { "endTurn" };
    Some(json!({
        "role": "assistant",
        "content": {"type": "text", "text": text},
        "model": made["model"],
        "stopReason": reason,
    }))
}

/// The call of the model's tool, by the same caller.
fn call(request: &McpRequest, model: &str, body: ByteString) -> Result<Box<McpRequest>, ()> {
    let envelope = Envelope::scan(&body).map_err(|_| ())?;
    let (id, params) = (envelope.id, envelope.params);
    let record = CallRecord::new(request.record.request_id.clone(), request.record.traceparent.clone());
    // A new record: nothing was set before.
    let _ = record.principal.set(Arc::clone(&request.principal));
    let _ = record.rpc_method.set("sampling/createMessage");
    if let Some(ip) = request.client_ip {
        let _ = record.client_ip.set(ip);
    }
    Ok(Box::new(McpRequest {
        operation: Operation::CallTool { tool: model.into() },
        body,
        id,
        params,
        version: Version::NEWEST_LEGACY,
        session: None,
        server: None,
        takes_stream: false,
        abilities: Capabilities::NONE,
        deadline: Instant::now() + request.timeout,
        mirrored: None,
        record: Arc::new(record),
        limits: Arc::default(),
        filter: Default::default(),
        refusal: None,
        ..request.clone()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_message_becomes_the_arguments_of_the_tool() {
        let asked = json!({
            "systemPrompt": "Be brief.",
            "messages": [
                {"role": "user", "content": {"type": "text", "text": "hi"}},
                {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ],
            "maxTokens": 7, "temperature": 0.5, "stopSequences": ["x"], "modelPreferences": {},
        });
        let expected = json!({
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "a\nb"},
            ],
            "maxTokens": 7, "temperature": 0.5, "stop": ["x"],
        });
        assert_eq!(Value::Object(arguments(&asked).unwrap()), expected);
        let image = json!({"messages": [{"role": "user", "content": {"type": "image", "data": ""}}]});
        assert!(arguments(&image).is_err());
        assert!(arguments(&json!({})).is_err());
    }

    #[test]
    fn an_answer_of_the_tool_becomes_a_message() {
        let answer =
            json!({"result": {"structuredContent": {"model": "chat", "text": "yes", "finishReason": "length"}}});
        let expected = json!({
            "role": "assistant", "content": {"type": "text", "text": "yes"}, "model": "chat", "stopReason": "maxTokens",
        });
        assert_eq!(created(&answer), Some(expected));
        assert_eq!(created(&json!({"result": {"isError": true, "content": []}})), None);
    }
}
