//! What a model made, as MCP messages.

use bytes::Bytes;
use portcullis_inference::chat::{FinishReason, Usage};
use serde_json::{Value, json};

use crate::backends::answer::response;
use crate::mcp::json::{on_one_line, push_string};
use crate::mcp::meta;
use crate::mcp::version::Era;

/// In the `_meta` of a result: how many tokens of the prompt were still in the
/// model's cache.
pub(super) const CACHED_TOKENS: &str = "portcullis/cachedTokens";

/// A piece of text, under the caller's progress token, which is JSON. `number`
/// counts the pieces: progress must grow, and how far it will go nobody knows.
pub(super) fn piece(token: &str, number: u64, text: &str) -> Bytes {
    let mut message = String::with_capacity(text.len() + token.len() + 110);
    message.push_str(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"#);
    message.push_str(token);
    message.push_str(r#","progress":"#);
    message.push_str(&number.to_string());
    message.push_str(r#","message":"#);
    push_string(&mut message, text);
    message.push_str("}}");
    on_one_line(message).into()
}

/// The whole answer.
pub(super) fn whole((id, era): (&str, Era), model: &str, text: &str, reason: FinishReason, usage: Usage) -> Bytes {
    let mut result = json!({
        "content": [{"type": "text", "text": text}],
        "structuredContent": {
            "model": model,
            "text": text,
            "finishReason": reason.as_str(),
            "usage": {"promptTokens": usage.prompt_tokens, "completionTokens": usage.completion_tokens},
        },
        "_meta": {CACHED_TOKENS: usage.cached_tokens},
    });
    if era == Era::Modern {
        result["resultType"] = Value::from("complete");
        result["_meta"][meta::SERVER_INFO] = meta::server_info();
    }
    response(id, &on_one_line(result.to_string()))
}
